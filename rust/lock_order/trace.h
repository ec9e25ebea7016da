/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints; Documentation/lock-order.md documents their fields. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM reeve

#if !defined(_REEVE_LOCK_ORDER_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _REEVE_LOCK_ORDER_TRACE_H

#include <linux/tracepoint.h>

#include "lock_order.h"

#define reeve_show_flags(flags)                                         \
	__print_flags(flags, "|", { REEVE_LOCK_EXCLUSIVE, "exclusive" }, \
		      { REEVE_LOCK_SHARED, "shared" },                  \
		      { REEVE_LOCK_TRYLOCK, "trylock" },                \
		      { REEVE_LOCK_OUT_OF_ORDER, "out_of_order" })

#define reeve_show_level(level)                                      \
	__print_symbolic(level, { 0, "task" },                       \
			 { 1 + REEVE_IRQ_SOFT, "soft" },             \
			 { 1 + REEVE_IRQ_HARD, "hard" },             \
			 { 1 + REEVE_IRQ_NMI, "nmi" })

TRACE_EVENT(lock_violation,

	TP_PROTO(const struct reeve_violation *v),

	TP_ARGS(v),

	TP_STRUCT__entry(
		__string_len(hierarchy, v->hierarchy.start, v->hierarchy.len)
		__string_len(name, v->name.start, v->name.len)
		__string_len(against_name, v->against_name.start, v->against_name.len)
		__string_len(doing, v->operation.start, v->operation.len)
		__string_len(kind, v->kind.start, v->kind.len)
		__field(unsigned long, lock)
		__field(unsigned long, against_lock)
		__field(unsigned long, ip)
		__field(unsigned long, against_ip)
		__field(unsigned int, order)
		__field(unsigned int, against)
		__field(unsigned int, flags)
		__field(unsigned int, level)
	),

	TP_fast_assign(
		__assign_str(hierarchy);
		__assign_str(name);
		__assign_str(against_name);
		__assign_str(doing);
		__assign_str(kind);
		__entry->lock = v->lock;
		__entry->against_lock = v->against_lock;
		__entry->ip = reeve_site_address(v->site);
		__entry->against_ip = reeve_site_address(v->against_site);
		__entry->order = v->order;
		__entry->against = v->against;
		__entry->flags = v->flags;
		__entry->level = v->who.level;
	),

	TP_printk("hierarchy=%s doing=%s order=%u name=%s lock=%p flags=%s ip=%pS kind=%s against=%u against_name=%s against_lock=%p against_ip=%pS level=%s",
		  __get_str(hierarchy), __get_str(doing), __entry->order,
		  __get_str(name), (void *)__entry->lock,
		  reeve_show_flags(__entry->flags), (void *)__entry->ip,
		  __get_str(kind), __entry->against, __get_str(against_name),
		  (void *)__entry->against_lock, (void *)__entry->against_ip,
		  reeve_show_level(__entry->level))
);

DECLARE_EVENT_CLASS(reeve_lock_use,

	TP_PROTO(const struct reeve_record *r),

	TP_ARGS(r),

	TP_STRUCT__entry(
		__string_len(hierarchy, r->hierarchy.start, r->hierarchy.len)
		__string_len(name, r->name.start, r->name.len)
		__field(unsigned long, lock)
		__field(unsigned long, ip)
		__field(unsigned int, order)
		__field(unsigned int, flags)
	),

	TP_fast_assign(
		__assign_str(hierarchy);
		__assign_str(name);
		__entry->lock = r->lock;
		__entry->ip = reeve_site_address(r->site);
		__entry->order = r->order;
		__entry->flags = r->flags;
	),

	TP_printk("hierarchy=%s order=%u name=%s lock=%p flags=%s ip=%pS",
		  __get_str(hierarchy), __entry->order, __get_str(name),
		  (void *)__entry->lock, reeve_show_flags(__entry->flags),
		  (void *)__entry->ip)
);

DEFINE_EVENT_FN(reeve_lock_use, lock_record,
	TP_PROTO(const struct reeve_record *r),
	TP_ARGS(r),
	reeve_trace_divert, reeve_trace_return
);

DEFINE_EVENT_FN(reeve_lock_use, lock_unrecord,
	TP_PROTO(const struct reeve_record *r),
	TP_ARGS(r),
	reeve_trace_divert, reeve_trace_return
);

#endif /* _REEVE_LOCK_ORDER_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
