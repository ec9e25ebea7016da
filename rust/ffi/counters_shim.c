// SPDX-License-Identifier: GPL-2.0
#include <linux/atomic.h>

#include "tt_shim.h"

static __always_inline void reeve_begin(struct reeve_counters *c)
{
	atomic64_inc(&c->begun);
	/* Who sees a change sees that it has begun; reeve's Books::sample(). */
	smp_mb__after_atomic();
}

static __always_inline void reeve_finish(struct reeve_counters *c)
{
	/* Who sees that it has finished sees the change. */
	smp_mb__before_atomic();
	atomic64_inc(&c->finished);
}

void reeve_shim_charge(struct reeve_counters *c, u64 pages, u64 dma32)
{
	reeve_begin(c);
	atomic64_add(pages, &c->in_flight);
	atomic64_add(pages, &c->pages);
	if (dma32)
		atomic64_add(dma32, &c->dma32);
	reeve_finish(c);
}

void reeve_shim_uncharge(struct reeve_counters *c, u64 pages, u64 dma32)
{
	reeve_begin(c);
	atomic64_sub(pages, &c->pages);
	atomic64_sub(pages, &c->in_flight);
	if (dma32)
		atomic64_sub(dma32, &c->dma32);
	reeve_finish(c);
}
