#include "firmware/operator/backup_folder.h"

#include <algorithm>

#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

namespace gh {
namespace {

using admin::FileInfo;
using admin::FileReading;

constexpr Error kGone = {ErrorCode::kWrongState, "the file was replaced while it was read"};

}  // namespace

void BackupFolder::Set(std::string_view name, size_t size, int64_t now_s) {
  GH_ASSERT_LE(size, memory_.size());
  name_.Assign(name);
  size_ = size;
  modified_s_ = now_s;
  ++generation_;
}

void BackupFolder::Clear() {
  SecureZero(memory_);
  size_ = 0;
  ++generation_;
}

bool BackupFolder::List(uint32_t index, FileInfo& out) {
  if (index > 0 || size_ == 0) {
    return false;
  }
  out = {};
  out.name = name_;
  out.size = size_;
  out.modified_s = modified_s_;
  return true;
}

Result<void> BackupFolder::OpenRead(std::string_view, FileReading& reading) {
  reading.size = size_;
  reading.notes[0] = generation_;
  return Ok();
}

Result<size_t> BackupFolder::Read(std::string_view, FileReading& reading, std::span<uint8_t> out) {
  if (reading.notes[0] != generation_) {
    return kGone;
  }
  const size_t count = std::min<uint64_t>(out.size(), size_ - reading.offset);
  std::copy_n(memory_.begin() + static_cast<ptrdiff_t>(reading.offset), count, out.begin());
  return count;
}

Result<void> BackupFolder::OpenWrite(std::string_view name, uint64_t announced, Instant) {
  if (announced > memory_.size()) {
    return Error{ErrorCode::kTooLarge, "the file is larger than a backup of this system can be"};
  }
  Clear();
  writing_.Assign(name);
  arrived_ = 0;
  return Ok();
}

Result<size_t> BackupFolder::Write(std::span<const uint8_t> bytes, Instant) {
  if (bytes.size() > memory_.size() - arrived_) {
    return Error{ErrorCode::kTooLarge, "the file is larger than a backup of this system can be"};
  }
  std::copy(bytes.begin(), bytes.end(), memory_.begin() + static_cast<ptrdiff_t>(arrived_));
  arrived_ += bytes.size();
  return bytes.size();
}

Result<void> BackupFolder::FinishWrite(Instant) {
  Set(writing_.view(), arrived_, 0);
  return Ok();
}

void BackupFolder::AbortWrite(const char*, Instant) { Clear(); }

Result<void> BackupFolder::Remove(std::string_view) {
  Clear();
  return Ok();
}

}  // namespace gh
