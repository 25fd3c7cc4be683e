// xCommand Trust and CRL: whom the device believes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/keys/trust_store.h"
#include "firmware/operator/paste.h"
#include "hal/rt/arena.h"

namespace gh {

class TrustCommands final : PasteTaker {
 public:
  // `room`: what is pasted, and as much for what is decoded.
  TrustCommands(Arena& arena, keys::TrustStore& trust, std::span<uint8_t> paste_room,
                std::span<uint8_t> decode_room);
  TrustCommands(const TrustCommands&) = delete;
  TrustCommands& operator=(const TrustCommands&) = delete;

  void AddTo(admin::CommandTable& commands);
  // All certificates of a file, or its list of revocations.
  Result<void> Take(std::span<const uint8_t> bytes, uint8_t roles, std::string_view by,
                    ByteWriter& out);

 private:
  enum class Wanted : uint8_t { kTrust, kCrl };
  template <uint8_t kRoles>
  void AddAdd(admin::CommandTable& commands, const char* path, const char* help);
  void Expect(Wanted wanted, uint8_t roles, std::string_view by, ByteWriter& out);
  Result<void> OnPasted(std::span<const uint8_t> bytes, ByteWriter& out) override;
  Result<void> SetRoles(std::string_view value, std::string_view by);
  bool NextTrust(uint64_t& cursor, ByteWriter& out) const;
  bool NextCrl(uint64_t& cursor, ByteWriter& out) const;

  keys::TrustStore& trust_;
  std::span<uint8_t> decode_room_;
  Paste paste_;
  Wanted wanted_ = Wanted::kTrust;
  uint8_t roles_ = keys::kAllRoles;
  FixedString<64> by_;
};

}  // namespace gh
