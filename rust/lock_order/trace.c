// SPDX-License-Identifier: GPL-2.0
/* The tracepoints, which are macros. */
#define CREATE_TRACE_POINTS
#include "trace.h"

void reeve_helper_trace_violation(const struct reeve_violation *v)
{
	trace_lock_violation(v);
}

void reeve_helper_trace_record(const struct reeve_record *r, bool unlock)
{
	if (unlock)
		trace_lock_unrecord(r);
	else
		trace_lock_record(r);
}
