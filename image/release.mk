# What goes out beside the image: the list of its software (SBOM), disks for hypervisors, a disk
# with the loader signed for UEFI Secure Boot.

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

# make secure-boot: the loader signed for UEFI Secure Boot, by default with this clone's own key,
# and a disk image with it. secure-boot.cer is what the machine's firmware has to trust.
SECURE_BOOT_KEY ?= $(KEYS)/secure-boot.key
SECURE_BOOT_CERTIFICATE ?= $(KEYS)/secure-boot.pem
.PHONY: secure-boot
secure-boot: out/pc/gatehouse-secure-boot.img
$(KEYS)/secure-boot.key $(KEYS)/secure-boot.pem &: | $(KEYS)/release.key out/deps/.packages-test
	@boot/secure_boot.py key $(KEYS)
out/pc/gatehouse.signed.efi: out/pc/gatehouse.efi $(SECURE_BOOT_KEY) $(SECURE_BOOT_CERTIFICATE)
	@echo "sign  $@"
	@boot/secure_boot.py sign $(SECURE_BOOT_KEY) $(SECURE_BOOT_CERTIFICATE) $< $@
out/pc/gatehouse-secure-boot.img: out/pc/gatehouse.update out/pc/gatehouse.signed.efi
	@$(IMAGE_TOOL) disk --loader out/pc/gatehouse.signed.efi --update $< --out $@
