// SPDX-License-Identifier: GPL-2.0
/* Reports in the kernel log: %pS and rate limits are printk's own. */
#define pr_fmt(fmt) "reeve: " fmt

#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>

#include "shim.h"

bool reeve_shim_report_allowed(void)
{
	static DEFINE_RATELIMIT_STATE(reeve_report_limit, 5 * HZ, 20);

	return __ratelimit(&reeve_report_limit);
}

static void *reeve_site_address(u32 site)
{
	unsigned long near = (unsigned long)reeve_record_lock;

	/* Only the low half was kept; all text is within 2 GiB of ours. */
	return (void *)(near + (s32)(site - (u32)near));
}

void reeve_shim_report_head(const u8 *hierarchy, size_t hierarchy_len,
			    const u8 *doing, size_t doing_len,
			    const u8 *order_name, size_t order_name_len,
			    unsigned int order, unsigned long lock,
			    const u8 *fault, size_t fault_len, u32 site)
{
	pr_warn("lock order violation in %s[%d] at %pS: %.*s %.*s.%.*s (order %u, lock %p): %.*s\n",
		current->comm, current->pid, reeve_site_address(site),
		(int)doing_len, doing, (int)hierarchy_len, hierarchy,
		(int)order_name_len, order_name, order, (void *)lock,
		(int)fault_len, fault);
}

void reeve_shim_report_plain(const u8 *hierarchy, size_t hierarchy_len,
			     const u8 *doing, size_t doing_len, const u8 *fault,
			     size_t fault_len, u32 site)
{
	pr_warn("lock order violation in %s[%d] at %pS: %.*s%s%.*s: %.*s\n",
		current->comm, current->pid, reeve_site_address(site),
		(int)doing_len, doing, hierarchy_len ? " " : "",
		(int)hierarchy_len, hierarchy, (int)fault_len, fault);
}

void reeve_shim_report_held(const u8 *order_name, size_t order_name_len,
			    unsigned int order, unsigned long lock,
			    bool exclusive, bool conflicts, u32 site)
{
	pr_warn("  %s %.*s (order %u, lock %p) %s, taken at %pS\n",
		conflicts ? "conflicts with" : "holds", (int)order_name_len,
		order_name, order, (void *)lock,
		exclusive ? "exclusive" : "shared", reeve_site_address(site));
}
