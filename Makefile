# Gatehouse: `make help` says what there is. One fragment per room lists that room's sources;
# this file knows how rooms, boards and programs are built. All output goes to out/.
VERSION := 0.1.0

MAKEFLAGS += --no-builtin-rules --no-print-directory
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help run test image host bench fuzz docs deps check clean FORCE

export LC_ALL := C.UTF-8
export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PYTHON := /usr/bin/python3

all: host image

include board/board.mk image/deps/deps.mk

# --- Rooms ---------------------------------------------------------------------------------------
# A fragment says, for a room R:  ROOMS += R
#   R_SRCS    its .cc and .S files       R_PROTOS  its .proto files (out/gen/<path>.pb.{c,h})
#   R_USES    the rooms it stands on     R_DEPS    libraries whose headers it includes
#   R_BOARDS  variants it is built for   R_GEN     headers its own rules make under out/gen
include hal/hal.mk crypto/crypto.mk net/net.mk image/image.mk boot/boot.mk firmware/firmware.mk

# The rooms R stands on, itself included; the headers and library stamps its objects wait for.
closure = $(sort $(1) \
  $(foreach room,$(1),$(if $($(room)_USES),$(call closure,$($(room)_USES)))))
headers_of = out/gen/version.h \
  $(foreach room,$(1),$($(room)_GEN) $($(room)_PROTOS:%.proto=out/gen/%.pb.h))
libraries_of = $(sort $(foreach room,$(1),$($(room)_DEPS)))
stamps_of = $(2:%=out/$($(1)_DEPS_FROM)/deps/.%) $(if $(filter pc,$(1)),out/pc/deps/.picolibc)
objects_of = $(patsubst %,out/$(1)/obj/%.o,$(basename $(2)))

define compile_rules
out/$(1)/obj/%.o: %.cc out/$(1)/flags
	@mkdir -p $$(@D); echo "$(1)  $$<"
	@$$($(1)_CXX) $$($(1)_CXXFLAGS) $$(FILE_FLAGS) -MMD -MP -c -o $$@ $$<
out/$(1)/obj/%.o: %.S out/$(1)/flags
	@mkdir -p $$(@D); echo "$(1)  $$<"
	@$$(CC) $$($(1)_CFLAGS) -MMD -MP -c -o $$@ $$<
out/$(1)/obj/gen/%.o: out/gen/%.cc out/$(1)/flags
	@mkdir -p $$(@D)
	@$$($(1)_CXX) $$($(1)_CXXFLAGS) -MMD -MP -c -o $$@ $$<
out/$(1)/obj/gen/%.o: out/gen/%.c out/$(1)/flags
	@mkdir -p $$(@D)
	@$$(CC) $$($(1)_CFLAGS) -MMD -MP -c -o $$@ $$<
endef
$(foreach board,$(BOARDS),$(eval $(call compile_rules,$(board))))

# $(call sources,BOARD,SOURCES,ROOMS): what these sources wait for before they compile.
define sources
$(call objects_of,$(1),$(2)): $(call stamps_of,$(1),$(call libraries_of,$(3))) \
  | $(call headers_of,$(3))
DEPFILES += $(patsubst %,out/$(1)/obj/%.d,$(basename $(2)))
ALL_SOURCES += $(2)
endef

# $(call room_rules,ROOM,BOARD): its archive.
sources_of = $($(1)_SRCS) $($(1)_PROTOS:%.proto=gen/%.pb.c)
define room_rules
$(call sources,$(2),$(call sources_of,$(1)),$(call closure,$(1)))
out/$(2)/lib/lib$(1).a: $(call objects_of,$(2),$(call sources_of,$(1)))
	@mkdir -p $$(@D); new=$$@.$$$$$$$$; ar rcsD $$$$new $$(filter %.o,$$^) && mv $$$$new $$@
endef
$(foreach room,$(ROOMS),$(foreach board,$(or $($(room)_BOARDS),$(BOARDS)),\
  $(eval $(call room_rules,$(room),$(board)))))

# $(call program,FILE,BOARD,SOURCES,ROOMS,LINKER FLAGS): a program from its own sources and rooms.
archives_of = $(2:%=out/$(1)/lib/lib%.a)
library_archives = $(2:%=out/$($(1)_DEPS_FROM)/deps/lib/lib%.a) \
  $(if $(filter pc,$(1)),out/pc/deps/lib/libc.a -lgcc)
define program_in
$(call sources,$(2),$(3),$(4))
$(1): $(call objects_of,$(2),$(3)) $(call archives_of,$(2),$(4)) | out/$(2)/obj/gen/version.o
	@mkdir -p $$(@D); echo "link  $$@"
	@$$($(2)_LINK) -o $$@ $$(filter-out %/version.o,$$(filter %.o,$$^)) \
	  out/$(2)/obj/gen/version.o -Wl,--start-group $$(filter %.a,$$^) \
	  $(call library_archives,$(2),$(call libraries_of,$(4))) -Wl,--end-group $(5)
endef
program = $(call program_in,$(1),$(2),$(3),$(call closure,$(4)),$(5))

# nanopb: a .proto, with its .options beside it, becomes out/gen/<path>.pb.{c,h}.
out/gen/%.pb.c out/gen/%.pb.h &: %.proto out/host/deps/.nanopb
	@mkdir -p $(@D)
	@$(PYTHON) out/deps/src/nanopb/generator/nanopb_generator.py -q -I . -D out/gen $<
$(foreach room,$(ROOMS),$(foreach proto,$($(room)_PROTOS:.proto=),$(eval \
  out/gen/$(proto).pb.h out/gen/$(proto).pb.c: $(wildcard $(proto).options))))

# Version, commit and build id: written again only when they change.
out/gen/version.h: image/deps/version.sh
	@mkdir -p $(@D); image/deps/version.sh $(VERSION) out/gen; touch $@
out/gen/version.cc: FORCE | out/gen/version.h
	@image/deps/version.sh $(VERSION) out/gen

# --- Programs ------------------------------------------------------------------------------------
include board/host/host.mk board/sim/sim.mk board/pc/pc.mk boot/loader.mk image/release.mk \
  tests/tests.mk

host: out/host/gatehouse
image: out/pc/gatehouse.img out/pc/gatehouse.update

clean:
	rm -rf $(filter-out out/deps out/host out/pc,$(wildcard out/*)) \
	  $(filter-out %/deps,$(wildcard out/host/* out/pc/*))

help:
	@sed -n 's/^# make \(.*\)/  make \1/p' Makefile
# make             the Linux process and the disk image
# make run         build the image and boot it in QEMU, console on this terminal
# make host        out/host/gatehouse, the Linux process
# make image       out/pc/gatehouse.img, .update, SBOM; FORMATS="qcow2 vmdk ova"; STORE_MIB=16384
# make secure-boot a disk image whose loader is signed for UEFI Secure Boot (image/release.mk)
# make test        all tests; T="unit sip" picks groups (tests/run --list), T=first-light issue 2's
# make fuzz        run every fuzz target for FUZZ_SECONDS (20) each; T= picks targets
# make bench       all benchmarks; B=name picks one
# make docs        the reference manual and the settings' JSON schema, in out/docs
# make check       clang-format, clang-tidy, cppcheck and the house rules
# make deps        install packages, fetch and build the libraries (DOWNLOADS=folder: from there)
# make clean       remove what was built, but not the libraries (rm -rf out removes everything)

-include $(wildcard $(sort $(DEPFILES)))
