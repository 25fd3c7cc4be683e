// The pool of sessions. See sessions.h.
#include "firmware/admin/sessions.h"

#include <algorithm>

namespace gh::admin {

Sessions::Sessions(Arena& arena, const SessionParts& parts, OutputQueue& console, uint32_t count)
    : parts_(parts), console_terminal_(console.terminal()), slots_(arena.NewArray<Slot>(count)) {
  GH_ASSERT_LE(count, kSessionMax);
  console_ = arena.New<Session>(parts, console);
  Add(*console_);
  for (Slot& slot : slots_) {
    slot.output = arena.New<OutputQueue>(arena);
    slot.session = arena.New<Session>(parts, *slot.output);
    Add(*slot.session);
  }
  poll_name = "console";
}

void Sessions::Add(Session& session) {
  session.guest_is_taken = IsTaken;
  session.guest_context = this;
}

bool Sessions::IsTaken(void* context, const TerminalGuest* guest) {
  const auto& sessions = *static_cast<Sessions*>(context);
  for (uint32_t i = 0; i < sessions.size(); ++i) {
    if (sessions.at(i).guest() == guest) {
      return true;
    }
  }
  return false;
}

void Sessions::StartConsole(Instant now) {
  console_->Open({.kind = SessionKind::kSerial, .terminal = console_terminal_}, now);
}

uint32_t Sessions::open_count() const {
  return static_cast<uint32_t>(std::count_if(
      slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.session->is_open(); }));
}

uint32_t Sessions::open_count(std::string_view user) const {
  return static_cast<uint32_t>(std::count_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.session->is_open() && slot.session->identity().user.view() == user;
  }));
}

uint32_t Sessions::limit() const {
  const auto wanted =
      static_cast<uint32_t>(parts_.configuration.active().administration_session().limit);
  return wanted == 0 ? capacity() : std::min(wanted, capacity());
}

Result<Session*> Sessions::Open(const SessionRequest& request) {
  GH_ASSERT(request.kind != SessionKind::kSerial && request.identity.is_known());
  const auto account_limit =
      static_cast<uint32_t>(parts_.configuration.active().administration_session().account_limit);
  const char* why = open_count() >= limit() ? "as many sessions as may be are open"
                    : account_limit > 0 && open_count(request.identity.user.view()) >= account_limit
                        ? "as many sessions as an account may have are open"
                        : nullptr;
  if (why != nullptr) {
    ++refused_;
    parts_.log.Emit(log::event::SessionRefused{
        .user = request.identity.user.view(), .from = request.origin.text().view(), .reason = why});
    return Error{ErrorCode::kExhausted, why};
  }
  for (Slot& slot : slots_) {
    if (!slot.session->is_open()) {
      slot.session->Open(request, now_);
      return slot.session;
    }
  }
  GH_UNREACHABLE();
}

void Sessions::Close(Session& session) {
  GH_ASSERT(&session != console_);
  if (session.is_open()) {
    parts_.log.Emit(log::event::LoggedOut{.user = session.identity().user.view(),
                                          .from = session.origin().text().view(),
                                          .reason = "the connection ended"});
    session.Close();
  }
}

bool Sessions::Poll(Instant now) {
  now_ = now;
  bool more = console_->Poll(now);
  for (Slot& slot : slots_) {
    more = slot.session->Poll(now) || more;
  }
  return more;
}

bool Sessions::is_waiting() const {
  return console_->is_waiting() || std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
           return slot.session->is_waiting();
         });
}

bool Sessions::End(uint32_t index, const char* why) {
  if (index >= size() || !at(index).is_open() || !at(index).identity().is_known()) {
    return false;
  }
  (index == 0 ? *console_ : *slots_[index - 1].session).End(why);
  return true;
}

}  // namespace gh::admin
