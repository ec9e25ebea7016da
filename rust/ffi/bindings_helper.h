/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads; see rust/Kbuild. */
#include "shim.h"
#include "tt_shim.h"
#include "cgroup_shim.h"
#include "../uapi/reeve.h"
