// SPDX-License-Identifier: GPL-2.0
/*
 * A driver whose objects have a dma_resv as their lock, but that has no objects.
 * Then a dma_resv is taken while an object of another driver is locked, which is
 * the wrong order, if there is one: lockdep has to know it from the flag alone.
 */
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/module.h>

#include <reeve/bo.h>

static bool flag;
module_param(flag, bool, 0444);
MODULE_PARM_DESC(flag, "Say that the lock is a dma_resv");

static bool invert;
module_param(invert, bool, 0444);
MODULE_PARM_DESC(invert, "Take a dma_resv inside of Reeve's lock");

static struct dma_resv resv;
static struct reeve_device *device;

static int lock(void *priv)
{
	return dma_resv_lock_interruptible(&resv, NULL);
}

static bool trylock(void *priv)
{
	return dma_resv_trylock(&resv);
}

static void unlock(void *priv)
{
	dma_resv_unlock(&resv);
}

static bool is_held(void *priv)
{
	return dma_resv_is_locked(&resv);
}

static const struct reeve_device_ops ops = {
	.lock = lock,
	.trylock = trylock,
	.unlock = unlock,
	.is_held = is_held,
};

/* By a driver that leaves the lock of its objects to Reeve, and has no pages. */
static int take_inside(void)
{
	struct reeve_device *other = reeve_device_register(NULL, "other", NULL, 0);
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = PAGE_SIZE,
	};
	struct reeve_buffer_object *bo;
	int ret;

	if (IS_ERR(other))
		return PTR_ERR(other);
	bo = reeve_bo_create(other, NULL, &desc);
	ret = PTR_ERR_OR_ZERO(bo);
	if (ret)
		goto unregister;
	ret = reeve_bo_lock(bo);
	if (!ret) {
		pr_info("bo_resv: takes a dma_resv inside\n");
		dma_resv_lock(&resv, NULL);
		dma_resv_unlock(&resv);
		reeve_bo_unlock(bo);
	}
	reeve_bo_put(bo);
unregister:
	reeve_device_unregister(other);
	return ret;
}

static int __init bo_resv_init(void)
{
	int ret;

	dma_resv_init(&resv);
	device = reeve_device_register(NULL, "bo_resv", &ops,
				       flag ? REEVE_DEVICE_DMA_RESV : 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	if (!invert)
		return 0;
	ret = take_inside();
	if (ret)
		reeve_device_unregister(device);
	return ret;
}

static void __exit bo_resv_exit(void)
{
	reeve_device_unregister(device);
	dma_resv_fini(&resv);
}

module_init(bo_resv_init);
module_exit(bo_resv_exit);
MODULE_DESCRIPTION("Driver with a dma_resv for each object");
MODULE_LICENSE("GPL");
