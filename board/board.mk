# Flags of every board variant; read by Makefile (rooms) and image/deps/library.mk (libraries).
#   host  a Linux process        pc    bare metal x86-64, picolibc
#   asan  host, clang, ASan + UBSan, with the counters libFuzzer wants: tests and fuzz targets
#   tsan  host + TSan, for what two threads share
CXX   := g++
CC    := gcc
CLANG := clang++-14

BOARDS := host asan pc tsan
# Which variant's libraries a variant links.
host_DEPS_FROM := host
asan_DEPS_FROM := host
tsan_DEPS_FROM := host
pc_DEPS_FROM   := pc

GCC_PATHS := $(shell $(CXX) -dumpversion; $(CXX) -print-multiarch; $(CXX) -print-file-name=include)
CXX_INCLUDE := /usr/include/c++/$(word 1,$(GCC_PATHS))
GCC_INCLUDE := $(word 3,$(GCC_PATHS))

# Shared by our code and the libraries. Paths are relative and mapped, so that a build does not
# depend on the folder it runs in.
SHAPE := -ffunction-sections -fdata-sections -fno-common -ffile-prefix-map=$(CURDIR)=.
COMMON := -g $(SHAPE)
STACK_PROTECTOR := -fstack-protector-strong

host_COMMON := $(COMMON) -O2 $(STACK_PROTECTOR) -fPIE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Lines in reports, no more: these builds are large, and made for every test run.
COUNTERS := -fsanitize=fuzzer-no-link
asan_COMMON := -g1 $(SHAPE) -O1 $(SANITIZE) $(COUNTERS) -fPIE

tsan_COMMON := -g1 $(SHAPE) -O1 -fsanitize=thread -fno-omit-frame-pointer -fPIE

# The pc board has no C library but picolibc and no operating system under it: interrupts may use
# the stack, the stack protector's canary is a plain global, and frame pointers serve backtraces.
# -fbuiltin: picolibc does supply mem*, so fixed-size copies may become plain loads and stores.
pc_MACHINE := -ffreestanding -fbuiltin -mno-red-zone -fPIE -fvisibility=hidden \
  -fno-asynchronous-unwind-tables -fno-omit-frame-pointer -fcf-protection=full -fno-math-errno
pc_COMMON := $(COMMON) -O2 $(STACK_PROTECTOR) -mstack-protector-guard=global $(pc_MACHINE)
pc_C_INCLUDES := -nostdinc -isystem out/pc/deps/include -isystem $(GCC_INCLUDE)
pc_CXX_INCLUDES := -nostdinc -nostdinc++ \
  -isystem out/pc/deps/include/c++ -isystem $(CXX_INCLUDE) \
  -isystem /usr/include/$(word 2,$(GCC_PATHS))/c++/$(word 1,$(GCC_PATHS)) $(pc_C_INCLUDES)

# Our own code.
LANGUAGE := -fno-exceptions -fno-rtti -I. -Iout/gen
WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wformat=2 -Wnon-virtual-dtor \
  -Woverloaded-virtual -Wimplicit-fallthrough -Wvla -Werror
HOST_INCLUDES := -isystem out/host/deps/include

host_CXX := $(CXX)
asan_CXX := $(CLANG)
pc_CXX   := $(CXX)
tsan_CXX := $(CXX)
host_CXXFLAGS := -std=c++23 $(host_COMMON) $(LANGUAGE) $(WARNINGS) $(HOST_INCLUDES)
# Warnings are the host variant's business, which compiles the same.
asan_CXXFLAGS := -std=c++2b $(asan_COMMON) $(LANGUAGE) -w $(HOST_INCLUDES)
tsan_CXXFLAGS := -std=c++23 $(tsan_COMMON) $(LANGUAGE) $(WARNINGS) $(HOST_INCLUDES)
pc_CXXFLAGS   := -std=c++23 $(pc_COMMON) $(LANGUAGE) -fno-threadsafe-statics $(WARNINGS) \
  $(pc_CXX_INCLUDES)

# Generated C (nanopb) and assembly; not ours to warn about.
host_CFLAGS := -std=gnu11 -w $(host_COMMON) -I. -Iout/gen $(HOST_INCLUDES)
asan_CFLAGS := $(host_CFLAGS)
tsan_CFLAGS := $(host_CFLAGS)
pc_CFLAGS   := -std=gnu11 -w $(pc_COMMON) -I. -Iout/gen $(pc_C_INCLUDES)

host_LINK := $(CXX) $(host_COMMON) -pie -Wl,--gc-sections -Wl,-z,relro,-z,now
# A hundred large programs: lld takes a second for each, GNU ld five.
asan_LINK := $(CLANG) $(asan_COMMON) -pie -fuse-ld=lld
tsan_LINK := $(CXX) $(tsan_COMMON) -pie
pc_LINK    = $(CXX) $(pc_COMMON) -nostdlib -static-pie -Wl,-T,$(pc_LINKER_SCRIPT) \
  -Wl,--gc-sections,--no-dynamic-linker,-z,noexecstack,-z,text,-z,max-page-size=4096 \
  -Wl,--build-id=none,-z,ibt,-z,shstk,-z,cet-report=error

# A changed flag rebuilds what it concerns: these files are rewritten when their text differs.
# $(call flags_file,FILE,TEXT)
$(shell mkdir -p out/gen $(BOARDS:%=out/%/deps))
define flags_file
ifneq ($$(strip $$(file <$(1))),$$(strip $(2)))
$$(file >$(1),$$(strip $(2)))
endif
endef
$(foreach board,$(BOARDS),$(eval $(call flags_file,out/$(board)/flags,\
  $($(board)_CXX) $($(board)_CXXFLAGS) $($(board)_CFLAGS))))
$(foreach board,$(BOARDS),$(eval $(call flags_file,out/$(board)/deps/flags,\
  $($(board)_COMMON) $($(board)_C_INCLUDES))))
