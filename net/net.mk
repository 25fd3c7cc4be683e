# lwIP's port, streams and datagrams, DNS, DHCP, NTP, packet steering.
ROOMS += net
net_SRCS := $(wildcard net/*.cc net/*/*.cc)
net_USES := crypto
net_DEPS := lwip
