// With whom stanzas are exchanged: a default, and exceptions that are its opposite.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/s2s/limits.h"
#include "hal/rt/fixed_string.h"

namespace gh::s2s {

enum class Direction : uint8_t { kBoth, kIncoming, kOutgoing };

struct Exception {
  // "example.com", or "*.example.com" for it and all below.
  FixedString<xmpp::kDomainMax> domain;
  Direction direction = Direction::kBoth;
};

struct Policy {
  bool allows_by_default = true;
  std::array<Exception, kExceptionMax> exceptions = {};
  uint32_t exception_count = 0;

  // `direction`: kIncoming or kOutgoing.
  bool Allows(std::string_view domain, Direction direction) const;
};

bool MatchesDomain(std::string_view pattern, std::string_view domain);

}  // namespace gh::s2s
