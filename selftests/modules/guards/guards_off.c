// SPDX-License-Identifier: GPL-2.0
/* See Kbuild. */
#include "reeve_guards.c"
