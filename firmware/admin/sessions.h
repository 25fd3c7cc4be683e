// The pool of sessions: the serial console, which is always there, and those over the network.
//
// A way in (SSH) opens a session for whom the gate (accounts.h) let in: Open() with a terminal to
// read from and write to. The pool polls it; when it has ended and its output is taken, the
// observer is told. A way in whose connection broke calls Close() instead.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/admin/limits.h"
#include "firmware/admin/session.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"

namespace gh::admin {

class Sessions final : public Pollable {
 public:
  // `count`: sessions over the network; `console`: the serial console's output.
  Sessions(Arena& arena, const SessionParts& parts, OutputQueue& console, uint32_t count);
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  // Begins set-up or log-in on the serial console.
  void StartConsole(Instant now);
  Session& console() { return *console_; }

  // kExhausted: as many sessions as there may be, at all or of this account; `what` says which.
  Result<Session*> Open(const SessionRequest& request);
  // Its terminal is gone. No effect on a session that has ended.
  void Close(Session& session);

  bool Poll(Instant now) override;
  // Somebody waits for time to pass (a follow, a transfer): turn again soon.
  bool is_waiting() const;
  bool has_guest() const { return console_->has_guest(); }

  // Sessions over the network that are open, and all of them.
  uint32_t open_count() const;
  uint32_t open_count(std::string_view user) const;
  // Sessions over the network at a time, by setting and profile.
  uint32_t limit() const;
  uint32_t capacity() const { return static_cast<uint32_t>(slots_.size()); }
  uint64_t refused_count() const { return refused_; }
  // The i-th, 0 is the console; may not be open.
  const Session& at(uint32_t index) const {
    return index == 0 ? *console_ : *slots_[index - 1].session;
  }
  uint32_t size() const { return capacity() + 1; }
  // Ends the session of that number ("Session 3"). False: there is none.
  bool End(uint32_t index, const char* why);

 private:
  struct Slot {
    OutputQueue* output = nullptr;
    Session* session = nullptr;
  };
  void Add(Session& session);
  static bool IsTaken(void* context, const TerminalGuest* guest);

  SessionParts parts_;
  Session* console_ = nullptr;
  Terminal* console_terminal_ = nullptr;
  std::span<Slot> slots_;
  uint64_t refused_ = 0;
  Instant now_;
};

}  // namespace gh::admin
