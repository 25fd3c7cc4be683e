#include "boot/uefi/receive.h"

#include <algorithm>
#include <array>

#include "boot/limits.h"
#include "boot/uefi/cpu.h"
#include "image/bootstate_changes.h"

namespace gh::boot {

namespace {

using image::PartitionRole;
using image::SlotStreamStep;
using image::YmodemEvent;

constexpr std::array<PartitionRole, image::kBootSlotCount> kRoles = {PartitionRole::kSlotA,
                                                                     PartitionRole::kSlotB};

// Serial input is ours alone while this lives: the firmware's terminal driver does not run.
class QuietFirmware {
 public:
  explicit QuietFirmware(efi::BootServices& boot)
      : boot_(boot), level_(boot.raise_tpl(efi::kTplNotify)) {}
  QuietFirmware(const QuietFirmware&) = delete;
  QuietFirmware& operator=(const QuietFirmware&) = delete;
  ~QuietFirmware() { boot_.restore_tpl(level_); }

 private:
  efi::BootServices& boot_;
  uint64_t level_;
};

}  // namespace

Instant Receiver::Now() const {
  return {static_cast<int64_t>(ReadTsc() / tsc_per_ms_) * 1'000'000};
}

Result<void> Receiver::Prepare() {
  GH_TRY_ASSIGN(metadata_, services_.AllocatePages(image::kMetadataSizeMax, efi::kLoaderData));
  GH_TRY_ASSIGN(block_, services_.AllocatePages(image::kBlockSizeMax, efi::kLoaderData));
  return Ok();
}

void Receiver::Run(uint32_t slot) {
  auto pages = services_.AllocatePages(sizeof(image::SlotStream), efi::kLoaderData);
  const auto prepared = Prepare();
  if (!pages.ok() || !prepared.ok()) {
    console_.Line("not enough memory");
  } else {
    const image::TrustPolicy policy = chain_.TrustNow();
    auto* const stream =
        new (pages->data()) image::SlotStream(metadata_, block_, policy, disk_.Size(kRoles[slot]));
    image::YmodemReceiver line;
    console_.Text("Send the update file by YMODEM now (sb FILE); ^C cancels.\n");
    const Instant start = Now();
    has_file_ = false;
    line.Start(start);
    const auto result = Transfer(line, *stream, slot);
    SendReplies(line);
    Tell(result, line, *stream, slot, start);
  }
  for (const std::span<uint8_t> memory : {pages.ok() ? *pages : metadata_, metadata_, block_}) {
    if (!memory.empty()) {
      services_.FreePages(memory);
    }
  }
  metadata_ = {};
  block_ = {};
}

void Receiver::SendReplies(image::YmodemReceiver& line) {
  for (const uint8_t byte : line.reply()) {
    console_.Put(static_cast<char>(byte));
  }
  line.ClearReply();
}

// Until the batch is over, or something is wrong; then the sender was told.
Result<void> Receiver::Transfer(image::YmodemReceiver& line, image::SlotStream& stream,
                                uint32_t slot) {
  for (;;) {
    {
      const QuietFirmware quiet(services_.boot());
      SendReplies(line);
      while (line.event() == YmodemEvent::kNone && line.reply().empty()) {
        uint8_t byte = 0;
        if (console_.Get(byte)) {
          line.Receive({&byte, 1}, Now());
        } else {
          line.Tick(Now());
          Pause();
        }
      }
    }
    Result<void> taken;
    switch (line.event()) {
      case YmodemEvent::kFile:
        if (has_file_) {
          taken = Error(ErrorCode::kTooLarge, "more than one file was sent");
        }
        has_file_ = true;
        break;
      case YmodemEvent::kData:
        taken = TakeData(line.data(), stream, slot);
        break;
      case YmodemEvent::kFileEnd:
        taken = stream.End();
        break;
      case YmodemEvent::kDone:
        return has_file_ ? Ok() : Error(ErrorCode::kNotFound, "no file was sent");
      case YmodemEvent::kFailed:
        return line.failure();
      case YmodemEvent::kNone:
        continue;
    }
    if (!taken.ok()) {
      line.Cancel(taken.code(), taken.error().what);
      return taken;
    }
    line.Continue(Now());
  }
}

Result<void> Receiver::TakeData(std::span<const uint8_t> bytes, image::SlotStream& stream,
                                uint32_t slot) {
  for (;;) {
    GH_TRY_ASSIGN(const SlotStreamStep step, stream.Feed(bytes));
    if (step == SlotStreamStep::kNeedMore) {
      return Ok();
    }
    GH_TRY(TakeStep(step, stream, slot));
    if (bytes.empty() && step == SlotStreamStep::kComplete) {
      return Ok();
    }
  }
}

Result<void> Receiver::TakeStep(SlotStreamStep step, image::SlotStream& stream, uint32_t slot) {
  image::BootState& state = chain_.state();
  const PartitionRole role = kRoles[slot];
  alignas(16) std::array<uint8_t, image::kSlotHeaderSize> zeros = {};
  switch (step) {
    case SlotStreamStep::kNeedMore:
    case SlotStreamStep::kHeader:
      return Ok();  // nothing is signed yet
    case SlotStreamStep::kManifest:
      state.started = image::kStartedNothing;  // nothing runs but this
      GH_TRY(image::BeginInstall(state, slot));
      GH_TRY(chain_.SaveState());
      GH_TRY(disk_.Write(role, 0, zeros));
      GH_TRY(disk_.Flush());
      return disk_.Write(role, image::kSlotHeaderSize, stream.Metadata());
    case SlotStreamStep::kBlock:
      return disk_.Write(role, stream.block_offset(), stream.block());
    case SlotStreamStep::kComplete:
      GH_TRY(disk_.Flush());
      GH_TRY(disk_.Write(role, 0, stream.Header()));
      GH_TRY(disk_.Flush());
      GH_TRY(image::InstallTrial(state, slot, stream.slot().manifest.security_version));
      return chain_.SaveState();
  }
  GH_UNREACHABLE();
}

void Receiver::Tell(const Result<void>& result, const image::YmodemReceiver& line,
                    const image::SlotStream& stream, uint32_t slot, Instant start) {
  // The sender's program gives the line back.
  (void)services_.boot().stall(500'000);
  console_.Text("\n");
  if (!result.ok()) {
    std::array<uint8_t, 200> text;
    ByteWriter writer(text);
    stream.Describe(writer);
    console_.Text("receive: FAILED: ");
    console_.Line(writer.size() > 0 ? writer.text() : result.error().what);
    if (stream.has_manifest()) {
      console_.Line("receive: the slot is empty now");
    } else {
      console_.Line("receive: the slot is as it was");
    }
    return;
  }
  const int64_t ms = std::max<int64_t>((Now() - start).milliseconds(), 1);
  console_.Text("receive: ");
  console_.Text(image::SpecOf(kRoles[slot]).name);
  console_.Text(": verified ");
  console_.Text(stream.slot().manifest.product);
  console_.Text(" ");
  console_.Text(stream.slot().manifest.version);
  console_.Text(", ");
  console_.Decimal(stream.total_size() / 1024);
  console_.Text(" KiB in ");
  console_.Decimal(static_cast<uint64_t>(ms));
  console_.Text(" ms, ");
  console_.Decimal(line.fault_count());
  console_.Line(" blocks repeated; starts next, on trial (type continue)");
}

}  // namespace gh::boot
