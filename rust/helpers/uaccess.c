// SPDX-License-Identifier: GPL-2.0
#include <linux/uaccess.h>

#include "helpers.h"

#define PUT_4(to, fault)				\
	do {						\
		unsafe_put_user(0, (to), fault);	\
		unsafe_put_user(0, (to) + 1, fault);	\
		unsafe_put_user(0, (to) + 2, fault);	\
		unsafe_put_user(0, (to) + 3, fault);	\
	} while (0)

/* Words of a turn. */
#define AT_ONCE 32

/*
 * As clear_user(), which writes eight words a turn, with a third more instructions,
 * where processors have no fast "rep stosb".
 */
bool reeve_helper_clear_user_words(u64 __user *to, unsigned long words)
{
	u64 __user *at;

#ifdef CONFIG_X86_64
	if (boot_cpu_has(X86_FEATURE_FSRS))
		return !clear_user(to, words * sizeof(*to));
#endif
	might_fault();
	if (!user_access_begin(to, words * sizeof(*to)))
		return false;
	for (; words >= AT_ONCE; words -= AT_ONCE, to += AT_ONCE) {
		at = to;
		/* Else clang makes each address from the last one, by an instruction. */
		OPTIMIZER_HIDE_VAR(at);
		PUT_4(at, fault);
		PUT_4(at + 4, fault);
		PUT_4(at + 8, fault);
		PUT_4(at + 12, fault);
		PUT_4(at + 16, fault);
		PUT_4(at + 20, fault);
		PUT_4(at + 24, fault);
		PUT_4(at + 28, fault);
	}
	for (; words; words--, to++)
		unsafe_put_user(0, to, fault);
	user_access_end();
	return true;

fault:
	user_access_end();
	return false;
}
