/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _BO_API_H
#define _BO_API_H

#include <linux/atomic.h>
#include <linux/printk.h>

#include <reeve/bo.h>

#define EXPECT(condition)                                             \
	do {                                                          \
		if (!(condition)) {                                   \
			pr_err("bo_api: %s:%d: expected %s\n",        \
			       __func__, __LINE__, #condition);       \
			atomic_inc(&bo_api_failures);                 \
		}                                                     \
	} while (0)

/* How often a driver is asked when its device has the first pages. */
#define bo_api_primed ((unsigned int)IS_ENABLED(CONFIG_LOCKDEP))

/* Conditions that did not hold. */
extern atomic_t bo_api_failures;

/* What the driver of these tests does when it is asked for pages. */
struct bo_api_driver {
	int answer; /* of evict_begin() */
	bool unmaps; /* it calls reeve_bo_vunmap() */
	bool calls; /* it calls what it must not */
	int called; /* what that returned */
	unsigned int flags; /* of the last evict_begin() */
	unsigned int begun, aborted, released;
};

extern struct reeve_device *device;
extern struct bo_api_driver driver;
/* With a lock of the driver's own. */
extern const struct reeve_device_ops bo_api_own_ops;

/* An object of @pages pages, with the driver above; an ERR_PTR(). */
struct reeve_buffer_object *bo_api_object(struct reeve_client *client, u64 pages,
					  u32 flags);
/* The same, populated. */
struct reeve_buffer_object *bo_api_populated(struct reeve_client *client,
					     u64 pages);

int bo_api_misuse(void);
int bo_api_mapped(void);
int bo_api_sweep(void);
int bo_api_ends(void);

/* A mapping by the task that loads this, over and over. */
int bo_api_map_begin(void);
long bo_api_map_once(void);
void bo_api_map_end(void);

#endif /* _BO_API_H */
