#include "firmware/capacity.h"

#include <algorithm>
#include <charconv>

#include "crypto/limits.h"
#include "firmware/admin/ssh_service.h"
#include "firmware/config/line.h"
#include "firmware/config/settings.h"
#include "firmware/diagnostics.h"
#include "firmware/media/plane.h"
#include "firmware/messaging/xmpp_service.h"
#include "firmware/sip/presence_server.h"
#include "firmware/store/limits.h"
#include "firmware/upgrade/limits.h"
#include "net/dtls_service.h"
#include "net/tls_streams.h"

namespace gh {
namespace {

// What the rooms took on the host, per item and rounded up; tests/unit/appliance keeps them honest.
constexpr uint64_t kFixedBytes = 20u << 20;     // log, DNS cache, nonces, tables of fixed size,
                                                // dial plan with 1,000 search rules
constexpr uint64_t kMediaCoreBytes = 1u << 20;  // its rings, for 32,768 frames
constexpr uint64_t kBytesPerRegistration = 640;
constexpr uint64_t kBytesPerCall = 1856;  // what ends it from here, ladder and history too
// Transactions are remembered for 32 s with what they may have to repeat.
constexpr uint64_t kBytesPerCallSetup = 456 * 1024;
constexpr uint64_t kBytesPerStream = 320;
constexpr uint64_t kBytesPerNetConnection = 1024;
constexpr uint64_t kBytesPerAllocation = 4096;   // with four permissions and channels, eight flows
constexpr uint64_t kBytesPerRelayPort = 2 * 24;  // of both address families
constexpr uint64_t kBytesPerSession = 112 * 1024;
constexpr uint64_t kFileBytes = 272 * 1024;  // a backup or an import that waits
constexpr uint64_t kFileBytesPerUser = 320;

// The presence server: its pools, and the parser of documents.
uint64_t PresenceBytes(const sip::Capacity& c) {
  constexpr uint64_t kParserBytes = 512 * 1024;
  return c.presentities * sip::PresenceStore::bytes_per_presentity() +
         c.publications * sip::PresenceStore::bytes_per_publication() +
         c.publication_overflows * Pool<sip::PublicationOverflow>::bytes_per_item() +
         c.subscriptions * (sip::PresenceServer::bytes_per_subscription() + sizeof(void*)) +
         kParserBytes;
}

Capacity Make(const char* profile, uint32_t registrations, uint32_t streams, uint32_t calls,
              uint32_t call_setups_per_s, uint32_t xmpp_accounts, uint32_t xmpp_sessions) {
  Capacity capacity;
  capacity.profile = profile;
  capacity.registrations = registrations;
  capacity.users = registrations;
  capacity.calls = calls;
  capacity.call_setups_per_s = call_setups_per_s;
  capacity.streams = streams;
  capacity.sessions = registrations >= 5'000 ? 20 : 8;
  // 64 more connections: syslog and administration. SIP and XMPP share the others.
  capacity.net = net::Capacity::For(std::max(streams, xmpp_sessions) + 64);
  capacity.sip = sip::Capacity::For(registrations, streams, calls, call_setups_per_s);
  // Two relays for each call, and as many for those whose calls are elsewhere.
  capacity.turn = turn::Capacity::For(std::clamp(calls * 4, 200u, 20'000u));
  capacity.rtp = rtp::Capacity::For(calls);
  capacity.xmpp = xmpp::Capacity::For(xmpp_accounts, xmpp_sessions);
  capacity.s2s = s2s::Capacity::For(streams);
  return capacity;
}

}  // namespace

// Phones on UDP need no stream: of large's 90,000 registrations 20,000 are over TLS, and streams
// are left for 10,000 others.
// Of large's XMPP users each may be there four times; where there is memory for it (12 GiB) it has
// as many users as sessions.
//                       profile   registrations  streams  calls  setups/s  XMPP users, sessions
Capacity Capacity::Small() { return Make("small", 500, 250, 100, 20, 250, 250); }
Capacity Capacity::Medium() { return Make("medium", 5'000, 2'500, 1'000, 100, 2'500, 2'500); }
Capacity Capacity::Large() { return Make("large", 90'000, 30'000, 10'000, 500, 25'000, 100'000); }
Capacity Capacity::Largest() {
  return Make("large", 90'000, 30'000, 10'000, 500, 100'000, 100'000);
}

Capacity Capacity::ForRegistrations(uint32_t registrations) {
  const uint32_t calls = registrations / 5 < 100 ? 100 : registrations / 5;
  const uint32_t setups = registrations / 100 < 20 ? 20 : registrations / 100;
  const uint32_t streams = registrations / 2 < 100 ? 100 : registrations / 2;
  return Make("by number", registrations, streams, calls, setups, streams, std::max(streams, 250u));
}

uint64_t Capacity::ArenaBytes() const {
  const uint64_t user_bytes =
      2 * (sizeof(config::AuthenticationUser) + 8) * uint64_t{users};  // in force and staged
  const uint64_t without_store =
      kFixedBytes + kMediaCoreBytes + upgrade::kBufferBytes + 5 * crypto::kTlsClientHeap +
      kCaptureBytes + admin::SshService::ArenaBytes() + user_bytes + store::kQueueBytesMax +
      uint64_t{password_cost.memory_kib} * 1026 + 8192 + net.buffer_bytes +
      uint64_t{registrations} * kBytesPerRegistration + uint64_t{calls} * kBytesPerCall +
      PresenceBytes(sip) + uint64_t{sessions + 1} * kBytesPerSession + kFileBytes +
      users * kFileBytesPerUser + uint64_t{call_setups_per_s} * kBytesPerCallSetup +
      uint64_t{streams} * kBytesPerStream + uint64_t{turn.allocations} * kBytesPerAllocation +
      rtp.ArenaBytes() + rtp::Dtls::ArenaBytes(rtp.handshakes()) +
      rtp.flows() * media::Plane::bytes_per_flow() +
      uint64_t{turn.relay_ports} * kBytesPerRelayPort + uint64_t{users} * 16 +
      net::DtlsService::ArenaBytes(turn.streams, turn::Capacity::DtlsHandshakes(turn.streams)) +
      uint64_t{net.connection_count} * kBytesPerNetConnection + net::TlsStreams::ArenaBytes(net) +
      xmpp.ArenaBytes() + XmppService::ArenaBytes(xmpp) + s2s.ArenaBytes() + 4096;
  return without_store + store::HeapBytesFor(without_store + store::kHeapBytesMax);
}

Result<Capacity> Capacity::For(std::string_view name, uint64_t arena_bytes) {
  const auto fitting = [&](const Capacity& capacity) -> Result<Capacity> {
    if (capacity.ArenaBytes() > arena_bytes) {
      return Error{ErrorCode::kNoSpace, "the capacity profile does not fit the memory"};
    }
    return capacity;
  };
  const bool is_free = name.empty() || config::EqualsIgnoreCase(name, "auto");
  for (const Capacity& capacity : {Largest(), Large(), Medium()}) {
    // A larger one only when it leaves two fifths of the memory to what is to come.
    if ((is_free || config::EqualsIgnoreCase(name, capacity.profile)) &&
        capacity.ArenaBytes() * 5 / 3 <= arena_bytes) {
      return capacity;
    }
  }
  if (is_free) {
    return fitting(Small());
  }
  for (const Capacity& capacity : {Small(), Medium(), Large()}) {
    if (config::EqualsIgnoreCase(name, capacity.profile)) {
      return fitting(capacity);
    }
  }
  uint32_t registrations = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, registrations);
  if (error != std::errc() || stop != end || registrations == 0 ||
      registrations > kRegistrationsMax) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected a profile: auto, small, medium, large or a number of registrations"};
  }
  return fitting(ForRegistrations(registrations));
}

}  // namespace gh
