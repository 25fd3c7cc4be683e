// The word of authorities that our certificates are not revoked (OCSP): fetched for each
// certificate in force that names a responder, kept fresh, shown to clients that ask (stapling);
// xStatus and xCommand Certificate OCSP, events, alarms.
//
// One after the other over plain HTTP: answers are signed. Asked again when half of an answer's
// life is over; after a failure by kOcspRetry. An answer is shown until it ends, and only while it
// says that the certificate is good. Two buffers for each certificate, so that what a handshake is
// about to send stays in place when it is replaced.
#pragma once

#include <array>
#include <cstdint>

#include "firmware/admin/commands.h"
#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/keys/key_store.h"
#include "firmware/keys/ocsp.h"
#include "firmware/keys/x509_text.h"
#include "firmware/log/log.h"
#include "firmware/trust/key_store.h"
#include "net/dns_resolver.h"
#include "net/http_exchange.h"
#include "net/stack.h"

namespace gh {

struct OcspParts {
  Arena& arena;
  EventLoop& loop;
  hal::Clock& clock;
  net::Stack& stack;
  net::DnsResolver& resolver;
  Certificates& certificates;
  log::Log& log;
  alarm::Alarms& alarms;
  const config::Configuration& configuration;
};

class OcspService final : net::HttpExchangeListener {
 public:
  // What is made at the start, in the arena.
  explicit OcspService(const OcspParts& parts);
  OcspService(const OcspService&) = delete;
  OcspService& operator=(const OcspService&) = delete;

  void Apply();  // settings have changed
  void Watch(Instant now);
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

 private:
  struct Entry {
    bool is_used = false;
    FixedString<keys::kDomainNameMax> domain;  // empty: the server certificate
    keys::Fingerprint fingerprint = {};
    FixedString<net::kHttpUrlMax> url;
    bool must_staple = false;
    bool has_answer = false;
    keys::OcspAnswer answer;
    uint32_t failure_count = 0;
    Instant next_ask;
    Instant answered_at;
    Instant began;
    const char* fault = "";
    uint8_t buffer = 0;  // which of the two is shown
    std::array<uint32_t, 2> sizes = {};
    std::array<std::span<uint8_t>, 2> rooms;
  };

  struct Asked {
    const mbedtls_x509_crt* leaf;
    const mbedtls_x509_crt* issuer;
  };

  void OnHttpEnd(Result<uint32_t> status, std::span<const uint8_t> body) override;
  bool is_on() const;
  void Rescan();
  void Forget(Entry& entry);
  Entry* EntryOf(const keys::Installed& installed);
  const mbedtls_x509_crt* IssuerOf(const mbedtls_x509_crt& leaf) const;
  Result<Asked> FindAsked(const Entry& entry) const;
  Result<void> Ask(Entry& entry);
  Result<void> Take(Entry& entry, std::span<const uint8_t> body);
  void Fail(Entry& entry, const Error& error);
  void Show(Entry& entry);
  void UpdateAlarms();
  void Refresh();
  bool NextLine(uint64_t& cursor, ByteWriter& out);

  OcspParts parts_;
  net::HttpExchange* exchange_ = nullptr;
  std::array<Entry, keys::kSlotMax> entries_ = {};
  std::array<uint8_t, keys::kOcspRequestMax> request_ = {};
  uint32_t current_ = 0;
  uint32_t generation_seen_ = UINT32_MAX;
};

}  // namespace gh
