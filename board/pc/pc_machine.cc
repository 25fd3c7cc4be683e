#include "board/pc/pc_machine.h"

#include <algorithm>
#include <cstring>

#include "board/pc/apic.h"
#include "board/pc/cpu.h"
#include "board/pc/interrupts.h"
#include "board/pc/power.h"
#include "board/pc/print.h"
#include "board/pc/provision.h"
#include "image/partitions.h"

namespace gh::pc {
namespace {

constexpr const char* kPortNames[] = {"LAN1", "LAN2", "LAN3"};
static_assert(sizeof(kPortNames) / sizeof(kPortNames[0]) == hal::kEthernetPortMax);
constexpr const char* kDiskNames[] = {"disk 1", "disk 2", "disk 3", "disk 4"};
static_assert(sizeof(kDiskNames) / sizeof(kDiskNames[0]) == kBlockDiskMax);
constexpr uint8_t kUartIrq = 4;
constexpr uint32_t kSelfTestSizeMax = 256;

uint32_t FrameCount(uint64_t arena_bytes) {
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(arena_bytes / kArenaBytesPerFrame, kFrameCountMin, kFrameCountMax));
}

// Everything the appliance depends on; without it there is no point in going on.
void Require(const Result<void>& result) {
  if (!result.ok()) {
    GH_PANIC(result.error().what);
  }
}

}  // namespace

PcMachine::PcMachine(Arena& arena, PageTables& pages, const MemoryMap& memory,
                     const boot::Handover& handover, const PreviousRun& previous)
    : arena_(arena),
      pages_(pages),
      memory_(memory),
      handover_(handover),
      idle_(clock_),
      frames_(arena, FrameCount(arena.size())),
      entropy_(clock_),
      boot_(clock_),
      watchdog_(idle_, clock_),
      machine_{.board = "pc",
               .description = description_,
               .arena = arena,
               .clock = clock_,
               .entropy = entropy_,
               .idle = idle_,
               .console = console_uart,
               .watchdog = watchdog_,
               .boot = boot_,
               .reset_button = boot_,
               .frames = frames_} {
  arena.OpenAccount("board/pc");  // the frames have their own
  gpt_scratch_ = arena.NewArray<uint8_t>(image::kGptScratchSize);
  StartProcessor();
  StartTime();
  FindDevices();
  StartConsole();
  StartEntropy();
  StartMedia();
  boot_.Load(handover, previous, watchdog_.fired_before());
  BindPartitions();
  FindProvision();
  Describe();
}

void PcMachine::StartProcessor() {
  const Result<void> acpi = ReadAcpi(memory_, handover_.acpi_rsdp, acpi_);
  if (!acpi.ok()) {
    Print("acpi: ", acpi.error().what);
  }
  SetPowerControl(acpi_.fadt);
  Require(LocalApic::Initialise(pages_));
  // AVX where there is: libraries choose by CPUID and XCR0.
  const uint32_t features = Cpuid(1).ecx;
  if ((features & 1u << 26) != 0) {
    WriteCr4(ReadCr4() | 1ull << 18);  // OSXSAVE
    const uint64_t state = (features & 1u << 28) != 0 ? 7 : 3;
    WriteXcr0(state & Cpuid(0xd).eax);
  }
  Print("acpi: ", acpi_.table_count, " tables, ", acpi_.madt.cpu_count, " processors (",
        acpi_.madt.cpu_count > 2 ? "two used, the others parked" : "used", "), power-off ",
        acpi_.fadt.has_s5 ? "yes" : "no");
}

void PcMachine::StartTime() {
  Require(clock_.Calibrate(pages_, acpi_));
  clock_.ReadRtc(acpi_.fadt.century_register);
  SetCrashClock(clock_);
  LocalApic::InitialiseTimer(clock_.tsc_hz());
  const WallTime wall = clock_.Wall();
  Print("time: TSC ", clock_.tsc_hz() / 1000, " kHz by ", clock_.reference(),
        PcClock::tsc_is_invariant() ? "" : " (not declared invariant)", ", timer ",
        LocalApic::timer_name(), ", RTC ", wall.is_set ? wall.unix_seconds() : int64_t{0});
}

uint8_t PcMachine::NextVector() {
  GH_ASSERT_LT(vector_count_, kDeviceVectorMax);
  return static_cast<uint8_t>(kVectorDevice + vector_count_++);
}

void PcMachine::FindDevices() {
  pci_.Initialise(pages_, acpi_.mcfg);
  Print("pci: ", static_cast<uint32_t>(pci_.devices().size()), " functions by ",
        pci_.access_name());
  for (const PciDevice& device : pci_.devices()) {
    // Two vectors a device at most: leave the loop before they run out.
    if (vector_count_ + 2u > kDeviceVectorMax) {
      Print("pci: too many devices; the rest is left alone");
      break;
    }
    AddVirtio(device);
  }
  watchdog_.Initialise(pages_, pci_);
  if (const Result<void> found = tpm_.Initialise(pages_, acpi_.tpm); found.ok()) {
    machine_.tpm = &tpm_;
    Print("tpm: ready");
  } else {
    Print("tpm: ", found.error().what);
  }
  Print("watchdog: ", watchdog_.name(), watchdog_.fired_before() ? ", it reset the machine" : "");
}

void PcMachine::AddVirtio(const PciDevice& device) {
  switch (VirtioType(device)) {
    case kVirtioNet:
      AddPort(device);
      break;
    case kVirtioBlock:
      AddDisk(device);
      break;
    case kVirtioEntropy:
      if (!has_virtio_entropy_) {
        const Result<void> result =
            virtio_entropy_.Initialise(arena_, pages_, pci_, device, NextVector());
        has_virtio_entropy_ = result.ok();
        Print("virtio-rng: ", result.ok() ? "ready" : result.error().what);
      }
      break;
    case kVirtioConsole:
      if (!has_token_) {
        const Result<void> result = token_.Initialise(arena_, pages_, pci_, device, NextVector());
        has_token_ = result.ok();
        Print("virtio-serial: ", result.ok() ? "ready" : result.error().what);
      }
      break;
    default:
      break;
  }
}

void PcMachine::AddPort(const PciDevice& device) {
  if (port_count_ == hal::kEthernetPortMax) {
    Print("virtio-net: a fourth port is left alone");
    return;
  }
  auto* port = arena_.New<VirtioNet>(frames_, static_cast<uint8_t>(port_count_));
  const uint8_t queue_vector = NextVector();
  const Result<void> result =
      port->Initialise(arena_, pages_, pci_, device, queue_vector, NextVector());
  if (!result.ok()) {
    Print("virtio-net: ", result.error().what);
    return;
  }
  uint8_t text[18];
  ByteWriter mac(text);
  for (uint32_t i = 0; i < 6; ++i) {
    mac.Text(i == 0 ? "" : ":");
    mac.Hex(port->mac()[i], 2);
  }
  Print(kPortNames[port_count_], ": virtio-net ", mac.text(), ", link ",
        port->link_up() ? "up" : "down", ", mtu ", port->mtu(), ", checksum ",
        port->can_fill_checksum() ? "offloaded" : "in software");
  machine_.ports[port_count_++] = port;
  idle_.Add(*port);
  media_.AddPort(*port);
}

void PcMachine::AddDisk(const PciDevice& device) {
  if (disk_count_ == kBlockDiskMax) {
    Print("virtio-blk: a fifth disk is left alone");
    return;
  }
  auto* disk = arena_.New<VirtioBlock>(clock_);
  const Result<void> result = disk->Initialise(arena_, pages_, pci_, device, NextVector());
  if (!result.ok()) {
    Print("virtio-blk: ", result.error().what);
    return;
  }
  Print(kDiskNames[disk_count_], ": virtio-blk, ", disk->block_count(), " blocks of ",
        disk->block_size(), disk->read_only() ? ", read-only" : "");
  disks_[disk_count_++] = disk;
  idle_.Add(*disk);
}

void PcMachine::StartConsole() {
  if (has_token_) {
    idle_.Add(token_);
    machine_.token = &token_;
  }
  idle_.Add(console_source_);
  const Result<void> routed = RouteIsaInterrupt(pages_, acpi_.madt, kUartIrq, kVectorUart);
  const bool has_interrupt = routed.ok() && acpi_.madt.io_apic_count != 0;
  idle_.Start(has_interrupt ? PcIdle::kWakeMax : PcIdle::kWakePolling);
  if (!has_interrupt) {
    Print("console: no interrupt for COM1, it is polled");
    console_uart.AttachPolled();
    return;
  }
  console_uart.Attach();
}

void PcMachine::StartEntropy() {
  entropy_.SetSeed(
      std::span(handover_.seed).first(std::min(handover_.seed_size, boot::kBootSeedSize)));
  if (has_virtio_entropy_) {
    entropy_.SetVirtio(virtio_entropy_);
  }
  Require(entropy_.Start());
  Print("entropy: ", entropy_.source());
}

void PcMachine::StartMedia() {
  const Result<void> up = media_.BringUp(pages_, memory_, acpi_.madt);
  if (up.ok()) {
    machine_.media = &media_;
  }
  Print("second processor: ", up.ok() ? media_.name() : up.error().what);
}

// The boot disk is the one whose GPT has the disk GUID that the loader booted from; without a GUID,
// the first disk that has our partitions.
void PcMachine::BindPartitions() {
  const std::span<uint8_t, image::kGptScratchSize> scratch(gpt_scratch_.data(),
                                                           image::kGptScratchSize);
  const auto& guid = handover_.disk_guid;
  const bool has_guid = std::ranges::any_of(guid, [](uint8_t byte) { return byte != 0; });
  for (uint32_t i = 0; i < disk_count_ && boot_disk_ == UINT32_MAX; ++i) {
    image::GptTable table;
    if (!ReadDiskGpt(disks_[i]->whole(), scratch, table).ok() ||
        (has_guid && !std::ranges::equal(table.disk, guid))) {
      continue;
    }
    const auto bind = [&](image::PartitionRole role, BlockView& view) -> hal::BlockDevice* {
      const image::PartitionSpec& spec = image::SpecOf(role);
      const image::GptPartition* part = table.FindType(spec.type);
      if (part == nullptr) {
        return nullptr;
      }
      view.Bind(*disks_[i], spec.name, part->first_block, part->block_count());
      Print("partition ", spec.name, ": ", kDiskNames[i], ", ", part->block_count(), " blocks");
      return &view;
    };
    machine_.store = bind(image::PartitionRole::kStore, store_);
    machine_.log = bind(image::PartitionRole::kLog, log_);
    machine_.boot_state = bind(image::PartitionRole::kBootState, boot_state_);
    machine_.slots[0] = bind(image::PartitionRole::kSlotA, slots_[0]);
    machine_.slots[1] = bind(image::PartitionRole::kSlotB, slots_[1]);
    machine_.factory = bind(image::PartitionRole::kFactory, factory_);
    boot_disk_ = has_guid || machine_.store != nullptr ? i : UINT32_MAX;
  }
}

void PcMachine::FindProvision() {
  const std::span<uint8_t, image::kGptScratchSize> scratch(gpt_scratch_.data(),
                                                           image::kGptScratchSize);
  const auto text_of = [](std::span<const uint8_t> bytes, uint32_t size) {
    return AsText(bytes.first(size));
  };
  if (fw_cfg_.Initialise().ok()) {
    const bool is_held = fw_cfg_.Has("opt/gatehouse/reset-button");
    boot_.SetResetButton(is_held);
    if (is_held) {
      Print("reset button: held");
    }
    auto reach = arena_.NewArray<uint8_t>(kReachSizeMax);
    const Result<uint32_t> reach_size = fw_cfg_.Read("opt/gatehouse/reach", reach);
    if (reach_size.ok()) {
      boot_.SetReach(text_of(reach, *reach_size));
    }
    const bool is_development = (handover_.flags & boot::kHandoverDevelopment) != 0;
    if (is_development && fw_cfg_.Has("opt/gatehouse/selftest")) {
      auto bytes = arena_.NewArray<uint8_t>(kSelfTestSizeMax);
      const Result<uint32_t> size = fw_cfg_.Read("opt/gatehouse/selftest", bytes);
      self_test_ = size.ok() ? text_of(bytes, *size) : std::string_view();
    }
  }
  auto bytes = arena_.NewArray<uint8_t>(kProvisionSizeMax);
  Result<uint32_t> size = fw_cfg_.Read("opt/gatehouse/provision", bytes);
  if (size.ok()) {
    boot_.SetProvision(text_of(bytes, *size), "fw_cfg opt/gatehouse/provision");
  } else if (size.code() == ErrorCode::kTooLarge) {
    Print("provision: fw_cfg text is larger than ", kProvisionSizeMax, " bytes; not used");
  }
  for (uint32_t i = 0; i < disk_count_ && !size.ok(); ++i) {
    if (i == boot_disk_) {
      continue;
    }
    size = ReadProvisionVolume(disks_[i]->whole(), scratch, bytes);
    if (size.ok()) {
      boot_.SetProvision(text_of(bytes, *size), "volume GATEHOUSE, provision.txt");
    } else if (size.code() != ErrorCode::kNotFound) {
      Print("provision: volume on ", kDiskNames[i], ": ", size.error().what);
    }
  }
  if (size.ok()) {
    Print("provision: ", *size, " bytes from ", boot_.provision_source());
  }
}

// "<processor>, firmware <vendor>".
void PcMachine::Describe() {
  ByteWriter writer({reinterpret_cast<uint8_t*>(description_), sizeof(description_) - 1});
  if (Cpuid(0x80000000).eax >= 0x80000004) {
    char brand[49] = {};
    for (uint32_t i = 0; i < 3; ++i) {
      const CpuidResult r = Cpuid(0x80000002 + i);
      std::memcpy(brand + 16 * i, &r, 16);
    }
    std::string_view text(brand);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    writer.Text(text);
  }
  if (handover_.firmware_vendor[0] != '\0') {
    writer.Text(", firmware ");
    writer.Text({handover_.firmware_vendor,
                 strnlen(handover_.firmware_vendor, sizeof(handover_.firmware_vendor))});
  }
}

}  // namespace gh::pc
