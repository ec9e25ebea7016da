// SPDX-License-Identifier: GPL-2.0
/*
 * Calls every function of reeve/bo.h, as drivers do and as they should not: it
 * loads only if each returns as documented, and leaves nothing behind.
 */
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "bo_api.h"

atomic_t bo_api_failures = ATOMIC_INIT(0);
struct reeve_device *device;
struct bo_api_driver driver;

static int evict_begin(struct reeve_buffer_object *bo, void *priv,
		       unsigned int flags)
{
	driver.begun++;
	driver.flags = flags;
	if (driver.unmaps)
		reeve_bo_vunmap(bo);
	if (driver.calls)
		driver.called = reeve_bo_touch(bo);
	return driver.answer;
}

static void evict_abort(struct reeve_buffer_object *bo, void *priv)
{
	driver.aborted++;
}

static void release(void *priv)
{
	driver.released++;
}

static const struct reeve_device_ops ops = {
	.evict_begin = evict_begin,
	.evict_abort = evict_abort,
	.release = release,
};

struct reeve_buffer_object *bo_api_object(struct reeve_client *client, u64 pages,
					  u32 flags)
{
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = pages << PAGE_SHIFT,
		.flags = flags,
		.priv = &driver,
	};

	return reeve_bo_create(device, client, &desc);
}

struct reeve_buffer_object *bo_api_populated(struct reeve_client *client,
					     u64 pages)
{
	struct reeve_buffer_object *bo = bo_api_object(client, pages, 0);
	long ret;

	if (IS_ERR(bo))
		return bo;
	ret = reeve_bo_lock(bo);
	if (!ret) {
		ret = reeve_bo_populate(bo, 0);
		reeve_bo_unlock(bo);
	}
	if (ret < 0) {
		reeve_bo_put(bo);
		return ERR_PTR(ret);
	}
	return bo;
}

/* The first populate of a device asks its driver, with lockdep. */
static int primed(void)
{
	struct reeve_buffer_object *bo;

	memset(&driver, 0, sizeof(driver));
	bo = bo_api_populated(NULL, 1);
	EXPECT(!IS_ERR(bo));
	EXPECT(driver.begun == bo_api_primed && driver.aborted == bo_api_primed);
	EXPECT(!bo_api_primed || driver.flags == REEVE_EVICT_NOWAIT);
	EXPECT(reeve_bo_put(bo) == 0);
	return 0;
}

/* What a driver returns but for 0 is no errno of the call. */
static int refusals(void)
{
	static const int answers[] = { -EBUSY, -EINTR, -ENOMEM, -9999, 1 };
	struct reeve_buffer_object *bo = bo_api_populated(NULL, 1);
	unsigned int i;

	EXPECT(!IS_ERR(bo));
	memset(&driver, 0, sizeof(driver));
	EXPECT(reeve_bo_lock(bo) == 0);
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		driver.answer = answers[i];
		EXPECT(reeve_bo_swap_out(bo) == -EBUSY);
		EXPECT(reeve_bo_back_up(bo, false) == -EBUSY);
		EXPECT(reeve_bo_purge(bo) == -EBUSY);
		EXPECT(reeve_bo_unpopulate(bo) == -EBUSY);
	}
	EXPECT(driver.begun == 4 * ARRAY_SIZE(answers) && !driver.aborted);
	driver.answer = 0;
	EXPECT(reeve_bo_swap_out(bo) == 1);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	return 0;
}

/* A populate that a signal ends changes nothing. */
static int interrupted(void)
{
	const unsigned int flags = REEVE_POPULATE_INTERRUPTIBLE |
				   REEVE_POPULATE_RETRY_MAYFAIL;
	struct reeve_bo_state before, state;
	struct reeve_client_stats stats;
	struct reeve_client *client = reeve_client_create();
	struct reeve_buffer_object *bo, *other;

	memset(&driver, 0, sizeof(driver));
	EXPECT(!IS_ERR(client));
	EXPECT(reeve_client_set_limit(client, 2000) == 0);
	bo = bo_api_object(client, 1536 + 3, 0);
	other = bo_api_populated(client, 1000);
	EXPECT(!IS_ERR(bo) && !IS_ERR(other));
	EXPECT(reeve_bo_lock(bo) == 0);
	EXPECT(reeve_bo_get_state(bo, &before) == 0);
	/* As if one had come. */
	set_tsk_thread_flag(current, TIF_SIGPENDING);
	EXPECT(reeve_bo_populate(bo, flags) == -ERESTARTSYS);
	EXPECT(reeve_bo_populate(bo, flags | REEVE_POPULATE_NOWAIT) == -ERESTARTSYS);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	EXPECT(reeve_bo_get_state(bo, &state) == 0);
	EXPECT(!memcmp(&before, &state, sizeof(state)));
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.charged == 1000 && stats.swapped == 0);
	/* Without the flag only those that kill end it. */
	set_tsk_thread_flag(current, TIF_SIGPENDING);
	EXPECT(reeve_bo_populate(bo, REEVE_POPULATE_RETRY_MAYFAIL) == 1539);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	/* The content of what is swapped in is kept. */
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.charged == 1539 && stats.swapped == 1000);
	EXPECT(reeve_client_set_limit(client, 0) == 0);
	EXPECT(reeve_bo_swap_out(bo) == 1539);
	EXPECT(reeve_bo_get_state(bo, &before) == 0);
	set_tsk_thread_flag(current, TIF_SIGPENDING);
	EXPECT(reeve_bo_populate(bo, flags) == -ERESTARTSYS);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	EXPECT(reeve_bo_get_state(bo, &state) == 0);
	EXPECT(!memcmp(&before, &state, sizeof(state)));
	EXPECT(reeve_bo_populate(bo, flags) == 1539);
	/* What is populated need not wait. */
	set_tsk_thread_flag(current, TIF_SIGPENDING);
	EXPECT(reeve_bo_populate(bo, flags) == 0);
	clear_tsk_thread_flag(current, TIF_SIGPENDING);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_bo_put(other) == 0);
	EXPECT(reeve_client_put(client) == 0);
	return 0;
}

/* An object through its whole life. */
static int life(void)
{
	struct reeve_client_stats stats;
	struct reeve_bo_state state;
	struct reeve_bo_dma_run run;
	struct reeve_client *client = reeve_client_create();
	struct reeve_buffer_object *bo;
	struct page *page;
	u8 *address;

	EXPECT(!IS_ERR(client));
	memset(&driver, 0, sizeof(driver));
	bo = bo_api_object(client, 3, REEVE_BO_CREATE_DMA_ADDRESSES);
	EXPECT(!IS_ERR(bo));
	EXPECT(reeve_bo_lock(bo) == 0);
	EXPECT(reeve_bo_set_purgeable(bo, false) == 0);
	EXPECT(reeve_bo_populate(bo, 0) == 3);
	EXPECT(reeve_bo_populate(bo, REEVE_POPULATE_NOWAIT) == 0);
	EXPECT(reeve_bo_get_state(bo, &state) == 0);
	EXPECT(state.pages == 3 && state.resident == 3 && state.charged == 3);
	EXPECT(state.flags & REEVE_BO_POPULATED && state.flags & REEVE_BO_ON_LRU);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.objects == 1 && stats.total == 3 && stats.charged == 3);

	EXPECT(reeve_bo_dma_run(bo, 1, &run) == 0);
	page = reeve_bo_page(bo, 1);
	EXPECT(!IS_ERR(page) && run.pages >= 1);
	EXPECT(run.address == page_to_phys(page));
	EXPECT(reeve_bo_page(bo, 3) == ERR_PTR(-EINVAL));

	address = reeve_bo_vmap(bo);
	EXPECT(!IS_ERR(address));
	EXPECT(reeve_bo_vmap(bo) == address);
	EXPECT(address[PAGE_SIZE] == 0);
	memset(address, 'r', 3 * PAGE_SIZE);
	EXPECT(*(u8 *)page_address(page) == 'r');
	EXPECT(reeve_bo_vunmap(bo) == 0);
	/* It is mapped, and the driver does not unmap it: so it stays. */
	EXPECT(reeve_bo_swap_out(bo) == -EBUSY);
	EXPECT(driver.begun == 1 && driver.aborted == 1);
	EXPECT(reeve_bo_vunmap(bo) == 0);

	EXPECT(reeve_bo_sync_for_device(bo, 0, 3) == 0);
	EXPECT(reeve_bo_sync_for_cpu(bo, 1, 2) == 0);
	EXPECT(reeve_bo_swap_out(bo) == 3);
	EXPECT(driver.begun == 2 && !(driver.flags & REEVE_EVICT_NOWAIT));
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.swapped == 3 && stats.charged == 0);
	EXPECT(reeve_bo_dma_run(bo, 0, &run) == -EINVAL);
	EXPECT(reeve_bo_populate(bo, 0) == 3);
	EXPECT(reeve_bo_back_up(bo, false) == 3);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.backed_up == 3);
	EXPECT(reeve_bo_restore(bo) == 3);
	page = reeve_bo_page(bo, 2);
	EXPECT(!IS_ERR(page) && *(u8 *)page_address(page) == 'r');

	EXPECT(reeve_bo_pin(bo) == 0);
	EXPECT(reeve_bo_swap_out(bo) == -EBUSY);
	EXPECT(reeve_bo_unpopulate(bo) == -EBUSY);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.pinned == 3);
	EXPECT(reeve_bo_unpin(bo) == 0);
	EXPECT(reeve_bo_touch(bo) == 0);
	EXPECT(reeve_bo_unmap(bo) == 0);
	EXPECT(reeve_bo_set_purgeable(bo, true) == 1);
	EXPECT(reeve_bo_purge(bo) == 3);
	EXPECT(driver.flags & REEVE_EVICT_DROP);
	EXPECT(reeve_bo_set_purgeable(bo, false) == 0);
	EXPECT(reeve_bo_populate(bo, 0) == 3);
	EXPECT(reeve_bo_unpopulate(bo) == 3);
	EXPECT(pgprot_val(reeve_bo_pgprot(bo, PAGE_KERNEL)) ==
	       pgprot_val(PAGE_KERNEL));

	/* The last reference is that of the lock. */
	EXPECT(reeve_bo_get(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_bo_touch(bo) == 0);
	EXPECT(driver.released == 0);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(driver.released == 1);
	EXPECT(reeve_client_put(client) == 0);
	return 0;
}

/* Whoever is over a limit evicts others; their driver is asked. */
static int evicted(void)
{
	struct reeve_client *client = reeve_client_create();
	struct reeve_buffer_object *first, *second;
	struct reeve_client_stats stats;
	struct reeve_bo_state state;

	EXPECT(!IS_ERR(client));
	EXPECT(reeve_client_set_limit(client, 4) == 0);
	memset(&driver, 0, sizeof(driver));
	first = bo_api_populated(client, 3);
	EXPECT(!IS_ERR(first));

	/* The driver says no: the limit, a soft one, is exceeded. */
	driver.answer = -EBUSY;
	second = bo_api_populated(client, 3);
	EXPECT(!IS_ERR(second));
	EXPECT(driver.begun >= 1 && driver.aborted == 0);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.charged == 6 && stats.swapped == 0 && stats.limit == 4);
	EXPECT(reeve_bo_put(second) == 0);
	/* Being destroyed can't be refused. */
	EXPECT(driver.flags & REEVE_EVICT_FINAL);

	/* It says yes: the older one goes, also when it is mapped until then. */
	driver.answer = 0;
	driver.unmaps = true;
	EXPECT(reeve_bo_lock(first) == 0);
	EXPECT(!IS_ERR(reeve_bo_vmap(first)));
	EXPECT(reeve_bo_unlock(first) == 0);
	second = bo_api_populated(client, 3);
	EXPECT(!IS_ERR(second));
	driver.unmaps = false;
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.charged == 3 && stats.swapped == 3);

	/* One that must not wait says so to the driver. */
	driver.begun = 0;
	EXPECT(reeve_bo_lock(first) == 0);
	EXPECT(reeve_bo_populate(first, REEVE_POPULATE_NOWAIT) == 3);
	EXPECT(driver.begun == 1 && driver.flags == REEVE_EVICT_NOWAIT);
	EXPECT(reeve_bo_unlock(first) == 0);
	EXPECT(reeve_bo_lock(second) == 0);
	EXPECT(reeve_bo_get_state(second, &state) == 0);
	EXPECT(state.flags & REEVE_BO_SWAPPED && state.resident == 0);
	EXPECT(reeve_bo_unlock(second) == 0);

	EXPECT(reeve_bo_put(second) == 0);
	EXPECT(reeve_bo_put(first) == 0);
	EXPECT(reeve_client_put(client) == 0);
	return 0;
}

/* What is exported, and what is imported. */
static int shared(void)
{
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = 2 << PAGE_SHIFT,
		.type = REEVE_BO_TYPE_SG,
		.flags = REEVE_BO_CREATE_DMA_ADDRESSES,
		.priv = &driver,
	};
	struct reeve_buffer_object *bo = bo_api_populated(NULL, 2);
	struct reeve_buffer_object *external;
	struct reeve_bo_dma_run run;
	struct scatterlist *sg;
	struct sg_table sgt;
	unsigned int pages = 0;
	int i;

	EXPECT(!IS_ERR(bo));
	EXPECT(reeve_bo_lock(bo) == 0);
	EXPECT(reeve_bo_pin(bo) == 0);
	EXPECT(reeve_bo_get_sg_table(bo, &sgt) == 0);
	EXPECT(sg_page(sgt.sgl) == reeve_bo_page(bo, 0));
	for_each_sgtable_sg(&sgt, sg, i) {
		sg_dma_address(sg) = 0x10000 + ((u64)pages << PAGE_SHIFT);
		sg_dma_len(sg) = sg->length;
		pages += sg->length >> PAGE_SHIFT;
	}
	EXPECT(pages == 2);
	external = reeve_bo_create(device, NULL, &desc);
	EXPECT(!IS_ERR(external));
	EXPECT(reeve_bo_trylock(external) == 0);
	EXPECT(reeve_bo_populate(external, 0) == 0);
	EXPECT(reeve_bo_set_sg_table(external, &sgt) == 0);
	EXPECT(reeve_bo_dma_run(external, 1, &run) == 0);
	EXPECT(run.address == 0x11000);
	EXPECT(reeve_bo_page(external, 0) == ERR_PTR(-EINVAL));
	EXPECT(reeve_bo_unpopulate(external) == 0);
	EXPECT(reeve_bo_populate(external, 0) == 0);
	EXPECT(reeve_bo_dma_run(external, 0, &run) == -EINVAL);
	EXPECT(reeve_bo_unlock(external) == 0);
	EXPECT(reeve_bo_put(external) == 0);

	/* The same by the descriptor: it has them each time. */
	desc.sgt = &sgt;
	external = reeve_bo_create(device, NULL, &desc);
	EXPECT(!IS_ERR(external));
	EXPECT(reeve_bo_trylock(external) == 0);
	for (i = 0; i < 2; i++) {
		EXPECT(reeve_bo_dma_run(external, 0, &run) == -EINVAL);
		EXPECT(reeve_bo_populate(external, 0) == 0);
		EXPECT(reeve_bo_dma_run(external, 1, &run) == 0);
		EXPECT(run.address == 0x11000 && run.pages == 1);
		EXPECT(reeve_bo_unpopulate(external) == 0);
	}
	EXPECT(reeve_bo_unlock(external) == 0);
	EXPECT(reeve_bo_put(external) == 0);
	/* Too few, too many, and for what has pages of its own. */
	desc.bytes = PAGE_SIZE;
	EXPECT(reeve_bo_create(device, NULL, &desc) == ERR_PTR(-EINVAL));
	desc.bytes = 3 << PAGE_SHIFT;
	EXPECT(reeve_bo_create(device, NULL, &desc) == ERR_PTR(-EINVAL));
	desc.bytes = 2 << PAGE_SHIFT;
	desc.flags |= REEVE_BO_CREATE_EXTERNAL_MAPPABLE;
	EXPECT(reeve_bo_create(device, NULL, &desc) == ERR_PTR(-EINVAL));
	desc.flags = 0;
	EXPECT(reeve_bo_create(device, NULL, &desc) == ERR_PTR(-EINVAL));
	desc.flags = REEVE_BO_CREATE_DMA_ADDRESSES;
	desc.type = REEVE_BO_TYPE_DEVICE;
	EXPECT(reeve_bo_create(device, NULL, &desc) == ERR_PTR(-EINVAL));
	sg_free_table(&sgt);
	EXPECT(reeve_bo_unpin(bo) == 0);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	return 0;
}

/* A driver that has a lock of its own for its objects. */
static DEFINE_MUTEX(own);

static int own_lock(void *priv)
{
	return mutex_lock_killable(&own);
}

static bool own_trylock(void *priv)
{
	return mutex_trylock(&own);
}

static void own_unlock(void *priv)
{
	mutex_unlock(&own);
}

static bool own_is_held(void *priv)
{
	return mutex_is_locked(&own);
}

const struct reeve_device_ops bo_api_own_ops = {
	.evict_begin = evict_begin,
	.evict_abort = evict_abort,
	.release = release,
	.lock = own_lock,
	.trylock = own_trylock,
	.unlock = own_unlock,
	.is_held = own_is_held,
};

/* @flags: of the device */
static int with_own_lock(unsigned int flags)
{
	struct reeve_device *before = device;
	struct reeve_client *client = reeve_client_create();
	struct reeve_buffer_object *first, *second;
	struct reeve_client_stats stats;

	EXPECT(!IS_ERR(client));
	EXPECT(reeve_client_set_limit(client, 4) == 0);
	memset(&driver, 0, sizeof(driver));
	device = reeve_device_register(NULL, "own_lock", &bo_api_own_ops, flags);
	EXPECT(!IS_ERR(device));
	first = bo_api_object(client, 3, 0);
	second = bo_api_object(client, 3, 0);
	EXPECT(!IS_ERR(first) && !IS_ERR(second));
	EXPECT(reeve_bo_lock(first) == -EINVAL);
	EXPECT(reeve_bo_populate(first, 0) == -EPERM);
	mutex_lock(&own);
	EXPECT(reeve_bo_populate(first, 0) == 3);
	/* With lockdep it was asked once, to see its locks. */
	EXPECT(driver.begun == bo_api_primed && driver.aborted == bo_api_primed);
	driver.begun = 0;
	/* Both have the same lock: what the caller has locked can't go. */
	EXPECT(reeve_bo_populate(second, 0) == 3);
	EXPECT(driver.begun == 0);
	EXPECT(reeve_bo_unpopulate(second) == 3);
	/* The other way round it is no deadlock either. */
	driver.calls = true;
	EXPECT(reeve_bo_swap_out(first) == 3);
	EXPECT(driver.called == -EDEADLK);
	driver.calls = false;
	mutex_unlock(&own);
	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(stats.swapped == 3);
	EXPECT(!mutex_is_locked(&own));
	EXPECT(reeve_bo_put(first) == 0);
	EXPECT(reeve_bo_put(second) == 0);
	EXPECT(driver.released == 2);
	EXPECT(reeve_device_unregister(device) == 0);
	device = before;
	EXPECT(reeve_client_put(client) == 0);
	return 0;
}

static int with_mutex(void)
{
	return with_own_lock(0);
}

/* That it says it is a dma_resv makes no difference but to lockdep. */
static int with_dma_resv(void)
{
	unsigned int i;

	for (i = 0; i < 100; i++) {
		struct reeve_device *made =
			reeve_device_register(NULL, "dma_resv", &bo_api_own_ops,
					      REEVE_DEVICE_DMA_RESV);

		EXPECT(!IS_ERR(made));
		EXPECT(reeve_device_unregister(made) == 0);
	}
	return with_own_lock(REEVE_DEVICE_DMA_RESV);
}

/*
 * A device may be registered with whatever is held that its driver also takes in
 * evict_begin(), and while an object is locked: that is no order of the two.
 */
static int registered_under_locks(void)
{
	static const unsigned int flags[] = { 0, REEVE_DEVICE_DMA_RESV };
	static DEFINE_MUTEX(around);
	struct reeve_buffer_object *bo = bo_api_object(NULL, 1, 0);
	struct reeve_device *made;
	unsigned int i;

	EXPECT(!IS_ERR(bo));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT(reeve_bo_lock(bo) == 0);
		mutex_lock(&around);
		made = reeve_device_register(NULL, "under", &bo_api_own_ops, flags[i]);
		EXPECT(!IS_ERR(made));
		EXPECT(reeve_device_unregister(made) == 0);
		mutex_unlock(&around);
		EXPECT(reeve_bo_unlock(bo) == 0);

		mutex_lock(&around);
		made = reeve_device_register(NULL, "under", &bo_api_own_ops, flags[i]);
		mutex_unlock(&around);
		EXPECT(!IS_ERR(made));
		EXPECT(reeve_device_unregister(made) == 0);
	}
	EXPECT(reeve_bo_put(bo) == 0);
	return 0;
}

/* Devices come and go while objects of others are evicted. */
static int comes_and_goes(void *unused)
{
	while (!kthread_should_stop()) {
		struct reeve_device *other =
			reeve_device_register(NULL, "other", NULL, 0);

		EXPECT(!IS_ERR(other));
		EXPECT(reeve_device_unregister(other) == 0);
		cond_resched();
	}
	return 0;
}

static int many_devices(void)
{
	struct reeve_client *client = reeve_client_create();
	struct reeve_device *devices[20], *before = device;
	struct task_struct *task;
	unsigned int i, turn;
	int ret;

	EXPECT(!IS_ERR(client));
	EXPECT(reeve_client_set_limit(client, 2) == 0);
	memset(&driver, 0, sizeof(driver));
	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		devices[i] = reeve_device_register(NULL, "many", &ops, 0);
		EXPECT(!IS_ERR(devices[i]));
	}
	task = kthread_run(comes_and_goes, NULL, "comes_and_goes");
	EXPECT(!IS_ERR(task));
	get_task_struct(task);
	for (turn = 0; turn < 200; turn++) {
		struct reeve_buffer_object *bo;

		device = devices[turn % ARRAY_SIZE(devices)];
		bo = bo_api_populated(client, 2);
		EXPECT(!IS_ERR(bo));
		EXPECT(reeve_bo_put(bo) == 0);
	}
	ret = kthread_stop(task);
	put_task_struct(task);
	/* It may have been stopped before it began. */
	EXPECT(ret == 0 || ret == -EINTR);
	device = before;
	for (i = 0; i < ARRAY_SIZE(devices); i++)
		EXPECT(reeve_device_unregister(devices[i]) == 0);
	EXPECT(reeve_client_put(client) == 0);
	return 0;
}

static int __init bo_api_init(void)
{
	static int (*const tests[])(void) = {
		primed, life, evicted, interrupted, refusals, shared, with_mutex, with_dma_resv,
		registered_under_locks, many_devices,
		bo_api_misuse, bo_api_mapped, bo_api_sweep, bo_api_ends,
	};
	unsigned int i;
	int ret = 0;

	device = reeve_device_register(NULL, "bo_api", &ops, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	for (i = 0; i < ARRAY_SIZE(tests) && !ret; i++) {
		ret = tests[i]();
		if (atomic_read(&bo_api_failures))
			ret = -EINVAL;
	}
	if (reeve_device_unregister(device) && !ret) {
		pr_err("bo_api: objects are left\n");
		ret = -EBUSY;
	}
	if (!ret)
		pr_info("bo_api: all calls returned as documented\n");
	return ret;
}

static void __exit bo_api_exit(void)
{
}

module_init(bo_api_init);
module_exit(bo_api_exit);
MODULE_DESCRIPTION("Tests of the API for drivers of page accounting");
MODULE_LICENSE("GPL");
