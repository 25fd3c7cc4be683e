#include "board/pc/rtc.h"

namespace gh::pc {
namespace {

constexpr uint8_t kBinary = 1 << 2;
constexpr uint8_t kHours24 = 1 << 1;
constexpr uint8_t kPm = 0x80;
constexpr int64_t kNsPerSecond = 1'000'000'000;

bool IsLeap(uint32_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

uint32_t DaysInMonth(uint32_t year, uint32_t month) {
  constexpr uint8_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

// A value no field can have when the BCD digits are not decimal.
uint32_t FromRegister(uint8_t value, bool is_binary) {
  if (is_binary) {
    return value;
  }
  const uint32_t tens = value >> 4;
  const uint32_t ones = value & 0xf;
  return tens > 9 || ones > 9 ? UINT32_MAX : tens * 10 + ones;
}

uint8_t ToRegister(uint32_t value, bool is_binary) {
  return static_cast<uint8_t>(is_binary ? value : value / 10 << 4 | value % 10);
}

}  // namespace

// Days are counted in years that begin in March, so that the leap day is a year's last.
int64_t UnixSeconds(const CivilTime& time) {
  const int64_t year = static_cast<int64_t>(time.year) - (time.month <= 2 ? 1 : 0);
  const int64_t era = year / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t month = (static_cast<int64_t>(time.month) + 9) % 12;
  const int64_t day_of_year = (153 * month + 2) / 5 + time.day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  const int64_t days = era * 146097 + day_of_era - 719468;
  return days * 86400 + time.hour * 3600 + time.minute * 60 + time.second;
}

CivilTime CivilFromUnix(int64_t unix_seconds) {
  int64_t days = unix_seconds / 86400;
  int64_t rest = unix_seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month = (5 * day_of_year + 2) / 153;
  CivilTime time;
  time.day = static_cast<uint32_t>(day_of_year - (153 * month + 2) / 5 + 1);
  time.month = static_cast<uint32_t>(month < 10 ? month + 3 : month - 9);
  time.year = static_cast<uint32_t>(year_of_era + era * 400 + (time.month <= 2 ? 1 : 0));
  time.hour = static_cast<uint32_t>(rest / 3600);
  time.minute = static_cast<uint32_t>(rest / 60 % 60);
  time.second = static_cast<uint32_t>(rest % 60);
  return time;
}

int64_t UnixNsFromRtc(const CivilTime& time) {
  return UnixSeconds(time) * kNsPerSecond + kNsPerSecond / 2;
}

CivilTime RtcFromUnixNs(int64_t unix_ns) { return CivilFromUnix(unix_ns / kNsPerSecond); }

Result<CivilTime> DecodeRtc(const RtcRegisters& registers) {
  const bool is_binary = (registers.status_b & kBinary) != 0;
  CivilTime time;
  time.second = FromRegister(registers.second, is_binary);
  time.minute = FromRegister(registers.minute, is_binary);
  time.day = FromRegister(registers.day, is_binary);
  time.month = FromRegister(registers.month, is_binary);
  const uint32_t year = FromRegister(registers.year, is_binary);
  uint32_t century = FromRegister(registers.century, is_binary);
  if (century < 19 || century > 21) {
    century = 20;  // absent or nonsense
  }
  if ((registers.status_b & kHours24) != 0) {
    time.hour = FromRegister(registers.hour, is_binary);
  } else {
    const uint32_t hour = FromRegister(registers.hour & ~kPm & 0xff, is_binary);
    if (hour < 1 || hour > 12) {
      return Error(ErrorCode::kMalformed, "RTC hour");
    }
    time.hour = hour % 12 + ((registers.hour & kPm) != 0 ? 12 : 0);
  }
  if (year > 99 || time.month < 1 || time.month > 12 || time.hour > 23 || time.minute > 59 ||
      time.second > 59) {
    return Error(ErrorCode::kMalformed, "RTC field out of range");
  }
  time.year = century * 100 + year;
  if (time.year < 1970 || time.day < 1 || time.day > DaysInMonth(time.year, time.month)) {
    return Error(ErrorCode::kMalformed, "RTC date does not exist");
  }
  return time;
}

RtcRegisters EncodeRtc(const CivilTime& time, uint8_t status_b, bool has_century) {
  const bool is_binary = (status_b & kBinary) != 0;
  RtcRegisters registers;
  registers.second = ToRegister(time.second, is_binary);
  registers.minute = ToRegister(time.minute, is_binary);
  registers.day = ToRegister(time.day, is_binary);
  registers.month = ToRegister(time.month, is_binary);
  registers.year = ToRegister(time.year % 100, is_binary);
  registers.century = has_century ? ToRegister(time.year / 100, is_binary) : 0;
  registers.status_b = status_b;
  if ((status_b & kHours24) != 0) {
    registers.hour = ToRegister(time.hour, is_binary);
    return registers;
  }
  const uint32_t hour = time.hour % 12 == 0 ? 12 : time.hour % 12;
  registers.hour = static_cast<uint8_t>(ToRegister(hour, is_binary) | (time.hour >= 12 ? kPm : 0));
  return registers;
}

}  // namespace gh::pc
