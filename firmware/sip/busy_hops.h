// Next hops found by DNS that ask to be spared (RFC 7339): their word, as long as it is valid.
//
// A fixed direct-mapped table over the address: of two that collide the later one's word is kept,
// and the other says his again with the next answer.
#pragma once

#include <span>

#include "firmware/sip/core.h"
#include "firmware/sip/throttle.h"

namespace gh::sip {

class BusyHops {
 public:
  BusyHops(Core& core, Arena& arena) : core_(core), slots_(arena.NewArray<Slot>(kBusyHopMax)) {}

  // Whether one more new request may go there.
  bool Admits(const net::Endpoint& remote) {
    Slot& slot = SlotOf(remote);
    return slot.remote != remote || slot.throttle.Admits(core_.now());
  }
  // Its word came with a response.
  void OnReport(const net::Endpoint& remote, std::string_view via_params) {
    const auto word = ParseOverloadWord(via_params);
    if (!word) {
      return;
    }
    Slot& slot = SlotOf(remote);
    if (slot.remote != remote) {
      if (word->loss_percent == 0) {
        return;
      }
      slot = {remote, {}};
    }
    if (slot.throttle.Take(*word, core_.now())) {
      const uint32_t percent = slot.throttle.percent(core_.now());
      core_.observer.OnThrottle({.zone = {}, .peer = {}, .remote = remote, .percent = percent});
    }
  }

 private:
  struct Slot {
    net::Endpoint remote;
    Throttle throttle;
  };
  Slot& SlotOf(const net::Endpoint& remote) {
    const uint64_t hash = core_.Hash(kHashHop)
                              .Add(std::span<const uint8_t>(remote.address.bytes))
                              .Add(uint64_t{remote.port})
                              .Value();
    return slots_[hash % kBusyHopMax];
  }

  Core& core_;
  std::span<Slot> slots_;
};

}  // namespace gh::sip
