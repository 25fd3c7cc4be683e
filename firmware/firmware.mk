# The appliance. Each folder under firmware/ is a room of its own, firmware_<folder>; the
# appliance in firmware/ itself puts them together.
FIRMWARE_PARTS := $(notdir $(patsubst %/,%,$(sort $(dir $(wildcard firmware/*/*.cc firmware/*/*.h firmware/*/*.proto)))))
ROOMS += firmware $(FIRMWARE_PARTS:%=firmware_%)
firmware_SRCS := $(wildcard firmware/*.cc)
firmware_USES := $(FIRMWARE_PARTS:%=firmware_%)

# Headers that scripts in these rooms generate; every part may include them.
FIRMWARE_GEN :=

define firmware_part
firmware_$(1)_SRCS := $(wildcard firmware/$(1)/*.cc firmware/$(1)/*/*.cc)
firmware_$(1)_PROTOS := $(wildcard firmware/$(1)/*.proto)
firmware_$(1)_USES := net image
firmware_$(1)_GEN := $(FIRMWARE_GEN)
endef
$(foreach part,$(FIRMWARE_PARTS),$(eval $(call firmware_part,$(part))))
