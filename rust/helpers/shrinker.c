// SPDX-License-Identifier: GPL-2.0
#include <linux/memcontrol.h>
#include <linux/minmax.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/swap.h>

#include "cgroup.h"
#include "helpers.h"

/* The cgroup that is shrunk; NULL: the root, which is the machine. */
static struct mem_cgroup *reeve_shrunk(struct shrink_control *sc)
{
	return sc->memcg && !mem_cgroup_is_root(sc->memcg) ? sc->memcg : NULL;
}

static unsigned long reeve_shrinker_count(struct shrinker *shrinker,
					  struct shrink_control *sc)
{
	const struct reeve_shrinker_ops *ops = shrinker->private_data;
	struct mem_cgroup *memcg = reeve_shrunk(sc);

	/* What is empty is not asked again until another marker is added. */
	if (ops->by_memcg && !(memcg && reeve_helper_marked(memcg, sc->nid)))
		return SHRINK_EMPTY;
	return ops->count(ops->data, sc->nid, memcg) ?:
		       (ops->by_memcg ? 0 : SHRINK_EMPTY);
}

static unsigned long reeve_shrinker_scan(struct shrinker *shrinker,
					 struct shrink_control *sc)
{
	const struct reeve_shrinker_ops *ops = shrinker->private_data;
	unsigned long freed = ops->scan(ops->data, sc->nid, sc->nr_to_scan,
					sc->gfp_mask, reeve_shrunk(sc));

	/* Whole blocks are freed, so it may be more than was asked for. */
	sc->nr_scanned = max(freed, sc->nr_to_scan);
	return freed ?: SHRINK_STOP;
}

struct shrinker *reeve_helper_shrinker_new(const char *name,
					   const struct reeve_shrinker_ops *ops)
{
	unsigned int flags = (ops->by_node ? SHRINKER_NUMA_AWARE : 0) |
			     (ops->by_memcg ? SHRINKER_MEMCG_AWARE : 0);
	struct shrinker *shrinker = shrinker_alloc(flags, "%s", name);

	if (!shrinker)
		return NULL;
	if (ops->by_memcg && reeve_helper_markers_init(shrinker)) {
		shrinker_free(shrinker);
		return NULL;
	}
	shrinker->count_objects = reeve_shrinker_count;
	shrinker->scan_objects = reeve_shrinker_scan;
	shrinker->batch = ops->batch;
	shrinker->seeks = ops->seeks;
	shrinker->private_data = (void *)ops;
	shrinker_register(shrinker);
	return shrinker;
}

void reeve_helper_shrinker_free(struct shrinker *shrinker,
				const struct reeve_shrinker_ops *ops)
{
	shrinker_free(shrinker);
	if (ops->by_memcg)
		reeve_helper_markers_exit();
}

unsigned int reeve_helper_reclaim_enter(void)
{
	fs_reclaim_acquire(GFP_KERNEL);
	return memalloc_noreclaim_save();
}

void reeve_helper_reclaim_leave(unsigned int before)
{
	memalloc_noreclaim_restore(before);
	fs_reclaim_release(GFP_KERNEL);
}

long reeve_helper_free_swap(void)
{
	return get_nr_swap_pages();
}

bool reeve_helper_is_kswapd(void)
{
	return current_is_kswapd();
}
