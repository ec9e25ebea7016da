// SPDX-License-Identifier: GPL-2.0
/* Parameters of page accounting, readable and writable in sysfs. */
#include <linux/compiler.h>
#include <linux/moduleparam.h>

#include "tt_shim.h"

static unsigned long pages_limit;
module_param(pages_limit, ulong, 0644);
MODULE_PARM_DESC(pages_limit,
		 "Pages that buffer objects may hold before others are swapped out (0: half of memory)");

static unsigned long dma32_pages_limit;
module_param(dma32_pages_limit, ulong, 0644);
MODULE_PARM_DESC(dma32_pages_limit,
		 "Likewise for pages of DMA32 pools (0: low memory, at most 2 GiB)");

static bool enable_builtin_tests;
module_param(enable_builtin_tests, bool, 0644);
MODULE_PARM_DESC(enable_builtin_tests,
		 "Allow the ioctls that are only for tests");

static unsigned int devices = 1;
module_param(devices, uint, 0444);
MODULE_PARM_DESC(devices, "Number of devices, 1 to 8 (default 1)");

unsigned long reeve_shim_param_pages_limit(void)
{
	return READ_ONCE(pages_limit);
}

unsigned long reeve_shim_param_dma32_pages_limit(void)
{
	return READ_ONCE(dma32_pages_limit);
}

void reeve_shim_param_set_pages_limit(unsigned long pages)
{
	WRITE_ONCE(pages_limit, pages);
}

void reeve_shim_param_set_dma32_pages_limit(unsigned long pages)
{
	WRITE_ONCE(dma32_pages_limit, pages);
}

bool reeve_shim_param_enable_builtin_tests(void)
{
	return READ_ONCE(enable_builtin_tests);
}

unsigned int reeve_shim_param_devices(void)
{
	return READ_ONCE(devices);
}
