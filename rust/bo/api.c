// SPDX-License-Identifier: GPL-2.0
/*
 * The exported C API of page accounting: takes the call site, and does what is
 * macros and inlines of the kernel; the rest is in api.rs.
 */
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/hardirq.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/preempt.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "api.h"
#include "../helpers/helpers.h"

static int reeve_module_event(struct notifier_block *nb, unsigned long event,
			      void *module)
{
	/* What ran once only is freed after the first, for others' code. */
	if (event == MODULE_STATE_LIVE)
		reeve_rs_module_live(module);
	if (event == MODULE_STATE_GOING)
		reeve_rs_module_gone(module);
	return NOTIFY_OK;
}

static struct notifier_block reeve_driver_watch = {
	.notifier_call = reeve_module_event,
};

int reeve_helper_watch_drivers(void)
{
	return register_module_notifier(&reeve_driver_watch);
}

void reeve_helper_unwatch_drivers(void)
{
	unregister_module_notifier(&reeve_driver_watch);
}

bool reeve_helper_within(struct module *module, unsigned long address)
{
	return within_module(address, module);
}

bool reeve_helper_within_init(struct module *module, unsigned long address)
{
	return within_module_init(address, module);
}

static u64 reeve_handle(const void *pointer)
{
	return (unsigned long)pointer;
}

static void *reeve_pointer(u64 handle)
{
	return (void *)(unsigned long)handle;
}

void reeve_helper_misuse(const char *function, const char *device, bool counts,
			 u64 object, const char *what, int error,
			 unsigned long site)
{
	static DEFINE_RATELIMIT_STATE(limit, 5 * HZ, 100);

	if (!__ratelimit(&limit))
		return;
	if (device)
		pr_warn("reeve: %s(): %s, %s %llu: %s (%d); called from %pS\n",
			function, device, counts ? "objects left" : "object",
			object, what, error, (void *)site);
	else
		pr_warn("reeve: %s(): %s (%d); called from %pS\n", function,
			what, error, (void *)site);
}

static bool reeve_may_sleep(void)
{
	/* Which is that of a task with nothing locked, if it is counted at all. */
	return IS_ENABLED(CONFIG_PREEMPT_COUNT) ? preemptible() :
						  in_task() && !irqs_disabled();
}

/* The task that calls; 0: it must not sleep. */
static unsigned long reeve_caller(void)
{
	return reeve_may_sleep() ? (unsigned long)current : 0;
}

void reeve_helper_prime_reclaim_begin(void)
{
	fs_reclaim_acquire(GFP_KERNEL);
}

void reeve_helper_prime_reclaim_end(void)
{
	fs_reclaim_release(GFP_KERNEL);
}

unsigned long reeve_helper_current(void)
{
	return (unsigned long)current;
}

void reeve_helper_vunmap(void *address)
{
	vunmap(address);
}

struct reeve_device *reeve_device_register(struct device *dev, const char *name,
					   const struct reeve_device_ops *ops,
					   unsigned int flags)
{
	u64 device;
	int ret = reeve_rs_device_register(dev, name, ops, flags, &device,
					   _RET_IP_, reeve_caller());

	return ret ? ERR_PTR(ret) : reeve_pointer(device);
}
EXPORT_SYMBOL_GPL(reeve_device_register);

int reeve_device_unregister(struct reeve_device *device)
{
	return reeve_rs_device_unregister(reeve_handle(device), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_device_unregister);

struct reeve_client *reeve_client_create(void)
{
	u64 client;
	int ret = reeve_rs_client_create(&client, _RET_IP_, reeve_caller());

	return ret ? ERR_PTR(ret) : reeve_pointer(client);
}
EXPORT_SYMBOL_GPL(reeve_client_create);

int reeve_client_put(struct reeve_client *client)
{
	return reeve_rs_client_put(reeve_handle(client), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_client_put);

int reeve_client_set_limit(struct reeve_client *client, u64 pages)
{
	return reeve_rs_client_set_limit(reeve_handle(client), pages, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_client_set_limit);

int reeve_client_get_stats(struct reeve_client *client,
			   struct reeve_client_stats *stats)
{
	return reeve_rs_client_get_stats(reeve_handle(client), stats, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_client_get_stats);

int reeve_client_show_fdinfo(struct reeve_client *client, struct seq_file *m)
{
	return reeve_rs_client_show_fdinfo(reeve_handle(client), m, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_client_show_fdinfo);

/* The DMA addresses of a table; @told->runs is to be freed with kvfree(). */
static int reeve_runs(const struct sg_table *sgt, struct reeve_bo_told *told)
{
	/* Read once: whatever the driver does meanwhile, so many are there. */
	unsigned int count = READ_ONCE(sgt->nents);
	struct reeve_bo_dma_run *runs;
	struct scatterlist *sg;
	int i;

	runs = kvmalloc_array(count, sizeof(*runs), GFP_KERNEL | __GFP_NOWARN);
	if (!runs)
		return -ENOMEM;
	for_each_sg(sgt->sgl, sg, count, i) {
		runs[i].address = sg_dma_address(sg);
		/* What is no number of whole pages is refused. */
		runs[i].pages = sg_dma_len(sg) & ~PAGE_MASK ?
				0 : sg_dma_len(sg) >> PAGE_SHIFT;
	}
	told->runs = runs;
	told->count = count;
	return 0;
}

static noinline u64 reeve_bo_create_with_runs(u64 device, u64 client,
					      const struct reeve_bo_desc *desc,
					      unsigned long site,
					      unsigned long caller)
{
	struct reeve_bo_told told;
	u64 bo;

	if (reeve_runs(desc->sgt, &told))
		return -ENOMEM;
	bo = reeve_rs_bo_create(device, client, desc, &told, site, caller);
	kvfree(told.runs);
	return bo;
}

struct reeve_buffer_object *reeve_bo_create(struct reeve_device *device,
					    struct reeve_client *client,
					    const struct reeve_bo_desc *desc)
{
	unsigned long caller = reeve_caller();

	u64 bo;

	/* One that is too short is refused below. */
	if (desc && desc->size >= sizeof(*desc) && unlikely(desc->sgt) &&
	    caller)
		bo = reeve_bo_create_with_runs(reeve_handle(device),
					       reeve_handle(client), desc,
					       _RET_IP_, caller);
	else
		bo = reeve_rs_bo_create(reeve_handle(device),
					reeve_handle(client), desc, NULL,
					_RET_IP_, caller);
	return reeve_pointer(bo);
}
EXPORT_SYMBOL_GPL(reeve_bo_create);

int reeve_bo_get(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_get(reeve_handle(bo), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_get);

int reeve_bo_put(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_put(reeve_handle(bo), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_put);

int reeve_bo_lock(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_lock(reeve_handle(bo), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_lock);

int reeve_bo_trylock(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_trylock(reeve_handle(bo), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_trylock);

int reeve_bo_unlock(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_unlock(reeve_handle(bo), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_unlock);

long reeve_bo_unpopulate(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_unpopulate(reeve_handle(bo), _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_unpopulate);

int reeve_bo_pin(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_call(REEVE_CALL_PIN, reeve_handle(bo), 0, 0,
				_RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_pin);

int reeve_bo_unpin(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_call(REEVE_CALL_UNPIN, reeve_handle(bo), 0, 0,
				_RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_unpin);

long reeve_bo_swap_out(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_call(REEVE_CALL_SWAP_OUT, reeve_handle(bo), 0, 0,
				_RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_swap_out);

long reeve_bo_restore(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_call(REEVE_CALL_RESTORE, reeve_handle(bo), 0, 0,
				_RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_restore);

long reeve_bo_purge(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_call(REEVE_CALL_PURGE, reeve_handle(bo), 0, 0,
				_RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_purge);

int reeve_bo_touch(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_call(REEVE_CALL_TOUCH, reeve_handle(bo), 0, 0,
				_RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_touch);

int reeve_bo_unmap(struct reeve_buffer_object *bo)
{
	return reeve_rs_bo_call(REEVE_CALL_UNMAP, reeve_handle(bo), 0, 0,
				_RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_unmap);

long reeve_bo_populate(struct reeve_buffer_object *bo, unsigned int flags)
{
	return reeve_rs_bo_populate(reeve_handle(bo), flags, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_populate);

long reeve_bo_back_up(struct reeve_buffer_object *bo, bool writeback)
{
	return reeve_rs_bo_call(REEVE_CALL_BACK_UP, reeve_handle(bo), writeback,
				0, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_back_up);

int reeve_bo_set_purgeable(struct reeve_buffer_object *bo, bool purgeable)
{
	return reeve_rs_bo_call(REEVE_CALL_SET_PURGEABLE, reeve_handle(bo),
				purgeable, 0, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_set_purgeable);

int reeve_bo_sync_for_cpu(struct reeve_buffer_object *bo, u64 first, u64 pages)
{
	return reeve_rs_bo_call(REEVE_CALL_SYNC_FOR_CPU, reeve_handle(bo),
				first, pages, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_sync_for_cpu);

int reeve_bo_sync_for_device(struct reeve_buffer_object *bo, u64 first,
			     u64 pages)
{
	return reeve_rs_bo_call(REEVE_CALL_SYNC_FOR_DEVICE, reeve_handle(bo),
				first, pages, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_sync_for_device);

int reeve_bo_get_state(struct reeve_buffer_object *bo,
		       struct reeve_bo_state *state)
{
	return reeve_rs_bo_get_state(reeve_handle(bo), state, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_get_state);

struct page *reeve_bo_page(struct reeve_buffer_object *bo, u64 index)
{
	struct page *page;
	int ret = reeve_rs_bo_page(reeve_handle(bo), index, &page, _RET_IP_, reeve_caller());

	return ret ? ERR_PTR(ret) : page;
}
EXPORT_SYMBOL_GPL(reeve_bo_page);

int reeve_bo_dma_run(struct reeve_buffer_object *bo, u64 index,
		     struct reeve_bo_dma_run *run)
{
	return reeve_rs_bo_dma_run(reeve_handle(bo), index, run, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_dma_run);

/* All pages, to be freed with kvfree(); their number in @count. */
static struct page **reeve_bo_pages(u32 call, u64 bo, unsigned int *count,
				    unsigned long site)
{
	s64 ret = reeve_rs_bo_pages(call, bo, NULL, 0, site, reeve_caller());
	struct page **pages;

	if (ret < 0)
		return ERR_PTR(ret);
	if (ret > INT_MAX)
		return ERR_PTR(-ENOMEM);
	*count = ret;
	pages = kvmalloc_array(*count, sizeof(*pages),
			       GFP_KERNEL | __GFP_NOWARN);
	if (!pages)
		return ERR_PTR(-ENOMEM);
	ret = reeve_rs_bo_pages(call, bo, pages, *count, site, reeve_caller());
	if (ret < 0) {
		kvfree(pages);
		return ERR_PTR(ret);
	}
	return pages;
}

int reeve_bo_get_sg_table(struct reeve_buffer_object *bo, struct sg_table *sgt)
{
	unsigned int count;
	struct page **pages = reeve_bo_pages(REEVE_PAGES_SG, reeve_handle(bo),
					     &count, _RET_IP_);
	int ret;

	if (IS_ERR(pages))
		return PTR_ERR(pages);
	ret = sg_alloc_table_from_pages(sgt, pages, count, 0,
					(unsigned long)count << PAGE_SHIFT,
					GFP_KERNEL);
	kvfree(pages);
	return ret;
}
EXPORT_SYMBOL_GPL(reeve_bo_get_sg_table);

int reeve_bo_set_sg_table(struct reeve_buffer_object *bo,
			  const struct sg_table *sgt)
{
	struct reeve_bo_told told = {};
	int ret;

	/* What else is wrong is told below. */
	if (sgt && reeve_may_sleep() && reeve_runs(sgt, &told))
		return -ENOMEM;
	ret = reeve_rs_bo_set_runs(reeve_handle(bo), told.runs ? &told : NULL,
				   _RET_IP_, reeve_caller());
	kvfree(told.runs);
	return ret;
}
EXPORT_SYMBOL_GPL(reeve_bo_set_sg_table);

static pgprot_t reeve_bo_prot(u64 bo, pgprot_t prot, unsigned long site)
{
	bool decrypted;
	u32 caching;

	if (!reeve_rs_bo_protection(bo, &caching, &decrypted, site, reeve_caller()))
		return prot;
	return reeve_prot(prot, caching, decrypted);
}

pgprot_t reeve_bo_pgprot(struct reeve_buffer_object *bo, pgprot_t prot)
{
	return reeve_bo_prot(reeve_handle(bo), prot, _RET_IP_);
}
EXPORT_SYMBOL_GPL(reeve_bo_pgprot);

void *reeve_bo_vmap(struct reeve_buffer_object *bo)
{
	u64 handle = reeve_handle(bo);
	struct page **pages;
	unsigned int count;
	void *address, *new;
	int ret = reeve_rs_bo_vmap(handle, NULL, &address, _RET_IP_, reeve_caller());

	if (ret)
		return ERR_PTR(ret);
	if (address)
		return address;
	pages = reeve_bo_pages(REEVE_PAGES_VMAP, handle, &count, _RET_IP_);
	if (IS_ERR(pages))
		return pages;
	new = vmap(pages, count, VM_MAP,
		   reeve_bo_prot(handle, PAGE_KERNEL, _RET_IP_));
	kvfree(pages);
	if (!new)
		return ERR_PTR(-ENOMEM);
	ret = reeve_rs_bo_vmap(handle, new, &address, _RET_IP_, reeve_caller());
	if (ret) {
		vunmap(new);
		return ERR_PTR(ret);
	}
	return address;
}
EXPORT_SYMBOL_GPL(reeve_bo_vmap);

int reeve_bo_vunmap(struct reeve_buffer_object *bo)
{
	void *address;
	int ret = reeve_rs_bo_vunmap(reeve_handle(bo), &address, _RET_IP_, reeve_caller());

	if (!ret)
		vunmap(address);
	return ret;
}
EXPORT_SYMBOL_GPL(reeve_bo_vunmap);

int reeve_bo_mmap(struct reeve_buffer_object *bo, struct vm_area_struct *vma,
		  u64 first)
{
	return reeve_rs_bo_mmap(reeve_handle(bo), vma, first, _RET_IP_, reeve_caller());
}
EXPORT_SYMBOL_GPL(reeve_bo_mmap);
