// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that leaves its pages to Reeve: a sample to copy from.
 *
 * /dev/reeve_gpu has one buffer for each open file: writing to it fills it,
 * reading from it lets the "GPU" sum its bytes up, mmap() maps it. The GPU is a
 * kernel thread that reads a page table of DMA addresses after a delay, as an
 * engine would. It must never see a page that the buffer does not have any more:
 * that is what gpu_evict_begin() is for.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <reeve/bo.h>

static ulong size = 64 << 10;
module_param(size, ulong, 0644);
MODULE_PARM_DESC(size, "Bytes of a buffer, from its first write on");

static unsigned int delay = 1;
module_param(delay, uint, 0644);
MODULE_PARM_DESC(delay, "How long a job of the GPU takes, in ms");

static bool refuse;
module_param(refuse, bool, 0644);
MODULE_PARM_DESC(refuse, "Refuse every second eviction, for tests");

static bool purgeable;
module_param(purgeable, bool, 0644);
MODULE_PARM_DESC(purgeable, "Buffers may lose their content, for tests");

/* What the tests look at. */
static ulong evictions, refusals, aborts, gpu_faults;
module_param(evictions, ulong, 0444);
module_param(refusals, ulong, 0444);
module_param(aborts, ulong, 0444);
module_param(gpu_faults, ulong, 0444);

/* No DMA address of a page: an entry of the page table that is not there. */
#define GPU_NOTHING (~0ULL)

struct gpu_buffer {
	struct reeve_client *client;
	struct mutex lock; /* of what is not the buffer object's */
	struct reeve_buffer_object *bo;
	size_t bytes;
	u64 pages;
	u64 first; /* page of the device file at which it can be mapped */
	/* What the GPU looks at, while the fence is open. */
	u64 *table;
	bool is_bound;
	struct completion fence;
	u64 sum;
	struct list_head job;
};

static struct platform_device *gpu_dev;
static struct reeve_device *gpu;
static struct task_struct *engine;
static LIST_HEAD(jobs);
static DEFINE_SPINLOCK(jobs_lock);
static DECLARE_WAIT_QUEUE_HEAD(jobs_wait);
static atomic64_t next_page = ATOMIC64_INIT(0);

/* The hardware: sums the bytes up that its page table leads to. */
static void gpu_run(struct gpu_buffer *buffer)
{
	u64 i, sum = 0;
	size_t at;

	if (delay)
		msleep(delay);
	for (i = 0; i < buffer->pages; i++) {
		u64 address = READ_ONCE(buffer->table[i]);
		const u8 *page;

		if (address == GPU_NOTHING) {
			gpu_faults++;
			continue;
		}
		/* On the machines of the tests bus addresses are physical ones. */
		page = phys_to_virt(address);
		for (at = 0; at < PAGE_SIZE; at++)
			sum += page[at];
	}
	buffer->sum = sum;
}

static struct gpu_buffer *gpu_next_job(void)
{
	struct gpu_buffer *buffer;

	spin_lock(&jobs_lock);
	buffer = list_first_entry_or_null(&jobs, struct gpu_buffer, job);
	if (buffer)
		list_del_init(&buffer->job);
	spin_unlock(&jobs_lock);
	return buffer;
}

static int gpu_engine(void *unused)
{
	struct gpu_buffer *buffer;

	while (!kthread_should_stop()) {
		wait_event_idle(jobs_wait,
				(buffer = gpu_next_job()) ||
				kthread_should_stop());
		if (buffer) {
			gpu_run(buffer);
			complete_all(&buffer->fence);
		}
	}
	return 0;
}

/* The driver is asked for the pages: the buffer object is locked. */
static int gpu_evict_begin(struct reeve_buffer_object *bo, void *priv,
			   unsigned int flags)
{
	struct gpu_buffer *buffer = priv;
	static atomic_t asked;
	u64 i;

	if (refuse && !(flags & REEVE_EVICT_FINAL) && atomic_inc_return(&asked) % 2) {
		refusals++;
		return -EBUSY;
	}
	if (!completion_done(&buffer->fence)) {
		/* Reclaim waits for no GPU. */
		if (flags & REEVE_EVICT_NOWAIT) {
			refusals++;
			return -EBUSY;
		}
		wait_for_completion(&buffer->fence);
	}
	for (i = 0; i < buffer->pages; i++)
		WRITE_ONCE(buffer->table[i], GPU_NOTHING);
	buffer->is_bound = false;
	evictions++;
	return 0;
}

/* They stay after all; the page table is filled when it is needed again. */
static void gpu_evict_abort(struct reeve_buffer_object *bo, void *priv)
{
	aborts++;
}

/* The buffer object is gone, with the last of its mappings. */
static void gpu_release(void *priv)
{
	struct gpu_buffer *buffer = priv;

	kvfree(buffer->table);
	kfree(buffer);
}

static const struct reeve_device_ops gpu_ops = {
	.evict_begin = gpu_evict_begin,
	.evict_abort = gpu_evict_abort,
	.release = gpu_release,
};

/* Fills the page table; the buffer object is locked and populated. */
static int gpu_bind(struct gpu_buffer *buffer)
{
	struct reeve_bo_dma_run run;
	u64 i, at;
	int ret;

	if (buffer->is_bound)
		return 0;
	for (i = 0; i < buffer->pages; i += run.pages) {
		ret = reeve_bo_dma_run(buffer->bo, i, &run);
		if (ret)
			return ret;
		for (at = 0; at < run.pages; at++)
			WRITE_ONCE(buffer->table[i + at],
				   run.address + (at << PAGE_SHIFT));
	}
	buffer->is_bound = true;
	return 0;
}

/* Has the GPU sum the buffer up, and waits for that. */
static int gpu_submit(struct gpu_buffer *buffer)
{
	long ret = reeve_bo_lock(buffer->bo);

	if (ret)
		return ret;
	ret = reeve_bo_populate(buffer->bo, 0);
	if (ret >= 0)
		ret = gpu_bind(buffer);
	if (!ret)
		ret = reeve_bo_sync_for_device(buffer->bo, 0, buffer->pages);
	if (!ret) {
		reinit_completion(&buffer->fence);
		spin_lock(&jobs_lock);
		list_add_tail(&buffer->job, &jobs);
		spin_unlock(&jobs_lock);
		wake_up(&jobs_wait);
	}
	/* From here on the fence keeps the pages. */
	reeve_bo_unlock(buffer->bo);
	if (!ret)
		wait_for_completion(&buffer->fence);
	return ret;
}

static int gpu_create(struct gpu_buffer *buffer, size_t bytes)
{
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = bytes,
		.type = REEVE_BO_TYPE_DEVICE,
		.flags = REEVE_BO_CREATE_DMA_ADDRESSES |
			 (purgeable ? REEVE_BO_CREATE_PURGEABLE : 0),
		.priv = buffer,
	};
	struct reeve_buffer_object *bo;
	u64 i;

	buffer->bytes = bytes;
	buffer->pages = DIV_ROUND_UP(bytes, PAGE_SIZE);
	buffer->table = kvmalloc_array(buffer->pages, sizeof(u64), GFP_KERNEL);
	if (!buffer->table)
		return -ENOMEM;
	for (i = 0; i < buffer->pages; i++)
		buffer->table[i] = GPU_NOTHING;
	bo = reeve_bo_create(gpu, buffer->client, &desc);
	if (IS_ERR(bo)) {
		kvfree(buffer->table);
		buffer->table = NULL;
		return PTR_ERR(bo);
	}
	buffer->first = atomic64_fetch_add(buffer->pages, &next_page);
	buffer->bo = bo;
	return 0;
}

static ssize_t gpu_copy(struct gpu_buffer *buffer, const char __user *from,
			size_t length, loff_t *at)
{
	void *address, *copy;
	long ret;

	if (*at >= buffer->bytes)
		return -ENOSPC;
	length = min(length, (size_t)(buffer->bytes - *at));
	/* User memory is not touched while a buffer object is locked. */
	copy = vmemdup_user(from, length);
	if (IS_ERR(copy))
		return PTR_ERR(copy);
	ret = reeve_bo_lock(buffer->bo);
	if (ret)
		goto free;
	ret = reeve_bo_populate(buffer->bo, 0);
	if (ret < 0)
		goto unlock;
	address = reeve_bo_vmap(buffer->bo);
	if (IS_ERR(address)) {
		ret = PTR_ERR(address);
		goto unlock;
	}
	memcpy(address + *at, copy, length);
	reeve_bo_vunmap(buffer->bo);
	*at += length;
	ret = length;
unlock:
	reeve_bo_unlock(buffer->bo);
free:
	kvfree(copy);
	return ret;
}

/* The first write makes the buffer. */
static ssize_t gpu_write(struct file *file, const char __user *from,
			 size_t length, loff_t *at)
{
	struct gpu_buffer *buffer = file->private_data;
	ssize_t ret = 0;

	if (mutex_lock_interruptible(&buffer->lock))
		return -ERESTARTSYS;
	if (!buffer->bo)
		ret = gpu_create(buffer, size);
	if (!ret)
		ret = gpu_copy(buffer, from, length, at);
	mutex_unlock(&buffer->lock);
	return ret;
}

static ssize_t gpu_read(struct file *file, char __user *to, size_t length,
			loff_t *at)
{
	struct gpu_buffer *buffer = file->private_data;
	char text[24];
	ssize_t ret;

	if (mutex_lock_interruptible(&buffer->lock))
		return -ERESTARTSYS;
	ret = buffer->bo ? gpu_submit(buffer) : -ENODATA;
	if (!ret)
		ret = scnprintf(text, sizeof(text), "%llu\n", buffer->sum);
	mutex_unlock(&buffer->lock);
	if (ret < 0)
		return ret;
	if (length < ret)
		return -EINVAL;
	return copy_to_user(to, text, ret) ? -EFAULT : ret;
}

static loff_t gpu_seek(struct file *file, loff_t offset, int whence)
{
	struct gpu_buffer *buffer = file->private_data;

	return fixed_size_llseek(file, offset, whence, buffer->bytes);
}

static int gpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct gpu_buffer *buffer = file->private_data;

	if (!buffer->bo)
		return -ENODATA;
	/* Each buffer has offsets of its own; users say 0, as for one file. */
	vma->vm_pgoff += buffer->first;
	return reeve_bo_mmap(buffer->bo, vma, buffer->first);
}

static void gpu_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct gpu_buffer *buffer = file->private_data;

	seq_puts(m, "drm-driver:\treeve_gpu\n");
	reeve_client_show_fdinfo(buffer->client, m);
}

static int gpu_open(struct inode *inode, struct file *file)
{
	struct gpu_buffer *buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);

	if (!buffer)
		return -ENOMEM;
	buffer->client = reeve_client_create();
	if (IS_ERR(buffer->client)) {
		int ret = PTR_ERR(buffer->client);

		kfree(buffer);
		return ret;
	}
	mutex_init(&buffer->lock);
	init_completion(&buffer->fence);
	complete_all(&buffer->fence);
	file->private_data = buffer;
	return 0;
}

static int gpu_close(struct inode *inode, struct file *file)
{
	struct gpu_buffer *buffer = file->private_data;

	reeve_client_put(buffer->client);
	if (buffer->bo)
		reeve_bo_put(buffer->bo);
	else
		kfree(buffer);
	return 0;
}

static const struct file_operations gpu_fops = {
	.owner = THIS_MODULE,
	.open = gpu_open,
	.release = gpu_close,
	.read = gpu_read,
	.write = gpu_write,
	.llseek = gpu_seek,
	.mmap = gpu_mmap,
	.show_fdinfo = gpu_show_fdinfo,
};

static struct miscdevice gpu_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "reeve_gpu",
	.fops = &gpu_fops,
};

static int __init gpu_init(void)
{
	int ret;

	gpu_dev = platform_device_register_simple("reeve_gpu", -1, NULL, 0);
	if (IS_ERR(gpu_dev))
		return PTR_ERR(gpu_dev);
	ret = dma_coerce_mask_and_coherent(&gpu_dev->dev, DMA_BIT_MASK(64));
	if (ret)
		goto remove_dev;
	gpu = reeve_device_register(&gpu_dev->dev, "reeve_gpu", &gpu_ops, 0);
	if (IS_ERR(gpu)) {
		ret = PTR_ERR(gpu);
		goto remove_dev;
	}
	engine = kthread_run(gpu_engine, NULL, "reeve_gpu");
	if (IS_ERR(engine)) {
		ret = PTR_ERR(engine);
		goto unregister;
	}
	ret = misc_register(&gpu_misc);
	if (ret)
		goto stop;
	return 0;
stop:
	kthread_stop(engine);
unregister:
	reeve_device_unregister(gpu);
remove_dev:
	platform_device_unregister(gpu_dev);
	return ret;
}

static void __exit gpu_exit(void)
{
	misc_deregister(&gpu_misc);
	kthread_stop(engine);
	/* No file is open, nothing is mapped: so it has no objects. */
	reeve_device_unregister(gpu);
	platform_device_unregister(gpu_dev);
}

module_init(gpu_init);
module_exit(gpu_exit);
MODULE_DESCRIPTION("Sample driver with its pages accounted by Reeve");
MODULE_LICENSE("GPL");
