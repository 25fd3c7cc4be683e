# The appliance on bare metal: a static position-independent ELF that boot/ loads.
pc_LINKER_SCRIPT := board/pc/pc.ld
$(eval $(call program,out/pc/gatehouse.elf,pc,$(wildcard board/pc/*.cc),firmware))
out/pc/gatehouse.elf: out/pc/obj/gen/version.o $(pc_LINKER_SCRIPT)
# Interrupt handlers, and what they call, must not touch the vector registers they interrupt.
$(patsubst %,out/pc/obj/board/pc/%.o,interrupts apic uart): FILE_FLAGS := -mgeneral-regs-only
