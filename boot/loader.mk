# The UEFI loader (out/pc/gatehouse.efi), the host tool gatehouse-image, and what it makes: keys,
# the update file, the disk image.
$(eval $(call program,out/tools/gatehouse-image,host,image/tool/main.cc,image_tool))
IMAGE_TOOL := out/tools/gatehouse-image

# Development keys: made once per clone, never committed. The loader trusts their public halves.
KEYS := out/keys
$(KEYS)/release.key $(KEYS)/release.pub &: | $(IMAGE_TOOL)
	@$(IMAGE_TOOL) keygen --folder $(KEYS) --name release
# The root key signs key lists only (image/README.md).
$(KEYS)/root.key $(KEYS)/root.pub &: | $(IMAGE_TOOL)
	@$(IMAGE_TOOL) keygen --folder $(KEYS) --name root --role root
# More root keys (public halves), and how many of them all must sign a key list.
ROOT_KEYS ?=
ROOT_SIGNATURES ?= 1
out/gen/boot/trusted_keys.cc: $(KEYS)/release.pub $(KEYS)/root.pub $(IMAGE_TOOL)
	@mkdir -p $(@D)
	@$(IMAGE_TOOL) embed --trust $(KEYS)/release.pub --trust $(KEYS)/root.pub \
	  $(ROOT_KEYS:%=--trust %) --root-signatures $(ROOT_SIGNATURES) --out $@

# --- The loader: a PE/COFF made by clang, without a C library of its own -------------------------
LOADER_TARGET := --target=x86_64-unknown-windows-gnu -ffreestanding -mno-red-zone -O2 \
  -mno-stack-arg-probe -fno-stack-protector -fno-asynchronous-unwind-tables \
  -ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)=.
LOADER_C_INCLUDES := -nostdinc -isystem out/pc/deps/include \
  -isystem $(shell $(CLANG) -print-resource-dir)/include
LOADER_CXXFLAGS := -std=c++2b $(LOADER_TARGET) $(LANGUAGE) -fno-threadsafe-statics $(WARNINGS) \
  -Wno-unused-function $(filter-out -nostdinc++,$(pc_CXX_INCLUDES)) $(LOADER_C_INCLUDES)
LOADER_CFLAGS := -std=gnu11 -w $(LOADER_TARGET) -I. -Iout/gen $(LOADER_C_INCLUDES)
LOADER_SODIUM_CFLAGS := -U_WIN32 -DCONFIGURED=1 -DSODIUM_STATIC=1 -DNATIVE_LITTLE_ENDIAN=1 \
  -DHAVE_TI_MODE=1 -DCPU_UNALIGNED_ACCESS=1 -Iout/pc/deps/include/sodium \
  -Iout/deps/src/libsodium/src/libsodium/include/sodium
LOADER_SODIUM := $(addprefix out/deps/src/libsodium/src/libsodium/crypto_, \
  $(addprefix generichash/blake2b/ref/,blake2b-compress-ref.c blake2b-ref.c generichash_blake2b.c) \
  hash/sha256/cp/hash_sha256_cp.c hash/sha512/cp/hash_sha512_cp.c verify/sodium/verify.c \
  core/ed25519/ref10/ed25519_ref10.c sign/ed25519/ref10/open.c sign/ed25519/ref10/sign.c)
LOADER_SRCS := $(wildcard boot/*.cc boot/uefi/*.cc) image/gpt.cc image/slot.cc image/tree.cc \
  image/bootstate.cc image/bootstate_changes.cc image/bootstate_copies.cc image/key_list.cc \
  image/slot_stream.cc image/ymodem.cc \
  crypto/digest.cc crypto/signature.cc hal/rt/result.cc
LOADER_GEN := out/gen/boot/trusted_keys.cc out/gen/version.cc out/gen/image/manifest.pb.c
LOADER_NANOPB := $(addprefix out/deps/src/nanopb/,pb_decode.c pb_common.c)
LOADER_OBJECTS := $(patsubst %,out/loader/obj/%.o,$(basename $(LOADER_SRCS) $(LOADER_SODIUM) \
  $(LOADER_GEN) $(LOADER_NANOPB)))

$(shell mkdir -p out/loader)
ifneq ($(file <out/loader/flags),$(LOADER_CXXFLAGS) $(LOADER_CFLAGS) $(LOADER_SODIUM_CFLAGS))
$(file >out/loader/flags,$(LOADER_CXXFLAGS) $(LOADER_CFLAGS) $(LOADER_SODIUM_CFLAGS))
endif
LOADER_NEEDS := out/loader/flags out/pc/deps/.picolibc out/pc/deps/.libsodium out/pc/deps/.nanopb
$(LOADER_OBJECTS): $(LOADER_NEEDS) | out/gen/version.h out/gen/image/manifest.pb.h
out/loader/obj/out/deps/src/libsodium/%.o: FILE_FLAGS := $(LOADER_SODIUM_CFLAGS)
out/loader/obj/%.o: %.cc
	@mkdir -p $(@D); echo "loader  $<"
	@$(CLANG) $(LOADER_CXXFLAGS) -MMD -MP -c -o $@ $<
out/loader/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(CLANG:clang++%=clang%) $(LOADER_CFLAGS) $(FILE_FLAGS) -MMD -MP -c -o $@ $<
$(addprefix out/deps/src/libsodium/,%.c): out/pc/deps/.libsodium ;
$(addprefix out/deps/src/nanopb/,%.c): out/pc/deps/.nanopb ;
DEPFILES += $(LOADER_OBJECTS:.o=.d)
ALL_SOURCES += $(LOADER_SRCS)

out/pc/gatehouse.efi: $(LOADER_OBJECTS)
	@mkdir -p $(@D); echo "link  $@"
	@lld-link /subsystem:efi_application /entry:EfiMain /nodefaultlib /opt:ref /Brepro \
	  /dynamicbase /nxcompat /out:$@ $^

# --- The update file and the disk image ----------------------------------------------------------
# The update file is a slot's bytes; the disk holds it twice, as slot A and as golden image.
version_field = $$(sed -n 's/.*$(1).*"\(.*\)".*/\1/p' out/gen/version.cc)
out/pc/gatehouse.stripped: out/pc/gatehouse.elf
	@objcopy --strip-all $< $@
out/pc/gatehouse.update: out/pc/gatehouse.stripped $(KEYS)/release.key $(IMAGE_TOOL) \
  out/gen/version.cc
	@echo "sign  $@"
	@$(IMAGE_TOOL) update --firmware $< --key $(KEYS)/release.key --out $@ --version $(VERSION) \
	  --build-id $(call version_field,kBuildId) --commit $(call version_field,kCommit)
# STORE_MIB=16384: for 100,000 users with lists (firmware/store/README.md).
STORE_MIB ?= 256
out/pc/gatehouse.img: out/pc/gatehouse.update out/pc/gatehouse.efi
	@$(IMAGE_TOOL) disk --loader out/pc/gatehouse.efi --update $< --out $@ --store-mib $(STORE_MIB)
	@$(IMAGE_TOOL) verify --trust $(KEYS)/release.pub $@ >out/pc/gatehouse.verified || \
	  { cat out/pc/gatehouse.verified; rm -f $@; false; }
	@echo "disk  $@: loader $$(stat -c %s out/pc/gatehouse.efi) bytes," \
	  "firmware $$(stat -c %s out/pc/gatehouse.stripped) bytes"

# A tiny image for the boot tests, which so do without the appliance.
out/pc/payload.elf: tests/system/payload.cc boot/handover.h out/pc/deps/.picolibc
	@mkdir -p $(@D); echo "link  $@"
	@$(CXX) $(filter-out -fstack-protector%,$(pc_CXXFLAGS)) -fno-stack-protector -nostdlib \
	  -static-pie -Wl,--no-dynamic-linker,-z,text,-z,noexecstack,--build-id=none -o $@ $<
SYSTEM_TEST_NEEDS += out/pc/payload.elf out/pc/gatehouse.efi $(IMAGE_TOOL) $(KEYS)/release.key \
  $(KEYS)/root.key
ALL_SOURCES += tests/system/payload.cc
