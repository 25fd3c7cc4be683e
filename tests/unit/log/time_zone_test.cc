// Time zones against the C library's, for every name and the hours around every change of a year.
#include "firmware/log/time_zone.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include "firmware/log/event_filter.h"

namespace gh::log {
namespace {

int32_t LibraryOffset(const char* rule, int64_t at) {
  setenv("TZ", rule, 1);
  tzset();
  const time_t seconds = at;
  tm local = {};
  localtime_r(&seconds, &local);
  return static_cast<int32_t>(local.tm_gmtoff);
}

struct Row {
  const char* name;
  const char* rule;
};
constexpr Row kRows[] = {
#include "firmware/log/time_zones.inc"
};

TEST(TimeZone, EveryNameIsAsTheLibrarySays) {
  ASSERT_GT(std::size(kRows), 500u);
  for (const Row& row : kRows) {
    const auto zone = TimeZone::Of(row.name);
    ASSERT_TRUE(zone.ok()) << row.name;
    for (int64_t at = *ParseTime("2026-01-01T00:30") / 1'000'000'000;
         at < *ParseTime("2027-01-02T00:00") / 1'000'000'000; at += 86400 * 5 + 3600) {
      ASSERT_EQ(zone->OffsetAt(at), LibraryOffset(row.rule, at)) << row.name << " at " << at;
    }
  }
}

TEST(TimeZone, ChangesToTheSecond) {
  for (const char* rule : {"CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0",
                           "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "IST-2IDT,M3.4.4/26,M10.5.0",
                           "AEST-10AEDT,M10.1.0,M4.1.0/3", "ACST-9:30ACDT,M10.1.0,M4.1.0/3"}) {
    const auto zone = TimeZone::Of(rule);
    ASSERT_TRUE(zone.ok()) << rule;
    for (const char* day : {"2024-03-09", "2026-03-07", "2026-03-26", "2026-03-28", "2026-04-04",
                            "2026-10-03", "2026-10-24", "2026-10-31"}) {
      const int64_t begin = *ParseTime(std::string(day) + "T00:00") / 1'000'000'000;
      for (int64_t at = begin - 1; at < begin + 3 * 86400; at += 1800) {
        ASSERT_EQ(zone->OffsetAt(at), LibraryOffset(rule, at)) << rule << " at " << at;
        ASSERT_EQ(zone->OffsetAt(at + 1), LibraryOffset(rule, at + 1)) << rule << " at " << at + 1;
      }
    }
  }
}

TEST(TimeZone, WhatIsNoneIsRefused) {
  for (const char* wrong : {"Europe/Nowhere", "QQQ", "C-1", "CET-25", "CET-1CEST", "CET-1CEST,",
                            "CET-1CEST,M13.1.0,M10.5.0", "CET-1CEST,M3.5.0", "<CE>-1", "<CET-1",
                            "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,M3.0.0,M10.5.0",
                            "CET-1CEST,M3.5.0,M10.5.0/168", "CET-1CEST,M3.5.0,M10.5.0 "}) {
    EXPECT_FALSE(TimeZone::Of(wrong).ok()) << wrong;
  }
  EXPECT_TRUE(TimeZone::Of("").ok());
  EXPECT_TRUE(TimeZone::Of("europe/oslo").ok());
}

TEST(TimeZone, LocalTimesSayTheirOffset) {
  const auto text = [](const char* zone) {
    uint8_t bytes[48];
    ByteWriter out(bytes);
    FormatLocalTime({.unix_ns = *ParseTime("2026-11-21T23:30:05"), .is_set = true},
                    *TimeZone::Of(zone), out);
    return std::string(out.text());
  };
  EXPECT_EQ(text("UTC"), "2026-11-21T23:30:05.000000Z");
  EXPECT_EQ(text("Europe/Oslo"), "2026-11-22T00:30:05.000000+01:00");
  EXPECT_EQ(text("America/St_Johns"), "2026-11-21T20:00:05.000000-03:30");
}

}  // namespace
}  // namespace gh::log
