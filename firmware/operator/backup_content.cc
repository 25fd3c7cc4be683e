#include "firmware/operator/backup_content.h"

#include "firmware/config/value.h"

namespace gh {

Result<bool> BackupContent::NextRow(ByteWriter& path, ByteWriter& value) {
  if (config::Selector here; walk_.Next(here)) {
    config::FormatPath(here, path);
    config::EncodeStored(config::InfoOf(here), settings_.Field(here), value);
    ++setting_count_;
    return true;
  }
  GH_TRY_ASSIGN(const bool has_row, keys_.Next(path, value));
  row_count_ += has_row ? 1 : 0;
  return has_row;
}

Result<void> BackupStaging::OnRow(std::string_view path, std::span<const uint8_t> value) {
  if (keys::BackupRows::IsOne(path)) {
    ++row_count_;
    return keys::BackupRows::Check(path, value);
  }
  const auto applied = configuration_.ApplyStored(path, value);
  if (applied.code() == ErrorCode::kNotFound) {
    ++unknown_count_;
    return Ok();
  }
  if (!applied.ok()) {
    return Error{ErrorCode::kInvalidArgument,
                 "the backup holds a value this version does not take"};
  }
  ++setting_count_;
  return Ok();
}

Result<void> BackupRowsFromFile::Write() {
  GH_TRY(keys_.RemoveAll());
  GH_TRY(codec_.Read(password_, file_, *this));
  return Ok();
}

Result<void> BackupRowsFromFile::OnRow(std::string_view path, std::span<const uint8_t> value) {
  return keys::BackupRows::IsOne(path) ? keys_.Put(path, value) : Ok();
}

}  // namespace gh
