// The dial plan as the operator wrote it: what Plan holds is copied from the settings and checked
// when it is taken (dial_plan.h). Names tie things together, as the operator typed them.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "firmware/dialplan/limits.h"
#include "firmware/dialplan/pattern.h"
#include "hal/rt/fixed_string.h"
#include "net/address.h"

namespace gh::dialplan {

// What may be the source or the target of a call. Numbers are stable while the settings keep
// their places: a zone of the settings is its instance + 1.
using ZoneId = uint16_t;
inline constexpr ZoneId kLocalZone = 0;
inline constexpr ZoneId kDefaultZone = 1;
inline constexpr ZoneId kFirstZone = 2;
inline constexpr uint32_t kZoneIdMax = kZoneMax + kFirstZone;

enum class ZoneType : uint8_t {
  kNone,  // an instance that is not used
  kNeighbour,
  kDns,
  kTraversalClient,
  kTraversalServer,
  kUcTraversalClient,
  kUcTraversalServer,
  kLocal,
  kDefault,
};
const char* ZoneTypeName(ZoneType type);
constexpr bool IsTraversalClient(ZoneType type) {
  return type == ZoneType::kTraversalClient || type == ZoneType::kUcTraversalClient;
}
constexpr bool IsTraversalServer(ZoneType type) {
  return type == ZoneType::kTraversalServer || type == ZoneType::kUcTraversalServer;
}

// What is asked of a request that comes from a zone or subzone.
enum class Trust : uint8_t { kCheckCredentials, kTreatAsAuthenticated, kDoNotCheck };

using Name = FixedString<kNameBytesMax>;
using PatternText = FixedString<kPatternBytesMax>;
using Alias = FixedString<kAliasBytesMax>;

struct PatternSetting {
  PatternText text;
  PatternType type = PatternType::kPrefix;
  PatternBehavior behavior = PatternBehavior::kStrip;
  PatternText replacement;
};

// How media is to be protected towards a zone or subzone.
enum class Encryption : uint8_t { kAuto, kForceEncrypted, kForceUnencrypted, kBestEffort };

// Whether we speak ICE with its parties; whether their candidates pass to others.
struct Ice {
  bool speaks = false;
  bool passes = false;
};

// UPDATE (RFC 3311) through a zone: all of it, session refreshes alone, none.
enum class UpdateMode : uint8_t { kFull, kRefreshOnly, kNone };

// How SIP is spoken with a zone.
struct ZoneProfile {
  bool trusts_identity = false;  // it is in our trust domain (RFC 3325)
  bool refuses_refer = false;
  bool answers_searches = false;  // OPTIONS to users, by ourselves
  UpdateMode update = UpdateMode::kFull;
  FixedString<kPatternBytesMax> strips;  // option tags taken out of Proxy-Require
  bool is_plain() const {
    return !trusts_identity && !refuses_refer && !answers_searches && strips.empty() &&
           update == UpdateMode::kFull;
  }
};

// A domain whose users a traversal zone knows: it asks them for their credentials.
struct Delegation {
  FixedString<kDomainBytesMax> domain;
  Name zone;
};

struct Zone {
  Name name;
  ZoneType type = ZoneType::kNone;
  Trust trust = Trust::kCheckCredentials;
  uint8_t hop_count = 15;
  Encryption encryption = Encryption::kAuto;
  Ice ice;
  ZoneProfile profile;
};

struct Transform {
  PatternSetting pattern;
  uint16_t priority = 1;
};

enum class SourceMode : uint8_t { kAny, kAllZones, kLocal, kNamed };
enum class RuleMode : uint8_t { kAnyAlias, kAnyIpAddress, kAliasPattern };

struct SearchRule {
  Name name;
  PatternSetting pattern;
  Name source_name;
  Name target_name;
  uint16_t priority = 100;
  uint16_t number = 0;  // of the settings, for the explanation
  SourceMode source = SourceMode::kAny;
  RuleMode mode = RuleMode::kAnyAlias;
  bool needs_authentication = false;
  bool stops = false;  // when it matched and its target had no answer, the search is over
};

// Minutes of the week from Monday 00:00; an empty window is always.
struct TimeWindow {
  uint8_t days = 0x7f;  // bit 0: Monday
  uint16_t from = 0;    // minute of the day
  uint16_t until = 0;   // equal to `from`: all day; before it: over midnight
  bool Holds(uint32_t minute_of_week) const;
};

struct PolicyRule {
  Name name;
  PatternText source;  // regular expressions; empty: any
  PatternText destination;
  TimeWindow when;
  uint16_t number = 0;
  bool allows = false;
};

// What becomes of who wants to watch a user's presence (RFC 5025).
enum class PresenceAction : uint8_t { kBlock, kPoliteBlock, kAllow };

struct PresenceRule {
  PatternText watcher;  // regular expressions; empty: any
  PatternText user;
  PresenceAction action = PresenceAction::kBlock;
};

struct Subzone {
  Name name;
  Trust trust = Trust::kCheckCredentials;
  Encryption encryption = Encryption::kAuto;
  Ice ice;
};

// Exactly one of the two says who is a member.
struct Membership {
  Name subzone;
  net::IpPrefix prefix;  // none: the pattern decides
  PatternSetting pattern;
  uint16_t priority = 100;
};

enum class RegistrationPolicy : uint8_t { kNone, kAllowList, kDenyList };

}  // namespace gh::dialplan
