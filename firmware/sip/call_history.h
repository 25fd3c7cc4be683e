// The calls that are over, the latest ones: what a call detail record says, kept for the operator
// to look at. Records also leave as events when they come about; this ring is for the console.
#pragma once

#include <span>

#include "firmware/sip/observer.h"
#include "hal/rt/arena.h"

namespace gh::sip {

struct CallRecord {
  uint64_t number = 0;  // counts up; 0: none
  uint64_t id = 0;      // of the call list; 0: it was never answered
  uint64_t ladder = 0;  // keyed hash of the Call-ID
  Instant ended;
  Duration duration;
  Duration setup;  // from INVITE to answer
  net::Endpoint caller_address;
  net::Endpoint callee_address;
  uint32_t kbps = 0;
  uint16_t status = 0;  // of an attempt that failed; 0: it was answered
  CallEnd end = CallEnd::kByCaller;
  FixedText<kCallPartyBytesMax> caller;
  FixedText<kCallPartyBytesMax> callee;
  FixedText<kCallIdShownMax> call_id;
};

class CallHistory {
 public:
  CallHistory(Arena& arena, uint32_t capacity) : records_(arena.NewArray<CallRecord>(capacity)) {}

  // `status` of a failed attempt, else 0.
  void Add(const CallEvent& event, uint16_t status, Instant now) {
    CallRecord& record = records_[count_ % records_.size()];
    record = {};
    record.number = ++count_;
    record.id = event.id;
    record.ladder = event.ladder;
    record.ended = now;
    record.duration = event.duration;
    record.setup = event.setup;
    record.caller_address = event.caller_address;
    record.callee_address = event.callee_address;
    record.kbps = event.kbps;
    record.status = status;
    record.end = event.end;
    record.caller.Set(event.caller.substr(0, kCallPartyBytesMax));
    record.callee.Set(event.callee.substr(0, kCallPartyBytesMax));
    record.call_id.Set(event.call_id.substr(0, kCallIdShownMax));
  }
  uint64_t count() const { return count_; }
  // The latest is 0; null: not that many, or gone.
  const CallRecord* Latest(uint64_t age) const {
    const bool is_there = age < count_ && age < records_.size();
    return is_there ? &records_[(count_ - 1 - age) % records_.size()] : nullptr;
  }

 private:
  std::span<CallRecord> records_;
  uint64_t count_ = 0;
};

}  // namespace gh::sip
