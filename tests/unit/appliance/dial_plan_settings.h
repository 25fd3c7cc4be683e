// Settings of zones and rules, and the SIP engine that goes by them.
#pragma once

#include "firmware/calls/dial_plan_service.h"
#include "tests/unit/config/config_fixture.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/sip/world.h"

namespace gh {

class DialPlanSettings : public config::ConfigTest {
 protected:
  DialPlanSettings() {
    MakeUsable();
    patterns_ = arena_.New<dialplan::PatternStore>(arena_);
    log_ = arena_.New<log::Log>(arena_, clock_, 64);
  }
  // As an operator types it after `xConfiguration Zones `; "" when it is in force.
  std::string Zone(const std::string& line) { return Set("xConfiguration Zones " + line); }
  std::string Check() {
    config::Message expected;
    return CheckDialPlan(config_->active(), *patterns_, expected).ok()
               ? ""
               : std::string(expected.view());
  }
  // Settings into the engine, with the listeners of traversal servers.
  sip::Engine& Apply() {
    DialPlanService service({world_.engine(), lab_.nodes[0]->stack, wall_, *log_, *config_});
    listeners_ = sip::test::World::DefaultConfig();
    const net::IpAddress ours[] = {net::IpAddress::V4(192, 0, 2, 1)};
    service.AddListeners(ours, listeners_);
    world_.engine().Apply(listeners_);
    service.Apply();
    return world_.engine();
  }
  const sip::ZoneConfig& First() { return Apply().zones().config(dialplan::kFirstZone); }

  // Seconds since 1970, as the test says.
  class WallClock final : public hal::Clock {
   public:
    Instant Now() override { return {}; }
    WallTime Wall() override { return {.unix_ns = seconds * 1'000'000'000, .is_set = true}; }
    void SetWall(int64_t) override {}
    int64_t seconds = 1'795'248'605;
  };
  WallClock wall_;
  net::test::Lab lab_;
  net::test::Node& node_ = lab_.Add(1);
  sip::test::World world_;
  dialplan::PatternStore* patterns_ = nullptr;
  log::Log* log_ = nullptr;
  sip::Config listeners_;
};

}  // namespace gh
