#include "firmware/calls/dial_plan_service.h"

#include <algorithm>

#include "firmware/admin/status_text.h"
#include "firmware/config/line.h"
#include "hal/rt/ascii.h"

namespace gh {
namespace {

using dialplan::ZoneId;
using dialplan::ZoneType;
using namespace gh::log::event;

constexpr uint16_t kTraversalPort = 7001;
constexpr size_t kLocateBytes = 3000;

template <typename To, typename From>
constexpr To Same(From value) {
  return static_cast<To>(value);
}
static_assert(Same<dialplan::Trust>(config::AuthenticationPolicy::kDoNotCheckCredentials) ==
              dialplan::Trust::kDoNotCheck);
static_assert(Same<dialplan::PatternType>(config::PatternType::kRegex) ==
              dialplan::PatternType::kRegex);
static_assert(Same<dialplan::PatternBehavior>(config::PatternBehavior::kReplace) ==
              dialplan::PatternBehavior::kReplace);
static_assert(Same<dialplan::SourceMode>(config::RuleSource::kNamed) ==
              dialplan::SourceMode::kNamed);
static_assert(Same<dialplan::RuleMode>(config::RuleMode::kAliasPatternMatch) ==
              dialplan::RuleMode::kAliasPattern);
static_assert(Same<dialplan::RegistrationPolicy>(config::RegistrationRestriction::kDenyList) ==
              dialplan::RegistrationPolicy::kDenyList);
static_assert(Same<dialplan::PresenceAction>(config::PresenceAction::kAllow) ==
              dialplan::PresenceAction::kAllow);
static_assert(Same<dialplan::Encryption>(config::MediaEncryptionMode::kBestEffort) ==
              dialplan::Encryption::kBestEffort);
static_assert(dialplan::kPatternBytesMax == 120 && dialplan::kNameBytesMax == 50,
              "as long as the settings");

using Peers = std::array<std::string_view, sip::kZonePeerMax>;
Peers PeersOf(const config::ZonesZone& zone) {
  return {zone.peer1.view(), zone.peer2.view(), zone.peer3.view(),
          zone.peer4.view(), zone.peer5.view(), zone.peer6.view()};
}

ZoneType TypeOf(const config::ZonesZone& zone) {
  const Peers peers = PeersOf(zone);
  switch (zone.type) {
    case config::ZoneType::kNone:
      return ZoneType::kNone;
    case config::ZoneType::kNeighbor:
      return ZoneType::kNeighbour;
    case config::ZoneType::kDns:
      return ZoneType::kDns;
    case config::ZoneType::kTraversalClient:
      return ZoneType::kTraversalClient;
    case config::ZoneType::kTraversalServer:
      return ZoneType::kTraversalServer;
    case config::ZoneType::kUCTraversal:
      return std::all_of(peers.begin(), peers.end(), [](auto peer) { return peer.empty(); })
                 ? ZoneType::kUcTraversalServer
                 : ZoneType::kUcTraversalClient;
  }
  return ZoneType::kNone;
}

uint16_t PortOf(const config::ZonesZone& zone) {
  if (zone.port != 0) {
    return static_cast<uint16_t>(zone.port);
  }
  return zone.type != config::ZoneType::kNeighbor        ? kTraversalPort
         : zone.transport == config::ZoneTransport::kTls ? uint16_t{5061}
                                                         : uint16_t{5060};
}

// Of a zone or subzone.
template <typename Group>
dialplan::Ice IceOf(const Group& from) {
  return {.speaks = from.ice == config::OnOff::kOn,
          .passes = from.ice_pass_through == config::OnOff::kOn};
}

dialplan::UpdateMode UpdateOf(config::UpdateMode mode, config::ZoneType type) {
  switch (mode) {
    case config::UpdateMode::kFull:
      return dialplan::UpdateMode::kFull;
    case config::UpdateMode::kRefreshOnly:
      return dialplan::UpdateMode::kRefreshOnly;
    case config::UpdateMode::kOff:
      return dialplan::UpdateMode::kNone;
    case config::UpdateMode::kAuto:
      break;
  }
  return type == config::ZoneType::kUCTraversal ? dialplan::UpdateMode::kRefreshOnly
                                                : dialplan::UpdateMode::kFull;
}

// The profile of that name; without a name the defaults.
Result<dialplan::ZoneProfile> ProfileOf(const config::Settings& settings,
                                        const config::ZonesZone& zone) {
  dialplan::ZoneProfile out;
  out.update = UpdateOf(config::UpdateMode::kAuto, zone.type);
  if (zone.profile.empty()) {
    return out;
  }
  for (const config::ZonesProfile& profile : settings.zones_profile()) {
    if (profile.name.view() == zone.profile.view()) {
      out.trusts_identity = profile.trusts_identity == config::OnOff::kOn;
      out.refuses_refer = profile.refer == config::ReferMode::kRefuse;
      out.answers_searches = profile.answers_searches == config::OnOff::kOn;
      out.update = UpdateOf(profile.update, zone.type);
      out.strips.Assign(profile.strips.view());
      return out;
    }
  }
  return Error(ErrorCode::kNotFound, "no profile has that name");
}

// Media between the two of a UC traversal zone is encrypted (ZONE-02).
dialplan::Encryption EncryptionOf(const config::ZonesZone& zone) {
  return zone.type == config::ZoneType::kUCTraversal ? dialplan::Encryption::kForceEncrypted
                                                     : Same<dialplan::Encryption>(zone.encryption);
}

sip::ZoneConfig ZoneOf(const config::ZonesZone& zone) {
  sip::ZoneConfig out;
  out.plan.name.Assign(zone.name.view());
  out.plan.type = TypeOf(zone);
  out.plan.trust = Same<dialplan::Trust>(zone.authentication);
  out.plan.hop_count = static_cast<uint8_t>(zone.hop_count);
  out.plan.encryption = EncryptionOf(zone);
  out.plan.ice = IceOf(zone);
  const Peers peers = PeersOf(zone);
  for (size_t i = 0; i < peers.size(); ++i) {
    out.peers[i].Set(peers[i]);
  }
  const bool is_neighbour = zone.type == config::ZoneType::kNeighbor;
  out.port = PortOf(zone);
  out.transport = !is_neighbour || zone.transport == config::ZoneTransport::kTls
                      ? sip::TransportKind::kTls
                  : zone.transport == config::ZoneTransport::kTcp ? sip::TransportKind::kTcp
                                                                  : sip::TransportKind::kUdp;
  out.verifies = zone.verify == config::OnOff::kOn || zone.type == config::ZoneType::kUCTraversal;
  out.verify_name.Set(zone.verify_name.view());
  out.user.Set(zone.user.view());
  out.password.Set(zone.password.view());
  out.monitors = zone.monitor == config::OnOff::kOn;
  out.is_least_loaded = zone.selection == config::PeerSelection::kLeastLoaded;
  out.retry = Duration::Seconds(zone.retry);
  return out;
}

dialplan::PatternSetting PatternOf(
    std::string_view text, config::PatternType type,
    config::PatternBehavior behavior = config::PatternBehavior::kLeave,
    std::string_view replacement = {}) {
  dialplan::PatternSetting out;
  out.text.Assign(text);
  out.type = Same<dialplan::PatternType>(type);
  out.behavior = Same<dialplan::PatternBehavior>(behavior);
  out.replacement.Assign(replacement);
  return out;
}

uint8_t DaysOf(std::string_view words) {
  constexpr std::string_view kDays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
  uint8_t out = 0;
  for (size_t i = 0; i < std::size(kDays); ++i) {
    out =
        static_cast<uint8_t>(out | (words.find(kDays[i]) != std::string_view::npos ? 1u << i : 0u));
  }
  return out == 0 ? uint8_t{0x7f} : out;
}

const char* StateName(sip::PeerState state) {
  return state == sip::PeerState::kUp ? "up" : state == sip::PeerState::kDown ? "down" : "unknown";
}

}  // namespace

// --- Settings ------------------------------------------------------------------------------------

void DialPlanService::AddListeners(std::span<const net::IpAddress> addresses,
                                   sip::Config& out) const {
  const auto zones = parts_.configuration.active().zones_zone();
  for (size_t i = 0; i < zones.size(); ++i) {
    if (!dialplan::IsTraversalServer(TypeOf(zones[i]))) {
      continue;
    }
    for (const net::IpAddress& address : addresses) {
      const net::Endpoint at{address, PortOf(zones[i])};
      if (!out.AddListener(sip::TransportKind::kTls, at, at,
                           static_cast<ZoneId>(i + dialplan::kFirstZone))) {
        Take("Zones Zone", static_cast<uint32_t>(i),
             Error(ErrorCode::kExhausted, "there are too many listeners"));
      }
    }
  }
}

void DialPlanService::OpenFirewall(uint8_t port_mask) const {
  for (const config::ZonesZone& zone : parts_.configuration.active().zones_zone()) {
    if (dialplan::IsTraversalServer(TypeOf(zone))) {
      parts_.stack.firewall()
          .Allow({net::Transport::kTcp, PortOf(zone), PortOf(zone), port_mask})
          .ignore("a port number, and few zones");
    }
  }
}

void DialPlanService::Take(const char* setting, uint32_t number, const Result<void>& taken) const {
  if (!taken.ok()) {
    parts_.log.Emit(SipPlanRefused{
        .setting = setting, .number = number + uint64_t{1}, .reason = taken.error().what});
  }
}

void DialPlanService::Apply() {
  const auto zone = log::TimeZone::Of(parts_.configuration.active().time().zone.view());
  time_zone_ = zone.ok() ? *zone : log::TimeZone();
  parts_.engine.plan().Begin();
  ApplyZones();
  ApplySubzones();
  ApplyRules();
  ApplyPolicy();
  ApplyBandwidth();
  parts_.engine.plan().Commit();
  Watch();
}

void DialPlanService::ApplyZones() {
  const config::Settings& settings = parts_.configuration.active();
  dialplan::DialPlan& plan = parts_.engine.plan();
  dialplan::Zone strangers;
  strangers.type = ZoneType::kDefault;
  strangers.trust = Same<dialplan::Trust>(settings.zones_default_zone().authentication);
  strangers.encryption = Same<dialplan::Encryption>(settings.zones_default_zone().encryption);
  strangers.ice = IceOf(settings.zones_default_zone());
  plan.SetDefault(strangers);
  parts_.engine.zones().Begin();
  const auto zones = settings.zones_zone();
  for (uint32_t i = 0; i < zones.size(); ++i) {
    if (zones[i].type == config::ZoneType::kNone) {
      continue;
    }
    sip::ZoneConfig config = ZoneOf(zones[i]);
    const auto profile = ProfileOf(settings, zones[i]);
    if (profile.ok()) {
      config.plan.profile = *profile;
    } else {
      Take("Zones Zone", i, profile.error());
    }
    const auto id = static_cast<ZoneId>(i + dialplan::kFirstZone);
    const Result<void> added = plan.Add(id, config.plan);
    Take("Zones Zone", i, added);
    if (added.ok()) {
      parts_.engine.zones().Add(id, config);
    }
  }
  parts_.engine.zones().Commit();
  const auto delegations = settings.sip_delegation();
  for (uint32_t i = 0; i < delegations.size(); ++i) {
    if (!delegations[i].domain.empty()) {
      dialplan::Delegation out;
      out.domain.Assign(delegations[i].domain.view());
      out.zone.Assign(delegations[i].zone.view());
      Take("SIP Delegation", i, plan.Add(out));
    }
  }
}

void DialPlanService::ApplySubzones() {
  const config::Settings& settings = parts_.configuration.active();
  dialplan::DialPlan& plan = parts_.engine.plan();
  const auto& unplaced = settings.zones_local_zone_default_sub_zone();
  plan.SetDefaultSubzone(Same<dialplan::Trust>(unplaced.authentication),
                         Same<dialplan::Encryption>(unplaced.encryption), IceOf(unplaced));
  const auto subzones = settings.zones_local_zone_sub_zones_sub_zone();
  for (uint32_t i = 0; i < subzones.size(); ++i) {
    if (!subzones[i].name.empty()) {
      dialplan::Subzone out;
      out.name.Assign(subzones[i].name.view());
      out.trust = Same<dialplan::Trust>(subzones[i].authentication);
      out.encryption = Same<dialplan::Encryption>(subzones[i].encryption);
      out.ice = IceOf(subzones[i]);
      Take("Zones LocalZone SubZones SubZone", i, plan.Add(out));
    }
  }
  const auto members = settings.zones_local_zone_membership_rule();
  for (uint32_t i = 0; i < members.size(); ++i) {
    if (!members[i].subzone.empty()) {
      dialplan::Membership out;
      out.subzone.Assign(members[i].subzone.view());
      out.prefix = members[i].subnet;
      out.pattern = PatternOf(members[i].pattern.view(), members[i].pattern_type);
      out.priority = static_cast<uint16_t>(members[i].priority);
      Take("Zones LocalZone MembershipRule", i, plan.Add(out));
    }
  }
  const auto mode = settings.registration_restriction_policy().mode;
  plan.SetRegistrationPolicy(Same<dialplan::RegistrationPolicy>(mode));
  const auto listed = settings.registration_restriction_rule();
  for (uint32_t i = 0; i < listed.size(); ++i) {
    if (!listed[i].pattern.empty()) {
      Take("Registration RestrictionPolicy Rule", i,
           plan.AddRegistration(PatternOf(listed[i].pattern.view(), listed[i].pattern_type)));
    }
  }
}

void DialPlanService::ApplyRules() {
  const config::Settings& settings = parts_.configuration.active();
  dialplan::DialPlan& plan = parts_.engine.plan();
  const auto transforms = settings.transform();
  for (uint32_t i = 0; i < transforms.size(); ++i) {
    const config::Transform& from = transforms[i];
    if (!from.pattern.empty() && from.state == config::OnOff::kOn) {
      dialplan::Transform out;
      out.pattern =
          PatternOf(from.pattern.view(), from.pattern_type, from.behavior, from.replacement.view());
      out.priority = static_cast<uint16_t>(from.priority);
      Take("Transform", i, plan.Add(out));
    }
  }
  const auto rules = settings.zones_policy_search_rules_rule();
  for (uint32_t i = 0; i < rules.size(); ++i) {
    const config::ZonesPolicySearchRulesRule& from = rules[i];
    if (from.target.empty() || from.mode_on != config::OnOff::kOn ||
        from.protocol == config::RuleProtocol::kH323) {
      continue;
    }
    dialplan::SearchRule out;
    out.name.Assign(from.name.view());
    out.pattern =
        PatternOf(from.pattern.view(), from.pattern_type, from.behavior, from.replacement.view());
    out.source_name.Assign(from.source_name.view());
    out.target_name.Assign(from.target.view());
    out.priority = static_cast<uint16_t>(from.priority);
    out.number = static_cast<uint16_t>(i + 1);
    out.source = Same<dialplan::SourceMode>(from.source_mode);
    out.mode = Same<dialplan::RuleMode>(from.mode);
    out.needs_authentication = from.authentication == config::OnOff::kOn;
    out.stops = from.progress == config::RuleProgress::kStop;
    Take("Zones Policy SearchRules Rule", i, plan.Add(out));
  }
}

void DialPlanService::ApplyPolicy() {
  const config::Settings& settings = parts_.configuration.active();
  dialplan::DialPlan& plan = parts_.engine.plan();
  plan.SetPolicyEnabled(settings.call_policy().mode == config::OnOff::kOn);
  const auto rules = settings.call_policy_rule();
  for (uint32_t i = 0; i < rules.size(); ++i) {
    const config::CallPolicyRule& from = rules[i];
    if (from.state != config::OnOff::kOn) {
      continue;
    }
    dialplan::PolicyRule out;
    out.source.Assign(from.source.view());
    out.destination.Assign(from.destination.view());
    out.when = {DaysOf(from.days.view()), static_cast<uint16_t>(from.from),
                static_cast<uint16_t>(from.until)};
    out.number = static_cast<uint16_t>(i + 1);
    out.allows = from.action == config::CallPolicyAction::kAllow;
    Take("CallPolicy Rule", i, plan.Add(out));
  }
  const auto watching = settings.sip_presence_rule();
  for (uint32_t i = 0; i < watching.size(); ++i) {
    if (watching[i].state == config::OnOff::kOn) {
      dialplan::PresenceRule out;
      out.watcher.Assign(watching[i].watcher.view());
      out.user.Assign(watching[i].user.view());
      out.action = Same<dialplan::PresenceAction>(watching[i].action);
      Take("SIP Presence Rule", i, plan.Add(out));
    }
  }
}

void DialPlanService::Watch() {
  constexpr int64_t kMinutesPerWeek = 7 * 24 * 60;
  constexpr int64_t kThursday = 3 * 24 * 60;  // the first day of 1970
  const int64_t now = parts_.clock.Wall().unix_seconds();
  const int64_t minute = (now + time_zone_.OffsetAt(now)) / 60 + kThursday;
  parts_.engine.SetMinuteOfWeek(
      static_cast<uint32_t>((minute % kMinutesPerWeek + kMinutesPerWeek) % kMinutesPerWeek));
}

// --- What is typed -------------------------------------------------------------------------------

namespace {

class PatternCheck {
 public:
  PatternCheck(dialplan::PatternStore& store, config::Message& expected)
      : store_(store), expected_(expected) {}
  bool Good(const char* setting, size_t index, std::string_view text, dialplan::PatternType type) {
    store_.Clear();
    const auto compiled = dialplan::Pattern::Compile(store_, type, text);
    if (!compiled.ok()) {
      config::MessageWriter(expected_)
          .Add(compiled.error().what)
          .Add(": ")
          .Add(setting)
          .Add(" ")
          .Add(static_cast<int64_t>(index + 1));
    }
    return compiled.ok();
  }

 private:
  dialplan::PatternStore& store_;
  config::Message& expected_;
};

bool PatternsGood(const config::Settings& settings, PatternCheck& check) {
  const auto transforms = settings.transform();
  const auto rules = settings.zones_policy_search_rules_rule();
  const auto members = settings.zones_local_zone_membership_rule();
  const auto listed = settings.registration_restriction_rule();
  const auto all = [&check](const char* setting, const auto& list) {
    for (size_t i = 0; i < list.size(); ++i) {
      if (!list[i].pattern.empty() &&
          !check.Good(setting, i, list[i].pattern.view(),
                      Same<dialplan::PatternType>(list[i].pattern_type))) {
        return false;
      }
    }
    return true;
  };
  if (!all("Transform", transforms) || !all("Zones Policy SearchRules Rule", rules) ||
      !all("Zones LocalZone MembershipRule", members) ||
      !all("Registration RestrictionPolicy Rule", listed)) {
    return false;
  }
  const auto pair = [&check](const char* setting, size_t i, auto first, auto second) {
    return (first.empty() || check.Good(setting, i, first, dialplan::PatternType::kRegex)) &&
           (second.empty() || check.Good(setting, i, second, dialplan::PatternType::kRegex));
  };
  const auto policy = settings.call_policy_rule();
  for (size_t i = 0; i < policy.size(); ++i) {
    if (!pair("CallPolicy Rule", i, policy[i].source.view(), policy[i].destination.view())) {
      return false;
    }
  }
  const auto watching = settings.sip_presence_rule();
  for (size_t i = 0; i < watching.size(); ++i) {
    if (!pair("SIP Presence Rule", i, watching[i].watcher.view(), watching[i].user.view())) {
      return false;
    }
  }
  return true;
}

// ZONE-02: media of a UC traversal zone is encrypted, and nothing says otherwise.
bool IsEncryptedEnough(const config::ZonesZone& zone) {
  return zone.type != config::ZoneType::kUCTraversal ||
         zone.encryption == config::MediaEncryptionMode::kAuto ||
         zone.encryption == config::MediaEncryptionMode::kForceEncrypted;
}

}  // namespace

Result<void> CheckDialPlan(const config::Settings& settings, dialplan::PatternStore& patterns,
                           config::Message& expected) {
  PatternCheck check(patterns, expected);
  if (!PatternsGood(settings, check)) {
    return Error{ErrorCode::kInvalidArgument, "not a pattern"};
  }
  const auto zones = settings.zones_zone();
  uint32_t uc_count = 0;
  for (size_t i = 0; i < zones.size(); ++i) {
    uc_count += zones[i].type == config::ZoneType::kUCTraversal ? 1 : 0;
    if (uc_count > 1) {
      config::MessageWriter(expected)
          .Add("one UCTraversal zone at most: Zones Zone ")
          .Add(static_cast<int64_t>(i + 1));
      return Error{ErrorCode::kInvalidArgument, "two UC traversal zones"};
    }
    if (!IsEncryptedEnough(zones[i])) {
      config::MessageWriter(expected)
          .Add("Auto or ForceEncrypted where Type is UCTraversal: Zones Zone ")
          .Add(static_cast<int64_t>(i + 1))
          .Add(" SIP Media EncryptionMode");
      return Error{ErrorCode::kInvalidArgument, "a UC traversal zone in the clear"};
    }
    for (size_t k = 0; k < i; ++k) {
      if (dialplan::IsTraversalServer(TypeOf(zones[i])) &&
          dialplan::IsTraversalServer(TypeOf(zones[k])) && PortOf(zones[i]) == PortOf(zones[k])) {
        config::MessageWriter(expected)
            .Add("a port that no other traversal server has: Zones Zone ")
            .Add(static_cast<int64_t>(i + 1))
            .Add(" SIP Port");
        return Error{ErrorCode::kInvalidArgument, "two traversal servers at one port"};
      }
    }
  }
  return Ok();
}

// --- Status and commands -------------------------------------------------------------------------

bool DialPlanService::NextZone(uint64_t& cursor, ByteWriter& out) {
  sip::ZonePeerStatus status;
  auto at = static_cast<uint32_t>(cursor);
  if (!parts_.engine.zones().Next(at, status)) {
    return false;
  }
  cursor = at;
  out.Text("Zones Zone ");
  out.Decimal(status.zone - dialplan::kFirstZone + 1u);
  out.Text(": ");
  out.Text(status.zone_name);
  Tell(out, "type", status.type);
  if (!status.peer.empty()) {
    Tell(out, "peer", status.peer);
    Tell(out, "address", net::ToText(status.remote).view());
  }
  Tell(out, "state", StateName(status.state));
  Tell(out, "calls", status.calls);
  if (status.status != 0) {
    Tell(out, "status", status.status);
  }
  if (status.why[0] != '\0') {
    Tell(out, "reason", status.why);
  }
  return true;
}

// The cursor is the search (from the newest) and the place in its text.
bool DialPlanService::NextSearch(uint64_t& cursor, ByteWriter& out) {
  constexpr uint32_t kShift = 16;
  const dialplan::SearchHistory& history = parts_.engine.history();
  uint64_t age = cursor >> kShift;
  size_t at = cursor & ((uint64_t{1} << kShift) - 1);
  for (; age < history.count() && age < dialplan::kHistoryMax; ++age, at = 0) {
    const uint64_t number = history.count() - age;
    const std::string_view text = history.Text(number);
    if (at >= text.size()) {
      continue;
    }
    const std::string_view line = text.substr(at, text.substr(at).find('\n'));
    out.Text("SIP Search ");
    out.Decimal(number);
    out.Text(": ");
    out.Text(line);
    cursor = age << kShift | (at + line.size() + 1);
    return true;
  }
  return false;
}

Result<void> DialPlanService::LocateCommand(void* context, std::string_view /*by*/,
                                            std::string_view value, ByteWriter& out) {
  auto& self = *static_cast<DialPlanService*>(context);
  const size_t space = value.find(' ');
  ZoneId source = dialplan::kLocalZone;
  if (space != std::string_view::npos) {
    source = self.parts_.engine.plan().FindZone(TrimBlanks(value.substr(space)));
    if (source == dialplan::kNoZone) {
      return Error(ErrorCode::kNotFound, "no zone has that name");
    }
  }
  uint8_t bytes[kLocateBytes];
  ByteWriter text(bytes);
  self.parts_.engine.Locate(value.substr(0, space), source, source == dialplan::kLocalZone, text);
  out.Text(text.text().substr(0, out.room()));
  return Ok();
}

void DialPlanService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&DialPlanService::NextZone>("Zones", "Zones and whether their peers live", this);
  status.AddMember<&DialPlanService::NextSearch>(
      "SIP Search", "The last calls' searches, with every decision", this, true);
  status.AddMember<&DialPlanService::NextLink>("Links", "Links between subzones and zones", this);
  status.AddMember<&DialPlanService::NextPipe>("Pipes", "Pipes and what calls take of them", this);
  status.AddMember<&DialPlanService::NextNode>("Bandwidth", "What calls of subzones and zones take",
                                               this);
  admin::Command locate = {"Locate", "Says where a call to an alias would go, and why"};
  locate.value_help = "user@host, and the zone it comes from (else an authenticated user of ours)";
  locate.context = this;
  locate.run_value = LocateCommand;
  locate.only_looks = true;
  commands.Add(locate);
}

}  // namespace gh
