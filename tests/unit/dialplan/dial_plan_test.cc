// The dial plan: transforms, policy, search rules, membership, registration lists; each limit at
// its edge; the explanation says what happened.
#include "firmware/dialplan/dial_plan.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "firmware/dialplan/history.h"

namespace gh::dialplan {
namespace {

class DialPlanTest : public testing::Test {
 protected:
  static constexpr size_t kMemory = 8 << 20;
  std::unique_ptr<uint8_t[]> memory_{new uint8_t[kMemory]};
  Arena arena_{{memory_.get(), kMemory}};
  DialPlan plan_{arena_};
  std::string explanation_;

  void SetUp() override {
    AddZone(2, "East", ZoneType::kNeighbour);
    AddZone(3, "World", ZoneType::kDns);
    AddZone(4, "Edge", ZoneType::kTraversalClient);
  }
  void AddZone(ZoneId id, const char* name, ZoneType type) {
    Zone zone;
    zone.name.Assign(name);
    zone.type = type;
    ASSERT_TRUE(plan_.Add(id, zone).ok());
  }
  static PatternSetting Setting(PatternType type, const char* text,
                                PatternBehavior behavior = PatternBehavior::kLeave,
                                const char* replacement = "") {
    PatternSetting out;
    out.text.Assign(text);
    out.type = type;
    out.behavior = behavior;
    out.replacement.Assign(replacement);
    return out;
  }
  static SearchRule Rule(uint16_t number, uint16_t priority, const char* target,
                         const char* regex = nullptr) {
    SearchRule rule;
    rule.number = number;
    rule.priority = priority;
    rule.target_name.Assign(target);
    if (regex != nullptr) {
      rule.mode = RuleMode::kAliasPattern;
      rule.pattern = Setting(PatternType::kRegex, regex);
    }
    return rule;
  }
  // "alias>zone alias>zone", or why there is none.
  std::string Find(std::string_view alias, ZoneId source = kLocalZone, bool authenticated = true,
                   uint32_t minute = 0) {
    uint8_t text[2000];
    ByteWriter out(text);
    Search search;
    plan_.Find({alias, "caller@example.com", source, authenticated, minute}, search, &out);
    explanation_ = std::string(out.text());
    if (search.is_refused) {
      return "refused";
    }
    std::string steps;
    for (uint32_t i = 0; i < search.count; ++i) {
      steps += (i == 0 ? "" : " ") + std::string(search.steps[i].alias.view()) + ">" +
               std::string(plan_.ZoneName(search.steps[i].zone));
    }
    return steps;
  }
};

TEST_F(DialPlanTest, RulesByPriorityAndThenByNumber) {
  ASSERT_TRUE(plan_.Add(Rule(1, 200, "World")).ok());
  ASSERT_TRUE(plan_.Add(Rule(2, 50, "LocalZone", ".*@example\\.com")).ok());
  ASSERT_TRUE(plan_.Add(Rule(3, 100, "East")).ok());
  ASSERT_TRUE(plan_.Add(Rule(4, 100, "edge")).ok());  // names in either case
  plan_.Commit();
  EXPECT_EQ(Find("bob@example.com"),
            "bob@example.com>LocalZone bob@example.com>East bob@example.com>Edge "
            "bob@example.com>World");
  EXPECT_EQ(Find("bob@a.b"), "bob@a.b>East bob@a.b>Edge bob@a.b>World");
}

TEST_F(DialPlanTest, StopEndsTheSearchAfterItsPriority) {
  SearchRule stop = Rule(1, 100, "East", "9.*");
  stop.stops = true;
  ASSERT_TRUE(plan_.Add(stop).ok());
  ASSERT_TRUE(plan_.Add(Rule(2, 100, "Edge")).ok());
  ASSERT_TRUE(plan_.Add(Rule(3, 101, "World")).ok());
  plan_.Commit();
  EXPECT_EQ(Find("9@x"), "9@x>East 9@x>Edge");
  EXPECT_EQ(Find("8@x"), "8@x>Edge 8@x>World");
}

TEST_F(DialPlanTest, SourceAndAuthentication) {
  SearchRule named = Rule(1, 1, "LocalZone");
  named.source = SourceMode::kNamed;
  named.source_name.Assign("East");
  SearchRule zones = Rule(2, 2, "Edge");
  zones.source = SourceMode::kAllZones;
  SearchRule local = Rule(3, 3, "World");
  local.source = SourceMode::kLocal;
  local.needs_authentication = true;
  for (const SearchRule& rule : {named, zones, local}) {
    ASSERT_TRUE(plan_.Add(rule).ok());
  }
  plan_.Commit();
  EXPECT_EQ(Find("a@b", 2), "a@b>LocalZone a@b>Edge");
  EXPECT_EQ(Find("a@b", kDefaultZone), "a@b>Edge");
  EXPECT_EQ(Find("a@b", kLocalZone), "a@b>World");
  EXPECT_EQ(Find("a@b", kLocalZone, false), "");
  EXPECT_NE(explanation_.find("rule 3 : matches, but caller is not authenticated"),
            std::string::npos)
      << explanation_;
  EXPECT_NE(explanation_.find("no search rule matches"), std::string::npos);
}

TEST_F(DialPlanTest, IpAddressRules) {
  SearchRule rule = Rule(1, 1, "World");
  rule.mode = RuleMode::kAnyIpAddress;
  ASSERT_TRUE(plan_.Add(rule).ok());
  plan_.Commit();
  EXPECT_EQ(Find("bob@192.0.2.1"), "bob@192.0.2.1>World");
  EXPECT_EQ(Find("bob@[2001:db8::1]"), "bob@[2001:db8::1]>World");
  EXPECT_EQ(Find("bob@example.com"), "");
}

TEST_F(DialPlanTest, OnlyTheFirstTransformIsApplied) {
  Transform second{Setting(PatternType::kPrefix, "1", PatternBehavior::kReplace, "2"), 20};
  Transform first{Setting(PatternType::kPrefix, "0", PatternBehavior::kReplace, "1"), 10};
  ASSERT_TRUE(plan_.Add(second).ok());
  ASSERT_TRUE(plan_.Add(first).ok());
  ASSERT_TRUE(plan_.Add(Rule(1, 1, "LocalZone")).ok());
  plan_.Commit();
  EXPECT_EQ(Find("0@x"), "1@x>LocalZone");
  EXPECT_EQ(Find("1@x"), "2@x>LocalZone");
  EXPECT_NE(explanation_.find("transform 1: 2@x"), std::string::npos) << explanation_;
}

TEST_F(DialPlanTest, WithoutRulesThePlanHasNoOpinionButTransforms) {
  ASSERT_TRUE(
      plan_.Add(Transform{Setting(PatternType::kSuffix, "@a", PatternBehavior::kReplace, "@b"), 1})
          .ok());
  plan_.Commit();
  Search search;
  EXPECT_FALSE(plan_.has_rules());
  plan_.Find({"x@a", "", kLocalZone, true, 0}, search, nullptr);
  EXPECT_EQ(search.count, 0u);
  EXPECT_EQ(search.steps[0].alias.view(), "x@b");
}

TEST_F(DialPlanTest, PolicyByPartiesAndTime) {
  PolicyRule reject;
  reject.number = 1;
  reject.destination.Assign("9.*");
  reject.when = {0x1f, 18 * 60, 8 * 60};  // weekdays, over night
  PolicyRule allow;
  allow.number = 2;
  allow.allows = true;
  allow.source.Assign("caller@.*");
  PolicyRule rest;
  rest.number = 3;
  for (const PolicyRule& rule : {reject, allow, rest}) {
    ASSERT_TRUE(plan_.Add(rule).ok());
  }
  ASSERT_TRUE(plan_.Add(Rule(1, 1, "LocalZone")).ok());
  plan_.Commit();
  constexpr uint32_t kDay = 24 * 60;
  EXPECT_EQ(Find("9@x", kLocalZone, true, 20 * 60), "9@x>LocalZone");  // policy is off
  plan_.SetPolicyEnabled(true);
  EXPECT_EQ(Find("9@x", kLocalZone, true, 20 * 60), "refused");
  EXPECT_EQ(Find("9@x", kLocalZone, true, 18 * 60 - 1), "9@x>LocalZone");
  EXPECT_EQ(Find("9@x", kLocalZone, true, 18 * 60), "refused");
  EXPECT_EQ(Find("9@x", kLocalZone, true, 5 * kDay + 7 * 60), "refused");  // of Friday's night
  EXPECT_EQ(Find("9@x", kLocalZone, true, 5 * kDay + 8 * 60), "9@x>LocalZone");
  EXPECT_EQ(Find("9@x", kLocalZone, true, 7 * 60), "9@x>LocalZone");  // of Sunday's
  EXPECT_EQ(Find("8@x", kLocalZone, true, 20 * 60), "8@x>LocalZone");
  Search search;
  plan_.Find({"8@x", "other@y", kLocalZone, true, 0}, search, nullptr);
  EXPECT_TRUE(search.is_refused);
  EXPECT_EQ(search.policy_rule, 3);
}

TEST_F(DialPlanTest, SubzonesByAddressAndPattern) {
  Subzone office;
  office.name.Assign("Office");
  office.trust = Trust::kTreatAsAuthenticated;
  Subzone labs;
  labs.name.Assign("Labs");
  ASSERT_TRUE(plan_.Add(office).ok());
  ASSERT_TRUE(plan_.Add(labs).ok());
  Membership by_address;
  by_address.subzone.Assign("office");
  by_address.prefix = net::IpPrefix::Parse("10.1.0.0/16").value();
  by_address.priority = 20;
  Membership by_name;
  by_name.subzone.Assign("Labs");
  by_name.pattern = Setting(PatternType::kSuffix, "@labs.example.com");
  by_name.priority = 10;
  ASSERT_TRUE(plan_.Add(by_address).ok());
  ASSERT_TRUE(plan_.Add(by_name).ok());
  plan_.SetDefaultSubzone(Trust::kDoNotCheck);
  plan_.Commit();
  const auto at = [](const char* text) { return net::IpAddress::Parse(text).value(); };
  EXPECT_EQ(plan_.SubzoneName(plan_.SubzoneOf(at("10.1.2.3"), "a@b")), "Office");
  EXPECT_EQ(plan_.SubzoneName(plan_.SubzoneOf(at("10.1.2.3"), "a@labs.example.com")), "Labs");
  EXPECT_EQ(plan_.SubzoneName(plan_.SubzoneOf(at("10.2.2.3"), "a@b")), "DefaultSubZone");
  EXPECT_EQ(plan_.TrustOfSubzone(0), Trust::kDoNotCheck);
  EXPECT_EQ(plan_.TrustOfSubzone(1), Trust::kTreatAsAuthenticated);
  by_name.subzone.Assign("Nowhere");
  EXPECT_EQ(plan_.Add(by_name).code(), ErrorCode::kNotFound);
}

TEST_F(DialPlanTest, RegistrationLists) {
  ASSERT_TRUE(plan_.AddRegistration(Setting(PatternType::kSuffix, "@example.com")).ok());
  EXPECT_TRUE(plan_.MayRegister("a@b"));
  plan_.SetRegistrationPolicy(RegistrationPolicy::kAllowList);
  EXPECT_TRUE(plan_.MayRegister("a@example.com"));
  EXPECT_FALSE(plan_.MayRegister("a@b"));
  plan_.SetRegistrationPolicy(RegistrationPolicy::kDenyList);
  EXPECT_FALSE(plan_.MayRegister("a@example.com"));
  EXPECT_TRUE(plan_.MayRegister("a@b"));
}

TEST_F(DialPlanTest, RefusesWhatDoesNotFitTogether) {
  EXPECT_EQ(plan_.Add(Rule(1, 1, "Nowhere")).code(), ErrorCode::kNotFound);
  EXPECT_EQ(plan_.Add(Rule(1, 1, "DefaultZone")).code(), ErrorCode::kNotFound);
  EXPECT_EQ(plan_.Add(Rule(1, 1, "East", "(")).code(), ErrorCode::kMalformed);
  SearchRule named = Rule(1, 1, "East");
  named.source = SourceMode::kNamed;
  named.source_name.Assign("Nowhere");
  EXPECT_EQ(plan_.Add(named).code(), ErrorCode::kNotFound);
  Zone again;
  again.name.Assign("east");
  again.type = ZoneType::kDns;
  EXPECT_EQ(plan_.Add(9, again).code(), ErrorCode::kAlreadyExists);
  again.name.Assign("new");
  EXPECT_EQ(plan_.Add(kZoneIdMax, again).code(), ErrorCode::kExhausted);
  EXPECT_TRUE(plan_.Add(kZoneIdMax - 1, again).ok());
  EXPECT_EQ(plan_.rule_count(), 0u);
}

TEST_F(DialPlanTest, LimitsAtTheirEdges) {
  for (uint32_t i = 0; i < kRuleMax; ++i) {
    ASSERT_TRUE(plan_.Add(Rule(static_cast<uint16_t>(i + 1), 1, "East")).ok());
  }
  EXPECT_EQ(plan_.Add(Rule(1, 1, "East")).code(), ErrorCode::kExhausted);
  plan_.Commit();
  const std::string found = Find("a@b");
  EXPECT_EQ(std::count(found.begin(), found.end(), '>'), kStepMax);
  EXPECT_NE(explanation_.find("too many rules match"), std::string::npos);
  EXPECT_EQ(Find(std::string(kAliasBytesMax, 'a')).size() > kAliasBytesMax, true);
  EXPECT_EQ(Find(std::string(kAliasBytesMax + 1, 'a')), "");
  plan_.Begin();
  EXPECT_FALSE(plan_.has_rules());
  EXPECT_EQ(plan_.FindZone("East"), kNoZone);
}

// Each list takes as many as it holds and refuses the next; a new plan begins empty.
TEST_F(DialPlanTest, ListsAtTheirEdges) {
  const auto fill = [](uint32_t most, auto add) {
    for (uint32_t i = 0; i < most; ++i) {
      ASSERT_TRUE(add().ok()) << i;
    }
    EXPECT_EQ(add().code(), ErrorCode::kExhausted);
  };
  for (int round = 0; round < 2; ++round) {
    plan_.Begin();
    for (uint32_t i = 0; i < kZoneMax; ++i) {
      AddZone(static_cast<ZoneId>(kFirstZone + i), ("z" + std::to_string(i)).c_str(),
              ZoneType::kDns);
    }
    Zone more;
    more.name.Assign("more");
    more.type = ZoneType::kDns;
    EXPECT_EQ(plan_.Add(kFirstZone + kZoneMax, more).code(), ErrorCode::kExhausted);
    Transform transform;
    transform.pattern = Setting(PatternType::kPrefix, "9");
    fill(kTransformMax, [&] { return plan_.Add(transform); });
    PolicyRule policy;
    policy.source.Assign("a.*");
    fill(kPolicyRuleMax, [&] { return plan_.Add(policy); });
    fill(kPresenceRuleMax, [&] { return plan_.Add(PresenceRule{}); });
    Subzone subzone;
    subzone.name.Assign("inside");
    fill(kSubzoneMax, [&] { return plan_.Add(subzone); });
    Membership member;
    member.subzone.Assign("inside");
    member.pattern = Setting(PatternType::kSuffix, "@b");
    fill(kMembershipMax, [&] { return plan_.Add(member); });
    fill(kRegistrationRuleMax,
         [&] { return plan_.AddRegistration(Setting(PatternType::kExact, "a@b")); });
  }
  plan_.Begin();
  SetUp();
  Delegation delegation;
  delegation.domain.Assign(std::string(kDomainBytesMax, 'd'));
  delegation.zone.Assign("Edge");
  fill(kDelegationMax, [&] { return plan_.Add(delegation); });
  EXPECT_EQ(plan_.DelegateOf(std::string(kDomainBytesMax, 'd')), 4);
}

// Rules of ordinary size: all a thousand compile; of the largest size as many as the store holds.
TEST_F(DialPlanTest, PatternsOfAllRulesShareOneStore) {
  for (uint32_t i = 0; i < kRuleMax; ++i) {
    const std::string text = "(.*)@branch" + std::to_string(i) + "\\.example\\.com";
    ASSERT_TRUE(plan_.Add(Rule(static_cast<uint16_t>(i + 1), 1, "East", text.c_str())).ok()) << i;
  }
  plan_.Begin();
  SetUp();
  uint32_t taken = 0;
  while (plan_.Add(Rule(1, 1, "East", "(?:aaaaa){100}aaaaaaaaaaa")).ok()) {
    ++taken;
  }
  EXPECT_EQ(plan_.Add(Rule(1, 1, "East", "(?:aaaaa){100}aaaaaaaaaaa")).code(),
            ErrorCode::kExhausted);
  EXPECT_GE(taken, kInstructionTotal / kInstructionMax - 1);
  EXPECT_TRUE(plan_.Add(Rule(1, 1, "East")).ok());  // who needs none of it is taken
}

TEST_F(DialPlanTest, ExplanationsAreAsLongAsTheirRoom) {
  SearchHistory history(arena_);
  for (uint32_t i = 0; i < kRuleMax; ++i) {
    ASSERT_TRUE(plan_.Add(Rule(static_cast<uint16_t>(i + 1), 1, "East", "x.*")).ok());
  }
  plan_.Commit();
  const std::span<uint8_t> room = history.Start(Instant{});
  ASSERT_EQ(room.size(), kHistoryBytes);
  ByteWriter out(room);
  Search search;
  plan_.Find({"a@b", "c@d", kLocalZone, true, 0}, search, &out);
  EXPECT_EQ(search.count, 0u);
  EXPECT_LE(out.size(), kHistoryBytes);
  EXPECT_EQ(history.Finish(out.size()), 1u);
  EXPECT_LE(history.Text(1).size(), kHistoryBytes);
}

TEST_F(DialPlanTest, HistoryKeepsTheLastSearches) {
  SearchHistory history(arena_);
  for (uint32_t i = 1; i <= kHistoryMax + 1; ++i) {
    ByteWriter out(history.Start(Instant{}));
    out.Text("search ");
    out.Decimal(i);
    EXPECT_EQ(history.Finish(out.size()), i);
  }
  EXPECT_EQ(history.Text(0), "");
  EXPECT_EQ(history.Text(1), "");
  EXPECT_EQ(history.Text(2), "search 2");
  EXPECT_EQ(history.Text(kHistoryMax + 1), "search 65");
  EXPECT_EQ(history.Text(kHistoryMax + 2), "");
}

}  // namespace
}  // namespace gh::dialplan
