// SPDX-License-Identifier: GPL-2.0
/* Reports in the kernel log: %pS and rate limits are printk's own. */
#define pr_fmt(fmt) "reeve: " fmt

#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#if !defined(CONFIG_STACKTRACE) && defined(CONFIG_X86)
#include <asm/unwind.h>
#endif

#include "lock_order.h"

unsigned long reeve_site_address(u32 site)
{
	unsigned long near = (unsigned long)reeve_record_lock;

	/* Only the low half was kept; all text is within 2 GiB of ours. */
	return site ? near + (s32)(site - (u32)near) : 0;
}

void reeve_helper_who(struct reeve_who *who)
{
	who->time = local_clock();
	who->pid = current->pid;
	who->cpu = raw_smp_processor_id();
	/* Not get_task_comm(): its lock may be what was interrupted. */
	strscpy_pad(who->comm, current->comm);
}

bool reeve_helper_task_who(unsigned long task, struct reeve_who *who)
{
	const struct task_struct *t = (const struct task_struct *)task;
	pid_t pid;

	if (copy_from_kernel_nofault(&pid, &t->pid, sizeof(pid)) ||
	    copy_from_kernel_nofault(who->comm, t->comm, sizeof(who->comm)))
		return false;
	who->pid = pid;
	who->comm[sizeof(who->comm) - 1] = '\0';
	return true;
}

bool reeve_helper_copy_context(void *to, const void *from, size_t size)
{
	return !copy_from_kernel_nofault(to, from, size);
}

/*
 * Of repeats as many as a console can take; what has no place of its own is not
 * hidden by them.
 */
bool reeve_helper_report_allowed(bool repeat)
{
	static DEFINE_RATELIMIT_STATE(reeve_report_limit, 5 * HZ, 20);
	static DEFINE_RATELIMIT_STATE(reeve_repeat_limit, 5 * HZ, 10);

	return __ratelimit(repeat ? &reeve_repeat_limit : &reeve_report_limit);
}

void reeve_helper_report_head(const struct reeve_violation *v)
{
	const struct reeve_text *h = &v->hierarchy;
	bool named = h->len != 1 || *h->start != '-';

	if (v->order && !v->has_lock)
		pr_warn("lock order violation in %s[%d] at %pS: %.*s %.*s.%.*s (order %u): %.*s\n",
			current->comm, current->pid,
			(void *)reeve_site_address(v->site), v->doing.len,
			v->doing.start, h->len, h->start, v->name.len,
			v->name.start, v->order, v->fault.len, v->fault.start);
	else if (v->order)
		pr_warn("lock order violation in %s[%d] at %pS: %.*s %.*s.%.*s (order %u, lock %p): %.*s\n",
			current->comm, current->pid,
			(void *)reeve_site_address(v->site), v->doing.len,
			v->doing.start, h->len, h->start, v->name.len,
			v->name.start, v->order, (void *)v->lock, v->fault.len,
			v->fault.start);
	else
		pr_warn("lock order violation in %s[%d] at %pS: %.*s%s%.*s: %.*s\n",
			current->comm, current->pid,
			(void *)reeve_site_address(v->site), v->doing.len,
			v->doing.start, named ? " " : "", named ? h->len : 0,
			h->start, v->fault.len, v->fault.start);
}

void reeve_helper_report_held(struct reeve_text name, unsigned int order,
			      unsigned long lock, bool exclusive, bool conflicts,
			    u32 site)
{
	pr_warn("  %s %.*s (order %u, lock %p) %s, taken at %pS\n",
		conflicts ? "conflicts with" : "holds", name.len, name.start,
		order, (void *)lock, exclusive ? "exclusive" : "shared",
		(void *)reeve_site_address(site));
}

void reeve_helper_report_more(unsigned int locks)
{
	pr_warn("  holds %u more of the hierarchy\n", locks);
}

/* Frames that a report shows, and how many are looked at to find the caller. */
#define REEVE_FRAMES 8
#define REEVE_DEPTH 32

#if defined(CONFIG_STACKTRACE)
static unsigned int reeve_stack(unsigned long *entries, unsigned int max)
{
	return stack_trace_save(entries, max, 1);
}
#elif defined(CONFIG_X86)
static unsigned int reeve_stack(unsigned long *entries, unsigned int max)
{
	struct unwind_state state;
	unsigned int count = 0;

	for (unwind_start(&state, current, NULL, NULL);
	     !unwind_done(&state) && count < max; unwind_next_frame(&state)) {
		unsigned long address = unwind_get_return_address(&state);

		if (address)
			entries[count++] = address;
	}
	return count;
}
#else
static unsigned int reeve_stack(unsigned long *entries, unsigned int max)
{
	return 0;
}
#endif

/*
 * Frames of this module are left out: they say nothing of the caller's, and names
 * of Rust functions may be longer than KSYM_NAME_LEN, of which the kernel's %pS
 * takes the error of strscpy() as the length and writes before its buffer.
 */
void reeve_helper_report_stack(u32 site)
{
	unsigned long entries[REEVE_DEPTH];
	unsigned int count = reeve_stack(entries, REEVE_DEPTH);
	unsigned int from = 0, shown = 0, i;

	/* From the caller on, whose place is in the report already. */
	for (i = 0; i < count; i++) {
		if ((u32)entries[i] == site) {
			from = i + 1;
			break;
		}
	}
	/* A wrapper gave another place: then from the first that is not ours. */
	while (!from && i-- > 0)
		if (within_module(entries[i], THIS_MODULE))
			from = i + 1;
	for (i = from; i < count && shown < REEVE_FRAMES; i++) {
		if (within_module(entries[i], THIS_MODULE))
			continue;
		pr_warn("    called from %pS\n", (void *)entries[i]);
		shown++;
	}
}

unsigned long reeve_helper_irq_save(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

void reeve_helper_irq_restore(unsigned long flags)
{
	local_irq_restore(flags);
}

unsigned int reeve_helper_site_text(u8 *buffer, size_t size, u32 site)
{
	return scnprintf(buffer, size, "%pS", (void *)reeve_site_address(site));
}

unsigned int reeve_helper_lock_text(u8 *buffer, size_t size, unsigned long lock)
{
	return scnprintf(buffer, size, "%p", (void *)lock);
}
