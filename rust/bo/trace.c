// SPDX-License-Identifier: GPL-2.0
/*
 * Watching page accounting: tracepoints, which are macros, and when to read the
 * clock.
 */
#include <linux/jump_label.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/timekeeping.h>

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Counts the enabled tracepoints that show a duration. */
static DEFINE_STATIC_KEY_FALSE(reeve_traced);

/*
 * Timing takes two looks at the clock and an atomic addition. Giving an object a
 * few pages that are at hand would notice; what takes longer does not.
 */
static unsigned long timed_pages = 64;
module_param(timed_pages, ulong, 0644);
MODULE_PARM_DESC(timed_pages,
		 "Fewest pages for which giving an object new pages is timed; other operations are at any size (0: nothing is timed; default 64)");

int reeve_tt_traced(void)
{
	static_branch_inc(&reeve_traced);
	return 0;
}

void reeve_tt_untraced(void)
{
	static_branch_dec(&reeve_traced);
}

u64 reeve_helper_tt_begin(u64 pages)
{
	unsigned long from = READ_ONCE(timed_pages);

	if ((from && pages >= from) || static_branch_unlikely(&reeve_traced))
		return ktime_get_mono_fast_ns() ?: 1;
	return 0;
}

u64 reeve_helper_tt_elapsed(u64 begun, bool *traced)
{
	u64 now = ktime_get_mono_fast_ns();

	*traced = static_branch_unlikely(&reeve_traced);

	/* This clock may go back by some ns when it is adjusted. */
	return now > begun ? now - begun : 0;
}

void reeve_helper_trace_tt(unsigned int event, const struct reeve_tt_operation *o)
{
	switch (event) {
	case REEVE_TT_POPULATE:
		trace_tt_populate(o);
		break;
	case REEVE_TT_UNPOPULATE:
		trace_tt_unpopulate(o);
		break;
	case REEVE_TT_SWAPOUT:
		trace_tt_swapout(o);
		break;
	case REEVE_TT_SWAPIN:
		trace_tt_swapin(o);
		break;
	case REEVE_TT_BACKUP:
		trace_tt_backup(o);
		break;
	case REEVE_TT_RESTORE:
		trace_tt_restore(o);
		break;
	}
}

void reeve_helper_trace_log(unsigned int event, const struct reeve_log_operation *o)
{
	switch (event) {
	case REEVE_LOG_TRACE_START:
		trace_log_start(o);
		break;
	case REEVE_LOG_TRACE_GET:
		trace_log_get(o);
		break;
	case REEVE_LOG_TRACE_CLEAR:
		trace_log_clear(o);
		break;
	case REEVE_LOG_TRACE_WRITE_FAULT:
		trace_log_write_fault(o);
		break;
	case REEVE_LOG_TRACE_FENCE:
		trace_log_fence(o);
		break;
	case REEVE_LOG_TRACE_UNFENCE:
		trace_log_unfence(o);
		break;
	case REEVE_LOG_TRACE_HOLD:
		trace_log_hold(o);
		break;
	}
}

void reeve_helper_trace_tt_overcommit(const struct reeve_tt_overcommit *o)
{
	trace_tt_overcommit(o);
}

void reeve_helper_trace_pool_shrink(u32 node, u64 wanted, u64 pages, u64 duration)
{
	trace_pool_shrink(node, wanted, pages, duration);
}
