// What a backup holds: every setting that is not at its default, then the rows of keys,
// certificates and trust. And what a restored one brings: settings staged in a change, rows written
// in that change's transaction.
//
// Fault model: the author of a backup may know its password. Settings go by the rules of any other
// change; rows are bounded (keys/backup_rows.h) and judged by the key store when it loads them.
#pragma once

#include "firmware/admin/backup_file.h"
#include "firmware/config/configuration.h"
#include "firmware/config/tree.h"
#include "firmware/keys/backup_rows.h"
#include "firmware/store/store.h"

namespace gh {

// Every setting that is not at its default, in order.
class SettingWalk {
 public:
  explicit SettingWalk(const config::RawSettings& settings) : settings_(settings) {}
  // False: no more.
  bool Next(config::Selector& out) {
    while (next_.setting < config::kSettingCount) {
      const config::Selector here = next_;
      Advance();
      if (!config::IsDefault(config::InfoOf(here), settings_.Field(here))) {
        out = here;
        return true;
      }
    }
    return false;
  }
  config::Selector position() const { return next_; }
  void SetPosition(config::Selector position) { next_ = position; }

 private:
  void Advance() {
    const config::GroupInfo& group = config::GroupOf(next_);
    const uint32_t index = config::InfoOf(next_).group;
    if (++next_.setting < uint32_t{group.setting_first} + group.setting_count) {
      return;
    }
    if (next_.instance + 1 < settings_.instance_count(index)) {
      next_ = {group.setting_first, next_.instance + 1};
      return;
    }
    next_.instance = 0;
  }
  const config::RawSettings& settings_;
  config::Selector next_;
};

class BackupContent final : public admin::BackupSource {
 public:
  BackupContent(const config::RawSettings& settings, store::Store& store)
      : settings_(settings), walk_(settings), keys_(store) {}
  Result<bool> NextRow(ByteWriter& path, ByteWriter& value) override;
  uint32_t settings() const { return setting_count_; }
  uint32_t rows() const { return row_count_; }

 private:
  const config::RawSettings& settings_;
  SettingWalk walk_;
  keys::BackupRows keys_;
  uint32_t setting_count_ = 0;
  uint32_t row_count_ = 0;
};

// The first reading: settings are staged, rows looked at.
class BackupStaging final : public admin::BackupVisitor {
 public:
  explicit BackupStaging(config::Configuration& configuration) : configuration_(configuration) {}
  Result<void> OnRow(std::string_view path, std::span<const uint8_t> value) override;
  uint32_t settings() const { return setting_count_; }
  uint32_t rows() const { return row_count_; }
  uint32_t unknown() const { return unknown_count_; }

 private:
  config::Configuration& configuration_;
  uint32_t setting_count_ = 0;
  uint32_t row_count_ = 0;
  uint32_t unknown_count_ = 0;  // settings of other versions or machines
};

// The second, within the change: the rows take the place of those in the store.
class BackupRowsFromFile final : public config::CommitCompanion, public admin::BackupVisitor {
 public:
  BackupRowsFromFile(admin::BackupCodec& codec, std::string_view password,
                     std::span<const uint8_t> file, store::Store& store)
      : codec_(codec), password_(password), file_(file), keys_(store) {}
  Result<void> Write() override;
  Result<void> OnRow(std::string_view path, std::span<const uint8_t> value) override;

 private:
  admin::BackupCodec& codec_;
  const std::string_view password_;
  const std::span<const uint8_t> file_;
  keys::BackupRows keys_;
};

}  // namespace gh
