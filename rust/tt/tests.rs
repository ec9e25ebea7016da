// SPDX-License-Identifier: GPL-2.0

//! Tests of page accounting that run in the kernel.
