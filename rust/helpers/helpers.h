/* SPDX-License-Identifier: GPL-2.0 */
/* Helpers for page accounting: macros and inlines of C, one call each. */
#ifndef _REEVE_HELPERS_H
#define _REEVE_HELPERS_H

#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/gfp.h>
#include <linux/mm_types.h>
#include <linux/pgtable.h>
#include <linux/types.h>

struct address_space;
struct dentry;
struct device;
struct file;
struct file_operations;
struct mem_cgroup;
struct mutex;
struct page;
struct seq_file;
struct vm_area_struct;
struct vm_fault;

/*
 * pages.c
 *
 * The allocation of a single page may wait for reclaim but never makes the OOM
 * killer run; that of a larger block fails if there is none free.
 */
static const gfp_t __maybe_unused REEVE_GFP_PAGE =
	GFP_HIGHUSER | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
static const gfp_t __maybe_unused REEVE_GFP_BLOCK =
	(GFP_HIGHUSER & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY |
	__GFP_NOMEMALLOC | __GFP_NOWARN;
static const gfp_t __maybe_unused REEVE_GFP_PAGE_DMA32 =
	GFP_USER | GFP_DMA32 | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
static const gfp_t __maybe_unused REEVE_GFP_BLOCK_DMA32 =
	((GFP_USER | GFP_DMA32) & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY |
	__GFP_NOMEMALLOC | __GFP_NOWARN;
static const gfp_t __maybe_unused REEVE_GFP_CLEAR = __GFP_ZERO;
/* Charges pages to the memory cgroup of current until they are freed. */
static const gfp_t __maybe_unused REEVE_GFP_CHARGED = __GFP_ACCOUNT;

void reeve_helper_copy_pages(struct page *to, struct page *from,
			     unsigned long count);
void reeve_helper_clear_pages(struct page *first, unsigned long count);
/*
 * Count pages of the node and the cgroup of @page as in use by objects, and as
 * free ones that a shrinker gives back: GPUActive and GPUReclaim in meminfo.
 */
void reeve_helper_count_active(struct page *page, long pages);
void reeve_helper_count_reclaimable(struct page *page, long pages);
int reeve_helper_page_node(struct page *page);
unsigned long reeve_helper_page_private(struct page *page);
void reeve_helper_set_page_private(struct page *page, unsigned long value);
int reeve_helper_local_node(void);
/*
 * The local node, or NUMA_NO_NODE if current has a memory policy of its own, or
 * its cpuset does not have the node: then only the page allocator knows.
 */
int reeve_helper_allowed_node(void);
unsigned int reeve_helper_nr_nodes(void);
/*
 * @caching: REEVE_CACHING_*. Does nothing on architectures on which mappings
 * need not agree.
 */
int reeve_helper_set_pages_array(struct page **pages, int count,
				 unsigned int caching);
void reeve_helper_set_pages_wb(struct page *first, int count);
/* The caching bits of the kernel's mapping; 0 is the default. For tests. */
unsigned long reeve_helper_page_cache_bits(struct page *page);
unsigned long reeve_helper_total_ram(void);
unsigned long reeve_helper_low_ram(void);

/* page_counters.c */
/* Waits until the upper half of @word is not @seen, or a fatal signal arrives. */
int reeve_helper_settled_wait(atomic64_t *word, u32 seen);
void reeve_helper_settled_wake(void);

/*
 * shmem.c
 *
 * No file may be created while the mount is made or removed.
 */
void reeve_helper_shmem_mount(void);
void reeve_helper_shmem_unmount(void);
/*
 * @large: with large folios, if the kernel has them. Memory is reserved. For
 * tests.
 */
struct file *reeve_helper_shmem_create(const char *name, loff_t size, bool large);
/*
 * For pages that are pinned, which are not movable: memory is reserved when they
 * are allocated. See shmem_pages.c.
 */
struct file *reeve_helper_shmem_create_in_place(const char *name);
/* For content that nothing pins: memory is reserved when it is written. */
struct file *reeve_helper_shmem_create_storage(const char *name, loff_t size,
					       bool large);
bool reeve_helper_shmem_has_large(void);
/* With small folios and without reserving memory. For tests. */
struct file *reeve_helper_shmem_create_sparse(const char *name, loff_t size);
/*
 * Copies from and to @count pages that lie side by side. @writeback: starts to
 * write each folio to swap that was filled down to its start.
 */
int reeve_helper_shmem_write(struct file *file, pgoff_t index, struct page *from,
			     unsigned long count, bool writeback);
int reeve_helper_shmem_read(struct file *file, pgoff_t index, struct page *to,
			    unsigned long count);
void reeve_helper_shmem_forget(struct file *file, pgoff_t index,
			       unsigned long count);
/* About how many pages could be made room for, in memory or in swap. */
unsigned long reeve_helper_shmem_room(void);

/*
 * shmem_pages.c
 *
 * Takes and drops references to all folios that have a page in a range. @fresh:
 * the range was never held. Sets *@beyond if a folio has pages outside of it,
 * which is possible only if the kernel wants large folios whatever is asked for.
 */
int reeve_helper_shmem_hold(struct file *file, pgoff_t first,
			    unsigned long pages, bool fresh, bool *beyond);
void reeve_helper_shmem_release(struct file *file, pgoff_t first,
				unsigned long pages);
struct page *reeve_helper_shmem_held_page(struct file *file, pgoff_t index);

/* shrinker.c */
struct shrinker;

struct reeve_shrinker_ops {
	/* @memcg: with by_memcg the memory cgroup; NULL: the root, or none. */
	unsigned long (*count)(void *data, int node, struct mem_cgroup *memcg);
	unsigned long (*scan)(void *data, int node, unsigned long pages,
			      gfp_t gfp, struct mem_cgroup *memcg);
	void *data;
	long batch;
	int seeks;
	bool by_node;
	bool by_memcg; /* for cgroups that have markers; one shrinker at most */
};

/* Allocates and registers it; @ops must stay valid until it is freed. */
struct shrinker *reeve_helper_shrinker_new(const char *name,
					   const struct reeve_shrinker_ops *ops);
/* Unregisters it and waits for calls in progress. */
void reeve_helper_shrinker_free(struct shrinker *shrinker,
				const struct reeve_shrinker_ops *ops);
/* What an allocation lets a shrinker do. */
static const gfp_t __maybe_unused REEVE_GFP_FS = __GFP_FS;
static const gfp_t __maybe_unused REEVE_GFP_IO = __GFP_IO;

/* As reclaim does, for lockdep and for allocations; leaving undoes it. */
unsigned int reeve_helper_reclaim_enter(void);
void reeve_helper_reclaim_leave(unsigned int before);
long reeve_helper_free_swap(void);
bool reeve_helper_is_kswapd(void);

/* params.c */
/* Sets the limits that are 0. May sleep. */
void reeve_helper_params_set_unset_limits(unsigned long pages,
					  unsigned long dma32);
/* ../abstractions/params.rs: sets the bounds. */
void reeve_limits_written(void);
unsigned long reeve_helper_param_page_pool_size(void);
void reeve_helper_param_set_page_pool_size(unsigned long pages);
/*
 * Registers @over(@data), which says after a limit was written in sysfs whether
 * there is more than the limits allow, and @fn(@data), which a work item calls
 * then. Returns -EBUSY if one is or was registered. Unwatching waits for a call
 * in progress.
 */
int reeve_helper_params_watch(bool (*over)(void *data), void (*fn)(void *data),
			      void *data);
void reeve_helper_params_unwatch(void);
/* Queues the call of @fn as if a limit had been written. May sleep. */
void reeve_helper_params_queue_watcher(void);
unsigned long reeve_helper_param_file_pages_limit(void);
unsigned long reeve_helper_param_file_objects_limit(void);
unsigned long reeve_helper_param_pinned_pages_limit(void);
bool reeve_helper_param_show_dma_addresses(void);
unsigned long reeve_helper_param_pages_limit(void);
unsigned long reeve_helper_param_dma32_pages_limit(void);
bool reeve_helper_param_hard_limit(void);
bool reeve_helper_param_enable_builtin_tests(void);
unsigned int reeve_helper_param_devices(void);

/*
 * ../bo/trace.c
 *
 * An operation that ended, as its tracepoint shows it.
 */
struct reeve_tt_operation {
	unsigned long bo; /* address */
	u64 pages;
	u64 duration; /* ns */
	u32 device;
	s32 result; /* 0 or a negative errno */
};

struct reeve_tt_overcommit {
	u64 pages;
	u64 allocated;
	u64 limit;
	u64 dma32_allocated;
	u64 dma32_limit;
	u32 device;
	u32 pad;
};

/* What happened to a dirty log, as its tracepoint shows it. */
struct reeve_log_operation {
	unsigned long bo; /* address */
	u64 first; /* page */
	u64 pages;
	u64 dirty;
	u32 device;
	u32 mode;
};

#define REEVE_LOG_TRACE_START 0
#define REEVE_LOG_TRACE_GET 1
#define REEVE_LOG_TRACE_CLEAR 2
#define REEVE_LOG_TRACE_WRITE_FAULT 3
#define REEVE_LOG_TRACE_FENCE 4
#define REEVE_LOG_TRACE_UNFENCE 5
#define REEVE_LOG_TRACE_HOLD 6

#define REEVE_TT_POPULATE 0
#define REEVE_TT_UNPOPULATE 1
#define REEVE_TT_SWAPOUT 2
#define REEVE_TT_SWAPIN 3
#define REEVE_TT_BACKUP 4
#define REEVE_TT_RESTORE 5

/*
 * The time now, in ns, if an operation on @pages pages is to be timed or one of
 * the tracepoints that show a duration is enabled; else 0.
 */
u64 reeve_helper_tt_begin(u64 pages);
/* The time that has passed since reeve_helper_tt_begin() returned @begun. */
u64 reeve_helper_tt_elapsed(u64 begun, bool *traced);
/* @event: REEVE_TT_* */
void reeve_helper_trace_tt(unsigned int event,
			   const struct reeve_tt_operation *o);
/* @event: REEVE_LOG_TRACE_* */
void reeve_helper_trace_log(unsigned int event,
			    const struct reeve_log_operation *o);
void reeve_helper_trace_tt_overcommit(const struct reeve_tt_overcommit *o);
void reeve_helper_trace_pool_shrink(u32 node, u64 wanted, u64 pages,
				    u64 duration);
/* A tracepoint that shows a duration was enabled, or disabled. */
int reeve_tt_traced(void);
void reeve_tt_untraced(void);

/*
 * dma_resv.c
 *
 * Calls @run(@data) with a dma_resv locked that nothing else knows: once with an
 * acquire context, once without. Does nothing if the kernel has no dma_resv. May
 * sleep.
 */
void reeve_helper_with_dma_resv(void (*run)(void *data), void *data);

/*
 * pm.c
 *
 * Registers @prepare(@data), which is called before the machine hibernates. Returns
 * NULL if there is no memory. Unwatching waits for a call in progress.
 */
struct reeve_pm_watch;

struct reeve_pm_watch *reeve_helper_pm_watch(void (*prepare)(void *data),
					     void *data);
void reeve_helper_pm_unwatch(struct reeve_pm_watch *watch);

/*
 * kmap.c
 *
 * @caching: REEVE_CACHING_*; @decrypted: the page is shared with the host.
 */
pgprot_t reeve_prot(pgprot_t prot, unsigned int caching, bool decrypted);
unsigned long reeve_helper_kernel_prot(unsigned int caching, bool decrypted);
void *reeve_helper_kmap(struct page *page, unsigned long prot);
unsigned long reeve_helper_prot_cache_bits(unsigned long prot);
bool reeve_helper_guest_memory_is_encrypted(void);
int reeve_helper_set_decrypted(struct page *first, int pages);
int reeve_helper_set_encrypted(struct page *first, int pages);

/* dma.c: pages that lie side by side, mapped DMA_BIDIRECTIONAL. */
int reeve_helper_dma_reach_all(struct device *dev);
bool reeve_helper_dma_is_possible(struct device *dev);
int reeve_helper_dma_map(struct device *dev, unsigned long pfn,
			 unsigned long pages, u64 *address);
void reeve_helper_dma_unmap(struct device *dev, u64 address, unsigned long pages);
void reeve_helper_dma_sync_for_cpu(struct device *dev, u64 address,
				   unsigned long pages);
void reeve_helper_dma_sync_for_device(struct device *dev, u64 address,
				      unsigned long pages);
/* Whether the two above have anything to do. */
bool reeve_helper_dma_need_sync(struct device *dev);
unsigned long reeve_helper_page_pfn(struct page *page);
struct page *reeve_helper_pfn_page(unsigned long pfn);

/* cred.c */
struct user_struct;

static const int __maybe_unused REEVE_CAP_IPC_LOCK = CAP_IPC_LOCK;
static const int __maybe_unused REEVE_CAP_SYS_ADMIN = CAP_SYS_ADMIN;
static const int __maybe_unused REEVE_CAP_SYS_RESOURCE = CAP_SYS_RESOURCE;

bool reeve_helper_capable(int capability);
/* The real user id of current, in the initial user namespace. */
u32 reeve_helper_current_uid(void);
/* That of current, with a reference to it. */
struct user_struct *reeve_helper_get_current_user(void);
void reeve_helper_put_user(struct user_struct *user);
/* In bytes. */
unsigned long reeve_helper_memlock_limit(void);
/* The pages that @user has locked, of any kind. */
atomic_long_t *reeve_helper_locked_vm(struct user_struct *user);

/*
 * anon_file.c
 *
 * Returns a new file without a name, or an error.
 */
struct file *reeve_helper_anon_file(const char *name,
				    const struct file_operations *fops, void *priv);

/* task.c */
bool reeve_helper_fatal_signal_pending(void);
bool reeve_helper_signal_pending(void);
void reeve_helper_cond_resched(void);
/* Returns -EINTR if a fatal signal arrived before the lock could be taken. */
int reeve_helper_mutex_lock_killable(struct mutex *lock);
/*
 * Calls @run(@data) in a thread of its own, and waits until it has returned. May
 * sleep. After an error it was not called.
 */
int reeve_helper_run_in_thread(void (*run)(void *data), void *data);

/* vma.c */
struct reeve_fault {
	struct address_space *space; /* of the file that is mapped */
	unsigned long page; /* of the file, that was accessed */
	unsigned long address;
	unsigned long start; /* of the mapping */
	unsigned long end;
	bool may_retry; /* it is the first attempt of a user's task, and may be retried */
	bool nowait; /* a retry must not release the lock */
	bool write; /* it was a write access */
};

struct reeve_fault_patience {
	bool retry; /* it may be retried, and is of a user's task */
	bool nowait; /* a retry must not release the lock */
	bool interruptible; /* any signal ends a wait, not only one that kills */
};

static const unsigned int __maybe_unused REEVE_FAULT_RETRY =
	(__force unsigned int)VM_FAULT_RETRY;
static const unsigned int __maybe_unused REEVE_FAULT_SIGBUS =
	(__force unsigned int)VM_FAULT_SIGBUS;
static const unsigned int __maybe_unused REEVE_FAULT_FALLBACK =
	(__force unsigned int)VM_FAULT_FALLBACK;
static const unsigned int __maybe_unused REEVE_FAULT_ERROR =
	(__force unsigned int)VM_FAULT_ERROR;
static const unsigned int __maybe_unused REEVE_FAULT_NOPAGE =
	(__force unsigned int)VM_FAULT_NOPAGE;
/* One entry of a page middle directory maps 2^this pages. */
static const unsigned int __maybe_unused REEVE_HUGE_ORDER =
	PMD_SHIFT - PAGE_SHIFT;

/* Initialises an address space without pages, for mappings of @file. */
void reeve_helper_space_init(struct address_space *space, struct file *file);
/* Makes @file use its inode's address space again. */
void reeve_helper_space_leave(struct file *file);
/*
 * Returns the inode whose address space the file of @vma has, with a reference
 * to it; NULL: it has one of another kind.
 */
struct inode *reeve_helper_vma_hold_inode(struct vm_area_struct *vma);
/* @caching: REEVE_CACHING_* */
void reeve_helper_vma_prepare(struct vm_area_struct *vma, unsigned int caching,
			      bool decrypted);
void reeve_helper_fault_info(const struct vm_fault *vmf,
			     struct reeve_fault *info);
void reeve_helper_fault_patience(const struct vm_fault *vmf,
				 struct reeve_fault_patience *patience);
/* Takes a reference to the file that is mapped. */
struct file *reeve_helper_fault_file(const struct vm_fault *vmf);
void reeve_helper_fault_unlock(struct vm_fault *vmf);
/* Returns the protection of entries that are @writable, if the mapping is. */
unsigned long reeve_helper_fault_prot(const struct vm_fault *vmf, bool writable);
/* @prot: of reeve_helper_fault_prot() */
unsigned int reeve_helper_insert_page(struct vm_fault *vmf, unsigned long address,
				      struct page *page, unsigned long prot);
/*
 * Locks the entry of a write fault of a page that is mapped. Returns false, with
 * nothing locked, if it has changed since.
 */
bool reeve_helper_lock_entry(struct vm_fault *vmf);
/* Unlocks the locked entry. */
void reeve_helper_unlock_entry(struct vm_fault *vmf);
/* Makes the locked entry writable and unlocks it. The mapping allows writes. */
void reeve_helper_unlock_writable_entry(struct vm_fault *vmf);
/*
 * Write-protects and cleans all entries of @pages adjacent pages, which are mapped
 * at page @first of the file, and returns how many were not. No more than one of
 * them may be huge: the kernel's walk ends at the first that is.
 */
unsigned long reeve_helper_protect(struct address_space *space, unsigned long first,
				   struct page *page, unsigned long pages);
/* Only there in a build with REEVE_BREAK=mistakes. */
bool reeve_helper_makes_mistake(const char *name);
void reeve_helper_make_dirty(struct address_space *space, unsigned long first,
			     unsigned long pages);
/* Returns REEVE_FAULT_FALLBACK if the kernel can't map pfns by huge entries. */
unsigned int reeve_helper_insert_huge(struct vm_fault *vmf, struct page *first);
/* Takes current's mmap_lock for reading. Returns false if it has no mm. */
/* Returns whether all of them could be written. */
bool reeve_helper_clear_user_words(u64 __user *to, unsigned long words);

bool reeve_helper_lock_user_memory(void);
void reeve_helper_unlock_user_memory(void);

/* debugfs.c */
struct reeve_debugfs_file {
	int (*show)(struct seq_file *m, void *data);
	/* NULL: the file can't be written. */
	ssize_t (*write)(void *data, const char __user *from, size_t count);
	void *data;
};

struct dentry *reeve_helper_debugfs_file(const char *name, umode_t mode,
					 struct dentry *parent,
				       const struct reeve_debugfs_file *file);

#endif /* _REEVE_HELPERS_H */
