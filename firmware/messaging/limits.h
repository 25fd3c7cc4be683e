// Limits of messaging's services; those of the engines are in firmware/xmpp and firmware/s2s.
#pragma once

#include <cstdint>

namespace gh {

inline constexpr uint32_t kXmppChangeMax = 2048;  // rows of one commit

}  // namespace gh
