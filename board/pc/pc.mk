# The appliance on bare metal: a static position-independent ELF that boot/ loads.
pc_LINKER_SCRIPT := $(wildcard board/pc/*.ld)
$(eval $(call program,out/pc/gatehouse.elf,pc,$(wildcard board/pc/*.cc board/pc/*.S),firmware))
out/pc/gatehouse.elf: out/pc/obj/gen/version.o $(pc_LINKER_SCRIPT)
