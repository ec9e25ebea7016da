// SPDX-License-Identifier: GPL-2.0
/* A module that goes while locks are held that were taken in it. */
#include <linux/instruction_pointer.h>
#include <linux/module.h>

#include "promises.h"

static noinline void gone_takes(void)
{
	promises_take_at(_THIS_IP_);
}

static int set_take(const char *value, const struct kernel_param *kp)
{
	gone_takes();
	return 0;
}

static const struct kernel_param_ops take_ops = { .set = set_take };
module_param_cb(take, &take_ops, NULL, 0200);

static int __init gone_init(void)
{
	return 0;
}

static void __exit gone_exit(void)
{
}

module_init(gone_init);
module_exit(gone_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Is gone while locks are held that were taken in it");
