// SPDX-License-Identifier: GPL-2.0
#include <linux/mm.h>
#include <linux/shmem_fs.h>

#include "tt_shim.h"

struct file *reeve_shim_shmem_create(const char *name, loff_t size)
{
	return shmem_file_setup(name, size, EMPTY_VMA_FLAGS);
}

struct page *reeve_shim_shmem_page(struct file *file, pgoff_t index, gfp_t gfp)
{
	return shmem_read_mapping_page_gfp(file->f_mapping, index, gfp);
}

void reeve_shim_put_page(struct page *page)
{
	put_page(page);
}
