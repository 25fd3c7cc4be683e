#include "firmware/calls/call_service.h"

#include <charconv>

#include "firmware/admin/status_text.h"

namespace gh {
namespace {

using namespace gh::log::event;

std::optional<uint64_t> NumberOf(std::string_view text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  return read.ec == std::errc() && read.ptr == end ? std::optional(number) : std::nullopt;
}

uint64_t MillisecondsOf(Duration duration) {
  return static_cast<uint64_t>(duration.milliseconds());
}

}  // namespace

// The latest first. The cursor is the number of the record shown last.
bool CallService::NextRecord(uint64_t& cursor, ByteWriter& out) {
  const sip::CallHistory& history = engine_.call_history();
  const uint64_t next = cursor == 0 ? history.count() : cursor - 1;
  const sip::CallRecord* record = next == 0 ? nullptr : history.Latest(history.count() - next);
  if (record == nullptr) {
    return false;
  }
  cursor = next;
  out.Text("CallHistory ");
  out.Decimal(record->number);
  out.Text(": ");
  out.Text(record->caller.view());
  out.Text(" -> ");
  out.Text(record->callee.view());
  if (record->status != 0) {
    Tell(out, "status", record->status);
  } else {
    Tell(out, "call", record->id);
    Tell(out, "duration_ms", MillisecondsOf(record->duration));
    Tell(out, "reason", sip::CallEndName(record->end));
    Tell(out, "callee", net::ToText(record->callee_address).view());
  }
  Tell(out, "setup_ms", MillisecondsOf(record->setup));
  Tell(out, "caller", net::ToText(record->caller_address).view());
  if (record->kbps != 0) {
    Tell(out, "kbps", record->kbps);
  }
  Tell(out, "ended_s_ago", static_cast<uint64_t>((clock_.Now() - record->ended).seconds()));
  Tell(out, "call_id", record->call_id.view());
  return true;
}

// --- Ladder --------------------------------------------------------------------------------------

bool CallService::LadderOfCall(uint64_t id, uint64_t& ladder) {
  if (engine_.LadderOfCall(id, ladder)) {
    return true;
  }
  const sip::CallHistory& history = engine_.call_history();
  for (uint64_t age = 0; const sip::CallRecord* record = history.Latest(age); ++age) {
    if (record->id == id && id != 0) {
      ladder = record->ladder;
      return true;
    }
  }
  return false;
}

Result<void> CallService::ShowLadder(std::string_view value) {
  const auto number = NumberOf(value);
  if (!number || !LadderOfCall(*number, ladder_)) {
    ladder_ = engine_.LadderOf(value);
  }
  uint64_t cursor = 0;
  sip::LadderEntry first;
  if (!engine_.ladder().Next(ladder_, cursor, first)) {
    return Error(ErrorCode::kNotFound, "no messages of such a call are kept");
  }
  ladder_start_ = first.at;
  return Ok();
}

bool CallService::NextMessage(uint64_t& cursor, ByteWriter& out) {
  sip::LadderEntry entry;
  if (!engine_.ladder().Next(ladder_, cursor, entry)) {
    return false;
  }
  const uint64_t after = MillisecondsOf(entry.at - ladder_start_);
  out.Decimal(after / 1000);
  out.Char('.');
  out.Decimal(after / 100 % 10);
  out.Decimal(after / 10 % 10);
  out.Decimal(after % 10);
  out.Text(entry.is_outgoing ? " s to   " : " s from ");
  out.Text(net::ToText(entry.peer).view());
  out.Char(' ');
  out.Text(sip::TransportName(entry.transport));
  out.Char(' ');
  if (entry.status != 0) {
    out.Decimal(entry.status);
    out.Text(" of ");
  }
  out.Decimal(entry.cseq);
  out.Char(' ');
  out.Text(sip::MethodName(entry.method));
  return true;
}

// --- Ending one ----------------------------------------------------------------------------------

Result<void> CallService::Disconnect(std::string_view value, std::string_view by, ByteWriter& out) {
  const auto number = NumberOf(value);
  if (!number) {
    return Error(ErrorCode::kInvalidArgument, "expected the number of a call (xStatus SIP Call)");
  }
  GH_TRY(engine_.Disconnect(*number));
  log_.Emit(SipCallDisconnected{.call = *number, .by = by});
  out.Text("Call ended.");
  return Ok();
}

void CallService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&CallService::NextRecord>("CallHistory", "The latest calls that are over", this,
                                             true);
  admin::Command disconnect = {"Call Disconnect", "Ends a call: BYE to both sides"};
  disconnect.value_help = "number of a call, see xStatus SIP Call";
  disconnect.context = this;
  disconnect.run_value = [](void* self, std::string_view by, std::string_view value,
                            ByteWriter& out) {
    return static_cast<CallService*>(self)->Disconnect(value, by, out);
  };
  commands.Add(disconnect);
  admin::Command ladder = {"Call Ladder", "Shows the messages of a call, to and from whom"};
  ladder.value_help = "number of a call (xStatus SIP Call, CallHistory), or a Call-ID";
  ladder.context = this;
  ladder.only_looks = true;
  ladder.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter&) {
    return static_cast<CallService*>(self)->ShowLadder(value);
  };
  ladder.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<CallService*>(self)->NextMessage(cursor, out);
  };
  commands.Add(ladder);
}

}  // namespace gh
