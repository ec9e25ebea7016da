#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# One make target (see ../../Makefile). What other programs read goes to stdout, the rest to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=selftests/setup/lib.sh
. "$here/lib.sh"
# shellcheck source=selftests/setup/packages.sh
. "$here/packages.sh"
# shellcheck source=selftests/setup/toolchain.sh
. "$here/toolchain.sh"
# shellcheck source=selftests/setup/source.sh
. "$here/source.sh"
# shellcheck source=selftests/setup/kernel.sh
. "$here/kernel.sh"
# shellcheck source=selftests/setup/module.sh
. "$here/module.sh"
# shellcheck source=selftests/setup/userland.sh
. "$here/userland.sh"
# shellcheck source=selftests/setup/lint.sh
. "$here/lint.sh"
# shellcheck source=selftests/setup/probe.sh
. "$here/probe.sh"
# shellcheck source=selftests/setup/install.sh
. "$here/install.sh"
# shellcheck source=selftests/setup/deb.sh
. "$here/deb.sh"
# shellcheck source=selftests/setup/debian13.sh
. "$here/debian13.sh"
# shellcheck source=selftests/setup/matrix.sh
. "$here/matrix.sh"
# shellcheck source=selftests/setup/matrix_packages.sh
. "$here/matrix_packages.sh"
# shellcheck source=selftests/setup/verbs.sh
. "$here/verbs.sh"

verb=${1:-}
verb=${verb//-/_}
case $verb in
deps | kernel | module | modules | userland | run | test | bench | lint | checks | check | cargo | cargo_test | vhost_test | vhost_flows | migration_test | fuzz | fuzz_replay | docs | vm | shell | ext | install | modules_install | uninstall | rust_analyzer | matrix | install_sources | in_debian13)
	shift
	"verb_$verb" "$@"
	;;
*) die "make.sh does not know '$verb'" "Use make; it lists what there is." ;;
esac
