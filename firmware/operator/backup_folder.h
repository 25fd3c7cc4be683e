// /backup: one file at a time waits there, in memory: a backup that was made, a list that was
// written, or what was brought or pasted to be restored or imported. It is gone with the next
// start.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/file_service.h"
#include "hal/rt/fixed_string.h"

namespace gh {

class BackupFolder final : public admin::FileProvider {
 public:
  explicit BackupFolder(std::span<uint8_t> memory) : memory_(memory) {}
  admin::Right read_right() const override { return admin::Right::kAdminister; }
  bool takes_files() const override { return true; }
  bool List(uint32_t index, admin::FileInfo& out) override;
  Result<void> OpenRead(std::string_view name, admin::FileReading& reading) override;
  Result<size_t> Read(std::string_view name, admin::FileReading& reading,
                      std::span<uint8_t> out) override;
  Result<void> OpenWrite(std::string_view name, uint64_t announced, Instant now) override;
  Result<size_t> Write(std::span<const uint8_t> bytes, Instant now) override;
  Result<void> FinishWrite(Instant now) override;
  void AbortWrite(const char* why, Instant now) override;
  Result<void> Remove(std::string_view name) override;

  std::span<uint8_t> memory() { return memory_; }
  std::span<const uint8_t> file() const { return memory_.first(size_); }
  // `memory()` holds a file of this name and size.
  void Set(std::string_view name, size_t size, int64_t now_s);
  void Clear();
  bool has_file() const { return size_ > 0; }

 private:
  std::span<uint8_t> memory_;
  FixedString<admin::kFileNameMax> name_;
  FixedString<admin::kFileNameMax> writing_;
  size_t size_ = 0;     // 0: there is none
  size_t arrived_ = 0;  // of the one being written
  int64_t modified_s_ = 0;
  uint64_t generation_ = 0;  // who reads an older one is told
};

}  // namespace gh
