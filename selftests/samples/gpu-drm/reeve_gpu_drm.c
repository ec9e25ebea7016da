// SPDX-License-Identifier: GPL-2.0
/*
 * A DRM driver, on GEM, that leaves its pages to Reeve: a sample to copy from.
 *
 * It has a render node only. The lock of its objects is GEM's dma_resv, which
 * also has their fences; a job sums the bytes of an object up, by a page table
 * of DMA addresses. Where a driver has ttm_bo_* or drm_gem_shmem_*, this one has
 * reeve_bo_*.
 */
#include <linux/delay.h>
#include <linux/device/faux.h>
#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>

#include <reeve/bo.h>

#include "reeve_gpu_drm.h"

static unsigned int delay = 1;
module_param(delay, uint, 0644);
MODULE_PARM_DESC(delay, "How long a job of the GPU takes, in ms");

static bool refuse;
module_param(refuse, bool, 0644);
MODULE_PARM_DESC(refuse, "Refuse every second eviction, for tests");

/* What the tests look at. */
static ulong evictions, refusals, aborts, gpu_faults, objects;
module_param(evictions, ulong, 0444);
module_param(refusals, ulong, 0444);
module_param(aborts, ulong, 0444);
module_param(gpu_faults, ulong, 0444);
module_param(objects, ulong, 0444);

/* No DMA address of a page: an entry of the page table that is not there. */
#define GPU_NOTHING (~0ULL)

/* An open file. */
struct gpu_client {
	struct kref refs;
	struct reeve_client *client;
	atomic64_t busy; /* how long the GPU has worked for it, in ns */
};

struct gpu_object {
	struct drm_gem_object gem;
	struct reeve_buffer_object *bo;
	u64 pages;
	/* What the GPU looks at, as long as there is a fence. */
	u64 *table;
	bool is_bound;
};

struct gpu_job {
	struct dma_fence fence; /* first: it is freed as this */
	struct gpu_object *object;
	struct gpu_client *client;
	u64 sum;
	struct list_head entry;
};

static struct gpu_device {
	struct drm_device drm;
	struct faux_device *faux;
	struct reeve_device *pages;
	struct task_struct *engine;
	u64 timeline;
	atomic64_t seqno;
	struct list_head jobs;
	spinlock_t jobs_lock; /* of the list */
	wait_queue_head_t jobs_wait;
} *gpu;

static struct gpu_object *to_gpu(struct drm_gem_object *gem)
{
	return container_of(gem, struct gpu_object, gem);
}

static void gpu_client_free(struct kref *refs)
{
	kfree(container_of(refs, struct gpu_client, refs));
}

static const char *gpu_fence_driver(struct dma_fence *fence)
{
	return "reeve_gpu_drm";
}

static const char *gpu_fence_timeline(struct dma_fence *fence)
{
	return "sum";
}

static const struct dma_fence_ops gpu_fence_ops = {
	.get_driver_name = gpu_fence_driver,
	.get_timeline_name = gpu_fence_timeline,
};

/* The hardware: sums the bytes up that the page table leads to. */
static void gpu_run(struct gpu_job *job)
{
	struct gpu_object *object = job->object;
	ktime_t start = ktime_get();
	u64 i, sum = 0;
	size_t at;

	if (delay)
		msleep(delay);
	for (i = 0; i < object->pages; i++) {
		u64 address = READ_ONCE(object->table[i]);
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
	job->sum = sum;
	atomic64_add(ktime_to_ns(ktime_sub(ktime_get(), start)),
		     &job->client->busy);
}

static struct gpu_job *gpu_next_job(void)
{
	struct gpu_job *job;

	spin_lock(&gpu->jobs_lock);
	job = list_first_entry_or_null(&gpu->jobs, struct gpu_job, entry);
	if (job)
		list_del_init(&job->entry);
	spin_unlock(&gpu->jobs_lock);
	return job;
}

static int gpu_engine(void *unused)
{
	struct gpu_job *job;

	/* Files keep the module, but not the jobs that they do not wait for. */
	while (!kthread_should_stop() || !list_empty(&gpu->jobs)) {
		bool cookie;

		wait_event_idle(gpu->jobs_wait, (job = gpu_next_job()) ||
				kthread_should_stop());
		if (!job)
			continue;
		/* Until then nothing is allocated: reclaim may wait for it. */
		cookie = dma_fence_begin_signalling();
		gpu_run(job);
		dma_fence_signal(&job->fence);
		dma_fence_end_signalling(cookie);
		drm_gem_object_put(&job->object->gem);
		kref_put(&job->client->refs, gpu_client_free);
		dma_fence_put(&job->fence);
	}
	return 0;
}

/* The driver is asked for the pages. Its dma_resv is locked, but for the last. */
static int gpu_evict_begin(struct reeve_buffer_object *bo, void *priv,
			   unsigned int flags)
{
	struct gpu_object *object = priv;
	struct dma_resv *resv = object->gem.resv;
	bool is_last = flags & REEVE_EVICT_FINAL;
	static atomic_t asked;
	u64 i;

	if (!is_last)
		dma_resv_assert_held(resv);
	if (refuse && !is_last && atomic_inc_return(&asked) % 2) {
		refusals++;
		return -EBUSY;
	}
	if (!dma_resv_test_signaled(resv, DMA_RESV_USAGE_BOOKKEEP)) {
		/* Reclaim waits for no GPU; others as long as they may live. */
		if (flags & REEVE_EVICT_NOWAIT ||
		    dma_resv_wait_timeout(resv, DMA_RESV_USAGE_BOOKKEEP, !is_last,
					  MAX_SCHEDULE_TIMEOUT) < 0) {
			refusals++;
			return -EBUSY;
		}
	}
	for (i = 0; i < object->pages; i++)
		WRITE_ONCE(object->table[i], GPU_NOTHING);
	object->is_bound = false;
	evictions++;
	return 0;
}

/* They stay after all; the page table is filled when it is needed again. */
static void gpu_evict_abort(struct reeve_buffer_object *bo, void *priv)
{
	aborts++;
}

/* The last mapping has gone, too: so may the lock, and the place in the node. */
static void gpu_release(void *priv)
{
	struct gpu_object *object = priv;

	drm_gem_object_release(&object->gem);
	kvfree(object->table);
	kfree(object);
	objects--;
}

static int gpu_lock(void *priv)
{
	struct gpu_object *object = priv;

	return dma_resv_lock_interruptible(object->gem.resv, NULL);
}

static bool gpu_trylock(void *priv)
{
	struct gpu_object *object = priv;

	return dma_resv_trylock(object->gem.resv);
}

static void gpu_unlock(void *priv)
{
	struct gpu_object *object = priv;

	dma_resv_unlock(object->gem.resv);
}

static bool gpu_is_held(void *priv)
{
	struct gpu_object *object = priv;

	return dma_resv_is_locked(object->gem.resv);
}

static const struct reeve_device_ops gpu_ops = {
	.evict_begin = gpu_evict_begin,
	.evict_abort = gpu_evict_abort,
	.release = gpu_release,
	.lock = gpu_lock,
	.trylock = gpu_trylock,
	.unlock = gpu_unlock,
	.is_held = gpu_is_held,
};

/* The last handle is closed, and no job has the object. Mappings may. */
static void gpu_gem_free(struct drm_gem_object *gem)
{
	reeve_bo_put(to_gpu(gem)->bo);
}

static int gpu_gem_mmap(struct drm_gem_object *gem, struct vm_area_struct *vma)
{
	int ret = reeve_bo_mmap(to_gpu(gem)->bo, vma,
				drm_vma_node_start(&gem->vma_node));

	/* The mapping has a reference of Reeve's instead of GEM's. */
	if (!ret)
		drm_gem_object_put(gem);
	return ret;
}

/* What another file got would be charged to the first one only. */
static struct dma_buf *gpu_gem_export(struct drm_gem_object *gem, int flags)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static const struct drm_gem_object_funcs gpu_gem_funcs = {
	.free = gpu_gem_free,
	.mmap = gpu_gem_mmap,
	.export = gpu_gem_export,
};

static int gpu_create(struct drm_device *dev, void *data, struct drm_file *file)
{
	struct gpu_client *client = file->driver_priv;
	struct drm_reeve_gpu_create *args = data;
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = args->size,
		.type = REEVE_BO_TYPE_DEVICE,
		.flags = REEVE_BO_CREATE_DMA_ADDRESSES,
	};
	struct gpu_object *object;
	u64 i;
	int ret;

	if (!args->size || args->size % PAGE_SIZE || args->size > SZ_1G ||
	    args->flags & ~REEVE_GPU_PURGEABLE)
		return -EINVAL;
	if (args->flags & REEVE_GPU_PURGEABLE)
		desc.flags |= REEVE_BO_CREATE_PURGEABLE;
	object = kzalloc_obj(*object);
	if (!object)
		return -ENOMEM;
	object->pages = args->size >> PAGE_SHIFT;
	object->table = kvmalloc_array(object->pages, sizeof(u64), GFP_KERNEL);
	if (!object->table) {
		kfree(object);
		return -ENOMEM;
	}
	for (i = 0; i < object->pages; i++)
		object->table[i] = GPU_NOTHING;
	objects++;
	object->gem.funcs = &gpu_gem_funcs;
	drm_gem_private_object_init(dev, &object->gem, args->size);
	desc.priv = object;
	object->bo = reeve_bo_create(gpu->pages, client->client, &desc);
	if (IS_ERR(object->bo)) {
		ret = PTR_ERR(object->bo);
		gpu_release(object);
		return ret;
	}
	ret = drm_gem_create_mmap_offset(&object->gem);
	if (!ret)
		ret = drm_gem_handle_create(file, &object->gem, &args->handle);
	args->offset = drm_vma_node_offset_addr(&object->gem.vma_node);
	/* The handle has a reference of its own. */
	drm_gem_object_put(&object->gem);
	return ret;
}

/* Fills the page table; the object is locked and populated. */
static int gpu_bind(struct gpu_object *object)
{
	struct reeve_bo_dma_run run;
	u64 i, at;
	int ret;

	if (object->is_bound)
		return 0;
	for (i = 0; i < object->pages; i += run.pages) {
		ret = reeve_bo_dma_run(object->bo, i, &run);
		if (ret)
			return ret;
		for (at = 0; at < run.pages; at++)
			WRITE_ONCE(object->table[i + at],
				   run.address + (at << PAGE_SHIFT));
	}
	object->is_bound = true;
	return 0;
}

/* Gives the job to the GPU. From there on its fence keeps the pages. */
static int gpu_submit(struct gpu_job *job)
{
	struct gpu_object *object = job->object;
	struct dma_resv *resv = object->gem.resv;
	long ret = dma_resv_lock_interruptible(resv, NULL);

	if (ret)
		return ret;
	ret = reeve_bo_populate(object->bo, REEVE_POPULATE_INTERRUPTIBLE);
	if (ret >= 0)
		ret = gpu_bind(object);
	if (!ret)
		ret = reeve_bo_sync_for_device(object->bo, 0, object->pages);
	if (!ret)
		ret = dma_resv_reserve_fences(resv, 1);
	if (!ret) {
		drm_gem_object_get(&object->gem);
		kref_get(&job->client->refs);
		dma_fence_init(&job->fence, &gpu_fence_ops, NULL, gpu->timeline,
			       atomic64_inc_return(&gpu->seqno));
		dma_resv_add_fence(resv, &job->fence, DMA_RESV_USAGE_WRITE);
		dma_fence_get(&job->fence);
		spin_lock(&gpu->jobs_lock);
		list_add_tail(&job->entry, &gpu->jobs);
		spin_unlock(&gpu->jobs_lock);
		wake_up(&gpu->jobs_wait);
	}
	dma_resv_unlock(resv);
	return ret;
}

static int gpu_sum(struct drm_device *dev, void *data, struct drm_file *file)
{
	struct drm_reeve_gpu_sum *args = data;
	struct drm_gem_object *gem;
	struct gpu_job *job;
	int ret;

	if (args->pad)
		return -EINVAL;
	gem = drm_gem_object_lookup(file, args->handle);
	if (!gem)
		return -ENOENT;
	job = kzalloc_obj(*job);
	if (!job) {
		drm_gem_object_put(gem);
		return -ENOMEM;
	}
	job->object = to_gpu(gem);
	job->client = file->driver_priv;
	ret = gpu_submit(job);
	if (ret) {
		kfree(job);
	} else {
		ret = dma_fence_wait(&job->fence, true);
		args->sum = job->sum;
		dma_fence_put(&job->fence);
	}
	drm_gem_object_put(gem);
	return ret;
}

static int gpu_madvise(struct drm_device *dev, void *data, struct drm_file *file)
{
	struct drm_reeve_gpu_madvise *args = data;
	struct drm_gem_object *gem;
	int ret;

	if (args->pad || args->purgeable > 1)
		return -EINVAL;
	gem = drm_gem_object_lookup(file, args->handle);
	if (!gem)
		return -ENOENT;
	ret = dma_resv_lock_interruptible(gem->resv, NULL);
	if (!ret) {
		ret = reeve_bo_set_purgeable(to_gpu(gem)->bo, args->purgeable);
		args->retained = ret > 0;
		dma_resv_unlock(gem->resv);
	}
	drm_gem_object_put(gem);
	return min(ret, 0);
}

static const struct drm_ioctl_desc gpu_ioctls[] = {
	DRM_IOCTL_DEF_DRV(REEVE_GPU_CREATE, gpu_create, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(REEVE_GPU_SUM, gpu_sum, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(REEVE_GPU_MADVISE, gpu_madvise, DRM_RENDER_ALLOW),
};

static int gpu_open(struct drm_device *dev, struct drm_file *file)
{
	struct gpu_client *client = kzalloc_obj(*client);

	if (!client)
		return -ENOMEM;
	kref_init(&client->refs);
	client->client = reeve_client_create();
	if (IS_ERR(client->client)) {
		int ret = PTR_ERR(client->client);

		kfree(client);
		return ret;
	}
	file->driver_priv = client;
	return 0;
}

static void gpu_close(struct drm_device *dev, struct drm_file *file)
{
	struct gpu_client *client = file->driver_priv;

	reeve_client_put(client->client);
	kref_put(&client->refs, gpu_client_free);
}

/* As drm-usage-stats.rst says. */
static void gpu_show_fdinfo(struct seq_file *m, struct file *f)
{
	struct drm_file *file = f->private_data;
	struct gpu_client *client = file->driver_priv;
	struct drm_gem_object *gem;
	u64 active = 0;
	int id;

	drm_show_fdinfo(m, f);
	seq_printf(m, "drm-engine-sum:\t%lld ns\n",
		   atomic64_read(&client->busy));
	reeve_client_show_fdinfo(client->client, m);
	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, gem, id)
		if (!dma_resv_test_signaled(gem->resv, DMA_RESV_USAGE_BOOKKEEP))
			active += gem->size;
	spin_unlock(&file->table_lock);
	seq_printf(m, "drm-active-system:\t%llu KiB\n", active >> 10);
}

static const struct file_operations gpu_fops = {
	.owner = THIS_MODULE,
	DRM_GEM_FOPS,
	.show_fdinfo = gpu_show_fdinfo,
};

static const struct drm_driver gpu_driver = {
	.driver_features = DRIVER_GEM | DRIVER_RENDER,
	.open = gpu_open,
	.postclose = gpu_close,
	.ioctls = gpu_ioctls,
	.num_ioctls = ARRAY_SIZE(gpu_ioctls),
	.fops = &gpu_fops,
	.name = "reeve_gpu_drm",
	.desc = "GPU with its pages accounted by Reeve",
	.major = 1,
	.minor = 0,
};

static int __init gpu_init(void)
{
	struct faux_device *faux = faux_device_create("reeve_gpu_drm", NULL, NULL);
	int ret;

	if (!faux)
		return -ENODEV;
	if (!devres_open_group(&faux->dev, NULL, GFP_KERNEL)) {
		ret = -ENOMEM;
		goto destroy;
	}
	ret = dma_coerce_mask_and_coherent(&faux->dev, DMA_BIT_MASK(64));
	if (ret)
		goto release;
	gpu = devm_drm_dev_alloc(&faux->dev, &gpu_driver, struct gpu_device, drm);
	if (IS_ERR(gpu)) {
		ret = PTR_ERR(gpu);
		goto release;
	}
	gpu->faux = faux;
	gpu->timeline = dma_fence_context_alloc(1);
	INIT_LIST_HEAD(&gpu->jobs);
	spin_lock_init(&gpu->jobs_lock);
	init_waitqueue_head(&gpu->jobs_wait);
	/* The ops' lock is GEM's. */
	gpu->pages = reeve_device_register(&faux->dev, "reeve_gpu_drm", &gpu_ops,
					   REEVE_DEVICE_DMA_RESV);
	if (IS_ERR(gpu->pages)) {
		ret = PTR_ERR(gpu->pages);
		goto release;
	}
	gpu->engine = kthread_run(gpu_engine, NULL, "reeve_gpu_drm");
	if (IS_ERR(gpu->engine)) {
		ret = PTR_ERR(gpu->engine);
		goto unregister;
	}
	ret = drm_dev_register(&gpu->drm, 0);
	if (ret)
		goto stop;
	return 0;
stop:
	kthread_stop(gpu->engine);
unregister:
	reeve_device_unregister(gpu->pages);
release:
	devres_release_group(&faux->dev, NULL);
destroy:
	faux_device_destroy(faux);
	return ret;
}

static void __exit gpu_exit(void)
{
	struct faux_device *faux = gpu->faux;

	drm_dev_unregister(&gpu->drm);
	/* No file is open, nothing is mapped: what is left are jobs. */
	kthread_stop(gpu->engine);
	reeve_device_unregister(gpu->pages);
	devres_release_group(&faux->dev, NULL);
	faux_device_destroy(faux);
	/* Readers may look at a fence, and its ops, until then. */
	synchronize_rcu();
}

module_init(gpu_init);
module_exit(gpu_exit);
MODULE_DESCRIPTION("Sample DRM driver with its pages accounted by Reeve");
MODULE_LICENSE("GPL");
