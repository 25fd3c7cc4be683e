// The board's main: brings the machine up, builds hal::Machine, runs the appliance for ever.
#pragma once

#include "boot/handover.h"

namespace gh::pc {

[[noreturn]] void PcMain(const boot::Handover* handover);

}  // namespace gh::pc
