// SPDX-License-Identifier: GPL-2.0
#include <linux/cpuset.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/numa.h>
#include <linux/sched.h>
#include <linux/topology.h>
#ifdef CONFIG_X86
#include <asm/set_memory.h>
#endif

#include "../uapi/reeve.h"
#include "helpers.h"

void reeve_helper_copy_pages(struct page *to, struct page *from,
			     unsigned long count)
{
	while (count--)
		copy_highpage(to++, from++);
}

void reeve_helper_clear_pages(struct page *first, unsigned long count)
{
	while (count--)
		clear_highpage(first++);
}

/*
 * Per node: these are no items of a memory cgroup's statistics, for which the
 * kernel warns where a page is charged, as those of C TTM never are.
 */
void reeve_helper_count_active(struct page *page, long pages)
{
	mod_node_page_state(page_pgdat(page), NR_GPU_ACTIVE, pages);
}

void reeve_helper_count_reclaimable(struct page *page, long pages)
{
	mod_node_page_state(page_pgdat(page), NR_GPU_RECLAIM, pages);
}

int reeve_helper_page_node(struct page *page)
{
	return page_to_nid(page);
}

unsigned long reeve_helper_page_private(struct page *page)
{
	return page_private(page);
}

void reeve_helper_set_page_private(struct page *page, unsigned long value)
{
	set_page_private(page, value);
}

int reeve_helper_local_node(void)
{
	return numa_mem_id();
}

int reeve_helper_allowed_node(void)
{
	int node = numa_mem_id();

#ifdef CONFIG_NUMA
	if (current->mempolicy ||
	    !node_isset(node, cpuset_current_mems_allowed))
		return NUMA_NO_NODE;
#endif
	return node;
}

unsigned int reeve_helper_nr_nodes(void)
{
	return nr_node_ids;
}

int reeve_helper_set_pages_array(struct page **pages, int count,
				 unsigned int caching)
{
#ifdef CONFIG_X86
	switch (caching) {
	case REEVE_CACHING_WRITE_COMBINED:
		return set_pages_array_wc(pages, count);
	case REEVE_CACHING_UNCACHED:
		return set_pages_array_uc(pages, count);
	default:
		return set_pages_array_wb(pages, count);
	}
#else
	return 0;
#endif
}

void reeve_helper_set_pages_wb(struct page *first, int count)
{
#ifdef CONFIG_X86
	if (!PageHighMem(first))
		set_pages_wb(first, count);
#endif
}

unsigned long reeve_helper_page_cache_bits(struct page *page)
{
#ifdef CONFIG_X86
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)page_address(page), &level);

	if (!pte)
		return 0;
	/* In a large page's entry the bit for PAT says that it is one. */
	return pte_flags(*pte) & (level == PG_LEVEL_4K ?
					  _PAGE_CACHE_MASK :
					  _PAGE_PWT | _PAGE_PCD | _PAGE_PAT_LARGE);
#else
	return 0;
#endif
}

unsigned long reeve_helper_total_ram(void)
{
	return totalram_pages();
}

unsigned long reeve_helper_low_ram(void)
{
	return totalram_pages() - totalhigh_pages();
}
