// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/reeve_through: Reeve's page accounting as a driver uses it, through
 * reeve/bo.h, driven by the calls of reference.h. For the test that compares
 * with C TTM. Closing the file ends the objects.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <reeve/bo.h>

#include "reference.h"

struct through_object {
	struct reeve_buffer_object *bo;
	u64 size;
};

static DEFINE_MUTEX(through_lock);
static struct reeve_device *through_devices[REFERENCE_DEVICES];
static struct reeve_client *through_client;
static struct through_object through_objects[REFERENCE_OBJECTS];

static int through_evict_begin(struct reeve_buffer_object *bo, void *priv,
			       unsigned int flags)
{
	return 0;
}

static const struct reeve_device_ops through_ops = {
	.evict_begin = through_evict_begin,
};

static long through_end(void)
{
	unsigned int i;
	long ret = 0;

	for (i = 0; i < REFERENCE_OBJECTS; i++) {
		if (through_objects[i].bo)
			ret = ret ?: reeve_bo_put(through_objects[i].bo);
		through_objects[i].bo = NULL;
	}
	if (through_client)
		ret = ret ?: reeve_client_put(through_client);
	through_client = NULL;
	for (i = 0; i < REFERENCE_DEVICES; i++) {
		if (through_devices[i])
			ret = ret ?: reeve_device_unregister(through_devices[i]);
		through_devices[i] = NULL;
	}
	return ret;
}

static long through_begin(void)
{
	struct reeve_client *client = reeve_client_create();
	unsigned int i;

	if (IS_ERR(client))
		return PTR_ERR(client);
	through_client = client;
	for (i = 0; i < REFERENCE_DEVICES; i++) {
		struct reeve_device *device =
			reeve_device_register(NULL, "reeve_through",
					      &through_ops, 0);

		if (IS_ERR(device)) {
			through_end();
			return PTR_ERR(device);
		}
		through_devices[i] = device;
	}
	return 0;
}

/* Of enum ttm_caching. */
static const u32 cachings[] = {
	REEVE_CACHING_UNCACHED,
	REEVE_CACHING_WRITE_COMBINED,
	REEVE_CACHING_CACHED,
};

static const struct {
	u32 given, flag;
} through_flags[] = {
	{ REFERENCE_ZERO_ALLOC, REEVE_BO_CREATE_ZERO_ALLOC },
	{ REFERENCE_MAPPABLE, REEVE_BO_CREATE_EXTERNAL_MAPPABLE },
	{ REFERENCE_DMA32, REEVE_BO_CREATE_DMA32 },
	{ REFERENCE_SHMEM, REEVE_BO_CREATE_SHMEM },
	{ REFERENCE_DMA_ADDRESSES, REEVE_BO_CREATE_DMA_ADDRESSES },
};

static long through_create(const struct reference_call *call)
{
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = call->size,
		.extra_pages = call->extra_pages,
		/* The types have the numbers of enum ttm_bo_type. */
		.type = call->type,
	};
	struct reeve_buffer_object *bo;
	unsigned int i;

	if (through_objects[call->id].bo ||
	    call->device >= REFERENCE_DEVICES ||
	    call->size > REFERENCE_MAX_SIZE ||
	    call->caching >= ARRAY_SIZE(cachings))
		return -EINVAL;
	desc.caching = cachings[call->caching];
	for (i = 0; i < ARRAY_SIZE(through_flags); i++)
		if (call->create_flags & through_flags[i].given)
			desc.flags |= through_flags[i].flag;
	bo = reeve_bo_create(through_devices[call->device], through_client,
			     &desc);
	if (IS_ERR(bo))
		return PTR_ERR(bo);
	through_objects[call->id].bo = bo;
	through_objects[call->id].size = call->size;
	return 0;
}

/* The object is locked. */
static long through_act(struct reeve_buffer_object *bo, u32 op)
{
	switch (op) {
	case REFERENCE_POPULATE:
		return reeve_bo_populate(bo, 0);
	case REFERENCE_RESTORE:
		return reeve_bo_restore(bo);
	case REFERENCE_UNPOPULATE:
		return reeve_bo_unpopulate(bo);
	case REFERENCE_PIN:
		return reeve_bo_pin(bo);
	case REFERENCE_UNPIN:
		return reeve_bo_unpin(bo);
	case REFERENCE_SWAPOUT:
		return reeve_bo_swap_out(bo);
	case REFERENCE_BACKUP:
		return reeve_bo_back_up(bo, false);
	case REFERENCE_WRITEBACK:
		return reeve_bo_back_up(bo, true);
	case REFERENCE_PURGE:
		return reeve_bo_purge(bo);
	default:
		return -ENOTTY;
	}
}

static long through_do(struct reeve_buffer_object *bo, u32 op)
{
	long ret = reeve_bo_lock(bo);

	if (ret)
		return ret;
	ret = through_act(bo, op);
	return reeve_bo_unlock(bo) ?: ret;
}

static long through_copy(const struct through_object *object, u64 offset,
			 void *buffer, u64 length, bool write)
{
	void *address;
	long ret = reeve_bo_lock(object->bo);

	if (ret)
		return ret;
	ret = reeve_bo_populate(object->bo, 0);
	if (ret < 0)
		goto unlock;
	address = reeve_bo_vmap(object->bo);
	if (IS_ERR(address)) {
		ret = PTR_ERR(address);
		goto unlock;
	}
	if (write)
		memcpy(address + offset, buffer, length);
	else
		memcpy(buffer, address + offset, length);
	ret = reeve_bo_vunmap(object->bo);
unlock:
	return reeve_bo_unlock(object->bo) ?: ret;
}

static long through_rw(const struct through_object *object,
		       const struct reference_call *call)
{
	void __user *user = u64_to_user_ptr(call->addr);
	bool write = call->op == REFERENCE_WRITE;
	void *buffer;
	long ret;

	if (call->length > REFERENCE_MAX_SIZE || call->offset > object->size ||
	    call->length > object->size - call->offset)
		return -EINVAL;
	buffer = kvzalloc(call->length, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	if (write && copy_from_user(buffer, user, call->length))
		ret = -EFAULT;
	else
		ret = through_copy(object, call->offset, buffer, call->length,
				   write);
	if (!write && ret >= 0 && copy_to_user(user, buffer, call->length))
		ret = -EFAULT;
	kvfree(buffer);
	return ret;
}

static long through_look(struct reeve_buffer_object *bo,
			 struct reference_call *call)
{
	struct reeve_bo_state state;
	long ret = reeve_bo_lock(bo);

	if (ret)
		return ret;
	ret = reeve_bo_get_state(bo, &state);
	ret = reeve_bo_unlock(bo) ?: ret;
	if (ret)
		return ret;
	/* REEVE_BO_*, rather than TTM's. */
	call->page_flags = state.flags;
	call->num_pages = state.pages;
	call->pages_held = state.resident;
	call->pins = state.pins;
	return 0;
}

static long through_run(struct reference_call *call)
{
	struct through_object *object = &through_objects[call->id];

	switch (call->op) {
	case REFERENCE_RESET:
		return through_end() ?: through_begin();
	case REFERENCE_CREATE:
		return through_create(call);
	}
	if (!object->bo)
		return -ENOENT;
	switch (call->op) {
	case REFERENCE_LOOK:
		return through_look(object->bo, call);
	case REFERENCE_DESTROY: {
		struct reeve_buffer_object *bo = object->bo;

		object->bo = NULL;
		return reeve_bo_put(bo);
	}
	case REFERENCE_READ:
	case REFERENCE_WRITE:
		return through_rw(object, call);
	default:
		return through_do(object->bo, call->op);
	}
}

static long through_ioctl(struct file *file, unsigned int request,
			  unsigned long arg)
{
	struct reference_call __user *user = (struct reference_call __user *)arg;
	struct reference_call call;

	if (request != REFERENCE_CALL)
		return -ENOTTY;
	if (copy_from_user(&call, user, sizeof(call)))
		return -EFAULT;
	if (call.id >= REFERENCE_OBJECTS)
		return -EINVAL;
	mutex_lock(&through_lock);
	call.result = -ENODEV;
	if (through_client || call.op == REFERENCE_RESET)
		call.result = through_run(&call);
	mutex_unlock(&through_lock);
	return copy_to_user(user, &call, sizeof(call)) ? -EFAULT : 0;
}

static int through_release(struct inode *inode, struct file *file)
{
	mutex_lock(&through_lock);
	WARN_ON(through_end());
	mutex_unlock(&through_lock);
	return 0;
}

static const struct file_operations through_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = through_ioctl,
	.release = through_release,
};

static struct miscdevice through_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "reeve_through",
	.fops = &through_fops,
	.mode = 0600,
};

module_misc_device(through_misc);
MODULE_DESCRIPTION("Reeve through its API for drivers, driven from user space");
MODULE_LICENSE("GPL");
