// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched.h>

#include "helpers.h"

void reeve_helper_space_init(struct address_space *space, struct file *file)
{
	address_space_init_once(space);
	space->a_ops = &empty_aops;
	space->host = file_inode(file);
	mapping_set_gfp_mask(space, GFP_HIGHUSER_MOVABLE);
	init_rwsem(&space->invalidate_lock);
}

void reeve_helper_space_leave(struct file *file)
{
	file->f_mapping = file_inode(file)->i_mapping;
}

struct inode *reeve_helper_vma_hold_inode(struct vm_area_struct *vma)
{
	struct address_space *space = vma->vm_file ? vma->vm_file->f_mapping : NULL;

	if (!space || !space->host || &space->host->i_data != space)
		return NULL;
	ihold(space->host);
	return space->host;
}

void reeve_helper_vma_prepare(struct vm_area_struct *vma, unsigned int caching,
			      bool decrypted)
{
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_page_prot = reeve_prot(vma->vm_page_prot, caching, decrypted);
}

void reeve_helper_fault_info(const struct vm_fault *vmf,
			     struct reeve_fault *info)
{
	info->space = vmf->vma->vm_file->f_mapping;
	info->page = vmf->pgoff;
	info->address = vmf->address;
	info->start = vmf->vma->vm_start;
	info->end = vmf->vma->vm_end;
	/* The last fput() of a kernel thread does not wait for its caller. */
	info->may_retry = fault_flag_allow_retry_first(vmf->flags) &&
			  !(current->flags & PF_KTHREAD);
	info->nowait = vmf->flags & FAULT_FLAG_RETRY_NOWAIT;
	info->write = vmf->flags & FAULT_FLAG_WRITE;
}

struct file *reeve_helper_fault_file(const struct vm_fault *vmf)
{
	return get_file(vmf->vma->vm_file);
}

void reeve_helper_fault_unlock(struct vm_fault *vmf)
{
	release_fault_lock(vmf);
}

unsigned long reeve_helper_fault_prot(const struct vm_fault *vmf, bool writable)
{
	const struct vm_area_struct *vma = vmf->vma;
	vm_flags_t flags = vma->vm_flags;
	pgprot_t prot;

	/* With pfn_mkwrite() the kernel takes the permission out of vm_page_prot. */
	if (!writable)
		flags &= ~VM_SHARED;
	prot = pgprot_modify(vma->vm_page_prot, vm_get_page_prot(flags));
#ifdef CONFIG_X86
	/*
	 * mprotect() makes dirty entries writable without a fault, and only
	 * those.
	 */
	if (writable)
		prot = pte_pgprot(pte_mkdirty(pfn_pte(0, prot)));
#endif
	return pgprot_val(prot);
}

unsigned int reeve_helper_insert_page(struct vm_fault *vmf, unsigned long address,
				      struct page *page, unsigned long prot)
{
	return (__force unsigned int)vmf_insert_pfn_prot(vmf->vma, address,
							 page_to_pfn(page),
							 __pgprot(prot));
}

struct reeve_entry {
	struct vm_fault *vmf;
	unsigned long pfn;
	bool done;
};

static int reeve_entry_make_writable(pte_t *pte, unsigned long address, void *data)
{
	struct reeve_entry *entry = data;
	struct vm_area_struct *vma = entry->vmf->vma;
	pte_t old = ptep_get(pte);

	if (pte_present(old) && pte_pfn(old) == entry->pfn) {
		set_pte_at(vma->vm_mm, address, pte,
			   pte_mkdirty(pte_mkwrite_novma(pte_mkyoung(old))));
		update_mmu_cache(vma, address, pte);
		entry->done = true;
	}
	return 0;
}

bool reeve_helper_make_writable(struct vm_fault *vmf, struct page *page)
{
	struct reeve_entry entry = { .vmf = vmf, .pfn = page_to_pfn(page) };

	if (apply_to_page_range(vmf->vma->vm_mm, vmf->address & PAGE_MASK,
				PAGE_SIZE, reeve_entry_make_writable, &entry))
		return false;
	return entry.done;
}

void reeve_helper_remove_entry(struct vm_fault *vmf)
{
	zap_special_vma_range(vmf->vma, vmf->address & PAGE_MASK, PAGE_SIZE);
}

unsigned long reeve_helper_protect(struct address_space *space, unsigned long first,
				   struct page *page, unsigned long pages)
{
	int entries = mapping_wrprotect_range(space, first, page_to_pfn(page), pages);

#ifdef REEVE_BREAK_LOG_DIRTY
	reeve_helper_make_dirty(space, first, pages);
#endif
	return entries > 0 ? entries : 0;
}

unsigned int reeve_helper_insert_huge(struct vm_fault *vmf, struct page *first)
{
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	/* As dirty entries of single pages: writable if the mapping is. */
	return (__force unsigned int)vmf_insert_pfn_pmd(vmf, page_to_pfn(first),
							true);
#else
	return (__force unsigned int)VM_FAULT_FALLBACK;
#endif
}

bool reeve_helper_lock_user_memory(void)
{
	if (!current->mm)
		return false;
	mmap_read_lock(current->mm);
	return true;
}

void reeve_helper_unlock_user_memory(void)
{
	mmap_read_unlock(current->mm);
}
