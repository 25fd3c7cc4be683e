// ByteReader and ByteWriter: byte order, and every way to run out.
#include "hal/rt/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace gh {
namespace {

TEST(ByteReaderTest, ReadsBothOrders) {
  const std::array<uint8_t, 29> bytes = {1, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8,
                                         2, 1, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.U8(), 1);
  EXPECT_EQ(reader.U16Be(), 0x0102);
  EXPECT_EQ(reader.U32Be(), 0x01020304u);
  EXPECT_EQ(reader.U64Be(), 0x0102030405060708u);
  EXPECT_EQ(reader.U16Le(), 0x0102);
  EXPECT_EQ(reader.U32Le(), 0x01020304u);
  EXPECT_EQ(reader.U64Le(), 0x0102030405060708u);
  EXPECT_TRUE(reader.ok() && reader.at_end());
}

TEST(ByteReaderTest, RunsShortOnceAndStaysFailed) {
  const std::array<uint8_t, 3> bytes = {0xff, 0xff, 0xff};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.U32Be(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.U8(), 0);  // although bytes are left
  EXPECT_TRUE(reader.Rest().empty());
  EXPECT_EQ(reader.offset(), 0u);
}

TEST(ByteReaderTest, TakeSkipCopyRest) {
  const std::array<uint8_t, 6> bytes = {1, 2, 3, 4, 5, 6};
  ByteReader reader(bytes);
  reader.Skip(1);
  std::array<uint8_t, 2> copy = {};
  reader.Copy(copy);
  EXPECT_EQ(copy, (std::array<uint8_t, 2>{2, 3}));
  EXPECT_EQ(reader.Take(0).size(), 0u);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.Take(2)[1], 5);
  EXPECT_EQ(reader.Rest().size(), 1u);
  EXPECT_TRUE(reader.ok());
  std::array<uint8_t, 1> untouched = {9};
  reader.Copy(untouched);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(untouched[0], 9);
  ByteReader huge(bytes);
  huge.Skip(SIZE_MAX);
  EXPECT_FALSE(huge.ok());
}

TEST(ByteWriterTest, WritesBothOrders) {
  std::array<uint8_t, 29> out;
  ByteWriter writer(out);
  writer.U8(1);
  writer.U16Be(0x0102);
  writer.U32Be(0x01020304);
  writer.U64Be(0x0102030405060708);
  writer.U16Le(0x0102);
  writer.U32Le(0x01020304);
  writer.U64Le(0x0102030405060708);
  EXPECT_TRUE(writer.ok());
  EXPECT_EQ(writer.room(), 0u);
  const std::array<uint8_t, 29> expected = {1, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8,
                                            2, 1, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(out, expected);
}

TEST(ByteWriterTest, OverflowDropsTheWriteAndStaysFailed) {
  std::array<uint8_t, 4> out = {9, 9, 9, 9};
  ByteWriter writer(std::span<uint8_t>(out).first(3));
  writer.Text("ab");
  writer.U16Be(0x0101);
  EXPECT_FALSE(writer.ok());
  writer.Char('c');
  EXPECT_EQ(writer.text(), "ab");
  EXPECT_EQ(out[2], 9);
  EXPECT_EQ(out[3], 9);
  EXPECT_TRUE(writer.Reserve(1).empty());
}

std::string Written(auto&& write) {
  std::array<uint8_t, 128> out;
  ByteWriter writer(out);
  write(writer);
  EXPECT_TRUE(writer.ok());
  return std::string(writer.text());
}

TEST(ByteWriterTest, Numbers) {
  EXPECT_EQ(Written([](ByteWriter& w) { w.Decimal(0); }), "0");
  EXPECT_EQ(Written([](ByteWriter& w) { w.Decimal(UINT64_MAX); }), "18446744073709551615");
  EXPECT_EQ(Written([](ByteWriter& w) { w.SignedDecimal(INT64_MIN); }), "-9223372036854775808");
  EXPECT_EQ(Written([](ByteWriter& w) { w.SignedDecimal(-7); }), "-7");
  EXPECT_EQ(Written([](ByteWriter& w) { w.SignedDecimal(INT64_MAX); }), "9223372036854775807");
  EXPECT_EQ(Written([](ByteWriter& w) { w.Hex(0); }), "0");
  EXPECT_EQ(Written([](ByteWriter& w) { w.Hex(0xbeef, 6); }), "00beef");
  EXPECT_EQ(Written([](ByteWriter& w) { w.Hex(UINT64_MAX); }), "ffffffffffffffff");
  EXPECT_EQ(Written([](ByteWriter& w) { w.HexBytes(AsBytes(std::string_view("\x00\xa5", 2))); }),
            "00a5");
}

TEST(ByteWriterTest, ReservedBytesArePatchedLater) {
  std::array<uint8_t, 8> out;
  ByteWriter writer(out);
  auto size = writer.Reserve(2);
  writer.Text("abc");
  ByteWriter(size).U16Be(3);
  EXPECT_EQ(writer.text(), std::string_view("\x00\x03"
                                            "abc",
                                            5));
}

}  // namespace
}  // namespace gh
