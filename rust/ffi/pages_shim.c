// SPDX-License-Identifier: GPL-2.0
#include <linux/highmem.h>
#include <linux/mm.h>

#include "tt_shim.h"

void reeve_shim_copy_highpage(struct page *to, struct page *from)
{
	copy_highpage(to, from);
}

unsigned long reeve_shim_total_ram(void)
{
	return totalram_pages();
}

unsigned long reeve_shim_low_ram(void)
{
	return totalram_pages() - totalhigh_pages();
}
