// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/reeve_ttm: see peer.h. Two TTM devices, one with a DMA32 pool, and one
 * without objects that is there from beginning to end: TTM leaks the lists of
 * its pools with the last device, and kmemleak sees it when the next is made.
 * So the script beside this file leaves TTM in, too.
 *
 * The parameters say where TTM has its counters, which nothing shows; the
 * script beside this file gets them from /proc/kallsyms.
 */
#include <linux/device/faux.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/uaccess.h>

#include <drm/drm_drv.h>
#include <drm/ttm/ttm_allocation.h>

#include "peer.h"

static unsigned long pages_allocated;
module_param(pages_allocated, ulong, 0400);
MODULE_PARM_DESC(pages_allocated, "Address of ttm_pages_allocated");

static unsigned long dma32_pages_allocated;
module_param(dma32_pages_allocated, ulong, 0400);
MODULE_PARM_DESC(dma32_pages_allocated, "Address of ttm_dma32_pages_allocated");

static DEFINE_MUTEX(peer_lock);
static struct faux_device *peer_parent;
static struct drm_device *peer_drm;
static struct ttm_device *peer_devices[PEER_DEVICES];
static struct ttm_device *peer_anchor;
static struct peer_object *peer_objects[PEER_OBJECTS];

static long peer_counter(unsigned long address)
{
	return atomic_long_read((atomic_long_t *)address);
}

static int peer_make_device(struct ttm_device **place, unsigned int flags)
{
	struct ttm_device *device = kzalloc_obj(*device);
	int ret;

	if (!device)
		return -ENOMEM;
	ret = ttm_device_init(device, &peer_funcs, peer_drm->dev,
			      peer_drm->anon_inode->i_mapping,
			      peer_drm->vma_offset_manager, flags);
	if (ret)
		kfree(device);
	else
		*place = device;
	return ret;
}

static void peer_end_device(struct ttm_device **place)
{
	if (*place)
		ttm_device_fini(*place);
	kfree(*place);
	*place = NULL;
}

static void peer_end_devices(void)
{
	unsigned int i;

	for (i = 0; i < PEER_OBJECTS; i++) {
		if (peer_objects[i])
			peer_destroy(peer_objects[i]);
		peer_objects[i] = NULL;
	}
	for (i = 0; i < PEER_DEVICES; i++)
		peer_end_device(&peer_devices[i]);
}

static int peer_make_devices(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < PEER_DEVICES && !ret; i++)
		ret = peer_make_device(&peer_devices[i],
				       i ? TTM_ALLOCATION_POOL_USE_DMA32 : 0);
	if (ret)
		peer_end_devices();
	return ret;
}

static long peer_rw(struct peer_object *obj, const struct peer_call *call)
{
	void __user *user = u64_to_user_ptr(call->addr);
	bool write = call->op == PEER_WRITE;
	void *buffer;
	long ret;

	if (call->length > PEER_MAX_SIZE || call->offset > PEER_MAX_SIZE)
		return -EINVAL;
	buffer = kvzalloc(call->length, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	if (write && copy_from_user(buffer, user, call->length))
		ret = -EFAULT;
	else
		ret = peer_copy(obj, call->offset, buffer, call->length, write);
	if (!write && ret >= 0 && copy_to_user(user, buffer, call->length))
		ret = -EFAULT;
	kvfree(buffer);
	return ret;
}

static long peer_new(const struct peer_call *call)
{
	struct peer_object *obj;

	if (peer_objects[call->id] || call->device >= PEER_DEVICES ||
	    call->size > PEER_MAX_SIZE || call->caching > ttm_cached)
		return -EINVAL;
	obj = peer_create(peer_drm, peer_devices[call->device], call);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	peer_objects[call->id] = obj;
	return 0;
}

static long peer_run(struct peer_call *call)
{
	struct peer_object *obj = peer_objects[call->id];

	switch (call->op) {
	case PEER_RESET:
		peer_end_devices();
		return peer_make_devices();
	case PEER_LOOK:
		return 0;
	case PEER_CREATE:
		return peer_new(call);
	}
	if (!obj)
		return -ENOENT;
	switch (call->op) {
	case PEER_DESTROY:
		peer_objects[call->id] = NULL;
		peer_destroy(obj);
		return 0;
	case PEER_READ:
	case PEER_WRITE:
		return peer_rw(obj, call);
	default:
		return peer_do(obj, call->op);
	}
}

static long peer_ioctl(struct file *file, unsigned int request, unsigned long arg)
{
	struct peer_call __user *user = (struct peer_call __user *)arg;
	struct peer_call call;

	if (request != PEER_CALL)
		return -ENOTTY;
	if (copy_from_user(&call, user, sizeof(call)))
		return -EFAULT;
	if (call.id >= PEER_OBJECTS)
		return -EINVAL;
	mutex_lock(&peer_lock);
	call.result = peer_devices[0] || call.op == PEER_RESET ? peer_run(&call) : -ENODEV;
	if (peer_objects[call.id])
		peer_look(peer_objects[call.id], &call);
	call.pages_allocated = peer_counter(pages_allocated);
	call.dma32_pages_allocated = peer_counter(dma32_pages_allocated);
	call.buffer_objects = atomic_read(&ttm_glob.bo_count);
	mutex_unlock(&peer_lock);
	return copy_to_user(user, &call, sizeof(call)) ? -EFAULT : 0;
}

static const struct file_operations peer_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = peer_ioctl,
};

static struct miscdevice peer_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "reeve_ttm",
	.fops = &peer_fops,
	.mode = 0600,
};

static const struct drm_driver peer_driver = {
	.driver_features = DRIVER_GEM,
	.name = "reeve_ttm",
	.desc = "C TTM as a peer",
	.major = 1,
};

static int __init peer_init(void)
{
	int ret;

	if (!pages_allocated || !dma32_pages_allocated)
		return -EINVAL;
	peer_parent = faux_device_create("reeve_ttm", NULL, NULL);
	if (!peer_parent)
		return -ENODEV;
	peer_drm = drm_dev_alloc(&peer_driver, &peer_parent->dev);
	if (IS_ERR(peer_drm)) {
		ret = PTR_ERR(peer_drm);
		goto no_drm;
	}
	ret = peer_make_device(&peer_anchor, 0);
	if (ret)
		goto no_anchor;
	ret = peer_make_devices();
	if (ret)
		goto no_devices;
	ret = misc_register(&peer_misc);
	if (ret)
		goto no_misc;
	return 0;

no_misc:
	peer_end_devices();
no_devices:
	peer_end_device(&peer_anchor);
no_anchor:
	drm_dev_put(peer_drm);
no_drm:
	faux_device_destroy(peer_parent);
	return ret;
}

static void __exit peer_exit(void)
{
	misc_deregister(&peer_misc);
	peer_end_devices();
	peer_end_device(&peer_anchor);
	drm_dev_put(peer_drm);
	faux_device_destroy(peer_parent);
}

module_init(peer_init);
module_exit(peer_exit);
MODULE_DESCRIPTION("C TTM driven from user space, to compare with");
MODULE_LICENSE("GPL");
