// SPDX-License-Identifier: GPL-2.0
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/uidgid.h>

#include "helpers.h"

bool reeve_helper_capable(int capability)
{
	return capable(capability);
}

u32 reeve_helper_current_uid(void)
{
	return __kuid_val(current_uid());
}

struct user_struct *reeve_helper_get_current_user(void)
{
	return get_uid(current_user());
}

void reeve_helper_put_user(struct user_struct *user)
{
	free_uid(user);
}

unsigned long reeve_helper_memlock_limit(void)
{
	return rlimit(RLIMIT_MEMLOCK);
}

atomic_long_t *reeve_helper_locked_vm(struct user_struct *user)
{
	return &user->locked_vm;
}
