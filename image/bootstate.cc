#include "image/bootstate.h"

#include <algorithm>

#include "crypto/digest.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::image {

namespace {

constexpr std::array<uint8_t, 8> kMagic = {'G', 'H', 'B', 'S', 'T', 'A', 'T', 'E'};
constexpr uint32_t kFormat = 2;
constexpr uint32_t kChecksumOffset = kBootStateCopySize - kHashSize;

std::array<uint8_t, kHashSize> Checksum(std::span<const uint8_t, kBootStateCopySize> bytes) {
  crypto::Blake2b256 hash("gatehouse.state");
  hash.Update(bytes.first(kChecksumOffset));
  return hash.Finish();
}

void WriteReason(ByteWriter& writer, const SlotReason& reason) {
  writer.U8(static_cast<uint8_t>(reason.size()));
  std::array<uint8_t, kSlotReasonSizeMax> text = {};
  std::copy(reason.view().begin(), reason.view().end(), text.begin());
  writer.Bytes(text);
}

bool ReadReason(ByteReader& reader, SlotReason& out) {
  const uint8_t size = reader.U8();
  const auto text = reader.Take(kSlotReasonSizeMax);
  if (size > text.size()) {
    return false;
  }
  out.Assign(AsText(text.first(size)));
  return std::all_of(text.begin(), text.begin() + size,
                     [](uint8_t c) { return c >= 0x20 && c < 0x7f; });
}

void WriteSlot(ByteWriter& writer, const SlotRecord& slot) {
  writer.U8(static_cast<uint8_t>(slot.state));
  writer.U8(slot.tries_left);
  writer.U8(slot.unhealthy_starts);
  writer.U64Le(slot.security_version);
  writer.U64Le(slot.install_sequence);
  writer.U64Le(slot.key_list_sequence);
  WriteReason(writer, slot.reason);
}

Result<SlotRecord> ReadSlot(ByteReader& reader) {
  SlotRecord slot;
  const uint8_t state = reader.U8();
  slot.state = static_cast<SlotState>(state);
  slot.tries_left = reader.U8();
  slot.unhealthy_starts = reader.U8();
  slot.security_version = reader.U64Le();
  slot.install_sequence = reader.U64Le();
  slot.key_list_sequence = reader.U64Le();
  if (state > static_cast<uint8_t>(SlotState::kBad) || slot.tries_left > kTriesMax ||
      slot.unhealthy_starts > kUnhealthyStartsMax || !ReadReason(reader, slot.reason)) {
    return Error(ErrorCode::kMalformed, "boot state: a slot's record is out of range");
  }
  return slot;
}

// Flags of one byte that is 0 or 1.
bool ReadFlag(ByteReader& reader, bool& out) {
  const uint8_t value = reader.U8();
  out = value == 1;
  return value <= 1;
}

Result<void> ReadRest(ByteReader& reader, BootState& state) {
  const uint8_t intent = reader.U8();
  state.reset_intent = static_cast<ResetIntent>(intent);
  state.reset_step = reader.U8();
  const uint8_t source = reader.U8();
  state.reset_source = static_cast<ResetSource>(source);
  if (intent > static_cast<uint8_t>(ResetIntent::kEverything) ||
      source > static_cast<uint8_t>(ResetSource::kConsole)) {
    return Error(ErrorCode::kMalformed, "boot state: unknown reset intent");
  }
  state.tries = reader.U8();
  state.confirm_seconds = reader.U16Le();
  if (state.tries < 1 || state.tries > kTriesMax || state.confirm_seconds < kConfirmSecondsMin ||
      state.confirm_seconds > kConfirmSecondsMax) {
    return Error(ErrorCode::kMalformed, "boot state: trial settings are out of range");
  }
  state.started = reader.U8();
  const bool is_flag = ReadFlag(reader, state.is_started_on_trial);
  if (state.started > kStartedNothing || !is_flag || !ReadFlag(reader, state.was_reset)) {
    return Error(ErrorCode::kMalformed, "boot state: unknown start");
  }
  state.revert.slot = reader.U8();
  if (state.revert.slot > kStartedNothing || !ReadReason(reader, state.revert.reason)) {
    return Error(ErrorCode::kMalformed, "boot state: revert is out of range");
  }
  // Behind everything: a record written before there was this flag has a zero here.
  if (!ReadFlag(reader, state.is_golden_next)) {
    return Error(ErrorCode::kMalformed, "boot state: unknown choice");
  }
  return Ok();
}

}  // namespace

void EncodeBootState(const BootState& state, uint32_t copy_index,
                     std::span<uint8_t, kBootStateCopySize> out) {
  GH_ASSERT_LT(copy_index, kBootStateCopyCount);
  std::fill(out.begin(), out.end(), uint8_t{0});
  ByteWriter writer(out.first(kChecksumOffset));
  writer.Bytes(kMagic);
  writer.U32Le(kFormat);
  writer.U32Le(copy_index);
  writer.U64Le(state.sequence);
  writer.U64Le(state.security_version);
  writer.U64Le(state.key_list_sequence);
  for (const SlotRecord& slot : state.slots) {
    WriteSlot(writer, slot);
  }
  writer.U8(static_cast<uint8_t>(state.reset_intent));
  writer.U8(state.reset_step);
  writer.U8(static_cast<uint8_t>(state.reset_source));
  writer.U8(state.tries);
  writer.U16Le(state.confirm_seconds);
  writer.U8(state.started);
  writer.U8(state.is_started_on_trial ? 1 : 0);
  writer.U8(state.was_reset ? 1 : 0);
  writer.U8(state.revert.slot);
  WriteReason(writer, state.revert.reason);
  writer.U8(state.is_golden_next ? 1 : 0);
  GH_ASSERT(writer.ok());
  const auto checksum = Checksum(out);
  std::copy(checksum.begin(), checksum.end(), out.begin() + kChecksumOffset);
  const auto read = DecodeBootState(out, copy_index);  // what we write, we can read
  GH_ASSERT(read.ok() && *read == state);
}

Result<BootState> DecodeBootState(std::span<const uint8_t, kBootStateCopySize> bytes,
                                  uint32_t copy_index) {
  ByteReader reader(bytes);
  std::array<uint8_t, 8> magic;
  reader.Copy(magic);
  if (magic != kMagic) {
    return Error(ErrorCode::kNotFound, "no boot state here");
  }
  const auto checksum = Checksum(bytes);
  if (!std::equal(checksum.begin(), checksum.end(), bytes.begin() + kChecksumOffset)) {
    return Error(ErrorCode::kCorrupt, "boot state checksum is wrong");
  }
  if (reader.U32Le() != kFormat) {
    return Error(ErrorCode::kUnsupported, "boot state is of an unknown format");
  }
  if (reader.U32Le() != copy_index) {
    return Error(ErrorCode::kCorrupt, "boot state copy is not in its place");
  }
  BootState state;
  state.sequence = reader.U64Le();
  state.security_version = reader.U64Le();
  state.key_list_sequence = reader.U64Le();
  for (SlotRecord& slot : state.slots) {
    GH_TRY_ASSIGN(slot, ReadSlot(reader));
  }
  GH_TRY(ReadRest(reader, state));
  GH_ASSERT(reader.ok());
  return state;
}

}  // namespace gh::image
