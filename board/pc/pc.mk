# The appliance on bare metal: a static position-independent ELF that boot/ loads.
pc_LINKER_SCRIPT := board/pc/pc.ld
$(eval $(call program,out/pc/gatehouse.elf,pc,$(wildcard board/pc/*.cc),firmware))
out/pc/gatehouse.elf: out/pc/obj/gen/version.o $(pc_LINKER_SCRIPT)
# Interrupt handlers, and what they call, must not touch the vector registers they interrupt.
$(patsubst %,out/pc/obj/board/pc/%.o,interrupts apic uart idle): FILE_FLAGS := -mgeneral-regs-only

# The parts that parse what firmware, devices and volumes say, as a room: hosts test and fuzz them.
board_pc_SRCS := $(patsubst %,board/pc/%.cc,acpi fat memory_map provision rtc virtqueue)
board_pc_USES := image
board_pc_test_ROOMS := board_pc
pc_acpi_fuzz_ROOMS := board_pc
pc_fat_fuzz_ROOMS := board_pc
ROOMS += board_pc
$(foreach board,host asan,$(eval $(call room_rules,board_pc,$(board))))
