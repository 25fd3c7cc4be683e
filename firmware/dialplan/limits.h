// The limits of the dial plan.
#pragma once

#include <cstdint>

namespace gh::dialplan {

inline constexpr uint32_t kAliasBytesMax = 256;    // "user@host" of one request
inline constexpr uint32_t kPatternBytesMax = 120;  // as typed
inline constexpr uint32_t kNameBytesMax = 50;      // of zones, rules, subzones, pipes
inline constexpr uint32_t kDomainBytesMax = 127;
inline constexpr uint32_t kDelegationMax = 32;
inline constexpr uint32_t kZoneMax = 64;  // beside the local and the default zone
inline constexpr uint32_t kRuleMax = 1000;
inline constexpr uint32_t kTransformMax = 100;
inline constexpr uint32_t kPolicyRuleMax = 100;
inline constexpr uint32_t kPresenceRuleMax = 100;
inline constexpr uint32_t kSubzoneMax = 64;
inline constexpr uint32_t kMembershipMax = 200;
inline constexpr uint32_t kRegistrationRuleMax = 200;
inline constexpr uint32_t kLinkMax = 200;
inline constexpr uint32_t kPipeMax = 64;
inline constexpr uint32_t kStepMax = 12;     // targets of one search
inline constexpr uint32_t kPathPipeMax = 8;  // pipes one call goes through

// One regular expression, compiled.
inline constexpr uint32_t kInstructionMax = 512;
inline constexpr uint32_t kGroupMax = 10;    // what \0 to \9 can name
inline constexpr uint32_t kNestingMax = 16;  // of parentheses
inline constexpr uint32_t kRepeatMax = 100;  // of {n,m}
// All of them together.
inline constexpr uint32_t kInstructionTotal = 65536;
inline constexpr uint32_t kClassTotal = 4096;

// Searches that can be looked at afterwards.
inline constexpr uint32_t kHistoryMax = 64;
inline constexpr uint32_t kHistoryBytes = 2000;

static_assert(kInstructionMax < INT16_MAX, "jumps are 16 bits");

// What a policy service may say.
inline constexpr size_t kPolicyPhraseBytesMax = 64;

}  // namespace gh::dialplan
