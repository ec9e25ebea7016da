// SPDX-License-Identifier: GPL-2.0
#include <linux/dma-mapping.h>
#include <linux/mm.h>

#include "helpers.h"

int reeve_helper_dma_reach_all(struct device *dev)
{
	return dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64));
}

bool reeve_helper_dma_is_possible(struct device *dev)
{
	return dev->dma_mask && *dev->dma_mask;
}

int reeve_helper_dma_map(struct device *dev, unsigned long pfn,
			 unsigned long pages, u64 *address)
{
	dma_addr_t dma = dma_map_page(dev, pfn_to_page(pfn), 0,
				      pages << PAGE_SHIFT, DMA_BIDIRECTIONAL);

	if (dma_mapping_error(dev, dma))
		return -EIO;
	*address = dma;
	return 0;
}

void reeve_helper_dma_unmap(struct device *dev, u64 address, unsigned long pages)
{
	/* What the CPU wrote last remains, also if the pages are bounced. */
	dma_unmap_page_attrs(dev, address, pages << PAGE_SHIFT,
			     DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}

void reeve_helper_dma_sync_for_cpu(struct device *dev, u64 address,
				   unsigned long pages)
{
	dma_sync_single_for_cpu(dev, address, pages << PAGE_SHIFT,
				DMA_BIDIRECTIONAL);
}

void reeve_helper_dma_sync_for_device(struct device *dev, u64 address,
				      unsigned long pages)
{
	dma_sync_single_for_device(dev, address, pages << PAGE_SHIFT,
				   DMA_BIDIRECTIONAL);
}

bool reeve_helper_dma_need_sync(struct device *dev)
{
	return dma_dev_need_sync(dev);
}

struct page *reeve_helper_pfn_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

unsigned long reeve_helper_page_pfn(struct page *page)
{
	return page_to_pfn(page);
}
