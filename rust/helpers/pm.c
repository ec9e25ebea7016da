// SPDX-License-Identifier: GPL-2.0
#include <linux/container_of.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/suspend.h>

#include "helpers.h"

struct reeve_pm_watch {
	struct notifier_block nb;
	void (*prepare)(void *data);
	void *data;
};

static int reeve_pm_notify(struct notifier_block *nb, unsigned long event,
			   void *unused)
{
	struct reeve_pm_watch *watch =
		container_of(nb, struct reeve_pm_watch, nb);

	switch (event) {
	case PM_HIBERNATION_PREPARE:
		watch->prepare(watch->data);
		return NOTIFY_OK;
	}
	return NOTIFY_DONE;
}

struct reeve_pm_watch *reeve_helper_pm_watch(void (*prepare)(void *data),
					     void *data)
{
	struct reeve_pm_watch *watch = kzalloc_obj(*watch);

	if (!watch)
		return NULL;
	watch->nb.notifier_call = reeve_pm_notify;
	watch->prepare = prepare;
	watch->data = data;
	/* Without CONFIG_PM_SLEEP this returns 0 and nothing is called. */
	if (register_pm_notifier(&watch->nb)) {
		kfree(watch);
		return NULL;
	}
	return watch;
}

void reeve_helper_pm_unwatch(struct reeve_pm_watch *watch)
{
	unregister_pm_notifier(&watch->nb);
	kfree(watch);
}
