// SPDX-License-Identifier: GPL-2.0
/* Mistakes that are made on purpose, in a build with REEVE_BREAK=mistakes. */
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "helpers.h"

static char reeve_mistake[24];
module_param_string(mistake, reeve_mistake, sizeof(reeve_mistake), 0600);
MODULE_PARM_DESC(mistake, "The mistake that is made");

bool reeve_helper_makes_mistake(const char *name)
{
	return sysfs_streq(reeve_mistake, name);
}

static int reeve_entry_make_dirty(pte_t *pte, unsigned long address, void *data)
{
	pte_t old = ptep_get(pte);

	if (pte_present(old) && !pte_write(old))
		set_pte_at(data, address, pte, pte_mkdirty(old));
	return 0;
}

/*
 * Leaves entries dirty that were protected, as a protection that does not clean
 * would. Of this process alone, and unless its memory is being changed: tests
 * need no more.
 */
void reeve_helper_make_dirty(struct address_space *space, unsigned long first,
			     unsigned long pages)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long at = 0;

	if (!mm || !mmap_read_trylock(mm))
		return;
	while ((vma = find_vma(mm, at))) {
		unsigned long begin = max(first, vma->vm_pgoff);
		unsigned long end = min(first + pages, vma->vm_pgoff + vma_pages(vma));

		at = vma->vm_end;
		if (!vma->vm_file || vma->vm_file->f_mapping != space || begin >= end)
			continue;
		apply_to_page_range(mm, vma->vm_start + ((begin - vma->vm_pgoff) << PAGE_SHIFT),
				    (end - begin) << PAGE_SHIFT, reeve_entry_make_dirty, mm);
	}
	mmap_read_unlock(mm);
}
