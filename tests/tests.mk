# Tests, fuzz targets and benchmarks are found by wildcard. One test program per folder:
#   tests/unit/rt/*.cc -> rt_test   tests/conformance/sip/*.cc -> sip_conformance_test
#   tests/sim/*.cc -> sim_test      tests/fuzz/x_fuzz.cc -> out/fuzz/x_fuzz
# in out/asan/tests (what `make test` runs) and out/host/tests. Each links every room, unless
# <program>_ROOMS names fewer: a room that does not compile then holds up only its own tests.
rt_test_ROOMS := hal
crypto_test_ROOMS := crypto
image_test_ROOMS := image
net_test_ROOMS := net
sip_test_ROOMS := firmware_sip
sip_conformance_test_ROOMS := firmware_sip
sim_test_ROOMS := sim

folders = $(patsubst %/,%,$(sort $(dir $(wildcard $(1)))))
UNIT_TESTS := $(patsubst tests/unit/%,%_test,$(call folders,tests/unit/*/*.cc))
CONFORMANCE_TESTS := $(patsubst tests/conformance/%,%_conformance_test,$(call folders,tests/conformance/*/*.cc))
SIM_TESTS := $(if $(wildcard tests/sim/*.cc),sim_test)

# $(call test_program,NAME,FOLDER)
define test_program
$(foreach board,host asan,$(eval $(call program,out/$(board)/tests/$(1),$(board),$(wildcard $(2)/*.cc),\
  $(or $($(1)_ROOMS),firmware),-lgtest -lgtest_main -lpthread)))
endef
$(foreach test,$(UNIT_TESTS),$(eval $(call test_program,$(test),tests/unit/$(test:_test=))))
$(foreach test,$(CONFORMANCE_TESTS),$(eval $(call test_program,$(test),tests/conformance/$(test:_conformance_test=))))
$(foreach test,$(SIM_TESTS),$(eval $(call test_program,$(test),tests/sim)))
