// The appliance: the one place that puts the rooms together, on whatever machine the board gives.
//
// Everything it will ever hold is carved from machine.arena inside the constructor and Start();
// after Start() the arena is sealed. It owns no thread and no global: a board (or a simulation with
// several of them) calls RunOnce() and waits, through machine.idle, until the instant it returns.
//
//   auto* appliance = machine.arena.New<gh::Appliance>(machine);
//   if (auto started = appliance->Start(); !started) { ...print started.error().what, stop... }
//   for (;;) { machine.idle.WaitUntil(appliance->RunOnce()); }
#pragma once

#include <string_view>

#include "hal/machine.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::crypto::pkcs11 {
class Provider;
}

namespace gh {

struct ApplianceOptions {
  // Capacity profile: "small", "medium", "large"; empty: the configured one, else by arena size.
  std::string_view profile;
  // A PKCS #11 module that the board has loaded; null: none.
  crypto::pkcs11::Provider* token_module = nullptr;
};

class Appliance {
 public:
  explicit Appliance(hal::Machine& machine, const ApplianceOptions& options = {});
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;
  ~Appliance();  // only simulation and tests end an appliance

  // Builds every room, takes provisioning, seals the arena, prints the boot report. An error has
  // been said on the console already; its `what` repeats it for the board.
  Result<void> Start();

  // One turn of the control plane, never blocking. Returns when to call again, at the latest.
  Instant RunOnce();

  // Says so in the log and gives syslog a last chance; for a board about to end (SIGTERM).
  void PrepareToStop(const char* why);

  struct Rooms;                       // firmware/rooms.h
  Rooms& rooms() { return *rooms_; }  // for tests that stand in for a client

 private:
  hal::Machine& machine_;
  ApplianceOptions options_;
  Rooms* rooms_ = nullptr;  // in the arena
};

}  // namespace gh
