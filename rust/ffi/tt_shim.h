/* SPDX-License-Identifier: GPL-2.0 */
/* What page accounting needs of C: macros and inlines, one call each. */
#ifndef _REEVE_TT_SHIM_H
#define _REEVE_TT_SHIM_H

#include <linux/gfp.h>
#include <linux/types.h>

struct dentry;
struct file;
struct page;
struct seq_file;

/*
 * pages_shim.c
 *
 * A single page may wait for reclaim but never kills a process; a block of
 * pages is only taken when it is at hand.
 */
static const gfp_t __maybe_unused REEVE_GFP_PAGE =
	GFP_HIGHUSER | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
static const gfp_t __maybe_unused REEVE_GFP_BLOCK =
	(GFP_HIGHUSER & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY |
	__GFP_NOMEMALLOC | __GFP_NOWARN;
static const gfp_t __maybe_unused REEVE_GFP_CLEAR = __GFP_ZERO;

void reeve_shim_copy_highpage(struct page *to, struct page *from);
unsigned long reeve_shim_total_ram(void);
unsigned long reeve_shim_low_ram(void);

/* shmem_shim.c */
struct file *reeve_shim_shmem_create(const char *name, loff_t size);
struct page *reeve_shim_shmem_page(struct file *file, pgoff_t index, gfp_t gfp);
void reeve_shim_put_page(struct page *page);

/* params_shim.c */
unsigned long reeve_shim_param_pages_limit(void);
unsigned long reeve_shim_param_dma32_pages_limit(void);
void reeve_shim_param_set_pages_limit(unsigned long pages);
void reeve_shim_param_set_dma32_pages_limit(unsigned long pages);
bool reeve_shim_param_enable_builtin_tests(void);
unsigned int reeve_shim_param_devices(void);

/* task_shim.c */
bool reeve_shim_fatal_signal_pending(void);
void reeve_shim_cond_resched(void);

/* debugfs_shim.c */
struct reeve_debugfs_file {
	int (*show)(struct seq_file *m, void *data);
	void *data;
};

struct dentry *reeve_shim_debugfs_file(const char *name, umode_t mode,
				       struct dentry *parent,
				       const struct reeve_debugfs_file *file);

#endif /* _REEVE_TT_SHIM_H */
