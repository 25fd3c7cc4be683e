// The calls that go through us: started by a 2xx to INVITE, ended by the end of a BYE transaction
// or by long silence. Light: identity, parties and times; no SDP, no route sets. Bounded; when
// full, the call goes on and is only not listed (counted).
#pragma once

#include "firmware/sip/core.h"
#include "firmware/sip/message.h"
#include "firmware/sip/table.h"
#include "hal/rt/pool.h"

namespace gh::sip {

struct CallInfo {
  uint64_t id = 0;
  std::string_view caller, callee, call_id;
  net::Endpoint caller_address, callee_address;
  Duration duration;
};

class CallTable {
 public:
  CallTable(Core& core, Arena& arena)
      : core_(core), calls_(arena, core.capacity.calls), table_(arena, core.capacity.calls) {}

  // `answer` is the 2xx. A repeated one changes nothing.
  void Start(const Message& answer, const net::Endpoint& caller, const net::Endpoint& callee);
  // Any request inside the dialog: it lives.
  void Touch(const Message& request);
  // The final response to BYE (or its failure, from the request): by whom it was sent is in From.
  void End(const Message& message);
  // Operator or expiry: forgets it. False when there is no such call.
  bool Next(uint32_t& cursor, CallInfo& out);
  uint32_t count() const { return calls_.used_count(); }
  uint32_t capacity() const { return calls_.capacity(); }
  uint32_t count_max() const { return calls_.capacity() - calls_.free_count_min(); }

 private:
  struct Call {
    TableNode<Call> node;
    CallTable* table = nullptr;
    Timer silence;
    uint64_t id = 0;
    uint64_t caller_tag = 0;  // keyed hash
    Instant started;
    net::Endpoint caller_address;
    net::Endpoint callee_address;
    FixedText<kCallPartyBytesMax> caller;
    FixedText<kCallPartyBytesMax> callee;
    FixedText<64> call_id;
  };
  // The same for both directions of a dialog.
  uint64_t KeyOf(const Message& message) const;
  uint64_t TagHash(std::string_view tag) const;
  void Finish(Call& call, CallEnd how);
  CallEvent EventOf(const Call& call) const;

  Core& core_;
  Pool<Call> calls_;
  Table<Call, &Call::node> table_;
  uint64_t next_id_ = 1;
};

}  // namespace gh::sip
