#include "firmware/sip/calls.h"

namespace gh::sip {
namespace {

template <size_t N>
void SetCut(FixedText<N>& out, std::string_view text) {
  out.Set(text.substr(0, N));
}

}  // namespace

uint64_t CallTable::TagHash(std::string_view tag) const {
  return core_.Hash(kHashCall).Add(tag).Value();
}

uint64_t CallTable::KeyOf(const Message& message) const {
  return core_.Hash(kHashCall)
      .Add(message.call_id())
      .Add(TagHash(message.from_tag()) + TagHash(message.to_tag()))
      .Value();
}

CallEvent CallTable::EventOf(const Call& call) const {
  CallEvent event;
  event.id = call.id;
  event.caller = call.caller.view();
  event.callee = call.callee.view();
  event.call_id = call.call_id.view();
  event.caller_address = call.caller_address;
  event.callee_address = call.callee_address;
  event.duration = core_.now() - call.started;
  return event;
}

void CallTable::Start(const Message& answer, const net::Endpoint& caller,
                      const net::Endpoint& callee) {
  const uint64_t key = KeyOf(answer);
  if (table_.Find(key) != nullptr) {
    return;
  }
  ++core_.statistics.calls_started;
  Call* call = calls_.Allocate();
  if (call == nullptr) {
    ++core_.statistics.overload;
    return;
  }
  call->table = this;
  call->id = next_id_++;
  call->caller_tag = TagHash(answer.from_tag());
  call->started = core_.now();
  call->caller_address = caller;
  call->callee_address = callee;
  SetCut(call->caller, answer.from().uri_text);
  SetCut(call->callee, answer.to().uri_text);
  SetCut(call->call_id, answer.call_id());
  call->silence.Set(
      [](Timer&, void* context) {
        auto* self = static_cast<Call*>(context);
        self->table->Finish(*self, CallEnd::kTimeout);
      },
      call);
  core_.timers.Arm(call->silence, core_.config.call_max);
  table_.Insert(*call, key);
  core_.observer.OnCallStarted(EventOf(*call));
}

void CallTable::Touch(const Message& request) {
  if (Call* call = table_.Find(KeyOf(request))) {
    core_.timers.Arm(call->silence, core_.config.call_max);
  }
}

void CallTable::End(const Message& message) {
  if (Call* call = table_.Find(KeyOf(message))) {
    const bool by_caller = call->caller_tag == TagHash(message.from_tag());
    Finish(*call, by_caller ? CallEnd::kByCaller : CallEnd::kByCallee);
  }
}

void CallTable::Finish(Call& call, CallEnd how) {
  CallEvent event = EventOf(call);
  event.end = how;
  core_.timers.Cancel(call.silence);
  table_.Remove(call);
  core_.observer.OnCallEnded(event);
  calls_.Release(&call);
}

bool CallTable::Next(uint32_t& cursor, CallInfo& out) {
  for (; cursor < calls_.capacity(); ++cursor) {
    if (const Call* call = calls_.At(cursor)) {
      out = {call->id,
             call->caller.view(),
             call->callee.view(),
             call->call_id.view(),
             call->caller_address,
             call->callee_address,
             core_.now() - call->started};
      ++cursor;
      return true;
    }
  }
  return false;
}

}  // namespace gh::sip
