/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads; see rust/Kbuild. */
#include "../bo/api.h"
#include "../lock_order/lock_order.h"
#include "../helpers/helpers.h"
#include "../helpers/cgroup.h"
#include "../uapi/reeve.h"
