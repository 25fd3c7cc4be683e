#include "image/bootstate.h"

#include <algorithm>

#include "crypto/digest.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::image {

namespace {

constexpr std::array<uint8_t, 8> kMagic = {'G', 'H', 'B', 'S', 'T', 'A', 'T', 'E'};
constexpr uint32_t kFormat = 1;
constexpr uint32_t kChecksumOffset = kBootStateCopySize - kHashSize;

std::array<uint8_t, kHashSize> Checksum(std::span<const uint8_t, kBootStateCopySize> bytes) {
  crypto::Blake2b256 hash("gatehouse.state");
  hash.Update(bytes.first(kChecksumOffset));
  return hash.Finish();
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
    writer.U8(static_cast<uint8_t>(slot.state));
    writer.U8(slot.tries_left);
    writer.U64Le(slot.security_version);
    writer.U64Le(slot.install_sequence);
  }
  writer.U8(static_cast<uint8_t>(state.reset_intent));
  GH_ASSERT(writer.ok());
  const auto checksum = Checksum(out);
  std::copy(checksum.begin(), checksum.end(), out.begin() + kChecksumOffset);
  GH_ASSERT(DecodeBootState(out, copy_index).ok());  // what we write, we can read
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
    const uint8_t value = reader.U8();
    if (value > static_cast<uint8_t>(SlotState::kBad)) {
      return Error(ErrorCode::kMalformed, "boot state: unknown slot state");
    }
    slot.state = static_cast<SlotState>(value);
    slot.tries_left = reader.U8();
    slot.security_version = reader.U64Le();
    slot.install_sequence = reader.U64Le();
  }
  const uint8_t intent = reader.U8();
  if (intent > static_cast<uint8_t>(ResetIntent::kEverything)) {
    return Error(ErrorCode::kMalformed, "boot state: unknown reset intent");
  }
  state.reset_intent = static_cast<ResetIntent>(intent);
  return state;
}

}  // namespace gh::image
