// SPDX-License-Identifier: GPL-2.0
/* Each allocation of each call fails once: it says so, and changes nothing. */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "bo_api.h"

#ifdef CONFIG_FAULT_INJECTION

static struct reeve_client *client;
static struct reeve_buffer_object *bo, *external;
static struct sg_table table;
static struct reeve_bo_desc with_table;

static long register_device(void)
{
	struct reeve_device *made = reeve_device_register(NULL, "x", NULL, 0);

	return IS_ERR(made) ? PTR_ERR(made) : reeve_device_unregister(made);
}

static long register_with_dma_resv(void)
{
	struct reeve_device *made =
		reeve_device_register(NULL, "x", &bo_api_own_ops, REEVE_DEVICE_DMA_RESV);

	return IS_ERR(made) ? PTR_ERR(made) : reeve_device_unregister(made);
}

static long create_client(void)
{
	struct reeve_client *made = reeve_client_create();

	return IS_ERR(made) ? PTR_ERR(made) : reeve_client_put(made);
}

static long limit_client(void)
{
	return reeve_client_set_limit(client, 1000);
}

static long create(void)
{
	unsigned int released = driver.released;
	struct reeve_buffer_object *made = bo_api_object(client, 1, 0);

	if (IS_ERR(made)) {
		/* The driver has what it gave for it still, and frees it. */
		EXPECT(driver.released == released);
		return PTR_ERR(made);
	}
	EXPECT(reeve_bo_put(made) == 0);
	EXPECT(driver.released == released + 1);
	return 0;
}

static long get(void)
{
	long ret = reeve_bo_get(bo);

	return ret ? ret : reeve_bo_put(bo);
}

/* What went well, whatever it returned, is no error. */
static long error_of(long ret)
{
	return ret < 0 ? ret : 0;
}

static long populate(void)
{
	return error_of(reeve_bo_populate(bo, 0));
}

static long populate_at_once(void)
{
	return error_of(reeve_bo_populate(bo, REEVE_POPULATE_NOWAIT));
}

static long swap_out(void)
{
	return error_of(reeve_bo_swap_out(bo));
}

static long back_up(void)
{
	return error_of(reeve_bo_back_up(bo, false));
}

static long restore(void)
{
	return error_of(reeve_bo_restore(bo));
}

static long purge(void)
{
	return error_of(reeve_bo_purge(bo));
}

static long unpopulate(void)
{
	return error_of(reeve_bo_unpopulate(bo));
}

static long pin(void)
{
	long ret = reeve_bo_pin(bo);

	return ret ? ret : reeve_bo_unpin(bo);
}

static long use(void)
{
	struct reeve_client_stats stats;
	struct reeve_bo_dma_run run;
	struct reeve_bo_state state;

	EXPECT(reeve_client_get_stats(client, &stats) == 0);
	EXPECT(reeve_bo_get_state(bo, &state) == 0);
	EXPECT(reeve_bo_dma_run(bo, 0, &run) == 0);
	EXPECT(!IS_ERR(reeve_bo_page(bo, 0)));
	EXPECT(reeve_bo_touch(bo) == 0);
	EXPECT(reeve_bo_set_purgeable(bo, false) == 1);
	EXPECT(reeve_bo_sync_for_cpu(bo, 0, 1) == 0);
	EXPECT(reeve_bo_sync_for_device(bo, 0, 1) == 0);
	EXPECT(reeve_bo_unmap(bo) == 0);
	EXPECT(reeve_bo_unlock(bo) == 0);
	/* Another one is locked, so this one is not waited for. */
	EXPECT(reeve_bo_trylock(bo) == 0);
	return 0;
}

static long map(void)
{
	void *address = reeve_bo_vmap(bo);

	return IS_ERR(address) ? PTR_ERR(address) : reeve_bo_vunmap(bo);
}

static long export_pages(void)
{
	struct sg_table sgt;
	long ret = reeve_bo_pin(bo);

	if (ret)
		return ret;
	ret = reeve_bo_get_sg_table(bo, &sgt);
	if (!ret)
		sg_free_table(&sgt);
	return reeve_bo_unpin(bo) ?: ret;
}

/* By the descriptor; a populate gives it the addresses. */
static long create_imported(void)
{
	unsigned int released = driver.released;
	struct reeve_buffer_object *made =
		reeve_bo_create(device, client, &with_table);
	long ret;

	if (IS_ERR(made)) {
		EXPECT(driver.released == released);
		return PTR_ERR(made);
	}
	/* Others are locked, so this one is not waited for. */
	EXPECT(reeve_bo_trylock(made) == 0);
	ret = reeve_bo_populate(made, 0);
	if (!ret) {
		struct reeve_bo_dma_run run;

		EXPECT(reeve_bo_dma_run(made, 0, &run) == 0);
		EXPECT(run.address == PAGE_SIZE);
	}
	EXPECT(reeve_bo_unlock(made) == 0);
	EXPECT(reeve_bo_put(made) == 0);
	return ret;
}

/* For the driver's files, and mappings of its own. */
static long show(void)
{
	struct seq_file m = { .size = PAGE_SIZE };
	long ret;

	m.buf = kmalloc(m.size, GFP_KERNEL);
	if (!m.buf)
		return -ENOMEM;
	ret = reeve_client_show_fdinfo(client, &m);
	EXPECT(ret || (m.count && strnstr(m.buf, "drm-total-system", m.count)));
	kfree(m.buf);
	EXPECT(pgprot_val(reeve_bo_pgprot(bo, PAGE_KERNEL)) ==
	       pgprot_val(PAGE_KERNEL));
	return ret;
}

/* By mmap() of a file: its lock is outside of those of objects. */
static long map_users(void)
{
	long ret;

	EXPECT(reeve_bo_unlock(external) == 0);
	EXPECT(reeve_bo_unlock(bo) == 0);
	ret = bo_api_map_once();
	EXPECT(reeve_bo_trylock(bo) == 0);
	EXPECT(reeve_bo_trylock(external) == 0);
	return ret;
}

static long import_pages(void)
{
	return reeve_bo_set_sg_table(external, &table);
}

/* In this order each finds what it needs. */
static const struct {
	const char *name;
	long (*act)(void);
	/* Before each attempt. */
	long (*prepare)(void);
} sweeps[] = {
	{ "register_device", register_device },
	{ "register_with_dma_resv", register_with_dma_resv },
	{ "create_client", create_client },
	{ "limit_client", limit_client },
	{ "create", create },
	{ "get", get },
	{ "populate", populate, unpopulate },
	{ "populate at once", populate_at_once, unpopulate },
	{ "use", use, populate },
	{ "pin", pin, populate },
	{ "map", map, populate },
	{ "export", export_pages, populate },
	{ "import", import_pages },
	{ "create imported", create_imported },
	{ "show", show },
	{ "map_users", map_users },
	{ "swap_out", swap_out, populate },
	{ "swap in", populate, swap_out },
	{ "back_up", back_up, populate },
	{ "restore", restore, back_up },
	{ "purge", purge, populate },
	{ "unpopulate", unpopulate, populate },
};

static int sweep(void)
{
	unsigned int i, nth;

	for (i = 0; i < ARRAY_SIZE(sweeps); i++) {
		unsigned int failed = 0, left;
		long ret;

		nth = 0;
		do {
			if (sweeps[i].prepare)
				EXPECT(sweeps[i].prepare() == 0);
			current->fail_nth = ++nth;
			ret = sweeps[i].act();
			left = current->fail_nth;
			current->fail_nth = 0;
			if (ret && (left || ret != -ENOMEM)) {
				pr_err("bo_api: %s returned %ld at %u\n",
				       sweeps[i].name, ret, nth);
				return -EINVAL;
			}
			failed += ret != 0;
		} while (!left && nth < 2000);
		EXPECT(nth < 2000);
		pr_info("bo_api: %s: %u allocations, %u failures\n",
			sweeps[i].name, nth - 1, failed);
	}
	return 0;
}

int bo_api_sweep(void)
{
	struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = PAGE_SIZE,
		.type = REEVE_BO_TYPE_SG,
		.flags = REEVE_BO_CREATE_DMA_ADDRESSES,
		.priv = &driver,
	};
	int ret;

	memset(&driver, 0, sizeof(driver));
	client = reeve_client_create();
	EXPECT(!IS_ERR(client));
	bo = bo_api_object(client, 20, REEVE_BO_CREATE_DMA_ADDRESSES);
	EXPECT(!IS_ERR(bo));
	EXPECT(reeve_bo_lock(bo) == 0);
	external = reeve_bo_create(device, client, &desc);
	EXPECT(!IS_ERR(external));
	desc.sgt = &table;
	with_table = desc;
	EXPECT(reeve_bo_trylock(external) == 0);
	EXPECT(reeve_bo_populate(external, 0) == 0);
	EXPECT(sg_alloc_table(&table, 1, GFP_KERNEL) == 0);
	sg_dma_address(table.sgl) = PAGE_SIZE;
	sg_dma_len(table.sgl) = PAGE_SIZE;
	ret = bo_api_map_begin();
	EXPECT(ret == 0);
	if (!ret) {
		ret = sweep();
		bo_api_map_end();
	}
	sg_free_table(&table);
	EXPECT(reeve_bo_unlock(external) == 0);
	EXPECT(reeve_bo_put(external) == 0);
	EXPECT(reeve_bo_unlock(bo) == 0);
	EXPECT(reeve_bo_put(bo) == 0);
	EXPECT(reeve_client_put(client) == 0);
	return ret;
}

#else

int bo_api_sweep(void)
{
	pr_info("bo_api: no sweep: the kernel has no CONFIG_FAULT_INJECTION\n");
	return 0;
}

#endif
