// SPDX-License-Identifier: GPL-2.0
/*
 * One of several drivers whose locks one thread takes: each registers a hierarchy
 * with its module's name, of which no thread has to enter.
 *
 * Parameters do something when they are written, and `result` is what came of it,
 * 1 if a record or check was correct: `lock`, `trylock`, `unlock`, `wait` and
 * `check` ORDER record or ask; `before` ORDER NAME and `after` ORDER NAME declare; `enter` 1
 * enters a context, 0 leaves it, 2 enters and leaves none.
 */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>

#include <reeve/lock_order.h>

REEVE_DEFINE_BINDING();

static const char *const order_names[] = { "x", "y" };
static struct reeve_hierarchy *hierarchy;
static struct reeve_thread_context context;
static int locks[ARRAY_SIZE(order_names) + 1];
static int result;

static int across_lock(unsigned int n)
{
	return reeve_record_lock(hierarchy, &locks[n], n,
				 REEVE_LOCK_EXCLUSIVE);
}

static int across_trylock(unsigned int n)
{
	return reeve_record_lock(hierarchy, &locks[n], n,
				 REEVE_LOCK_EXCLUSIVE | REEVE_LOCK_TRYLOCK);
}

static int across_unlock(unsigned int n)
{
	return reeve_record_unlock(hierarchy, &locks[n], n,
				   REEVE_LOCK_EXCLUSIVE);
}

static int across_wait(unsigned int n)
{
	return reeve_record_wait(hierarchy, &locks[n], n);
}

static int across_check(unsigned int n)
{
	return reeve_check_lockable_order(hierarchy, n, 0);
}

static int across_enter(unsigned int enter)
{
	if (enter == 2)
		return reeve_thread_context_enter(NULL) &&
		       reeve_thread_context_leave(NULL);
	return enter ? reeve_thread_context_enter(&context) :
		       reeve_thread_context_leave(&context);
}

static int set_number(const char *value, const struct kernel_param *kp)
{
	int (*f)(unsigned int n) = kp->arg;
	unsigned int n;
	int ret = kstrtouint(value, 0, &n);

	if (ret)
		return ret;
	if (n >= ARRAY_SIZE(locks))
		return -EINVAL;
	result = f(n);
	return 0;
}

static int across_before(const char *name, unsigned int order)
{
	return reeve_hierarchy_set_before(hierarchy, name, order);
}

static int across_after(const char *name, unsigned int order)
{
	return reeve_hierarchy_set_after(hierarchy, order, name);
}

static int set_name(const char *value, const struct kernel_param *kp)
{
	int (*f)(const char *name, unsigned int order) = kp->arg;
	unsigned int order;
	char name[100];

	if (sscanf(value, "%u %99s", &order, name) != 2)
		return -EINVAL;
	result = f(name, order);
	return 0;
}

static const struct kernel_param_ops number_ops = { .set = set_number };
static const struct kernel_param_ops name_ops = { .set = set_name };
module_param_cb(lock, &number_ops, across_lock, 0200);
module_param_cb(trylock, &number_ops, across_trylock, 0200);
module_param_cb(unlock, &number_ops, across_unlock, 0200);
module_param_cb(wait, &number_ops, across_wait, 0200);
module_param_cb(check, &number_ops, across_check, 0200);
module_param_cb(enter, &number_ops, across_enter, 0200);
module_param_cb(before, &name_ops, across_before, 0200);
module_param_cb(after, &name_ops, across_after, 0200);
module_param(result, int, 0444);

static int __init across_init(void)
{
	struct reeve_hierarchy *h;

	h = reeve_hierarchy_register_flags(KBUILD_MODNAME, order_names,
					   ARRAY_SIZE(order_names),
					   REEVE_HIERARCHY_AUTOMATIC);
	if (IS_ERR(h))
		return PTR_ERR(h);
	hierarchy = h;
	/* Null names and orders that are not there. */
	if (reeve_hierarchy_set_before(h, NULL, 1) != ACROSS_EINVAL ||
	    reeve_hierarchy_set_after(h, 3, "reeve") != ACROSS_EINVAL ||
	    reeve_hierarchy_set_after(h, 0, "reeve") != ACROSS_EINVAL ||
	    reeve_hierarchy_set_before(NULL, "reeve", 1) != ACROSS_EINVAL) {
		reeve_hierarchy_forget(h);
		return -EIO;
	}
	return 0;
}

/* Whatever is held. */
static void __exit across_exit(void)
{
	reeve_hierarchy_forget(hierarchy);
}

module_init(across_init);
module_exit(across_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A driver whose locks come before or after another one's");
