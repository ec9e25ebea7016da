/* SPDX-License-Identifier: GPL-2.0 */
/* What charging cgroups needs of C. */
#ifndef _REEVE_CGROUP_SHIM_H
#define _REEVE_CGROUP_SHIM_H

#include <linux/types.h>

struct dmem_cgroup_pool_state;
struct mem_cgroup;
struct page;

/*
 * dmem.c
 *
 * Registers the module's region of @bytes. @evict(@limit, @bytes, @data) is
 * called in process context when a limit is set below what is charged. Success
 * also where the kernel has no dmem controller.
 */
int reeve_shim_dmem_register(u64 bytes,
			     int (*evict)(struct dmem_cgroup_pool_state *limit,
					  u64 bytes, void *data),
			     void *data);
/* Waits for calls of @evict. Nothing may be charged any more. */
void reeve_shim_dmem_unregister(void);
/* Whether what current allocates is charged: it is below the root. */
bool reeve_shim_dmem_charges(void);
/*
 * Charges current's cgroup. *@pool: what was charged, with references. EAGAIN:
 * over the limit of *@limit, a reference.
 */
int reeve_shim_dmem_charge(u64 bytes, struct dmem_cgroup_pool_state **pool,
			   struct dmem_cgroup_pool_state **limit);
void reeve_shim_dmem_uncharge(struct dmem_cgroup_pool_state *pool, u64 bytes);
void reeve_shim_dmem_put(struct dmem_cgroup_pool_state *limit);
/*
 * Whether what is charged to *@pool, if it is not NULL, can help @limit. Who
 * clears *@pool does so before the charge is given back.
 */
bool reeve_shim_dmem_may_evict(struct dmem_cgroup_pool_state *const *pool,
			       struct dmem_cgroup_pool_state *limit,
			       bool ignore_low, bool *hit_low);
struct dmem_cgroup_pool_state *
reeve_shim_dmem_exchange(struct dmem_cgroup_pool_state **slot,
			 struct dmem_cgroup_pool_state *pool);

/*
 * memcg.c
 *
 * The id of the memory cgroup that pages of current's are charged to, unique
 * for ever; 0: to none.
 */
u64 reeve_shim_memcg(void);
/*
 * Whether @pages more fit into the limits of current's memory cgroup and those
 * above it now, or @ever: with nothing else in them.
 */
bool reeve_shim_memcg_has_room(unsigned long pages, bool ever);
/* Whether the block that begins with @page is charged; other pages never are. */
bool reeve_shim_page_is_charged(struct page *page);

struct reeve_memcg_scope {
	struct mem_cgroup *before;
	struct mem_cgroup *memcg;
	bool entered;
};

/*
 * What current allocates from now on is charged to whom the block that begins
 * with @page is; to the root, if that is none or @page is NULL.
 */
void reeve_shim_memcg_enter(struct page *page, struct reeve_memcg_scope *scope);
void reeve_shim_memcg_leave(struct reeve_memcg_scope *scope);

#endif /* _REEVE_CGROUP_SHIM_H */
