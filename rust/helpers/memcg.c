// SPDX-License-Identifier: GPL-2.0
/*
 * Memory cgroups. Pages are charged when they are allocated, by __GFP_ACCOUNT,
 * and never later, because no function for that is exported; they are uncharged
 * when they are freed.
 */
#include <linux/cgroup.h>
#include <linux/err.h>
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

struct mem_cgroup *reeve_helper_memcg_get(void)
{
	struct mem_cgroup *memcg;

	rcu_read_lock();
	memcg = reeve_own_memcg();
	if (memcg && !css_tryget(&memcg->css))
		memcg = NULL;
	rcu_read_unlock();
	return memcg;
}

void reeve_helper_memcg_put(struct mem_cgroup *memcg)
{
	css_put(&memcg->css);
}

/*
 * A list_lru has a list for each cgroup, of slab objects that are charged to it.
 * The objects' pages are not in slabs, so each object has a marker. When a
 * cgroup is removed, the kernel moves its list to that of the cgroup above, to
 * which it charges the pages then.
 */
struct reeve_marker {
	struct list_head head;
	const struct reeve_marker_ops *ops;
	void *owner;
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
	/* No process is killed for it. */
	marker = kmem_cache_alloc_lru(cache, &reeve_marked,
				      GFP_KERNEL | __GFP_RETRY_MAYFAIL |
				      __GFP_NOWARN);
	if (!marker)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&marker->head);
	return marker;
}

void reeve_helper_marker_list(struct reeve_marker *marker,
			      const struct reeve_marker_ops *ops, void *owner)
{
	marker->ops = ops;
	marker->owner = owner;
	list_lru_add_obj(&reeve_marked, &marker->head);
}

bool reeve_helper_marker_unlist(struct reeve_marker *marker)
{
	return list_lru_del_obj(&reeve_marked, &marker->head);
}

void reeve_helper_marker_touch(struct reeve_marker *marker)
{
	if (list_lru_del_obj(&reeve_marked, &marker->head))
		list_lru_add_obj(&reeve_marked, &marker->head);
}

void reeve_helper_marker_free(struct reeve_marker *marker)
{
	kmem_cache_free(reeve_markers, marker);
}

unsigned long reeve_helper_marked(struct mem_cgroup *memcg, int nid)
{
	return list_lru_count_one(&reeve_marked, nid, memcg);
}

/* What a walk looks for, and what it found. */
struct reeve_search {
	const void *type;
	void *owner;
	unsigned long pages;
};

static enum lru_status reeve_take(struct list_head *item,
				  struct list_lru_one *list, void *data)
{
	struct reeve_marker *marker =
		container_of(item, struct reeve_marker, head);
	struct reeve_search *search = data;

	search->owner = marker->ops->take(marker->owner, search->type);
	return LRU_ROTATE;
}

void *reeve_helper_marked_next(struct mem_cgroup *memcg, int nid,
			       const void *type)
{
	struct reeve_search search = { .type = type };
	unsigned long most = 1;

	list_lru_walk_one(&reeve_marked, nid, memcg, reeve_take, &search, &most);
	return search.owner;
}

static enum lru_status reeve_add_up(struct list_head *item,
				    struct list_lru_one *list, void *data)
{
	struct reeve_marker *marker =
		container_of(item, struct reeve_marker, head);
	struct reeve_search *search = data;

	search->pages += marker->ops->pages(marker->owner);
	return LRU_SKIP;
}

unsigned long reeve_helper_marked_pages(struct mem_cgroup *memcg, int nid,
					unsigned long most)
{
	struct reeve_search search = {};

	list_lru_walk_one(&reeve_marked, nid, memcg, reeve_add_up, &search,
			  &most);
	return search.pages;
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

struct mem_cgroup *reeve_helper_memcg_get(void)
{
	return NULL;
}

void reeve_helper_memcg_put(struct mem_cgroup *memcg)
{
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

void reeve_helper_marker_list(struct reeve_marker *marker,
			      const struct reeve_marker_ops *ops, void *owner)
{
}

bool reeve_helper_marker_unlist(struct reeve_marker *marker)
{
	return false;
}

void reeve_helper_marker_touch(struct reeve_marker *marker)
{
}

void reeve_helper_marker_free(struct reeve_marker *marker)
{
}

unsigned long reeve_helper_marked(struct mem_cgroup *memcg, int nid)
{
	return 0;
}

void *reeve_helper_marked_next(struct mem_cgroup *memcg, int nid,
			       const void *type)
{
	return NULL;
}

unsigned long reeve_helper_marked_pages(struct mem_cgroup *memcg, int nid,
					unsigned long most)
{
	return 0;
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
