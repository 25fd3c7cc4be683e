/* What lwIP calls in net/ (lwip_port.cc, lwip_memory.cc), and what lwip-patches add for net/. */
#ifndef GH_LWIP_HOOKS_H
#define GH_LWIP_HOOKS_H

#include "lwip/ip_addr.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tcp_pcb;

/* Hash of a connection's addresses and ports, keyed per instance. */
uint32_t gh_lwip_tcp_hash(const ip_addr_t* local, uint16_t local_port, const ip_addr_t* remote,
                          uint16_t remote_port);
uint32_t gh_lwip_tcp_isn(const ip_addr_t* local, uint16_t local_port, const ip_addr_t* remote,
                         uint16_t remote_port);
/* Delayed acknowledgements or connection timers are waiting: arm what will call them. */
void gh_lwip_ack_timer_needed(void);
/* A connection is in TIME-WAIT now. */
void gh_lwip_time_wait(struct tcp_pcb* pcb);
/* 1: an out-of-order segment may be kept (frames are not scarce). */
int gh_lwip_may_hold(void);
/* 1: an ICMP error may be sent (token bucket). */
int gh_lwip_may_send_error(void);

struct netif* gh_lwip_ip4_route(const ip4_addr_t* source, const ip4_addr_t* destination);
const ip4_addr_t* gh_lwip_ip4_gateway(struct netif* netif, const ip4_addr_t* destination);
struct netif* gh_lwip_ip6_route(const ip6_addr_t* source, const ip6_addr_t* destination);
const ip6_addr_t* gh_lwip_ip6_gateway(struct netif* netif, const ip6_addr_t* destination);
/* Servers that DHCP (IPv4) and router advertisements (IPv6) give; lwIP's own DNS client is unused.
 */
void dns_setserver(uint8_t index, const ip_addr_t* server);
const ip_addr_t* dns_getserver(uint8_t index);
void dhcp_set_ntp_servers(uint8_t count, const ip4_addr_t* servers);
int gh_lwip_memp_available(int type);

/* Added by lwip-patches/0001-tcp-flat.patch. */
struct gh_tcp_state {
  struct tcp_pcb** buckets; /* of the connection hash; bucket_mask + 1 of them, set by net/ */
  uint32_t bucket_mask;
  struct tcp_pcb* active_tail;
  struct tcp_pcb* idle; /* established and silent: no timer needed but keep-alive */
  struct tcp_pcb* idle_tail;
  struct tcp_pcb* time_wait_tail;
  struct tcp_pcb* ack; /* delayed acknowledgements */
  struct tcp_pcb* ack_tail;
  uint32_t active_count, idle_count, time_wait_count, half_open_count, close_ticks;
};
extern struct gh_tcp_state gh_tcp;

struct tcp_pcb* gh_tcp_find(const ip_addr_t* local, uint16_t local_port, const ip_addr_t* remote,
                            uint16_t remote_port);
/* Runs the slow timer for `tick_count` new ticks, at most `budget` connections; 1 if some remain.
 */
int gh_tcp_slow_slice(uint32_t tick_count, uint32_t budget);
void gh_tcp_flush_acks(void);
/* The connection is ours no longer: lwIP finishes it, within gh_tcp.close_ticks. */
void gh_tcp_detach(struct tcp_pcb* pcb);
struct tcp_pcb* gh_tcp_listeners(void);

#ifdef __cplusplus
}
#endif
#endif
