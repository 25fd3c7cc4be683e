# The appliance as a Linux process. The board is a room, so that tests link its parts; main and the
# heap that replaces malloc are the program's own.
host_PROGRAM_SRCS := board/host/main.cc board/host/boot_heap.cc
# Holds a PKCS #11 module for it, in a process of its own.
hsm_PROGRAM_SRCS := board/host/module_main.cc board/host/module_calls.cc
ROOMS += board_host
board_host_SRCS := \
  $(filter-out $(host_PROGRAM_SRCS) $(hsm_PROGRAM_SRCS),$(wildcard board/host/*.cc))
board_host_USES := firmware
board_host_test_ROOMS := board_host
$(foreach board,host asan,$(eval $(call room_rules,board_host,$(board))))
$(eval $(call program,out/host/gatehouse,host,$(host_PROGRAM_SRCS),board_host,-lpthread))
$(eval $(call program,out/host/gatehouse-hsm,host,$(hsm_PROGRAM_SRCS),hal,-ldl))
out/host/gatehouse: out/host/obj/gen/version.o | out/host/gatehouse-hsm
