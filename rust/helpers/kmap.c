// SPDX-License-Identifier: GPL-2.0
#include <linux/cc_platform.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/printk.h>
#include <linux/set_memory.h>

#include "../uapi/reeve.h"
#include "helpers.h"

pgprot_t reeve_prot(pgprot_t prot, unsigned int caching, bool decrypted)
{
	if (decrypted)
		prot = pgprot_decrypted(prot);
	switch (caching) {
	case REEVE_CACHING_WRITE_COMBINED:
		return pgprot_writecombine(prot);
	case REEVE_CACHING_UNCACHED:
		return pgprot_noncached(prot);
	default:
		return prot;
	}
}

unsigned long reeve_helper_kernel_prot(unsigned int caching, bool decrypted)
{
	return pgprot_val(reeve_prot(PAGE_KERNEL, caching, decrypted));
}

void *reeve_helper_kmap(struct page *page, unsigned long prot)
{
	return kmap_local_page_prot(page, __pgprot(prot));
}

unsigned long reeve_helper_prot_cache_bits(unsigned long prot)
{
#ifdef CONFIG_X86
	return prot & _PAGE_CACHE_MASK;
#else
	return 0;
#endif
}

bool reeve_helper_guest_memory_is_encrypted(void)
{
	if (!cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT))
		return false;
	pr_info_once("reeve: pages for devices are decrypted\n");
	return true;
}

int reeve_helper_set_decrypted(struct page *first, int pages)
{
	return set_memory_decrypted((unsigned long)page_address(first), pages);
}

int reeve_helper_set_encrypted(struct page *first, int pages)
{
	return set_memory_encrypted((unsigned long)page_address(first), pages);
}
