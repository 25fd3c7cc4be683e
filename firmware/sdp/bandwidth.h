// Bandwidth in a description (RFC 8866 5.8, RFC 3890): what it asks for, and a copy that asks for
// less. Pure; lines that cannot be read count for nothing and are copied as they are.
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::sdp {

// kbit/s of the whole session: the session's own b= line (the largest of AS, CT, TIAS), else the
// sum of those of its media that are not switched off. 0: it says nothing.
uint32_t BandwidthOf(std::string_view body);

// The description for at most `limit_kbps`: each b= line in proportion, or a line of its own where
// there was none. `out` not ok: there was no room.
void LimitBandwidth(std::string_view body, uint32_t limit_kbps, ByteWriter& out);

}  // namespace gh::sdp
