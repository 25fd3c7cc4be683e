// The messages of calls, for diagnosis: a ring of the latest ones, each with its time, its peer and
// what it was. A call's ladder is read out of it by the hash of its Call-ID. Requests and responses
// inside and about calls are noted, repetitions of ours are not; when the ring is full the oldest
// go. No bodies, no names: what a ladder shows is no more than who spoke when.
#pragma once

#include <span>

#include "firmware/sip/config.h"
#include "firmware/sip/flow.h"
#include "firmware/sip/message.h"
#include "hal/rt/arena.h"
#include "hal/rt/time.h"

namespace gh::sip {

struct LadderEntry {
  uint64_t call = 0;  // keyed hash of the Call-ID
  Instant at;
  net::Endpoint peer;
  uint32_t cseq = 0;
  uint16_t status = 0;  // 0: a request
  Method method = Method::kOther;
  TransportKind transport = TransportKind::kUdp;
  bool is_outgoing = false;
};

class CallLadder {
 public:
  CallLadder(Arena& arena, uint32_t capacity) : entries_(arena.NewArray<LadderEntry>(capacity)) {}

  // Methods of which calls are made.
  static constexpr bool IsOfCalls(Method method) {
    switch (method) {
      case Method::kInvite:
      case Method::kAck:
      case Method::kBye:
      case Method::kCancel:
      case Method::kPrack:
      case Method::kUpdate:
      case Method::kInfo:
      case Method::kRefer:
      case Method::kNotify:
        return true;
      default:
        return false;
    }
  }
  void Note(const LadderEntry& entry) {
    if (IsOfCalls(entry.method)) {
      entries_[count_++ % entries_.size()] = entry;
    }
  }
  // The entries of a call in their order: start with cursor 0 and call until false.
  bool Next(uint64_t call, uint64_t& cursor, LadderEntry& out) const {
    const uint64_t oldest = count_ > entries_.size() ? count_ - entries_.size() : 0;
    for (cursor = cursor < oldest ? oldest : cursor; cursor < count_; ++cursor) {
      if (entries_[cursor % entries_.size()].call == call) {
        out = entries_[cursor++ % entries_.size()];
        return true;
      }
    }
    return false;
  }
  uint64_t count() const { return count_; }
  uint32_t capacity() const { return static_cast<uint32_t>(entries_.size()); }

 private:
  std::span<LadderEntry> entries_;
  uint64_t count_ = 0;
};

}  // namespace gh::sip
