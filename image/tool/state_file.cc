#include "image/tool/state_file.h"

#include <cstdio>

#include "image/bootstate_changes.h"
#include "image/bootstate_copies.h"
#include "image/tool/disk.h"

namespace gh::image::tool {

namespace {

constexpr const char* kStateNames[] = {"empty", "trial", "confirmed", "bad"};
constexpr const char* kResetNames[] = {"none", "keep-network", "everything"};

class FileStateDisk final : public StateDisk {
 public:
  FileStateDisk(RandomFile& file, uint64_t offset) : file_(file), offset_(offset) {}
  Result<void> Read(uint64_t offset, std::span<uint8_t> out) override {
    file_.Read(offset_ + offset, out);
    return Ok();
  }
  Result<void> Write(uint64_t offset, std::span<const uint8_t> data) override {
    file_.Write(offset_ + offset, data);
    return Ok();
  }
  Result<void> Flush() override { return Ok(); }

 private:
  RandomFile& file_;
  uint64_t offset_;
};

template <size_t N>
uint8_t NumberOf(const char* const (&names)[N], const std::string& name) {
  for (size_t i = 0; i < N; ++i) {
    if (name == names[i]) {
      return static_cast<uint8_t>(i);
    }
  }
  Die("bootstate: unknown word: " + name);
}

void Apply(const StateEdit& edit, BootState& state) {
  if (!edit.slot.empty()) {
    if (edit.slot != "a" && edit.slot != "b") {
      Die("bootstate: --slot is a or b");
    }
    SlotRecord& slot = state.slots[edit.slot == "b" ? 1 : 0];
    if (!edit.state.empty()) {
      slot.state = static_cast<SlotState>(NumberOf(kStateNames, edit.state));
      slot.reason.Clear();
      slot.unhealthy_starts = 0;
    }
    if (edit.tries.value_or(0) > kTriesMax) {
      Die("bootstate: --tries is " + std::to_string(kTriesMax) + " at most");
    }
    slot.tries_left = static_cast<uint8_t>(edit.tries.value_or(slot.tries_left));
    slot.security_version = edit.slot_security_version.value_or(slot.security_version);
    if (edit.is_newest) {
      slot.install_sequence = NewestInstall(state) + 1;
    }
  }
  state.security_version = edit.floor.value_or(state.security_version);
  if (!edit.reset.empty()) {
    state.reset_intent = static_cast<ResetIntent>(NumberOf(kResetNames, edit.reset));
    state.reset_step = 0;
  }
}

void Print(const BootState& state, CopyMask holders) {
  std::printf("copies %x, sequence %llu, security version %llu, started %c%s%s%s\n", holders,
              static_cast<unsigned long long>(state.sequence),
              static_cast<unsigned long long>(state.security_version), "abg-"[state.started & 3],
              state.is_started_on_trial ? " on trial" : "", state.was_reset ? ", was reset" : "",
              state.is_golden_next ? ", golden next" : "");
  for (uint32_t i = 0; i < kBootSlotCount; ++i) {
    const SlotRecord& slot = state.slots[i];
    std::printf("slot-%c: %s, tries %u, security version %llu, install %llu, unhealthy %u%s%s\n",
                "ab"[i], kStateNames[static_cast<size_t>(slot.state)], slot.tries_left,
                static_cast<unsigned long long>(slot.security_version),
                static_cast<unsigned long long>(slot.install_sequence), slot.unhealthy_starts,
                slot.reason.empty() ? "" : ", ", slot.reason.c_str());
  }
  std::printf("reset: %s, step %u\n", kResetNames[static_cast<size_t>(state.reset_intent)],
              state.reset_step);
}

}  // namespace

bool StateEdit::IsNone() const { return slot.empty() && !floor && reset.empty() && !is_lost; }

void EditState(const std::string& path, const StateEdit& edit) {
  RandomFile file(path, edit.IsNone() ? RandomFile::Mode::kRead : RandomFile::Mode::kUpdate);
  const auto table = ReadDiskTable(file);
  const GptPartition* const partition =
      table ? table->FindType(SpecOf(PartitionRole::kBootState).type) : nullptr;
  if (partition == nullptr) {
    Die(path + ": has no boot state");
  }
  const uint64_t offset = partition->first_block * kDiskBlockSize;
  if (edit.is_lost) {
    const Bytes zeros(kBootStateCopySize);
    for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
      file.Write(offset + uint64_t{copy} * kBootStateCopyStride, zeros);
    }
    std::printf("all copies are destroyed\n");
    return;
  }
  if (edit.IsNone()) {
    // Only looks: a repair would be a change.
    std::array<BootState, kBootStateCopyCount> states;
    std::array<const BootState*, kBootStateCopyCount> copies = {};
    for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
      std::array<uint8_t, kBootStateCopySize> bytes;
      file.Read(offset + uint64_t{copy} * kBootStateCopyStride, bytes);
      if (auto state = DecodeBootState(bytes, copy); state.ok()) {
        states[copy] = *state;
        copies[copy] = &states[copy];
      }
    }
    const auto pick = PickBootState(copies);
    if (!pick.ok()) {
      Die(path + ": all copies of the boot state are lost");
    }
    Print(pick->state, pick->holders);
    return;
  }
  FileStateDisk disk(file, offset);
  BootStateCopies copies(disk);
  auto loaded = copies.Load();
  BootState state = loaded.value_or(BootState());
  Apply(edit, state);
  if (!copies.Save(state).ok()) {
    Die(path + ": cannot be written");
  }
  Print(state, kAllCopies);
}

}  // namespace gh::image::tool
