// The ways to fail that tests ask for by --inject.
#pragma once

#include "board/host/options.h"

namespace gh::board {

void Inject(Fault fault);
// True: it is the media thread that is to fail so.
bool IsMediaFault(Fault fault);

}  // namespace gh::board
