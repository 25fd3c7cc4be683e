#include "firmware/keys/backup_rows.h"

#include <algorithm>

namespace gh::keys {
namespace {

using store::Table;

struct NamedTable {
  std::string_view prefix;
  Table table;
};
constexpr NamedTable kTables[] = {
    {"/certificates/", Table::kCertificates},
    {"/keys/", Table::kKeys},
    {"/trust/", Table::kTrust},
};

const NamedTable* TableOf(std::string_view path) {
  const auto at = std::ranges::find_if(
      kTables, [&](const NamedTable& one) { return path.starts_with(one.prefix); });
  return at == std::end(kTables) ? nullptr : at;
}

class OneRow final : public store::EntryVisitor {
 public:
  OneRow(const NamedTable& table, ByteWriter& path, ByteWriter& value)
      : table_(table), path_(path), value_(value) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    key_.Assign(key);
    path_.Text(table_.prefix);
    path_.Text(key);
    value_.Bytes(value);
  }
  std::string_view key() const { return key_.view(); }

 private:
  const NamedTable& table_;
  ByteWriter& path_;
  ByteWriter& value_;
  FixedString<store::kKeyMax> key_;
};

class KeyOnly final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t>) override { key_.Assign(key); }
  FixedString<store::kKeyMax> key_;
};

}  // namespace

Result<bool> BackupRows::Next(ByteWriter& path, ByteWriter& value) {
  for (; table_ < std::size(kTables); ++table_, after_.Clear()) {
    OneRow row(kTables[table_], path, value);
    GH_TRY_ASSIGN(const uint32_t count,
                  store_.ForEachIn(kTables[table_].table, after_.view(), 1, row));
    if (count > 0) {
      after_.Assign(row.key());
      return true;
    }
  }
  return false;
}

bool BackupRows::IsOne(std::string_view path) { return TableOf(path) != nullptr; }

Result<void> BackupRows::Check(std::string_view path, std::span<const uint8_t> value) {
  const NamedTable* named = TableOf(path);
  if (named == nullptr) {
    return Error(ErrorCode::kMalformed, "the backup holds a row that is no key or certificate");
  }
  const std::string_view key = path.substr(named->prefix.size());
  if (key.size() > store::kKeyMax || value.size() > store::kValueMax) {
    return Error(ErrorCode::kTooLarge, "the backup holds a key or certificate that is too large");
  }
  if (key.empty() || !std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7f; })) {
    return Error(ErrorCode::kMalformed, "the backup holds a key or certificate that is damaged");
  }
  return Ok();
}

Result<void> BackupRows::RemoveAll() {
  for (const NamedTable& named : kTables) {
    for (;;) {
      KeyOnly first;
      GH_TRY_ASSIGN(const uint32_t count, store_.ForEachIn(named.table, "", 1, first));
      if (count == 0) {
        break;
      }
      GH_TRY(store_.RemoveIn(named.table, first.key_.view()));
    }
  }
  return Ok();
}

Result<void> BackupRows::Put(std::string_view path, std::span<const uint8_t> value) {
  GH_TRY(Check(path, value));
  const NamedTable& named = *TableOf(path);
  return store_.PutIn(named.table, path.substr(named.prefix.size()), value);
}

}  // namespace gh::keys
