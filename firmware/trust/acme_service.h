// Certificates by ACME in the appliance: which ones the settings want, when each is due, the orders
// one after the other, what comes of them in force by hot swap; xCommand and xStatus Certificate
// ACME, events, the alarm.
//
// A certificate is due when there is none of the authority's making, when a name is missing in it,
// or when a third of its life is left. A failure is tried again after kBackOff, or later if the
// authority says so. The account's key is made when it is first needed and kept with the others
// (Table::kKeys "acme-account"); the key of an order is Requests' ("acme").
#pragma once

#include <array>
#include <cstdint>

#include "firmware/acme/acme_responder.h"
#include "firmware/acme/order.h"
#include "firmware/admin/commands.h"
#include "firmware/admin/deferred.h"
#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/keys/request.h"
#include "firmware/log/log.h"
#include "firmware/network/network_services.h"
#include "firmware/store/store.h"
#include "firmware/trust/key_store.h"
#include "firmware/trust/tls_services.h"
#include "hal/rt/secret.h"
#include "net/dns_resolver.h"
#include "net/http_exchange.h"
#include "net/stack.h"

namespace gh {

struct AcmeParts {
  Arena& arena;
  EventLoop& loop;
  hal::Clock& clock;
  crypto::Random& random;
  net::Stack& stack;
  net::DnsResolver& resolver;
  TlsServices& tls_services;
  Certificates& certificates;
  store::Store& store;
  NetworkServices& services;
  admin::DeferredQueue& deferred;
  log::Log& log;
  alarm::Alarms& alarms;
  const config::Configuration& configuration;
};

class AcmeService final : net::HttpExchangeListener, public acme::OrderPort, admin::DeferredWork {
 public:
  // What is made at the start, in the arena.
  explicit AcmeService(const AcmeParts& parts);
  AcmeService(const AcmeService&) = delete;
  AcmeService& operator=(const AcmeService&) = delete;

  void Apply();  // settings have changed
  void Watch(Instant now);
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

 private:
  struct Target {
    FixedString<keys::kDomainNameMax> domain;  // empty: the server certificate
    uint32_t failure_count = 0;
    Instant next_try;
    bool is_forced = false;  // by the operator
    FixedString<acme::kFaultMax> fault;
  };
  enum class Phase : uint8_t { kIdle, kRequest, kOrder };

  // --- acme::OrderPort ---
  Result<void> Send(const acme::Ask& ask) override;
  Result<void> Offer(const acme::Proof& proof) override;
  void Withdraw() override;
  void OnOrderEnd(Result<std::string_view> chain) override;
  // --- net::HttpExchangeListener ---
  void OnHttpField(std::string_view name, std::string_view value) override;
  void OnHttpEnd(Result<uint32_t> status, std::span<const uint8_t> body) override;
  void RunDeferred(Instant now) override;

  Target* FindTarget(std::string_view domain);
  void KeepTarget(std::string_view domain, std::span<const Target> before);
  bool IsDue(const Target& target, int64_t now_s);
  bool NamesAll(const mbedtls_x509_crt& leaf, std::string_view domain);
  void Begin(Target& target);
  Result<void> BeginRequest(Target& target);
  Result<void> BeginOrder();
  Result<void> LoadAccount();
  Result<void> MakeAccount();
  Result<void> OfferCertificate(const acme::Proof& proof);
  void WatchRequest();
  void Succeed();
  void Fail(const Error& error);
  void Stop();
  void UpdateAlarm();
  Result<void> Renew(std::string_view value, ByteWriter& out);
  Result<void> NewAccount();
  bool NextLine(uint64_t& cursor, ByteWriter& out);
  bool NextTargetLine(uint64_t index, uint64_t field, ByteWriter& out);
  Instant now() const;

  AcmeParts parts_;
  crypto::TlsEnvironment& environment_;
  crypto::TlsEnvironment* client_environment_ = nullptr;
  keys::Requests requests_;
  keys::RequestNames& names_;
  crypto::SoftwareKey account_;
  std::span<uint8_t> decode_room_;
  acme::Order* order_ = nullptr;
  net::HttpExchange* exchange_ = nullptr;
  AcmeResponder* responder_ = nullptr;
  std::array<Target, keys::kSlotMax> targets_ = {};
  uint32_t target_count_ = 0;
  uint32_t current_ = 0;
  Phase phase_ = Phase::kIdle;
  Instant checked_at_;
  uint32_t generation_seen_ = 0;
  uint64_t issued_count_ = 0;
  acme::Challenge challenge_ = acme::Challenge::kHttp;
  SecretBytes<acme::kBindingKeyMax> binding_key_;
  FixedString<acme::kNonceMax> nonce_;
  FixedString<acme::kUrlMax> location_;
  int64_t retry_after_s_ = 0;
};

}  // namespace gh
