// Commands that show what the board does, for tests/system/test_pc_board.py: named in fw_cfg
// (opt/gatehouse/selftest, separated by white space), honoured by development images only.
#pragma once

#include <string_view>

#include "board/pc/pc_machine.h"

namespace gh::pc {

// Runs the commands one after the other, printing "selftest NAME: ..."; returns after the last.
void RunSelfTest(PcMachine& board, PageTables& pages, std::string_view commands);

}  // namespace gh::pc
