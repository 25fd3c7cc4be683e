# The loader's pure parts, as a room: hosts can test and fuzz them. The loader itself: loader.mk.
ROOMS += boot
boot_SRCS := $(wildcard boot/*.cc)
boot_USES := image
boot_BOARDS := host asan

boot_test_ROOMS := boot image_tool
manifest_fuzz_ROOMS := image
slot_fuzz_ROOMS := image
key_list_fuzz_ROOMS := image
slot_stream_fuzz_ROOMS := image
gpt_fuzz_ROOMS := image
ymodem_fuzz_ROOMS := image
elf_fuzz_ROOMS := boot
tpm_fuzz_ROOMS := boot
