// SPDX-License-Identifier: GPL-2.0
/*
 * What an object whose pages live in shmem costs with the kernel's GEM helper,
 * the reference of the rows tt.life.shmem of rust/bench/bo.rs. Reading the file
 * gem_bench in debugfs measures, and gives a line "bench NAME TICKS OPERATIONS"
 * each; an operation is a page.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/device/faux.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include <asm/tsc.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_gem_shmem_helper.h>

/* Turns of a loop around one page; around many pages it turns less often. */
#define TURNS 256
/* How often; the time that was disturbed least counts. */
#define TRIES 16

static const unsigned long sizes[] = { 1, 16, 512, 4096, 16384 };

DEFINE_DRM_GEM_FOPS(device_fops);

static const struct drm_driver driver = {
	.driver_features = DRIVER_GEM,
	.fops = &device_fops,
	.name = KBUILD_MODNAME,
	.desc = "Measures objects in shmem",
	.major = 1,
};

static struct faux_device *parent;
static struct drm_device *drm;
static struct dentry *file;

static noinline u64 empty_loop(unsigned long turns)
{
	u64 begin = rdtsc();

	do {
		barrier();
		OPTIMIZER_HIDE_VAR(turns);
	} while (--turns);
	return rdtsc() - begin;
}

static noinline int life_loop(unsigned long pages, unsigned long turns,
			      u64 *ticks)
{
	u64 begin = rdtsc();
	int ret;

	do {
		struct drm_gem_shmem_object *shmem;
		struct file *content;

		shmem = drm_gem_shmem_create(drm, pages << PAGE_SHIFT);
		if (IS_ERR(shmem))
			return PTR_ERR(shmem);
		ret = drm_gem_shmem_pin(shmem);
		if (!ret)
			drm_gem_shmem_unpin(shmem);
		/*
		 * The file is freed at once: without this, when the task returns
		 * to user space, which is work of the same task.
		 */
		content = get_file(shmem->base.filp);
		drm_gem_object_put(&shmem->base);
		__fput_sync(content);
		if (ret)
			return ret;
	} while (--turns);
	*ticks = rdtsc() - begin;
	return 0;
}

static int gem_bench_show(struct seq_file *m, void *unused)
{
	unsigned int i, try;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned long turns = max(TURNS / sizes[i], 1UL);
		u64 least = U64_MAX, ticks;

		for (try = 0; try < TRIES; try++) {
			int ret = life_loop(sizes[i], turns, &ticks);

			if (ret)
				return ret;
			least = min(least, ticks);
		}
		seq_printf(m, "bench gem.life.shmem.%lu %lld %lu\n", sizes[i],
			   (s64)(least - empty_loop(turns)), turns * sizes[i]);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(gem_bench);

static int __init gem_bench_init(void)
{
	parent = faux_device_create(KBUILD_MODNAME, NULL, NULL);
	if (!parent)
		return -ENODEV;
	drm = drm_dev_alloc(&driver, &parent->dev);
	if (IS_ERR(drm)) {
		faux_device_destroy(parent);
		return PTR_ERR(drm);
	}
	file = debugfs_create_file(KBUILD_MODNAME, 0400, NULL, NULL,
				   &gem_bench_fops);
	return 0;
}

static void __exit gem_bench_exit(void)
{
	debugfs_remove(file);
	drm_dev_put(drm);
	faux_device_destroy(parent);
}

module_init(gem_bench_init);
module_exit(gem_bench_exit);
MODULE_DESCRIPTION("Measures what an object in shmem costs with the GEM helper");
MODULE_LICENSE("GPL");
