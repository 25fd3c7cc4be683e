// A 503 to a request that GlanceAtNew has seen, from the lines of its head alone: a part of what it
// costs to index and check the request first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "firmware/sip/flow.h"
#include "firmware/sip/keyed_hash.h"
#include "firmware/sip/message.h"
#include "hal/rt/bytes.h"

namespace gh::sip {

// The topmost Via (its `params` and `transport` are not filled in), if it is a plain one of RFC
// 3261 that asks for no more than a response where the datagram came from (RFC 3261 18.2.2, RFC
// 3581).
std::optional<Via> GlanceAtVia(std::span<const uint8_t> request, const Flow& source);

// `via`: what GlanceAtVia said. False: what there must be once is there twice or not at all. `tag`:
// of what the To tag is made, the same for a request that is repeated.
bool WriteBusyAnswer(std::span<const uint8_t> request, const Via& via, const Flow& source,
                     KeyedHash tag, uint32_t retry_after_s, ByteWriter& out);

}  // namespace gh::sip
