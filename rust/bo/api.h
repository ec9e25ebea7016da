/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bo/api.c hands over to bo/api.rs: handles as numbers, the call site, and
 * the task that calls, which is 0 where it must not sleep.
 */
#ifndef _REEVE_BO_API_H
#define _REEVE_BO_API_H

#include <reeve/bo.h>

/* Calls that are alike; their names are in api.rs, in this order. */
#define REEVE_CALL_PIN 0
#define REEVE_CALL_UNPIN 1
#define REEVE_CALL_SWAP_OUT 2
#define REEVE_CALL_BACK_UP 3
#define REEVE_CALL_RESTORE 4
#define REEVE_CALL_PURGE 5
#define REEVE_CALL_SET_PURGEABLE 6
#define REEVE_CALL_TOUCH 7
#define REEVE_CALL_SYNC_FOR_CPU 8
#define REEVE_CALL_SYNC_FOR_DEVICE 9
#define REEVE_CALL_UNMAP 10

s64 reeve_rs_bo_call(u32 call, u64 bo, u64 first, u64 second,
		     unsigned long site, unsigned long task);

/* The others, each of which is made often. */
int reeve_rs_bo_get(u64 bo, unsigned long site, unsigned long task);
int reeve_rs_bo_put(u64 bo, unsigned long site, unsigned long task);
int reeve_rs_bo_lock(u64 bo, unsigned long site, unsigned long task);
int reeve_rs_bo_trylock(u64 bo, unsigned long site, unsigned long task);
int reeve_rs_bo_unlock(u64 bo, unsigned long site, unsigned long task);
s64 reeve_rs_bo_populate(u64 bo, u32 how, unsigned long site, unsigned long task);
s64 reeve_rs_bo_unpopulate(u64 bo, unsigned long site, unsigned long task);

int reeve_rs_device_register(struct device *dev, const char *name,
			     const struct reeve_device_ops *ops, u32 flags,
			     u64 *device, unsigned long site, unsigned long task);
int reeve_rs_device_unregister(u64 device, unsigned long site, unsigned long task);
int reeve_rs_client_create(u64 *client, unsigned long site, unsigned long task);
int reeve_rs_client_put(u64 client, unsigned long site, unsigned long task);
int reeve_rs_client_set_limit(u64 client, u64 pages, unsigned long site, unsigned long task);
int reeve_rs_client_get_stats(u64 client, struct reeve_client_stats *stats,
			      unsigned long site, unsigned long task);
int reeve_rs_client_show_fdinfo(u64 client, struct seq_file *m,
				unsigned long site, unsigned long task);

/* The DMA addresses that an sg_table has. */
struct reeve_bo_told {
	struct reeve_bo_dma_run *runs;
	u64 count;
};

/* @told: what the sg_table of @desc has, if it has one; else null. Errors as handles. */
u64 reeve_rs_bo_create(u64 device, u64 client, const struct reeve_bo_desc *desc,
		       const struct reeve_bo_told *told, unsigned long site,
		       unsigned long task);
int reeve_rs_bo_get_state(u64 bo, struct reeve_bo_state *state,
			  unsigned long site, unsigned long task);
int reeve_rs_bo_page(u64 bo, u64 index, struct page **page, unsigned long site, unsigned long task);
int reeve_rs_bo_dma_run(u64 bo, u64 index, struct reeve_bo_dma_run *run,
			unsigned long site, unsigned long task);
/*
 * Fills in all @count pages, or, if @pages is null, returns their number.
 * @call: REEVE_PAGES_*
 */
#define REEVE_PAGES_SG 0
#define REEVE_PAGES_VMAP 1
s64 reeve_rs_bo_pages(u32 call, u64 bo, struct page **pages, u64 count,
		      unsigned long site, unsigned long task);
int reeve_rs_bo_set_runs(u64 bo, const struct reeve_bo_told *told,
			 unsigned long site, unsigned long task);
/*
 * Counts a mapping, at @new if that is not null, and fills in where it is, which
 * is null if there is none.
 */
int reeve_rs_bo_vmap(u64 bo, void *new, void **address, unsigned long site, unsigned long task);
/* Counts one less; fills in what is to be unmapped, if it was the last. */
int reeve_rs_bo_vunmap(u64 bo, void **address, unsigned long site, unsigned long task);
/* Returns false if there is no such object. */
bool reeve_rs_bo_protection(u64 bo, u32 *caching, bool *decrypted,
			    unsigned long site, unsigned long task);
int reeve_rs_bo_mmap(u64 bo, struct vm_area_struct *vma, u64 first,
		     unsigned long site, unsigned long task);

/* The code of @module that runs once only goes. */
void reeve_rs_module_live(struct module *module);
/* All code of @module goes; what it has registered must be called no more. */
void reeve_rs_module_gone(struct module *module);
int reeve_helper_watch_drivers(void);
void reeve_helper_unwatch_drivers(void);
bool reeve_helper_within(struct module *module, unsigned long address);
bool reeve_helper_within_init(struct module *module, unsigned long address);

/* The line in the log. */
void reeve_helper_misuse(const char *function, const char *device, bool counts,
			 u64 object, const char *what, int error,
			 unsigned long site);
/* Whether this is a context that may sleep, as far as the kernel knows. */
/* Between the two lockdep takes what is done to be reclaim's. */
void reeve_helper_prime_reclaim_begin(void);
void reeve_helper_prime_reclaim_end(void);
unsigned long reeve_helper_current(void);
void reeve_helper_vunmap(void *address);

#endif /* _REEVE_BO_API_H */
