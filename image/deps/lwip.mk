# lwIP 2.2 without sequential API: core, IPv4, IPv6, Ethernet. Options: net/lwipopts.h; the port's
# own headers: net/lwip/arch/. Local patches: net/lwip-patches/*.patch (applied at unpacking).
lwip_CONFIG := $(wildcard net/lwipopts.h net/lwip/arch/*.h)
lwip_SRCS := src/core/*.c src/core/ipv4/*.c src/core/ipv6/*.c src/netif/ethernet.c
lwip_CFLAGS = -Wno-address -fno-data-sections
lwip_INSTALL_HEADERS = cp -r $(SRC)/src/include/. $(DEPS)/include && \
  cp net/lwipopts.h $(DEPS)/include/ && cp -r net/lwip/arch $(DEPS)/include/
# Everything lwIP remembers goes into one section, so that net/ can keep one copy per instance.
lwip_ARCHIVE_STEP = objcopy --set-section-flags .bss=alloc,load,data,contents \
  --rename-section .bss=lwip_state,alloc,load,data,contents \
  --rename-section .data=lwip_state,alloc,load,data,contents $@
