// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a shmem file that are used in place.
 *
 * The size of the file is 0, and many owners have a range of it each. Folios are
 * made as by writing: without regard of the size, and none larger than such that
 * it ends where the range does.
 */
#include <linux/err.h>
#include <linux/folio_batch.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>

#include "helpers.h"

/*
 * Whether a folio to which a reference was just taken is still in the file:
 * reclaim may have removed it, and holds its lock until it is done. From now on
 * the reference keeps reclaim, migration and splitting off.
 */
static bool reeve_folio_is_in(struct folio *folio,
			      struct address_space *mapping)
{
	bool is_in;

	folio_lock(folio);
	is_in = folio->mapping == mapping && folio_test_uptodate(folio);
	folio_unlock(folio);
	return is_in;
}

/* Drops a reference to each folio that has a page from @index to before @end. */
static void reeve_release_until(struct address_space *mapping, pgoff_t index,
				pgoff_t end)
{
	struct folio_batch batch, stuck;

	folio_batch_init(&batch);
	folio_batch_init(&stuck);
	while (index < end &&
	       filemap_get_folios(mapping, &index, end - 1, &batch)) {
		unsigned int i;

		for (i = 0; i < folio_batch_count(&batch); i++) {
			struct folio *folio = batch.folios[i];

			/* Users and devices may have written to it. */
			folio_mark_dirty(folio);
			folio_clear_mlocked(folio);
			if (unlikely(folio_test_unevictable(folio)))
				folio_batch_add(&stuck, folio);
			/* The reference that reeve_helper_shmem_hold() took. */
			folio_put(folio);
		}
		if (folio_batch_count(&stuck)) {
			check_move_unevictable_folios(&stuck);
			folio_batch_reinit(&stuck);
		}
		folio_batch_release(&batch);
		cond_resched();
	}
}

/*
 * Returns the folio of page @index, locked and with a reference. A new one is
 * zeroed, and ends before page @end if the kernel has a choice.
 */
static struct folio *reeve_get_folio(struct address_space *mapping,
				     pgoff_t index, pgoff_t end)
{
	struct folio *folio;
	int ret = shmem_get_folio(mapping->host, index,
				  (loff_t)end << PAGE_SHIFT, &folio, SGP_WRITE);

	if (ret)
		return ERR_PTR(ret);
	if (folio_test_has_hwpoisoned(folio) || folio_test_hwpoison(folio)) {
		folio_unlock(folio);
		folio_put(folio);
		return ERR_PTR(-EIO);
	}
	if (!folio_test_uptodate(folio)) {
		long i;

		for (i = 0; i < folio_nr_pages(folio); i++)
			clear_highpage(folio_page(folio, i));
		flush_dcache_folio(folio);
		folio_mark_uptodate(folio);
	}
	return folio;
}

int reeve_helper_shmem_hold(struct file *file, pgoff_t first,
			    unsigned long pages, bool fresh, bool *beyond)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t index = first, end = first + pages;
	struct folio_batch batch;
	int ret = 0;

	folio_batch_init(&batch);
	while (index < end) {
		struct folio *folio;

		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		if (!fresh) {
			pgoff_t next = index;
			unsigned int i, count;

			count = filemap_get_folios_contig(mapping, &next,
							  end - 1, &batch);
			for (i = 0; i < count; i++) {
				folio = batch.folios[i];
				if (!reeve_folio_is_in(folio, mapping))
					break;
				/* Spares reclaim what it can't free. */
				folio_set_mlocked(folio);
				index = folio_next_index(folio);
			}
			/* Keeps the references to those before the i-th. */
			while (count > i)
				folio_put(batch.folios[--count]);
			folio_batch_reinit(&batch);
			if (i) {
				cond_resched();
				continue;
			}
		}
		folio = reeve_get_folio(mapping, index, end);
		if (IS_ERR(folio)) {
			ret = PTR_ERR(folio);
			break;
		}
		folio_set_mlocked(folio);
		index = folio_next_index(folio);
		if (folio->index < first || index > end)
			*beyond = true;
		folio_unlock(folio);
		cond_resched();
	}
	if (ret)
		reeve_release_until(mapping, first, index);
	return ret;
}

void reeve_helper_shmem_release(struct file *file, pgoff_t first,
				unsigned long pages)
{
	reeve_release_until(file->f_mapping, first, first + pages);
}

struct page *reeve_helper_shmem_held_page(struct file *file, pgoff_t index)
{
	struct folio *folio = filemap_get_folio(file->f_mapping, index);
	struct page *page;

	if (IS_ERR(folio))
		return NULL;
	page = folio_file_page(folio, index);
	/* The reference of reeve_helper_shmem_hold() remains. */
	folio_put(folio);
	return page;
}
