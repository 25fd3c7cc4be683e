# Third-party code: packages by name (packages.list), library sources by hash (sources.lock), each
# library compiled for host and for pc. `make deps` does all of it; other targets do what they need.
FETCH := $(PYTHON) image/deps/fetch.py
LIBRARIES := mbedtls lwip libsodium nanopb expat sqlite openssh openssl
-include $(LIBRARIES:%=image/deps/%.mk)

PACKAGE_GROUPS := build run test bench check
deps: $(PACKAGE_GROUPS:%=out/deps/.packages-%) out/pc/deps/.picolibc \
  $(foreach board,host pc,$(LIBRARIES:%=out/$(board)/deps/.%))

# One apt at a time.
out/deps/.packages-%: image/deps/packages.list
	@mkdir -p $(@D)
	@flock out/deps/.apt-lock $(FETCH) packages $*
	@touch $@

out/deps/.downloaded: image/deps/sources.lock
	@mkdir -p $(@D)
	@flock out/deps/.apt-lock $(FETCH) download
	@touch $@

# One library's part of the lock: rewritten by `download` only when it differs.
$(addprefix out/deps/lock/,$(LIBRARIES) picolibc): out/deps/.downloaded
	@:

out/deps/src/%/.unpacked: out/deps/lock/% | out/deps/.packages-build
	@flock out/deps/.unpack-$*.lock $(FETCH) unpack $*
out/deps/src/lwip/.unpacked: $(wildcard net/lwip-patches/*.patch)
out/deps/src/picolibc/.unpacked: $(wildcard image/deps/patches/picolibc/*.patch)
out/deps/src/libsodium/.unpacked: $(wildcard image/deps/patches/libsodium/*.patch)
out/deps/src/mbedtls/.unpacked: $(wildcard crypto/mbedtls-patches/*.patch)

out/deps/src/openssl/.unpacked: $(wildcard image/deps/patches/openssl/*.patch)

# Written for an assembler by the generators in its sources.
out/deps/src/openssl/.assembled: out/deps/src/openssl/.unpacked
	@mkdir -p $(@D)/assembled
	@for name in ec/asm/ecp_nistz256-x86_64 bn/asm/x86_64-mont bn/asm/x86_64-mont5 \
	  aes/asm/aesni-x86_64 modes/asm/ghash-x86_64; do \
	  CC=gcc perl $(@D)/crypto/$$name.pl elf $(@D)/assembled/$${name##*/}.s || exit 1; done
	@touch $@
out/host/deps/.openssl out/pc/deps/.openssl: out/deps/src/openssl/.assembled

out/deps/src/sqlite/.amalgamated: out/deps/src/sqlite/.unpacked image/deps/sqlite-amalgamation.sh
	@image/deps/sqlite-amalgamation.sh out/deps/src/sqlite
	@touch $@
out/host/deps/.sqlite out/pc/deps/.sqlite: out/deps/src/sqlite/.amalgamated

# The lock keeps two makes in one checkout from building the same library at once.
define library_rule
out/$(1)/deps/.$(2): out/deps/src/$(2)/.unpacked image/deps/$(2).mk image/deps/library.mk \
  out/$(1)/deps/flags $($(2)_CONFIG)
	@mkdir -p $$(@D)
	@echo "deps  $(2) for $(1)"
	+@flock $$@.lock $$(MAKE) -s -f image/deps/library.mk LIB=$(2) BOARD=$(1)
	@touch $$@
endef
$(foreach board,host pc,$(foreach lib,$(LIBRARIES),$(eval $(call library_rule,$(board),$(lib)))))
$(LIBRARIES:%=out/pc/deps/.%): out/pc/deps/.picolibc

out/pc/deps/.picolibc: out/deps/src/picolibc/.unpacked image/deps/picolibc.sh out/pc/deps/flags
	@mkdir -p $(@D)
	@echo "deps  picolibc for pc"; \
	  flock $@.lock image/deps/picolibc.sh out/deps/src/picolibc out/pc/deps $(pc_COMMON)
	@touch $@
