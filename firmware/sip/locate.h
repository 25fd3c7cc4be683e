// Locating SIP servers (RFC 3263): from a URI to a list of transports and addresses to try in
// order. NAPTR, SRV with priority and weight, A and AAAA, over net::Resolver; addresses in URIs
// need no question at all.
#pragma once

#include <array>

#include "firmware/sip/core.h"
#include "firmware/sip/uri.h"
#include "hal/rt/pool.h"
#include "net/resolver.h"

namespace gh::sip {

struct Hop {
  TransportKind transport = TransportKind::kUdp;
  net::Endpoint remote;
};

class Locator;

// One search; a pooled object. Its user reads `hops` when `done` is called (never from inside
// Start) and releases it, whenever it likes, with Locator::Release.
struct Location {
  std::array<Hop, kEndpointMax> hops;
  uint32_t hop_count = 0;
  uint32_t hop_next = 0;  // the user's place in the list
  void (*done)(Location& location) = nullptr;
  void* context = nullptr;
  Buffer* held = nullptr;  // the user's
  net::Endpoint source;    // the user's
  // Of the URI: what a server's certificate must name (RFC 5922 section 4), whatever SRV says.
  FixedText<net::kDnsNameMax> domain;

  // The locator's own.
  enum class Step : uint8_t { kNaptr, kSrvUdp, kSrvTcp, kSrvTls, kSrvNamed, kAddress4, kAddress6 };
  struct Server {
    FixedText<net::kDnsNameMax> name;
    uint16_t priority = 0;
    uint16_t weight = 0;
    uint16_t port = 0;
    TransportKind transport = TransportKind::kUdp;
  };
  Locator* locator = nullptr;
  net::DnsQuery query;
  FixedText<net::kDnsNameMax> name;
  std::array<Server, kSrvRecordMax> servers;
  uint32_t server_count = 0;
  uint32_t server_next = 0;
  TransportKind transport = TransportKind::kUdp;
  uint16_t port = 0;
  Step step = Step::kNaptr;
  bool asking = false;
  bool is_secure = false;
};

class Locator {
 public:
  Locator(Core& core, Arena& arena, net::Resolver& resolver)
      : core_(core), resolver_(resolver), locations_(arena, core.capacity.resolutions) {}

  // Fills `hop` when the URI says it all (an address); false when a search is needed.
  static bool Direct(const Uri& uri, Hop& hop);
  Location* Allocate() { return locations_.Allocate(); }
  // kExhausted when the resolver takes no more questions.
  Result<void> Start(Location& location, const Uri& uri);
  void Release(Location& location);
  uint32_t used_count() const { return locations_.used_count(); }

 private:
  Result<void> AskStep(Location& location);
  void OnAnswer(Location& location, std::span<const net::DnsRecord> records);
  void Advance(Location& location);
  void TakeNaptr(Location& location, std::span<const net::DnsRecord> records);
  void TakeSrv(Location& location, std::span<const net::DnsRecord> records);
  void TakeAddresses(Location& location, std::span<const net::DnsRecord> records);
  void SortServers(Location& location);
  bool HasTransport(TransportKind transport) const;
  bool HasFamily(net::IpFamily family) const;

  Core& core_;
  net::Resolver& resolver_;
  Pool<Location> locations_;
};

}  // namespace gh::sip
