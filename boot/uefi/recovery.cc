#include "boot/uefi/recovery.h"

#include <algorithm>

#include "boot/uefi/cpu.h"
#include "boot/uefi/receive.h"
#include "image/bootstate_changes.h"
#include "image/slot.h"

namespace gh::boot {

namespace {

using image::PartitionRole;

constexpr char kHelp[] =
    "  state                what is known of the slots and the security version\n"
    "  log                  what happened since power-on: why the machine is here\n"
    "  receive a|b          take a signed update file by YMODEM into a slot\n"
    "  boot a|b             choose that slot (a slot given up gets a new trial) and start it\n"
    "  boot golden          start the golden image, this once\n"
    "  continue             try to start as usual\n"
    "  reset                factory reset: erases settings, keys and logs; installs golden\n"
    "  reset keep-network   the same, but keeps the network settings\n"
    "  reboot, poweroff\n";
constexpr uint8_t kControlC = 3;
constexpr uint8_t kBackspace = 8;
constexpr uint8_t kDelete = 0x7f;

constexpr const char* kStateNames[] = {"empty", "trial", "confirmed", "bad"};
constexpr PartitionRole kRoles[] = {PartitionRole::kSlotA, PartitionRole::kSlotB,
                                    PartitionRole::kFactory};

const char* StatusName(image::RecordStatus status) {
  switch (status) {
    case image::RecordStatus::kGood:
      return "four copies agree";
    case image::RecordStatus::kRepaired:
      return "repaired";
    case image::RecordStatus::kDamaged:
      return "DAMAGED, not repaired";
    case image::RecordStatus::kLost:
      return "was lost, made anew";
    case image::RecordStatus::kUnread:
      break;
  }
  return "not read";
}

}  // namespace

bool Recovery::Run() {
  console_.Line("\nGatehouse recovery console. Only signed images are ever started. Type help.");
  for (;;) {
    const Next next = Execute(ReadLine("recovery> "));
    if (next != Next::kStay) {
      return next == Next::kGolden;
    }
  }
}

std::string_view Recovery::ReadLine(std::string_view prompt) {
  const uint64_t level =
      console_.has_serial() ? services_.boot().raise_tpl(efi::kTplNotify) : uint64_t{0};
  console_.Text(prompt);
  size_t size = 0;
  for (;;) {
    uint8_t byte = 0;
    if (!console_.Get(byte)) {
      Pause();
      continue;
    }
    if (byte == '\r' || byte == '\n') {
      break;
    }
    if (byte == kControlC) {
      console_.Text("^C");
      size = 0;
      break;
    }
    if ((byte == kBackspace || byte == kDelete) && size > 0) {
      --size;
      console_.Text("\b \b");
    } else if (byte >= 0x20 && byte < 0x7f && size < line_.size()) {
      line_[size++] = static_cast<char>(byte);
      console_.Put(static_cast<char>(byte));
    }
  }
  console_.Text("\n");
  if (console_.has_serial()) {
    services_.boot().restore_tpl(level);
  }
  std::string_view line(line_.data(), size);
  while (line.ends_with(' ')) {
    line.remove_suffix(1);
  }
  return line;
}

Recovery::Next Recovery::Execute(std::string_view line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string_view verb = line.substr(0, space);
  std::string_view rest = line;
  rest.remove_prefix(std::min(space + 1, line.size()));
  if (verb == "help") {
    console_.Text(kHelp);
  } else if (line == "state") {
    ShowState();
  } else if (line == "log") {
    console_.Text(report_.log());
  } else if (verb == "receive" && (rest == "a" || rest == "b")) {
    Receiver(services_, console_, disk_, chain_, tsc_per_ms_).Run(rest == "b" ? 1 : 0);
  } else if (verb == "boot") {
    return Boot(rest);
  } else if (verb == "reset") {
    return Reset(rest);
  } else if (line == "continue") {
    return Next::kContinue;
  } else if (line == "reboot") {
    services_.ResetMachine(efi::kResetCold);
  } else if (line == "poweroff") {
    services_.ResetMachine(efi::kResetShutdown);
  } else if (!line.empty()) {
    console_.Line("unknown command: type help");
  }
  return Next::kStay;
}

void Recovery::Tell(const Result<void>& result) {
  if (!result.ok()) {
    console_.Text("FAILED: ");
    console_.Line(result.error().what);
  }
}

Recovery::Next Recovery::Boot(std::string_view which) {
  if (which == "golden") {
    return Next::kGolden;
  }
  if (which != "a" && which != "b") {
    console_.Line("boot a, boot b or boot golden");
    return Next::kStay;
  }
  image::BootState& state = chain_.state();
  const auto selected = image::SelectSlot(state, which == "b" ? 1 : 0);
  const auto saved = selected.ok() ? chain_.SaveState() : Result<void>(selected.error());
  Tell(saved);
  return saved.ok() ? Next::kContinue : Next::kStay;
}

Recovery::Next Recovery::Reset(std::string_view option) {
  if (!option.empty() && option != "keep-network") {
    console_.Line("reset, or reset keep-network");
    return Next::kStay;
  }
  console_.Line("This erases settings, keys and logs for good. Device identity stays.");
  if (ReadLine("Type ERASE to go on: ") != "ERASE") {
    console_.Line("Nothing was changed.");
    return Next::kStay;
  }
  image::RequestReset(chain_.state(), !option.empty(), image::ResetSource::kConsole);
  auto done = chain_.SaveState();
  if (done.ok()) {
    done = chain_.RunReset();
  }
  Tell(done);
  return done.ok() ? Next::kContinue : Next::kStay;
}

void Recovery::ShowSlot(uint32_t index) {
  const image::SlotRecord& slot = chain_.state().slots[index];
  console_.Text(kStateNames[static_cast<size_t>(slot.state)]);
  if (slot.state == image::SlotState::kTrial) {
    console_.Text(", tries left ");
    console_.Decimal(slot.tries_left);
  }
  console_.Text(", security version ");
  console_.Decimal(slot.security_version);
  if (!slot.reason.empty()) {
    console_.Text(", given up: ");
    console_.Text(slot.reason.view());
  }
}

// What the slot says it holds; not verified here.
void Recovery::ShowStored(PartitionRole role) {
  alignas(16) std::array<uint8_t, image::kSlotHeaderSize> block;
  if (disk_.Size(role) < block.size() || !disk_.Read(role, 0, block).ok()) {
    console_.Text("cannot be read");
    return;
  }
  const auto layout = image::ParseSlotHeader(block, disk_.Size(role));
  if (!layout.ok()) {
    console_.Text(layout.error().what);
    return;
  }
  auto pages = services_.AllocatePages(image::kManifestSizeMax, efi::kLoaderData);
  if (!pages.ok()) {
    return;
  }
  const uint64_t whole = (uint64_t{layout->manifest_size} + 4095) / 4096 * 4096;
  if (disk_.Read(role, layout->manifest_offset, pages->first(whole)).ok()) {
    const auto manifest = image::DecodeManifest(pages->first(layout->manifest_size));
    console_.Text(manifest.ok() ? manifest->version : manifest.error().what);
  }
  services_.FreePages(*pages);
}

void Recovery::ShowState() {
  const image::BootState& state = chain_.state();
  console_.Text("record: ");
  console_.Text(StatusName(chain_.history().record));
  console_.Text(", sequence ");
  console_.Decimal(state.sequence);
  console_.Text("\nsecurity version: nothing below ");
  console_.Decimal(chain_.security_floor());
  console_.Text(" is started (record ");
  console_.Decimal(state.security_version);
  console_.Text(", counter ");
  console_.Text(counter_.name);
  console_.Text(" ");
  console_.Decimal(counter_.value);
  console_.Text(")\n");
  for (uint32_t index = 0; index < kSlotCount; ++index) {
    console_.Text(image::SpecOf(kRoles[index]).name);
    console_.Text(": ");
    if (index < image::kBootSlotCount) {
      ShowSlot(index);
    } else {
      console_.Text("golden");
    }
    console_.Text("; holds: ");
    ShowStored(kRoles[index]);
    if (const auto& failure = chain_.history().failures[index]; !failure.empty()) {
      console_.Text("; refused: ");
      console_.Text(failure.view());
    }
    console_.Text("\n");
  }
  if (state.reset_intent != image::ResetIntent::kNone) {
    console_.Line("a factory reset is not complete");
  }
}

}  // namespace gh::boot
