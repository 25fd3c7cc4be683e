// Certificates of authorities that servers are checked against: xCommand Trust Add, List, Remove.
//
// Kept in the store as DER, Table::kTrust, keyed by fingerprint. Add takes PEM pasted at the
// terminal, up to its END line; a lone dot or Control-C gives up.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/trust_list.h"
#include "firmware/admin/commands.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"

namespace gh {

class Anchors final : public admin::TerminalGuest {
 public:
  Anchors(Arena& arena, crypto::TlsEnvironment& environment, store::Store& store, log::Log& log);
  Anchors(const Anchors&) = delete;
  Anchors& operator=(const Anchors&) = delete;

  void Load();
  void AddTo(admin::CommandTable& commands);
  const crypto::TrustList& list() const { return list_; }
  // In the list, and in the store.
  Result<void> AddPem(std::string_view pem, std::string_view by);

  void Enter(Instant now) override;
  bool Serve(admin::Terminal& terminal, Instant now) override;
  void Leave(ByteWriter& out) override;

 private:
  static constexpr uint32_t kPasteMax = 2 * crypto::kPemMax;
  Result<void> Remove(std::string_view value, std::string_view by);
  bool Next(uint64_t& cursor, ByteWriter& out);

  crypto::TlsEnvironment& environment_;
  store::Store& store_;
  log::Log& log_;
  crypto::TrustList list_;
  std::span<uint8_t> pasted_;
  size_t pasted_size_ = 0;
  Instant deadline_;
  FixedString<64> by_;
  Result<void> outcome_;
};

}  // namespace gh
