// SPDX-License-Identifier: GPL-2.0
#include <linux/atomic.h>
#include <linux/wait.h>

#include "helpers.h"

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
