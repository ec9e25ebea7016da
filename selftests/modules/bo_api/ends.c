// SPDX-License-Identifier: GPL-2.0
/*
 * How objects end: at once if nothing else knows of them, else when that is
 * through with them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "bo_api.h"

/* An object with a lock of its own. */
struct ending {
	struct reeve_buffer_object *bo;
	struct mutex lock; /* the driver's own of the object */
	/* Its last reference is put while it is unlocked by who evicts it. */
	bool put_when_unlocked;
	bool putting, released;
	int put;
	struct completion done;
	struct task_struct *putter;
};

static int put_last(void *data)
{
	struct ending *this = data;

	WRITE_ONCE(this->putting, true);
	this->put = reeve_bo_put(this->bo);
	complete(&this->done);
	/* This is code of a module that may go. */
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static int ending_lock(void *priv)
{
	struct ending *this = priv;

	return mutex_lock_killable(&this->lock);
}

static bool ending_trylock(void *priv)
{
	struct ending *this = priv;

	return mutex_trylock(&this->lock);
}

static void ending_unlock(void *priv)
{
	struct ending *this = priv;
	struct task_struct *task;
	unsigned long end;

	if (!this->put_when_unlocked) {
		mutex_unlock(&this->lock);
		return;
	}
	this->put_when_unlocked = false;
	task = kthread_run(put_last, this, "bo_api_put");
	EXPECT(!IS_ERR(task));
	if (!IS_ERR(task)) {
		this->putter = task;
		/* Until it waits for us, as it must, or has not waited. */
		end = jiffies + 60 * HZ;
		while (!READ_ONCE(this->released) &&
		       !(READ_ONCE(this->putting) &&
			 READ_ONCE(task->__state) & TASK_UNINTERRUPTIBLE) &&
		       time_before(jiffies, end))
			usleep_range(100, 200);
		EXPECT(time_before(jiffies, end));
	}
	/* Else what is behind @priv may be gone. */
	EXPECT(!READ_ONCE(this->released));
	mutex_unlock(&this->lock);
}

static bool ending_is_held(void *priv)
{
	struct ending *this = priv;

	return mutex_is_locked(&this->lock);
}

static void ending_release(void *priv)
{
	struct ending *this = priv;

	WRITE_ONCE(this->released, true);
}

static const struct reeve_device_ops ending_ops = {
	.release = ending_release,
	.lock = ending_lock,
	.trylock = ending_trylock,
	.unlock = ending_unlock,
	.is_held = ending_is_held,
};

static int ending_create(struct reeve_device *of, struct reeve_client *client,
			 struct ending *this)
{
	const struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = 3 << PAGE_SHIFT,
		.type = REEVE_BO_TYPE_KERNEL,
		.flags = REEVE_BO_CREATE_PURGEABLE,
		.priv = this,
	};

	memset(this, 0, sizeof(*this));
	mutex_init(&this->lock);
	init_completion(&this->done);
	this->bo = reeve_bo_create(of, client, &desc);
	return PTR_ERR_OR_ZERO(this->bo);
}

static long ending_populate(struct ending *this)
{
	long ret;

	mutex_lock(&this->lock);
	ret = reeve_bo_populate(this->bo, 0);
	mutex_unlock(&this->lock);
	return ret;
}

/* The last reference is put while an eviction that has purged the object ends. */
static void put_while_evicted(struct reeve_device *of,
			      struct reeve_client *client)
{
	static struct ending first, second;

	EXPECT(ending_create(of, client, &first) == 0);
	EXPECT(ending_create(of, client, &second) == 0);
	EXPECT(ending_populate(&first) == 3);
	first.put_when_unlocked = true;
	/* Over the limit of the client. */
	EXPECT(ending_populate(&second) == 3);
	EXPECT(!first.put_when_unlocked);
	if (first.putter) {
		wait_for_completion(&first.done);
		kthread_stop(first.putter);
	}
	EXPECT(first.put == 0 && first.released);
	EXPECT(!second.released);
	EXPECT(reeve_bo_put(second.bo) == 0);
	EXPECT(second.released);
}

/* What ends without pages is not shown by its client any more, either. */
static void nothing_is_left(struct reeve_device *of, struct reeve_client *client)
{
	static const struct reeve_client_stats none = { .limit = 4 };
	struct reeve_client_stats stats;
	static struct ending it;

	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(!memcmp(&stats, &none, sizeof(stats)));
	/* Never populated, and not populated any more. */
	EXPECT(ending_create(of, client, &it) == 0);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.objects == 1 && stats.total == 3 && !stats.resident);
	EXPECT(reeve_bo_put(it.bo) == 0);
	EXPECT(it.released);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(!memcmp(&stats, &none, sizeof(stats)));
	EXPECT(ending_create(of, client, &it) == 0);
	EXPECT(ending_populate(&it) == 3);
	mutex_lock(&it.lock);
	EXPECT(reeve_bo_unpopulate(it.bo) == 3);
	mutex_unlock(&it.lock);
	EXPECT(reeve_bo_put(it.bo) == 0);
	EXPECT(it.released);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(!memcmp(&stats, &none, sizeof(stats)));
}

int bo_api_ends(void)
{
	struct reeve_client *client = reeve_client_create();
	struct reeve_device *of;

	EXPECT(!IS_ERR(client));
	EXPECT(reeve_client_set_limit(client, 4) == 0);
	of = reeve_device_register(NULL, "ends", &ending_ops, 0);
	EXPECT(!IS_ERR(of));
	put_while_evicted(of, client);
	nothing_is_left(of, client);
	EXPECT(reeve_device_unregister(of) == 0);
	EXPECT(reeve_client_put(client) == 0);
	return 0;
}
