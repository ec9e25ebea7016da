// SPDX-License-Identifier: GPL-2.0
/*
 * A module that makes the kernel complain, on purpose: the tests want to see
 * that `make vm` fails then, although the script itself is content.
 */
#include <linux/bug.h>
#include <linux/module.h>

static int __init ext_warn_init(void)
{
	WARN(1, "ext_warn: a deliberate warning\n");
	return 0;
}

static void __exit ext_warn_exit(void)
{
}

module_init(ext_warn_init);
module_exit(ext_warn_exit);
MODULE_DESCRIPTION("Warns when it is inserted");
MODULE_LICENSE("GPL");
