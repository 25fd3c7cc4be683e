# The machine's interfaces and the runtime every room stands on.
ROOMS += hal
hal_SRCS := $(wildcard hal/*.cc hal/rt/*.cc)
