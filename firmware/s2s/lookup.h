// Where a domain's servers are (RFC 6120 section 3.2, XEP-0368): SRV records of both kinds as one
// list, ordered by priority and drawn by weight (RFC 2782); without any the domain itself; then
// each server's addresses. A static route takes the place of all that.
//
// Fault model: answers are whatever somebody's DNS says: bounded in number, names checked by the
// resolver. What is connected to has to prove its name all the same.
#pragma once

#include <array>
#include <string_view>

#include "crypto/random.h"
#include "firmware/s2s/limits.h"
#include "hal/rt/fixed_string.h"
#include "net/resolver.h"

namespace gh::s2s {

struct Hop {
  net::Endpoint remote;
  bool is_tls = false;  // TLS from the first byte
};

class LookupUser {
 public:
  // Another address, or that there are no more (null). From a call of the resolver's.
  virtual void OnHop(const Hop* hop) = 0;

 protected:
  ~LookupUser() = default;
};

class Lookup {
 public:
  Lookup() = default;
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup() { Cancel(); }

  // `tls`: servers of direct TLS are wanted, too. Next() begins.
  void Start(net::Resolver& resolver, crypto::Random& random, LookupUser& user,
             std::string_view domain, bool tls);
  // By a static route: a name or an address.
  void StartAt(net::Resolver& resolver, crypto::Random& random, LookupUser& user,
               std::string_view host, uint16_t port, bool tls);
  // kHop: it is in `hop`; kLater: OnHop follows; kNone: there are no more.
  enum class Answer : uint8_t { kHop, kLater, kNone };
  Answer Next(Hop& hop);
  void Cancel();
  // Whether DNS had anything at all.
  bool found_any() const { return found_any_; }

 private:
  enum class Step : uint8_t { kSrvTls, kSrv, kAddress4, kAddress6, kNextServer, kDone };
  struct Server {
    FixedString<net::kDnsNameMax> name;
    uint16_t priority = 0;
    uint16_t weight = 0;
    uint16_t port = 0;
    bool is_tls = false;
  };
  void Begin(net::Resolver& resolver, crypto::Random& random, LookupUser& user);
  bool Ask();
  void OnAnswer(const Result<std::span<const net::DnsRecord>>& records);
  void TakeServers(std::span<const net::DnsRecord> records);
  void SortServers();
  void Advance();

  net::Resolver* resolver_ = nullptr;
  crypto::Random* random_ = nullptr;
  LookupUser* user_ = nullptr;
  net::DnsQuery query_;
  bool asking_ = false;
  bool found_any_ = false;
  bool refuses_ = false;  // the domain says that it has no such service
  Step step_ = Step::kDone;
  FixedString<net::kDnsNameMax> domain_;
  std::array<Server, kServerMax> servers_;
  uint32_t server_count_ = 0;
  uint32_t server_ = 0;
  std::array<net::IpAddress, kAddressMax> addresses_;
  uint32_t address_count_ = 0;
  uint32_t address_ = 0;
};

}  // namespace gh::s2s
