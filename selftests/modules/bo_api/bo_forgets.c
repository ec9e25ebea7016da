// SPDX-License-Identifier: GPL-2.0
/* A driver that goes and leaves its objects: it must not be called any more. */
#include <linux/err.h>
#include <linux/module.h>

#include <reeve/bo.h>

static int evict_begin(struct reeve_buffer_object *bo, void *priv,
		       unsigned int flags)
{
	pr_info("bo_forgets: asked\n");
	return -EBUSY;
}

static const struct reeve_device_ops ops = { .evict_begin = evict_begin };

static int __init bo_forgets_init(void)
{
	struct reeve_device *device =
		reeve_device_register(NULL, "bo_forgets", &ops, 0);
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = PAGE_SIZE,
	};
	struct reeve_buffer_object *bo;
	long ret;

	if (IS_ERR(device))
		return PTR_ERR(device);
	bo = reeve_bo_create(device, NULL, &desc);
	if (IS_ERR(bo))
		return PTR_ERR(bo);
	ret = reeve_bo_lock(bo);
	if (!ret) {
		ret = reeve_bo_populate(bo, 0);
		reeve_bo_unlock(bo);
	}
	return ret < 0 ? ret : 0;
}

static void __exit bo_forgets_exit(void)
{
}

module_init(bo_forgets_init);
module_exit(bo_forgets_exit);
MODULE_DESCRIPTION("Driver that leaves its objects behind");
MODULE_LICENSE("GPL");
