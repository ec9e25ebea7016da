// SPDX-License-Identifier: GPL-2.0
#define REEVE_BIND
#define ACROSS_EINVAL (-EINVAL)
#include "across.c"
