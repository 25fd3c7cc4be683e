// What the loader says to a TPM, byte for byte, and answers that make no sense.
#include "boot/tpm.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "boot/limits.h"
#include "hal/rt/bytes.h"

namespace gh::boot {
namespace {

using Bytes = std::vector<uint8_t>;

// The answer a TPM gives for `pcrs`, each register filled with its number.
Bytes Answer(const std::vector<uint8_t>& pcrs) {
  uint32_t select = 0;
  for (const uint8_t pcr : pcrs) {
    select |= 1u << pcr;
  }
  Bytes bytes(28 + 34 * pcrs.size());
  ByteWriter out{std::span(bytes)};
  out.U16Be(0x8001);
  out.U32Be(static_cast<uint32_t>(bytes.size()));
  out.U32Be(0);
  out.U32Be(77);  // update counter
  out.U32Be(1);
  out.U16Be(0x000b);
  out.U8(3);
  for (int i = 0; i < 3; ++i) {
    out.U8(static_cast<uint8_t>(select >> 8 * i));
  }
  out.U32Be(static_cast<uint32_t>(pcrs.size()));
  for (const uint8_t pcr : pcrs) {
    out.U16Be(32);
    out.Bytes(Bytes(32, pcr));
  }
  EXPECT_TRUE(out.ok());
  EXPECT_EQ(out.room(), 0u);
  return bytes;
}

// In a block of exactly its size, so that the sanitizer sees a read beyond it.
Result<uint32_t> Decode(const Bytes& bytes, std::span<PcrValue> out) {
  auto copy = std::make_unique<uint8_t[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.get());
  return DecodePcrRead({copy.get(), bytes.size()}, out);
}

TEST(Tpm, EventIsAsTheSpecificationLaysItOut) {
  std::array<uint8_t, kTpmEventSizeMax> buffer;
  const auto event = EncodeTpmEvent(9, "ab", buffer);
  const Bytes wanted = {20, 0, 0, 0, 14, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0x0d, 0, 0, 0, 'a', 'b'};
  EXPECT_EQ(Bytes(event.begin(), event.end()), wanted);
  EXPECT_FALSE(EncodeTpmEvent(9, std::string(kTpmEventTextMax, 'x'), buffer).empty());
  EXPECT_TRUE(EncodeTpmEvent(9, std::string(kTpmEventTextMax + 1, 'x'), buffer).empty());
  EXPECT_TRUE(EncodeTpmEvent(9, "ab", std::span(buffer).first(19)).empty());
}

TEST(Tpm, CommandIsAsTheSpecificationLaysItOut) {
  std::array<uint8_t, kTpmCommandSizeMax> buffer;
  const auto command = EncodePcrRead(kShownPcrs, buffer);
  const Bytes wanted = {0x80, 0x01, 0, 0, 0, 20, 0, 0,    0x01, 0x7e,
                        0,    0,    0, 1, 0, 11, 3, 0x90, 0x03, 0};
  EXPECT_EQ(Bytes(command.begin(), command.end()), wanted);
  const uint32_t beyond[] = {24};
  EXPECT_TRUE(EncodePcrRead(beyond, buffer).empty());
  EXPECT_TRUE(EncodePcrRead(kShownPcrs, std::span(buffer).first(19)).empty());
}

TEST(Tpm, RegistersAreRead) {
  std::array<PcrValue, kHandoverPcrMax> pcrs;
  const auto count = Decode(Answer({4, 7, 8, 9}), pcrs);
  ASSERT_TRUE(count.ok());
  ASSERT_EQ(*count, 4u);
  for (const PcrValue& pcr : pcrs) {
    EXPECT_EQ(pcr.sha256[0], pcr.index);
    EXPECT_EQ(pcr.sha256[31], pcr.index);
  }
  EXPECT_EQ(pcrs[3].index, 9u);
}

TEST(Tpm, FewerRegistersThanAskedForAreTaken) {
  std::array<PcrValue, kHandoverPcrMax> pcrs;
  EXPECT_EQ(*Decode(Answer({8, 23}), pcrs), 2u);
  EXPECT_EQ(pcrs[1].index, 23u);
  EXPECT_EQ(*Decode(Answer({}), pcrs), 0u);  // a TPM without a SHA-256 bank
}

TEST(Tpm, MoreRegistersThanThereIsRoomForAreRefused) {
  std::array<PcrValue, kHandoverPcrMax> pcrs;
  EXPECT_EQ(Decode(Answer({1, 4, 7, 8, 9}), pcrs).code(), ErrorCode::kMalformed);
}

TEST(Tpm, RefusalOfTheTpmIsAnError) {
  std::array<PcrValue, kHandoverPcrMax> pcrs;
  Bytes answer = {0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01};
  EXPECT_EQ(Decode(answer, pcrs).code(), ErrorCode::kUnsupported);
}

TEST(Tpm, EveryCutAnswerIsRefused) {
  std::array<PcrValue, kHandoverPcrMax> pcrs;
  const Bytes whole = Answer({4, 7, 8, 9});
  for (size_t size = 0; size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(Decode(cut, pcrs).ok()) << size;
    if (size >= 6) {  // and one that admits to be short
      ByteWriter out{std::span(cut).subspan(2, 4)};
      out.U32Be(static_cast<uint32_t>(size));
      EXPECT_FALSE(Decode(cut, pcrs).ok()) << size;
    }
  }
}

TEST(Tpm, EveryChangedFrameByteIsRefusedOrHarmless) {
  std::array<PcrValue, kHandoverPcrMax> pcrs;
  const Bytes whole = Answer({4, 7, 8, 9});
  for (size_t at = 0; at < 28; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes changed = whole;
      changed[at] = static_cast<uint8_t>(changed[at] ^ 1u << bit);
      const auto count = Decode(changed, pcrs);
      const bool is_counter = at >= 10 && at < 14;
      // A selection bit that is off as another is on cannot come from one flip.
      EXPECT_EQ(count.ok(), is_counter) << at << "." << bit;
    }
  }
}

TEST(Tpm, NoiseIsRefusedWithoutHarm) {
  std::array<PcrValue, kHandoverPcrMax> pcrs;
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = Answer({4, 7, 8, 9});
    for (int i = 0; i < 3; ++i) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    bytes.resize(random() % (bytes.size() + 1));
    const auto count = Decode(bytes, pcrs);
    EXPECT_TRUE(!count.ok() || *count <= pcrs.size());
  }
}

// --- The counter ---------------------------------------------------------------------------------

constexpr uint32_t kIndex = kNvCounterIndex;

TEST(TpmCounterTest, DefinesACounterWithItsBaseInThePolicy) {
  std::array<uint8_t, kTpmCommandSizeMax> buffer;
  const auto command = EncodeNvDefineCounter(kIndex, 0x1122, buffer);
  const Bytes expected = {0x80, 2, 0, 0,    0,    0x4d, 0,    0,    1,    0x2a,  // header
                          0x40, 0, 0, 1,    0,    0,    0,    9,    0x40, 0,
                          0,    9, 0, 0,    0,    0,    0,  // owner, empty password
                          0,    0, 0, 0x2e, 0x01, 0xa7, 0x48, 0x53, 0,    0x0b,
                          2,    6, 0, 0x16, 0,    32};
  ASSERT_GT(command.size(), expected.size());
  EXPECT_EQ(Bytes(command.begin(), command.begin() + static_cast<ptrdiff_t>(expected.size())),
            expected);
  EXPECT_EQ(command.size(), 0x4du);
  EXPECT_EQ(Bytes(command.end() - 10, command.end()), (Bytes{0, 0, 0, 0, 0, 0, 0x11, 0x22, 0, 8}));
}

TEST(TpmCounterTest, CommandsSayTheirOwnSizeAndNeedTheirRoom) {
  std::array<uint8_t, kTpmCommandSizeMax> buffer;
  const auto check = [&](auto encode) {
    const size_t size = encode(std::span<uint8_t>(buffer)).size();
    ASSERT_GT(size, 10u);
    ByteReader reader(buffer);
    reader.Skip(2);
    EXPECT_EQ(reader.U32Be(), size);
    EXPECT_TRUE(encode(std::span(buffer).first(size - 1)).empty());
  };
  check([](std::span<uint8_t> out) { return EncodeNvDefineCounter(kIndex, 1, out); });
  check([](std::span<uint8_t> out) { return EncodeNvUndefine(kIndex, out); });
  check([](std::span<uint8_t> out) { return EncodeNvIncrement(kIndex, out); });
  check([](std::span<uint8_t> out) { return EncodeNvRead(kIndex, out); });
  check([](std::span<uint8_t> out) { return EncodeNvReadPublic(kIndex, out); });
}

Bytes Status(uint32_t code) {
  Bytes bytes(10);
  ByteWriter out{std::span(bytes)};
  out.U16Be(0x8001);
  out.U32Be(10);
  out.U32Be(code);
  return bytes;
}

TEST(TpmCounterTest, RefusalsAreToldApart) {
  EXPECT_TRUE(DecodeTpmStatus(Status(0)).ok());
  EXPECT_EQ(DecodeTpmStatus(Status(0x18b)).code(), ErrorCode::kNotFound);
  EXPECT_EQ(DecodeTpmStatus(Status(0x28b)).code(), ErrorCode::kNotFound);
  EXPECT_EQ(DecodeTpmStatus(Status(0x14a)).code(), ErrorCode::kWrongState);
  EXPECT_EQ(DecodeTpmStatus(Status(0x921)).code(), ErrorCode::kRefused);
  EXPECT_EQ(DecodeTpmStatus(Bytes(9)).code(), ErrorCode::kMalformed);
}

Bytes CountAnswer(uint64_t value) {
  Bytes bytes(10 + 4 + 2 + 8 + 5);
  ByteWriter out{std::span(bytes)};
  out.U16Be(0x8002);
  out.U32Be(static_cast<uint32_t>(bytes.size()));
  out.U32Be(0);
  out.U32Be(10);
  out.U16Be(8);
  out.U64Be(value);
  return bytes;
}

TEST(TpmCounterTest, ReadsTheCountAndNothingFromACutAnswer) {
  const Bytes answer = CountAnswer(0x123456789abc);
  EXPECT_EQ(DecodeNvRead(answer).value(), 0x123456789abcu);
  for (size_t size = 0; size < answer.size(); ++size) {
    EXPECT_FALSE(DecodeNvRead(std::span(answer).first(size)).ok()) << size;
  }
}

// What a TPM answers to ReadPublic for what `define` defined: the same area, and a name.
Bytes PublicAnswer(std::span<const uint8_t> define, bool is_written) {
  const Bytes area(define.begin() + 10 + 17 + 2, define.end());
  Bytes bytes(10 + area.size() + 36);
  ByteWriter out{std::span(bytes)};
  out.U16Be(0x8001);
  out.U32Be(static_cast<uint32_t>(bytes.size()));
  out.U32Be(0);
  out.Bytes(area);
  if (is_written) {
    bytes[10 + 2 + 6] |= 0x20;
  }
  return bytes;
}

TEST(TpmCounterTest, FindsItsBaseAgainAndRefusesAnIndexOfAnother) {
  std::array<uint8_t, kTpmCommandSizeMax> buffer;
  const auto define = EncodeNvDefineCounter(kIndex, 77, buffer);
  for (const bool is_written : {false, true}) {
    EXPECT_EQ(DecodeNvPublic(PublicAnswer(define, is_written), kIndex).value(), 77u);
  }
  EXPECT_EQ(DecodeNvPublic(PublicAnswer(define, true), kIndex + 1).code(),
            ErrorCode::kIncompatible);
  const Bytes good = PublicAnswer(define, true);
  for (size_t i = 10; i < 10 + 2 + 14 - 2 + 24; ++i) {
    Bytes bad = good;
    bad[i] ^= 1;
    EXPECT_FALSE(DecodeNvPublic(bad, kIndex).ok()) << i;
  }
  for (size_t size = 0; size < 10 + 2 + 46; ++size) {
    EXPECT_FALSE(DecodeNvPublic(std::span(good).first(size), kIndex).ok()) << size;
  }
}

}  // namespace
}  // namespace gh::boot
