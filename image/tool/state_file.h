// The boot state record of a disk image: shown and changed by hand, for tests and for repair.
#pragma once

#include <optional>
#include <string>

#include "image/bootstate.h"

namespace gh::image::tool {

struct StateEdit {
  std::string slot;   // "a", "b": which one the next three are of; "" none
  std::string state;  // "empty", "trial", "confirmed", "bad"; "" as it is
  std::optional<uint64_t> tries;
  std::optional<uint64_t> slot_security_version;
  bool is_newest = false;         // the slot was installed last
  std::optional<uint64_t> floor;  // the record's security version
  std::string reset;              // "none", "keep-network", "everything"; "" as it is
  bool is_lost = false;           // destroys all copies; nothing else is done then
  bool IsNone() const;
};

// Changes the record of the disk image `path` as `edit` says, by quorum and in the order of the
// machine's own writes, and prints it. Ends the tool when there is none.
void EditState(const std::string& path, const StateEdit& edit);

}  // namespace gh::image::tool
