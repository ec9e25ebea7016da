// SPDX-License-Identifier: GPL-2.0
/* Non-maskable interrupts that record locks of their own. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/smp.h>

#include <asm/apic.h>
#include <asm/nmi.h>

#include "held.h"

static unsigned int expected_cpu = UINT_MAX;
static atomic_t seen;

static int held_nmi(unsigned int type, struct pt_regs *regs)
{
	static int lock;

	if (smp_processor_id() != READ_ONCE(expected_cpu))
		return NMI_DONE;
	/* Whatever the thread below holds, or was just about to record. */
	EXPECT(reeve_check_all_unlocked(held_hierarchy));
	EXPECT(reeve_record_lock(held_hierarchy, &lock, HELD_OUTER,
				 REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_lock(held_hierarchy, &lock, HELD_INNER,
				 REEVE_LOCK_SHARED));
	EXPECT(reeve_check_locked(held_hierarchy, &lock, HELD_INNER,
				  REEVE_LOCK_SHARED));
	EXPECT(reeve_record_unlock(held_hierarchy, &lock, HELD_INNER,
				   REEVE_LOCK_SHARED));
	EXPECT(reeve_record_unlock(held_hierarchy, &lock, HELD_OUTER,
				   REEVE_LOCK_EXCLUSIVE));
	atomic_inc(&seen);
	return NMI_HANDLED;
}

/* Locks and unlocks until the NMI was there: it comes somewhere in between. */
static int held_one_nmi(void)
{
	static int outer, inner;
	int before = atomic_read(&seen);
	unsigned int turns = 0;

	EXPECT(reeve_record_lock(held_hierarchy, &outer, HELD_OUTER,
				 REEVE_LOCK_SHARED));
	__apic_send_IPI_mask(cpumask_of(expected_cpu), NMI_VECTOR);
	do {
		EXPECT(reeve_record_lock(held_hierarchy, &inner, HELD_INNER,
					 REEVE_LOCK_EXCLUSIVE));
		EXPECT(reeve_check_locked(held_hierarchy, &outer, HELD_OUTER,
					  REEVE_LOCK_SHARED));
		EXPECT(reeve_record_unlock(held_hierarchy, &inner, HELD_INNER,
					   REEVE_LOCK_EXCLUSIVE));
	} while (atomic_read(&seen) == before && ++turns < 1000000);
	EXPECT(reeve_record_unlock(held_hierarchy, &outer, HELD_OUTER,
				   REEVE_LOCK_SHARED));
	return atomic_read(&seen) == before ? -ETIMEDOUT : 0;
}

int held_fire_nmis(unsigned int count)
{
	struct reeve_thread_context ctx;
	int ret;

	ret = register_nmi_handler(NMI_LOCAL, held_nmi, 0, "reeve_held");
	if (ret)
		return ret;
	EXPECT(reeve_thread_context_enter(&ctx));
	WRITE_ONCE(expected_cpu, get_cpu());
	while (count-- && !ret)
		ret = held_one_nmi();
	WRITE_ONCE(expected_cpu, UINT_MAX);
	put_cpu();
	EXPECT(reeve_thread_context_leave(&ctx));
	unregister_nmi_handler(NMI_LOCAL, "reeve_held");
	return ret;
}
