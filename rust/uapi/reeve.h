/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Reeve's user ABI: ioctls on /dev/reeve.
 *
 * This file is the only text of the ABI; the Rust bindings of the module and
 * of the user-space programs are generated from it.
 *
 * Rules that hold for every call:
 *  - Every struct is naturally aligned, has no hidden padding and is the same
 *    for 32-bit and 64-bit callers.
 *  - Fields named "reserved" or "pad" and undefined flag bits must be 0, or
 *    the call fails with EINVAL and changes nothing.
 *  - Handles belong to the open file they were made on and are never 0.
 *    Closing the file destroys what its handles name; it is closed when no
 *    descriptor and no mapping of it is left.
 *  - Sizes and offsets are in bytes, counts named "pages" in PAGE_SIZE units.
 *
 * Errors common to all calls:
 *  - ENOTTY: no such ioctl.
 *  - EFAULT: a pointer is not valid.
 *  - EINVAL: a bad flag or enum value, a reserved field set, a zero or
 *    overflowing size.
 *  - ENOENT: no such handle or device index.
 *  - ENOMEM: no memory; nothing changed.
 *  - EINTR: a fatal signal arrived while waiting; nothing changed.
 */
#ifndef _UAPI_REEVE_H
#define _UAPI_REEVE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define REEVE_ABI_MAJOR 1
#define REEVE_ABI_MINOR 9

/* Bits of struct reeve_version::features. */
#define REEVE_FEATURE_LOCK_ORDER	(1ULL << 0)
#define REEVE_FEATURE_PAGE_ACCOUNTING	(1ULL << 1)
#define REEVE_FEATURE_LOCK_SANITY	(1ULL << 2) /* enable_builtin_tests is set */
#define REEVE_FEATURE_PAGE_POOL		(1ULL << 3) /* since 1.1: caching modes, DMA32, pool */
#define REEVE_FEATURE_BACKUP		(1ULL << 4) /* since 1.2: BACKUP, EXTERNAL_MAPPABLE */
#define REEVE_FEATURE_SHMEM		(1ULL << 5) /* since 1.3: CREATE_SHMEM */
#define REEVE_FEATURE_MMAP		(1ULL << 6) /* since 1.4: objects can be mapped */
#define REEVE_FEATURE_FILE_LIMIT	(1ULL << 7) /* since 1.5: FILE_LIMIT */
#define REEVE_FEATURE_DMA_ADDRESSES	(1ULL << 8) /* since 1.6: CREATE_DMA_ADDRESSES */
#define REEVE_FEATURE_DIRTY_LOG		(1ULL << 9) /* since 1.8: LOG_MODE, BO_LOG_* */
#define REEVE_FEATURE_LOG_FENCE		(1ULL << 10) /* since 1.9: BO_LOG_FENCE */

/**
 * struct reeve_version - REEVE_IOC_VERSION: what this module is and can do
 * @abi_major: out: changes when old programs would break
 * @abi_minor: out: changes when something was added
 * @features: out: REEVE_FEATURE_* bits
 * @page_size: out: the kernel's page size in bytes
 * @devices: out: number of devices; valid device indexes are 0..devices
 * @release: out: the module's version, NUL-terminated
 * @reserved: must be 0
 */
struct reeve_version {
	__u32 abi_major;
	__u32 abi_minor;
	__u64 features;
	__u32 page_size;
	__u32 devices;
	__u8 release[32];
	__u64 reserved[2];
};

/* struct reeve_bo_create::type */
#define REEVE_BO_TYPE_DEVICE	0 /* for user space and the device */
#define REEVE_BO_TYPE_KERNEL	1 /* for the driver itself */
#define REEVE_BO_TYPE_SG	2 /* pages of another driver: EXTERNAL */

/* struct reeve_bo_create::caching */
#define REEVE_CACHING_CACHED		0
#define REEVE_CACHING_WRITE_COMBINED	1 /* EINVAL before 1.1 */
#define REEVE_CACHING_UNCACHED		2 /* EINVAL before 1.1 */

/* struct reeve_bo_create::flags */
#define REEVE_BO_CREATE_ZERO_ALLOC	(1U << 0) /* only for TYPE_DEVICE */
#define REEVE_BO_CREATE_DMA32		(1U << 1) /* since 1.1: below 4 GiB; not EXTERNAL */
#define REEVE_BO_CREATE_EXTERNAL_MAPPABLE (1U << 2) /* since 1.2: only TYPE_SG */
#define REEVE_BO_CREATE_SHMEM		(1U << 3) /* since 1.3: only CACHED, not DMA32 */
#define REEVE_BO_CREATE_DMA_ADDRESSES	(1U << 4) /* since 1.6: mapped for the device */

/**
 * struct reeve_bo_create - REEVE_IOC_BO_CREATE: create a buffer object without pages
 * @size: in: bytes, > 0; rounded up to whole pages
 * @type: in: REEVE_BO_TYPE_*
 * @caching: in: REEVE_CACHING_*
 * @flags: in: REEVE_BO_CREATE_* bits
 * @device: in: index of the device it belongs to
 * @extra_pages: in: pages behind the object's own, counted and allocated
 * @handle: in: must be 0; out: names the object on this open file
 * @reserved: must be 0
 *
 * ENOSPC (since 1.7): the file has as many objects as the module parameter
 * file_objects_limit allows.
 */
struct reeve_bo_create {
	__u64 size;
	__u32 type;
	__u32 caching;
	__u32 flags;
	__u32 device;
	__u32 extra_pages;
	__u32 handle;
	__u64 reserved[2];
};

/**
 * struct reeve_bo - REEVE_IOC_BO_{DESTROY,POPULATE,UNPOPULATE,PIN,UNPIN,SWAPOUT,BACKUP,RESTORE,
 *                   LOG_START,LOG_STOP}
 * @handle: in: the object
 * @flags: in: BACKUP: REEVE_BO_BACKUP_* bits; others: must be 0
 * @pages: out: SWAPOUT and BACKUP: pages swapped out (0: it held none);
 *         POPULATE, RESTORE and UNPOPULATE: pages it gained or lost by this
 *         call; LOG_START and LOG_STOP: pages that the log has; others: 0
 * @reserved: must be 0
 *
 * POPULATE: gives the object its pages, and its content back if it was swapped
 * out. Populated already: success. Error: as before the call.
 * UNPOPULATE: drops pages and content. EBUSY: it is pinned.
 * PIN: keeps a populated object in memory; pins nest. EINVAL: not populated;
 * EOVERFLOW: too many pins; since 1.7, as with mlock(), without CAP_IPC_LOCK:
 * EPERM: RLIMIT_MEMLOCK is 0; ENOMEM: more would be locked than it allows. ENOMEM
 * also: more than the module parameter pinned_pages_limit allows.
 * UNPIN: EINVAL: not pinned.
 * SWAPOUT: EBUSY: it is pinned; EINVAL: it is EXTERNAL.
 * BACKUP: like SWAPOUT, but when memory runs out half-way what was moved stays
 * moved (@pages is less than it held, and the object BACKED_UP but not
 * POPULATED), and a later BACKUP goes on. ENOMEM: nothing could be moved. With
 * PURGE content is dropped instead, from pages and backup. EBUSY: it is pinned;
 * EINVAL: it is EXTERNAL and not EXTERNAL_MAPPABLE.
 * RESTORE: POPULATE for an object that is BACKED_UP; nothing for others.
 * LOG_START (since 1.8): gives the object a dirty log, in the mode of the open
 * file; one that has a log keeps it. EINVAL: it is EXTERNAL. ENOMEM also: it has
 * more pages than the machine.
 * LOG_STOP (since 1.8): frees the log. ENOENT: it has none.
 */
struct reeve_bo {
	__u32 handle;
	__u32 flags;
	__u64 pages;
	__u64 reserved[2];
};

/* struct reeve_bo::flags of BACKUP */
#define REEVE_BO_BACKUP_PURGE		(1U << 0) /* drop the content */
#define REEVE_BO_BACKUP_WRITEBACK	(1U << 1) /* send it on to swap; not with PURGE */

/* struct reeve_bo_info::flags */
#define REEVE_BO_POPULATED		(1U << 0)
#define REEVE_BO_SWAPPED		(1U << 1)
#define REEVE_BO_BACKED_UP		(1U << 2)
#define REEVE_BO_ZERO_ALLOC		(1U << 3)
#define REEVE_BO_EXTERNAL		(1U << 4)
#define REEVE_BO_EXTERNAL_MAPPABLE	(1U << 5)
#define REEVE_BO_DECRYPTED		(1U << 6)
#define REEVE_BO_ON_LRU			(1U << 7) /* global swapout may take it */
#define REEVE_BO_DMA32			(1U << 8) /* its pages are below 4 GiB */
#define REEVE_BO_SHMEM			(1U << 9) /* its pages live in a shmem file */
#define REEVE_BO_DMA_ADDRESSES		(1U << 10) /* its pages are mapped for the device */
#define REEVE_BO_LOGGING		(1U << 11) /* since 1.8: it has a dirty log */

/**
 * struct reeve_bo_info - REEVE_IOC_BO_INFO and REEVE_IOC_BO_NEXT
 * @handle: BO_INFO: in. BO_NEXT: in: 0 or a handle; out: the next higher handle
 *          in use on this open file (ENOENT: none)
 * @type: out: REEVE_BO_TYPE_*
 * @size: out: bytes asked for at creation
 * @num_pages: out: pages it has when populated, extra pages included
 * @pages_resident: out: pages it holds in memory now
 * @pages_charged: out: pages it has added to the device's counters
 * @flags: out: REEVE_BO_* bits
 * @caching: out: REEVE_CACHING_*
 * @pin_count: out: pins in force
 * @device: out: index of its device
 * @reserved: must be 0
 */
struct reeve_bo_info {
	__u32 handle;
	__u32 type;
	__u64 size;
	__u64 num_pages;
	__u64 pages_resident;
	__u64 pages_charged;
	__u32 flags;
	__u32 caching;
	__u32 pin_count;
	__u32 device;
	__u64 reserved[4];
};

/**
 * struct reeve_bo_rw - REEVE_IOC_BO_READ and REEVE_IOC_BO_WRITE: content by copy
 * @handle: in: the object; populated (or swapped in) first if need be
 * @flags: in: must be 0
 * @offset: in: first byte
 * @length: in: bytes; offset + length <= the object's size, else EINVAL
 * @addr: in: user memory
 * @done: out: bytes copied; less than @length only with EFAULT or EINTR
 * @reserved: must be 0
 *
 * EINVAL: the object is EXTERNAL.
 */
struct reeve_bo_rw {
	__u32 handle;
	__u32 flags;
	__u64 offset;
	__u64 length;
	__u64 addr;
	__u64 done;
	__u64 reserved[2];
};

/**
 * struct reeve_bo_mmap - REEVE_IOC_BO_MMAP: where an object can be mapped (since 1.4)
 * @handle: in: the object
 * @flags: in: must be 0
 * @offset: out: the offset for mmap() on this open file; the same each time
 * @length: out: bytes that can be mapped there: the object's size rounded up
 *          to whole pages, without its extra pages
 * @reserved: must be 0
 *
 * Any page-aligned part of it can be mapped, with MAP_SHARED. The object gets
 * its pages, and its content back, when the mapping is touched.
 *
 * EINVAL: the object is EXTERNAL and not EXTERNAL_MAPPABLE. ENOSPC: the file
 * has no offsets left: there are 2^32 pages, and what destroyed objects had is
 * used again.
 * mmap(): EINVAL: no object there, or not as much of it, or MAP_PRIVATE;
 * EPERM: PROT_EXEC; EACCES: the descriptor was not opened for that.
 */
struct reeve_bo_mmap {
	__u32 handle;
	__u32 flags;
	__u64 offset;
	__u64 length;
	__u64 reserved[2];
};

/**
 * struct reeve_bo_dma_address - REEVE_IOC_BO_DMA_ADDRESS: where a page is for
 *                               the device (since 1.6)
 * @handle: in: the object
 * @flags: in: must be 0
 * @page: in: index of the page, extra pages included
 * @address: out: its DMA address
 * @pages: out: how many pages from this one on have addresses in a row
 * @reserved: must be 0
 *
 * Pages of an object made with REEVE_BO_CREATE_DMA_ADDRESSES have an address
 * while they are in memory; it stays the same until they leave it, so pin the
 * object first.
 *
 * EINVAL: the object was made without addresses, is not populated, has no such
 * page; or it is EXTERNAL and not EXTERNAL_MAPPABLE, and its addresses were not
 * set. EPERM (since 1.7): the caller has no CAP_SYS_ADMIN, and the module
 * parameter show_dma_addresses is not set.
 */
struct reeve_bo_dma_address {
	__u32 handle;
	__u32 flags;
	__u64 page;
	__u64 address;
	__u64 pages;
	__u64 reserved[2];
};

/**
 * struct reeve_stats - REEVE_IOC_STATS: statistics of the module
 * @pages_allocated: out: pages counted now
 * @dma32_pages_allocated: out: of these, for DMA32 pools
 * @pages_limit: out: limit on @pages_allocated
 * @dma32_pages_limit: out: limit on @dma32_pages_allocated
 * @buffer_objects: out: objects alive
 * @populates: out: populates that gave pages
 * @unpopulates: out: unpopulates that took pages, swapouts not included
 * @swapouts: out: objects swapped out
 * @swapins: out: objects swapped in
 * @swapped_pages: out: pages swapped out, ever
 * @overcommits: out: populates that went on over a limit
 * @lock_violations: out: incorrect lock usages found in any hierarchy but the
 *                   sanity suite's own
 * @pool_pages: out: free pages that are kept for the next populate (since 1.1)
 * @page_pool_size: out: the most that are kept (since 1.1)
 * @backups: out: objects backed up to the end (since 1.2)
 * @restores: out: objects whose backup was taken back (since 1.2)
 * @backed_up_pages: out: pages backed up, ever (since 1.2)
 * @faults: out: page faults of mappings that mapped pages (since 1.4)
 * @huge_faults: out: of these, that mapped a large block at once (since 1.4)
 * @file_overcommits: out: populates that went on over the limit of their open
 *                    file; not in @overcommits unless it was over both (since 1.5)
 * @reserved: must be 0
 */
struct reeve_stats {
	__u64 pages_allocated;
	__u64 dma32_pages_allocated;
	__u64 pages_limit;
	__u64 dma32_pages_limit;
	__u64 buffer_objects;
	__u64 populates;
	__u64 unpopulates;
	__u64 swapouts;
	__u64 swapins;
	__u64 swapped_pages;
	__u64 overcommits;
	__u64 lock_violations;
	__u64 pool_pages;
	__u64 page_pool_size;
	__u64 backups;
	__u64 restores;
	__u64 backed_up_pages;
	__u64 faults;
	__u64 huge_faults;
	__u64 file_overcommits;
	__u64 reserved[4];
};

/* struct reeve_file_limit::flags */
#define REEVE_FILE_LIMIT_SET	(1U << 0) /* set the limit; else only look */

/**
 * struct reeve_file_limit - REEVE_IOC_FILE_LIMIT: what this open file's objects
 *                           may have charged (since 1.5)
 * @flags: in: REEVE_FILE_LIMIT_* bits
 * @pad: must be 0
 * @limit: in: with SET: pages, 0: only the module parameter file_pages_limit is
 *         to hold; else ignored. out: the limit in force, 0: none: the lower one
 *         of what was set and the parameter
 * @pages_charged: out: pages that its objects hold, EXTERNAL_MAPPABLE ones
 *                 included, with those that are being populated
 * @overcommits: out: populates that went on over the limit
 * @reserved: must be 0
 *
 * A populate that would go over the limit first has the file's own objects
 * swapped out, least recently used first. When none is left it goes on, which
 * is counted, or with the module parameter hard_limit fails with ENOMEM. Other
 * files' objects are not touched. A limit below what is charged has objects
 * swapped out in the background; the call does not wait for it.
 */
struct reeve_file_limit {
	__u32 flags;
	__u32 pad;
	__u64 limit;
	__u64 pages_charged;
	__u64 overcommits;
	__u64 reserved[2];
};

/* struct reeve_log_mode::flags */
#define REEVE_LOG_MODE_SET	(1U << 0) /* set the mode; else only look */

/* struct reeve_log_mode::mode and ::supported */
#define REEVE_LOG_LEGACY	0 /* a get clears what it hands out */
#define REEVE_LOG_MANUAL	(1U << 0) /* get and clear are apart */
#define REEVE_LOG_INITIALLY_SET	(1U << 1) /* only with MANUAL: a log begins all ones */

/**
 * struct reeve_log_mode - REEVE_IOC_LOG_MODE: how dirty logs work that this open
 *                         file starts from now on (since 1.8)
 * @flags: in: REEVE_LOG_MODE_* bits
 * @mode: in: with SET: REEVE_LOG_* bits; else ignored. out: those in force
 * @supported: out: all bits that there are
 * @reserved: must be 0
 *
 * A log keeps the mode it was started in. The default is LEGACY.
 */
struct reeve_log_mode {
	__u32 flags;
	__u32 mode;
	__u32 supported;
	__u32 reserved;
};

/**
 * struct reeve_bo_log_get - REEVE_IOC_BO_LOG_GET: which pages were written to (since 1.8)
 * @handle: in: the object
 * @flags: in: must be 0
 * @pages: in: pages that the log has: those that can be mapped
 * @bitmap: in: address of DIV_ROUND_UP(pages, 64) native 64-bit words; bit i of
 *          word w is page 64 * w + i
 * @dirty: out: bits that are set in them
 *
 * A log in LEGACY mode clears what it hands out. In the others the log stays
 * as it is.
 *
 * ENOENT: no such object, or it has no log. EINVAL: @pages is another number.
 * EFAULT: the log is as before, in LEGACY mode, too; what the bitmap has then
 * means nothing.
 */
struct reeve_bo_log_get {
	__u32 handle;
	__u32 flags;
	__u64 pages;
	__u64 bitmap;
	__u64 dirty;
};

/**
 * struct reeve_bo_log_clear - REEVE_IOC_BO_LOG_CLEAR: forget writes to some pages (since 1.8)
 * @handle: in: the object
 * @flags: in: must be 0
 * @first_page: in: the page of the bitmap's first bit, a multiple of 64
 * @num_pages: in: how many, a multiple of 64 unless they end where the log does;
 *             0: does nothing
 * @bitmap: in: address of DIV_ROUND_UP(num_pages, 64) native 64-bit words: those
 *          to be cleared. Bits behind the end are ignored
 * @cleared: out: bits that were set in both
 *
 * What is cleared is write-protected in all mappings: the next write sets its
 * bit again. It works in every mode, and needs no get before.
 *
 * ENOENT: no such object, or it has no log. EINVAL: a bad range.
 */
struct reeve_bo_log_clear {
	__u32 handle;
	__u32 flags;
	__u64 first_page;
	__u64 num_pages;
	__u64 bitmap;
	__u64 cleared;
};

/**
 * struct reeve_bo_log_info - REEVE_IOC_BO_LOG_INFO: an object's dirty log (since 1.8)
 * @handle: in: the object
 * @mode: out: REEVE_LOG_* bits it was started with
 * @pages: out: pages that it has
 * @dirty: out: bits that are set
 * @write_faults: out: page faults of mappings that set a bit
 * @protections: out: entries of page tables that were write-protected
 * @bytes: out: memory that the log takes
 * @fences: out: fences that hold writers back (since 1.9)
 * @reserved: must be 0
 *
 * ENOENT: no such object, or it has no log.
 */
struct reeve_bo_log_info {
	__u32 handle;
	__u32 mode;
	__u64 pages;
	__u64 dirty;
	__u64 write_faults;
	__u64 protections;
	__u64 bytes;
	__u64 fences;
	__u64 reserved;
};

/**
 * struct reeve_bo_log_fence - REEVE_IOC_BO_LOG_FENCE: hold writers back (since 1.9)
 * @handle: in: the object
 * @flags: in: must be 0
 * @fd: out: the fence: a file, which is closed by exec
 * @pad: must be 0
 * @reserved: must be 0
 *
 * When the call has returned, the content of the object does not change before
 * the fence is lifted: when the last descriptor of @fd is closed, be it by the
 * death of the process, or when the log or the object goes. Several fences hold
 * writers back until the last is lifted.
 *
 * A store through any mapping waits, until a signal that kills the thread, or, of
 * user code, any signal, after which it is tried again. So do BO_WRITE,
 * BO_UNPOPULATE and BO_BACKUP with REEVE_BO_BACKUP_PURGE, until a signal that
 * kills (EINTR). What can't wait fails: a debugger's write (/proc/PID/mem: EIO),
 * futex operations that write, and kernel threads that store (EFAULT). Loads,
 * BO_READ and the log's other calls do not wait, and the object may go to swap and
 * come back. Devices are not held back. A thread that writes to what it has fenced
 * itself waits for itself.
 *
 * ENOENT: no such object, or it has no log. EMFILE, ENFILE: too many open files.
 */
struct reeve_bo_log_fence {
	__u32 handle;
	__u32 flags;
	__s32 fd;
	__u32 pad;
	__u64 reserved[2];
};

#define REEVE_LOCK_SANITY_CASES 20

/* struct reeve_lock_sanity_case::status */
#define REEVE_CASE_NOT_RUN	0
#define REEVE_CASE_PASSED	1
#define REEVE_CASE_FAILED	2

/**
 * struct reeve_lock_sanity_case - one case of the suite
 * @name: out: NUL-terminated
 * @status: out: REEVE_CASE_*
 * @line: out: line of the first failed check in the suite's source, or 0;
 *        the kernel log has its text
 */
struct reeve_lock_sanity_case {
	__u8 name[64];
	__u32 status;
	__u32 line;
};

/**
 * struct reeve_lock_sanity - REEVE_IOC_LOCK_SANITY: run the lock sanity suite
 * @flags: in: must be 0
 * @count: out: entries of @cases that are filled in
 * @failed: out: cases that failed; 0 means the suite passed
 * @pad: must be 0
 * @duration_ns: out: how long it took, nanoseconds
 * @reserved: must be 0
 * @cases: out: a result per case, in the order they ran
 *
 * EPERM: the module parameter enable_builtin_tests is not set. The call
 * succeeds also when a case fails. EOPNOTSUPP: tracking is switched off, by the
 * module parameter lock_tracking. A run during which it is switched is repeated;
 * EAGAIN: it is switched all the time.
 */
struct reeve_lock_sanity {
	__u32 flags;
	__u32 count;
	__u32 failed;
	__u32 pad;
	__u64 duration_ns;
	__u64 reserved[2];
	struct reeve_lock_sanity_case cases[REEVE_LOCK_SANITY_CASES];
};

#define REEVE_IOC_MAGIC 0xE7

/* Call numbers; plain, so that bindings generators can read them. */
#define REEVE_NR_VERSION        0x00
#define REEVE_NR_STATS          0x01
#define REEVE_NR_BO_CREATE      0x10
#define REEVE_NR_BO_DESTROY     0x11
#define REEVE_NR_BO_INFO        0x12
#define REEVE_NR_BO_NEXT        0x13
#define REEVE_NR_BO_POPULATE    0x14
#define REEVE_NR_BO_UNPOPULATE  0x15
#define REEVE_NR_BO_PIN         0x16
#define REEVE_NR_BO_UNPIN       0x17
#define REEVE_NR_BO_SWAPOUT     0x18
#define REEVE_NR_BO_READ        0x19
#define REEVE_NR_BO_WRITE       0x1a
#define REEVE_NR_BO_BACKUP      0x1b
#define REEVE_NR_BO_RESTORE     0x1c
#define REEVE_NR_BO_MMAP        0x1d
#define REEVE_NR_FILE_LIMIT     0x1e
#define REEVE_NR_BO_DMA_ADDRESS 0x1f
#define REEVE_NR_LOG_MODE       0x20
#define REEVE_NR_BO_LOG_START   0x21
#define REEVE_NR_BO_LOG_STOP    0x22
#define REEVE_NR_BO_LOG_GET     0x23
#define REEVE_NR_BO_LOG_CLEAR   0x24
#define REEVE_NR_BO_LOG_INFO    0x25
#define REEVE_NR_BO_LOG_FENCE   0x26
#define REEVE_NR_LOCK_SANITY    0x30

#define REEVE_IOC_VERSION	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_VERSION, struct reeve_version)
#define REEVE_IOC_STATS		_IOWR(REEVE_IOC_MAGIC, REEVE_NR_STATS, struct reeve_stats)

#define REEVE_IOC_BO_CREATE	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_CREATE, struct reeve_bo_create)
#define REEVE_IOC_BO_DESTROY	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_DESTROY, struct reeve_bo)
#define REEVE_IOC_BO_INFO	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_INFO, struct reeve_bo_info)
#define REEVE_IOC_BO_NEXT	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_NEXT, struct reeve_bo_info)
#define REEVE_IOC_BO_POPULATE	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_POPULATE, struct reeve_bo)
#define REEVE_IOC_BO_UNPOPULATE	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_UNPOPULATE, struct reeve_bo)
#define REEVE_IOC_BO_PIN	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_PIN, struct reeve_bo)
#define REEVE_IOC_BO_UNPIN	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_UNPIN, struct reeve_bo)
#define REEVE_IOC_BO_SWAPOUT	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_SWAPOUT, struct reeve_bo)
#define REEVE_IOC_BO_READ	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_READ, struct reeve_bo_rw)
#define REEVE_IOC_BO_WRITE	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_WRITE, struct reeve_bo_rw)
#define REEVE_IOC_BO_BACKUP	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_BACKUP, struct reeve_bo)
#define REEVE_IOC_BO_RESTORE	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_RESTORE, struct reeve_bo)
#define REEVE_IOC_BO_MMAP	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_MMAP, struct reeve_bo_mmap)
#define REEVE_IOC_FILE_LIMIT	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_FILE_LIMIT, struct reeve_file_limit)
#define REEVE_IOC_BO_DMA_ADDRESS _IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_DMA_ADDRESS, \
				       struct reeve_bo_dma_address)

/* 0x20..0x2f: the dirty log's. */
#define REEVE_IOC_LOG_MODE	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_LOG_MODE, struct reeve_log_mode)
#define REEVE_IOC_BO_LOG_START	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_LOG_START, struct reeve_bo)
#define REEVE_IOC_BO_LOG_STOP	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_LOG_STOP, struct reeve_bo)
#define REEVE_IOC_BO_LOG_GET	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_LOG_GET, struct reeve_bo_log_get)
#define REEVE_IOC_BO_LOG_CLEAR	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_LOG_CLEAR, \
				      struct reeve_bo_log_clear)
#define REEVE_IOC_BO_LOG_INFO	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_LOG_INFO, \
				      struct reeve_bo_log_info)
#define REEVE_IOC_BO_LOG_FENCE	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_BO_LOG_FENCE, \
				      struct reeve_bo_log_fence)

#define REEVE_IOC_LOCK_SANITY	_IOWR(REEVE_IOC_MAGIC, REEVE_NR_LOCK_SANITY, \
				      struct reeve_lock_sanity)

#endif /* _UAPI_REEVE_H */
