// What is set for zones and rules becomes what the SIP engine goes by; what cannot be is refused
// when it is typed.
#include "firmware/calls/dial_plan_service.h"

#include <gmock/gmock.h>

#include "tests/unit/config/config_fixture.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/sip/world.h"

namespace gh {
namespace {

using ::testing::HasSubstr;

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
    DialPlanService service({world_.engine(), lab_.nodes[0]->stack, clock_, *log_, *config_});
    listeners_ = sip::test::World::DefaultConfig();
    const net::IpAddress ours[] = {net::IpAddress::V4(192, 0, 2, 1)};
    service.AddListeners(ours, listeners_);
    world_.engine().Apply(listeners_);
    service.Apply();
    return world_.engine();
  }
  const sip::ZoneConfig& First() { return Apply().zones().config(dialplan::kFirstZone); }

  net::test::Lab lab_;
  net::test::Node& node_ = lab_.Add(1);
  sip::test::World world_;
  dialplan::PatternStore* patterns_ = nullptr;
  log::Log* log_ = nullptr;
  sip::Config listeners_;
};

TEST_F(DialPlanSettings, AUcTraversalZoneIsEncryptedVerifiedAndAtItsPort) {
  EXPECT_EQ(Zone("Zone 1 Name: Pair"), "");
  EXPECT_EQ(Zone("Zone 1 Type: UCTraversal"), "");
  EXPECT_EQ(Zone("Zone 1 SIP TLS Verify Mode: Off"), "");
  const sip::ZoneConfig server = First();
  EXPECT_EQ(server.plan.type, dialplan::ZoneType::kUcTraversalServer);  // nobody to go to
  EXPECT_EQ(server.port, 7001);
  EXPECT_EQ(server.transport, sip::TransportKind::kTls);
  EXPECT_TRUE(server.verifies);
  EXPECT_EQ(server.plan.encryption, dialplan::Encryption::kForceEncrypted);
  EXPECT_EQ(server.plan.profile.update, dialplan::UpdateMode::kRefreshOnly);
  const auto& last = listeners_.listeners[listeners_.listener_count - 1];
  EXPECT_EQ(last.bind.port, 7001);
  EXPECT_EQ(last.transport, sip::TransportKind::kTls);
  EXPECT_EQ(last.zone, dialplan::kFirstZone);

  EXPECT_EQ(Zone("Zone 1 Peer1 Address: edge.example.com"), "");
  const uint32_t before = listeners_.listener_count;
  const sip::ZoneConfig client = First();
  EXPECT_EQ(client.plan.type, dialplan::ZoneType::kUcTraversalClient);
  EXPECT_EQ(client.peers[0].view(), "edge.example.com");
  EXPECT_EQ(listeners_.listener_count, before - 1);  // it opens everything outwards
  EXPECT_EQ(client.plan.encryption, dialplan::Encryption::kForceEncrypted);
  EXPECT_TRUE(client.verifies);
}

TEST_F(DialPlanSettings, ThereIsOneUcTraversalZone) {
  EXPECT_EQ(Zone("Zone 1 Type: UCTraversal"), "");
  EXPECT_EQ(Check(), "");
  EXPECT_EQ(Zone("Zone 3 Type: UCTraversal"), "");
  EXPECT_THAT(Check(), HasSubstr("one UCTraversal zone at most: Zones Zone 3"));
}

TEST_F(DialPlanSettings, TraversalServersHavePortsOfTheirOwn) {
  EXPECT_EQ(Zone("Zone 1 Type: UCTraversal"), "");
  EXPECT_EQ(Zone("Zone 2 Type: TraversalServer"), "");
  EXPECT_THAT(Check(), HasSubstr("no other traversal server has: Zones Zone 2 SIP Port"));
  EXPECT_EQ(Zone("Zone 2 SIP Port: 7002"), "");
  EXPECT_EQ(Zone("Zone 2 Name: Other"), "");
  EXPECT_EQ(Check(), "");
  EXPECT_EQ(Apply().zones().config(dialplan::kFirstZone + 1).port, 7002);
}

TEST_F(DialPlanSettings, OtherZonesGoByTheirDefaults) {
  EXPECT_EQ(Zone("Zone 1 Type: Neighbor"), "");
  EXPECT_EQ(Zone("Zone 1 Name: Neighbour"), "");
  EXPECT_EQ(First().port, 5061);
  EXPECT_EQ(First().plan.encryption, dialplan::Encryption::kAuto);
  EXPECT_EQ(First().plan.profile.update, dialplan::UpdateMode::kFull);
  EXPECT_EQ(Zone("Zone 1 SIP Transport: UDP"), "");
  EXPECT_EQ(First().port, 5060);
  EXPECT_EQ(Zone("Zone 1 Type: TraversalClient"), "");
  EXPECT_EQ(First().port, 7001);
  EXPECT_EQ(First().transport, sip::TransportKind::kTls);
}

// Rules of a system that has H.323 come with its backup: they are kept and match nothing.
TEST_F(DialPlanSettings, RulesAreForTheirProtocol) {
  EXPECT_EQ(Zone("Zone 1 Type: DNS"), "");
  EXPECT_EQ(Zone("Zone 1 Name: World"), "");
  const std::string rule = "Policy SearchRules Rule 1 ";
  EXPECT_EQ(Zone(rule + "Mode: AnyAlias"), "");
  EXPECT_EQ(Zone(rule + "Target Name: World"), "");
  const auto found = [&] {
    uint8_t bytes[2048];
    ByteWriter out(bytes);
    Apply().Locate("sip:x@far.example", dialplan::kLocalZone, true, out);
    return std::string(out.text());
  };
  for (const char* protocol : {"Any", "SIP"}) {
    EXPECT_EQ(Zone(rule + "Protocol: " + protocol), "");
    EXPECT_THAT(found(), HasSubstr("World")) << protocol;
  }
  EXPECT_EQ(Zone(rule + "Protocol: H323"), "");
  EXPECT_THAT(found(), Not(HasSubstr("World")));
}

}  // namespace
}  // namespace gh
