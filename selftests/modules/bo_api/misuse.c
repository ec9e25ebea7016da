// SPDX-License-Identifier: GPL-2.0
/* What drivers must not do: each gets an errno, and a line in the log. */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/spinlock.h>

#include "bo_api.h"

static DECLARE_COMPLETION(tried);
/* What another thread may do with an object that this one has locked. */
static noinline void try_other(struct reeve_buffer_object *bo)
{
	EXPECT(reeve_bo_trylock(bo) == -EBUSY);
	EXPECT(reeve_bo_populate(bo, 0) == -EPERM);
	EXPECT(reeve_bo_unlock(bo) == -EPERM);
}

static int other_thread(void *bo)
{
	try_other(bo);
	complete(&tried);
	return 0;
}

static noinline void devices(void)
{
	static const struct reeve_device_ops half = {
		.unlock = (void (*)(void *))(void *)other_thread,
	};
	/* It has ops, but none of a lock. */
	static const struct reeve_device_ops no_lock = {
		.release = (void (*)(void *))(void *)other_thread,
	};
	struct platform_device *no_dma;
	struct reeve_buffer_object *bo;

	EXPECT(reeve_device_register(NULL, NULL, NULL, 0) == ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "", NULL, 0) == ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "a_name_that_is_much_longer_than_31_bytes",
				     NULL, 0) == ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "x", NULL, 1U << 1) == ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "x", NULL, 1U << 31) == ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "x", &half, 0) == ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "x", NULL, REEVE_DEVICE_DMA_RESV) ==
	       ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "x", &no_lock, REEVE_DEVICE_DMA_RESV) ==
	       ERR_PTR(-EINVAL));
	EXPECT(reeve_device_register(NULL, "x", &bo_api_own_ops,
				     REEVE_DEVICE_DMA_RESV | 1U << 1) ==
	       ERR_PTR(-EINVAL));
	no_dma = platform_device_register_simple("bo_api", -1, NULL, 0);
	EXPECT(!IS_ERR(no_dma));
	no_dma->dev.dma_mask = NULL;
	EXPECT(reeve_device_register(&no_dma->dev, "x", NULL, 0) ==
	       ERR_PTR(-EINVAL));
	platform_device_unregister(no_dma);
	EXPECT(reeve_device_unregister(NULL) == -ENOENT);
	EXPECT(reeve_device_unregister((void *)other_thread) == -ENOENT);

	bo = bo_api_object(NULL, 1, 0);
	EXPECT(!IS_ERR(bo));
	EXPECT(reeve_device_unregister(device) == -EBUSY);
	EXPECT(reeve_bo_put(bo) == 0);
}

static noinline void clients(void)
{
	struct reeve_client_stats stats;
	struct reeve_client *client = reeve_client_create();

	EXPECT(!IS_ERR(client));
	EXPECT(reeve_client_get_stats(client, NULL) == -EINVAL);
	EXPECT(reeve_client_show_fdinfo(client, NULL) == -EINVAL);
	EXPECT(reeve_client_put(client) == 0);
	EXPECT(reeve_client_put(client) == -ENOENT);
	EXPECT(reeve_client_put(NULL) == -ENOENT);
	EXPECT(reeve_client_set_limit(client, 1) == -ENOENT);
	EXPECT(reeve_client_get_stats(client, &stats) == -ENOENT);
	EXPECT(reeve_client_show_fdinfo(client, NULL) == -ENOENT);
	EXPECT(bo_api_object(client, 1, 0) == ERR_PTR(-ENOENT));
	/* A handle of another kind is none of this kind. */
	EXPECT(reeve_client_put((void *)device) == -ENOENT);
}

static noinline void descriptors(void)
{
	struct {
		struct reeve_bo_desc desc;
		u64 later[2];
	} longer = { .desc = { .size = sizeof(longer), .bytes = 1 } };
	struct reeve_bo_desc *desc = &longer.desc;
	struct reeve_buffer_object *bo = reeve_bo_create(device, NULL, desc);

	EXPECT(!IS_ERR(bo));
	EXPECT(reeve_bo_put(bo) == 0);
	longer.later[1] = 1;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-E2BIG));
	EXPECT(reeve_bo_create(device, NULL, NULL) == ERR_PTR(-EINVAL));
	desc->size = sizeof(*desc) - 1;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-EINVAL));
	desc->size = PAGE_SIZE + 1;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-EINVAL));
	desc->size = sizeof(*desc);
	desc->reserved[6] = 1;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-EINVAL));
	desc->reserved[6] = 0;
	desc->pad = 1;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-EINVAL));
	desc->pad = 0;
	desc->flags = 1U << 31;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-EINVAL));
	desc->flags = 0;
	desc->type = 7;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-EINVAL));
	desc->type = 0;
	desc->bytes = 0;
	EXPECT(reeve_bo_create(device, NULL, desc) == ERR_PTR(-EINVAL));
	desc->bytes = 1;
	EXPECT(reeve_bo_create(NULL, NULL, desc) == ERR_PTR(-ENOENT));
}

static noinline void objects(void)
{
	struct reeve_buffer_object *bo = bo_api_object(NULL, 2, 0);
	struct reeve_bo_dma_run run;
	struct task_struct *task;
	struct sg_table sgt;
	unsigned long flags;
	int ret;

	EXPECT(!IS_ERR(bo));
	/* Not locked. */
	EXPECT(reeve_bo_populate(bo, 0) == -EPERM);
	EXPECT(reeve_bo_unlock(bo) == -EPERM);
	EXPECT(reeve_bo_vunmap(bo) == -EPERM);
	EXPECT(reeve_bo_lock(bo) == 0);
	EXPECT(reeve_bo_lock(bo) == -EDEADLK);
	EXPECT(reeve_bo_trylock(bo) == -EDEADLK);
	task = kthread_run(other_thread, bo, "other_thread");
	EXPECT(!IS_ERR(task));
	wait_for_completion(&tried);
	/* Not populated. */
	EXPECT(reeve_bo_pin(bo) == -EINVAL);
	EXPECT(reeve_bo_vmap(bo) == ERR_PTR(-EINVAL));
	EXPECT(reeve_bo_page(bo, 0) == ERR_PTR(-EINVAL));
	EXPECT(reeve_bo_populate(bo, 1U << 31) == -EINVAL);
	EXPECT(reeve_bo_populate(bo, 0) == 2);
	EXPECT(reeve_bo_unpin(bo) == -EINVAL);
	EXPECT(reeve_bo_pin(bo) == 0);
	EXPECT(reeve_bo_unpin(bo) == 0);
	EXPECT(reeve_bo_unpin(bo) == -EINVAL);
	EXPECT(reeve_bo_vunmap(bo) == -EINVAL);
	EXPECT(reeve_bo_get_sg_table(bo, &sgt) == -EINVAL);
	EXPECT(reeve_bo_dma_run(bo, 0, &run) == -EINVAL);
	EXPECT(reeve_bo_dma_run(bo, 0, NULL) == -EINVAL);
	EXPECT(reeve_bo_get_state(bo, NULL) == -EINVAL);
	EXPECT(reeve_bo_sync_for_cpu(bo, 1, 2) == -EINVAL);
	EXPECT(reeve_bo_sync_for_device(bo, U64_MAX, 2) == -EINVAL);
	EXPECT(reeve_bo_mmap(bo, NULL, 0) == -EINVAL);
	/* From an op of its own. */
	driver.calls = true;
	EXPECT(reeve_bo_swap_out(bo) == 2);
	EXPECT(driver.called == -EDEADLK);
	driver.calls = false;
	/* Where nothing may sleep. */
	local_irq_save(flags);
	ret = reeve_bo_touch(bo);
	local_irq_restore(flags);
	EXPECT(ret == -EPERM);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	/* After the last put, and what never was. */
	EXPECT(reeve_bo_put(bo) == -ENOENT);
	EXPECT(reeve_bo_get(bo) == -ENOENT);
	EXPECT(reeve_bo_lock(bo) == -ENOENT);
	EXPECT(reeve_bo_populate(bo, 0) == -ENOENT);
	EXPECT(reeve_bo_vmap(bo) == ERR_PTR(-ENOENT));
	EXPECT(reeve_bo_put(NULL) == -ENOENT);
	EXPECT(reeve_bo_put((void *)&driver) == -ENOENT);
	EXPECT(reeve_bo_put((void *)device) == -ENOENT);
	EXPECT(pgprot_val(reeve_bo_pgprot(bo, PAGE_KERNEL)) ==
	       pgprot_val(PAGE_KERNEL));
}

/* A mapping for the kernel that is left is removed with the object. */
static noinline void left_mapped(void)
{
	struct reeve_buffer_object *bo = bo_api_populated(NULL, 1);

	EXPECT(!IS_ERR(bo));
	EXPECT(reeve_bo_lock(bo) == 0);
	EXPECT(!IS_ERR(reeve_bo_vmap(bo)));
	EXPECT(reeve_bo_pin(bo) == 0);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
}

int bo_api_misuse(void)
{
	memset(&driver, 0, sizeof(driver));
	devices();
	clients();
	descriptors();
	objects();
	left_mapped();
	return 0;
}
