// SPDX-License-Identifier: GPL-2.0
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "helpers.h"

bool reeve_helper_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

bool reeve_helper_signal_pending(void)
{
	return signal_pending(current);
}

void reeve_helper_cond_resched(void)
{
	cond_resched();
}

int reeve_helper_mutex_lock_killable(struct mutex *lock)
{
	return mutex_lock_killable(lock);
}
