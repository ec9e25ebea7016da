// SPDX-License-Identifier: GPL-2.0
/*
 * Every function of reeve/bo.h that is given a handle, misused in every way: it
 * must return the right errno, and name itself in the log, as run.sh checks. One
 * way for each load, for only so many lines are logged in a while.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

#include <reeve/bo.h>

enum way {
	NOTHING, /* a null handle */
	GARBAGE, /* an address in the kernel */
	AFTER_PUT,
	OTHER_KIND, /* a handle of something else */
	UNLOCKED,
	OTHER_TASK, /* locked, by another one */
	NO_SLEEP,
	IN_OP, /* from evict_begin() of the object */
	ATTACKS,
};

static unsigned int way;
module_param(way, uint, 0444);
MODULE_PARM_DESC(way, "Which way of misuse");

static int failures;
static struct reeve_device *device;
static struct reeve_client *client;

#define EXPECT(condition)                                             \
	do {                                                          \
		if (!(condition)) {                                   \
			pr_err("bo_table: %s:%d: expected %s\n",      \
			       __func__, __LINE__, #condition);       \
			failures++;                                   \
		}                                                     \
	} while (0)

static long unregister(void *device)
{
	return reeve_device_unregister(device);
}

static long client_put(void *client)
{
	return reeve_client_put(client);
}

static long set_limit(void *client)
{
	return reeve_client_set_limit(client, 1);
}

static long get_stats(void *client)
{
	struct reeve_client_stats stats;

	return reeve_client_get_stats(client, &stats);
}

static long show_fdinfo(void *client)
{
	return reeve_client_show_fdinfo(client, NULL);
}

static long create(void *device)
{
	struct reeve_bo_desc desc = { .size = sizeof(desc), .bytes = 1 };

	return PTR_ERR(reeve_bo_create(device, NULL, &desc));
}

static long get(void *bo)
{
	return reeve_bo_get(bo);
}

static long put(void *bo)
{
	return reeve_bo_put(bo);
}

static long lock(void *bo)
{
	return reeve_bo_lock(bo);
}

static long trylock(void *bo)
{
	return reeve_bo_trylock(bo);
}

static long unlock(void *bo)
{
	return reeve_bo_unlock(bo);
}

static long populate(void *bo)
{
	return reeve_bo_populate(bo, 0);
}

static long unpopulate(void *bo)
{
	return reeve_bo_unpopulate(bo);
}

static long pin(void *bo)
{
	return reeve_bo_pin(bo);
}

static long unpin(void *bo)
{
	return reeve_bo_unpin(bo);
}

static long swap_out(void *bo)
{
	return reeve_bo_swap_out(bo);
}

static long back_up(void *bo)
{
	return reeve_bo_back_up(bo, true);
}

static long restore(void *bo)
{
	return reeve_bo_restore(bo);
}

static long purge(void *bo)
{
	return reeve_bo_purge(bo);
}

static long set_purgeable(void *bo)
{
	return reeve_bo_set_purgeable(bo, true);
}

static long touch(void *bo)
{
	return reeve_bo_touch(bo);
}

static long get_state(void *bo)
{
	struct reeve_bo_state state;

	return reeve_bo_get_state(bo, &state);
}

static long page(void *bo)
{
	return PTR_ERR(reeve_bo_page(bo, 0));
}

static long dma_run(void *bo)
{
	struct reeve_bo_dma_run run;

	return reeve_bo_dma_run(bo, 0, &run);
}

static long get_sg_table(void *bo)
{
	struct sg_table sgt;

	return reeve_bo_get_sg_table(bo, &sgt);
}

static long set_sg_table(void *bo)
{
	return reeve_bo_set_sg_table(bo, NULL);
}

static long map(void *bo)
{
	return PTR_ERR(reeve_bo_vmap(bo));
}

static long unmap_kernel(void *bo)
{
	return reeve_bo_vunmap(bo);
}

static long sync_for_cpu(void *bo)
{
	return reeve_bo_sync_for_cpu(bo, 0, 1);
}

static long sync_for_device(void *bo)
{
	return reeve_bo_sync_for_device(bo, 0, 1);
}

static long protection(void *bo)
{
	pgprot_t prot = reeve_bo_pgprot(bo, PAGE_KERNEL);

	/* It has no errno: the protection stays as it was. */
	if (pgprot_val(prot) != pgprot_val(PAGE_KERNEL))
		return 0;
	return way == NO_SLEEP ? -EPERM : -ENOENT;
}

static long map_users(void *bo)
{
	return reeve_bo_mmap(bo, NULL, 0);
}

static long unmap_users(void *bo)
{
	return reeve_bo_unmap(bo);
}

enum of { DEVICE, CLIENT, OBJECT };

static const struct {
	const char *name;
	long (*act)(void *handle);
	enum of of;
	bool locked; /* it wants the object locked */
} calls[] = {
	{ "reeve_device_unregister", unregister, DEVICE },
	{ "reeve_bo_create", create, DEVICE },
	{ "reeve_client_put", client_put, CLIENT },
	{ "reeve_client_set_limit", set_limit, CLIENT },
	{ "reeve_client_get_stats", get_stats, CLIENT },
	{ "reeve_client_show_fdinfo", show_fdinfo, CLIENT },
	{ "reeve_bo_get", get, OBJECT },
	{ "reeve_bo_put", put, OBJECT },
	{ "reeve_bo_lock", lock, OBJECT },
	{ "reeve_bo_trylock", trylock, OBJECT },
	{ "reeve_bo_pgprot", protection, OBJECT },
	{ "reeve_bo_mmap", map_users, OBJECT },
	{ "reeve_bo_unlock", unlock, OBJECT, true },
	{ "reeve_bo_populate", populate, OBJECT, true },
	{ "reeve_bo_unpopulate", unpopulate, OBJECT, true },
	{ "reeve_bo_pin", pin, OBJECT, true },
	{ "reeve_bo_unpin", unpin, OBJECT, true },
	{ "reeve_bo_swap_out", swap_out, OBJECT, true },
	{ "reeve_bo_back_up", back_up, OBJECT, true },
	{ "reeve_bo_restore", restore, OBJECT, true },
	{ "reeve_bo_purge", purge, OBJECT, true },
	{ "reeve_bo_set_purgeable", set_purgeable, OBJECT, true },
	{ "reeve_bo_touch", touch, OBJECT, true },
	{ "reeve_bo_get_state", get_state, OBJECT, true },
	{ "reeve_bo_page", page, OBJECT, true },
	{ "reeve_bo_dma_run", dma_run, OBJECT, true },
	{ "reeve_bo_get_sg_table", get_sg_table, OBJECT, true },
	{ "reeve_bo_set_sg_table", set_sg_table, OBJECT, true },
	{ "reeve_bo_vmap", map, OBJECT, true },
	{ "reeve_bo_vunmap", unmap_kernel, OBJECT, true },
	{ "reeve_bo_sync_for_cpu", sync_for_cpu, OBJECT, true },
	{ "reeve_bo_sync_for_device", sync_for_device, OBJECT, true },
	{ "reeve_bo_unmap", unmap_users, OBJECT, true },
};

static void expect(unsigned int i, void *handle, long errno)
{
	long ret;

	if (way == NO_SLEEP) {
		unsigned long flags;

		local_irq_save(flags);
		ret = calls[i].act(handle);
		local_irq_restore(flags);
	} else {
		ret = calls[i].act(handle);
	}
	pr_info("bo_table: logged %s\n", calls[i].name);
	if (ret != errno) {
		pr_err("bo_table: expected %s to return %ld, not %ld, in way %u\n",
		       calls[i].name, errno, ret, way);
		failures++;
	}
}

/* All calls that want the object locked. */
static void expect_of_locked(struct reeve_buffer_object *bo, long errno)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].locked)
			expect(i, bo, errno);
}

static int evict_begin(struct reeve_buffer_object *bo, void *priv,
		       unsigned int flags)
{
	unsigned int i;

	if (way != IN_OP || flags & (REEVE_EVICT_FINAL | REEVE_EVICT_NOWAIT))
		return 0;
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		bool locks = calls[i].act == lock || calls[i].act == trylock;

		/* The only one that is allowed; but nothing is mapped. */
		if (calls[i].act == unmap_kernel)
			expect(i, bo, -EINVAL);
		else if (calls[i].locked || locks)
			expect(i, bo, -EDEADLK);
	}
	return 0;
}

static const struct reeve_device_ops ops = { .evict_begin = evict_begin };

static struct reeve_buffer_object *object(void)
{
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = PAGE_SIZE,
		.flags = REEVE_BO_CREATE_DMA_ADDRESSES,
	};

	return reeve_bo_create(device, client, &desc);
}

static int lock_until_stopped(void *bo)
{
	EXPECT(reeve_bo_lock(bo) == 0);
	while (!kthread_should_stop()) {
		set_current_state(TASK_IDLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	EXPECT(reeve_bo_unlock(bo) == 0);
	return 0;
}

static void wrong_state(struct reeve_buffer_object *bo)
{
	struct task_struct *other = NULL;

	if (way == OTHER_TASK) {
		other = kthread_run(lock_until_stopped, bo, "bo_table");
		EXPECT(!IS_ERR(other));
		while (reeve_bo_trylock(bo) == 0) {
			EXPECT(reeve_bo_unlock(bo) == 0);
			schedule();
		}
	}
	if (way == IN_OP) {
		EXPECT(reeve_bo_lock(bo) == 0);
		EXPECT(reeve_bo_populate(bo, 0) == 1);
		EXPECT(reeve_bo_swap_out(bo) == 1);
		EXPECT(reeve_bo_unlock(bo) == 0);
	} else {
		expect_of_locked(bo, -EPERM);
	}
	if (other)
		kthread_stop(other);
}

static void wrong_handles(struct reeve_buffer_object *bo)
{
	struct reeve_client *old_client = reeve_client_create();
	struct reeve_device *old_device =
		reeve_device_register(NULL, "bo_table", NULL, 0);
	struct reeve_buffer_object *old = object();
	void *handles[3] = { };
	unsigned int i;

	EXPECT(!IS_ERR(old_client) && !IS_ERR(old_device) && !IS_ERR(old));
	EXPECT(reeve_client_put(old_client) == 0);
	EXPECT(reeve_device_unregister(old_device) == 0);
	EXPECT(reeve_bo_put(old) == 0);
	if (way == AFTER_PUT) {
		handles[DEVICE] = old_device;
		handles[CLIENT] = old_client;
		handles[OBJECT] = old;
	} else if (way == OTHER_KIND) {
		handles[DEVICE] = client;
		handles[CLIENT] = bo;
		handles[OBJECT] = device;
	} else if (way == GARBAGE) {
		handles[DEVICE] = &device;
		handles[CLIENT] = &failures;
		handles[OBJECT] = handles;
	}
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		expect(i, handles[calls[i].of],
		       way == NO_SLEEP ? -EPERM : -ENOENT);
}

/* A thread that is stopped before it ran does not run. */
static DECLARE_COMPLETION(started);

/* Uses an object that goes at some moment: as soon as it is not locked. */
static int use_until_gone(void *bo)
{
	long ret = 0;

	complete(&started);
	while (!ret && !kthread_should_stop()) {
		ret = reeve_bo_lock(bo);
		if (!ret) {
			ret = reeve_bo_populate(bo, 0);
			EXPECT(ret >= 0);
			EXPECT(!IS_ERR(reeve_bo_page(bo, 0)));
			EXPECT(reeve_bo_swap_out(bo) == 1);
			ret = reeve_bo_unlock(bo);
		}
		cond_resched();
	}
	EXPECT(!ret || ret == -ENOENT);
	while (!kthread_should_stop())
		schedule_timeout_idle(1);
	return 0;
}

static atomic_t puts;

static int put_once(void *bo)
{
	complete(&started);
	if (reeve_bo_put(bo) == 0)
		atomic_inc(&puts);
	while (!kthread_should_stop())
		schedule_timeout_idle(1);
	return 0;
}

static void two(int (*work)(void *bo), struct reeve_buffer_object *bo)
{
	struct task_struct *tasks[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		tasks[i] = kthread_run(work, bo, "bo_table");
		EXPECT(!IS_ERR(tasks[i]));
	}
	for (i = 0; i < 2; i++)
		wait_for_completion(&started);
	if (work == use_until_gone) {
		schedule_timeout_idle(2);
		EXPECT(reeve_bo_put(bo) == 0);
	}
	for (i = 0; i < 2; i++)
		kthread_stop(tasks[i]);
	EXPECT(reeve_bo_lock(bo) == -ENOENT);
}

static void attacks(struct reeve_buffer_object *theirs)
{
	struct reeve_buffer_object *bo, *last = NULL;
	unsigned int i;

	/* No number is used twice. */
	for (i = 0; i < 1000; i++) {
		bo = object();
		EXPECT(!IS_ERR(bo));
		EXPECT((unsigned long)bo > (unsigned long)last);
		EXPECT(reeve_bo_put(bo) == 0);
		last = bo;
	}
	/* The last put, while others use it. */
	for (i = 0; i < 20; i++)
		two(use_until_gone, object());
	/* The last put, twice at a time: one of them at least is too late. */
	for (i = 0; i < 20; i++) {
		atomic_set(&puts, 0);
		bo = object();
		EXPECT(!IS_ERR(bo));
		two(put_once, bo);
		EXPECT(reeve_bo_put(bo) == -ENOENT);
		EXPECT(atomic_read(&puts) == 1);
	}
	/* One put too many while it is locked: the lock keeps its reference. */
	bo = object();
	EXPECT(reeve_bo_lock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_bo_put(bo) == -ENOENT);
	EXPECT(reeve_bo_populate(bo, 0) == 1);
	EXPECT(reeve_bo_get(bo) == 0);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_bo_unlock(bo) == -ENOENT);
	/* The object of another driver: that one finds it gone. */
	EXPECT(reeve_bo_put(theirs) == 0);
	EXPECT(reeve_bo_lock(theirs) == -ENOENT);
	EXPECT(reeve_bo_put(theirs) == -ENOENT);
}

static int __init bo_table_init(void)
{
	struct reeve_buffer_object *bo;

	device = reeve_device_register(NULL, "bo_table", &ops, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	client = reeve_client_create();
	if (IS_ERR(client)) {
		reeve_device_unregister(device);
		return PTR_ERR(client);
	}
	bo = object();
	if (IS_ERR(bo))
		failures++;
	else if (way == UNLOCKED || way == OTHER_TASK || way == IN_OP)
		wrong_state(bo);
	else if (way == ATTACKS)
		attacks(bo);
	else
		wrong_handles(bo);
	if (way != ATTACKS)
		EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_client_put(client) == 0);
	EXPECT(reeve_device_unregister(device) == 0);
	return failures ? -EINVAL : 0;
}

static void __exit bo_table_exit(void)
{
}

module_init(bo_table_init);
module_exit(bo_table_exit);
MODULE_DESCRIPTION("Misuse of each function of the API for drivers");
MODULE_LICENSE("GPL");
