// The fast path of registrations (R-FPR-01): by which zone and peer a phone's registration went, so
// that those that follow it take the same way without a search.
//
// A fixed direct-mapped table over the flow and the name in From: what collides is forgotten, and
// searched for again. A way is good as long as the dial plan is the one it was found by.
#pragma once

#include <span>

#include "firmware/sip/core.h"

namespace gh::sip {

struct RegistrationWay {
  uint64_t key = 0;
  uint32_t plan = 0;  // generation of the dial plan
  uint16_t zone = 0;
  uint8_t peer = 0;  // that took the last one
};

class RegistrationWays {
 public:
  explicit RegistrationWays(Arena& arena)
      : ways_(arena.NewArray<RegistrationWay>(kRegistrationWayMax)) {}

  static uint64_t KeyOf(const Core& core, const Flow& flow, std::string_view from,
                        std::string_view registrar) {
    return core.Hash(kHashWay)
               .Add(std::span<const uint8_t>(flow.remote.address.bytes))
               .Add(uint64_t{flow.remote.port} << 8 | static_cast<uint64_t>(flow.transport))
               .Add(from)
               .Add(registrar)
               .Value() |
           1;
  }
  // Null: none is known.
  const RegistrationWay* Find(uint64_t key, uint32_t plan) const {
    const RegistrationWay& way = ways_[key / 2 % kRegistrationWayMax];
    return way.key == key && way.plan == plan ? &way : nullptr;
  }
  void Learn(const RegistrationWay& way) { ways_[way.key / 2 % kRegistrationWayMax] = way; }

 private:
  std::span<RegistrationWay> ways_;
};

}  // namespace gh::sip
