// One setting's value: from text, to text, to and from stored bytes. Pure; the settings' own rules
// (kind, range, words) and nothing else.
#pragma once

#include <span>
#include <string_view>

#include "firmware/config/types.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"

namespace gh::config {

// Bytes of the value in its group's struct.
size_t ValueSize(const SettingInfo& setting);

// Checks `text` and writes the value. Empty text is "not set": the default. Secrets are not set
// here (firmware/config/password.h). An error leaves the value alone and says what was expected.
Result<void> ParseValue(const SettingInfo& setting, std::string_view text, void* value,
                        Message& expected);
// The value as ParseValue reads it; a secret as "********" when it is set.
void FormatValue(const SettingInfo& setting, const void* value, ByteWriter& out);
bool IsDefault(const SettingInfo& setting, const void* value);
void SetDefault(const SettingInfo& setting, void* value);

// Stored form: the text, for secrets their bytes. Decode treats the bytes as hostile.
void EncodeStored(const SettingInfo& setting, const void* value, ByteWriter& out);
Result<void> DecodeStored(const SettingInfo& setting, std::span<const uint8_t> stored, void* value);

// "one of On, Off", "a whole number 1..65535", "an IPv4 address, for example 192.0.2.10", ...
void DescribeExpected(const SettingInfo& setting, ByteWriter& out);

bool IsHostName(std::string_view text);
bool IsUserName(std::string_view text);

}  // namespace gh::config
