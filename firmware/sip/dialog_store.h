// Where the texts of dialogs that last are kept: each as long as it is, in chunks of one size that
// all dialogs share. Each is sure of kDialogChunksOwn; what is longer takes from what is there for
// all, and is not kept where that is used up. Any free chunk serves any dialog, so that nothing is
// lost to fragments; the work is bounded by the longest record.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/sip/dialog_record.h"
#include "hal/rt/arena.h"

namespace gh::sip {

// A DialogRecord in the store; whoever has it lets the store release it.
class KeptDialog {
 private:
  friend class DialogStore;
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t first_ = kNone;
  DialogRecord::Sizes sizes_ = {};
};

class DialogStore {
 public:
  // So many dialogs at once.
  DialogStore(Arena& arena, uint32_t dialogs);
  DialogStore(const DialogStore&) = delete;
  DialogStore& operator=(const DialogStore&) = delete;

  // In the place of what was kept. False: no room; what was there stays.
  bool Keep(KeptDialog& kept, const DialogRecord& record);
  // The parts from the first to `last`; the others are empty.
  void Read(const KeptDialog& kept, DialogRecord& out,
            DialogRecord::Part last = DialogRecord::kPartLast) const;
  void Release(KeptDialog& kept);

  uint32_t used_count() const { return used_count_; }
  uint32_t capacity() const { return static_cast<uint32_t>(chunks_.size()); }
  static constexpr uint32_t bytes_per_chunk() { return sizeof(Chunk); }
  static constexpr uint32_t bytes_per_dialog() { return kDialogChunksEach * sizeof(Chunk); }

 private:
  static constexpr uint32_t kNone = KeptDialog::kNone;
  struct Chunk {
    std::array<char, kDialogChunkBytes> text;
    uint32_t next;
  };
  static_assert(sizeof(Chunk) == 64, "a line of the processor's cache");

  // Of the chunks for all, what text of that size needs.
  static uint32_t SharedFor(size_t size) {
    const auto chunks = static_cast<uint32_t>((size + kDialogChunkBytes - 1) / kDialogChunkBytes);
    return chunks > kDialogChunksOwn ? chunks - kDialogChunksOwn : 0;
  }
  uint32_t TakeFree();
  void ReleaseFrom(uint32_t& place);

  std::span<Chunk> chunks_;
  uint32_t first_free_ = kNone;
  uint32_t used_count_ = 0;
  uint32_t shared_free_ = 0;
};

}  // namespace gh::sip
