// The UEFI loader: finds its disk, lets the boot chain (boot/chain.h) choose and verify an image in
// memory, and jumps into it.
//
// A slot is read once and verified where it lies; what is verified is what is used. What has to be
// remembered of a start is durable before the jump, and a watchdog runs from then on. When no image
// may be started the machine stays here, in the recovery console, never in the firmware's shell.
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "boot/chain.h"
#include "boot/elf.h"
#include "boot/handover.h"
#include "boot/limits.h"
#include "boot/trusted_keys.h"
#include "boot/uefi/console.h"
#include "boot/uefi/counter.h"
#include "boot/uefi/cpu.h"
#include "boot/uefi/disk.h"
#include "boot/uefi/fw_cfg.h"
#include "boot/uefi/measure.h"
#include "boot/uefi/panic.h"
#include "boot/uefi/partitions.h"
#include "boot/uefi/recovery.h"
#include "boot/uefi/report.h"
#include "boot/uefi/services.h"
#include "boot/uefi/watchdog.h"
#include "image/gpt.h"
#include "image/slot.h"
#include "version.h"

namespace gh::boot {
namespace {

class Loader {
 public:
  Loader(efi::SystemTable& system, efi::Handle image, uint64_t tsc_entry)
      : services_(system, image),
        console_(system.console_in, system.console_out),
        report_(console_),
        tsc_entry_(tsc_entry),
        partitions_(disk_, table_),
        slot_memory_(services_),
        variable_counter_(*system.runtime) {}

  // Returns only when there is no disk to work with.
  void Run();

 private:
  Result<void> Prepare();
  void PrepareChain();
  void TryImages(bool is_operators_choice);
  Result<void> StartImage(bool is_operators_choice);
  Result<void> PlaceFirmware();
  Result<void> Jump(bool is_operators_choice);
  void FreeImage();
  void Announce(uint64_t verify_ms, uint64_t read_ms);
  void FillHandover();
  void FillStart(bool is_operators_choice);
  void MeasureSlot();
  uint64_t MillisecondsSince(uint64_t tsc) const { return (ReadTsc() - tsc) / tsc_per_ms_; }

  Services services_;
  Console console_;
  ConsoleReport report_;
  uint64_t tsc_entry_;
  uint64_t tsc_per_ms_ = 1;
  UefiDisk disk_;
  image::GptTable table_;
  PartitionDisk partitions_;
  SlotMemory slot_memory_;
  MachineSettings settings_;
  TpmCounter tpm_counter_;
  VariableCounter variable_counter_;
  HardwareCounter* counter_ = nullptr;
  CounterStatus counter_status_;
  std::optional<Chain> chain_;
  bool has_persistent_ = false;
  std::span<uint8_t> gpt_scratch_;
  std::span<uint8_t> map_buffer_;
  Handover* handover_ = nullptr;

  // Of the image being started.
  ChainStart start_;
  ElfPlan plan_;
  std::span<uint8_t> memory_;
};

Result<void> Loader::Prepare() {
  // First of all, before anything else can be put there: it holds the last run's crash record.
  has_persistent_ = services_.ReserveAt(kPersistentAddress, kPersistentSize);
  services_.DisableWatchdog();
  GH_TRY_ASSIGN(gpt_scratch_, services_.AllocatePages(image::kGptScratchSize, efi::kLoaderData));
  GH_TRY_ASSIGN(map_buffer_, services_.AllocatePages(kMemoryMapSizeMax, efi::kLoaderData));
  GH_TRY_ASSIGN(auto pages, services_.AllocatePages(sizeof(Handover), efi::kLoaderData));
  std::memset(pages.data(), 0, pages.size());
  handover_ = new (pages.data()) Handover();
  GH_TRY(disk_.Open(services_.boot(), services_.image()));
  GH_TRY(image::ReadGpt(disk_, gpt_scratch_.first<image::kGptScratchSize>(), table_));
  if (table_.is_backup) {
    console_.Line("loader: WARNING: the primary partition table is damaged; using its backup");
  }
  return Ok();
}

void Loader::PrepareChain() {
  settings_ = ReadMachineSettings();
  ChainPolicy policy;
  policy.keys = TrustedKeys();
  policy.root_signature_count_min = RootSignatureCountMin();
  policy.is_reset_button_down = settings_.is_reset_button_down;
  const bool has_tpm = tpm_counter_.Open(services_.boot());
  counter_ = has_tpm ? static_cast<HardwareCounter*>(&tpm_counter_) : &variable_counter_;
  counter_status_.name = has_tpm ? "TPM" : "UEFI variable";
  chain_.emplace(partitions_, slot_memory_, counter_, report_, policy);
  chain_->Begin();
  counter_status_.value = counter_->value();
}

void Loader::Announce(uint64_t verify_ms, uint64_t read_ms) {
  const image::Manifest& manifest = start_.verified.manifest;
  console_.Text("loader: ");
  console_.Text(image::SpecOf(start_.role).name);
  console_.Text(": verified ");
  console_.Text(manifest.product);
  console_.Text(" ");
  console_.Text(manifest.version);
  console_.Text(" (build ");
  console_.Text(manifest.build_id);
  console_.Text(", security version ");
  console_.Decimal(manifest.security_version);
  console_.Text("), key id ");
  console_.Hex(start_.verified.key_id);
  console_.Text(", ");
  console_.Decimal(start_.slot.size() / 1024);
  console_.Text(" KiB in ");
  console_.Decimal(verify_ms);
  console_.Text(" ms (disk ");
  console_.Decimal(read_ms);
  console_.Line(" ms)");
  if (start_.kind == StartKind::kTrial) {
    console_.Text("loader: ");
    console_.Text(image::SpecOf(start_.role).name);
    console_.Text(": on trial, tries left after this one: ");
    console_.Decimal(start_.tries_left);
    console_.Text("\n");
  }
  if (start_.verified.is_development) {
    console_.Line("loader: *** DEVELOPMENT IMAGE: not for production ***");
  }
}

Result<void> Loader::PlaceFirmware() {
  const image::Manifest& manifest = start_.verified.manifest;
  const uint32_t index = image::FirmwareSegment(manifest);
  const uint64_t offset = uint64_t{image::SegmentFirstBlock(manifest, index)} * manifest.block_size;
  const auto file = start_.payload().subspan(offset, manifest.segments[index].size);
  GH_TRY_ASSIGN(plan_, PlanElf(file));
  GH_TRY_ASSIGN(memory_,
                services_.AllocateAnywhere(plan_.memory_size, efi::kLoaderCode, map_buffer_));
  return LoadElf(plan_, file, memory_, reinterpret_cast<uint64_t>(memory_.data()));
}

// Why this image, and what failed before it.
void Loader::FillStart(bool is_operators_choice) {
  Handover& handover = *handover_;
  handover.failure_count = 0;
  for (uint32_t index = 0; index < kSlotCount; ++index) {
    const std::string_view text = chain_->history().failures[index].view();
    if (text.empty()) {
      continue;
    }
    SlotFailure& failure = handover.failures[handover.failure_count++];
    failure = SlotFailure();
    failure.slot = "abg"[index];
    std::memcpy(failure.text, text.data(), std::min(text.size(), sizeof(failure.text) - 1));
  }
  handover.tries_left = start_.tries_left;
  const bool is_chosen_golden = start_.letter == 'g' && chain_->is_golden_chosen();
  if (is_operators_choice || is_chosen_golden) {
    handover.start_reason = StartReason::kOperator;
  } else if (start_.kind == StartKind::kGolden) {
    handover.start_reason = StartReason::kGolden;
  } else if (start_.kind == StartKind::kTrial) {
    handover.start_reason = StartReason::kTrial;
  } else {
    handover.start_reason =
        handover.failure_count == 0 ? StartReason::kConfirmed : StartReason::kFallback;
  }
  const image::BootState& state = chain_->state();
  handover.reset_done = state.was_reset ? 1 : 0;
  handover.is_button_held = settings_.is_reset_button_down ? 1 : 0;
  handover.record_security_version = state.security_version;
  handover.record_sequence = state.sequence;
  handover.counter_kind = counter_->kind();
  handover.counter_security_version = counter_status_.value;
}

void Loader::FillHandover() {
  Handover& handover = *handover_;
  handover.magic = kHandoverMagic;
  handover.version = kHandoverVersion;
  handover.size = sizeof(Handover);
  handover.image_start = reinterpret_cast<uint64_t>(memory_.data());
  handover.image_size = memory_.size();
  handover.persistent_start = has_persistent_ ? kPersistentAddress : 0;
  handover.persistent_size = has_persistent_ ? kPersistentSize : 0;
  handover.tsc_entry = tsc_entry_;
  handover.flags = start_.verified.is_development ? uint32_t{kHandoverDevelopment} : 0;
  handover.slot = start_.letter;
  handover.security_version = start_.verified.manifest.security_version;
  static_assert(sizeof(handover.image_version) >= sizeof(start_.verified.manifest.version));
  std::memcpy(handover.image_version, start_.verified.manifest.version,
              sizeof(start_.verified.manifest.version));
  for (size_t i = 0; i < start_.verified.key_id.size(); ++i) {
    handover.key_id[2 * i] = "0123456789abcdef"[start_.verified.key_id[i] >> 4];
    handover.key_id[2 * i + 1] = "0123456789abcdef"[start_.verified.key_id[i] & 15];
  }
  handover.loader_version = kLoaderVersion;
  handover.root_signature_count_min = static_cast<uint8_t>(RootSignatureCountMin());
  for (const image::TrustedKey& trusted : TrustedKeys()) {
    if (handover.trusted_key_count < kHandoverKeyMax) {
      HandoverKey& row = handover.trusted_keys[handover.trusted_key_count++];
      std::memcpy(row.key, trusted.key.data(), sizeof(row.key));
      row.role = static_cast<uint32_t>(trusted.role);
      row.is_development = trusted.is_development ? 1 : 0;
    }
  }
  std::memcpy(handover.disk_guid, table_.disk.data(), table_.disk.size());
  services_.DescribeFirmware(handover);
}

// A machine without a TPM starts all the same, and so does one whose TPM fails: it then has no
// registers that open what is sealed to them.
void Loader::MeasureSlot() {
  Tpm tpm;
  if (!tpm.Open(services_.boot())) {
    return;
  }
  const auto measured = tpm.Measure(start_.verified, start_.metadata());
  handover_->flags |= measured.ok() ? uint32_t{kHandoverMeasured} : 0;
  const auto shown = tpm.Show(*handover_);
  console_.Text("loader: ");
  if (!measured.ok() || !shown.ok()) {
    console_.Text("WARNING: ");
    console_.Line(measured.ok() ? shown.error().what : measured.error().what);
    return;
  }
  console_.Line("manifest and payload measured by the TPM, registers 8 and 9");
}

Result<void> Loader::Jump(bool is_operators_choice) {
  FillHandover();
  FillStart(is_operators_choice);
  MeasureSlot();
  console_.Text("loader: starting ");
  console_.Text(image::SpecOf(start_.role).name);
  console_.Text(" after ");
  console_.Decimal(MillisecondsSince(tsc_entry_));
  console_.Line(" ms in the loader");
  const MemoryMark marks[] = {
      {handover_->image_start, handover_->image_size, MemoryKind::kImage},
      {handover_->persistent_start, handover_->persistent_size, MemoryKind::kPersistent},
  };
  GH_TRY(services_.Leave(map_buffer_, std::span(marks).first(has_persistent_ ? 2 : 1), *handover_));
  console_.DropFallback();
  DisableInterrupts();
  handover_->watchdog_ms =
      ArmWatchdog(settings_.watchdog_seconds) ? settings_.watchdog_seconds * 1000 : 0;
  using Entry = __attribute__((sysv_abi)) void (*)(Handover*);
  const auto entry = reinterpret_cast<Entry>(handover_->image_start + plan_.entry);
  handover_->tsc_jump = ReadTsc();
  entry(handover_);
  console_.Line("loader: the firmware returned");
  StopForGood();
}

void Loader::FreeImage() {
  if (!memory_.empty()) {
    const uint64_t whole = (memory_.size() + kPageSize - 1) / kPageSize * kPageSize;
    services_.FreePages({memory_.data(), whole});
    memory_ = {};
  }
}

Result<void> Loader::StartImage(bool is_operators_choice) {
  GH_TRY(PlaceFirmware());
  return Jump(is_operators_choice);
}

void Loader::TryImages(bool is_operators_choice) {
  for (;;) {
    const uint64_t start = ReadTsc();
    const uint64_t disk_before = partitions_.tsc_spent();
    if (!chain_->Next(start_)) {
      return;
    }
    const uint64_t disk_tsc = partitions_.tsc_spent() - disk_before;
    Announce((ReadTsc() - start - disk_tsc) / tsc_per_ms_, disk_tsc / tsc_per_ms_);
    const auto result = StartImage(is_operators_choice);
    FreeImage();
    chain_->Refuse(start_, result.error().what);
  }
}

void Loader::Run() {
  SetPanicConsole(&console_);
  tsc_per_ms_ = services_.MeasureTscPerMs();
  console_.Text("\nGatehouse loader ");
  console_.Decimal(kLoaderVersion);
  console_.Text(" (");
  console_.Text(kVersion);
  console_.Line(")");
  const auto prepared = Prepare();
  if (!prepared.ok()) {
    console_.Text("loader: ");
    console_.Line(prepared.error().what);
    return;
  }
  PrepareChain();
  Recovery recovery(services_, console_, partitions_, *chain_, report_, counter_status_,
                    tsc_per_ms_);
  bool is_recovery_wanted = settings_.is_recovery_wanted || console_.IsCalled();
  for (;;) {
    bool is_golden_chosen = false;
    if (is_recovery_wanted) {
      is_golden_chosen = recovery.Run();
      chain_->StartOver();
      if (is_golden_chosen) {
        chain_->StartOnlyGolden();
      }
    }
    TryImages(is_golden_chosen);
    console_.Line("loader: STOPPED: nothing on this disk may be started");
    is_recovery_wanted = true;
  }
}

}  // namespace
}  // namespace gh::boot

extern "C" gh::boot::efi::Status EfiMain(gh::boot::efi::Handle image,
                                         gh::boot::efi::SystemTable* system) {
  const uint64_t tsc_entry = gh::boot::ReadTsc();
  // Too large for the stack that UEFI promises.
  constexpr uint64_t kPages =
      (sizeof(gh::boot::Loader) + gh::boot::kPageSize - 1) / gh::boot::kPageSize;
  uint64_t address = 0;
  if (!gh::boot::efi::Failed(system->boot->allocate_pages(
          gh::boot::efi::kAnyPages, gh::boot::efi::kLoaderData, kPages, &address))) {
    (new (reinterpret_cast<void*>(address)) gh::boot::Loader(*system, image, tsc_entry))->Run();
  }
  gh::boot::Console console(system->console_in, system->console_out);
  console.Line("loader: STOPPED: nothing on this disk may be started. Reset or switch off.");
  gh::boot::StopForGood();
}
