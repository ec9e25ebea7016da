// SPDX-License-Identifier: GPL-2.0
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
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
}

struct file *reeve_helper_fault_file(const struct vm_fault *vmf)
{
	return get_file(vmf->vma->vm_file);
}

void reeve_helper_fault_unlock(struct vm_fault *vmf)
{
	release_fault_lock(vmf);
}

unsigned int reeve_helper_insert_page(struct vm_fault *vmf, unsigned long address,
				      struct page *page)
{
	return (__force unsigned int)vmf_insert_pfn(vmf->vma, address,
						    page_to_pfn(page));
}

unsigned int reeve_helper_insert_huge(struct vm_fault *vmf, struct page *first)
{
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	bool write = vmf->vma->vm_flags & VM_WRITE;

	return (__force unsigned int)vmf_insert_pfn_pmd(vmf, page_to_pfn(first),
							write);
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
