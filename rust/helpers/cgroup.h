/* SPDX-License-Identifier: GPL-2.0 */
/* Helpers for charging cgroups: macros and inlines of C, one call each. */
#ifndef _REEVE_HELPERS_CGROUP_H
#define _REEVE_HELPERS_CGROUP_H

#include <linux/types.h>

struct dmem_cgroup_pool_state;
struct mem_cgroup;
struct page;

/*
 * dmem.c
 *
 * Registers the module's region of @bytes. @evict(@limit, @bytes, @data) is
 * called in process context when a limit is set below what is charged. Returns
 * 0 also in a kernel without the dmem controller.
 */
int reeve_helper_dmem_register(u64 bytes,
			       int (*evict)(struct dmem_cgroup_pool_state *limit,
					    u64 bytes, void *data),
			     void *data);
/* Waits for calls of @evict. All charges must have been undone. */
void reeve_helper_dmem_unregister(void);
/* Whether current's allocations are charged: its cgroup is not the root. */
bool reeve_helper_dmem_charges(void);
/*
 * Charges current's cgroup and sets *@pool to what was charged, which the
 * charge keeps. Returns -EAGAIN if that is above a limit, with *@limit set to a
 * reference to the pool of that limit.
 */
int reeve_helper_dmem_charge(u64 bytes, struct dmem_cgroup_pool_state **pool,
			     struct dmem_cgroup_pool_state **limit);
void reeve_helper_dmem_uncharge(struct dmem_cgroup_pool_state *pool, u64 bytes);
void reeve_helper_dmem_put(struct dmem_cgroup_pool_state *limit);
/*
 * Whether evicting what is charged to *@pool, if it is not NULL, helps with
 * @limit. *@pool must be cleared before the charge is undone.
 */
bool reeve_helper_dmem_may_evict(struct dmem_cgroup_pool_state *pool,
				 struct dmem_cgroup_pool_state *limit,
				 bool ignore_low, bool *hit_low);

/*
 * memcg.c
 *
 * Returns the id of the memory cgroup that current's pages are charged to, which
 * is never reused, or 0 if they are not charged.
 */
u64 reeve_helper_memcg(void);
/*
 * Whether @pages more fit into the limits of current's memory cgroup and of
 * those above it, now or, with @if_empty, if nothing else was charged.
 */
bool reeve_helper_memcg_has_room(unsigned long pages, bool if_empty);
/* Whether the block that begins with @page is charged. */
bool reeve_helper_page_is_charged(struct page *page);

/*
 * Returns current's memory cgroup with a reference, or NULL if that is the root,
 * and drops the reference.
 */
struct mem_cgroup *reeve_helper_memcg_get(void);
void reeve_helper_memcg_put(struct mem_cgroup *memcg);

/*
 * A marker can be in the list of the memory cgroup of the task that makes it, or
 * the one above when that is removed. Reclaim of a cgroup calls the shrinker for
 * which the markers were initialised while there are some in its list. There is
 * one such shrinker; all markers must be gone before exit. A new one is NULL if
 * there is no such shrinker, and an ERR_PTR() if there is no memory.
 */
struct reeve_marker;
struct shrinker;

/* Called with the list locked. */
struct reeve_marker_ops {
	/* Returns @owner with a reference if it is of @type, else NULL. */
	void *(*take)(void *owner, const void *type);
	unsigned long (*pages)(void *owner);
};

int reeve_helper_markers_init(struct shrinker *shrinker);
void reeve_helper_markers_exit(void);
struct reeve_marker *reeve_helper_marker_new(void);
/* Of one that is in no list. */
void reeve_helper_marker_free(struct reeve_marker *marker);
/* Puts one that is in no list at the end of its list. */
void reeve_helper_marker_list(struct reeve_marker *marker,
			      const struct reeve_marker_ops *ops, void *owner);
/* Returns whether it was in a list. */
bool reeve_helper_marker_unlist(struct reeve_marker *marker);
/* Moves it to the end, if it is in a list. */
void reeve_helper_marker_touch(struct reeve_marker *marker);
/* How many there are in the list of @memcg, of those in memory of node @nid. */
unsigned long reeve_helper_marked(struct mem_cgroup *memcg, int nid);
/* Moves the first of these to the end and takes its owner. */
void *reeve_helper_marked_next(struct mem_cgroup *memcg, int nid,
			       const void *type);
/* Returns the sum of the pages of the first @most. */
unsigned long reeve_helper_marked_pages(struct mem_cgroup *memcg, int nid,
					unsigned long most);

struct reeve_memcg_scope {
	struct mem_cgroup *before;
	struct mem_cgroup *memcg;
	bool entered;
};

/*
 * Makes current's allocations from now on be charged to the cgroup that the
 * block that begins with @page is charged to; to the root if there is none or
 * @page is NULL. Leaving undoes it, in reverse order.
 */
void reeve_helper_memcg_enter(struct page *page, struct reeve_memcg_scope *scope);
void reeve_helper_memcg_leave(struct reeve_memcg_scope *scope);

#endif /* _REEVE_HELPERS_CGROUP_H */
