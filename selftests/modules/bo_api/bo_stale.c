// SPDX-License-Identifier: GPL-2.0
/* Handles that were put, of slots that are used again, from several CPUs. */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "bo_api.h"

#define OLD 64
/* More than the first chunks of the table have. */
#define MANY 1000
#define SHARED 4
#define RACERS 6
#define ROUNDS 3000

atomic_t bo_api_failures;

static struct reeve_device *stale_device;
static atomic_t created, released;

static void release(void *priv)
{
	atomic_inc(&released);
}

static const struct reeve_device_ops ops = { .release = release };

static struct reeve_buffer_object *new_object(void)
{
	const struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = PAGE_SIZE,
		.type = REEVE_BO_TYPE_DEVICE,
	};
	struct reeve_buffer_object *bo =
		reeve_bo_create(stale_device, NULL, &desc);

	EXPECT(!IS_ERR_OR_NULL(bo));
	atomic_inc(&created);
	return bo;
}

static void is_gone(struct reeve_buffer_object *bo)
{
	EXPECT(reeve_bo_get(bo) == -ENOENT);
	EXPECT(reeve_bo_put(bo) == -ENOENT);
	EXPECT(reeve_bo_trylock(bo) == -ENOENT);
	EXPECT(reeve_bo_populate(bo, 0) == -ENOENT);
	EXPECT(reeve_bo_unlock(bo) == -ENOENT);
}

/* A number is never used again, however often its slot is. */
static void used_again(void)
{
	static struct reeve_buffer_object *old[OLD];
	unsigned int i, j;

	for (i = 0; i < OLD; i++) {
		old[i] = new_object();
		for (j = 0; j < i; j++) {
			EXPECT(old[i] != old[j]);
			EXPECT(reeve_bo_get(old[j]) == -ENOENT);
		}
		EXPECT(reeve_bo_put(old[i]) == 0);
		is_gone(old[i]);
	}
}

static void many(void)
{
	struct reeve_buffer_object **all =
		kvcalloc(MANY, sizeof(*all), GFP_KERNEL);
	unsigned int i;

	EXPECT(all);
	if (!all)
		return;
	for (i = 0; i < MANY; i++)
		all[i] = new_object();
	for (i = 0; i < MANY; i += 2)
		EXPECT(reeve_bo_put(all[i]) == 0);
	for (i = 0; i < MANY; i++)
		EXPECT(reeve_bo_get(all[i]) == (i % 2 ? 0 : -ENOENT));
	for (i = 1; i < MANY; i += 2) {
		EXPECT(reeve_bo_put(all[i]) == 0);
		EXPECT(reeve_bo_put(all[i]) == 0);
		EXPECT(reeve_bo_put(all[i]) == -ENOENT);
	}
	kvfree(all);
}

/* As long as it is locked, it is there. */
static void put_while_locked(void)
{
	struct reeve_buffer_object *bo = new_object();

	EXPECT(reeve_bo_lock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_bo_put(bo) == -ENOENT);
	EXPECT(reeve_bo_populate(bo, 0) == 1);
	EXPECT(reeve_bo_unpopulate(bo) == 1);
	EXPECT(reeve_bo_unlock(bo) == 0);
	is_gone(bo);
}

static struct reeve_buffer_object *shared[SHARED];
static atomic_t running;
static DECLARE_COMPLETION(raced);

static void use_locked(struct reeve_buffer_object *bo, int ret)
{
	EXPECT(!ret || ret == -EBUSY || ret == -ENOENT);
	if (ret)
		return;
	EXPECT(reeve_bo_populate(bo, 0) >= 0);
	EXPECT(!IS_ERR(reeve_bo_page(bo, 0)));
	EXPECT(reeve_bo_unlock(bo) == 0);
}

static int racer(void *unused)
{
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		struct reeve_buffer_object **at =
			&shared[get_random_u32_below(SHARED)];
		struct reeve_buffer_object *bo = READ_ONCE(*at);
		int ret;

		switch (get_random_u32_below(6)) {
		case 0:
			bo = xchg(at, new_object());
			fallthrough;
		case 1: /* One that may be too many. */
			ret = reeve_bo_put(bo);
			EXPECT(!ret || ret == -ENOENT);
			break;
		case 2:
			if (reeve_bo_get(bo) == 0)
				ret = reeve_bo_put(bo);
			break;
		case 3:
			use_locked(bo, reeve_bo_lock(bo));
			break;
		case 4:
			use_locked(bo, reeve_bo_trylock(bo));
			break;
		case 5:
			/* Another one's, if any. */
			ret = reeve_bo_unlock(bo);
			EXPECT(ret == -EPERM || ret == -ENOENT);
			break;
		}
		cond_resched();
	}
	if (atomic_dec_and_test(&running))
		complete(&raced);
	/* The module stays as long as its code runs. */
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static void races(void)
{
	struct task_struct *racers[RACERS];
	unsigned int i;

	for (i = 0; i < SHARED; i++)
		shared[i] = new_object();
	atomic_set(&running, RACERS);
	for (i = 0; i < RACERS; i++) {
		racers[i] = kthread_run(racer, NULL, "racer");
		EXPECT(!IS_ERR(racers[i]));
	}
	wait_for_completion(&raced);
	for (i = 0; i < RACERS; i++)
		kthread_stop(racers[i]);
	for (i = 0; i < SHARED; i++) {
		reeve_bo_put(shared[i]);
		is_gone(shared[i]);
	}
}

static int __init bo_stale_init(void)
{
	stale_device = reeve_device_register(NULL, KBUILD_MODNAME, &ops, 0);
	if (IS_ERR(stale_device))
		return PTR_ERR(stale_device);
	used_again();
	many();
	put_while_locked();
	races();
	EXPECT(reeve_device_unregister(stale_device) == 0);
	EXPECT(atomic_read(&released) == atomic_read(&created));
	pr_info("bo_stale: %d objects, the last from %u CPUs\n",
		atomic_read(&created), num_online_cpus());
	return atomic_read(&bo_api_failures) ? -EINVAL : 0;
}

static void __exit bo_stale_exit(void)
{
}

module_init(bo_stale_init);
module_exit(bo_stale_exit);
MODULE_DESCRIPTION("Tests of handles that were put");
MODULE_LICENSE("GPL");
