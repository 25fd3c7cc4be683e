#include "firmware/dialplan/dial_plan.h"

#include <algorithm>

#include "hal/rt/ascii.h"

namespace gh::dialplan {
namespace {

constexpr uint32_t kMinutesPerDay = 24 * 60;

Error TooMany() { return {ErrorCode::kExhausted, "there are too many of them"}; }

void Say(ByteWriter* out, std::initializer_list<std::string_view> words) {
  if (out == nullptr) {
    return;
  }
  for (const std::string_view word : words) {
    out->Text(word);
  }
  out->Char('\n');
}

// "12", for Say.
class Digits {
 public:
  explicit Digits(uint32_t value) {
    ByteWriter out(bytes_);
    out.Decimal(value);
    size_ = out.size();
  }
  std::string_view view() const { return AsText({bytes_, size_}); }

 private:
  uint8_t bytes_[10];
  size_t size_ = 0;
};

template <typename T>
void SortByPriority(std::span<T> all) {
  // In place and stable: what has the same priority stays in the order of the settings. The
  // priorities come nearly sorted, and there are at most kRuleMax of them.
  for (size_t i = 1; i < all.size(); ++i) {
    const T one = all[i];
    size_t at = i;
    for (; at > 0 && all[at - 1].priority > one.priority; --at) {
      all[at] = all[at - 1];
    }
    all[at] = one;
  }
}

}  // namespace

const char* ZoneTypeName(ZoneType type) {
  switch (type) {
    case ZoneType::kNone:
      return "none";
    case ZoneType::kNeighbour:
      return "neighbour";
    case ZoneType::kDns:
      return "dns";
    case ZoneType::kTraversalClient:
      return "traversal-client";
    case ZoneType::kTraversalServer:
      return "traversal-server";
    case ZoneType::kUcTraversalClient:
      return "uc-traversal-client";
    case ZoneType::kUcTraversalServer:
      return "uc-traversal-server";
    case ZoneType::kLocal:
      return "local";
    case ZoneType::kDefault:
      return "default";
  }
  return "";
}

bool TimeWindow::Holds(uint32_t minute_of_week) const {
  const uint32_t day = minute_of_week / kMinutesPerDay % 7;
  const uint32_t minute = minute_of_week % kMinutesPerDay;
  const auto is_on = [this](uint32_t d) { return (days >> d & 1) != 0; };
  if (from == until) {
    return is_on(day);
  }
  if (from < until) {
    return is_on(day) && minute >= from && minute < until;
  }
  // Over midnight: the day counts on which it began.
  return (is_on(day) && minute >= from) || (is_on((day + 6) % 7) && minute < until);
}

bool IsIpAlias(std::string_view alias) {
  const size_t at = alias.rfind('@');
  std::string_view host = at == std::string_view::npos ? alias : alias.substr(at + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return net::IpAddress::Parse(host).ok();
}

DialPlan::DialPlan(Arena& arena, uint32_t rule_max)
    : patterns_(arena, kInstructionTotal / kRuleMax * rule_max + kInstructionMax,
                kClassTotal / kRuleMax * rule_max + kSubzoneMax),
      transforms_(arena.NewArray<CompiledTransform>(kTransformMax)),
      rules_(arena.NewArray<CompiledRule>(rule_max)),
      rule_keys_(arena.NewArray<PatternKey>(rule_max)),
      policy_(arena.NewArray<CompiledPolicy>(kPolicyRuleMax)),
      presence_(arena.NewArray<CompiledPresence>(kPresenceRuleMax)),
      delegations_(arena.NewArray<CompiledDelegation>(kDelegationMax)),
      subzones_(arena.NewArray<Subzone>(kSubzoneMax)),
      memberships_(arena.NewArray<CompiledMembership>(kMembershipMax)),
      registrations_(arena.NewArray<Pattern>(kRegistrationRuleMax)) {
  Begin();
}

// --- Taking --------------------------------------------------------------------------------------

void DialPlan::Begin() {
  ++generation_;
  patterns_.Clear();
  zones_ = {};
  zones_[kLocalZone].type = ZoneType::kLocal;
  zones_[kDefaultZone].type = ZoneType::kDefault;
  transform_count_ = rule_count_ = policy_count_ = 0;
  presence_count_ = delegation_count_ = 0;
  has_profiles_ = false;
  subzone_count_ = membership_count_ = registration_count_ = 0;
  registration_policy_ = RegistrationPolicy::kNone;
  default_subzone_trust_ = Trust::kCheckCredentials;
  default_subzone_encryption_ = Encryption::kAuto;
  default_subzone_ice_ = {};
  has_policy_ = false;
}

std::string_view DialPlan::ZoneName(ZoneId id) const {
  return id == kLocalZone     ? "LocalZone"
         : id == kDefaultZone ? "DefaultZone"
         : id < kZoneIdMax    ? zones_[id].name.view()
                              : std::string_view();
}

ZoneId DialPlan::FindZone(std::string_view name) const {
  for (ZoneId id = 0; id < kZoneIdMax; ++id) {
    if (zones_[id].type != ZoneType::kNone && EqualsIgnoringCase(ZoneName(id), name)) {
      return id;
    }
  }
  return kNoZone;
}

Result<void> DialPlan::Add(ZoneId id, const Zone& zone) {
  if (id < kFirstZone || id >= kZoneIdMax) {
    return TooMany();
  }
  if (zone.name.empty()) {
    return Error(ErrorCode::kInvalidArgument, "the zone has no name");
  }
  if (FindZone(zone.name.view()) != kNoZone) {
    return Error(ErrorCode::kAlreadyExists, "another zone has that name");
  }
  zones_[id] = zone;
  has_profiles_ = has_profiles_ || !zone.profile.is_plain();
  return Ok();
}

Result<void> DialPlan::Add(const Transform& transform) {
  if (transform_count_ == transforms_.size()) {
    return TooMany();
  }
  const PatternSetting& from = transform.pattern;
  GH_TRY_ASSIGN(const Pattern pattern, Pattern::Compile(patterns_, from.type, from.text.view()));
  transforms_[transform_count_++] = {pattern, from.replacement, from.behavior, transform.priority};
  return Ok();
}

Result<void> DialPlan::Add(const SearchRule& rule) {
  if (rule_count_ == rules_.size()) {
    return TooMany();
  }
  CompiledRule out;
  if (rule.mode == RuleMode::kAliasPattern) {
    GH_TRY_ASSIGN(out.pattern,
                  Pattern::Compile(patterns_, rule.pattern.type, rule.pattern.text.view()));
    out.behavior = rule.pattern.behavior;
    out.replacement = rule.pattern.replacement;
  }
  out.target = FindZone(rule.target_name.view());
  if (out.target == kNoZone || out.target == kDefaultZone) {
    return Error(ErrorCode::kNotFound, "no zone has the name of the target");
  }
  if (rule.source == SourceMode::kNamed) {
    out.source_zone = FindZone(rule.source_name.view());
    if (out.source_zone == kNoZone) {
      return Error(ErrorCode::kNotFound, "no zone has the name of the source");
    }
  }
  out.name = rule.name;
  out.priority = rule.priority;
  out.number = rule.number;
  out.source = rule.source;
  out.mode = rule.mode;
  out.needs_authentication = rule.needs_authentication;
  out.stops = rule.stops;
  rules_[rule_count_++] = out;
  return Ok();
}

Result<void> DialPlan::Add(const PolicyRule& rule) {
  if (policy_count_ == policy_.size()) {
    return TooMany();
  }
  CompiledPolicy out;
  out.has_source = !rule.source.empty();
  out.has_destination = !rule.destination.empty();
  if (out.has_source) {
    GH_TRY_ASSIGN(out.source, Pattern::Compile(patterns_, PatternType::kRegex, rule.source.view()));
  }
  if (out.has_destination) {
    GH_TRY_ASSIGN(out.destination,
                  Pattern::Compile(patterns_, PatternType::kRegex, rule.destination.view()));
  }
  out.name = rule.name;
  out.when = rule.when;
  out.number = rule.number;
  out.allows = rule.allows;
  policy_[policy_count_++] = out;
  return Ok();
}

Result<void> DialPlan::Add(const PresenceRule& rule) {
  if (presence_count_ == presence_.size()) {
    return TooMany();
  }
  CompiledPresence out;
  out.has_watcher = !rule.watcher.empty();
  out.has_user = !rule.user.empty();
  if (out.has_watcher) {
    GH_TRY_ASSIGN(out.watcher,
                  Pattern::Compile(patterns_, PatternType::kRegex, rule.watcher.view()));
  }
  if (out.has_user) {
    GH_TRY_ASSIGN(out.user, Pattern::Compile(patterns_, PatternType::kRegex, rule.user.view()));
  }
  out.action = rule.action;
  presence_[presence_count_++] = out;
  return Ok();
}

Result<void> DialPlan::Add(const Subzone& subzone) {
  if (subzone_count_ == subzones_.size()) {
    return TooMany();
  }
  if (subzone.name.empty()) {
    return Error(ErrorCode::kInvalidArgument, "the subzone has no name");
  }
  subzones_[subzone_count_++] = subzone;
  return Ok();
}

Result<void> DialPlan::Add(const Membership& membership) {
  if (membership_count_ == memberships_.size()) {
    return TooMany();
  }
  CompiledMembership out;
  out.priority = membership.priority;
  out.prefix = membership.prefix;
  if (membership.prefix.address.is_none()) {
    GH_TRY_ASSIGN(out.pattern, Pattern::Compile(patterns_, membership.pattern.type,
                                                membership.pattern.text.view()));
  }
  for (uint32_t i = 0; i < subzone_count_ && out.subzone == 0; ++i) {
    out.subzone =
        EqualsIgnoringCase(subzones_[i].name.view(), membership.subzone.view()) ? i + 1 : 0;
  }
  if (out.subzone == 0) {
    return Error(ErrorCode::kNotFound, "no subzone has that name");
  }
  memberships_[membership_count_++] = out;
  return Ok();
}

Result<void> DialPlan::AddRegistration(const PatternSetting& pattern) {
  if (registration_count_ == registrations_.size()) {
    return TooMany();
  }
  GH_TRY_ASSIGN(registrations_[registration_count_],
                Pattern::Compile(patterns_, pattern.type, pattern.text.view()));
  ++registration_count_;
  return Ok();
}

void DialPlan::Commit() {
  SortByPriority(transforms_.first(transform_count_));
  SortByPriority(rules_.first(rule_count_));
  for (uint32_t i = 0; i < rule_count_; ++i) {
    const bool has_pattern = rules_[i].mode == RuleMode::kAliasPattern;
    rule_keys_[i] = has_pattern ? rules_[i].pattern.Key() : PatternKey{};
  }
  SortByPriority(memberships_.first(membership_count_));
}

// --- Asking --------------------------------------------------------------------------------------

uint32_t DialPlan::SubzoneOf(const net::IpAddress& address, std::string_view alias,
                             bool* by_address) const {
  for (const CompiledMembership& one : memberships_.first(membership_count_)) {
    const bool is_member =
        one.prefix.address.is_none() ? one.pattern.Matches(alias) : one.prefix.Contains(address);
    if (is_member) {
      if (by_address != nullptr) {
        *by_address = !one.prefix.address.is_none();
      }
      return one.subzone;
    }
  }
  return 0;
}

std::string_view DialPlan::SubzoneName(uint32_t subzone) const {
  return subzone == 0 ? "DefaultSubZone" : subzones_[subzone - 1].name.view();
}

std::optional<uint32_t> DialPlan::FindSubzone(std::string_view name) const {
  for (uint32_t i = 0; i <= subzone_count_; ++i) {
    if (EqualsIgnoringCase(SubzoneName(i), name)) {
      return i;
    }
  }
  return std::nullopt;
}

bool DialPlan::MayRegister(std::string_view alias) const {
  if (registration_policy_ == RegistrationPolicy::kNone) {
    return true;
  }
  const auto known = registrations_.first(registration_count_);
  const bool is_listed =
      std::any_of(known.begin(), known.end(), [&](const Pattern& p) { return p.Matches(alias); });
  return is_listed == (registration_policy_ == RegistrationPolicy::kAllowList);
}

Result<void> DialPlan::Add(const Delegation& delegation) {
  if (delegation_count_ == delegations_.size()) {
    return TooMany();
  }
  const ZoneId zone = FindZone(delegation.zone.view());
  if (zone == kNoZone ||
      (!IsTraversalClient(zones_[zone].type) && !IsTraversalServer(zones_[zone].type))) {
    return Error(ErrorCode::kNotFound, "no traversal zone has that name");
  }
  delegations_[delegation_count_++] = {delegation.domain, zone};
  return Ok();
}

ZoneId DialPlan::DelegateOf(std::string_view domain) const {
  for (const CompiledDelegation& one : delegations_.first(delegation_count_)) {
    if (EqualsIgnoringCase(one.domain.view(), domain)) {
      return one.zone;
    }
  }
  return kNoZone;
}

std::optional<PresenceAction> DialPlan::PresenceOf(std::string_view watcher,
                                                   std::string_view user) const {
  for (const CompiledPresence& rule : presence_.first(presence_count_)) {
    if ((!rule.has_watcher || rule.watcher.Matches(watcher)) &&
        (!rule.has_user || rule.user.Matches(user))) {
      return rule.action;
    }
  }
  return std::nullopt;
}

bool DialPlan::IsAllowed(const Query& query, std::string_view alias, Search& out,
                         ByteWriter* explanation) const {
  if (!has_policy_) {
    return true;
  }
  for (const CompiledPolicy& rule : policy_.first(policy_count_)) {
    if ((rule.has_source && !rule.source.Matches(query.source_alias)) ||
        (rule.has_destination && !rule.destination.Matches(alias)) ||
        !rule.when.Holds(query.minute_of_week)) {
      continue;
    }
    Say(explanation, {"policy rule ", Digits(rule.number).view(), " ", rule.name.view(),
                      rule.allows ? ": allowed" : ": REJECTED"});
    out.policy_rule = rule.number;
    return rule.allows;
  }
  Say(explanation, {"policy: no rule matches: allowed"});
  return true;
}

const char* DialPlan::WhyNot(const CompiledRule& rule, const Query& query) const {
  switch (rule.source) {
    case SourceMode::kAny:
      break;
    case SourceMode::kAllZones:
      if (query.source == kLocalZone) {
        return "source is the local zone";
      }
      break;
    case SourceMode::kLocal:
      if (query.source != kLocalZone) {
        return "source is not the local zone";
      }
      break;
    case SourceMode::kNamed:
      if (query.source != rule.source_zone) {
        return "source is another zone";
      }
      break;
  }
  return rule.needs_authentication && !query.is_authenticated ? "caller is not authenticated"
                                                              : nullptr;
}

// Takes the rule's step when it matches; whether it does.
bool DialPlan::Look(const CompiledRule& rule, const Query& query, std::string_view alias,
                    Search& out, ByteWriter* explanation) const {
  Step& step = out.steps[out.count];
  bool matches = true;
  if (rule.mode == RuleMode::kAliasPattern) {
    matches = rule.pattern.Apply(alias, rule.behavior, rule.replacement.view(), step.alias);
  } else {
    matches = rule.mode == RuleMode::kAnyAlias || IsIpAlias(alias);
    step.alias.Assign(alias);
  }
  if (!matches || step.alias.empty()) {
    return false;
  }
  const char* why_not = WhyNot(rule, query);
  const Digits number(rule.number);
  if (why_not != nullptr) {
    Say(explanation, {"rule ", number.view(), " ", rule.name.view(), ": matches, but ", why_not});
    return false;
  }
  step.zone = rule.target;
  step.rule = rule.number;
  step.stops = rule.stops;
  ++out.count;
  Say(explanation, {"rule ", number.view(), " ", rule.name.view(), ": ", step.alias.view(),
                    " in zone ", ZoneName(rule.target), rule.stops ? ", then stop" : ""});
  return true;
}

void DialPlan::Find(const Query& query, Search& out, ByteWriter* explanation) {
  out.count = 0;
  out.is_refused = false;
  out.policy_rule = 0;
  Alias alias;
  if (!alias.Assign(query.alias)) {
    Say(explanation, {"the alias is too long"});
    return;
  }
  Say(explanation, {"alias ", alias.view(), " from zone ", ZoneName(query.source),
                    query.is_authenticated ? ", authenticated" : ", not authenticated"});
  for (const CompiledTransform& one : transforms_.first(transform_count_)) {
    Alias changed;
    if (one.pattern.Apply(alias.view(), one.behavior, one.replacement.view(), changed) &&
        !changed.empty()) {
      Say(explanation, {"transform ", one.pattern.text(), ": ", changed.view()});
      alias = changed;
      break;
    }
  }
  if (!IsAllowed(query, alias.view(), out, explanation)) {
    out.is_refused = true;
    return;
  }
  if (!has_rules()) {
    out.steps[0].alias = alias;
    return;
  }
  uint32_t priority_last =
      UINT16_MAX;  // after a rule that stops, those of its priority still count
  const AliasSums sums(alias.view());
  for (uint32_t i = 0; i < rule_count_; ++i) {
    if (!sums.MayMatch(rule_keys_[i])) {
      continue;
    }
    const CompiledRule& rule = rules_[i];
    if (rule.priority > priority_last) {
      break;
    }
    if (out.count == kStepMax) {
      Say(explanation, {"too many rules match: the rest is not looked at"});
      break;
    }
    if (Look(rule, query, alias.view(), out, explanation) && rule.stops) {
      priority_last = rule.priority;
    }
  }
  if (out.count == 0) {
    Say(explanation, {"no search rule matches"});
  }
}

}  // namespace gh::dialplan
