# SPDX-License-Identifier: GPL-2.0
#
# Everything made lands in build/ or in the cache; the work is done by selftests/setup/make.sh.
# What is set on make's command
# line reaches that script through the environment. (The kernel's build system reads Kbuild beside this file.)

SETUP := selftests/setup/make.sh

.DEFAULT_GOAL := help
.PHONY: help deps kernel run test bench vm ext modules shell lint docs migration-test fuzz clean install modules_install uninstall rust-analyzer matrix

help:
	@echo 'Reeve: page accounting and checked lock order for kernel drivers, in Rust.'
	@echo
	@echo 'On a bare Debian machine, start with one of these (they install and build what they need):'
	@echo '  make run      boot a test kernel in QEMU, insert the module, show what it does'
	@echo '  make test     every test; the last line is "N passed, N failed"'
	@echo '  make bench    what it costs, next to the references; figures in build/bench.json [STRICT=1]'
	@echo '                [KERNEL=bench: without lockdep, which needs a kernel of its own]'
	@echo
	@echo 'Pieces:'
	@echo '  make deps     install packages, find a toolchain, get the kernel source'
	@echo '  make kernel   build a test kernel: KERNEL=base (small), debug, bench, bench-lockdep,'
	@echo '                fuzz, rt, nosmp, gcc, distro'
	@echo '  make modules  build reeve.ko, for the test kernel or for KDIR=your-kernel-build'
	@echo '  make install  reevectl, manual pages, completions, headers: below [DESTDIR=] [PREFIX=/usr/local]'
	@echo '  make modules_install  reeve.ko, for [KDIR=]; make uninstall removes both'
	@echo '  make rust-analyzer  build/rust-project.json, for editors'
	@echo '  make vm       run SCRIPT=file as root in a VM; ends with "vm: exit N"'
	@echo '                [FILES="a b"] [PARAMS="k=v"] [LOAD=0] [KERNEL=base|debug|...] [MEM=1024] [SMP=2]'
	@echo '                [DISK=MiB] [ACCEL=tcg|kvm] [APPEND="kernel arguments"] [QEMU_ARGS=...] [TIMEOUT=seconds]'
	@echo '  make shell    the same VM, interactive'
	@echo '  make ext      build your own module in M=directory against the test kernel and Reeve'
	@echo '  make lint     formatting, clippy, layout, unsafe, warnings, documentation, licences'
	@echo '  make docs     the documentation of all code, in build/doc and build/cargo; diagrams in Documentation/'
	@echo '  make migration-test  the vhost-user peer with real QEMU: memory flows and migrations, some minutes'
	@echo '  make matrix   the module on other kernels (gcc, PREEMPT_RT, no SMP, ...); an hour or two, the first'
	@echo '                time; dkms and Debian packages; a table in build/matrix.md [ROWS="rt gcc dkms deb debian13"]'
	@echo '  make fuzz     call the module with everything, guided by what code that reaches: [FUZZ_SECONDS=600]'
	@echo '                [SEED=n] [KERNEL=fuzz|debug|base]; what fails is made small: [REPLAY=file] [MINIMISE=file]'
	@echo '  make clean    remove build/ (not the cache)'
	@echo
	@echo 'Everywhere: KERNEL_SRC=directory (your own kernel source, 7.3 or newer), JOBS=N,'
	@echo '            REEVE_CACHE=directory (kernels, sources, programs; default ~/.cache/reeve).'
	@echo 'More in README.md and Documentation/.'

deps run test bench vm ext modules shell lint docs migration-test fuzz install modules_install uninstall rust-analyzer matrix:
	@exec $(SETUP) $@

kernel:
	@exec $(SETUP) kernel >/dev/null

clean:
	rm -rf build
