// SPDX-License-Identifier: GPL-2.0
/* Pages of a shmem file that are used in place. */
#include <linux/err.h>
#include <linux/folio_batch.h>
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

/* Drops a reference to each folio that begins before page @end. */
static void reeve_release_until(struct address_space *mapping, pgoff_t end)
{
	struct folio_batch batch, stuck;
	pgoff_t index = 0;

	folio_batch_init(&batch);
	folio_batch_init(&stuck);
	while (index < end &&
	       filemap_get_folios(mapping, &index, end - 1, &batch)) {
		unsigned int i;

		for (i = 0; i < folio_batch_count(&batch); i++) {
			struct folio *folio = batch.folios[i];

			/* Users and devices may have written to it. */
			folio_mark_dirty(folio);
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

int reeve_helper_shmem_hold(struct file *file, unsigned long pages)
{
	struct address_space *mapping = file->f_mapping;
	struct folio_batch batch;
	pgoff_t index = 0;
	int ret = 0;

	/* Spares reclaim folios that it can't free. */
	mapping_set_unevictable(mapping);
	folio_batch_init(&batch);
	while (index < pages) {
		struct folio *folio;
		pgoff_t next = index;
		unsigned int i, count;

		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		count = filemap_get_folios_contig(mapping, &next, pages - 1,
						  &batch);
		for (i = 0; i < count; i++) {
			folio = batch.folios[i];
			if (!reeve_folio_is_in(folio, mapping))
				break;
			index = folio_next_index(folio);
		}
		/* Keeps the references to the folios before the i-th. */
		while (count > i)
			folio_put(batch.folios[--count]);
		folio_batch_reinit(&batch);
		if (index >= pages || i) {
			cond_resched();
			continue;
		}
		folio = shmem_read_folio(mapping, index);
		if (IS_ERR(folio)) {
			ret = PTR_ERR(folio);
			break;
		}
		if (folio_test_has_hwpoisoned(folio) ||
		    folio_test_hwpoison(folio)) {
			folio_put(folio);
			ret = -EIO;
			break;
		}
		if (reeve_folio_is_in(folio, mapping))
			index = folio_next_index(folio);
		else
			folio_put(folio);
	}
	if (ret) {
		mapping_clear_unevictable(mapping);
		reeve_release_until(mapping, index);
	}
	return ret;
}

void reeve_helper_shmem_release(struct file *file, unsigned long pages)
{
	mapping_clear_unevictable(file->f_mapping);
	reeve_release_until(file->f_mapping, pages);
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
