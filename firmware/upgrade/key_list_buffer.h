// A key list (image/key_list.h) on its way in, in pieces of any size: collected, nothing more. It
// tells a key list from an update by the first bytes; who verifies it is SlotLedger::TakeKeyList.
// Fault model: every byte is hostile; sizes are capped before they enter arithmetic.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/assert.h"
#include "hal/rt/result.h"
#include "image/key_list.h"

namespace gh::upgrade {

class KeyListBuffer {
 public:
  static constexpr uint32_t kMagicSize = 8;
  // `first` holds kMagicSize bytes.
  static bool IsKeyList(std::span<const uint8_t> first) {
    return image::ParseKeyList(first).code() != ErrorCode::kNotFound;
  }

  // `buffer` holds image::kKeyListSizeMax bytes.
  void Start(std::span<uint8_t> buffer) {
    GH_ASSERT_GE(buffer.size(), image::kKeyListSizeMax);
    buffer_ = buffer.first(image::kKeyListSizeMax);
    received_ = total_ = 0;
  }
  // Takes bytes off the front up to the list's end. kTooLarge: no list is that large.
  Result<void> Feed(std::span<const uint8_t>& bytes) {
    Take(bytes, image::kKeyListHeaderSize);
    if (received_ >= image::kKeyListHeaderSize && total_ == 0) {
      const uint32_t list_size = U32At(12);
      const uint32_t signature_count = U32At(16);
      if (list_size > image::kKeyListSizeMax || signature_count > image::kSignatureCountMax) {
        return Error(ErrorCode::kTooLarge, "key list: a size is out of range");
      }
      const uint32_t total =
          image::kKeyListHeaderSize + list_size + signature_count * image::kSignatureRecordSize;
      if (total > image::kKeyListSizeMax) {
        return Error(ErrorCode::kTooLarge, "key list: a size is out of range");
      }
      total_ = total;
    }
    Take(bytes, total_);
    return Ok();
  }
  uint32_t received() const { return received_; }
  uint32_t total() const { return total_; }  // 0: not known yet
  bool complete() const { return total_ != 0 && received_ == total_; }
  std::span<const uint8_t> bytes() const { return buffer_.first(received_); }

 private:
  void Take(std::span<const uint8_t>& bytes, uint32_t until) {
    const size_t count = until <= received_ ? 0 : std::min<size_t>(bytes.size(), until - received_);
    std::copy_n(bytes.begin(), count, buffer_.begin() + received_);
    received_ += static_cast<uint32_t>(count);
    bytes = bytes.subspan(count);
  }
  uint32_t U32At(uint32_t offset) const {
    return uint32_t{buffer_[offset]} | uint32_t{buffer_[offset + 1]} << 8 |
           uint32_t{buffer_[offset + 2]} << 16 | uint32_t{buffer_[offset + 3]} << 24;
  }

  std::span<uint8_t> buffer_;
  uint32_t received_ = 0;
  uint32_t total_ = 0;
};

}  // namespace gh::upgrade
