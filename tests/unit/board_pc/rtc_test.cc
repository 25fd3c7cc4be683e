#include "board/pc/rtc.h"

#include <gtest/gtest.h>

#include <ctime>

namespace gh::pc {
namespace {

constexpr uint8_t kBinary = 1 << 2;
constexpr uint8_t kHours24 = 1 << 1;

TEST(Rtc, AgreesWithTheCLibraryOverTwoCenturies) {
  for (int64_t t = 0; t < 7'258'118'400; t += 86'399 * 7) {
    const CivilTime civil = CivilFromUnix(t);
    const time_t c_time = t;
    tm expected = {};
    ASSERT_NE(gmtime_r(&c_time, &expected), nullptr);
    ASSERT_EQ(civil.year, static_cast<uint32_t>(expected.tm_year + 1900)) << t;
    ASSERT_EQ(civil.month, static_cast<uint32_t>(expected.tm_mon + 1)) << t;
    ASSERT_EQ(civil.day, static_cast<uint32_t>(expected.tm_mday)) << t;
    ASSERT_EQ(civil.hour, static_cast<uint32_t>(expected.tm_hour)) << t;
    ASSERT_EQ(civil.minute, static_cast<uint32_t>(expected.tm_min)) << t;
    ASSERT_EQ(civil.second, static_cast<uint32_t>(expected.tm_sec)) << t;
    ASSERT_EQ(UnixSeconds(civil), t);
  }
}

// What is set and read at once is true to half a second, and neither ahead nor behind on the whole.
TEST(Rtc, ItsSecondsAreTakenForTheirMiddle) {
  constexpr int64_t kSecond = 1'000'000'000;
  EXPECT_EQ(UnixNsFromRtc({1970, 1, 1, 0, 0, 7}), 7 * kSecond + kSecond / 2);
  int64_t sum = 0;
  for (int64_t ns = 0; ns < kSecond; ns += kSecond / 1000) {
    const int64_t truth = 1'800'000'000 * kSecond + ns;
    const int64_t read = UnixNsFromRtc(RtcFromUnixNs(truth));
    EXPECT_LE(read - truth, kSecond / 2);
    EXPECT_GT(read - truth, -kSecond / 2);
    sum += read - truth;
  }
  EXPECT_LT(sum / 1000, kSecond / 1000);
}

TEST(Rtc, RoundTripsInEveryFormat) {
  for (uint8_t status_b : {uint8_t{0}, kBinary, kHours24, uint8_t{kBinary | kHours24}}) {
    for (bool has_century : {false, true}) {
      for (uint32_t hour = 0; hour < 24; ++hour) {
        const CivilTime time = {2026, 11, 21, hour, 59, 7};
        const auto decoded = DecodeRtc(EncodeRtc(time, status_b, has_century));
        ASSERT_TRUE(decoded.ok());
        EXPECT_EQ(*decoded, time) << int{status_b} << " hour " << hour;
      }
    }
  }
}

TEST(Rtc, ReadsKnownRegisters) {
  // BCD, 12 hours: 11:59:58 PM on 29 February 2028.
  const RtcRegisters bcd = {0x58, 0x59, 0x91, 0x29, 0x02, 0x28, 0x20, 0};
  const auto time = DecodeRtc(bcd);
  ASSERT_TRUE(time.ok());
  EXPECT_EQ(*time, (CivilTime{2028, 2, 29, 23, 59, 58}));
  // Midnight is 12 AM.
  const auto midnight = DecodeRtc({0, 0, 0x12, 0x01, 0x01, 0x26, 0, 0});
  ASSERT_TRUE(midnight.ok());
  EXPECT_EQ(midnight->hour, 0u);
}

TEST(Rtc, RefusesWhatNoCalendarHas) {
  const RtcRegisters good = {0, 0, 0, 1, 1, 26, 20, kBinary | kHours24};
  ASSERT_TRUE(DecodeRtc(good).ok());
  const auto with = [&good](auto change) {
    RtcRegisters r = good;
    change(r);
    return DecodeRtc(r).code();
  };
  EXPECT_EQ(with([](auto& r) { r.second = 60; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.minute = 60; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.hour = 24; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.day = 0; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.day = 32; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.month = 0; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.month = 13; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.year = 100; }), ErrorCode::kMalformed);
  EXPECT_EQ(with([](auto& r) { r.month = 2, r.day = 29; }), ErrorCode::kMalformed);  // 2026
  EXPECT_EQ(with([](auto& r) { r.status_b = 0, r.second = 0x5a; }), ErrorCode::kMalformed);
}

TEST(Rtc, EveryRegisterValueIsSafe) {
  for (uint32_t value = 0; value < 256; ++value) {
    const auto v = static_cast<uint8_t>(value);
    for (uint32_t status_b = 0; status_b < 8; ++status_b) {
      const auto time = DecodeRtc({v, v, v, v, v, v, v, static_cast<uint8_t>(status_b)});
      if (time.ok()) {
        EXPECT_LT(time->hour, 24u);
        EXPECT_GE(UnixSeconds(*time), 0);
      }
    }
  }
}

}  // namespace
}  // namespace gh::pc
