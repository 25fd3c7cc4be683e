#include "firmware/sip/calls.h"

namespace gh::sip {
namespace {

template <size_t N>
void SetCut(FixedText<N>& out, std::string_view text) {
  out.Set(text.substr(0, N));
}

// A session nobody refreshed is over; the parties should have said so by then (RFC 4028 10).
constexpr Duration kSessionGrace = Duration::Seconds(10);

}  // namespace

uint64_t CallTable::TagHash(std::string_view tag) const {
  return core_.Hash(kHashCall).Add(tag).Value();
}

uint64_t CallTable::KeyOf(std::string_view call_id, std::string_view tag,
                          std::string_view other_tag) const {
  return core_.Hash(kHashCall).Add(call_id).Add(TagHash(tag) + TagHash(other_tag)).Value();
}

Call* CallTable::Find(const Replaces& replaces, bool& to_caller) const {
  Call* call = table_.Find(KeyOf(replaces.call_id, replaces.from_tag, replaces.to_tag));
  to_caller = call != nullptr && call->caller_tag == TagHash(replaces.to_tag);
  return call;
}

Call* CallTable::FindOfCaller(const Message& message, const net::Endpoint& from) const {
  Call* call = Find(message);
  const bool is_callers = call != nullptr && call->caller_side.remote == from &&
                          call->caller_tag == TagHash(message.from_tag());
  return is_callers ? call : nullptr;
}

CallEvent CallTable::EventOf(const Call& call) const {
  CallEvent event;
  event.id = call.id;
  event.ladder = call.ladder;
  event.caller = call.caller.view();
  event.callee = call.callee.view();
  event.call_id = call.call_id.view();
  event.caller_address = call.caller_side.remote;
  event.callee_address = call.callee_side.remote;
  event.duration = core_.now() - call.started;
  event.setup = call.setup;
  event.kbps = call.hold.kbps;
  return event;
}

void CallTable::ArmTimer(Call& call) {
  core_.timers.Arm(call.silence, call.session_s != 0
                                     ? Duration::Seconds(call.session_s) + kSessionGrace
                                     : core_.config.call_max);
}

void CallTable::TakeRecord(Call& call, const CallStart& start) {
  if (start.request == nullptr) {
    return;
  }
  call.caller_cseq = start.request->cseq();
  call.record = records_.Allocate();
  GH_ASSERT(call.record != nullptr);  // as many as calls
  if (!call.record->Take(core_, *start.request, start.answer)) {
    records_.Release(call.record);
    call.record = nullptr;
  }
}

bool CallTable::Start(const CallStart& start) {
  const uint64_t key = KeyOf(start.answer);
  if (table_.Find(key) != nullptr) {
    return false;
  }
  ++core_.statistics.calls_started;
  Call* call = calls_.Allocate();
  if (call == nullptr) {
    ++core_.statistics.overload;
    return false;
  }
  call->table = this;
  call->load = start.load;
  if (call->load != nullptr) {
    ++*call->load;
  }
  call->id = next_id_++;
  call->caller_tag = TagHash(start.answer.from_tag());
  call->ladder = core_.LadderOf(start.answer.call_id());
  call->started = core_.now();
  call->setup = start.setup;
  call->session_s = start.session_s;
  call->caller_side = start.caller;
  call->callee_side = start.callee;
  call->hold = start.hold;
  call->is_slowed = start.is_slowed;
  call->is_by_flow = start.is_by_flow;
  SetCut(call->caller, start.answer.from().uri_text);
  SetCut(call->callee, start.answer.to().uri_text);
  SetCut(call->call_id, start.answer.call_id());
  TakeRecord(*call, start);
  call->silence.Set(
      [](Timer&, void* context) {
        auto* self = static_cast<Call*>(context);
        CallTable& table = *self->table;
        const CallEnd how = self->session_s != 0 ? CallEnd::kSessionExpired : CallEnd::kTimeout;
        if (table.expired_ != nullptr) {
          table.expired_(table.expired_context_, *self, how);
        } else {
          table.Finish(*self, how);
        }
      },
      call);
  ArmTimer(*call);
  table_.Insert(*call, key);
  core_.observer.OnCallStarted(EventOf(*call));
  return true;
}

Call* CallTable::Touch(const Message& request) {
  Call* call = Find(request);
  if (call == nullptr) {
    return nullptr;
  }
  if (call->session_s == 0) {
    ArmTimer(*call);  // a session timer is moved by its refreshes alone
  }
  const bool by_caller = call->caller_tag == TagHash(request.from_tag());
  call->lost_at[by_caller ? 0 : 1] = {};
  uint32_t& last = by_caller ? call->caller_cseq : call->callee_cseq;
  last = request.cseq() > last ? request.cseq() : last;
  const bool is_refresh =
      request.method() == Method::kInvite || request.method() == Method::kUpdate;
  if (is_refresh && call->record != nullptr) {
    call->record->SetContact(by_caller, request);
  }
  return call;
}

void CallTable::Refresh(const Message& answer, uint32_t session_s) {
  Call* call = Find(answer);
  if (call == nullptr) {
    return;
  }
  call->session_s = session_s;
  ArmTimer(*call);
  if (call->record != nullptr) {
    const bool by_caller = call->caller_tag == TagHash(answer.from_tag());
    call->record->SetContact(!by_caller, answer);
  }
}

void CallTable::End(const Message& message) {
  if (Call* call = Find(message)) {
    const bool by_caller = call->caller_tag == TagHash(message.from_tag());
    Finish(*call, by_caller ? CallEnd::kByCaller : CallEnd::kByCallee);
  }
}

void CallTable::Fail(const CallEvent& event, uint16_t status) {
  ++core_.statistics.calls_failed;
  history_.Add(event, status, core_.now());
  core_.observer.OnCallFailed(event, status);
}

void CallTable::Finish(Call& call, CallEnd how) {
  CallEvent event = EventOf(call);
  event.end = how;
  core_.timers.Cancel(call.silence);
  if (call.load != nullptr) {
    --*call.load;
  }
  if (bandwidth_ != nullptr) {
    bandwidth_->Release(call.hold);
  }
  table_.Remove(call);
  history_.Add(event, 0, core_.now());
  core_.observer.OnCallEnded(event);
  if (call.record != nullptr) {
    records_.Release(call.record);
  }
  calls_.Release(&call);
}

Call* CallTable::FindById(uint64_t id) {
  for (uint32_t i = 0; i < calls_.capacity(); ++i) {
    if (Call* call = calls_.At(i); call != nullptr && call->id == id) {
      return call;
    }
  }
  return nullptr;
}

Call* CallTable::FindByLadder(uint64_t ladder) {
  for (uint32_t i = 0; i < calls_.capacity(); ++i) {
    if (Call* call = calls_.At(i); call != nullptr && call->ladder == ladder) {
      return call;
    }
  }
  return nullptr;
}

bool CallTable::Next(uint32_t& cursor, CallInfo& out) {
  for (; cursor < calls_.capacity(); ++cursor) {
    if (const Call* call = calls_.At(cursor)) {
      out = {call->id,
             call->caller.view(),
             call->callee.view(),
             call->call_id.view(),
             call->caller_side.remote,
             call->callee_side.remote,
             core_.now() - call->started,
             call->setup,
             call->session_s,
             call->hold.kbps,
             call->ladder,
             call->record != nullptr};
      ++cursor;
      return true;
    }
  }
  return false;
}

}  // namespace gh::sip
