// SPDX-License-Identifier: GPL-2.0
#define ACROSS_EINVAL (-EINVAL)
#include "across.c"
