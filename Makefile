# vmm: a native hypervisor and its VM manager.
#
# Two commands matter to a newcomer: `make run' and `make test'.  Both
# install what they need first (`make setup').  `make help' lists the rest.

PREFIX		?= /usr/local
SYSCONFDIR	?= /etc
B		?= build
# One name for a file: what an object depends on is found by it next time.
override B	:= $(patsubst $(CURDIR)/%,%,$(abspath $(B)))

CC		= gcc
CSTD		= -std=gnu11
WARN		= -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
		  -Wmissing-prototypes -Wpointer-arith -Wwrite-strings \
		  -Wundef -Wvla -Wformat=2 -Wno-unused-parameter
HARDEN		= -fstack-protector-strong -fstack-clash-protection \
		  -fcf-protection -fPIE -D_FORTIFY_SOURCE=2
OPT		?= -O2 -g
PKGS		= libevent_core libevent_pthreads libbsd-overlay liburing \
		  libmnl libmd zlib libzstd libdeflate
CPPFLAGS	+= -D_GNU_SOURCE -Ilib -Ikernel/chip -I$(B)/vmd -DPREFIX='"$(PREFIX)"' \
		  $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS		+= $(CSTD) $(OPT) $(WARN) $(HARDEN) -pthread $(EXTRA_CFLAGS)
LDFLAGS		+= -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread \
		  $(EXTRA_LDFLAGS)
# The C library first: most of what is looked up when a process starts is there.
# The small ones, of which a few functions are used, become part of the programs:
# to load one takes each process of a VM, and vmctl, 0.2 million instructions.
SMALL		= bsd md uring event_pthreads
LIBS		= -lc $(foreach l,$(shell pkg-config --libs $(PKGS) 2>/dev/null),\
		  $(if $(filter $(SMALL:%=-l%),$l),$(l:-l%=-l:lib%.a),$l))
CTL_LIBS	= $(LIBS) -ljansson

lib_SRC		= $(wildcard lib/*.c)
vmd_SRC		= $(wildcard vmd/*.c)
ctl_SRC		= $(wildcard vmctl/*.c)
lib_OBJ		= $(lib_SRC:%.c=$(B)/%.o)
core_OBJ	= $(patsubst %.c,$(B)/%.o,$(wildcard kernel/core/*.c))
# Chips that vmd and the driver have in common.
chip_OBJ	= $(patsubst %.c,$(B)/%.o,$(wildcard kernel/chip/*.c))
vmd_OBJ		= $(chip_OBJ) $(vmd_SRC:%.c=$(B)/%.o) $(patsubst %.y,$(B)/%.o,$(wildcard vmd/*.y))
ctl_OBJ		= $(ctl_SRC:%.c=$(B)/%.o)
# Every program has one main.c; the rest is an archive, so that unit tests
# link it too.
vmd_MAIN	= $(B)/vmd/main.o
ctl_MAIN	= $(B)/vmctl/main.o

# CONFINE=1: a vmd whose sealed processes try forbidden acts when asked; for
# the confinement test, in a build directory of its own.
ifdef CONFINE
CPPFLAGS	+= -DVMD_CONFINE_TEST -Iregress/confine
vmd_OBJ		+= $(B)/regress/confine/confine.o $(B)/regress/confine/ask.o
endif

test_SRC	= $(wildcard regress/lib/test_*.c regress/kernel/test_*.c \
		    regress/vmd/test_*.c regress/vmctl/test_*.c)
test_BIN	= $(test_SRC:%.c=$(B)/%)

.PHONY: help all setup check unit fuzz fuzz-parsers config lint module kapi \
	lab-test \
	checked lab lab-shell test test-full run bench install deb clean
.SECONDARY:

help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

#: all        build vmd and vmctl
all: $(B)/vmd/vmd $(B)/vmctl/vmctl

$(B)/lib/libvmm.a: $(lib_OBJ)
$(B)/kernel/libcore.a: $(core_OBJ)
$(B)/vmd/libvmd.a: $(filter-out $(vmd_MAIN),$(vmd_OBJ))
$(B)/vmctl/libvmctl.a: $(filter-out $(ctl_MAIN),$(ctl_OBJ))
$(B)/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(B)/vmd/vmd: $(vmd_MAIN) $(B)/vmd/libvmd.a $(B)/lib/libvmm.a
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/vmctl/vmctl: $(ctl_MAIN) $(B)/vmctl/libvmctl.a $(B)/lib/libvmm.a
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CTL_LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -I$(<D) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/vmd/%.c: vmd/%.y
	@mkdir -p $(@D)
	$(Q)bison -Wall -Werror -d -o $@ $<
$(B)/vmd/%.o: $(B)/vmd/%.c
	$(Q)$(CC) $(CPPFLAGS) -Ivmd $(CFLAGS) -MMD -MP -c -o $@ $<

# The emulator is compared with this machine's CPU.
$(B)/regress/kernel/test_emul: $(B)/regress/kernel/native.o \
	$(B)/regress/kernel/emul_env.o $(B)/regress/kernel/emul_case.o
$(B)/regress/kernel/test_emul_rows $(B)/regress/kernel/test_emul_run \
    $(B)/regress/kernel/test_emul_task: \
	$(B)/regress/kernel/emul_machine.o
# By -iquote: core has a cpuid.h, and so has the compiler.
$(B)/regress/kernel/%.o: CPPFLAGS += -iquote kernel/core
$(B)/regress/kernel/%: regress/kernel/%.c $(B)/kernel/libcore.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -iquote kernel/core $(CFLAGS) $(LDFLAGS) -MMD -MP \
	    -MF $@.d -o $@ $< $(filter %.o,$^) $(filter %.a,$^) -lcmocka
# Compared with a library's filters; a filter of the test's own.
$(B)/regress/lib/test_bpf $(B)/regress/vmd/test_vioblk_proc: LIBS += -lseccomp
$(B)/regress/lib/%: regress/lib/%.c $(B)/lib/libvmm.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< \
	    $(filter %.a,$^) -lcmocka $(LIBS)
$(B)/regress/vmd/%: regress/vmd/%.c $(B)/vmd/libvmd.a $(B)/lib/libvmm.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ivmd $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d \
	    -o $@ $< $(filter %.a,$^) -lcmocka $(LIBS)
# vmrun with a trace of what comes to the machine.
TRACED		= bus_read bus_write i8254_run i8259_ack ioapic_eoi \
		  chipset_boot_order pci_intx
$(B)/regress/trace/vmtrace: $(B)/regress/trace/trace_machine.o \
    $(B)/regress/vmd/vmrun.o $(B)/vmd/libvmd.a $(B)/lib/libvmm.a
	$(Q)$(CC) $(LDFLAGS) $(TRACED:%=-Wl,--wrap=%) -o $@ $^ $(LIBS)
$(B)/regress/trace/%.o $(B)/regress/vmd/vmrun.o: CPPFLAGS += -Ivmd
$(B)/regress/vmctl/%: regress/vmctl/%.c $(B)/vmctl/libvmctl.a $(B)/lib/libvmm.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ivmctl $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d \
	    -o $@ $< $(filter %.a,$^) -lcmocka $(CTL_LIBS)

$(B)/regress/bench/blkbench: regress/bench/blkbench.c $(B)/vmd/libvmd.a $(B)/lib/libvmm.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ivmd $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d \
	    -o $@ $< $(filter %.a,$^) $(LIBS)

$(addprefix $(B)/regress/bench/,kvmstats share): $(B)/%: $(B)/%.o
	$(Q)$(CC) $(LDFLAGS) -o $@ $<

# Run as the only programs of a guest, which has no libraries.
$(addprefix $(B)/regress/,$(addprefix bench/,guestio guestproc netio) \
    guest/hostile guest/clocks): $(B)/%: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE $(CSTD) $(OPT) $(WARN) -static -pthread -o $@ $<

# A guest of its own, without an operating system.
$(B)/regress/guest/atom: regress/guest/atom.S
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -nostdlib -static -no-pie -Wl,-Ttext-segment=0x200000,-e,start \
	    -Wl,--build-id=none -o $@ $<

# Kernels of the same kind, which check what the loader did.
KERN		= $(CC) -m32 -std=gnu11 -O2 $(WARN) -ffreestanding -fno-pic \
		  -fno-stack-protector -fcf-protection=none -mgeneral-regs-only \
		  -nostdlib -static -no-pie -Wl,--build-id=none
$(B)/regress/guest/bsd32: $(addprefix regress/guest/,bsd.S bsd.c bsd.lds kernel.h)
	@mkdir -p $(@D)
	$(Q)$(KERN) -Wl,-T,regress/guest/bsd.lds -o $@ \
	    regress/guest/bsd.S regress/guest/bsd.c
$(B)/regress/guest/bsd64: $(B)/regress/guest/bsd32
	$(Q)objcopy -I elf32-i386 -O elf64-x86-64 $< $@
$(B)/regress/guest/bsd%.gz: $(B)/regress/guest/bsd%
	$(Q)gzip -9nc $< >$@

MB		= $(addprefix regress/guest/,mb.S mb.c mb.lds kernel.h)
MB2		= $(addprefix regress/guest/,mb2.S mb2.c mb.lds kernel.h)
$(B)/regress/guest/mb $(B)/regress/guest/mbflat: $(MB)
$(B)/regress/guest/mb2 $(B)/regress/guest/mb2flat: $(MB2)
$(addprefix $(B)/regress/guest/,mb mb2):
	@mkdir -p $(@D)
	$(Q)$(KERN) -Wl,-T,regress/guest/mb.lds -o $@ $(filter %.S %.c,$^)
$(addprefix $(B)/regress/guest/,mbflat mb2flat):
	@mkdir -p $(@D)
	$(Q)$(KERN) -DFLAT -Wl,-T,regress/guest/mb.lds -o $@.elf $(filter %.S %.c,$^)
	$(Q)objcopy -O binary $@.elf $@

# A client of vmd in the lab, not vmctl.
$(B)/regress/suite/rawctl: regress/suite/rawctl.c $(B)/lib/libvmm.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $< \
	    $(filter %.a,$^) $(LIBS)

# Preloaded into the lab's emulator.
$(B)/regress/lab/mend.so: regress/lab/mend.c
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE $(CSTD) $(OPT) -O2 $(WARN) -fPIC -shared -o $@ $<

# The conformance tests of the KVM API, and what shares their guests.
kapi_LIB	= $(addprefix $(B)/regress/kapi/,check.o run.o vm.o)
kapi_OBJ	= $(filter-out %/fuzz.o %/cycles.o,$(patsubst %.c,$(B)/%.o, \
		    $(wildcard regress/kapi/*.c)))
kapi_BIN	= $(addprefix $(B)/regress/kapi/,kapi fuzz cycles)
$(B)/regress/kapi/kapi: $(kapi_OBJ)
$(B)/regress/kapi/fuzz: $(B)/regress/kapi/fuzz.o $(kapi_LIB)
$(B)/regress/kapi/cycles: $(B)/regress/kapi/cycles.o $(kapi_LIB)
$(B)/regress/bench/exits: $(B)/regress/bench/exits.o $(kapi_LIB)
$(kapi_BIN) $(B)/regress/bench/exits:
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

-include $(shell find $(B) -type f -name '*.d' 2>/dev/null)

# One job for each CPU, where make was not told otherwise.
JOBS		= $(if $(findstring j,$(firstword -$(MAKEFLAGS))),,-j$(shell nproc))

#: check      fast tests on this host: unit, configuration, lint (< 2 min)
check:
	@$(MAKE) --no-print-directory $(JOBS) all $(test_BIN)
	@$(MAKE) --no-print-directory $(JOBS) --output-sync=target \
	    unit config lint

unit: $(test_BIN)
	@set -e; for t in $(test_BIN); do echo "== $$t"; timeout 300 $$t; done

#: fuzz       the emulator against the CPU, CASES=n instructions (EMUL_SEED=n);
#:            the driver's calls for FUZZ_SECONDS=n
CASES		= 200000000
FUZZ_SECONDS	= 600
fuzz: $(B)/regress/kernel/test_emul kapi
	EMUL_CASES=$(CASES) $<
	@B=$(B) regress/kapi/lab -v -t 7200 -- -r $(FUZZ_SECONDS)

config: all
	@if [ -x regress/vmd/config/run ]; then regress/vmd/config/run $(B)/vmd/vmd; fi

lint:
	@if [ -x regress/lint/run ]; then regress/lint/run; fi

#: module     vmm.ko for each kernel whose headers `setup' installed
module:
	@+B=$(B) regress/lab/module

#: kapi       the tests of the KVM API, which run in the lab
kapi: $(kapi_BIN)

#: lab-test   those tests, of groups TESTS, on our driver on another processor:
#:            LAB=ivybridge, haswell, lynnfield, penryn, ryzen, turion, qemu or
#:            qemu-nonpt
TESTS		= run/ regs/ exits/ faults/ events/ io/ mmio/ priv/
lab-test: kapi
	@LAB=$(LAB) B=$(B) regress/kapi/lab -v -m 1024 -t 1800 -- $(TESTS)

#: checked    those tests on a kernel that catches a driver's errors (KASAN,
#:            lockdep), built from Debian's source: an hour or two
checked: kapi
	@regress/setup.sh flex bison libelf-dev
	@LAB_LINUX=checked B=$(B) regress/kapi/lab -v --
	@LAB_LINUX=checked B=$(B) regress/kapi/lab -v -- -c 120

#: setup      install what building and testing need (Debian packages)
setup:
	@regress/setup.sh

#: fuzz-parsers  libFuzzer on what strangers send, a minute each
fuzz-parsers:
	@B=$(B) regress/fuzz/run

#: lab        build the lab host and the guest images
lab:
	@regress/lab/build >/dev/null
	@regress/guest/build >/dev/null

#: lab-shell  a root shell in the lab
lab-shell: all
	@eval "$$(regress/guest/build)"; B=$(B) regress/lab/run -s -t 86400 \
	    -c 2 -m 3072 -g "$$guest_disk" regress/lab/shell.sh

# The steps are makes of their own: what `setup' installs decides what
# pkg-config says when the Makefile is read.
#: test       setup, check, and in the lab each test of the suite once, but for
#:            those that take a night
test:
	@regress/test.sh $(MAKE) B=$(B)

#: test-full  the same in the sizes of a night: the whole suite on our driver and on
#:            KVM, ten minutes of each fuzzer, a thousand VMs' lives, Debian
#:            installed in a guest by its own installer
test-full:
	@FULL=1 regress/test.sh $(MAKE) B=$(B)

#: run        a Debian guest's console, here or in the lab
run: setup
	@$(MAKE) --no-print-directory B=$(B) all
	@B=$(B) regress/run.sh

#: bench      against QEMU and KVM, in the lab
bench: setup
	@$(MAKE) --no-print-directory B=$(B) all $(addprefix \
	    $(B)/regress/bench/,guestio guestproc netio exits kvmstats share blkbench)
	@B=$(B) regress/bench/run.sh

#: install    [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc]
#: install-dkms  the driver vmm.ko, for each kernel of this host
include etc/install.mk

#: deb        Debian packages of the daemon and of the driver
deb:
	@regress/deb $(B)

#: clean      the build directory; the lab's cache stays
clean:
	rm -rf $(B)
