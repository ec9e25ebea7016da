// SPDX-License-Identifier: GPL-2.0
/* Parameters of page accounting, readable and writable in sysfs. */
#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/workqueue.h>

#include "helpers.h"

/* As in Cargo.toml of selftests, and in chardev/ioctl.rs; a host test compares. */
MODULE_VERSION("0.1.0");

/*
 * What is called after a limit was written: whether there is more than it
 * allows, and then what mends that. Changed under the parameters' lock.
 */
static bool (*reeve_watcher_over)(void *data);
static void (*reeve_watcher)(void *data);
static void *reeve_watcher_data;

static void reeve_params_work_fn(struct work_struct *work)
{
	/* Only queued while it is set; unwatching waits for this. */
	reeve_watcher(reeve_watcher_data);
}

static DECLARE_WORK(reeve_params_work, reeve_params_work_fn);

int reeve_helper_params_watch(bool (*over)(void *data), void (*fn)(void *data),
			      void *data)
{
	int ret = -EBUSY;

	kernel_param_lock(THIS_MODULE);
	if (!reeve_watcher) {
		reeve_watcher_data = data;
		reeve_watcher_over = over;
		reeve_watcher = fn;
		ret = 0;
	}
	kernel_param_unlock(THIS_MODULE);
	return ret;
}

static bool reeve_unwatching;

void reeve_helper_params_unwatch(void)
{
	kernel_param_lock(THIS_MODULE);
	reeve_unwatching = true;
	kernel_param_unlock(THIS_MODULE);
	cancel_work_sync(&reeve_params_work);
}

void reeve_helper_params_queue_watcher(void)
{
	kernel_param_lock(THIS_MODULE);
	if (reeve_watcher && !reeve_unwatching)
		queue_work(system_dfl_wq, &reeve_params_work);
	kernel_param_unlock(THIS_MODULE);
}

/*
 * Sets a limit. The bounds are changed at once; if there is more than they
 * allow, the watcher is called later, without the writer waiting for it. Who
 * populates counts first and reads the limits then, so one of the two sees it.
 * Called under the parameters' lock.
 */
static int reeve_limit_set(const char *value, const struct kernel_param *kp)
{
	int ret = param_set_ulong(value, kp);

	reeve_limits_written();
	smp_mb(); /* pairs with the counting of a populate */
	if (!ret && reeve_watcher && !reeve_unwatching &&
	    reeve_watcher_over(reeve_watcher_data))
		queue_work(system_dfl_wq, &reeve_params_work);
	return ret;
}

static const struct kernel_param_ops reeve_limit_ops = {
	.set = reeve_limit_set,
	.get = param_get_ulong,
};

static unsigned long page_pool_size;
module_param_cb(page_pool_size, &reeve_limit_ops, &page_pool_size, 0644);
MODULE_PARM_DESC(page_pool_size,
		 "Free pages that the pool keeps at most (0: half of memory)");

static unsigned long pages_limit;
module_param_cb(pages_limit, &reeve_limit_ops, &pages_limit, 0644);
MODULE_PARM_DESC(pages_limit,
		 "Pages that buffer objects may hold before others are swapped out (0: half of memory)");

static unsigned long dma32_pages_limit;
module_param_cb(dma32_pages_limit, &reeve_limit_ops, &dma32_pages_limit, 0644);
MODULE_PARM_DESC(dma32_pages_limit,
		 "Likewise for pages of DMA32 pools (0: low memory, at most 2 GiB)");

static unsigned long file_pages_limit;
module_param_cb(file_pages_limit, &reeve_limit_ops, &file_pages_limit, 0644);
MODULE_PARM_DESC(file_pages_limit,
		 "Pages that the objects of one open file, or of all files of one unprivileged user, may hold before others of these are swapped out (0: no limit)");

/* The bounds depend on it. Called under the parameters' lock. */
static int reeve_hard_limit_set(const char *value, const struct kernel_param *kp)
{
	int ret = param_set_bool(value, kp);

	reeve_limits_written();
	return ret;
}

static const struct kernel_param_ops reeve_hard_limit_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = reeve_hard_limit_set,
	.get = param_get_bool,
};

static bool hard_limit;
module_param_cb(hard_limit, &reeve_hard_limit_ops, &hard_limit, 0644);
MODULE_PARM_DESC(hard_limit,
		 "Refuse what would go over a limit with nothing left to swap out (default 0: let it)");

static unsigned long file_objects_limit;
module_param(file_objects_limit, ulong, 0644);
MODULE_PARM_DESC(file_objects_limit,
		 "Buffer objects that one open file may have (0: 131072)");

static unsigned long pinned_pages_limit;
module_param(pinned_pages_limit, ulong, 0644);
MODULE_PARM_DESC(pinned_pages_limit,
		 "Pages of pinned objects of all open files together (0: no limit but RLIMIT_MEMLOCK)");

static bool show_dma_addresses;
module_param(show_dma_addresses, bool, 0644);
MODULE_PARM_DESC(show_dma_addresses,
		 "Show DMA addresses without CAP_SYS_ADMIN, too (default 0)");

static bool enable_builtin_tests;
module_param(enable_builtin_tests, bool, 0644);
MODULE_PARM_DESC(enable_builtin_tests,
		 "Allow the ioctls that are only for tests");

static unsigned int devices = 1;
module_param(devices, uint, 0444);
MODULE_PARM_DESC(devices, "Number of devices, 1 to 8 (default 1)");

unsigned long reeve_helper_param_page_pool_size(void)
{
	return READ_ONCE(page_pool_size);
}

void reeve_helper_param_set_page_pool_size(unsigned long pages)
{
	WRITE_ONCE(page_pool_size, pages);
}

void reeve_helper_params_set_unset_limits(unsigned long pages,
					  unsigned long dma32)
{
	kernel_param_lock(THIS_MODULE);
	if (!pages_limit)
		WRITE_ONCE(pages_limit, pages);
	if (!dma32_pages_limit)
		WRITE_ONCE(dma32_pages_limit, dma32);
	reeve_limits_written();
	kernel_param_unlock(THIS_MODULE);
}

unsigned long reeve_helper_param_pages_limit(void)
{
	return READ_ONCE(pages_limit);
}

unsigned long reeve_helper_param_dma32_pages_limit(void)
{
	return READ_ONCE(dma32_pages_limit);
}

unsigned long reeve_helper_param_file_pages_limit(void)
{
	return READ_ONCE(file_pages_limit);
}

unsigned long reeve_helper_param_file_objects_limit(void)
{
	return READ_ONCE(file_objects_limit);
}

unsigned long reeve_helper_param_pinned_pages_limit(void)
{
	return READ_ONCE(pinned_pages_limit);
}

bool reeve_helper_param_show_dma_addresses(void)
{
	return READ_ONCE(show_dma_addresses);
}

bool reeve_helper_param_hard_limit(void)
{
	return READ_ONCE(hard_limit);
}

bool reeve_helper_param_enable_builtin_tests(void)
{
	return READ_ONCE(enable_builtin_tests);
}

unsigned int reeve_helper_param_devices(void)
{
	return READ_ONCE(devices);
}
