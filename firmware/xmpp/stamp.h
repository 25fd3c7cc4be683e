// Dates and times as XMPP writes them (XEP-0082), in UTC.
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::xmpp {

void WriteStamp(int64_t unix_seconds, ByteWriter& out);
// False: no date and time. Fractions of a second are read and forgotten.
bool ReadStamp(std::string_view text, int64_t& unix_seconds);

}  // namespace gh::xmpp
