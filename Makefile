# holdfast. `make help` prints the targets. One Makefile, no configure step; everything it makes lies under build/.
#
# A variant is one way to compile the tree, with its own folder build/<variant>:
#   x86_64 aarch64                  what ships: musl, static-pie, stripped
#   x86_64-checked aarch64-checked  the same with heap red zones; runs the unit and simulation tests
#   x86_64-unwiped                  what ships, but nothing is wiped: for the test that must find what it then leaves behind
#   asan tsan fuzz clang            the host's libc, for sanitizers, libFuzzer and the second compiler
#
# checked and unwiped differ from what ships in board/rt alone (tools/layers sees to it): they compile that folder and the tests, and
# take every other object of the library from the folder of what ships, where they have it made first.
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.SECONDARY:
.DEFAULT_GOAL := all
SHELL := /bin/bash

OUTER := help setup all run test boot check cluster bench soak fuzz sizes lint clean reproducible

ARCH    ?= $(if $(filter aarch64,$(shell uname -m)),aarch64,x86_64)
VARIANT ?= $(ARCH)
KIND    := $(or $(word 2,$(subst -, ,$(VARIANT))),$(if $(filter x86_64 aarch64,$(VARIANT)),release,$(VARIANT)))
MACHINE := $(if $(filter aarch64%,$(VARIANT)),aarch64,x86_64)
O       := build/$(VARIANT)
HOST    := $(filter asan tsan fuzz clang,$(KIND))

# The commit's time is the clock's floor and the only date in the binary, so that two builds of one commit are the same bytes.
VERSION     := $(shell git describe --always --dirty --tags --abbrev=10 2>/dev/null || echo unknown)
FLOOR_S     := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),1763683200)

WARN     := -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes -Werror
CPPFLAGS  = -I. -I$(O)/gen -isystem $(DEPS)/include -D_GNU_SOURCE -DMBEDTLS_ALLOW_PRIVATE_ACCESS
CODEGEN  := -O2 -fno-strict-aliasing -ffunction-sections -fdata-sections -fno-omit-frame-pointer -fstack-clash-protection -ffile-prefix-map=$(CURDIR)=.
CFLAGS   := $(WARN) $(CODEGEN)
# Mbed TLS's AES-GCM goes through net/format/crypto.c, which has a faster one where the CPU can (net/format/gcm.h).
LDFLAGS  := -Wl,--gc-sections -Wl,--wrap=mbedtls_gcm_crypt_and_tag,--wrap=mbedtls_gcm_auth_decrypt
LDLIBS   := -lmbedtls -lmbedx509 -lmbedcrypto -lnghttp2 -lyaml -lcjson -lzstd -lsqlite3
CC        = $(DEPS)/bin/cc

ifneq ($(filter release unwiped,$(KIND)),)
  CFLAGS  += -fPIE -fstack-protector-strong
  LDFLAGS += -static-pie -Wl,-z,relro,-z,now -Wl,--build-id=none
endif
ifeq ($(KIND),unwiped)
  CPPFLAGS += -DHOLDFAST_NO_WIPE
endif
ifeq ($(KIND),checked)
  CFLAGS   += -fPIE -g1
  CPPFLAGS += -DHOLDFAST_CHECKED
  LDFLAGS  += -static-pie
  SLOW     := SIM_STEP=25
endif
ifeq ($(MACHINE),aarch64)
  SLOW   := SIM_STEP=200 SIM_FIRST=3 SIM_SEEDS=1
  # Without it GCC takes guards for 64 KiB here and probes only larger frames; ours are a page.
  CFLAGS += -mno-outline-atomics --param=stack-clash-protection-guard-size=12
  RUN    := qemu-aarch64-static
endif
ifneq ($(HOST),)
  CPPFLAGS += -DHOLDFAST_HOST_LIBC
  LDFLAGS  += -pthread
endif
ifeq ($(KIND),asan)
  CC        = gcc
  CFLAGS   += -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
  LDFLAGS  += -fsanitize=address,undefined -Wl,-u,__wrap_malloc,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=reallocarray,--wrap=aligned_alloc,--wrap=posix_memalign
endif
ifeq ($(KIND),tsan)
  CC        = gcc
  CFLAGS   += -O1 -g1 -fsanitize=thread -Wno-tsan
  LDFLAGS  += -fsanitize=thread
endif
ifeq ($(KIND),fuzz)
  CC        = clang
  CFLAGS   += -O1 -g1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
  LDFLAGS  += -fsanitize=fuzzer,address,undefined
endif
ifeq ($(KIND),clang)
  CC = clang
endif

# `make V=1` shows the whole commands.
say = $(if $(V),,@printf '  %-6s%s\n' $(1) $@;)

# --- what is compiled ---
WORLD_SRC := $(wildcard board/rt/os_linux*.c)
SIM_SRC   := $(filter-out tests/sim/test_%,$(wildcard tests/sim/*.c))
SUPPORT   := $(wildcard tests/support/*.c)
SWITCH    := board/arch/$(MACHINE)/switch.S
LIB_SRC   := $(filter-out $(WORLD_SRC),$(wildcard board/rt/*.c)) $(wildcard board/profiles/*.c) \
             $(wildcard net/format/*.c net/proto/*.c net/api/*.c net/api/*/*.c hal/*.c config/*.c agents/*/*.c) \
             $(filter-out board/main.c,$(wildcard board/*.c))
objects    = $(patsubst %,$(O)/obj/%.o,$(1))
# Threads meet in the runtime and the store only.
ifeq ($(KIND),tsan)
  LIB_SRC := $(filter board/rt/% board/profiles/% net/format/% hal/%,$(LIB_SRC))
endif
# No fuzz target needs these; one that comes to need them does not link ("undefined reference") until they are taken out here.
ifeq ($(KIND),fuzz)
  LIB_SRC := $(filter-out $(wildcard board/*.c) agents/guardian/% agents/metrics/%,$(LIB_SRC))
endif
SHARED     := $(filter-out board/rt/%,$(LIB_SRC))
SHARED_OBJ := $(if $(filter checked unwiped,$(KIND)),$(patsubst %,build/$(MACHINE)/obj/%.o,$(SHARED)))
LIB_OBJ   := $(call objects,$(if $(SHARED_OBJ),$(filter-out $(SHARED),$(LIB_SRC)),$(LIB_SRC)) $(wildcard $(SWITCH))) $(SHARED_OBJ)
UNIT      := $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/test_*.c))
# What tests of threads there are; with tsan no others are compiled.
THREADED  := $(addprefix $(O)/unit/test_,pool heap buf log metric os writer store)
ifeq ($(KIND),tsan)
  UNIT    := $(THREADED)
endif
# Programs of their own: one measures its memory, one has another table of commands, one refuses allocations.
ALONE     := test_mem test_command test_backup_retention
SIM       := $(patsubst tests/sim/%.c,$(O)/sim/%,$(wildcard tests/sim/test_*.c))
FUZZ      := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

ifneq ($(filter-out $(OUTER),$(or $(MAKECMDGOALS),all)),)
  -include $(O)/deps.mk
endif

build/%/deps.mk: tools/deps tools/deps.lock $(wildcard tools/deps.d/*)
	@mkdir -p $(@D)
	@prefix=$$(tools/deps $(if $(HOST),host,$(MACHINE))) && echo "DEPS := $$prefix" > $@

$(O)/obj/%.c.o: %.c $(O)/deps.mk
	@mkdir -p $(@D)
	$(call say,cc) $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/obj/%.S.o: %.S $(O)/deps.mk
	@mkdir -p $(@D)
	$(call say,as) $(CC) $(CPPFLAGS) -c -o $@ $<

ifneq ($(SHARED_OBJ),)
$(SHARED_OBJ): shared ;
shared:
	+@$(MAKE) --no-print-directory VARIANT=$(MACHINE) shared
else
shared: $(call objects,$(SHARED))
endif

$(O)/libholdfast.a: $(LIB_OBJ)
	@rm -f $@
	$(call say,ar) ar rcsD $@ $^
ifeq ($(VARIANT),x86_64)
	@twice=$$(nm -g --defined-only $@ 2>/dev/null | awk '$$2 ~ /[TDBRC]/ {print $$3}' | sort | uniq -d); \
	    [ -z "$$twice" ] || { echo "$@: the linker would choose one of two: $$twice" >&2; rm -f $@; exit 1; }
endif

# The version is told by one object, so that a new commit compiles one file.
$(O)/gen/version.h: FORCE
	@mkdir -p $(@D)
	@printf '#define HOLDFAST_VERSION "%s"\n#define HOLDFAST_TARGET "%s"\n' '$(VERSION)' '$(MACHINE)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(O)/gen/licenses.inc: tools/deps tools/deps.lock LICENSE tools/embed
	@mkdir -p $(@D)
	set -o pipefail; { cat LICENSE && tools/deps licenses; } | tools/embed licenses > $@.new && mv $@.new $@
$(O)/obj/board/version.c.o: $(O)/gen/version.h $(O)/gen/licenses.inc
# The clock's floor goes into the worlds only, for the same reason.
FLOORED := $(call objects,board/rt/os_linux.c $(SIM_SRC)) $(patsubst %.c,$(O)/obj/%.part.o,tests/unit/test_os.c $(wildcard tests/sim/test_*.c))
$(FLOORED): CPPFLAGS += -DOS_WALL_FLOOR_S=$(FLOOR_S)
$(FLOORED): $(O)/gen/version.h

$(O)/holdfast.full: $(call objects,board/main.c $(WORLD_SRC)) $(O)/libholdfast.a
	$(call say,ld) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -L$(DEPS)/lib $(LDLIBS)
$(O)/holdfast: $(O)/holdfast.full
	$(call say,strip) $(if $(filter aarch64,$(MACHINE)),aarch64-linux-gnu-)strip -s -o $@ $<

# All tests of a kind are one program, linked once, and each of their files a link to it, whose name tells tests/program.c what to run.
$(O)/obj/%.part.o: %.c $(O)/deps.mk
	@mkdir -p $(@D)
	$(call say,cc) $(CC) $(CPPFLAGS) $(CFLAGS) -D'main(arguments)=$(*F)_main(void); int $(*F)_main(arguments)' -DLLVMFuzzerTestOneInput=$(*F)_input -MMD -MP -c -o $@ $<
define one_program # kind, its tests, the program that has them, what else is linked
$(O)/gen/$(1).inc: FORCE
	@mkdir -p $$(@D)
	@printf 'TEST(%s)\n' $(2) > $$@.new
	@cmp -s $$@.new $$@ && rm $$@.new || mv $$@.new $$@
$(O)/obj/tests/$(1).o: $(3) $(O)/gen/$(1).inc $(O)/deps.mk
	@mkdir -p $$(@D)
	$$(call say,cc) $$(CC) $$(CPPFLAGS) $$(CFLAGS) -DTESTS='"$(1).inc"' -MMD -MP -c -o $$@ $$<
$(O)/$(1).program: $(O)/obj/tests/$(1).o $(patsubst %,$(O)/obj/tests/$(1)/%.part.o,$(2)) $(call objects,$(4)) $(O)/libholdfast.a
	$$(call say,ld) $$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ -L$$(DEPS)/lib -lcmocka $$(LDLIBS) -lm
$(patsubst %,$(O)/$(1)/%,$(2)): $(O)/$(1).program
	@mkdir -p $$(@D) && ln -f $$< $$@
endef
$(eval $(call one_program,unit,$(filter-out $(ALONE),$(notdir $(UNIT))),tests/program.c,$(WORLD_SRC) $(SUPPORT)))
$(eval $(call one_program,sim,$(notdir $(SIM)),tests/program.c,$(SIM_SRC) $(SUPPORT)))
# What the fuzzer has saved is run again without it, on the objects that are sanitized already.
ifeq ($(KIND),asan)
$(eval $(call one_program,fuzz,$(notdir $(FUZZ)),tests/fuzz/replay.c,$(WORLD_SRC)))
endif
$(patsubst %,$(O)/unit/%,$(ALONE)): $(O)/unit/%: $(O)/obj/tests/unit/%.c.o $(call objects,$(WORLD_SRC) $(SUPPORT)) $(O)/libholdfast.a
	@mkdir -p $(@D)
	$(call say,ld) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -L$(DEPS)/lib -lcmocka $(LDLIBS)
$(O)/e2e/%: $(O)/obj/tests/e2e/%.c.o $(call objects,$(WORLD_SRC)) $(O)/libholdfast.a
	@mkdir -p $(@D)
	$(call say,ld) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -L$(DEPS)/lib $(LDLIBS)
$(O)/boot/%: $(O)/obj/tests/boot/%.c.o
	@mkdir -p $(@D)
	$(call say,ld) $(CC) $(CFLAGS) -static-pie -o $@ $^
$(O)/bench/%: $(O)/obj/tests/bench/%.c.o $(call objects,$(WORLD_SRC)) $(O)/libholdfast.a
	@mkdir -p $(@D)
	$(call say,ld) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -L$(DEPS)/lib $(LDLIBS)
$(O)/fuzz/%: $(O)/obj/tests/fuzz/%.c.o $(call objects,$(WORLD_SRC)) $(O)/libholdfast.a
	@mkdir -p $(@D)
	$(call say,ld) $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -L$(DEPS)/lib $(LDLIBS)

# --- inner targets, one variant each ---
.PHONY: FORCE shared binary units sims fuzzers probes objects run-units run-sims run-threads run-corpus run-fuzz
FORCE:
binary: $(O)/holdfast
units: $(UNIT)
sims: $(SIM)
fuzzers: $(FUZZ)
probes: $(patsubst tests/%.c,$(O)/%,$(wildcard tests/e2e/*.c tests/bench/*.c tests/boot/*.c))
objects: $(LIB_OBJ) $(call objects,board/main.c $(WORLD_SRC) $(SIM_SRC))
run-units: units
	@tools/run-tests --runner '$(RUN)' --label 'unit $(VARIANT)' $(UNIT)
run-sims: sims
	@$(SLOW) tools/run-tests --runner '$(RUN)' --label 'sim $(VARIANT)' $(SIM)
run-threads: $(THREADED)
	@tools/run-tests --label 'threads $(VARIANT)' $(THREADED)
SECONDS ?= 15
run-corpus run-fuzz: fuzzers
	@tools/run-fuzz $(if $(filter run-fuzz,$@),--seconds $(SECONDS)) $(FUZZ)

# --- what people call ---
PYTEST  := /usr/bin/python3 -m pytest -q
JOBS    ?= $(shell nproc)
# They wait more than they compute, so there are more of them than CPUs.
SIDE_BY_SIDE = -n $(shell echo $$((2 * $(JOBS)))) --dist loadfile
inner    = +@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=$(1) $(2)
.PHONY: $(OUTER)

help: ## print this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo '  ARCH=aarch64 builds for the other machine; V=1 shows commands; YES=1 installs packages without asking'

setup: ## install the Debian packages that building and running need (asks first)
	@tools/setup run

all: ## build build/ARCH/holdfast
	$(call inner,$(ARCH),binary)

run: setup ## install, build, and watch a real etcd being backed up; FOR=30 stops after 30 s
	$(call inner,$(ARCH),binary)
	@tools/demo --binary build/$(ARCH)/holdfast $(if $(FOR),--for $(FOR))

test: ## install what tests need and run all that need no Go
	@tools/setup test
	@tools/layers
	@tools/docs-check
	$(call inner,x86_64,binary probes)
	$(call inner,aarch64,binary)
	$(call inner,x86_64-checked,run-units run-sims)
	$(call inner,asan,run-units run-sims run-corpus)
	$(call inner,tsan,run-threads)
	$(call inner,aarch64-checked,run-units run-sims)
	@HOLDFAST_BIN=build/x86_64/holdfast $(PYTEST) $(SIDE_BY_SIDE) --durations=10 tests/e2e
	@$(MAKE) --no-print-directory sizes

boot: ## boot the binary as PID 1 of a virtual machine, and show its console
	@tools/setup test
	$(call inner,x86_64,binary probes)
	@HOLDFAST_CONSOLE=1 HOLDFAST_BIN=build/x86_64/holdfast $(PYTEST) -s tests/e2e/test_boot.py

check: ## the quick part: layers, unit and simulation tests under ASan and UBSan
	@tools/layers
	@tools/docs-check
	$(call inner,asan,run-units run-sims)

cluster: ## tests against etcd 3.7, S3 servers and other peers that are built with Go or cargo
	@tools/setup cluster
	$(call inner,x86_64,binary probes)
	$(call inner,x86_64-unwiped,binary)
	@HOLDFAST_BIN=build/x86_64/holdfast $(PYTEST) -m cluster -n $(JOBS) --dist loadfile -rP --durations=20 tests/e2e

ROUNDS ?= 5
bench: ## one table against etcdctl and etcdutl: time, CPU, memory, start, idle, switch; ROUNDS=5, ARGS="--system --mib 64"
	@tools/setup bench
	$(call inner,x86_64,binary probes)
	@/usr/bin/python3 tests/bench/bench.py --binary build/x86_64/holdfast --rounds $(ROUNDS) $(ARGS)

MINUTES ?= 60
soak: ## the hub for MINUTES (60) under a stopped, killed and restarted etcd, a full and a read-only folder
	@tools/setup run
	$(call inner,x86_64,binary)
	@/usr/bin/python3 tests/soak/soak.py --binary build/x86_64/holdfast --minutes $(MINUTES)

fuzz: ## run each fuzz target for SECONDS (15)
	@tools/setup test
	$(call inner,fuzz,run-fuzz)

lint: ## clang-format, cppcheck, layers, documentation, and the second compiler: all at zero
	@tools/setup test
	@tools/layers
	@tools/docs-check
	@tools/lint
	$(call inner,clang,objects)

sizes: ## text, stacks and budgets, as docs/SIZES.md records them
	$(call inner,x86_64,binary)
	@tools/sizes

reproducible: ## build twice in two folders and compare the bytes
	@tools/reproducible

clean: ## remove build/ (libraries stay in the cache)
	rm -rf build

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
