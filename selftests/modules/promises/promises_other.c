// SPDX-License-Identifier: GPL-2.0
/* What is loaded where the other one was. */
#include "promises_gone.c"
