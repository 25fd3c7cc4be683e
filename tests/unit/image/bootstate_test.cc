// The boot state record: round trip, every flipped bit, and copies in the wrong place.
#include "image/bootstate.h"

#include <gtest/gtest.h>

namespace gh::image {
namespace {

BootState Sample() {
  BootState state;
  state.sequence = 0x1122334455667788;
  state.security_version = 9;
  state.key_list_sequence = 3;
  state.slots[0] = {SlotState::kConfirmed, 0, 9, 12, 2, 1, SlotReason("")};
  state.slots[1] = {SlotState::kBad, 3, 10, 13, 3, 0, SlotReason("because")};
  state.reset_intent = ResetIntent::kKeepNetwork;
  return state;
}

TEST(BootState, RoundTripsInEveryCopy) {
  for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
    std::array<uint8_t, kBootStateCopySize> bytes;
    EncodeBootState(Sample(), copy, bytes);
    const auto state = DecodeBootState(bytes, copy);
    ASSERT_TRUE(state.ok());
    EXPECT_EQ(*state, Sample());
  }
}

TEST(BootState, EveryChangedByteIsRefused) {
  std::array<uint8_t, kBootStateCopySize> bytes;
  EncodeBootState(Sample(), 1, bytes);
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (uint32_t bit = 0; bit < (at < 96 ? 8u : 1u); ++bit) {
      bytes[at] = static_cast<uint8_t>(bytes[at] ^ 1u << bit);
      EXPECT_FALSE(DecodeBootState(bytes, 1).ok()) << at;
      bytes[at] = static_cast<uint8_t>(bytes[at] ^ 1u << bit);
    }
  }
}

TEST(BootState, MisplacedCopiesAreRefused) {
  std::array<uint8_t, kBootStateCopySize> bytes;
  for (uint32_t written = 0; written < kBootStateCopyCount; ++written) {
    EncodeBootState(Sample(), written, bytes);
    for (uint32_t read = 0; read < kBootStateCopyCount; ++read) {
      EXPECT_EQ(DecodeBootState(bytes, read).ok(), read == written);
    }
  }
}

TEST(BootState, EmptyIsNotFound) {
  std::array<uint8_t, kBootStateCopySize> bytes = {};
  EXPECT_EQ(DecodeBootState(bytes, 0).code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace gh::image
