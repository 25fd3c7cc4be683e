#include "firmware/config/history.h"

#include <algorithm>

#include "hal/rt/bytes.h"

namespace gh::config {
namespace {

using store::Table;
constexpr uint8_t kVersion = 1;
constexpr uint16_t kDefaultSize = 0xffff;
constexpr uint32_t kCommitKeySize = 8;
constexpr uint32_t kChangeKeySize = 15;

struct Key {
  uint8_t bytes[kChangeKeySize];
  size_t size = 0;
  std::string_view view() const { return AsText(std::span(bytes).first(size)); }
};

Key KeyOf(uint32_t number) {
  Key key;
  ByteWriter out(key.bytes);
  out.Hex(number, kCommitKeySize);
  key.size = out.size();
  return key;
}

Key KeyOf(uint32_t number, uint32_t change) {
  Key key;
  ByteWriter out(key.bytes);
  out.Hex(number, kCommitKeySize);
  out.Char(':');
  out.Hex(change, 6);
  key.size = out.size();
  return key;
}

// 0: not the key of a commit, or of none of this history's.
uint32_t NumberOf(std::string_view key) {
  uint32_t number = 0;
  if (key.size() < kCommitKeySize) {
    return 0;
  }
  for (char c : key.substr(0, kCommitKeySize)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) {
      return 0;
    }
    number = number << 4 | static_cast<uint32_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return number;
}

void WriteValue(const StoredValue& value, ByteWriter& out) {
  out.U16Le(value.is_default ? kDefaultSize : static_cast<uint16_t>(value.bytes.size()));
  if (!value.is_default) {
    out.Bytes(value.bytes);
  }
}

StoredValue ReadValue(ByteReader& in) {
  const uint16_t size = in.U16Le();
  StoredValue value;
  value.is_default = size == kDefaultSize;
  value.bytes = value.is_default ? std::span<const uint8_t>() : in.Take(size);
  return value;
}

}  // namespace

Result<CommitInfo> DecodeCommit(std::string_view key, std::span<const uint8_t> value) {
  ByteReader in(value);
  CommitInfo info;
  info.number = NumberOf(key);
  const uint8_t version = in.U8();
  info.wall.unix_ns = static_cast<int64_t>(in.U64Le());
  info.wall.is_set = in.U8() == 1;
  info.change_count = in.U32Le();
  info.kept_count = in.U32Le();
  if (!in.ok() || version != kVersion || key.size() != kCommitKeySize || info.number == 0 ||
      info.kept_count > info.change_count || info.kept_count > kHistoryChangeMax ||
      in.remaining() > kAuthorMax) {
    return Error(ErrorCode::kCorrupt, "history: not a commit's row");
  }
  info.author.Assign(AsText(in.Take(in.remaining())));
  return info;
}

Result<ChangeRow> DecodeChange(std::span<const uint8_t> value) {
  ByteReader in(value);
  const uint8_t version = in.U8();
  ChangeRow row;
  row.path = AsText(in.Take(in.U16Le()));
  row.before = ReadValue(in);
  row.after = ReadValue(in);
  if (!in.ok() || version != kVersion || in.remaining() != 0 || row.path.size() > kPathTextMax) {
    return Error(ErrorCode::kCorrupt, "history: not a change's row");
  }
  return row;
}

// Commits come in order; change rows behind theirs are counted by it.
class History::Scan final : public store::EntryVisitor {
 public:
  explicit Scan(History& history) : history_(history) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    const uint32_t number = NumberOf(key);
    history_.next_ = std::max(history_.next_, number + 1);
    const auto info = DecodeCommit(key, value);
    if (info.ok() && history_.count_ < kHistoryCommitMax) {
      history_.commits_[history_.count_++] = {info->number, info->kept_count};
      history_.rows_ += info->kept_count;
    }
  }

 private:
  History& history_;
};

Result<void> History::Load() {
  count_ = rows_ = 0;
  next_ = 1;
  Scan scan(*this);
  const auto read = store_.ForEachIn(Table::kHistory, "", UINT32_MAX, scan);
  return read.ok() ? Ok() : Result<void>(read.error());
}

Result<void> History::RemoveCommit(const Kept& kept) {
  for (uint32_t change = 0; change < kept.rows; ++change) {
    GH_TRY(store_.RemoveIn(Table::kHistory, KeyOf(kept.number, change).view()));
  }
  return store_.RemoveIn(Table::kHistory, KeyOf(kept.number).view());
}

Result<void> History::Begin() {
  changes_ = kept_ = removed_ = 0;
  return Ok();
}

Result<void> History::Add(std::string_view path, const StoredValue& before,
                          const StoredValue& after) {
  ++changes_;
  if (kept_ == kHistoryChangeMax) {
    return Ok();
  }
  uint8_t bytes[kHistoryRowBytes];
  ByteWriter out(bytes);
  out.U8(kVersion);
  out.U16Le(static_cast<uint16_t>(path.size()));
  out.Text(path);
  WriteValue(before, out);
  WriteValue(after, out);
  GH_ASSERT(out.ok());
  return store_.PutIn(Table::kHistory, KeyOf(next_, kept_++).view(), out.written());
}

Result<void> History::Finish(std::string_view author) {
  const WallTime wall = clock_.Wall();
  uint8_t bytes[64 + kAuthorMax];
  ByteWriter out(bytes);
  out.U8(kVersion);
  out.U64Le(static_cast<uint64_t>(wall.unix_ns));
  out.U8(wall.is_set ? 1 : 0);
  out.U32Le(changes_);
  out.U32Le(kept_);
  out.Text(author.substr(0, kAuthorMax));
  GH_ASSERT(out.ok());
  uint32_t rows = rows_ + kept_;
  while (removed_ < count_ && (count_ - removed_ >= kHistoryCommitMax || rows > kHistoryRowMax)) {
    GH_TRY(RemoveCommit(commits_[removed_]));
    rows -= commits_[removed_++].rows;
  }
  return store_.PutIn(Table::kHistory, KeyOf(next_).view(), out.written());
}

void History::Commit() {
  for (uint32_t i = 0; i < removed_; ++i) {
    rows_ -= commits_[i].rows;
  }
  std::copy(commits_.begin() + removed_, commits_.begin() + count_, commits_.begin());
  count_ -= removed_;
  GH_ASSERT_LT(count_, kHistoryCommitMax);
  commits_[count_++] = {next_++, kept_};
  rows_ += kept_;
  removed_ = 0;
}

Result<CommitInfo> History::Read(uint32_t number) {
  class One final : public store::EntryVisitor {
   public:
    void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
      const auto decoded = DecodeCommit(key, value);
      info = decoded.ok() ? *decoded : CommitInfo{};
    }
    CommitInfo info;
  } one;
  if (number != 0) {
    // The row behind the last that a commit before it could have.
    const auto read = store_.ForEachIn(Table::kHistory, KeyOf(number - 1, 0xffffff).view(), 1, one);
    if (!read.ok()) {
      return read.error();
    }
  }
  if (number == 0 || one.info.number != number) {
    return Error(ErrorCode::kNotFound, "expected the number of a change that is kept");
  }
  return one.info;
}

Result<void> History::ForEachChange(uint32_t number, ChangeVisitor& visitor) {
  class Rows final : public store::EntryVisitor {
   public:
    explicit Rows(ChangeVisitor& visitor) : visitor_(visitor) {}
    void OnEntry(std::string_view, std::span<const uint8_t> value) override {
      const auto row = DecodeChange(value);
      if (row.ok()) {
        visitor_.OnChange(*row);
      } else {
        damaged = true;
      }
    }
    bool damaged = false;

   private:
    ChangeVisitor& visitor_;
  } rows(visitor);
  GH_TRY_ASSIGN(const CommitInfo info, Read(number));
  GH_TRY(store_.ForEachIn(Table::kHistory, KeyOf(number).view(), info.kept_count, rows));
  return rows.damaged ? Error(ErrorCode::kCorrupt, "history: not a change's row") : Ok();
}

}  // namespace gh::config
