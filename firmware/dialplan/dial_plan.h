// Call control that knows no SIP: who is calling (subzones), whether the call may be (policy), what
// its number becomes (transforms) and where it is looked for (search rules), each decision
// explained. Pure: the same plan and the same question give the same answer.
//
//   DialPlan plan(arena);
//   plan.Begin();                   // forgets everything
//   plan.Add(zone), plan.Add(rule)  // each checked; patterns compiled
//   plan.Commit();                  // sorted by priority; in force
//   plan.Find(query, result, &explanation);
//
// Faults: what the operator typed is refused by Add with words; what comes from the wire (aliases)
// is only ever compared. Everything is carved from the arena in the constructor.
#pragma once

#include <optional>

#include "firmware/dialplan/plan.h"

namespace gh::dialplan {

// A number is not of the plan: "no zone of that name".
inline constexpr ZoneId kNoZone = UINT16_MAX;

struct Query {
  std::string_view alias;         // "user@host" that is called
  std::string_view source_alias;  // of the caller
  ZoneId source = kDefaultZone;
  bool is_authenticated = false;
  uint32_t minute_of_week = 0;
};

// One place to look, in order.
struct Step {
  Alias alias;
  ZoneId zone = kLocalZone;
  uint16_t rule = 0;  // its number; 0: none
  bool stops = false;
};

struct Search {
  std::array<Step, kStepMax> steps;
  uint32_t count = 0;
  bool is_refused = false;  // by policy
  uint16_t policy_rule = 0;
};

class DialPlan {
 public:
  explicit DialPlan(Arena& arena, uint32_t rule_max = kRuleMax);

  // --- Taking a new plan. Add says what is wrong with one; the others stay.
  void Begin();
  Result<void> Add(ZoneId id, const Zone& zone);
  Result<void> Add(const Transform& transform);
  Result<void> Add(const SearchRule& rule);
  Result<void> Add(const PolicyRule& rule);
  Result<void> Add(const PresenceRule& rule);
  Result<void> Add(const Delegation& delegation);  // of a zone that was added
  Result<void> Add(const Subzone& subzone);
  Result<void> Add(const Membership& membership);
  Result<void> AddRegistration(const PatternSetting& pattern);
  void SetRegistrationPolicy(RegistrationPolicy policy) { registration_policy_ = policy; }
  void SetPolicyEnabled(bool on) { has_policy_ = on; }
  void SetDefault(const Zone& zone) { zones_[kDefaultZone] = zone; }
  void SetDefaultSubzone(Trust trust, Encryption encryption = Encryption::kAuto, Ice ice = {}) {
    default_subzone_ice_ = ice;
    default_subzone_trust_ = trust;
    default_subzone_encryption_ = encryption;
  }
  void Commit();

  // --- Asking.
  // Without any search rule the plan has no opinion: the engine looks among its own users, then
  // outside.
  // Another number with each new plan.
  uint32_t generation() const { return generation_; }
  bool has_rules() const { return rule_count_ != 0; }
  bool has_transforms() const { return transform_count_ != 0; }
  bool has_policy() const { return has_policy_; }
  // Without rules steps[0].alias is what the transforms made of the alias.
  void Find(const Query& query, Search& out, ByteWriter* explanation);
  // The member's subzone: 0 the default one, else its place + 1. `by_address`: where he sends from
  // makes him one, not the name he gives.
  uint32_t SubzoneOf(const net::IpAddress& address, std::string_view alias,
                     bool* by_address = nullptr) const;
  std::string_view SubzoneName(uint32_t subzone) const;
  Trust TrustOfSubzone(uint32_t subzone) const {
    return subzone == 0 ? default_subzone_trust_ : subzones_[subzone - 1].trust;
  }
  Encryption EncryptionOfSubzone(uint32_t subzone) const {
    return subzone == 0 ? default_subzone_encryption_ : subzones_[subzone - 1].encryption;
  }
  Ice IceOfSubzone(uint32_t subzone) const {
    return subzone == 0 ? default_subzone_ice_ : subzones_[subzone - 1].ice;
  }
  uint32_t subzone_count() const { return subzone_count_; }
  // Nothing: no subzone has that name.
  std::optional<uint32_t> FindSubzone(std::string_view name) const;
  bool MayRegister(std::string_view alias) const;
  // The zone whose other side asks users of that domain for credentials; kNoZone: we do.
  ZoneId DelegateOf(std::string_view domain) const;
  // Whether any zone has a profile of its own.
  bool has_profiles() const { return has_profiles_; }
  // What the first rule says that matches; nothing: none does.
  std::optional<PresenceAction> PresenceOf(std::string_view watcher, std::string_view user) const;
  const Zone& zone(ZoneId id) const { return zones_[id]; }
  std::string_view ZoneName(ZoneId id) const;
  ZoneId FindZone(std::string_view name) const;
  uint32_t rule_count() const { return rule_count_; }
  const PatternStore& patterns() const { return patterns_; }

 private:
  struct CompiledTransform {
    Pattern pattern;
    PatternText replacement;
    PatternBehavior behavior = PatternBehavior::kLeave;
    uint16_t priority = 0;
  };
  struct CompiledRule {
    Pattern pattern;
    PatternText replacement;
    Name name;
    uint16_t priority = 0;
    uint16_t number = 0;
    ZoneId source_zone = kNoZone;
    ZoneId target = kNoZone;
    PatternBehavior behavior = PatternBehavior::kLeave;
    SourceMode source = SourceMode::kAny;
    RuleMode mode = RuleMode::kAnyAlias;
    bool needs_authentication = false;
    bool stops = false;
  };
  struct CompiledPolicy {
    Pattern source;
    Pattern destination;
    Name name;
    TimeWindow when;
    uint16_t number = 0;
    bool has_source = false;
    bool has_destination = false;
    bool allows = false;
  };
  struct CompiledPresence {
    Pattern watcher;
    Pattern user;
    PresenceAction action = PresenceAction::kBlock;
    bool has_watcher = false;
    bool has_user = false;
  };
  struct CompiledDelegation {
    FixedString<kDomainBytesMax> domain;
    ZoneId zone = kNoZone;
  };
  struct CompiledMembership {
    Pattern pattern;
    net::IpPrefix prefix;
    uint32_t subzone = 0;
    uint16_t priority = 0;
  };

  bool IsAllowed(const Query& query, std::string_view alias, Search& out,
                 ByteWriter* explanation) const;
  const char* WhyNot(const CompiledRule& rule, const Query& query) const;
  bool Look(const CompiledRule& rule, const Query& query, std::string_view alias, Search& out,
            ByteWriter* explanation) const;

  PatternStore patterns_;
  std::array<Zone, kZoneIdMax> zones_;
  std::span<CompiledTransform> transforms_;
  std::span<CompiledRule> rules_;
  std::span<PatternKey> rule_keys_;  // of the rules, in their order
  std::span<CompiledPolicy> policy_;
  std::span<CompiledPresence> presence_;
  std::span<CompiledDelegation> delegations_;
  std::span<Subzone> subzones_;
  std::span<CompiledMembership> memberships_;
  std::span<Pattern> registrations_;
  uint32_t transform_count_ = 0;
  uint32_t rule_count_ = 0;
  uint32_t policy_count_ = 0;
  uint32_t presence_count_ = 0;
  uint32_t delegation_count_ = 0;
  uint32_t subzone_count_ = 0;
  uint32_t membership_count_ = 0;
  uint32_t registration_count_ = 0;
  uint32_t generation_ = 0;
  RegistrationPolicy registration_policy_ = RegistrationPolicy::kNone;
  Trust default_subzone_trust_ = Trust::kCheckCredentials;
  Encryption default_subzone_encryption_ = Encryption::kAuto;
  Ice default_subzone_ice_;
  bool has_policy_ = false;
  bool has_profiles_ = false;
};

// Whether the host part of "user@host" is an IP address.
bool IsIpAlias(std::string_view alias);

}  // namespace gh::dialplan
