// Commands that show what the board does, for tests/system/test_pc_board.py: named in fw_cfg
// (opt/gatehouse/selftest, separated by white space), honoured by development images only.
#pragma once

#include <string_view>

#include "board/pc/pc_machine.h"

namespace gh::pc {

// Runs the commands one after the other, printing "selftest NAME: ..."; returns after the last.
void RunSelfTest(PcMachine& board, PageTables& pages, std::string_view commands);
// In the appliance's loop: a fault that a command asked for, some seconds after `started`.
void RunLateFault(PcMachine& board, PageTables& pages, Instant started);

}  // namespace gh::pc
