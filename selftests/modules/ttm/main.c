// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/reeve_ttm: see reference.h. Two TTM devices, one with a DMA32 pool, and one
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

#include "reference.h"

static unsigned long pages_allocated;
module_param(pages_allocated, ulong, 0400);
MODULE_PARM_DESC(pages_allocated, "Address of ttm_pages_allocated");

static unsigned long dma32_pages_allocated;
module_param(dma32_pages_allocated, ulong, 0400);
MODULE_PARM_DESC(dma32_pages_allocated, "Address of ttm_dma32_pages_allocated");

static DEFINE_MUTEX(reference_lock);
static struct faux_device *reference_parent;
static struct drm_device *reference_drm;
static struct ttm_device *reference_devices[REFERENCE_DEVICES];
static struct ttm_device *reference_anchor;
static struct reference_object *reference_objects[REFERENCE_OBJECTS];

static long reference_counter(unsigned long address)
{
	return atomic_long_read((atomic_long_t *)address);
}

static int reference_make_device(struct ttm_device **place, unsigned int flags)
{
	struct ttm_device *device = kzalloc_obj(*device);
	int ret;

	if (!device)
		return -ENOMEM;
	ret = ttm_device_init(device, &reference_funcs, reference_drm->dev,
			      reference_drm->anon_inode->i_mapping,
			      reference_drm->vma_offset_manager, flags);
	if (ret)
		kfree(device);
	else
		*place = device;
	return ret;
}

static void reference_end_device(struct ttm_device **place)
{
	if (*place)
		ttm_device_fini(*place);
	kfree(*place);
	*place = NULL;
}

static void reference_end_devices(void)
{
	unsigned int i;

	for (i = 0; i < REFERENCE_OBJECTS; i++) {
		if (reference_objects[i])
			reference_destroy(reference_objects[i]);
		reference_objects[i] = NULL;
	}
	for (i = 0; i < REFERENCE_DEVICES; i++)
		reference_end_device(&reference_devices[i]);
}

static int reference_make_devices(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < REFERENCE_DEVICES && !ret; i++)
		ret = reference_make_device(&reference_devices[i],
					    i ? TTM_ALLOCATION_POOL_USE_DMA32 : 0);
	if (ret)
		reference_end_devices();
	return ret;
}

static long reference_rw(struct reference_object *obj, const struct reference_call *call)
{
	void __user *user = u64_to_user_ptr(call->addr);
	bool write = call->op == REFERENCE_WRITE;
	void *buffer;
	long ret;

	if (call->length > REFERENCE_MAX_SIZE || call->offset > REFERENCE_MAX_SIZE)
		return -EINVAL;
	buffer = kvzalloc(call->length, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	if (write && copy_from_user(buffer, user, call->length))
		ret = -EFAULT;
	else
		ret = reference_copy(obj, call->offset, buffer, call->length, write);
	if (!write && ret >= 0 && copy_to_user(user, buffer, call->length))
		ret = -EFAULT;
	kvfree(buffer);
	return ret;
}

static long reference_new(const struct reference_call *call)
{
	struct reference_object *obj;

	if (reference_objects[call->id] || call->device >= REFERENCE_DEVICES ||
	    call->size > REFERENCE_MAX_SIZE || call->caching > ttm_cached)
		return -EINVAL;
	obj = reference_create(reference_drm, reference_devices[call->device], call);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	reference_objects[call->id] = obj;
	return 0;
}

static long reference_run(struct reference_call *call)
{
	struct reference_object *obj = reference_objects[call->id];

	switch (call->op) {
	case REFERENCE_RESET:
		reference_end_devices();
		return reference_make_devices();
	case REFERENCE_LOOK:
		return 0;
	case REFERENCE_CREATE:
		return reference_new(call);
	}
	if (!obj)
		return -ENOENT;
	switch (call->op) {
	case REFERENCE_DESTROY:
		reference_objects[call->id] = NULL;
		reference_destroy(obj);
		return 0;
	case REFERENCE_READ:
	case REFERENCE_WRITE:
		return reference_rw(obj, call);
	default:
		return reference_do(obj, call->op);
	}
}

static long reference_ioctl(struct file *file, unsigned int request, unsigned long arg)
{
	struct reference_call __user *user = (struct reference_call __user *)arg;
	struct reference_call call;

	if (request != REFERENCE_CALL)
		return -ENOTTY;
	if (copy_from_user(&call, user, sizeof(call)))
		return -EFAULT;
	if (call.id >= REFERENCE_OBJECTS)
		return -EINVAL;
	mutex_lock(&reference_lock);
	call.result = -ENODEV;
	if (reference_devices[0] || call.op == REFERENCE_RESET)
		call.result = reference_run(&call);
	if (reference_objects[call.id])
		reference_look(reference_objects[call.id], &call);
	call.pages_allocated = reference_counter(pages_allocated);
	call.dma32_pages_allocated = reference_counter(dma32_pages_allocated);
	call.buffer_objects = atomic_read(&ttm_glob.bo_count);
	mutex_unlock(&reference_lock);
	return copy_to_user(user, &call, sizeof(call)) ? -EFAULT : 0;
}

static const struct file_operations reference_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = reference_ioctl,
};

static struct miscdevice reference_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "reeve_ttm",
	.fops = &reference_fops,
	.mode = 0600,
};

static const struct drm_driver reference_driver = {
	.driver_features = DRIVER_GEM,
	.name = "reeve_ttm",
	.desc = "C TTM as a reference",
	.major = 1,
};

static int __init reference_init(void)
{
	int ret;

	if (!pages_allocated || !dma32_pages_allocated)
		return -EINVAL;
	reference_parent = faux_device_create("reeve_ttm", NULL, NULL);
	if (!reference_parent)
		return -ENODEV;
	reference_drm = drm_dev_alloc(&reference_driver, &reference_parent->dev);
	if (IS_ERR(reference_drm)) {
		ret = PTR_ERR(reference_drm);
		goto no_drm;
	}
	ret = reference_make_device(&reference_anchor, 0);
	if (ret)
		goto no_anchor;
	ret = reference_make_devices();
	if (ret)
		goto no_devices;
	ret = misc_register(&reference_misc);
	if (ret)
		goto no_misc;
	return 0;

no_misc:
	reference_end_devices();
no_devices:
	reference_end_device(&reference_anchor);
no_anchor:
	drm_dev_put(reference_drm);
no_drm:
	faux_device_destroy(reference_parent);
	return ret;
}

static void __exit reference_exit(void)
{
	misc_deregister(&reference_misc);
	reference_end_devices();
	reference_end_device(&reference_anchor);
	drm_dev_put(reference_drm);
	faux_device_destroy(reference_parent);
}

module_init(reference_init);
module_exit(reference_exit);
MODULE_DESCRIPTION("C TTM driven from user space, to compare with");
MODULE_LICENSE("GPL");
