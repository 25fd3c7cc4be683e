# The appliance. Each folder under firmware/ is a room of its own, firmware_<folder>; the
# appliance in firmware/ itself puts them together.
FIRMWARE_PARTS := $(sort \
  $(foreach file,$(wildcard firmware/*/*.cc firmware/*/*.h firmware/*/*/*.cc),\
  $(word 2,$(subst /, ,$(file)))))
ROOMS += firmware $(FIRMWARE_PARTS:%=firmware_%)
firmware_SRCS := $(wildcard firmware/*.cc)
firmware_USES := $(FIRMWARE_PARTS:%=firmware_%)
firmware_GEN := out/gen/version.h

# Made from the declarations of settings and events; every part but an engine may include them.
FIRMWARE_GEN := out/gen/firmware/config/settings.gen.h out/gen/firmware/log/events.gen.h

define firmware_part
firmware_$(1)_SRCS := $(wildcard firmware/$(1)/*.cc firmware/$(1)/*/*.cc)
firmware_$(1)_USES := net image
endef
$(foreach part,$(FIRMWARE_PARTS),$(eval $(call firmware_part,$(part))))

# Arrows inside the firmware: engines stand on net alone, administration on everything it shows.
firmware_config_SRCS += gen/firmware/config/settings.gen.cc
firmware_config_USES := net crypto firmware_store
firmware_config_GEN := $(FIRMWARE_GEN)
firmware_log_SRCS += gen/firmware/log/events.gen.cc
firmware_log_USES := net
firmware_log_GEN := $(FIRMWARE_GEN)
firmware_alarm_USES := firmware_log
firmware_snmp_USES := crypto
firmware_store_USES := crypto hal
firmware_store_DEPS := sqlite
firmware_upgrade_USES := image firmware_admin
firmware_hsm_USES := crypto firmware_store
firmware_media_USES := net
firmware_turn_USES := firmware_media
firmware_dialplan_USES := net
firmware_presence_USES := net crypto firmware_xmpp
firmware_sip_USES := firmware_dialplan firmware_sdp firmware_presence
firmware_sdp_USES := net
firmware_rtp_USES := firmware_media firmware_sip firmware_sdp firmware_turn
firmware_files_USES := crypto hal
firmware_xmpp_USES := net crypto firmware_files
firmware_xmpp_DEPS := expat
firmware_s2s_USES := net crypto firmware_xmpp
firmware_s2s_DEPS := expat
firmware_keys_USES := net crypto firmware_log firmware_store firmware_alarm
firmware_acme_USES := net crypto firmware_keys
firmware_admin_USES := firmware_config firmware_log firmware_alarm firmware_store
firmware_operator_USES := image firmware_admin firmware_keys firmware_alarm firmware_log

# Services join engines to the network, the store, the clock and the settings. None of them knows
# the appliance, which makes each of what it needs (firmware/assembly.cc).
firmware_network_USES := net firmware_admin
firmware_trust_USES := firmware_network firmware_operator firmware_acme firmware_hsm
firmware_calls_USES := firmware_trust firmware_sip firmware_rtp firmware_turn
firmware_messaging_USES := firmware_trust firmware_xmpp firmware_s2s firmware_files

out/gen/firmware/%.gen.h out/gen/firmware/%.gen.cc &: firmware/%.proto \
  firmware/config/schema.proto \
    firmware/config/descriptors.py out/host/deps/.nanopb
	@echo "gen   $<"
	@$(PYTHON) $(<D)/generate.py $< out/gen
out/gen/firmware/config/settings.gen.h: firmware/config/generate.py
out/gen/firmware/log/events.gen.h: firmware/log/generate.py firmware/log/event_schema.proto

docs: out/host/deps/.nanopb
	@$(PYTHON) firmware/reference.py out/docs
