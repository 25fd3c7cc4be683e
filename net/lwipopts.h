/* lwIP's options for every board. NO_SYS: one thread, entered through net/lwip_port.h's guard only.
 *
 * functions); net/lwip_memory.cc gives every pool its run-time capacity from the arena. The
 * MEMP_NUM_* figures here are therefore unused; tables that lwIP holds in arrays are sized here. */
#ifndef GH_LWIPOPTS_H
#define GH_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_CALLBACK_API 1
#define LWIP_SINGLE_NETIF 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_HOOK_FILENAME "arch/gh_hooks.h"

/* Memory. mem_* and memp_* are ours (arch/gh_hooks.h). */
#define MEMP_MEM_MALLOC 0
#define GH_CUSTOM_MEMP 1
#define MEM_ALIGNMENT 8
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_POOL_FREE_OOSEQ 0
#define PBUF_POOL_SIZE 1
#define PBUF_POOL_BUFSIZE 1536
/* Room in front of an IP packet we build: hal::Frame headroom covers the rest. */
#define PBUF_LINK_HLEN 14
#define ETH_PAD_SIZE 0

/* Statistics are counted in net/ where they are wanted. */
#define LWIP_STATS 0
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_EXT_STATUS_CALLBACK 0
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK 0
#define LWIP_NETIF_HWADDRHINT 1
#define LWIP_NETIF_TX_SINGLE_PBUF 0
#define LWIP_NUM_NETIF_CLIENT_DATA 0
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHECKSUM_ON_COPY 0
#define LWIP_CHKSUM gh_lwip_checksum

/* IPv4. */
#define LWIP_IPV4 1
#define LWIP_ARP 1
#define ARP_TABLE_SIZE 256
#define ARP_QUEUEING 1
#define ARP_QUEUE_LEN 16
#define ETHARP_SUPPORT_STATIC_ENTRIES 0
#define ETHARP_SUPPORT_VLAN 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0
#define IP_REASSEMBLY 1
#define IP_REASS_MAXAGE 5
#define IP_REASS_MAX_PBUFS 128
#define IP_FRAG 1
#define IP_DEFAULT_TTL 64
#define LWIP_ICMP 1
#define LWIP_MULTICAST_PING 0
#define LWIP_BROADCAST_PING 0
#define LWIP_RAW 1 /* datagrams put together for ports without a socket of ours */
#define LWIP_IGMP 0
#define LWIP_DHCP 1
#define LWIP_DHCP_DOES_ACD_CHECK 0 /* conflicts are watched for in net/stack.cc */
#define LWIP_ACD 0
#define LWIP_AUTOIP 0
#define LWIP_DNS 0
#define DNS_MAX_SERVERS 4
#define LWIP_DHCP_GET_NTP_SRV 1
#define LWIP_DHCP_MAX_NTP_SERVERS 4

/* IPv6. */
#define LWIP_IPV6 1
#define LWIP_IPV6_NUM_ADDRESSES 6
#define LWIP_IPV6_SCOPES 1
#define LWIP_IPV6_SCOPES_DEBUG 0
#define LWIP_IPV6_FORWARD 0
#define LWIP_ICMP6 1
#define LWIP_IPV6_MLD 1
#define LWIP_IPV6_FRAG 1
#define LWIP_IPV6_REASS 1
#define IPV6_FRAG_COPYHEADER 1
#define LWIP_IPV6_AUTOCONFIG 1
#define LWIP_IPV6_ADDRESS_LIFETIMES 1
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 1
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 1
#define LWIP_ND6_NUM_NEIGHBORS 127
#define LWIP_ND6_NUM_DESTINATIONS 256
#define LWIP_ND6_NUM_PREFIXES 16
#define LWIP_ND6_NUM_ROUTERS 8
#define LWIP_ND6_MAX_MULTICAST_SOLICIT 3
#define LWIP_ND6_QUEUEING 1
#define LWIP_ND6_ALLOW_RA_UPDATES 1
#define LWIP_ND6_TCP_REACHABILITY_HINTS 1
#define LWIP_ND6_RDNSS_MAX_DNS_SERVERS 3
#define LWIP_IPV6_DHCP6 0

/* UDP. */
#define LWIP_UDP 1
#define LWIP_UDPLITE 0
#define UDP_TTL 64

/* TCP. Window scaling and timestamps stay off: 64 KiB windows bound what a connection may hold. */
#define LWIP_TCP 1
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1 /* they compare the unused MEMP_NUM figures */
#define TCP_TTL 64
#define TCP_TMR_INTERVAL 100
#define TCP_MSS 1460
#define TCP_WND (44 * TCP_MSS)
#define TCP_SND_BUF (44 * TCP_MSS)
#define TCP_SND_QUEUELEN 256
#define TCP_SNDLOWAT (TCP_SND_BUF / 2)
#define TCP_WND_UPDATE_THRESHOLD (TCP_WND / 4)
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 64
#define TCP_MAXRTX 8
#define TCP_SYNMAXRTX 5
#define LWIP_TCP_RTO_TIME 1000
#define TCP_MSL 15000UL
#define TCP_SYN_RCVD_TIMEOUT 10000
#define TCP_FIN_WAIT_TIMEOUT 10000
#define TCP_LISTEN_BACKLOG 1
#define TCP_OVERSIZE TCP_MSS
#define TCP_CALCULATE_EFF_SEND_MSS 1
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_WND_SCALE 0
#define LWIP_TCP_PCB_NUM_EXT_ARGS 1
#define LWIP_TCP_KEEPALIVE 0
#define TCP_KEEPIDLE_DEFAULT 60000UL
#define TCP_KEEPINTVL_DEFAULT 15000UL
#define TCP_KEEPCNT_DEFAULT 4U

/* Hooks: routing, sequence numbers, DHCP options (declared in arch/gh_hooks.h). */
#define LWIP_HOOK_TCP_ISN gh_lwip_tcp_isn
#define LWIP_HOOK_IP4_ROUTE_SRC gh_lwip_ip4_route
#define LWIP_HOOK_ETHARP_GET_GW gh_lwip_ip4_gateway
#define LWIP_HOOK_IP6_ROUTE gh_lwip_ip6_route
#define LWIP_HOOK_ND6_GET_GW gh_lwip_ip6_gateway
#define LWIP_HOOK_MEMP_AVAILABLE(type) gh_lwip_memp_available(type)

#endif
