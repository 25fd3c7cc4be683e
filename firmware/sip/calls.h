// The calls that go through us: started by a 2xx to INVITE, ended by the end of a BYE transaction,
// by the operator, by a session timer nobody refreshed, or by long silence. Identity, parties,
// times, what bandwidth they hold and, where it fits, what it takes to end them from here. Bounded:
// when it is full no further call is begun.
#pragma once

#include "firmware/dialplan/bandwidth.h"
#include "firmware/sip/call_history.h"
#include "firmware/sip/core.h"
#include "firmware/sip/dialog_store.h"
#include "firmware/sip/dialog_token.h"
#include "firmware/sip/message.h"
#include "firmware/sip/table.h"
#include "hal/rt/pool.h"

namespace gh::sip {

struct CallInfo {
  uint64_t id = 0;
  std::string_view caller, callee, call_id;
  net::Endpoint caller_address, callee_address;
  Duration duration;
  Duration setup;
  uint32_t session_s = 0;  // of its session timer; 0: it has none
  uint32_t kbps = 0;       // that it holds; 0: none is counted
  uint64_t ladder = 0;
  bool can_be_ended = false;
};

// Of one of a dialog's names, where its URI is.
struct UriPlace {
  uint16_t at = 0;
  uint16_t size = 0;

  std::string_view In(std::string_view name) const { return name.substr(at, size); }
};

struct Call {
  Timer silence;  // first: its callback is cast back
  TableNode<Call> node;
  uint32_t* load = nullptr;
  uint64_t id = 0;
  uint64_t caller_tag = 0;  // keyed hash
  uint64_t ladder = 0;
  Instant started;
  // Of the caller and the callee: since when the connection is lost (0: it is not) of a phone of
  // ours that is reached by that alone.
  std::array<Instant, 2> lost_at = {};
  std::array<bool, 2> is_by_flow = {};
  bool is_slowed = false;     // it got less than it wanted
  bool can_be_ended = false;  // else of its dialog there is no more than is shown
  KeptDialog dialog;
  UriPlace caller;
  UriPlace callee;
  uint32_t setup_ms = 0;
  uint32_t caller_cseq = 0;  // the last each side used
  uint32_t callee_cseq = 0;
  uint32_t session_s = 0;
  dialplan::BandwidthHold hold;
  DialogSide caller_side;
  DialogSide callee_side;
};

// What a 2xx to INVITE begins.
struct CallStart {
  const Message& answer;
  const Message* request = nullptr;  // as it came; null: it is not known any more
  DialogSide caller;                 // with the addresses messages come from and go to
  DialogSide callee;
  uint32_t* load = nullptr;  // counted up as long as it lasts; null: nothing is
  dialplan::BandwidthHold hold;
  bool is_slowed = false;
  std::array<bool, 2> is_by_flow = {};
  Duration setup;
  uint32_t session_s = 0;
};

class CallTable {
 public:
  CallTable(Core& core, Arena& arena)
      : core_(core),
        calls_(arena, core.capacity.calls),
        dialogs_(arena, core.capacity.calls),
        table_(arena, core.capacity.calls),
        history_(arena, HistorySize(core.capacity.calls)) {}

  void SetBandwidth(dialplan::Bandwidth& bandwidth) { bandwidth_ = &bandwidth; }
  // Who ends a call whose time is over, with messages to both sides.
  using Expired = void (*)(void* context, Call& call, CallEnd how);
  void SetExpired(Expired expired, void* context) {
    expired_ = expired;
    expired_context_ = context;
  }

  // A repeated answer changes nothing; false then, and when there is no room: the hold stays the
  // caller's.
  bool Start(const CallStart& start);
  // Any request inside the dialog: it lives. Null: no call of ours.
  Call* Touch(const Message& request);
  // A 2xx to a re-INVITE or UPDATE, with the session interval it agrees on (0: no timer).
  void Refresh(const Message& answer, uint32_t session_s);
  // The final response to BYE (or its failure, from the request): by whom it was sent is in From.
  void End(const Message& message);
  // An attempt that got a final failure.
  void Fail(const CallEvent& event, uint16_t status);
  void Finish(Call& call, CallEnd how);
  Call* FindById(uint64_t id);
  // False: it cannot be ended from here.
  bool ReadDialog(const Call& call, DialogRecord& out) const;
  // Those of one Call-ID, one after the other; null: no more.
  Call* FindByLadder(uint64_t ladder);
  Call* At(uint32_t index) { return calls_.At(index); }
  Call* Find(const Message& message) const { return table_.Find(KeyOf(message)); }
  // The call a Replaces means; `to_caller`: it is for the one who made it.
  Call* Find(const Replaces& replaces, bool& to_caller) const;
  // The call whose caller says this, from where he called; null: there is none.
  Call* FindOfCaller(const Message& message, const net::Endpoint& from) const;

  // Texts are good until the next.
  bool Next(uint32_t& cursor, CallInfo& out);
  const CallHistory& history() const { return history_; }
  const DialogStore& dialogs() const { return dialogs_; }
  uint32_t count() const { return calls_.used_count(); }
  uint32_t capacity() const { return calls_.capacity(); }
  bool is_full() const { return calls_.free_count() == 0; }
  uint32_t count_max() const { return calls_.capacity() - calls_.free_count_min(); }
  // With its buckets, at most two.
  static constexpr uint64_t bytes_per_call() {
    return Pool<Call>::bytes_per_item() + DialogStore::bytes_per_dialog() + 2 * sizeof(void*);
  }

 private:
  static uint32_t HistorySize(uint32_t calls) {
    return calls / 4 < kCallHistoryMin   ? kCallHistoryMin
           : calls / 4 > kCallHistoryMax ? kCallHistoryMax
                                         : calls / 4;
  }
  // The same for both directions of a dialog.
  uint64_t KeyOf(std::string_view call_id, std::string_view tag, std::string_view other_tag) const;
  uint64_t KeyOf(const Message& message) const {
    return KeyOf(message.call_id(), message.from_tag(), message.to_tag());
  }
  uint64_t TagHash(std::string_view tag) const;
  void ArmTimer(Call& call);
  void OnSilence(Call& call);
  void KeepDialog(Call& call, const CallStart& start);
  void KeepNames(Call& call, const Message& answer);
  void SetContact(Call& call, bool of_caller, const Message& message);
  // Texts are in `names`.
  CallEvent EventOf(const Call& call, DialogRecord& names) const;

  Core& core_;
  Pool<Call> calls_;
  DialogStore dialogs_;
  Table<Call, &Call::node> table_;
  CallHistory history_;
  DialogRecord shown_;
  dialplan::Bandwidth* bandwidth_ = nullptr;
  Expired expired_ = nullptr;
  void* expired_context_ = nullptr;
  uint64_t next_id_ = 1;
};

}  // namespace gh::sip
