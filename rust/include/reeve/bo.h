/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page accounting for drivers: the pages behind their buffer objects, under one
 * set of limits with all others, swapped out and back in as memory requires.
 *
 * It is what ttm_tt, ttm_pool, a driver's shrinker and its fdinfo are; it places
 * and moves nothing, and knows no fences. Documentation/drivers.md is the manual.
 *
 * Devices, clients and objects are named by handles, which point to nothing: one
 * that is wrong, or was put, gets -ENOENT. Misuse gets an errno and one line in
 * the log with the device, the object and the caller.
 *
 * All of these are called in process context and may sleep, but for
 * reeve_bo_pgprot(). "Locked" means: by the caller, with reeve_bo_lock(), or, if
 * the device's ops have a lock, with that one. Where nothing else is said, they
 * return 0 or a negative errno; and
 *
 *	-ENOENT	 there is no such device, client or object
 *	-EPERM	 the object is not locked; or it is no context that may sleep
 *	-EDEADLK  the call comes from evict_begin() or evict_abort() of this object
 *	-EINTR	 a fatal signal arrived
 */
#ifndef _REEVE_BO_H
#define _REEVE_BO_H

#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

/* REEVE_BO_TYPE_*, REEVE_CACHING_*, REEVE_BO_CREATE_* and REEVE_BO_* */
#include <reeve.h>

struct device;
struct reeve_buffer_object;
struct reeve_client;
struct reeve_device;
struct seq_file;

/* evict_begin() must neither wait nor allocate: -EBUSY if it would have to. */
#define REEVE_EVICT_NOWAIT	(1U << 0)
/* The content is dropped, not kept. */
#define REEVE_EVICT_DROP	(1U << 1)
/* The object is being destroyed: what evict_begin() returns is ignored. */
#define REEVE_EVICT_FINAL	(1U << 2)

/**
 * struct reeve_device_ops - what a device's driver is asked and told
 *
 * All may be null, but the four for the lock come together. They are called in
 * process context, with no spinlock held, and may be called until the object's
 * release(), or, without one, until its last reeve_bo_put() has returned.
 */
struct reeve_device_ops {
	/**
	 * @evict_begin: the object is about to lose its pages; it is locked.
	 * Afterwards neither the device nor the driver may use them, through
	 * page tables or by reeve_bo_vmap(). @flags: REEVE_EVICT_*. Returns
	 * -EBUSY, or another errno, if they are needed still: the object is
	 * passed over, and keeps its place. With lockdep it is asked once, as by
	 * reclaim, when the first object of a device was populated, and told
	 * evict_abort() then. It may not call reeve_bo_*() for @bo but reeve_bo_vunmap().
	 */
	int (*evict_begin)(struct reeve_buffer_object *bo, void *priv,
			   unsigned int flags);
	/** @evict_abort: the pages stay after all; the object is locked */
	void (*evict_abort)(struct reeve_buffer_object *bo, void *priv);
	/**
	 * @release: the object is gone, and @priv is not used again. Until then
	 * @priv must stay, with its lock: this is what a driver would otherwise
	 * count references for. Not called if reeve_bo_create() failed.
	 */
	void (*release)(void *priv);
	/**
	 * @lock: takes the lock that the driver has of its own for the object;
	 * returns -EINTR if a signal arrived, of those that end the wait. For
	 * faults, which are then repeated, and hibernation.
	 */
	int (*lock)(void *priv);
	/** @trylock: takes it if that needs no waiting; for eviction */
	bool (*trylock)(void *priv);
	/** @unlock: releases what @lock and @trylock took */
	void (*unlock)(void *priv);
	/** @is_held: whether it is held */
	bool (*is_held)(void *priv);
};

/*
 * The lock of the ops is each object's dma_resv. With lockdep that order is known
 * from reeve_device_register() on, before there is an object: a driver that waits
 * for a dma_resv in evict_begin(), or with a lock held that it takes there, is
 * reported the first time. The order of a lock of another kind is known by its
 * use, from the first reeve_bo_populate() on. The flag does nothing else.
 */
#define REEVE_DEVICE_DMA_RESV	(1U << 0)

/* Reclaim drops the content rather than keeping it; see reeve_bo_set_purgeable(). */
#define REEVE_BO_CREATE_PURGEABLE	(1U << 16)
/* Fresh pages are not cleared. Such an object can't be mapped by users. */
#define REEVE_BO_CREATE_UNCLEARED	(1U << 17)

/**
 * struct reeve_bo_desc - what a buffer object is to be like
 * @size: sizeof(struct reeve_bo_desc)
 * @bytes: its size
 * @extra_pages: pages behind that
 * @type: REEVE_BO_TYPE_*
 * @caching: REEVE_CACHING_*
 * @flags: REEVE_BO_CREATE_*
 * @pad: 0
 * @priv: what the ops get
 * @sgt: if the pages are external (REEVE_BO_TYPE_SG) and it has DMA addresses
 *       (REEVE_BO_CREATE_DMA_ADDRESSES): a table that the exporter has mapped for
 *       the device, of all its pages. Only the addresses are copied; the object
 *       has them whenever it is populated. Null: see reeve_bo_set_sg_table()
 * @reserved: 0
 */
struct reeve_bo_desc {
	size_t size;
	u64 bytes;
	u64 extra_pages;
	u32 type;
	u32 caching;
	u32 flags;
	u32 pad;
	void *priv;
	const struct sg_table *sgt;
	u64 reserved[7];
};

/**
 * struct reeve_bo_state - what a buffer object is like now
 * @pages: pages that it has when populated
 * @resident: pages that it holds in memory
 * @charged: pages that count against the limits
 * @flags: REEVE_BO_POPULATED and so on
 * @pins: pins in force
 */
struct reeve_bo_state {
	u64 pages;
	u64 resident;
	u64 charged;
	u32 flags;
	u32 pins;
};

/**
 * struct reeve_bo_dma_run - pages whose addresses follow each other
 * @address: that of the first page
 * @pages: how many, from that on
 */
struct reeve_bo_dma_run {
	u64 address;
	u64 pages;
};

/**
 * struct reeve_client_stats - what the objects of a client hold, in pages
 * @objects: how many there are
 * @total: pages when all are populated
 * @resident: pages in memory
 * @charged: pages that count against its limit
 * @pinned: pages in memory of pinned objects
 * @swapped: pages whose content is swapped out
 * @backed_up: pages whose content is in a backup
 * @limit: the limit in force; 0: none
 */
struct reeve_client_stats {
	u64 objects;
	u64 total;
	u64 resident;
	u64 charged;
	u64 pinned;
	u64 swapped;
	u64 backed_up;
	u64 limit;
};

/**
 * reeve_device_register() - add a device
 * @dev: the device that pages are mapped for; null: one of Reeve's own
 * @name: its name in the log, up to 31 bytes, which is copied
 * @ops: what its objects' driver is asked; null: nothing. Must stay until
 *       reeve_device_unregister()
 * @flags: REEVE_DEVICE_*
 *
 * With lockdep it waits for a short-lived thread, which tells lockdep the order.
 *
 * Return: the device; or an ERR_PTR(): -EINVAL: no name, some but not all of the
 * lock's ops, REEVE_DEVICE_DMA_RESV without them, unknown flags, or @dev has no
 * DMA mask; -ENOMEM; -ENFILE: the
 * machine has too many open files for the few that hold content of its objects.
 *
 * Stands for ttm_device_init().
 */
struct reeve_device *reeve_device_register(struct device *dev, const char *name,
					   const struct reeve_device_ops *ops,
					   unsigned int flags);

/**
 * reeve_device_unregister() - remove a device
 * @device: the device
 *
 * When it succeeds no op of it is running, nor will be called.
 *
 * Return: 0; -EBUSY: it has objects, which includes those that users have mapped.
 *
 * Stands for ttm_device_fini().
 */
int reeve_device_unregister(struct reeve_device *device);

/**
 * reeve_client_create() - make a client, to which objects are charged
 *
 * An open file of the driver, mostly. Its user is that of the current task.
 *
 * Return: the client; or ERR_PTR(-ENOMEM).
 */
struct reeve_client *reeve_client_create(void);

/**
 * reeve_client_put() - end a client
 * @client: the client
 *
 * Its objects stay charged to it as long as they live.
 */
int reeve_client_put(struct reeve_client *client);

/**
 * reeve_client_set_limit() - limit what the objects of a client may have charged
 * @client: the client
 * @pages: the limit; 0: that of the module's parameter file_pages_limit
 *
 * What is above it is evicted afterwards, by a work item.
 */
int reeve_client_set_limit(struct reeve_client *client, u64 pages);

/**
 * reeve_client_get_stats() - what the objects of a client hold at one moment
 * @client: the client
 * @stats: filled in
 */
int reeve_client_get_stats(struct reeve_client *client,
			   struct reeve_client_stats *stats);

/**
 * reeve_client_show_fdinfo() - print that for the driver's show_fdinfo
 * @client: the client
 * @m: where to
 *
 * With the keys of drm-usage-stats for the region "system", and some of Reeve's.
 *
 * Stands for drm_show_memory_stats().
 */
int reeve_client_show_fdinfo(struct reeve_client *client, struct seq_file *m);

/**
 * reeve_bo_create() - make a buffer object, without pages
 * @device: its device
 * @client: to which it is charged; null: to the driver, that is to the module's
 *          limit only
 * @desc: what it is to be like
 *
 * Return: the object, with one reference; or an ERR_PTR(): -EINVAL: a bad field;
 * -E2BIG: the descriptor is of a later header and says what is not known here;
 * -ENODEV: the device is being removed; -ENOSPC: the client has as many objects
 * as it may have; -ENOMEM.
 *
 * Stands for ttm_bo_init_reserved(), ttm_tt_init() and ttm_sg_tt_init().
 */
struct reeve_buffer_object *reeve_bo_create(struct reeve_device *device,
					    struct reeve_client *client,
					    const struct reeve_bo_desc *desc);

/**
 * reeve_bo_get() - take another reference
 * @bo: the object
 *
 * Stands for ttm_bo_get().
 */
int reeve_bo_get(struct reeve_buffer_object *bo);

/**
 * reeve_bo_put() - drop a reference; with the last one the object is destroyed
 * @bo: the object
 *
 * One that is locked is destroyed when it is unlocked, however often it is put;
 * one that users have mapped, when they have unmapped it. Its pages are freed whatever its pins.
 *
 * Stands for ttm_bo_put().
 */
int reeve_bo_put(struct reeve_buffer_object *bo);

/**
 * reeve_bo_lock() - lock an object; waits
 * @bo: the object
 *
 * A thread may wait for one such lock while it has another only by
 * reeve_bo_trylock(). It counts as a reference.
 *
 * Return: 0; -EDEADLK: the caller has locked it; -EINVAL: the device's ops have
 * a lock, which is to be taken instead.
 *
 * Stands for ttm_bo_reserve().
 */
int reeve_bo_lock(struct reeve_buffer_object *bo);

/**
 * reeve_bo_trylock() - lock an object if that needs no waiting
 * @bo: the object
 *
 * Return: as reeve_bo_lock(); -EBUSY: it is locked.
 *
 * Stands for ttm_bo_reserve() with no_wait.
 */
int reeve_bo_trylock(struct reeve_buffer_object *bo);

/**
 * reeve_bo_unlock() - unlock an object
 * @bo: the object, which the caller has locked
 *
 * Stands for ttm_bo_unreserve().
 */
int reeve_bo_unlock(struct reeve_buffer_object *bo);

/* Objects that can't go without waiting are not evicted to make room. */
#define REEVE_POPULATE_NOWAIT	(1U << 0)
/* Any signal ends it, with -ERESTARTSYS; else only fatal ones do, with -EINTR. */
#define REEVE_POPULATE_INTERRUPTIBLE	(1U << 1)
/* The caller copes with -ENOMEM, as it has to anyway: no OOM killer is called. */
#define REEVE_POPULATE_RETRY_MAYFAIL	(1U << 2)

/**
 * reeve_bo_populate() - give an object its pages, and its content if it had any
 * @bo: the object; locked
 * @flags: REEVE_POPULATE_*
 *
 * The pages are charged first; over a limit others are evicted. It becomes the
 * most recently used. No OOM killer is called for its pages, as with
 * __GFP_RETRY_MAYFAIL. Signals are looked for between two objects that are evicted
 * and between two blocks of pages; not within those of REEVE_BO_CREATE_SHMEM.
 *
 * Return: the number of pages gained; -ENOMEM: no memory, or a hard limit; -EIO:
 * content can't be read back, or pages not be mapped for the device; -EINTR,
 * -ERESTARTSYS: a signal. After an error the object is as it was.
 *
 * Stands for ttm_tt_populate() and ttm_bo_populate().
 */
long reeve_bo_populate(struct reeve_buffer_object *bo, unsigned int flags);

/**
 * reeve_bo_unpopulate() - drop pages and content
 * @bo: the object; locked
 *
 * What is swapped out or backed up stays; see reeve_bo_purge().
 *
 * Return: the number of pages freed; -EBUSY: it is pinned, or evict_begin() said
 * so.
 *
 * Stands for ttm_tt_unpopulate().
 */
long reeve_bo_unpopulate(struct reeve_buffer_object *bo);

/**
 * reeve_bo_pin() - keep an object in memory until as many reeve_bo_unpin()
 * @bo: the object, which must be populated; locked
 *
 * Return: 0; -EINVAL: it is not populated; of a client: -EPERM or -ENOMEM as
 * mlock() would, or -ENOMEM: pinned_pages_limit.
 *
 * Stands for ttm_bo_pin().
 */
int reeve_bo_pin(struct reeve_buffer_object *bo);

/**
 * reeve_bo_unpin() - undo one reeve_bo_pin()
 * @bo: the object; locked
 *
 * Return: 0; -EINVAL: it is not pinned.
 *
 * Stands for ttm_bo_unpin().
 */
int reeve_bo_unpin(struct reeve_buffer_object *bo);

/**
 * reeve_bo_swap_out() - move the content out of memory, all or nothing
 * @bo: the object; locked
 *
 * Return: the number of pages freed; -EBUSY: it is pinned, or evict_begin() said
 * so; -EINVAL: its pages are external; -ENOMEM.
 *
 * Stands for ttm_bo_swapout() and ttm_tt_swapout().
 */
long reeve_bo_swap_out(struct reeve_buffer_object *bo);

/**
 * reeve_bo_back_up() - move the content out of memory, as far as memory goes
 * @bo: the object; locked
 * @writeback: whether it is sent on to swap at once
 *
 * Return: the number of pages freed; errors as reeve_bo_swap_out().
 *
 * Stands for ttm_bo_shrink() and ttm_tt_backup().
 */
long reeve_bo_back_up(struct reeve_buffer_object *bo, bool writeback);

/**
 * reeve_bo_restore() - populate an object whose content is in a backup
 * @bo: the object; locked
 *
 * Return: the number of pages gained, 0 if it is not backed up; errors as
 * reeve_bo_populate().
 *
 * Stands for ttm_tt_restore().
 */
long reeve_bo_restore(struct reeve_buffer_object *bo);

/**
 * reeve_bo_purge() - drop pages and content, also what is backed up
 * @bo: the object; locked
 *
 * Return: the number of pages freed; errors as reeve_bo_swap_out().
 *
 * Stands for ttm_bo_shrink() with purge.
 */
long reeve_bo_purge(struct reeve_buffer_object *bo);

/**
 * reeve_bo_set_purgeable() - let eviction drop the content rather than keep it
 * @bo: the object; locked
 * @purgeable: whether it may
 *
 * Return: 1 if the object has its content still, 0 if it has none; an error.
 *
 * Stands for what drivers do in MADV_DONTNEED and MADV_WILLNEED ioctls.
 */
int reeve_bo_set_purgeable(struct reeve_buffer_object *bo, bool purgeable);

/**
 * reeve_bo_touch() - make an object the most recently used
 * @bo: the object; locked
 *
 * Stands for ttm_bo_move_to_lru_tail().
 */
int reeve_bo_touch(struct reeve_buffer_object *bo);

/**
 * reeve_bo_get_state() - what an object is like now
 * @bo: the object; locked
 * @state: filled in
 *
 * Stands for ttm_tt_is_populated() and so on.
 */
int reeve_bo_get_state(struct reeve_buffer_object *bo,
		       struct reeve_bo_state *state);

/**
 * reeve_bo_page() - a page of an object
 * @bo: the object, which must be populated; locked
 * @index: its number
 *
 * The page is the object's while it is locked or pinned, or until evict_begin().
 *
 * Return: the page; or an ERR_PTR(): -EINVAL: there is none.
 *
 * Stands for ttm_tt.pages[index].
 */
struct page *reeve_bo_page(struct reeve_buffer_object *bo, u64 index);

/**
 * reeve_bo_dma_run() - the DMA address of a page, and how many follow
 * @bo: the object, made with REEVE_BO_CREATE_DMA_ADDRESSES; locked
 * @index: the number of the page
 * @run: filled in; valid as long as the page is
 *
 * Return: 0; -EINVAL: there is no such page, or no address.
 *
 * Stands for ttm_tt.dma_address[index].
 */
int reeve_bo_dma_run(struct reeve_buffer_object *bo, u64 index,
		     struct reeve_bo_dma_run *run);

/**
 * reeve_bo_get_sg_table() - the pages of an object, to export them
 * @bo: the object, which must be pinned; locked
 * @sgt: filled in; to be freed with sg_free_table() before the object is unpinned
 *
 * It has no DMA addresses: the importer maps it for its device.
 *
 * Return: 0; -EINVAL: it is not pinned, or its pages are external; -ENOMEM.
 *
 * Stands for drm_prime_pages_to_sg().
 */
int reeve_bo_get_sg_table(struct reeve_buffer_object *bo, struct sg_table *sgt);

/**
 * reeve_bo_set_sg_table() - the DMA addresses of external pages
 * @bo: an object of REEVE_BO_TYPE_SG with REEVE_BO_CREATE_DMA_ADDRESSES, which
 *      must be populated; locked
 * @sgt: which the exporter has mapped for the device; only its addresses are
 *       copied
 *
 * They are forgotten when it is unpopulated.
 *
 * Return: 0; -EINVAL: they are not those of as many whole pages; -ENOMEM.
 *
 * Stands for drm_prime_sg_to_dma_addr_array().
 */
int reeve_bo_set_sg_table(struct reeve_buffer_object *bo,
			  const struct sg_table *sgt);

/**
 * reeve_bo_vmap() - map an object for the kernel
 * @bo: the object, which must be populated; locked
 *
 * Nests. While it is mapped it stays in memory, unless evict_begin() unmaps it.
 *
 * Return: the address; or an ERR_PTR(): -EINVAL: it is not populated, or its
 * pages are external; -ENOMEM.
 *
 * Stands for ttm_bo_vmap().
 */
void *reeve_bo_vmap(struct reeve_buffer_object *bo);

/**
 * reeve_bo_vunmap() - undo one reeve_bo_vmap()
 * @bo: the object; locked. Also from its evict_begin().
 *
 * Return: 0; -EINVAL: it is not mapped.
 *
 * Stands for ttm_bo_vunmap().
 */
int reeve_bo_vunmap(struct reeve_buffer_object *bo);

/**
 * reeve_bo_sync_for_cpu() - let the processor see what the device wrote
 * @bo: the object; locked
 * @first: the first page
 * @pages: how many
 *
 * Return: 0; -EINVAL: there are no such pages.
 *
 * Stands for dma_sync_single_for_cpu().
 */
int reeve_bo_sync_for_cpu(struct reeve_buffer_object *bo, u64 first, u64 pages);

/**
 * reeve_bo_sync_for_device() - let the device see what the processor wrote
 * @bo: the object; locked
 * @first: the first page
 * @pages: how many
 *
 * Return: 0; -EINVAL: there are no such pages.
 *
 * Stands for dma_sync_single_for_device().
 */
int reeve_bo_sync_for_device(struct reeve_buffer_object *bo, u64 first,
			     u64 pages);

/**
 * reeve_bo_pgprot() - how mappings of an object's pages have to be protected
 * @bo: the object
 * @prot: the protection otherwise
 *
 * Process context; does not sleep.
 *
 * Return: the protection; @prot if there is no such object.
 *
 * Stands for ttm_io_prot() and ttm_prot_from_caching().
 */
pgprot_t reeve_bo_pgprot(struct reeve_buffer_object *bo, pgprot_t prot);

/**
 * reeve_bo_mmap() - map an object for users, from mmap() of the driver's file
 * @bo: the object
 * @vma: the mapping, whose operations are set
 * @first: the page of the file at which the object begins; it must be the same
 *         for all its mappings, and all of one address space
 *
 * Faults populate the object. Each mapping counts as a reference. Nothing of
 * the object needs to be held.
 *
 * Return: 0; -EINVAL: the mapping is private, or not inside the object, its file
 * has an address space of another kind than that of an inode, the pages are
 * external or not cleared; -EPERM: it is executable; -ENOMEM.
 *
 * Stands for ttm_bo_mmap_obj().
 */
int reeve_bo_mmap(struct reeve_buffer_object *bo, struct vm_area_struct *vma,
		  u64 first);

/**
 * reeve_bo_unmap() - remove all mappings of users; the next access faults
 * @bo: the object; locked
 *
 * Stands for ttm_bo_unmap_virtual().
 */
int reeve_bo_unmap(struct reeve_buffer_object *bo);

#endif /* _REEVE_BO_H */
