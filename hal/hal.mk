# The machine's interfaces and the runtime every room stands on.
ROOMS += hal
hal_SRCS := $(wildcard hal/*.cc hal/rt/*.cc)
rt_bench_ROOMS := hal
crash_record_fuzz_ROOMS := hal
