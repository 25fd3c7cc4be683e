#include "firmware/upgrade/snapshots.h"

#include <algorithm>
#include <cstring>

#include "crypto/digest.h"
#include "hal/rt/bytes.h"

namespace gh::upgrade {

namespace {

//   magic | u32 size of rows | u32 row count | build (64, zero-padded) | hash, then the rows:
//   u16 key size | u16 value size | key | value
constexpr std::array<uint8_t, 8> kMagic = {'G', 'H', 'S', 'N', 'A', 'P', '0', '1'};
constexpr uint32_t kHeaderBytes = 4096;
constexpr uint32_t kBuildMax = 64;
constexpr uint32_t kBlock = 4096;

using Owner64 = FixedString<kBuildMax + 2>;

uint64_t AreaOf(uint32_t slot) { return image::kSnapshotsOffset + uint64_t{slot} * kSnapshotBytes; }
char LetterOf(uint32_t slot) { return slot == 0 ? 'A' : 'B'; }

std::array<uint8_t, 32> HashOf(std::span<const uint8_t> head, std::span<const uint8_t> rows) {
  crypto::Blake2b256 hash("gatehouse.snap");
  hash.Update(head);
  hash.Update(rows);
  return hash.Finish();
}

constexpr uint32_t kHashOffset = 8 + 4 + 4 + kBuildMax;

}  // namespace

// All rows but the store's own notes, as a snapshot keeps them.
class Snapshots::Collector final : public store::EntryVisitor {
 public:
  explicit Collector(std::span<uint8_t> out) : writer_(out) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    if (key == kImageKey) {
      return;
    }
    writer_.U16Le(static_cast<uint16_t>(key.size()));
    writer_.U16Le(static_cast<uint16_t>(value.size()));
    writer_.Text(key);
    writer_.Bytes(value);
    ++rows;
  }
  bool fits() const { return writer_.ok(); }
  uint32_t size() const { return static_cast<uint32_t>(writer_.size()); }
  uint32_t rows = 0;

 private:
  ByteWriter writer_;
};

// Whose rows the store holds.
class Snapshots::Owner final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    any = true;
    if (key == kImageKey) {
      text.Assign(AsText(value));
    }
  }
  bool any = false;
  Owner64 text;
};

Snapshots::Snapshots(Arena& arena, BootRecord& record, SnapshotObserver& observer)
    : record_(record), observer_(observer), buffer_(arena.NewArray<uint8_t>(kSnapshotBytes)) {}

void Snapshots::AtStart(store::Store& store, uint32_t slot, std::string_view build) {
  Owner64 mine;
  mine.Append(LetterOf(slot));
  mine.Append(' ');
  mine.Append(build.substr(0, kBuildMax));
  Owner owner;
  if (!store.ForEach(owner).ok() || !owner.any || owner.text == mine) {
    return;  // no configuration, or our own
  }
  const std::string_view before = owner.text.view();
  const bool is_slot = before.size() > 2 && (before[0] == 'A' || before[0] == 'B');
  if (is_slot) {
    const uint32_t other = before[0] == 'A' ? 0 : 1;
    const auto saved = Save(store, other, before.substr(2));
    if (!saved.ok()) {
      observer_.OnSnapshotFailed(LetterOf(other), saved.error().what);
    } else {
      observer_.OnSnapshotTaken(LetterOf(other), rows_);
    }
  }
  const auto found = Find(slot, build);
  const bool restores = found.ok() && *found;
  const auto done = restores ? Restore(store, mine.view()) : Claim(store, mine.view());
  if (!done.ok()) {
    observer_.OnSnapshotFailed(LetterOf(slot), done.error().what);
  } else if (restores) {
    observer_.OnSnapshotRestored(LetterOf(slot), rows_);
  }
}

Result<void> Snapshots::Save(store::Store& store, uint32_t slot, std::string_view build) {
  std::fill(buffer_.begin(), buffer_.end(), uint8_t{0});
  Collector rows(buffer_.subspan(kHeaderBytes));
  GH_TRY(store.ForEach(rows));
  if (!rows.fits()) {
    return Error(ErrorCode::kTooLarge, "the configuration is larger than a snapshot may be");
  }
  ByteWriter header(buffer_.first(kHeaderBytes));
  header.Bytes(kMagic);
  header.U32Le(rows.size());
  header.U32Le(rows.rows);
  header.Text(build);
  const auto hash = HashOf(buffer_.first(kHashOffset), buffer_.subspan(kHeaderBytes, rows.size()));
  std::copy(hash.begin(), hash.end(), buffer_.begin() + kHashOffset);
  const uint32_t stored = (rows.size() + kBlock - 1) / kBlock * kBlock;
  GH_TRY(record_.WriteArea(AreaOf(slot) + kHeaderBytes, buffer_.subspan(kHeaderBytes, stored)));
  GH_TRY(record_.WriteArea(AreaOf(slot), buffer_.first(kHeaderBytes)));
  rows_ = rows.rows;
  return Ok();
}

// Leaves the snapshot in the buffer.
Result<bool> Snapshots::Find(uint32_t slot, std::string_view build) {
  GH_TRY(record_.ReadArea(AreaOf(slot), buffer_));
  ByteReader reader(buffer_.first(kHeaderBytes));
  std::array<uint8_t, 8> magic;
  reader.Copy(magic);
  const uint32_t size = reader.U32Le();
  if (magic != kMagic || size > kSnapshotBytes - kHeaderBytes) {
    return false;
  }
  const auto hash = HashOf(buffer_.first(kHashOffset), buffer_.subspan(kHeaderBytes, size));
  if (std::memcmp(hash.data(), buffer_.data() + kHashOffset, hash.size()) != 0) {
    return false;
  }
  const auto name = AsText(buffer_.subspan(16, kBuildMax));
  return name.substr(0, std::min(name.find('\0'), name.size())) == build.substr(0, kBuildMax);
}

Result<void> Snapshots::PutOwner(store::Store& store, std::string_view mine) {
  const uint8_t schema[] = {kSchema};
  GH_TRY(store.Put(kImageKey, AsBytes(mine)));
  return store.Put(kSchemaKey, schema);
}

Result<void> Snapshots::Claim(store::Store& store, std::string_view mine) {
  GH_TRY(store.Begin());
  if (auto put = PutOwner(store, mine); !put.ok()) {
    store.Rollback();
    return put;
  }
  return store.Commit();
}

Result<void> Snapshots::Restore(store::Store& store, std::string_view mine) {
  const auto put_all = [&]() -> Result<void> {
    GH_TRY(store.RemoveAll());
    ByteReader header(buffer_.subspan(8, 8));
    ByteReader reader(buffer_.subspan(kHeaderBytes, header.U32Le()));
    rows_ = header.U32Le();
    for (uint32_t row = 0; row < rows_; ++row) {
      const uint16_t key_size = reader.U16Le();
      const uint16_t value_size = reader.U16Le();
      const auto key = reader.Take(key_size);
      const auto value = reader.Take(value_size);
      if (!reader.ok() || key_size > store::kKeyMax || value_size > store::kValueMax) {
        return Error(ErrorCode::kCorrupt, "the snapshot is damaged");
      }
      GH_TRY(store.Put(AsText(key), value));
    }
    return PutOwner(store, mine);
  };
  GH_TRY(store.Begin());
  if (auto put = put_all(); !put.ok()) {
    store.Rollback();
    return put;
  }
  return store.Commit();
}

Result<void> Snapshots::Forget(uint32_t slot) {
  std::fill_n(buffer_.begin(), kHeaderBytes, uint8_t{0});
  return record_.WriteArea(AreaOf(slot), buffer_.first(kHeaderBytes));
}

}  // namespace gh::upgrade
