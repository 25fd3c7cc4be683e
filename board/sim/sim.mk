# The simulated machine: a room, so that tests link it.
ROOMS += sim
sim_SRCS := $(wildcard board/sim/*.cc)
sim_USES := firmware
$(foreach board,host asan,$(eval $(call room_rules,sim,$(board))))
