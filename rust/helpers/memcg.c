// SPDX-License-Identifier: GPL-2.0
/*
 * Memory cgroups. Pages are charged when they are allocated, by __GFP_ACCOUNT,
 * and never later, because no function for that is exported; they are uncharged
 * when they are freed.
 */
#include <linux/cgroup.h>
#include <linux/list_lru.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/page_counter.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

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

u64 reeve_helper_memcg_id(struct mem_cgroup *memcg)
{
	return memcg && memcg->css.parent ? cgroup_id(memcg->css.cgroup) : 0;
}

/*
 * A shrinker is called for the cgroups of the slab objects that are in its
 * list_lru. The objects' pages are not in slabs, so their cgroup has a marker.
 */
struct reeve_marker {
	struct list_head head;
};

static struct kmem_cache *reeve_markers;
static struct list_lru reeve_marked;

int reeve_helper_markers_init(struct shrinker *shrinker)
{
	struct kmem_cache *cache = KMEM_CACHE(reeve_marker, SLAB_ACCOUNT);
	int ret;

	if (!cache)
		return -ENOMEM;
	ret = list_lru_init_memcg(&reeve_marked, shrinker);
	if (ret)
		kmem_cache_destroy(cache);
	else
		WRITE_ONCE(reeve_markers, cache);
	return ret;
}

void reeve_helper_markers_exit(void)
{
	list_lru_destroy(&reeve_marked);
	kmem_cache_destroy(reeve_markers);
	WRITE_ONCE(reeve_markers, NULL);
}

struct reeve_marker *reeve_helper_marker_new(void)
{
	struct kmem_cache *cache = READ_ONCE(reeve_markers);
	struct reeve_marker *marker;

	if (!cache)
		return NULL;
	marker = kmem_cache_alloc_lru(cache, &reeve_marked,
				      GFP_KERNEL | __GFP_NOWARN);
	if (!marker)
		return NULL;
	INIT_LIST_HEAD(&marker->head);
	list_lru_add_obj(&reeve_marked, &marker->head);
	return marker;
}

unsigned long reeve_helper_marked(struct shrink_control *sc)
{
	return list_lru_shrink_count(&reeve_marked, sc);
}

void reeve_helper_marker_free(struct reeve_marker *marker)
{
	list_lru_del_obj(&reeve_marked, &marker->head);
	kmem_cache_free(reeve_markers, marker);
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

u64 reeve_helper_memcg_id(struct mem_cgroup *memcg)
{
	return 0;
}

int reeve_helper_markers_init(struct shrinker *shrinker)
{
	return 0;
}

void reeve_helper_markers_exit(void)
{
}

struct reeve_marker *reeve_helper_marker_new(void)
{
	return NULL;
}

unsigned long reeve_helper_marked(struct shrink_control *sc)
{
	return 0;
}

void reeve_helper_marker_free(struct reeve_marker *marker)
{
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
