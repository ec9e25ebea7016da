// SPDX-License-Identifier: GPL-2.0
#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/wait.h>

#include "helpers.h"

unsigned int reeve_helper_charge(struct reeve_counters *c, u64 pages, u64 whole)
{
	if (whole > READ_ONCE(reeve_bounds.pages))
		return REEVE_NOT_CHARGED;
	atomic64_add(pages, &c->pages);
	/* Other CPUs add, too; the last one to add reads the sum. */
	if ((u64)atomic64_read(&c->pages) > READ_ONCE(reeve_bounds.pages) ||
	    (u64)atomic64_read(&c->dma32) > READ_ONCE(reeve_bounds.dma32))
		return REEVE_CHARGED_OVER;
	return REEVE_CHARGED;
}

void reeve_helper_uncharge(struct reeve_counters *c, u64 pages)
{
	atomic64_sub(pages, &c->pages);
}

unsigned int reeve_helper_charge_dma32(struct reeve_counters *c, u64 pages,
				       u64 whole)
{
	unsigned int result;

	if (whole > READ_ONCE(reeve_bounds.pages))
		return REEVE_NOT_CHARGED;
	atomic64_add(pages, &c->dma32);
	result = reeve_helper_charge(c, pages, whole);
	/* The bounds were written meanwhile. */
	if (result == REEVE_NOT_CHARGED)
		atomic64_sub(pages, &c->dma32);
	return result;
}

void reeve_helper_uncharge_dma32(struct reeve_counters *c, u64 pages)
{
	reeve_helper_uncharge(c, pages);
	atomic64_sub(pages, &c->dma32);
}

/* Tasks that wait for operations in flight. Few, so one queue is enough. */
static DECLARE_WAIT_QUEUE_HEAD(reeve_settled);

void reeve_helper_settled_wake(void)
{
	wake_up_all(&reeve_settled);
}

int reeve_helper_settled_wait(atomic64_t *word, u32 seen)
{
	return wait_event_killable(reeve_settled,
				   (u64)atomic64_read(word) >> 32 != seen);
}
