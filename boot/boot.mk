# The UEFI loader (out/pc/gatehouse.efi) and, with image/'s tools, the disk image and update file.
