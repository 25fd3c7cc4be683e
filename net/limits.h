// Named maxima of net/. What a machine's size decides is in Capacity; what nothing decides is here.
#pragma once

#include <cstdint>

#include "hal/frame.h"
#include "hal/machine.h"

namespace gh::net {

inline constexpr uint32_t kPortMax = hal::kEthernetPortMax;
inline constexpr uint32_t kRouteMax = 64;
inline constexpr uint32_t kDnsServerMax = 5;
inline constexpr uint32_t kNtpServerMax = 5;
inline constexpr uint32_t kHostNameMax = 63;
inline constexpr uint32_t kListenerMax = 128;  // of them 64 for relays over TCP
inline constexpr uint32_t kFirewallRuleMax = 128;
inline constexpr uint32_t kFilterRuleMax = 160;
inline constexpr uint32_t kFilterRateMax = 100'000;  // packets a second
inline constexpr uint32_t kBlockMax = 1024;          // addresses blocked at a time
inline constexpr uint16_t kPortMtuMin = 576;         // RFC 791; with IPv6: 1280
inline constexpr uint16_t kPortMtuMinIpv6 = 1280;
inline constexpr uint32_t kFrameTapMax = 2;

// Frames taken from one port in one poll, and polls' worth of work before other sources run.
inline constexpr uint32_t kReceiveBatch = hal::kFrameBatchMax;

// A datagram we send: fragmented above the path's MTU.
inline constexpr uint32_t kDatagramSizeMax = 16 * 1024;
// Peers a reply-only (ephemeral) socket still hears.
inline constexpr uint32_t kReplyPeerMax = 8;

// Bytes one connection may have queued for sending, or received and not consumed.
inline constexpr uint32_t kStreamQueueMax = 44 * 1460;

// TLS. A handshake's time; how old one must be to give way to another; how many steps of handshakes
// one turn takes, for each costs milliseconds.
inline constexpr int64_t kTlsHandshakeMs = 10'000;
inline constexpr int64_t kTlsHandshakeYieldMs = 2'000;
inline constexpr uint32_t kTlsHandshakeStepsPerTurn = 2;
inline constexpr int64_t kDtlsIdleSeconds = 900;  // a session without a datagram
inline constexpr uint32_t kDtlsSocketMax = 24;
inline constexpr uint32_t kTlsReadyMax = 64;  // sessions resumed in one turn
// What TLS may take for one session at rest (beside its place in the pool) and for one handshake.
inline constexpr uint64_t kTlsIdleHeap = 6 * 1024;
inline constexpr uint64_t kTlsHandshakeHeap = 64 * 1024;

// IPv6 extension headers walked before a packet is given up.
inline constexpr uint32_t kExtensionHeaderMax = 4;

// Headers in front of a payload we build: Ethernet, IPv6, fragment, TCP with options.
inline constexpr uint32_t kHeaderRoom = 14 + 40 + 8 + 60;
// Where our frames start in their buffer: behind the frame's pbuf, with room for the driver.
inline constexpr uint32_t kPbufRoom = 64;
inline constexpr uint32_t kDriverRoom = 16;
// Answers to what filter rules reject, a second and at once; more is only dropped.
inline constexpr uint32_t kRejectsPerSecond = 100;
inline constexpr uint32_t kRejectBurst = 50;
inline constexpr uint32_t kFramePayloadStart = kPbufRoom + kDriverRoom + kHeaderRoom;
inline constexpr uint32_t kFramePayloadMax = hal::kFrameBufferSize - kFramePayloadStart;
static_assert(kPbufRoom + kDriverRoom <= hal::kFrameHeadroom);
static_assert(kFramePayloadMax >= 1500);

// Timers.
inline constexpr int64_t kDelayedAckMs = 40;
inline constexpr int64_t kCloseDeadlineMs = 10'000;
// Connections served by one slice of the slow timer: bounds its share of a turn.
inline constexpr uint32_t kSlowSlice = 512;

}  // namespace gh::net
