// What is set of profiles, subzones, registrations, policy and presence reaches the SIP engine.
#include <gmock/gmock.h>

#include "tests/unit/appliance/dial_plan_settings.h"

namespace gh {
namespace {

using dialplan::Trust;
using dialplan::UpdateMode;
using ::testing::HasSubstr;

class ZoneSettings : public DialPlanSettings {
 protected:
  std::string Type(const std::string& line) { return Set("xConfiguration " + line); }
  const dialplan::DialPlan& Plan() { return Apply().plan(); }
  // What becomes of a call to `alias`, in words.
  std::string Found(const std::string& alias) {
    uint8_t bytes[2048];
    ByteWriter out(bytes);
    Apply().Locate(alias, dialplan::kLocalZone, true, out);
    return std::string(out.text());
  }
  static net::IpAddress Address(const char* text) { return net::IpAddress::Parse(text).value(); }
};

TEST_F(ZoneSettings, AProfileIsOfTheZonesThatNameIt) {
  EXPECT_EQ(Zone("Zone 1 Type: Neighbor"), "");
  EXPECT_EQ(Zone("Zone 1 Name: East"), "");
  EXPECT_EQ(Zone("Zone 1 SIP Profile: Trunk"), "");
  EXPECT_EQ(Zone("Zone 2 Type: Neighbor"), "");
  EXPECT_EQ(Zone("Zone 2 Name: West"), "");
  EXPECT_TRUE(First().plan.profile.is_plain());  // there is none of that name: as without one
  EXPECT_EQ(Zone("Profile 3 Name: Trunk"), "");
  EXPECT_TRUE(First().plan.profile.is_plain());
  EXPECT_EQ(Zone("Profile 3 SIP Identity Trust: On"), "");
  EXPECT_TRUE(First().plan.profile.trusts_identity);
  EXPECT_EQ(Zone("Profile 3 SIP Refer Mode: Refuse"), "");
  EXPECT_EQ(Zone("Profile 3 SIP Search AutoResponse: On"), "");
  EXPECT_EQ(Zone("Profile 3 SIP ProxyRequire Strip: \"x-one x-two\""), "");
  const auto& plan = Plan();
  EXPECT_TRUE(plan.has_profiles());
  const dialplan::ZoneProfile& profile = plan.zone(dialplan::kFirstZone).profile;
  EXPECT_TRUE(profile.trusts_identity);
  EXPECT_TRUE(profile.refuses_refer);
  EXPECT_TRUE(profile.answers_searches);
  EXPECT_EQ(profile.strips.view(), "x-one x-two");
  EXPECT_TRUE(plan.zone(dialplan::kFirstZone + 1).profile.is_plain());
}

TEST_F(ZoneSettings, UpdateGoesByTheProfileAndElseByTheType) {
  EXPECT_EQ(Zone("Zone 1 Type: UCTraversal"), "");
  EXPECT_EQ(Zone("Zone 1 Name: Pair"), "");
  EXPECT_EQ(Zone("Zone 1 SIP Profile: Trunk"), "");
  EXPECT_EQ(Zone("Profile 1 Name: Trunk"), "");
  const auto mode = [&](const std::string& value) {
    EXPECT_EQ(Zone("Profile 1 SIP Update Mode: " + value), "");
    return First().plan.profile.update;
  };
  EXPECT_EQ(mode("Full"), UpdateMode::kFull);
  EXPECT_EQ(mode("Off"), UpdateMode::kNone);
  EXPECT_EQ(mode("Auto"), UpdateMode::kRefreshOnly);
  EXPECT_EQ(Zone("Zone 1 Type: TraversalServer"), "");
  EXPECT_EQ(mode("Auto"), UpdateMode::kFull);
  EXPECT_EQ(mode("RefreshOnly"), UpdateMode::kRefreshOnly);
}

TEST_F(ZoneSettings, PeersGoByPriorityUnlessTheLeastLoadedIsTaken) {
  EXPECT_EQ(Zone("Zone 1 Type: Neighbor"), "");
  EXPECT_EQ(Zone("Zone 1 Name: East"), "");
  EXPECT_FALSE(First().is_least_loaded);
  EXPECT_EQ(Zone("Zone 1 PeerSelection: LeastLoaded"), "");
  EXPECT_TRUE(First().is_least_loaded);
}

TEST_F(ZoneSettings, CredentialsAreAskedForByZoneAndSubzone) {
  const std::string zone = "Zones LocalZone ";
  EXPECT_EQ(Type(zone + "SubZones SubZone 1 Name: Hall"), "");
  EXPECT_EQ(Type(zone + "SubZones SubZone 2 Name: Desk"), "");
  EXPECT_EQ(Type(zone + "MembershipRule 1 SubZoneName: Hall"), "");
  EXPECT_EQ(Type(zone + "MembershipRule 1 Subnet: 10.1.0.0/16"), "");
  EXPECT_EQ(Type(zone + "MembershipRule 2 SubZoneName: Desk"), "");
  EXPECT_EQ(Type(zone + "MembershipRule 2 Pattern String: desk"), "");
  EXPECT_EQ(Zone("Zone 1 Type: Neighbor"), "");
  EXPECT_EQ(Zone("Zone 1 Name: East"), "");
  const auto trusts = [&] {
    const auto& plan = Plan();
    const auto of = [&](const char* address, const char* alias) {
      return plan.TrustOfSubzone(plan.SubzoneOf(Address(address), alias));
    };
    return std::vector{of("10.1.2.3", "a@b"), of("10.2.2.3", "desk7@b"), of("10.2.2.3", "a@b"),
                       plan.zone(dialplan::kDefaultZone).trust,
                       plan.zone(dialplan::kFirstZone).trust};
  };
  constexpr Trust kCheck = Trust::kCheckCredentials;
  EXPECT_EQ(trusts(), (std::vector{kCheck, kCheck, kCheck, kCheck, Trust::kDoNotCheck}));
  EXPECT_EQ(Type(zone + "SubZones SubZone 1 Authentication Mode: TreatAsAuthenticated"), "");
  EXPECT_EQ(Type(zone + "SubZones SubZone 2 Authentication Mode: DoNotCheckCredentials"), "");
  EXPECT_EQ(trusts(), (std::vector{Trust::kTreatAsAuthenticated, Trust::kDoNotCheck, kCheck, kCheck,
                                   Trust::kDoNotCheck}));
  EXPECT_EQ(Type(zone + "DefaultSubZone Authentication Mode: TreatAsAuthenticated"), "");
  EXPECT_EQ(Zone("DefaultZone Authentication Mode: DoNotCheckCredentials"), "");
  EXPECT_EQ(Zone("Zone 1 Authentication Mode: CheckCredentials"), "");
  EXPECT_EQ(trusts(), (std::vector{Trust::kTreatAsAuthenticated, Trust::kDoNotCheck,
                                   Trust::kTreatAsAuthenticated, Trust::kDoNotCheck, kCheck}));
}

TEST_F(ZoneSettings, ListsOfRegistrations) {
  const std::string policy = "Registration RestrictionPolicy ";
  EXPECT_EQ(Type(policy + "Rule 1 Pattern Type: Suffix"), "");
  EXPECT_EQ(Type(policy + "Rule 1 Pattern String: @example.com"), "");
  EXPECT_EQ(Type(policy + "Rule 7 Pattern String: a@b"), "");
  const auto may = [&] {
    const auto& plan = Plan();
    return std::array{plan.MayRegister("x@example.com"), plan.MayRegister("a@b"),
                      plan.MayRegister("aa@b")};
  };
  EXPECT_EQ(may(), (std::array{true, true, true}));
  EXPECT_EQ(Type(policy + "Mode: AllowList"), "");
  EXPECT_EQ(may(), (std::array{true, true, false}));
  EXPECT_EQ(Type(policy + "Mode: DenyList"), "");
  EXPECT_EQ(may(), (std::array{false, false, true}));
}

TEST_F(ZoneSettings, ADelegationIsToATraversalZone) {
  EXPECT_EQ(Zone("Zone 1 Type: Neighbor"), "");
  EXPECT_EQ(Zone("Zone 1 Name: Pair"), "");
  EXPECT_EQ(Type("SIP Delegation 2 Domain: inside.example"), "");
  EXPECT_EQ(Type("SIP Delegation 2 Zone: Pair"), "");
  EXPECT_EQ(Plan().DelegateOf("inside.example"), dialplan::kNoZone);
  EXPECT_EQ(Zone("Zone 1 Type: TraversalServer"), "");
  EXPECT_EQ(Plan().DelegateOf("Inside.Example"), dialplan::kFirstZone);
  EXPECT_EQ(Plan().DelegateOf("example.com"), dialplan::kNoZone);
}

TEST_F(ZoneSettings, PresenceRulesInTheirOrder) {
  using dialplan::PresenceAction;
  const std::string rule = "SIP Presence Rule ";
  EXPECT_EQ(Type(rule + "1 Watcher: \"boss@.*\""), "");
  EXPECT_EQ(Type(rule + "1 Action: Allow"), "");
  EXPECT_EQ(Type(rule + "2 User: \"alice@.*\""), "");
  EXPECT_EQ(Type(rule + "2 Action: PoliteBlock"), "");
  EXPECT_EQ(Type(rule + "3 State: On"), "");
  EXPECT_EQ(Plan().PresenceOf("boss@b", "alice@b"), PresenceAction::kBlock);  // 1, 2 are off
  EXPECT_EQ(Type(rule + "1 State: On"), "");
  EXPECT_EQ(Type(rule + "2 State: On"), "");
  EXPECT_EQ(Plan().PresenceOf("boss@b", "alice@b"), PresenceAction::kAllow);
  EXPECT_EQ(Plan().PresenceOf("x@b", "alice@b"), PresenceAction::kPoliteBlock);
  EXPECT_EQ(Plan().PresenceOf("x@b", "y@b"), PresenceAction::kBlock);
}

// 6 o'clock on Sunday in Oslo is still Saturday night in New York.
TEST_F(ZoneSettings, PolicyRulesGoByTheDayAndTheMinuteWhereTheSystemStands) {
  constexpr int64_t kSunday = 1'795'305'600;  // 2026-11-22 00:00 UTC
  const std::string rule = "CallPolicy Rule 1 ";
  EXPECT_EQ(Type("CallPolicy Mode: On"), "");
  EXPECT_EQ(Type(rule + "State: On"), "");
  EXPECT_EQ(Type(rule + "Destination: \"0.*\""), "");
  EXPECT_EQ(Type(rule + "Days: Sun"), "");
  EXPECT_EQ(Type(rule + "From: 360"), "");
  EXPECT_EQ(Type(rule + "Until: 420"), "");
  const auto is_refused = [&](int64_t at) {
    wall_.seconds = at;
    return Found("0123@example.com").find("no search rules") == std::string::npos;
  };
  const auto window = [&](int64_t begin) {
    return std::array{is_refused(begin - 1), is_refused(begin), is_refused(begin + 3599),
                      is_refused(begin + 3600)};
  };
  constexpr std::array kInside{false, true, true, false};
  constexpr int64_t kSix = kSunday + 6 * 3600;
  EXPECT_EQ(window(kSix), kInside);
  EXPECT_FALSE(is_refused(kSix + 24 * 3600));
  EXPECT_EQ(Type("Time Zone: Europe/Oslo"), "");
  EXPECT_EQ(window(kSix - 3600), kInside);
  EXPECT_EQ(Type("Time Zone: America/New_York"), "");
  EXPECT_EQ(window(kSix + 5 * 3600), kInside);
  EXPECT_FALSE(is_refused(kSix));
  // Over midnight, and on every day.
  EXPECT_EQ(Type("Time Zone: UTC"), "");
  EXPECT_EQ(Type(rule + "From: 1380"), "");
  EXPECT_EQ(Type(rule + "Until: 0"), "");
  EXPECT_EQ(window(kSunday + 23 * 3600), kInside);
  EXPECT_EQ(Type(rule + "Days: \"\""), "");
  for (int day = 0; day < 7; ++day) {
    EXPECT_EQ(window(kSunday + (day * 24 + 23) * 3600), kInside) << day;
  }
  EXPECT_EQ(Type(rule + "Days: Mon,Wed"), "");
  EXPECT_FALSE(is_refused(kSunday + 23 * 3600));
  EXPECT_TRUE(is_refused(kSunday + (24 + 23) * 3600));
  EXPECT_FALSE(is_refused(kSunday + (48 + 23) * 3600));
  EXPECT_TRUE(is_refused(kSunday + (72 + 23) * 3600));
}

// The minute is told anew each second.
TEST_F(ZoneSettings, TheTimeGoesOnWithoutANewConfiguration) {
  EXPECT_EQ(Type("CallPolicy Mode: On"), "");
  EXPECT_EQ(Type("CallPolicy Rule 1 State: On"), "");
  EXPECT_EQ(Type("CallPolicy Rule 1 From: 720"), "");
  EXPECT_EQ(Type("CallPolicy Rule 1 Until: 721"), "");
  DialPlanService service({world_.engine(), lab_.nodes[0]->stack, wall_, *log_, *config_});
  const auto is_refused = [&] {
    uint8_t bytes[512];
    ByteWriter out(bytes);
    world_.engine().Locate("a@b", dialplan::kLocalZone, true, out);
    return out.text().find("no search rules") == std::string_view::npos;
  };
  wall_.seconds = 1'795'305'600 + 720 * 60 - 1;
  service.Apply();
  EXPECT_FALSE(is_refused());
  ++wall_.seconds;
  service.Watch();
  EXPECT_TRUE(is_refused());
  wall_.seconds += 60;
  service.Watch();
  EXPECT_FALSE(is_refused());
}

}  // namespace
}  // namespace gh
