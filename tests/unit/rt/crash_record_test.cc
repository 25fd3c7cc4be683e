// Crash records: there and back, little room, damage, and hostile bytes under a right checksum.
#include "hal/rt/crash_record.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "hal/rt/crc32.h"
#include "tests/unit/rt/test_arena.h"

namespace gh {
namespace {

std::unique_ptr<CrashRecord> FullRecord() {
  auto record = std::make_unique<CrashRecord>();
  record->SetPanic({"a < b", "net/steering.cc", 42, true, -7, 9});
  record->uptime_ns = 12'345'678'901;
  record->unix_ns = 1'700'000'000'000'000'000;
  record->image_base = 0x100000;
  record->build_id.Assign("0.1.0+abc");
  record->architecture = CrashArchitecture::kX86_64;
  for (uint32_t i = 0; i < kCrashRegisterMax + 3; ++i) {
    record->AddRegister(0x1000 + i);
  }
  for (uint32_t i = 0; i < kCrashBacktraceMax + 3; ++i) {
    record->AddBacktrace(0x100000 + i * 16);
  }
  TestArena arena;
  TraceRing ring(arena, 64);
  for (uint64_t i = 0; i < 40; ++i) {
    ring.Add(Instant{static_cast<int64_t>(i) * 1'000'000}, TraceId(TraceRoom::kSip, 1), i, i * i);
  }
  record->SetTrace(ring);
  record->SetEventText(std::string(kCrashEventTextMax, 'x') + "boot\nlink up\n");
  return record;
}

std::vector<uint8_t> Encoded(const CrashRecord& record, size_t room = kCrashRecordBytesMax) {
  std::vector<uint8_t> bytes(room);
  Result<uint32_t> size = EncodeCrashRecord(record, bytes);
  EXPECT_TRUE(size.ok());
  bytes.resize(size.value_or(0));
  return bytes;
}

std::string Formatted(const CrashRecord& record, size_t room = 16'384) {
  std::vector<uint8_t> bytes(room);
  ByteWriter writer(bytes);
  FormatCrashRecord(record, writer);
  return std::string(writer.text());
}

TEST(CrashRecordTest, SurvivesTheTrip) {
  auto record = FullRecord();
  EXPECT_EQ(record->register_count, kCrashRegisterMax);
  EXPECT_EQ(record->backtrace_count, kCrashBacktraceMax);
  EXPECT_EQ(record->trace_count, kCrashTraceMax);
  EXPECT_EQ(record->trace[0].first, 8u);  // the oldest eight were left out
  EXPECT_EQ(record->event_text.size(), kCrashEventTextMax);
  auto bytes = Encoded(*record);
  bytes.resize(bytes.size() + 100);  // padding is ignored
  CrashRecord back;
  ASSERT_TRUE(DecodeCrashRecord(bytes, back).ok());
  EXPECT_EQ(Formatted(back), Formatted(*record));
  EXPECT_EQ(back.trace, record->trace);
  EXPECT_EQ(back.registers, record->registers);
  EXPECT_EQ(back.event_text, record->event_text);
  bytes.resize(bytes.size() - 100);
  EXPECT_EQ(Encoded(back), bytes);
}

TEST(CrashRecordTest, EmptyRecordSurvivesToo) {
  CrashRecord record, back;
  ASSERT_TRUE(DecodeCrashRecord(Encoded(record), back).ok());
  EXPECT_EQ(back.cause, CrashCause::kAssertion);
  EXPECT_EQ(back.trace_count, 0u);
}

TEST(CrashRecordTest, LittleRoomCostsEventTextThenTrace) {
  auto record = FullRecord();
  const size_t full = Encoded(*record).size();
  CrashRecord back;
  ASSERT_TRUE(DecodeCrashRecord(Encoded(*record, full - 100), back).ok());
  EXPECT_EQ(back.trace_count, kCrashTraceMax);
  EXPECT_EQ(back.event_text.size(), kCrashEventTextMax - 100);
  EXPECT_TRUE(back.event_text.view().ends_with("link up\n"));  // the latest is kept
  ASSERT_TRUE(DecodeCrashRecord(Encoded(*record, full - kCrashEventTextMax - 29), back).ok());
  EXPECT_EQ(back.trace_count, kCrashTraceMax - 2);
  EXPECT_EQ(back.trace[0].first, 10u);
  EXPECT_EQ(back.event_text.size(), 27u);
  const size_t least = full - kCrashEventTextMax - kCrashTraceMax * 28;
  EXPECT_EQ(Encoded(*record, least).size(), least);
  std::vector<uint8_t> small(least - 1);
  EXPECT_EQ(EncodeCrashRecord(*record, small).code(), ErrorCode::kTooLarge);
  EXPECT_EQ(EncodeCrashRecord(*record, {}).code(), ErrorCode::kTooLarge);
}

TEST(CrashRecordTest, EveryFlippedBitAndEveryCutIsRefused) {
  const auto bytes = Encoded(*FullRecord());
  CrashRecord back;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ 1 << bit % 8);
    ASSERT_FALSE(DecodeCrashRecord(flipped, back).ok()) << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(DecodeCrashRecord(std::span(bytes).first(size), back).ok()) << size;
  }
}

// The checksum is no protection against intent: with it made right, every field is still checked.
TEST(CrashRecordTest, HostileFieldsUnderARightChecksum) {
  const auto bytes = Encoded(*FullRecord());
  std::mt19937 random(1);
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto hostile = bytes;
    for (uint64_t n = random() % 4; n < 4; ++n) {
      hostile[12 + random() % (hostile.size() - 16)] = static_cast<uint8_t>(random());
    }
    const auto covered = std::span(hostile).first(hostile.size() - 4);
    ByteWriter(std::span(hostile).last(4)).U32Le(Crc32(covered));
    CrashRecord back;
    if (DecodeCrashRecord(hostile, back).ok()) {
      ++accepted;
      ASSERT_LE(back.register_count, kCrashRegisterMax);
      ASSERT_LE(back.backtrace_count, kCrashBacktraceMax);
      ASSERT_LE(back.trace_count, kCrashTraceMax);
      for (char c : Formatted(back)) {
        ASSERT_TRUE(c == '\n' || (c >= ' ' && c <= '~'));
      }
    }
  }
  EXPECT_GT(accepted, 0);
}

TEST(CrashRecordTest, SaysWhatIsWrong) {
  auto bytes = Encoded(CrashRecord());
  CrashRecord back;
  const std::vector<uint8_t> zeros(4096);
  EXPECT_EQ(DecodeCrashRecord(zeros, back).code(), ErrorCode::kNotFound);
  EXPECT_EQ(DecodeCrashRecord({}, back).code(), ErrorCode::kNotFound);
  EXPECT_EQ(DecodeCrashRecord(std::span(bytes).first(11), back).code(), ErrorCode::kTruncated);
  EXPECT_EQ(DecodeCrashRecord(std::span(bytes).first(20), back).code(), ErrorCode::kTruncated);
  auto newer = bytes;
  newer[4] = 2;
  EXPECT_EQ(DecodeCrashRecord(newer, back).code(), ErrorCode::kIncompatible);
  auto huge = bytes;
  huge[10] = 1;
  EXPECT_EQ(DecodeCrashRecord(huge, back).code(), ErrorCode::kMalformed);
  bytes.back() ^= 1;
  EXPECT_EQ(DecodeCrashRecord(bytes, back).code(), ErrorCode::kCorrupt);
}

TEST(CrashRecordTest, ReadsWell) {
  const std::string text = Formatted(*FullRecord());
  EXPECT_TRUE(text.starts_with(
      "crash: assertion: a < b at net/steering.cc:42 (left -7, right 9)\n"
      "  build 0.1.0+abc, up 12.345678 s, unix time 1700000000\n"
      "  rax=0000000000001000 rbx=0000000000001001 rcx=0000000000001002 rdx=0000000000001003\n"))
      << text;
  EXPECT_NE(text.find("rip=0000000000001010"), std::string::npos);
  EXPECT_NE(text.find("    00000010\n"), std::string::npos);  // offset in the image
  EXPECT_NE(text.find("  trace 0.008000 id 00050001 8 40\n"), std::string::npos);
  EXPECT_TRUE(text.ends_with("  event link up\n"));
  for (size_t room = 0; room < text.size(); room += 7) {
    EXPECT_TRUE(text.starts_with(Formatted(*FullRecord(), room))) << room;
  }
}

TEST(CrashRecordTest, ControlCharactersDoNotReachTheTerminal) {
  CrashRecord record;
  record.message.Assign("evil\x1b[2J");
  record.event_text.Assign("line\rover\n");
  const std::string text = Formatted(record);
  EXPECT_NE(text.find("evil?[2J"), std::string::npos);
  EXPECT_NE(text.find("event line?over\n"), std::string::npos);
}

TEST(CrashRecordTest, CausesHaveNames) {
  EXPECT_STREQ(CrashCauseName(CrashCause::kStackOverflow), "stack overflow");
  EXPECT_STREQ(CrashCauseName(static_cast<CrashCause>(99)), "unknown");
}

}  // namespace
}  // namespace gh
