#include "firmware/sip/calls.h"

namespace gh::sip {
namespace {

UriPlace PlaceOfUri(const NameAddr& name) {
  const auto at = static_cast<size_t>(name.uri_text.data() - name.text.data());
  GH_ASSERT(at + name.uri_text.size() <= name.text.size());
  return {static_cast<uint16_t>(at), static_cast<uint16_t>(name.uri_text.size())};
}

std::string_view ShownOf(std::string_view name, UriPlace uri) {
  return uri.In(name).substr(0, kCallPartyBytesMax);
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

CallEvent CallTable::EventOf(const Call& call, DialogRecord& names) const {
  dialogs_.Read(call.dialog, names, DialogRecord::kCallee);
  CallEvent event;
  event.id = call.id;
  event.ladder = call.ladder;
  event.caller = ShownOf(names.Get(DialogRecord::kCaller), call.caller);
  event.callee = ShownOf(names.Get(DialogRecord::kCallee), call.callee);
  event.call_id = names.Get(DialogRecord::kCallId).substr(0, kCallIdShownMax);
  event.caller_address = call.caller_side.remote;
  event.callee_address = call.callee_side.remote;
  event.duration = core_.now() - call.started;
  event.setup = Duration::Milliseconds(call.setup_ms);
  event.kbps = call.hold.kbps;
  return event;
}

void CallTable::ArmTimer(Call& call) {
  core_.timers.Arm(call.silence, call.session_s != 0
                                     ? Duration::Seconds(call.session_s) + kSessionGrace
                                     : core_.config.call_max);
}

void CallTable::KeepDialog(Call& call, const CallStart& start) {
  DialogRecord record;
  if (start.request != nullptr) {
    call.caller_cseq = start.request->cseq();
    call.can_be_ended =
        record.Take(core_, *start.request, start.answer) && dialogs_.Keep(call.dialog, record);
  }
  if (!call.can_be_ended) {
    KeepNames(call, start.answer);
    return;
  }
  call.caller = PlaceOfUri(start.answer.from());
  call.callee = PlaceOfUri(start.answer.to());
}

// What the list and the records say of it, in the chunks that each call is sure of.
void CallTable::KeepNames(Call& call, const Message& answer) {
  ++core_.statistics.calls_unkept;
  const std::string_view caller = answer.from().uri_text.substr(0, kCallPartyBytesMax);
  const std::string_view callee = answer.to().uri_text.substr(0, kCallPartyBytesMax);
  DialogRecord names;
  const bool is_kept =
      names.Set(DialogRecord::kCallId, answer.call_id().substr(0, kCallIdShownMax)) &&
      names.Set(DialogRecord::kCaller, caller) && names.Set(DialogRecord::kCallee, callee) &&
      dialogs_.Keep(call.dialog, names);
  GH_ASSERT(is_kept);
  call.caller = {0, static_cast<uint16_t>(caller.size())};
  call.callee = {0, static_cast<uint16_t>(callee.size())};
}

bool CallTable::ReadDialog(const Call& call, DialogRecord& out) const {
  if (call.can_be_ended) {
    dialogs_.Read(call.dialog, out);
  }
  return call.can_be_ended;
}

// Where there is no room for a longer one, the old one may still do.
void CallTable::SetContact(Call& call, bool of_caller, const Message& message) {
  DialogRecord record;
  if (ReadDialog(call, record) && record.SetContact(of_caller, message)) {
    (void)dialogs_.Keep(call.dialog, record);
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
  call->load = start.load;
  if (call->load != nullptr) {
    ++*call->load;
  }
  call->id = next_id_++;
  call->caller_tag = TagHash(start.answer.from_tag());
  call->ladder = core_.LadderOf(start.answer.call_id());
  call->started = core_.now();
  call->setup_ms = static_cast<uint32_t>(start.setup.milliseconds());
  call->session_s = start.session_s;
  call->caller_side = start.caller;
  call->callee_side = start.callee;
  call->hold = start.hold;
  call->is_slowed = start.is_slowed;
  call->is_by_flow = start.is_by_flow;
  KeepDialog(*call, start);
  call->silence.Set(
      [](Timer& timer, void* context) {
        static_cast<CallTable*>(context)->OnSilence(*reinterpret_cast<Call*>(&timer));
      },
      this);
  ArmTimer(*call);
  table_.Insert(*call, key);
  DialogRecord names;
  core_.observer.OnCallStarted(EventOf(*call, names));
  return true;
}

void CallTable::OnSilence(Call& call) {
  const CallEnd how = call.session_s != 0 ? CallEnd::kSessionExpired : CallEnd::kTimeout;
  if (expired_ != nullptr) {
    expired_(expired_context_, call, how);
  } else {
    Finish(call, how);
  }
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
  if (is_refresh) {
    SetContact(*call, by_caller, request);
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
  const bool by_caller = call->caller_tag == TagHash(answer.from_tag());
  SetContact(*call, !by_caller, answer);
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
  DialogRecord names;
  CallEvent event = EventOf(call, names);
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
  dialogs_.Release(call.dialog);
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
      const CallEvent event = EventOf(*call, shown_);
      out = {event.id,       event.caller,         event.callee,
             event.call_id,  event.caller_address, event.callee_address,
             event.duration, event.setup,          call->session_s,
             event.kbps,     event.ladder,         call->can_be_ended};
      ++cursor;
      return true;
    }
  }
  return false;
}

}  // namespace gh::sip
