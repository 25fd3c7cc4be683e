// Which names and addresses are ours.
#pragma once

#include <optional>

#include "firmware/sip/core.h"
#include "firmware/sip/uri.h"

namespace gh::sip {

// Index of the domain that `uri`'s host is, or nothing when it is not ours. One of our own
// listening addresses stands for the first domain. A port that we do not listen on is somebody
// else.
std::optional<uint8_t> DomainOf(const Config& config, const Uri& uri);
// Whether the URI's host and port are one of our listening addresses.
bool IsOwnAddress(const Config& config, const Uri& uri);

}  // namespace gh::sip
