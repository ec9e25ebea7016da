// SPDX-License-Identifier: GPL-2.0
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <linux/writeback.h>

#include "helpers.h"

/*
 * A mount whose files get large folios where they are large enough, and one
 * whose files never do. NULL if the kernel has no large folios for shmem, or had
 * no memory for the mount.
 */
static struct vfsmount *reeve_large_mount, *reeve_small_mount;

static struct vfsmount *reeve_mount(const char *huge)
{
	struct vfsmount *mount = NULL;
#if IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) && IS_ENABLED(CONFIG_TMPFS)
	struct file_system_type *type = get_fs_type("tmpfs");
	struct fs_context *fc;

	if (!type)
		return NULL;
	fc = fs_context_for_mount(type, SB_KERNMOUNT);
	if (IS_ERR(fc))
		return NULL;
	if (!vfs_parse_fs_string(fc, "source", KBUILD_MODNAME) &&
	    !vfs_parse_fs_string(fc, "huge", huge)) {
		mount = fc_mount_longterm(fc);
		if (IS_ERR(mount))
			mount = NULL;
	}
	put_fs_context(fc);
#endif
	return mount;
}

void reeve_helper_shmem_mount(void)
{
	reeve_large_mount = reeve_mount("within_size");
	reeve_small_mount = reeve_mount("never");
}

void reeve_helper_shmem_unmount(void)
{
	/* Files whose last fput() is still pending keep what they need. */
	if (reeve_large_mount)
		kern_unmount(reeve_large_mount);
	if (reeve_small_mount)
		kern_unmount(reeve_small_mount);
	reeve_large_mount = NULL;
	reeve_small_mount = NULL;
}

static struct file *reeve_shmem_create(const char *name, loff_t size, bool large,
				       vma_flags_t flags, gfp_t gfp)
{
	struct vfsmount *mount = large ? reeve_large_mount : reeve_small_mount;
	struct file *file = mount ? shmem_file_setup_with_mnt(mount, name, size,
							      flags) :
				    shmem_file_setup(name, size, flags);

	if (!IS_ERR(file))
		mapping_set_gfp_mask(file->f_mapping, gfp |
				     __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	return file;
}

struct file *reeve_helper_shmem_create(const char *name, loff_t size, bool large)
{
	return reeve_shmem_create(name, size, large, EMPTY_VMA_FLAGS,
				  GFP_HIGHUSER);
}

struct file *reeve_helper_shmem_create_in_place(const char *name)
{
	/* They are pinned for long: not where pages have to be movable. */
	return reeve_shmem_create(name, 0, true,
				  mk_vma_flags(VMA_NORESERVE_BIT), GFP_HIGHUSER);
}

bool reeve_helper_shmem_has_large(void)
{
	return reeve_large_mount;
}

struct file *reeve_helper_shmem_create_storage(const char *name, loff_t size,
					       bool large)
{
	return reeve_shmem_create(name, size, large,
				  mk_vma_flags(VMA_NORESERVE_BIT),
				  GFP_HIGHUSER_MOVABLE);
}

struct file *reeve_helper_shmem_create_sparse(const char *name, loff_t size)
{
	return shmem_file_setup(name, size, mk_vma_flags(VMA_NORESERVE_BIT));
}

/* Starts to write a locked folio to swap, and unlocks it. */
static void reeve_write_back(struct folio *folio)
{
	if (folio_mapped(folio) || !folio_clear_dirty_for_io(folio)) {
		folio_unlock(folio);
		return;
	}
	folio_set_reclaim(folio);
	/* Without room in swap the folio stays, dirty and locked. */
	if (shmem_write_folio(folio) == AOP_WRITEPAGE_ACTIVATE)
		folio_unlock(folio);
	if (!folio_test_writeback(folio))
		folio_clear_reclaim(folio);
}

int reeve_helper_shmem_write(struct file *file, pgoff_t index, struct page *from,
			     unsigned long count, bool writeback)
{
	while (count) {
		loff_t end = (loff_t)(index + count) << PAGE_SHIFT;
		unsigned long at, pages, i;
		struct folio *to;
		int ret;

		/* SGP_WRITE: what is overwritten is not cleared before. */
		ret = shmem_get_folio(file_inode(file), index, end, &to,
				      SGP_WRITE);
		if (ret)
			return ret;
		at = index - to->index;
		pages = min(count, folio_nr_pages(to) - at);
		for (i = 0; i < pages; i++)
			copy_highpage(folio_page(to, at + i), from + i);
		if (!folio_test_uptodate(to)) {
			if (pages < folio_nr_pages(to))
				folio_zero_segments(to, 0, at << PAGE_SHIFT,
						    (at + pages) << PAGE_SHIFT,
						    folio_size(to));
			folio_mark_uptodate(to);
		}
		folio_mark_dirty(to);
		/*
		 * Callers that want writeback write from the end of the
		 * file to its start, so that the folio is complete now.
		 */
		if (writeback && at == 0)
			reeve_write_back(to);
		else
			folio_unlock(to);
		folio_put(to);
		index += pages;
		from += pages;
		count -= pages;
	}
	return 0;
}

int reeve_helper_shmem_read(struct file *file, pgoff_t index, struct page *to,
			    unsigned long count)
{
	struct address_space *mapping = file->f_mapping;

	while (count) {
		struct folio *from = shmem_read_folio(mapping, index);
		unsigned long at, pages, i;

		if (IS_ERR(from))
			return PTR_ERR(from);
		if (folio_test_has_hwpoisoned(from) ||
		    folio_test_hwpoison(from)) {
			folio_put(from);
			return -EIO;
		}
		at = index - from->index;
		pages = min(count, folio_nr_pages(from) - at);
		for (i = 0; i < pages; i++)
			copy_highpage(to + i, folio_page(from, at + i));
		folio_put(from);
		index += pages;
		to += pages;
		count -= pages;
	}
	return 0;
}

unsigned long reeve_helper_shmem_room(void)
{
	return max(si_mem_available(), 0L) + max(get_nr_swap_pages(), 0L);
}

void reeve_helper_shmem_forget(struct file *file, pgoff_t index,
			       unsigned long count)
{
	loff_t start = (loff_t)index << PAGE_SHIFT;

	if (count)
		shmem_truncate_range(file_inode(file), start,
				     start + ((loff_t)count << PAGE_SHIFT) - 1);
}
