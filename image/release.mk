# What goes out beside the image: the list of its software (SBOM), disks for hypervisors, a disk with
# the loader signed for UEFI Secure Boot.

# The libraries that the image links, and the C library under them.
SBOM_LIBRARIES := $(call libraries_of,$(call closure,firmware)) picolibc
out/gen/image/sbom.gen.cc out/pc/sbom.cdx.json &: image/deps/sbom.py image/deps/sources.lock \
    out/gen/version.cc $(wildcard net/lwip-patches/*.patch)
	@$(PYTHON) -B image/deps/sbom.py --version $(VERSION) --identity out/gen/version.cc \
	  --libraries "$(SBOM_LIBRARIES)" --compiler $(CXX) --json out/pc/sbom.cdx.json \
	  --code out/gen/image/sbom.gen.cc
image: out/pc/sbom.cdx.json

# make image FORMATS="qcow2 vmdk ova": out/pc/gatehouse.qcow2 and so on.
FORMATS ?=
image: $(FORMATS:%=out/pc/gatehouse.%)
out/pc/gatehouse.qcow2 out/pc/gatehouse.vmdk out/pc/gatehouse.ova: out/pc/gatehouse.%: \
    out/pc/gatehouse.img image/flash image/virtual_disk.py
	@image/flash --yes --format $* $< $@
