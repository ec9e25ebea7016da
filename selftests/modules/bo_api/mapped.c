// SPDX-License-Identifier: GPL-2.0
/* An object that a user has mapped: the task that loads this module. */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "bo_api.h"

/* Where in the file the object is. */
#define FIRST 100

static struct reeve_buffer_object *mapped;

static int bo_api_mmap(struct file *file, struct vm_area_struct *vma)
{
	return reeve_bo_mmap(mapped, vma, FIRST);
}

static const struct file_operations bo_api_fops = {
	.owner = THIS_MODULE,
	.mmap = bo_api_mmap,
};

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bo_api",
	.fops = &bo_api_fops,
};

static unsigned long map(struct file *file, unsigned long pages,
			 unsigned long flags, unsigned long from)
{
	return vm_mmap(file, 0, pages << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		       flags, from << PAGE_SHIFT);
}

static int use(struct file *file)
{
	struct reeve_bo_state state;
	unsigned long at;
	u8 __user *user;
	u8 *address, byte;

	/* Private, past its end, before its start. */
	EXPECT(map(file, 1, MAP_PRIVATE, FIRST) == (unsigned long)-EINVAL);
	EXPECT(map(file, 3, MAP_SHARED, FIRST) == (unsigned long)-EINVAL);
	EXPECT(map(file, 1, MAP_SHARED, FIRST - 1) == (unsigned long)-EINVAL);

	at = map(file, 2, MAP_SHARED, FIRST);
	EXPECT(!IS_ERR_VALUE(at));
	user = (u8 __user *)at;
	/* The first access populates it. */
	EXPECT(put_user('u', user + PAGE_SIZE) == 0);
	EXPECT(reeve_bo_lock(mapped) == 0);
	EXPECT(reeve_bo_get_state(mapped, &state) == 0);
	EXPECT(state.resident == 2);
	address = reeve_bo_vmap(mapped);
	EXPECT(!IS_ERR(address));
	EXPECT(address[PAGE_SIZE] == 'u');
	EXPECT(reeve_bo_vunmap(mapped) == 0);
	EXPECT(reeve_bo_unmap(mapped) == 0);
	EXPECT(reeve_bo_swap_out(mapped) == 2);
	EXPECT(reeve_bo_unlock(mapped) == 0);
	EXPECT(get_user(byte, user + PAGE_SIZE) == 0);
	EXPECT(byte == 'u');

	/* The mapping is the last reference. */
	driver.released = 0;
	EXPECT(reeve_bo_put(mapped) == 0);
	EXPECT(driver.released == 0);
	EXPECT(reeve_device_unregister(device) == -EBUSY);
	EXPECT(get_user(byte, user + PAGE_SIZE) == 0);
	EXPECT(byte == 'u');
	EXPECT(vm_munmap(at, 2 << PAGE_SHIFT) == 0);
	EXPECT(driver.released == 1);
	return 0;
}

/* For the sweep: a file of an object that stays. */
static struct file *sweep_file;

int bo_api_map_begin(void)
{
	int ret = misc_register(&misc);

	if (ret)
		return ret;
	mapped = bo_api_object(NULL, 2, 0);
	if (IS_ERR(mapped)) {
		ret = PTR_ERR(mapped);
		goto deregister;
	}
	sweep_file = filp_open("/dev/bo_api", O_RDWR, 0);
	if (!IS_ERR(sweep_file))
		return 0;
	ret = PTR_ERR(sweep_file);
	reeve_bo_put(mapped);
deregister:
	misc_deregister(&misc);
	return ret;
}

long bo_api_map_once(void)
{
	unsigned long at = map(sweep_file, 2, MAP_SHARED, FIRST);

	return IS_ERR_VALUE(at) ? (long)at : vm_munmap(at, 2 << PAGE_SHIFT);
}

void bo_api_map_end(void)
{
	fput(sweep_file);
	EXPECT(reeve_bo_put(mapped) == 0);
	misc_deregister(&misc);
}

int bo_api_mapped(void)
{
	struct reeve_buffer_object *fresh;
	struct file *file;
	int ret = misc_register(&misc);

	if (ret)
		return ret;
	memset(&driver, 0, sizeof(driver));
	/* What is not cleared is not for users. */
	mapped = bo_api_object(NULL, 2, REEVE_BO_CREATE_UNCLEARED);
	EXPECT(!IS_ERR(mapped));
	file = filp_open("/dev/bo_api", O_RDWR, 0);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto out;
	}
	ret = -EINVAL;
	if (map(file, 2, MAP_SHARED, FIRST) != (unsigned long)-EINVAL)
		goto close;
	fresh = bo_api_object(NULL, 2, 0);
	reeve_bo_put(mapped);
	mapped = fresh;
	ret = IS_ERR(mapped) ? PTR_ERR(mapped) : use(file);
close:
	fput(file);
out:
	misc_deregister(&misc);
	return ret;
}
