// The UEFI loader: finds the slots of its disk, verifies one in memory, and jumps into it.
//
// The order is the trust: header, signatures, manifest, hash tree, every payload block; only then
// is a byte of the payload looked at. A slot is read once and verified where it lies; what is
// verified is what is used. A slot that fails says why and the next is tried; when none is left the
// machine stops here, never in the firmware's shell.
#include <array>
#include <cstring>
#include <string_view>

#include "boot/choose.h"
#include "boot/elf.h"
#include "boot/handover.h"
#include "boot/limits.h"
#include "boot/trusted_keys.h"
#include "boot/uefi/console.h"
#include "boot/uefi/cpu.h"
#include "boot/uefi/disk.h"
#include "boot/uefi/measure.h"
#include "boot/uefi/panic.h"
#include "boot/uefi/services.h"
#include "image/gpt.h"
#include "image/slot.h"
#include "version.h"

namespace gh::boot {
namespace {

class Loader {
 public:
  Loader(efi::SystemTable& system, efi::Handle image, uint64_t tsc_entry)
      : services_(system, image), console_(system.console_out), tsc_entry_(tsc_entry) {}

  // Returns only when no slot could be started.
  void Run();

 private:
  Result<void> Prepare();
  Result<void> TrySlot(const SlotChoice& choice);
  Result<void> ReadSlot(const image::GptPartition& partition);
  Result<void> VerifySlot(const SlotChoice& choice);
  Result<void> PlaceFirmware();
  Result<void> Jump(const SlotChoice& choice);
  void ReleaseSlot();
  void Announce(std::string_view slot_name);
  void FillHandover(const SlotChoice& choice);
  void MeasureSlot();
  uint64_t MillisecondsSince(uint64_t tsc) const { return (ReadTsc() - tsc) / tsc_per_ms_; }

  Services services_;
  Console console_;
  uint64_t tsc_entry_;
  uint64_t tsc_per_ms_ = 1;
  UefiDisk disk_;
  image::GptTable table_;
  bool has_persistent_ = false;
  std::span<uint8_t> gpt_scratch_;
  std::span<uint8_t> map_buffer_;
  Handover* handover_ = nullptr;

  // Of the slot being tried.
  std::span<uint8_t> slot_;
  uint64_t read_ms_ = 0;
  uint64_t verify_ms_ = 0;
  image::VerifiedSlot verified_;
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

Result<void> Loader::ReadSlot(const image::GptPartition& partition) {
  const uint64_t start = ReadTsc();
  const uint64_t capacity = partition.block_count() * disk_.block_size();
  if (capacity < image::kSlotHeaderSize) {
    return Error(ErrorCode::kTruncated, "slot is smaller than its header");
  }
  // A first look at the header, for the size to read; it is parsed again where it is verified.
  const auto first = gpt_scratch_.first<image::kSlotHeaderSize>();
  GH_TRY(disk_.Read(partition.first_block, first));
  GH_TRY_ASSIGN(const image::SlotLayout layout, image::ParseSlotHeader(first, capacity));
  GH_TRY_ASSIGN(slot_, services_.AllocatePages(layout.total_size, efi::kLoaderData));
  GH_TRY(disk_.Read(partition.first_block, slot_.first(layout.total_size)));
  slot_ = slot_.first(layout.total_size);
  read_ms_ = MillisecondsSince(start);
  return Ok();
}

Result<void> Loader::VerifySlot(const SlotChoice& choice) {
  const uint64_t start = ReadTsc();
  image::TrustPolicy policy;
  policy.keys = TrustedKeys();
  policy.board = "pc";
  policy.loader_version = kLoaderVersion;
  policy.security_version_min = kSecurityVersionMin;
  GH_TRY_ASSIGN(const image::SlotLayout layout, image::ParseSlotHeader(slot_, slot_.size()));
  if (layout.total_size != slot_.size()) {
    return Error(ErrorCode::kCorrupt, "slot header changed between two reads");
  }
  GH_TRY(image::VerifyMetadata(layout, slot_.first(layout.payload_offset), policy, verified_));
  uint32_t bad_block = 0;
  const auto payload = image::VerifyPayload(
      verified_, slot_.subspan(layout.payload_offset, layout.payload_size), bad_block);
  if (!payload.ok()) {
    const uint32_t segment = image::SegmentOfBlock(verified_.manifest, bad_block);
    console_.Text("loader: ");
    console_.Text(image::SpecOf(choice.role).name);
    console_.Text(": bad block ");
    console_.Decimal(bad_block);
    console_.Text(" of ");
    console_.Decimal(verified_.block_count());
    console_.Text(", in segment ");
    console_.Line(verified_.manifest.segments[segment].name);
    return payload.error();
  }
  verify_ms_ = MillisecondsSince(start);
  return Ok();
}

void Loader::Announce(std::string_view slot_name) {
  console_.Text("loader: ");
  console_.Text(slot_name);
  console_.Text(": verified ");
  console_.Text(verified_.manifest.product);
  console_.Text(" ");
  console_.Text(verified_.manifest.version);
  console_.Text(" (build ");
  console_.Text(verified_.manifest.build_id);
  console_.Text(", security version ");
  console_.Decimal(verified_.manifest.security_version);
  console_.Text("), key id ");
  console_.Hex(verified_.key_id);
  console_.Text(", ");
  console_.Decimal(slot_.size() / 1024);
  console_.Text(" KiB in ");
  console_.Decimal(verify_ms_);
  console_.Text(" ms (read in ");
  console_.Decimal(read_ms_);
  console_.Line(" ms)");
  if (verified_.is_development) {
    console_.Line("loader: *** DEVELOPMENT IMAGE: not for production ***");
  }
}

Result<void> Loader::PlaceFirmware() {
  const uint32_t index = image::FirmwareSegment(verified_.manifest);
  const uint64_t offset =
      uint64_t{image::SegmentFirstBlock(verified_.manifest, index)} * verified_.manifest.block_size;
  const auto payload = slot_.subspan(verified_.layout.payload_offset);
  const auto file = payload.subspan(offset, verified_.manifest.segments[index].size);
  GH_TRY_ASSIGN(plan_, PlanElf(file));
  GH_TRY_ASSIGN(memory_,
                services_.AllocateAnywhere(plan_.memory_size, efi::kLoaderCode, map_buffer_));
  return LoadElf(plan_, file, memory_, reinterpret_cast<uint64_t>(memory_.data()));
}

void Loader::FillHandover(const SlotChoice& choice) {
  Handover& handover = *handover_;
  handover.magic = kHandoverMagic;
  handover.version = kHandoverVersion;
  handover.size = sizeof(Handover);
  handover.image_start = reinterpret_cast<uint64_t>(memory_.data());
  handover.image_size = memory_.size();
  handover.persistent_start = has_persistent_ ? kPersistentAddress : 0;
  handover.persistent_size = has_persistent_ ? kPersistentSize : 0;
  handover.tsc_entry = tsc_entry_;
  handover.flags = verified_.is_development ? uint32_t{kHandoverDevelopment} : 0;
  handover.slot = choice.letter;
  handover.security_version = verified_.manifest.security_version;
  static_assert(sizeof(handover.image_version) >= sizeof(verified_.manifest.version));
  std::memcpy(handover.image_version, verified_.manifest.version,
              sizeof(verified_.manifest.version));
  for (size_t i = 0; i < verified_.key_id.size(); ++i) {
    handover.key_id[2 * i] = "0123456789abcdef"[verified_.key_id[i] >> 4];
    handover.key_id[2 * i + 1] = "0123456789abcdef"[verified_.key_id[i] & 15];
  }
  handover.loader_version = kLoaderVersion;
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
  const auto measured = tpm.Measure(verified_, slot_.first(verified_.layout.payload_offset));
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

Result<void> Loader::Jump(const SlotChoice& choice) {
  FillHandover(choice);
  MeasureSlot();
  console_.Text("loader: starting ");
  console_.Text(image::SpecOf(choice.role).name);
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
  using Entry = __attribute__((sysv_abi)) void (*)(Handover*);
  const auto entry = reinterpret_cast<Entry>(handover_->image_start + plan_.entry);
  handover_->tsc_jump = ReadTsc();
  entry(handover_);
  console_.Line("loader: the firmware returned");
  StopForGood();
}

void Loader::ReleaseSlot() {
  for (std::span<uint8_t>* pages : {&slot_, &memory_}) {
    if (!pages->empty()) {
      const uint64_t whole = (pages->size() + kPageSize - 1) / kPageSize * kPageSize;
      services_.FreePages({pages->data(), whole});
      *pages = {};
    }
  }
}

Result<void> Loader::TrySlot(const SlotChoice& choice) {
  GH_TRY(ReadSlot(*table_.FindType(image::SpecOf(choice.role).type)));
  GH_TRY(VerifySlot(choice));
  Announce(image::SpecOf(choice.role).name);
  GH_TRY(PlaceFirmware());
  return Jump(choice);
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
  const SlotOrder order = ChooseSlots(table_);
  for (const SlotChoice& choice : order.all()) {
    const auto result = TrySlot(choice);
    console_.Text("loader: ");
    console_.Text(image::SpecOf(choice.role).name);
    console_.Text(": refused: ");
    console_.Line(result.error().what);
    ReleaseSlot();
  }
  if (order.count == 0) {
    console_.Line("loader: the disk has no slots");
  }
}

}  // namespace
}  // namespace gh::boot

extern "C" gh::boot::efi::Status EfiMain(gh::boot::efi::Handle image,
                                         gh::boot::efi::SystemTable* system) {
  const uint64_t tsc_entry = gh::boot::ReadTsc();
  gh::boot::Loader loader(*system, image, tsc_entry);
  loader.Run();
  gh::boot::Console console(system->console_out);
  console.Line("loader: STOPPED: nothing on this disk may be started. Reset or switch off.");
  gh::boot::StopForGood();
}
