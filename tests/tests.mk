# Tests, fuzz targets and benchmarks are found by wildcard. One test program per folder:
#   tests/unit/rt/*.cc -> rt_test   tests/conformance/sip/*.cc -> sip_conformance_test
#   tests/sim/*.cc -> sim_test      tests/fuzz/x_fuzz.cc -> out/fuzz/bin/x_fuzz
# in out/asan/tests (what `make test` runs) and out/host/tests. Each links every room, unless
# <program>_ROOMS names fewer: a room that does not compile then holds up only its own tests.
rt_test_ROOMS := hal
crypto_test_ROOMS := crypto
pkcs11_test_ROOMS := crypto
pkcs11_rpc_fuzz_ROOMS := crypto
tpm_seal_fuzz_ROOMS := crypto
store_envelope_fuzz_ROOMS := firmware_hsm
image_test_ROOMS := image_tool
net_test_ROOMS := net
http_test_ROOMS := net
http_response_fuzz_ROOMS := net
http_request_fuzz_ROOMS := net
websocket_fuzz_ROOMS := net
sip_test_ROOMS := firmware_sip
dialplan_test_ROOMS := firmware_dialplan
dialplan_pattern_fuzz_ROOMS := firmware_dialplan
dialplan_rules_fuzz_ROOMS := firmware_dialplan
policy_answer_fuzz_ROOMS := firmware_dialplan
sip_conformance_test_ROOMS := firmware_sip
media_test_ROOMS := firmware_turn
turn_test_ROOMS := firmware_turn
sdp_test_ROOMS := firmware_sdp
rtp_test_ROOMS := firmware_rtp
sdp_fuzz_ROOMS := firmware_sdp
sdp_bandwidth_fuzz_ROOMS := firmware_sdp
rtp_anchor_fuzz_ROOMS := firmware_rtp
rtp_mux_fuzz_ROOMS := firmware_rtp
rtp_ice_fuzz_ROOMS := firmware_rtp
files_test_ROOMS := firmware_files
store_test_ROOMS := firmware_store
xmpp_test_ROOMS := firmware_xmpp
s2s_test_ROOMS := firmware_s2s
xmpp_s2s_fuzz_ROOMS := firmware_s2s
xmpp_stream_fuzz_ROOMS := firmware_xmpp
xmpp_web_fuzz_ROOMS := firmware_xmpp
xmpp_contacts_fuzz_ROOMS := firmware_xmpp
xmpp_address_fuzz_ROOMS := firmware_xmpp
turn_conformance_test_ROOMS := firmware_turn
config_test_ROOMS := firmware_config
keys_test_ROOMS := firmware_keys
acme_test_ROOMS := firmware_acme
acme_order_fuzz_ROOMS := firmware_acme
ocsp_response_fuzz_ROOMS := firmware_keys
log_test_ROOMS := firmware_log firmware_alarm
store_test_ROOMS := firmware_store
upgrade_test_ROOMS := firmware_upgrade image_tool sim
boot_test_ROOMS := boot image_tool
boot_verify_bench_ROOMS := image_tool
kept_network_fuzz_ROOMS := firmware_upgrade
admin_test_ROOMS := firmware_admin
snmp_test_ROOMS := firmware_snmp
snmp_message_fuzz_ROOMS := firmware_snmp
ssh_test_ROOMS := firmware_admin
sim_test_ROOMS := sim
powercut_test_ROOMS := sim boot image_tool
sip_message_fuzz_ROOMS := firmware_sip
sip_uri_fuzz_ROOMS := firmware_sip
sip_engine_fuzz_ROOMS := firmware_rtp
presence_pidf_fuzz_ROOMS := firmware_presence
sip_bench_ROOMS := firmware_sip
dialplan_bench_ROOMS := firmware_dialplan
net_bench_ROOMS := net
tls_bench_ROOMS := crypto
turn_bench_ROOMS := firmware_turn
xmpp_bench_ROOMS := firmware_xmpp
stun_message_fuzz_ROOMS := firmware_turn
turn_engine_fuzz_ROOMS := firmware_turn
turn_stream_fuzz_ROOMS := firmware_turn
media_steering_fuzz_ROOMS := firmware_turn
config_line_fuzz_ROOMS := firmware_config
config_stored_fuzz_ROOMS := firmware_config
terminal_fuzz_ROOMS := firmware_admin
sftp_server_fuzz_ROOMS := firmware_admin
scp_server_fuzz_ROOMS := firmware_admin
ssh_transport_fuzz_ROOMS := firmware_admin
ssh_channels_fuzz_ROOMS := firmware_admin
ssh_key_fuzz_ROOMS := firmware_admin
time_zone_fuzz_ROOMS := firmware_log
log_words_fuzz_ROOMS := firmware_log
certificate_file_fuzz_ROOMS := crypto
name_constraints_fuzz_ROOMS := crypto
other_name_fuzz_ROOMS := crypto
admin_password_fuzz_ROOMS := firmware_config
backup_file_fuzz_ROOMS := firmware_admin
store_record_fuzz_ROOMS := firmware_config firmware_log firmware_alarm firmware_store
canary_fuzz_ROOMS := hal
net_frame_fuzz_ROOMS := net
dns_response_fuzz_ROOMS := net
sntp_reply_fuzz_ROOMS := net
address_fuzz_ROOMS := net
tls_stream_fuzz_ROOMS := crypto
tls_client_fuzz_ROOMS := crypto

# Compiling a test takes longer than running it.
out/asan/obj/tests/unit/%.o out/asan/obj/tests/conformance/%.o: private FILE_FLAGS += \
  -O0 -fno-sanitize=fuzzer-no-link
# But these copy whole disks, hundreds of thousands of times.
HEAVY_TESTS := store image log rt
$(foreach room,$(HEAVY_TESTS),out/asan/obj/tests/unit/$(room)/%.o): private FILE_FLAGS += -O1
# And these carry millions of packets and messages.
$(foreach test,rtp/many_calls sip/traversal_churn,out/asan/obj/tests/unit/$(test)_test%o): \
  private FILE_FLAGS += -O1

folders = $(patsubst %/,%,$(sort $(dir $(wildcard $(1)))))
UNIT_TESTS := $(patsubst tests/unit/%,%_test,$(call folders,tests/unit/*/*.cc))
CONFORMANCE_TESTS := \
  $(patsubst tests/conformance/%,%_conformance_test,$(call folders,tests/conformance/*/*.cc))
SIM_TESTS := $(if $(wildcard tests/sim/*.cc),sim_test)
FUZZ_TARGETS := $(patsubst tests/fuzz/%.cc,%,$(wildcard tests/fuzz/*_fuzz.cc))
BENCHES := $(patsubst tests/bench/%.cc,%, \
  $(wildcard tests/bench/*_bench.cc tests/bench/*/*_bench.cc))

# $(call test_program,NAME,FOLDER)
define test_program
$(foreach board,host asan,$(eval $(call program,out/$(board)/tests/$(1),$(board),\
  $(wildcard $(2)/*.cc),$(or $($(1)_ROOMS),firmware),-lgtest -lgtest_main -lpthread)))
endef
$(foreach test,$(UNIT_TESTS),\
  $(eval $(call test_program,$(test),tests/unit/$(test:_test=))))
$(foreach test,$(CONFORMANCE_TESTS),\
  $(eval $(call test_program,$(test),tests/conformance/$(test:_conformance_test=))))
$(foreach test,$(SIM_TESTS),$(eval $(call test_program,$(test),tests/sim)))
# What two threads share, under ThreadSanitizer.
$(eval $(call program,out/tsan/tests/media_threads_test,tsan,\
  tests/unit/media/core_threads_test.cc,firmware_media,-lgtest -lgtest_main -lpthread))
# Runs as the host variant: it counts hundred thousands of power cuts, not bytes.
$(eval $(call test_program,powercut_test,tests/powercut))
$(foreach fuzz,$(FUZZ_TARGETS),$(eval $(call program,out/fuzz/bin/$(fuzz),asan,\
  tests/fuzz/$(fuzz).cc,$(or $($(fuzz)_ROOMS),firmware),-fsanitize=fuzzer)))
$(foreach bench,$(BENCHES),$(eval $(call program,out/host/bench/$(bench),host,\
  tests/bench/$(bench).cc,$(or $($(notdir $(bench))_ROOMS),firmware),-lpthread)))

# What a race needs beside the peer: its load, and the least a forwarder can do.
turn_race_NEEDS := $(patsubst %,out/host/bench/turn/%,turn_bench turn_load raw_forwarder)
turn_planes_race_NEEDS := out/host/bench/turn/turn_load
media_race_NEEDS := out/host/bench/media/media_load
xmpp_race_NEEDS := out/host/bench/xmpp/xmpp_load
xmpp_idle_bench_NEEDS := $(xmpp_race_NEEDS)
$(eval $(call program,out/host/bench/xmpp/xmpp_load,host,tests/bench/xmpp/xmpp_load.cc,\
  crypto,-lpthread))
$(eval $(call program,out/host/bench/media/media_load,host,tests/bench/media/media_load.cc,\
  hal,-lpthread))
$(eval $(call program,out/host/bench/turn/turn_load,host,tests/bench/turn/turn_load.cc,\
  firmware_turn,-lpthread))
$(eval $(call program,out/host/bench/turn/raw_forwarder,host,tests/bench/turn/raw_forwarder.cc,\
  board_host,-lpthread))

# What each test group needs built; a group that is not listed is one test program's name.
unit_NEEDS := $(UNIT_TESTS:%=out/asan/tests/%)
conformance_NEEDS := $(CONFORMANCE_TESTS:%=out/asan/tests/%)
sim_NEEDS := $(SIM_TESTS:%=out/asan/tests/%)
system_NEEDS := out/host/gatehouse out/host/gatehouse-hsm out/pc/gatehouse.img \
  out/pc/gatehouse.update $(SYSTEM_TEST_NEEDS)
powercut_NEEDS := out/host/tests/powercut_test
boot-chain_NEEDS := $(system_NEEDS) $(powercut_NEEDS) \
  $(patsubst %,out/asan/tests/%_test,boot image)
# By name in tests/run; here, everything they may be.
management_NEEDS := $(unit_NEEDS) $(system_NEEDS) $(powercut_NEEDS) $(FUZZ_TARGETS:%=out/fuzz/bin/%)
keys_NEEDS := $(filter $(foreach name,crypto keys acme pkcs11 net board_host,\
  out/asan/tests/$(name)_test),$(unit_NEEDS)) $(system_NEEDS) \
  $(foreach name,$(filter acme_% ocsp_% certificate_% name_constraints_% other_name_% pkcs11_% \
  store_envelope_% tls_% tpm_%,$(FUZZ_TARGETS)),\
  out/fuzz/bin/$(name))
turn_NEEDS := $(patsubst %,out/asan/tests/%_test,turn turn_conformance media) \
  out/tsan/tests/media_threads_test out/host/gatehouse \
  $(patsubst %,out/fuzz/bin/%_fuzz,stun_message turn_engine turn_stream media_steering)
sip_NEEDS := $(system_NEEDS) \
  $(patsubst %,out/asan/tests/%_test,appliance board_host config dialplan http media net rtp sdp \
  sim sip sip_conformance) \
  $(patsubst %,out/fuzz/bin/%_fuzz,sip_message sip_uri sip_engine dialplan_pattern \
  dialplan_rules policy_answer presence_pidf sdp sdp_bandwidth rtp_anchor rtp_mux rtp_ice \
  websocket)
xmpp_NEEDS := $(system_NEEDS) $(powercut_NEEDS) \
  $(patsubst %,out/asan/tests/%_test,appliance crypto files http net s2s store xmpp) \
  $(patsubst %,out/fuzz/bin/%_fuzz,other_name xmpp_stream xmpp_address xmpp_s2s xmpp_web \
  xmpp_contacts)
threads_NEEDS := out/tsan/tests/media_threads_test
fuzz_NEEDS := $(FUZZ_TARGETS:%=out/fuzz/bin/%)
tidy_NEEDS := out/sources
all_NEEDS := $(unit_NEEDS) $(conformance_NEEDS) $(sim_NEEDS) $(system_NEEDS) $(fuzz_NEEDS) \
  $(powercut_NEEDS) $(threads_NEEDS) $(tidy_NEEDS)
first-light_NEEDS := $(all_NEEDS)
named_needs = $(filter $(1:%=out/asan/tests/%_test) $(1:%=out/asan/tests/%_conformance_test) \
  $(1:%=out/fuzz/bin/%_fuzz),$(all_NEEDS))

T ?= all
test: $(foreach group,$(T),$(or $($(group)_NEEDS),$(call named_needs,$(group)))) \
  | out/deps/.packages-test out/deps/.packages-run
	@$(PYTHON) tests/run $(T)

FUZZ_SECONDS ?= 20
fuzz: $(fuzz_NEEDS) | out/deps/.packages-test
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(PYTHON) tests/run $(if $(filter all,$(T)),fuzz,$(T:%=fuzz/%))

run: out/pc/gatehouse.img | out/deps/.packages-run
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/system/run.py

# A benchmark is a program (*_bench.cc) or a script (*_bench.py, *_race.py: against a peer). B=
# picks those whose name begins so.
B ?=
BENCH_SCRIPTS := $(wildcard tests/bench/*_bench.py tests/bench/*_race.py tests/bench/*/*_bench.py)
bench_picked = $(foreach bench,$(1),$(if $(filter $(B)%,$(notdir $(bench))),$(bench)))
bench: $(if $(call bench_picked,$(BENCH_SCRIPTS)),host image $(SYSTEM_TEST_NEEDS)) \
  $(patsubst %,out/host/bench/%,$(call bench_picked,$(BENCHES))) \
  $(foreach script,$(call bench_picked,$(BENCH_SCRIPTS)),$($(basename $(notdir $(script)))_NEEDS)) \
  | out/deps/.packages-test out/deps/.packages-bench
	@$(if $(call bench_picked,$(BENCHES) $(BENCH_SCRIPTS)),,echo "no benchmark is called $(B)"; exit 1)
	@set -e; \
	  $(foreach bench,$(call bench_picked,$(BENCHES)),echo "== $(bench)"; out/host/bench/$(bench);) \
	  $(foreach bench,$(call bench_picked,$(BENCH_SCRIPTS)),echo "== $(bench)"; $(PYTHON) $(bench);)

# Every source that some build compiles, for the rule against dead files.
out/sources: FORCE
	@printf '%s\n' $(sort $(ALL_SOURCES)) >$@

# clang-tidy 14 crashes on libstdc++'s `if consteval`; without the macro the headers do not use it.
TIDY_FLAGS = $(filter-out -f% -g -O% -w,$(asan_CXXFLAGS)) -U__cpp_if_consteval \
  -Wno-builtin-macro-redefined
check: out/sources $(call headers_of,$(ROOMS)) | out/deps/.packages-check
	@TIDY_FLAGS="$(TIDY_FLAGS)" $(PYTHON) tests/tidy/check
