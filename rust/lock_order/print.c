// SPDX-License-Identifier: GPL-2.0
/* Reports in the kernel log: %pS and rate limits are printk's own. */
#define pr_fmt(fmt) "reeve: " fmt

#include <linux/irqflags.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/pgtable.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
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
	who->level = in_nmi()	   ? 1 + REEVE_IRQ_NMI :
		     in_hardirq() ? 1 + REEVE_IRQ_HARD :
		     !in_task()   ? 1 + REEVE_IRQ_SOFT :
				    0;
	/* Not get_task_comm(): its lock may be what was interrupted. */
	strscpy_pad(who->comm, current->comm);
}

bool reeve_helper_task_who(unsigned long task, struct reeve_who *who)
{
	const struct task_struct *t = reeve_task_of(task);
	pid_t pid;

	if (copy_from_kernel_nofault(&pid, &t->pid, sizeof(pid)) ||
	    copy_from_kernel_nofault(who->comm, t->comm, sizeof(who->comm)))
		return false;
	who->pid = pid;
	who->level = 0;
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

static bool panic_on_violation;
module_param(panic_on_violation, bool, 0644);
MODULE_PARM_DESC(panic_on_violation,
		 "Panic at a lock order violation, after its report (default 0)");

void reeve_helper_panic_if_asked(void)
{
	if (READ_ONCE(panic_on_violation))
		panic("reeve: lock order violation, and panic_on_violation is set\n");
}

/* Whether the report is of what runs now, and not of a task that has ended. */
static bool reeve_is_running(const struct reeve_who *who)
{
	return who->level || who->pid == current->pid;
}

/* Who, and where from: "sh[61]", or "hard irq of CPU 0". */
static void reeve_name_who(char *buffer, size_t size,
			   const struct reeve_who *who)
{
	static const char *const levels[] = { "soft irq", "hard irq", "NMI" };

	if (who->level)
		scnprintf(buffer, size, "%s of CPU %u", levels[who->level - 1],
			  who->cpu);
	else
		scnprintf(buffer, size, "%s[%u]", who->comm, who->pid);
}

void reeve_helper_report_head(const struct reeve_violation *v)
{
	const struct reeve_text *h = &v->hierarchy;
	bool named = h->len != 1 || *h->start != '-';
	char who[32];

	reeve_name_who(who, sizeof(who), &v->who);
	if (v->order && !v->has_lock)
		pr_warn("lock order violation in %s at %pS: %.*s %.*s.%.*s (order %u): %.*s\n",
			who, (void *)reeve_site_address(v->site), v->doing.len,
			v->doing.start, h->len, h->start, v->name.len,
			v->name.start, v->order, v->fault.len, v->fault.start);
	else if (v->order)
		pr_warn("lock order violation in %s at %pS: %.*s %.*s.%.*s (order %u, lock %p): %.*s\n",
			who, (void *)reeve_site_address(v->site), v->doing.len,
			v->doing.start, h->len, h->start, v->name.len,
			v->name.start, v->order, (void *)v->lock, v->fault.len,
			v->fault.start);
	else
		pr_warn("lock order violation in %s at %pS: %.*s%s%.*s: %.*s\n",
			who, (void *)reeve_site_address(v->site), v->doing.len,
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
void reeve_helper_report_stack(const struct reeve_who *who, u32 site)
{
	unsigned long entries[REEVE_DEPTH];
	unsigned int from = 0, shown = 0, count, i;

	if (!reeve_is_running(who))
		return;
	count = reeve_stack(entries, REEVE_DEPTH);
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

u32 reeve_helper_surroundings(void)
{
	u32 surroundings = 0;

	if (!in_task())
		surroundings |= REEVE_IN_INTERRUPT;
	if (in_hardirq() || in_nmi())
		surroundings |= REEVE_IN_HARD_INTERRUPT;
	if (irqs_disabled())
		surroundings |= REEVE_INTERRUPTS_OFF | REEVE_IS_ATOMIC;
	/*
	 * Most spinlocks leave them on, and most handlers are threads: which lock
	 * is one of the others is not known.
	 */
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		surroundings |= REEVE_INTERRUPTS_OFF;
	/* Without it preemption is not counted. */
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT) && preempt_count())
		surroundings |= REEVE_IS_ATOMIC;
	return surroundings;
}

/* Not where the lock of those who look may be held already, or may sleep. */
bool reeve_helper_may_look(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return !(reeve_helper_surroundings() &
			 (REEVE_IN_INTERRUPT | REEVE_IS_ATOMIC));
	return !in_nmi();
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

/*
 * Code of modules that are gone, so that places in it are not shown as what was
 * loaded there afterwards.
 */
struct reeve_gone {
	unsigned long start, end;
	u64 time; /* when it went, on the log's clock */
	char name[MODULE_NAME_LEN];
};

/* A lock that was taken by a module that is gone, and was held then. */
struct reeve_left {
	unsigned long lock;
	u32 site;
	struct reeve_gone gone;
};

#define REEVE_GONE 64
static DEFINE_RAW_SPINLOCK(reeve_gone_lock);
static struct reeve_gone reeve_gone[REEVE_GONE];
static struct reeve_left reeve_left[REEVE_GONE];
static unsigned int reeve_gone_count, reeve_left_count;
/* What was seen before that may be of a module that is not known any more. */
static u64 reeve_gone_forgotten;

static void reeve_add_gone(const struct module *module, enum mod_mem_type type)
{
	unsigned long start = (unsigned long)module->mem[type].base;
	unsigned long end = start + module->mem[type].size;
	struct reeve_gone *gone;

	if (start == end)
		return;
	raw_spin_lock(&reeve_gone_lock);
	gone = &reeve_gone[reeve_gone_count++ % REEVE_GONE];
	if (gone->time)
		reeve_gone_forgotten = gone->time;
	gone->start = start;
	gone->end = end;
	gone->time = local_clock();
	strscpy(gone->name, module->name);
	raw_spin_unlock(&reeve_gone_lock);
	reeve_rs_module_goes(start, end);
}

/* In reeve_rs_module_goes(): of the one that was added last. */
void reeve_helper_left_behind(unsigned long lock, u32 site)
{
	struct reeve_left *left;

	raw_spin_lock(&reeve_gone_lock);
	left = &reeve_left[reeve_left_count++ % REEVE_GONE];
	left->lock = lock;
	left->site = site;
	left->gone = reeve_gone[(reeve_gone_count - 1) % REEVE_GONE];
	raw_spin_unlock(&reeve_gone_lock);
}

static bool reeve_may_be_of_module(unsigned long address)
{
#ifdef MODULES_VADDR
	return address >= MODULES_VADDR && address < MODULES_END;
#else
	return false;
#endif
}

static const struct reeve_gone *reeve_find_gone(unsigned long address,
						unsigned long lock, u64 time)
{
	unsigned int i, at;

	for (i = 0; lock && i < min(reeve_left_count, REEVE_GONE); i++) {
		const struct reeve_left *left = &reeve_left[i];

		if (left->lock == lock && left->site == (u32)address)
			return &left->gone;
	}
	/* Oldest first: the one that went next after that time. */
	for (i = 0; time && i < REEVE_GONE; i++) {
		at = (reeve_gone_count + i) % REEVE_GONE;
		if (reeve_gone[at].time > time &&
		    reeve_gone[at].start <= address &&
		    address < reeve_gone[at].end)
			return &reeve_gone[at];
	}
	return NULL;
}

/* Whether a lock that is held may have been taken there by a module that is gone. */
static bool reeve_may_be_gone(unsigned long address)
{
	unsigned int i;

	if (reeve_left_count <= REEVE_GONE)
		return false;
	for (i = 0; i < REEVE_GONE; i++)
		if (reeve_gone[i].start <= address &&
		    address < reeve_gone[i].end)
			return true;
	return reeve_gone_count > REEVE_GONE;
}

static int reeve_module_changes(struct notifier_block *notifier,
				unsigned long state, void *data)
{
	const struct module *module = data;

	if (module == THIS_MODULE)
		return NOTIFY_DONE;
	if (state == MODULE_STATE_GOING)
		reeve_add_gone(module, MOD_TEXT);
	else if (state == MODULE_STATE_LIVE)
		reeve_add_gone(module, MOD_INIT_TEXT);
	return NOTIFY_OK;
}

static struct notifier_block reeve_module_notifier = {
	.notifier_call = reeve_module_changes,
	/* After the module's exit and what others do about it. */
	.priority = INT_MIN,
};

void reeve_helper_watch_modules(void)
{
	register_module_notifier(&reeve_module_notifier);
}

void reeve_helper_unwatch_modules(void)
{
	unregister_module_notifier(&reeve_module_notifier);
}

/*
 * @lock: what was taken there, or 0; @time: when it was known to be there, 0:
 * it is not known. Not in an interrupt.
 */
unsigned int reeve_helper_site_text(u8 *buffer, size_t size, u32 site,
				    unsigned long lock, u64 time)
{
	unsigned long address = reeve_site_address(site);
	const struct reeve_gone *gone;
	unsigned int length;

	raw_spin_lock(&reeve_gone_lock);
	gone = reeve_find_gone(address, lock, time);
	if (gone)
		length = scnprintf(buffer, size, "%s+0x%lx [%s,gone]",
				   gone->name, address - gone->start,
				   gone->name);
	else if ((time ? time <= reeve_gone_forgotten :
			 reeve_may_be_gone(address)) &&
		 reeve_may_be_of_module(address))
		length = scnprintf(buffer, size, "?");
	else
		length = scnprintf(buffer, size, "%pS", (void *)address);
	raw_spin_unlock(&reeve_gone_lock);
	return length;
}

unsigned int reeve_helper_lock_text(u8 *buffer, size_t size, unsigned long lock)
{
	return scnprintf(buffer, size, "%p", (void *)lock);
}
