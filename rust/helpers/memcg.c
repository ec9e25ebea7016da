// SPDX-License-Identifier: GPL-2.0
/*
 * Memory cgroups. Pages are charged when they are allocated, by __GFP_ACCOUNT,
 * and never later, because no function for that is exported; they are uncharged
 * when they are freed.
 */
#include <linux/cgroup.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/page_counter.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>

#include "cgroup.h"

static bool charge_memcg = true;
module_param(charge_memcg, bool, 0644);
MODULE_PARM_DESC(charge_memcg,
		 "Charge pages to the memory cgroup of the task that populates (default 1)");

#ifdef CONFIG_MEMCG

/* That of current, or NULL if that is the root. Under RCU. */
static struct mem_cgroup *reeve_own_memcg(void)
{
	struct mem_cgroup *memcg = mem_cgroup_from_task(current);

	return memcg && memcg->css.parent ? memcg : NULL;
}

u64 reeve_helper_memcg(void)
{
	struct mem_cgroup *memcg;
	u64 id = 0;

	if (!memcg_kmem_online() || !READ_ONCE(charge_memcg))
		return 0;
	rcu_read_lock();
	memcg = reeve_own_memcg();
	if (memcg)
		id = cgroup_id(memcg->css.cgroup);
	rcu_read_unlock();
	return id;
}

bool reeve_helper_memcg_has_room(unsigned long pages, bool if_empty)
{
	struct mem_cgroup *memcg;
	bool fits = true;

	rcu_read_lock();
	for (memcg = reeve_own_memcg(); memcg && fits;
	     memcg = parent_mem_cgroup(memcg)) {
		unsigned long max = READ_ONCE(memcg->memory.max);
		unsigned long used =
			if_empty ? 0 : page_counter_read(&memcg->memory);

		fits = pages <= max && used <= max - pages;
	}
	rcu_read_unlock();
	return fits;
}

bool reeve_helper_page_is_charged(struct page *page)
{
	return memcg_kmem_online() && PageMemcgKmem(page);
}

void reeve_helper_memcg_enter(struct page *page, struct reeve_memcg_scope *scope)
{
	struct mem_cgroup *memcg = NULL;

	scope->memcg = NULL;
	scope->entered = memcg_kmem_online() && READ_ONCE(charge_memcg);
	if (!scope->entered)
		return;
	rcu_read_lock();
	if (page && PageMemcgKmem(page)) {
		memcg = folio_memcg(page_folio(page));
		if (!memcg || !css_tryget(&memcg->css))
			memcg = NULL;
	}
	rcu_read_unlock();
	scope->memcg = memcg;
	scope->before = set_active_memcg(memcg ?: root_mem_cgroup);
}

void reeve_helper_memcg_leave(struct reeve_memcg_scope *scope)
{
	if (!scope->entered)
		return;
	set_active_memcg(scope->before);
	if (scope->memcg)
		css_put(&scope->memcg->css);
}

#else

u64 reeve_helper_memcg(void)
{
	return 0;
}

bool reeve_helper_memcg_has_room(unsigned long pages, bool if_empty)
{
	return true;
}

bool reeve_helper_page_is_charged(struct page *page)
{
	return false;
}

void reeve_helper_memcg_enter(struct page *page, struct reeve_memcg_scope *scope)
{
}

void reeve_helper_memcg_leave(struct reeve_memcg_scope *scope)
{
}

#endif
