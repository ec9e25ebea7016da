// SPDX-License-Identifier: GPL-2.0
/*
 * Many threads make random calls of the lock-order API, right ones and wrong
 * ones, and compare every result with a simple model. Threads end and others
 * take their place; their contexts lie on the stack or are allocated; timers
 * make calls of their own in hard and soft interrupts meanwhile; and one
 * thread reads all contexts all the time.
 */
#define pr_fmt(fmt) "stress: " fmt

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/timer.h>

#include "walk.h"

static unsigned int threads = 64;
module_param(threads, uint, 0444);
MODULE_PARM_DESC(threads, "How many threads there are at a time");

static unsigned int lives = 8;
module_param(lives, uint, 0444);
MODULE_PARM_DESC(lives, "How many threads take each place, one after another");

static unsigned int operations = 2000;
module_param(operations, uint, 0444);
MODULE_PARM_DESC(operations, "How many calls each of them makes");

static unsigned int period_us = 10000;
module_param(period_us, uint, 0444);
MODULE_PARM_DESC(period_us, "Time between a CPU's hard interrupts, and soft ones");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "Where the random numbers start");

#define INTERRUPT_OPERATIONS 12

static const char *const names[STRESS_ORDERS] = {
	"one", "two", "three", "four", "five", "six", "seven", "eight",
};

struct place {
	struct walk walk;
	struct completion ended;
	bool lives;
	unsigned int lived; /* how many did before */
	unsigned int full; /* and how many of them held as much as can be */
};

struct interrupts {
	struct walk hard;
	struct walk soft;
	struct hrtimer hrtimer;
	struct timer_list timer;
};

static struct place *places;
static struct interrupts *interrupts; /* one per possible CPU */

static noinline_for_stack void live_on_stack(struct walk *walk)
{
	struct reeve_thread_context context;

	walk->context = &context;
	walk_enter(walk);
	walk_on(walk, operations);
	walk_leave(walk);
}

static int live_on_heap(struct walk *walk)
{
	struct reeve_thread_context *context;

	context = kmalloc_obj(*context);
	if (!context)
		return -ENOMEM;
	walk->context = context;
	walk_enter(walk);
	walk_on(walk, operations);
	walk_leave(walk);
	kfree(context);
	return 0;
}

static int live(void *data)
{
	struct place *place = data;
	struct walk *walk = &place->walk;
	int ret = 0;

	if (place->lived % 2)
		ret = live_on_heap(walk);
	else
		live_on_stack(walk);
	kthread_complete_and_exit(&place->ended, ret);
}

static int start_life(struct place *place)
{
	struct task_struct *task;

	prandom_seed_state(&place->walk.random,
			   ((u64)seed << 32) + place->walk.number * 1000 +
				   place->lived);
	place->walk.favourite = place->lived % STRESS_HIERARCHIES;
	reinit_completion(&place->ended);
	task = kthread_run(live, place, "stress/%u", place->walk.number);
	return PTR_ERR_OR_ZERO(task);
}

/* Looks at everybody's contexts: is a lock of this hierarchy held? */
static int watch(void *unused)
{
	struct reeve_thread_context context;
	struct reeve_hierarchy *h;
	long wrong = 0;

	reeve_thread_context_enter(&context);
	while (!kthread_should_stop()) {
		h = reeve_hierarchy_register_flags("watched", names, 1,
						   REEVE_HIERARCHY_STRICT);
		if (IS_ERR(h)) {
			wrong++;
			break;
		}
		reeve_record_lock(h, NULL, 1, REEVE_LOCK_SHARED);
		wrong += reeve_hierarchy_unregister(h) != -EBUSY;
		reeve_record_unlock(h, NULL, 1, REEVE_LOCK_SHARED);
		wrong += reeve_hierarchy_unregister(h) != 0;
		schedule_timeout_idle(1);
	}
	wrong += !reeve_thread_context_leave(&context);
	return wrong;
}

static void walk_interrupt(struct walk *walk)
{
	if (walk->disagreed)
		return;
	walk->favourite = walk->operations % STRESS_HIERARCHIES;
	walk_on(walk, INTERRUPT_OPERATIONS);
	walk_home(walk);
}

static enum hrtimer_restart hard_interrupt(struct hrtimer *hrtimer)
{
	struct interrupts *cpu =
		container_of(hrtimer, struct interrupts, hrtimer);

	walk_interrupt(&cpu->hard);
	hrtimer_forward_now(hrtimer, us_to_ktime(period_us));
	return HRTIMER_RESTART;
}

static void soft_interrupt(struct timer_list *timer)
{
	struct interrupts *cpu = container_of(timer, struct interrupts, timer);

	walk_interrupt(&cpu->soft);
	mod_timer(timer, jiffies + usecs_to_jiffies(period_us));
}

static void start_hrtimer(void *unused)
{
	hrtimer_start(&interrupts[smp_processor_id()].hrtimer,
		      us_to_ktime(period_us), HRTIMER_MODE_REL_PINNED_HARD);
}

static void prepare_interrupt(struct walk *walk, const char *who,
			      unsigned int cpu)
{
	walk->who = who;
	walk->number = cpu;
	walk->interrupt = true;
	walk->model.entered = true;
	prandom_seed_state(&walk->random, ~(((u64)seed << 32) + cpu));
}

static void start_interrupts(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct interrupts *this = &interrupts[cpu];

		prepare_interrupt(&this->hard, "hard interrupt", cpu);
		prepare_interrupt(&this->soft, "soft interrupt", cpu);
		hrtimer_setup(&this->hrtimer, hard_interrupt, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_HARD);
		timer_setup(&this->timer, soft_interrupt, TIMER_PINNED);
	}
	on_each_cpu(start_hrtimer, NULL, true);
	for_each_online_cpu(cpu) {
		interrupts[cpu].timer.expires = jiffies + 1;
		add_timer_on(&interrupts[cpu].timer, cpu);
	}
}

static unsigned long stop_interrupts(void)
{
	unsigned long calls = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		hrtimer_cancel(&interrupts[cpu].hrtimer);
		timer_shutdown_sync(&interrupts[cpu].timer);
		calls += interrupts[cpu].hard.operations;
		calls += interrupts[cpu].soft.operations;
	}
	return calls;
}

/* Fills all places, again and again as their threads end. */
static int run_threads(void)
{
	unsigned int i, round;
	int ret = 0;

	for (round = 0; round <= lives; round++) {
		for (i = 0; i < threads; i++) {
			struct place *place = &places[i];

			if (place->lives) {
				wait_for_completion(&place->ended);
				place->lives = false;
				place->full += place->walk.full;
				place->walk.full = false;
			}
			if (round == lives || ret)
				continue;
			place->lived = round;
			ret = start_life(place);
			place->lives = !ret;
		}
	}
	return ret;
}

static void free_all(void)
{
	unsigned int i, j;

	for (i = 0; places && i < threads; i++)
		for (j = 0; j < STRESS_SAVES; j++)
			kfree(places[i].walk.saves[j]);
	kvfree(places);
	kvfree(interrupts);
	for (i = 0; i < STRESS_HIERARCHIES; i++)
		if (!IS_ERR_OR_NULL(stress_handles[i]))
			reeve_hierarchy_unregister(stress_handles[i]);
}

static int register_hierarchy(unsigned int i)
{
	const struct stress_hierarchy *h = &stress_hierarchies[i];
	char name[16];
	unsigned int j;
	int ret = 0;

	snprintf(name, sizeof(name), "stress%u", i);
	stress_handles[i] =
		reeve_hierarchy_register_flags(name, names, h->count,
					       REEVE_HIERARCHY_STRICT);
	if (IS_ERR(stress_handles[i]))
		return PTR_ERR(stress_handles[i]);
	for (j = 0; j < h->nr_rules && !ret; j++)
		ret = reeve_hierarchy_add_rule(stress_handles[i],
					       h->rules[j].order,
					       h->rules[j].while_held,
					       h->rules[j].mode,
					       h->rules[j].unless_held);
	for (j = 1; j <= h->count && !ret; j++)
		if (h->nestable & BIT(j))
			ret = reeve_hierarchy_set_nestable(stress_handles[i], j);
	return ret;
}

static int prepare_all(void)
{
	unsigned int i, j;
	int ret;

	for (i = 0; i < STRESS_HIERARCHIES; i++) {
		ret = register_hierarchy(i);
		if (ret)
			return ret;
	}
	places = kvcalloc(threads, sizeof(*places), GFP_KERNEL);
	interrupts = kvcalloc(nr_cpu_ids, sizeof(*interrupts), GFP_KERNEL);
	if (!places || !interrupts)
		return -ENOMEM;
	for (i = 0; i < threads; i++) {
		struct walk *walk = &places[i].walk;

		init_completion(&places[i].ended);
		walk->who = "thread";
		walk->number = i;
		for (j = 0; j < STRESS_SAVES; j++) {
			walk->saves[j] = kmalloc_obj(*walk->saves[j]);
			if (!walk->saves[j])
				return -ENOMEM;
		}
	}
	return 0;
}

static int run_all(void)
{
	struct task_struct *watcher;
	unsigned long calls = 0, in_interrupts;
	unsigned int i, full = 0;
	long wrong;
	int ret;

	watcher = kthread_run(watch, NULL, "stress/watch");
	if (IS_ERR(watcher))
		return PTR_ERR(watcher);
	start_interrupts();
	ret = run_threads();
	in_interrupts = stop_interrupts();
	wrong = stress_disagreements() + kthread_stop(watcher);
	if (ret)
		return ret;
	for (i = 0; i < threads; i++) {
		calls += places[i].walk.operations;
		full += places[i].full;
	}
	pr_info("%lu calls in interrupts, %u threads held %u locks at once\n",
		in_interrupts, full, REEVE_MAX_HELD);
	pr_info("%lu operations, %ld disagreements\n", calls + in_interrupts,
		wrong);
	return wrong ? -EINVAL : 0;
}

static int __init stress_init(void)
{
	int ret = prepare_all();

	if (!ret)
		ret = run_all();
	free_all();
	return ret;
}

static void __exit stress_exit(void)
{
}

module_init(stress_init);
module_exit(stress_exit);
MODULE_DESCRIPTION("Stress test of lock-order tracking against a model");
MODULE_LICENSE("GPL");
