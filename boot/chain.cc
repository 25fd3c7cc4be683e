#include "boot/chain.h"

#include <algorithm>

#include "crypto/digest.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "image/bootstate_changes.h"
#include "image/key_list.h"

namespace gh::boot {

namespace {

using image::PartitionRole;
using image::SlotState;

constexpr uint32_t kGolden = image::kStartedGolden;
static_assert(kGolden + 1 == kSlotCount);
constexpr std::array<PartitionRole, kSlotCount> kRoles = {
    PartitionRole::kSlotA, PartitionRole::kSlotB, PartitionRole::kFactory};

// The text of one line, cut rather than overrun.
using LineText = FixedString<kReportLineMax>;

void AppendDecimal(LineText& line, uint64_t value) {
  std::array<uint8_t, 20> digits;
  ByteWriter writer(digits);
  writer.Decimal(value);
  line.Append(writer.text());
}

// A fault of the machine rather than of the slot: not held against the slot.
bool IsMachineFault(ErrorCode code) {
  return code == ErrorCode::kIoError || code == ErrorCode::kExhausted ||
         code == ErrorCode::kNoDevice || code == ErrorCode::kTimeout;
}

}  // namespace

Result<void> Chain::StatePartition::Read(uint64_t offset, std::span<uint8_t> out) {
  return disk_.Read(PartitionRole::kBootState, offset, out);
}
Result<void> Chain::StatePartition::Write(uint64_t offset, std::span<const uint8_t> data) {
  return disk_.Write(PartitionRole::kBootState, offset, data);
}
Result<void> Chain::StatePartition::Flush() { return disk_.Flush(); }

Chain::Chain(ChainDisk& disk, ChainMemory& memory, RollbackCounter* counter, ChainReport& report,
             const ChainPolicy& policy)
    : disk_(disk),
      memory_(memory),
      counter_(counter),
      report_(report),
      policy_(policy),
      partition_(disk),
      copies_(partition_) {}

uint64_t Chain::security_floor() const {
  return std::max({state_.security_version, counter_value_, policy_.security_version_min});
}

image::TrustPolicy Chain::TrustNow() const {
  image::TrustPolicy trust;
  trust.keys = policy_.keys;
  trust.ring = &ring_;
  trust.key_list_sequence_min = state_.key_list_sequence;
  trust.root_signature_count_min = policy_.root_signature_count_min;
  trust.board = policy_.board;
  trust.loader_version = policy_.loader_version;
  trust.security_version_min = security_floor();
  return trust;
}

Result<void> Chain::SaveState() {
  const auto saved = copies_.Save(state_);
  history_.is_record_written = saved.ok();
  is_changed_ = !saved.ok();
  return saved;
}

void Chain::Begin() {
  if (counter_ != nullptr) {
    const auto value = counter_->Read();
    counter_value_ = value.value_or(0);
    if (!value.ok() && value.code() != ErrorCode::kNotFound) {
      report_.Warning(value.error().what);
    }
  }
  LoadRecord();
  JoinCounter();
  CheckResetMarker();
  if (policy_.is_reset_button_down) {
    report_.Line("the reset button is pressed: factory reset");
    image::RequestReset(state_, false, image::ResetSource::kButton);
    is_changed_ = true;
  }
  if (state_.reset_intent != image::ResetIntent::kNone) {
    const auto reset = RunReset();
    if (!reset.ok()) {
      report_.Warning("factory reset is not complete and goes on at the next start:");
      report_.Warning(reset.error().what);
    }
  }
  StartOver();
  is_golden_chosen_ = state_.is_golden_next;
  if (is_golden_chosen_) {
    report_.Line("the operator has chosen the golden image for this start");
    state_.is_golden_next = false;
    is_changed_ = true;
  }
}

void Chain::LoadRecord() {
  const auto loaded = copies_.Load();
  history_.record = copies_.status();
  if (!loaded.ok()) {
    report_.Warning("all four copies of the boot state are lost: going by what the slots hold");
    LoadKeyList();
    RebuildRecord();
    return;
  }
  state_ = *loaded;
  LoadKeyList();
  if (history_.record == image::RecordStatus::kRepaired) {
    report_.Warning("boot state: damaged or unfinished copies were written again");
  } else if (history_.record == image::RecordStatus::kDamaged) {
    report_.Warning("boot state: damaged copies could not be written again");
  }
}

// The rule for a lost record; chain.h says why.
void Chain::RebuildRecord() {
  uint64_t highest = counter_value_;
  for (uint32_t index = 0; index < kSlotCount; ++index) {
    ChainStart start;
    if (LoadSlot(kRoles[index], start).ok()) {
      const uint64_t version = start.verified.manifest.security_version;
      highest = std::max(highest, version);
      if (index != kGolden) {
        image::SlotRecord& slot = state_.slots[index];
        slot.state = SlotState::kTrial;
        slot.tries_left = 1;
        slot.security_version = version;
      }
    }
    ReleaseSlot();
  }
  const bool is_b_first = state_.slots[1].security_version > state_.slots[0].security_version;
  state_.slots[0].install_sequence = is_b_first ? 1 : 2;
  state_.slots[1].install_sequence = is_b_first ? 2 : 1;
  state_.security_version = highest;
  is_changed_ = true;
}

// The list in force. With a lost record it is the newest there is, and the record takes its number.
void Chain::LoadKeyList() {
  auto scratch = memory_.Allocate(image::kKeyListSizeMax);
  if (!scratch.ok()) {
    report_.Warning("no memory for the key list");
    return;
  }
  const bool is_lost = history_.record == image::RecordStatus::kLost;
  image::KeyListArea area(partition_, *scratch);
  area.Load(policy_.keys, policy_.root_signature_count_min,
            is_lost ? UINT64_MAX : state_.key_list_sequence, ring_);
  if (ring_.sequence != 0 && !area.Mirror().ok()) {
    report_.Warning("the second copy of the key list cannot be written");
  }
  memory_.Release(*scratch);
  if (is_lost) {
    state_.key_list_sequence = ring_.sequence;
  } else if (ring_.sequence < state_.key_list_sequence) {
    report_.Warning("the key list is lost: only an image that brings it can be started");
  }
}

// A list that the image to be started brings: in its place before the jump, in force once the image
// is confirmed. An image that is started without is started with its own list the next time too.
void Chain::StoreKeyList(std::span<const uint8_t> list) {
  auto scratch = memory_.Allocate(image::kKeyListSizeMax);
  if (!scratch.ok()) {
    report_.Warning("no memory for the key list");
    return;
  }
  image::KeyListArea area(partition_, *scratch);
  image::KeyRing ring;
  area.Load(policy_.keys, policy_.root_signature_count_min, state_.key_list_sequence, ring);
  const auto stored = area.Store(list);
  memory_.Release(*scratch);
  if (!stored.ok()) {
    report_.Warning("the image's key list cannot be written");
  }
}

void Chain::JoinCounter() {
  if (counter_ == nullptr || counter_value_ == state_.security_version) {
    return;
  }
  if (counter_value_ > state_.security_version) {
    state_.security_version = counter_value_;
    is_changed_ = true;
    return;
  }
  const auto raised = counter_->Raise(state_.security_version);
  if (!raised.ok()) {
    report_.Warning(raised.error().what);
    return;
  }
  counter_value_ = state_.security_version;
}

void Chain::StartOver() {
  ReleaseSlot();
  is_golden_chosen_ = false;
  is_tried_ = {};
  for (uint32_t index = 0; index < image::kBootSlotCount; ++index) {
    const image::SlotRecord& slot = state_.slots[index];
    if (slot.state == SlotState::kTrial && slot.tries_left == 0) {
      NoteFailure(index, Error(ErrorCode::kWrongState, "its tries ran out and none was confirmed"));
    }
  }
}

void Chain::StartOnlyGolden() {
  ReleaseSlot();
  is_tried_ = {};
  for (uint32_t index = 0; index < image::kBootSlotCount; ++index) {
    is_tried_[index] = true;
  }
}

bool Chain::Outranks(uint32_t a, uint32_t b) const {
  const image::SlotRecord& first = state_.slots[a];
  const image::SlotRecord& second = state_.slots[b];
  const bool is_first_sick = first.unhealthy_starts >= image::kUnhealthyStartsMax;
  const bool is_second_sick = second.unhealthy_starts >= image::kUnhealthyStartsMax;
  if (is_first_sick != is_second_sick) {
    return is_second_sick;
  }
  return first.install_sequence > second.install_sequence;
}

bool Chain::Pick(uint32_t& index) const {
  if (is_golden_chosen_ && !is_tried_[kGolden]) {
    index = kGolden;
    return true;
  }
  bool found = false;
  for (uint32_t i = 0; i < image::kBootSlotCount; ++i) {
    const image::SlotRecord& slot = state_.slots[i];
    const bool may_start = slot.state == SlotState::kConfirmed ||
                           (slot.state == SlotState::kTrial && slot.tries_left > 0);
    if (may_start && !is_tried_[i] && (!found || Outranks(i, index))) {
      index = i;
      found = true;
    }
  }
  if (!found && !is_tried_[kGolden]) {
    index = kGolden;
    found = true;
  }
  return found;
}

bool Chain::Next(ChainStart& out) {
  uint32_t index = 0;
  while (Pick(index)) {
    ReleaseSlot();
    is_tried_[index] = true;
    out = ChainStart();
    out.role = kRoles[index];
    out.letter = "abg"[index];
    const auto loaded = LoadSlot(kRoles[index], out);
    if (!loaded.ok()) {
      NoteFailure(index, loaded.error());
    } else if (Remember(index, out)) {
      return true;
    }
  }
  ReleaseSlot();
  if (is_changed_ && !SaveState().ok()) {
    report_.Warning("boot state cannot be written");
  }
  return false;
}

// Writes down what is about to be started; durable when it returns. False: not to be started.
bool Chain::Remember(uint32_t index, ChainStart& start) {
  state_.started = static_cast<uint8_t>(index);
  state_.is_started_on_trial = false;
  if (index != kGolden) {
    image::SlotRecord& slot = state_.slots[index];
    slot.key_list_sequence = start.verified.key_list_sequence;
    state_.is_started_on_trial = slot.state == SlotState::kTrial;
    if (state_.is_started_on_trial) {
      GH_ASSERT_GT(slot.tries_left, 0);
      start.tries_left = --slot.tries_left;
      start.kind = StartKind::kTrial;
    } else {
      slot.unhealthy_starts = static_cast<uint8_t>(
          std::min<uint32_t>(slot.unhealthy_starts + 1u, image::kUnhealthyStartsMax));
      start.kind = StartKind::kConfirmed;
    }
  }
  if (!start.verified.key_list.empty()) {
    StoreKeyList(start.verified.key_list);
  }
  const auto saved = SaveState();
  if (saved.ok()) {
    return true;
  }
  report_.Warning("boot state cannot be written");
  if (start.kind == StartKind::kTrial) {
    NoteFailure(index, Error(ErrorCode::kIoError, "its try cannot be counted: not started"));
    return false;
  }
  return true;  // a confirmed slot and golden need no counting
}

void Chain::Refuse(const ChainStart& start, std::string_view reason) {
  for (uint32_t index = 0; index < kSlotCount; ++index) {
    if (kRoles[index] == start.role) {
      const FixedString<image::kSlotReasonSizeMax> text(reason);
      NoteFailure(index, Error(ErrorCode::kMalformed, text.c_str()));
    }
  }
  ReleaseSlot();
}

void Chain::NoteFailure(uint32_t index, const Error& error) {
  LineText line(image::SpecOf(kRoles[index]).name);
  line.Append(": refused: ");
  line.Append(error.what);
  report_.Line(line);
  history_.failures[index].Assign(error.what);
  if (index != kGolden && !IsMachineFault(error.code)) {
    image::GiveUp(state_, index, error.what);
    is_changed_ = true;
  }
}

void Chain::ReleaseSlot() {
  if (!slot_.empty()) {
    memory_.Release(slot_);
    slot_ = {};
  }
}

// Reads a slot once; from here on only the memory counts.
Result<void> Chain::LoadSlot(PartitionRole role, ChainStart& out) {
  ReleaseSlot();
  const uint64_t capacity = disk_.Size(role);
  if (capacity == 0) {
    return Error(ErrorCode::kNoDevice, "the disk has no such partition");
  }
  if (capacity < image::kSlotHeaderSize) {
    return Error(ErrorCode::kTruncated, "slot is smaller than its header");
  }
  // A first look at the header, for the size to read; it is parsed again where it is verified.
  GH_TRY(disk_.Read(role, 0, block_));
  GH_TRY_ASSIGN(const image::SlotLayout first, image::ParseSlotHeader(block_, capacity));
  GH_TRY_ASSIGN(slot_, memory_.Allocate(first.total_size));
  GH_ASSERT_EQ(slot_.size(), first.total_size);
  GH_TRY(disk_.Read(role, 0, slot_));
  return VerifySlot(role, out);
}

Result<void> Chain::VerifySlot(PartitionRole role, ChainStart& out) {
  GH_TRY_ASSIGN(const image::SlotLayout layout, image::ParseSlotHeader(slot_, slot_.size()));
  if (layout.total_size != slot_.size()) {
    return Error(ErrorCode::kCorrupt, "slot header changed between two reads");
  }
  GH_TRY(
      image::VerifyMetadata(layout, slot_.first(layout.payload_offset), TrustNow(), out.verified));
  const auto payload = slot_.subspan(layout.payload_offset, layout.payload_size);
  uint32_t bad_block = 0;
  const auto verified = image::VerifyPayload(out.verified, payload, bad_block);
  if (!verified.ok()) {
    const image::Manifest& manifest = out.verified.manifest;
    LineText line(image::SpecOf(role).name);
    line.Append(": bad block ");
    AppendDecimal(line, bad_block);
    line.Append(" of ");
    AppendDecimal(line, out.verified.block_count());
    line.Append(", in segment ");
    line.Append(manifest.segments[image::SegmentOfBlock(manifest, bad_block)].name);
    report_.Line(line);
    return verified;
  }
  out.slot = slot_;
  return Ok();
}

}  // namespace gh::boot
