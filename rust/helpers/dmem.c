// SPDX-License-Identifier: GPL-2.0
/*
 * The region of the dmem cgroup controller. In a kernel without the controller
 * no pages are charged.
 */
#include <linux/cgroup.h>
#include <linux/cgroup_dmem.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/rcupdate.h>

#include "cgroup.h"

#if IS_ENABLED(CONFIG_CGROUP_DMEM)

static struct dmem_cgroup_region *reeve_region;
static int (*reeve_evict)(struct dmem_cgroup_pool_state *limit, u64 bytes,
			  void *data);

static int reeve_dmem_reclaim(struct dmem_cgroup_pool_state *pool, u64 bytes,
			      void *data)
{
	return reeve_evict(pool, bytes, data);
}

static const struct dmem_cgroup_ops reeve_dmem_ops = {
	.reclaim = reeve_dmem_reclaim,
};

int reeve_helper_dmem_register(u64 bytes,
			       int (*evict)(struct dmem_cgroup_pool_state *limit,
					    u64 bytes, void *data),
			     void *data)
{
	const struct dmem_cgroup_init init = {
		.size = bytes,
		.ops = &reeve_dmem_ops,
		.reclaim_priv = data,
	};
	struct dmem_cgroup_region *region;

	if (READ_ONCE(reeve_region))
		return -EBUSY;
	reeve_evict = evict;
	region = dmem_cgroup_register_region(&init, "reeve/system");
	if (IS_ERR(region))
		return PTR_ERR(region);
	WRITE_ONCE(reeve_region, region);
	return 0;
}

void reeve_helper_dmem_unregister(void)
{
	struct dmem_cgroup_region *region = READ_ONCE(reeve_region);

	WRITE_ONCE(reeve_region, NULL);
	dmem_cgroup_unregister_region(region);
}

bool reeve_helper_dmem_charges(void)
{
	bool below_root;

	if (!READ_ONCE(reeve_region))
		return false;
	rcu_read_lock();
	below_root = task_css(current, dmem_cgrp_id)->parent;
	rcu_read_unlock();
	return below_root;
}

int reeve_helper_dmem_charge(u64 bytes, struct dmem_cgroup_pool_state **pool,
			     struct dmem_cgroup_pool_state **limit)
{
	struct dmem_cgroup_region *region = READ_ONCE(reeve_region);

	*pool = NULL;
	*limit = NULL;
	return region ? dmem_cgroup_try_charge(region, bytes, pool, limit) : 0;
}

void reeve_helper_dmem_uncharge(struct dmem_cgroup_pool_state *pool, u64 bytes)
{
	dmem_cgroup_uncharge(pool, bytes);
}

void reeve_helper_dmem_put(struct dmem_cgroup_pool_state *limit)
{
	dmem_cgroup_pool_state_put(limit);
}

bool reeve_helper_dmem_may_evict(struct dmem_cgroup_pool_state *pool,
				 struct dmem_cgroup_pool_state *limit,
				 bool ignore_low, bool *hit_low)
{
	bool may;

	rcu_read_lock();
	may = dmem_cgroup_state_evict_valuable(limit, pool, ignore_low,
					       hit_low);
	rcu_read_unlock();
	return may;
}

#else

int reeve_helper_dmem_register(u64 bytes,
			       int (*evict)(struct dmem_cgroup_pool_state *limit,
					    u64 bytes, void *data),
			     void *data)
{
	return 0;
}

void reeve_helper_dmem_unregister(void)
{
}

bool reeve_helper_dmem_charges(void)
{
	return false;
}

int reeve_helper_dmem_charge(u64 bytes, struct dmem_cgroup_pool_state **pool,
			     struct dmem_cgroup_pool_state **limit)
{
	*pool = NULL;
	*limit = NULL;
	return 0;
}

void reeve_helper_dmem_uncharge(struct dmem_cgroup_pool_state *pool, u64 bytes)
{
}

void reeve_helper_dmem_put(struct dmem_cgroup_pool_state *limit)
{
}

bool reeve_helper_dmem_may_evict(struct dmem_cgroup_pool_state *pool,
				 struct dmem_cgroup_pool_state *limit,
				 bool ignore_low, bool *hit_low)
{
	return false;
}

#endif
