// SPDX-License-Identifier: GPL-2.0
#define REEVE_OFF
#define ACROSS_EINVAL 0
#include "across.c"
