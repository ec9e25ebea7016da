// SPDX-License-Identifier: GPL-2.0
#include <linux/dma-resv.h>

#include "helpers.h"

#if IS_ENABLED(CONFIG_DMA_SHARED_BUFFER)

/* As dma_resv_lockdep() of the kernel. */
void reeve_helper_with_dma_resv(void (*run)(void *data), void *data)
{
	struct ww_acquire_ctx ctx;
	struct dma_resv resv;

	dma_resv_init(&resv);
	ww_acquire_init(&ctx, &reservation_ww_class);
	/* It is free: only the injection of deadlocks makes this fail. */
	if (dma_resv_lock(&resv, &ctx))
		dma_resv_lock_slow(&resv, &ctx);
	run(data);
	dma_resv_unlock(&resv);
	ww_acquire_fini(&ctx);

	dma_resv_lock(&resv, NULL);
	run(data);
	dma_resv_unlock(&resv);
	dma_resv_fini(&resv);
}

#else

void reeve_helper_with_dma_resv(void (*run)(void *data), void *data)
{
}

#endif
