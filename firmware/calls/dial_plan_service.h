// The dial plan in the appliance: settings into the plan and the zones of the SIP engine; listeners
// of traversal servers; status, commands and events.
//
// A rule that cannot be used (a pattern or a name that is wrong) is told by an event and left out;
// the others are in force. Patterns are checked when they are typed, too.
#pragma once

#include <optional>
#include <span>

#include "firmware/admin/commands.h"
#include "firmware/admin/status.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "firmware/log/time_zone.h"
#include "firmware/sip/engine.h"
#include "hal/clock.h"
#include "net/stack.h"

namespace gh {

struct DialPlanParts {
  sip::Engine& engine;
  net::Stack& stack;
  hal::Clock& clock;
  log::Log& log;
  const config::Configuration& configuration;
};

class DialPlanService {
 public:
  explicit DialPlanService(const DialPlanParts& parts) : parts_(parts) {}

  // The ports of traversal servers, at each address; before the engine takes `out`.
  void AddListeners(std::span<const net::IpAddress> addresses, sip::Config& out) const;
  // Settings have changed; after the engine took its configuration.
  void Apply();
  // Lets traversal clients in on these LAN ports.
  void OpenFirewall(uint8_t port_mask) const;
  void Watch();  // each second: what the time is
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

 private:
  void ApplyZones();
  void ApplySubzones();
  void ApplyRules();
  void ApplyPolicy();
  void ApplyBandwidth();  // dial_plan_bandwidth.cc, with all of its status
  std::optional<uint16_t> NodeOf(std::string_view name) const;
  void Take(const char* setting, uint32_t number, const Result<void>& taken) const;
  bool NextZone(uint64_t& cursor, ByteWriter& out);
  bool NextSearch(uint64_t& cursor, ByteWriter& out);
  bool NextLink(uint64_t& cursor, ByteWriter& out);
  bool NextPipe(uint64_t& cursor, ByteWriter& out);
  bool NextNode(uint64_t& cursor, ByteWriter& out);
  static Result<void> LocateCommand(void* context, std::string_view by, std::string_view value,
                                    ByteWriter& out);

  DialPlanParts parts_;
  log::TimeZone time_zone_;
};

// What is typed: every pattern compiles, there is one UC traversal zone and its media is encrypted,
// no two traversal servers share a port. `expected` says what is wrong first. `patterns` is where
// they are tried.
Result<void> CheckDialPlan(const config::Settings& settings, dialplan::PatternStore& patterns,
                           config::Message& expected);

}  // namespace gh
