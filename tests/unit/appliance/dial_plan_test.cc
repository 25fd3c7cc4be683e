// What is set for zones and rules becomes what the SIP engine goes by; what cannot be is refused
// when it is typed.
#include "tests/unit/appliance/dial_plan_settings.h"

#include <gmock/gmock.h>

namespace gh {
namespace {

using ::testing::HasSubstr;

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

// ZONE-02: nobody takes the encryption away, by a mode or by a type that comes later.
TEST_F(DialPlanSettings, AUcTraversalZoneIsNotInTheClear) {
  EXPECT_EQ(Zone("Zone 2 SIP Media EncryptionMode: ForceUnencrypted"), "");
  EXPECT_EQ(Check(), "");
  EXPECT_EQ(Zone("Zone 2 Type: UCTraversal"), "");
  const char* refused =
      "Auto or ForceEncrypted where Type is UCTraversal: Zones Zone 2 SIP Media EncryptionMode";
  EXPECT_THAT(Check(), HasSubstr(refused));
  EXPECT_EQ(Zone("Zone 2 SIP Media EncryptionMode: BestEffort"), "");
  EXPECT_THAT(Check(), HasSubstr(refused));
  for (const char* good : {"Auto", "ForceEncrypted"}) {
    EXPECT_EQ(Zone(std::string("Zone 2 SIP Media EncryptionMode: ") + good), "");
    EXPECT_EQ(Check(), "") << good;
  }
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
