// SPDX-License-Identifier: GPL-2.0
#include <linux/err.h>
#include <linux/kthread.h>
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

struct reeve_thread_work {
	struct kthread_work work;
	void (*run)(void *data);
	void *data;
};

static void reeve_run_work(struct kthread_work *work)
{
	struct reeve_thread_work *this =
		container_of(work, struct reeve_thread_work, work);

	this->run(this->data);
}

int reeve_helper_run_in_thread(void (*run)(void *data), void *data)
{
	struct reeve_thread_work this = { .run = run, .data = data };
	struct kthread_worker *worker = kthread_run_worker(0, "reeve");

	if (IS_ERR(worker))
		return PTR_ERR(worker);
	kthread_init_work(&this.work, reeve_run_work);
	kthread_queue_work(worker, &this.work);
	/* Waits for the work. */
	kthread_destroy_worker(worker);
	return 0;
}
