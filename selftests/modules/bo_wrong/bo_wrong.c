// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that takes a lock when reclaim asks it for pages, and allocates under
 * that lock elsewhere: a deadlock, but only when memory is short. Lockdep has to
 * report it when the driver is loaded, with all the memory there is.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include <reeve/bo.h>

static DEFINE_MUTEX(page_tables);

static int evict_begin(struct reeve_buffer_object *bo, void *priv,
		       unsigned int flags)
{
	mutex_lock(&page_tables);
	mutex_unlock(&page_tables);
	return 0;
}

static const struct reeve_device_ops ops = { .evict_begin = evict_begin };

static int __init bo_wrong_init(void)
{
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = PAGE_SIZE,
	};
	struct reeve_buffer_object *bo;
	struct reeve_device *device;
	long ret;

	mutex_lock(&page_tables);
	kfree(kmalloc(64, GFP_KERNEL));
	mutex_unlock(&page_tables);
	device = reeve_device_register(NULL, "bo_wrong", &ops, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	bo = reeve_bo_create(device, NULL, &desc);
	if (IS_ERR(bo)) {
		reeve_device_unregister(device);
		return PTR_ERR(bo);
	}
	ret = reeve_bo_lock(bo);
	if (!ret) {
		ret = reeve_bo_populate(bo, 0);
		reeve_bo_unlock(bo);
	}
	reeve_bo_put(bo);
	reeve_device_unregister(device);
	return min(ret, 0L);
}

static void __exit bo_wrong_exit(void)
{
}

module_init(bo_wrong_init);
module_exit(bo_wrong_exit);
MODULE_DESCRIPTION("Driver with a lock that reclaim wants");
MODULE_LICENSE("GPL");
