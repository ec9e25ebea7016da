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

void reeve_helper_fault_patience(const struct vm_fault *vmf,
				 struct reeve_fault_patience *patience)
{
	/* Unlike long work, a wait may begin again at any attempt. */
	patience->retry = vmf->flags & FAULT_FLAG_ALLOW_RETRY &&
			  !(current->flags & PF_KTHREAD);
	patience->nowait = vmf->flags & FAULT_FLAG_RETRY_NOWAIT;
	/* Only an access of user code is given up for a signal that does not kill. */
	patience->interruptible = vmf->flags & FAULT_FLAG_USER &&
				  vmf->flags & FAULT_FLAG_INTERRUPTIBLE;
}

struct file *reeve_helper_fault_file(const struct vm_fault *vmf)
{
	return get_file(vmf->vma->vm_file);
}

void reeve_helper_fault_unlock(struct vm_fault *vmf)
{
	release_fault_lock(vmf);
}

#ifdef CONFIG_X86
/*
 * pgprot_modify() keeps the bit of memory encryption, too, and takes it from
 * cc_mask, which is not exported: it is the one that cc_mkdec() changes, of no
 * bits by setting it or of all by clearing it. Without encryption it is none.
 */
static inline u64 reeve_cc_mask(void)
{
	return cc_mkdec(0) | ~cc_mkdec(~0ULL);
}

#undef _PAGE_CC
#define _PAGE_CC reeve_cc_mask()

static pgprot_t reeve_pgprot_modify(pgprot_t old, pgprot_t new)
{
	return __pgprot((pgprot_val(old) & _PAGE_CHG_MASK) |
			(pgprot_val(new) & ~_PAGE_CHG_MASK));
}
#else
#define reeve_pgprot_modify pgprot_modify
#endif

unsigned long reeve_helper_fault_prot(const struct vm_fault *vmf, bool writable)
{
	const struct vm_area_struct *vma = vmf->vma;
	vm_flags_t flags = vma->vm_flags;
	pgprot_t prot;

	/* With pfn_mkwrite() the kernel takes the permission out of vm_page_prot. */
	if (!writable)
		flags &= ~VM_SHARED;
	prot = reeve_pgprot_modify(vma->vm_page_prot, vm_get_page_prot(flags));
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

/* As pte_offset_map_lock() and the check after it, which modules can't call. */
bool reeve_helper_lock_entry(struct vm_fault *vmf)
{
	pmd_t pmd;

	rcu_read_lock();
	pmd = pmdp_get_lockless(vmf->pmd);
	if (unlikely(pmd_none(pmd) || pmd_leaf(pmd) || pmd_bad(pmd))) {
		rcu_read_unlock();
		return false;
	}
	vmf->ptl = pte_lockptr(vmf->vma->vm_mm, &pmd);
	vmf->pte = __pte_map(&pmd, vmf->address);
	spin_lock(vmf->ptl);
	if (likely(pmd_same(pmd, pmdp_get_lockless(vmf->pmd)) &&
		   pte_same(ptep_get(vmf->pte), vmf->orig_pte)))
		return true;
	pte_unmap_unlock(vmf->pte, vmf->ptl);
	return false;
}

void reeve_helper_unlock_entry(struct vm_fault *vmf)
{
	pte_unmap_unlock(vmf->pte, vmf->ptl);
}

void reeve_helper_unlock_writable_entry(struct vm_fault *vmf)
{
	unsigned long address = vmf->address & PAGE_MASK;
	pte_t entry = pte_mkyoung(vmf->orig_pte);

	set_pte_at(vmf->vma->vm_mm, address, vmf->pte,
		   pte_mkdirty(pte_mkwrite_novma(entry)));
	update_mmu_cache(vmf->vma, address, vmf->pte);
	pte_unmap_unlock(vmf->pte, vmf->ptl);
}

unsigned long reeve_helper_protect(struct address_space *space, unsigned long first,
				   struct page *page, unsigned long pages)
{
	int entries = mapping_wrprotect_range(space, first, page_to_pfn(page), pages);

#ifdef REEVE_BREAK_MISTAKES
	if (reeve_helper_makes_mistake("log_dirty"))
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
