// Keys, certificates, requests and trust as rows of a backup: what the store has in their tables,
// each row under "/keys/", "/certificates/" or "/trust/" and its own key. No setting's path begins
// like that, so a version without them leaves them out and says so.
//
// A key in a token is its label here: the token itself is not backed up.
// Fault model: a backup's author may know its password; rows are bounded in number and size here,
// and what is no key or certificate is refused by those who load it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/store/store.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::keys {

class BackupRows {
 public:
  explicit BackupRows(store::Store& store) : store_(store) {}

  // The next row of the store, table by table; false: there are no more.
  Result<bool> Next(ByteWriter& path, ByteWriter& value);

  static bool IsOne(std::string_view path);
  // Whether a row of a backup could be one of ours. kMalformed; kTooLarge.
  static Result<void> Check(std::string_view path, std::span<const uint8_t> value);

  // In a transaction of the caller: all rows go, rows of a backup come.
  Result<void> RemoveAll();
  Result<void> Put(std::string_view path, std::span<const uint8_t> value);

 private:
  store::Store& store_;
  uint32_t table_ = 0;  // index of kTables
  FixedString<store::kKeyMax> after_;
};

}  // namespace gh::keys
