/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints of page accounting; Documentation/watching.md documents them. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM reeve

#if !defined(_REEVE_BO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _REEVE_BO_TRACE_H

#include <linux/tracepoint.h>

#include "../helpers/helpers.h"

DECLARE_EVENT_CLASS(reeve_tt_operation,

	TP_PROTO(const struct reeve_tt_operation *o),

	TP_ARGS(o),

	TP_STRUCT__entry(
		__field(unsigned long, bo)
		__field(u64, pages)
		__field(u64, duration)
		__field(u32, device)
		__field(s32, result)
	),

	TP_fast_assign(
		__entry->bo = o->bo;
		__entry->pages = o->pages;
		__entry->duration = o->duration;
		__entry->device = o->device;
		__entry->result = o->result;
	),

	TP_printk("device=%u bo=%p pages=%llu duration=%llu result=%d",
		  __entry->device, (void *)__entry->bo, __entry->pages,
		  __entry->duration, __entry->result)
);

DEFINE_EVENT_FN(reeve_tt_operation, tt_populate,
	TP_PROTO(const struct reeve_tt_operation *o),
	TP_ARGS(o),
	reeve_tt_traced, reeve_tt_untraced
);

DEFINE_EVENT_FN(reeve_tt_operation, tt_unpopulate,
	TP_PROTO(const struct reeve_tt_operation *o),
	TP_ARGS(o),
	reeve_tt_traced, reeve_tt_untraced
);

DEFINE_EVENT_FN(reeve_tt_operation, tt_swapout,
	TP_PROTO(const struct reeve_tt_operation *o),
	TP_ARGS(o),
	reeve_tt_traced, reeve_tt_untraced
);

DEFINE_EVENT_FN(reeve_tt_operation, tt_swapin,
	TP_PROTO(const struct reeve_tt_operation *o),
	TP_ARGS(o),
	reeve_tt_traced, reeve_tt_untraced
);

DEFINE_EVENT_FN(reeve_tt_operation, tt_backup,
	TP_PROTO(const struct reeve_tt_operation *o),
	TP_ARGS(o),
	reeve_tt_traced, reeve_tt_untraced
);

DEFINE_EVENT_FN(reeve_tt_operation, tt_restore,
	TP_PROTO(const struct reeve_tt_operation *o),
	TP_ARGS(o),
	reeve_tt_traced, reeve_tt_untraced
);

TRACE_EVENT(tt_overcommit,

	TP_PROTO(const struct reeve_tt_overcommit *o),

	TP_ARGS(o),

	TP_STRUCT__entry(
		__field(u64, pages)
		__field(u64, allocated)
		__field(u64, limit)
		__field(u64, dma32_allocated)
		__field(u64, dma32_limit)
		__field(u32, device)
	),

	TP_fast_assign(
		__entry->pages = o->pages;
		__entry->allocated = o->allocated;
		__entry->limit = o->limit;
		__entry->dma32_allocated = o->dma32_allocated;
		__entry->dma32_limit = o->dma32_limit;
		__entry->device = o->device;
	),

	TP_printk("device=%u pages=%llu allocated=%llu limit=%llu dma32_allocated=%llu dma32_limit=%llu",
		  __entry->device, __entry->pages, __entry->allocated,
		  __entry->limit, __entry->dma32_allocated,
		  __entry->dma32_limit)
);

DECLARE_EVENT_CLASS(reeve_log_operation,

	TP_PROTO(const struct reeve_log_operation *o),

	TP_ARGS(o),

	TP_STRUCT__entry(
		__field(unsigned long, bo)
		__field(u64, first)
		__field(u64, pages)
		__field(u64, dirty)
		__field(u32, device)
		__field(u32, mode)
	),

	TP_fast_assign(
		__entry->bo = o->bo;
		__entry->first = o->first;
		__entry->pages = o->pages;
		__entry->dirty = o->dirty;
		__entry->device = o->device;
		__entry->mode = o->mode;
	),

	TP_printk("device=%u bo=%p mode=%u first=%llu pages=%llu dirty=%llu",
		  __entry->device, (void *)__entry->bo, __entry->mode,
		  __entry->first, __entry->pages, __entry->dirty)
);

DEFINE_EVENT(reeve_log_operation, log_start,
	TP_PROTO(const struct reeve_log_operation *o),
	TP_ARGS(o)
);

DEFINE_EVENT(reeve_log_operation, log_get,
	TP_PROTO(const struct reeve_log_operation *o),
	TP_ARGS(o)
);

DEFINE_EVENT(reeve_log_operation, log_clear,
	TP_PROTO(const struct reeve_log_operation *o),
	TP_ARGS(o)
);

DEFINE_EVENT(reeve_log_operation, log_write_fault,
	TP_PROTO(const struct reeve_log_operation *o),
	TP_ARGS(o)
);

DEFINE_EVENT(reeve_log_operation, log_fence,
	TP_PROTO(const struct reeve_log_operation *o),
	TP_ARGS(o)
);

DEFINE_EVENT(reeve_log_operation, log_unfence,
	TP_PROTO(const struct reeve_log_operation *o),
	TP_ARGS(o)
);

DEFINE_EVENT(reeve_log_operation, log_hold,
	TP_PROTO(const struct reeve_log_operation *o),
	TP_ARGS(o)
);

TRACE_EVENT_FN(pool_shrink,

	TP_PROTO(u32 node, u64 wanted, u64 pages, u64 duration),

	TP_ARGS(node, wanted, pages, duration),

	TP_STRUCT__entry(
		__field(u64, wanted)
		__field(u64, pages)
		__field(u64, duration)
		__field(u32, node)
	),

	TP_fast_assign(
		__entry->wanted = wanted;
		__entry->pages = pages;
		__entry->duration = duration;
		__entry->node = node;
	),

	TP_printk("node=%u wanted=%llu pages=%llu duration=%llu",
		  __entry->node, __entry->wanted, __entry->pages,
		  __entry->duration),

	reeve_tt_traced, reeve_tt_untraced
);

#endif /* _REEVE_BO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
