// SPDX-License-Identifier: GPL-2.0
#include <linux/atomic.h>
#include <linux/compiler.h>

#include "helpers.h"

bool reeve_helper_charge(struct reeve_counters *c, u64 pages)
{
	atomic64_add(pages, &c->pages);
	/* Other CPUs add, too; the last one to add reads the sum. */
	return (u64)atomic64_read(&c->pages) > READ_ONCE(reeve_bounds.pages) ||
	       (u64)atomic64_read(&c->dma32) > READ_ONCE(reeve_bounds.dma32);
}

void reeve_helper_uncharge(struct reeve_counters *c, u64 pages)
{
	atomic64_sub(pages, &c->pages);
}

bool reeve_helper_charge_dma32(struct reeve_counters *c, u64 pages)
{
	atomic64_add(pages, &c->dma32);
	return reeve_helper_charge(c, pages);
}

void reeve_helper_uncharge_dma32(struct reeve_counters *c, u64 pages)
{
	reeve_helper_uncharge(c, pages);
	atomic64_sub(pages, &c->dma32);
}
