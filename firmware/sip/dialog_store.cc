#include "firmware/sip/dialog_store.h"

#include <algorithm>

namespace gh::sip {

DialogStore::DialogStore(Arena& arena, uint32_t dialogs)
    : chunks_(arena.NewArray<Chunk>(size_t{dialogs} * kDialogChunksEach)),
      shared_free_(dialogs * (kDialogChunksEach - kDialogChunksOwn)) {
  for (uint32_t i = capacity(); i > 0; --i) {
    chunks_[i - 1].next = first_free_;
    first_free_ = i - 1;
  }
}

uint32_t DialogStore::TakeFree() {
  const uint32_t taken = first_free_;
  GH_ASSERT(taken != kNone);  // counted before, as long as there are no more dialogs than said
  first_free_ = chunks_[taken].next;
  chunks_[taken].next = kNone;
  ++used_count_;
  return taken;
}

void DialogStore::ReleaseFrom(uint32_t& place) {
  for (uint32_t at = place; at != kNone;) {
    const uint32_t next = chunks_[at].next;
    chunks_[at].next = first_free_;
    first_free_ = at;
    --used_count_;
    at = next;
  }
  place = kNone;
}

bool DialogStore::Keep(KeptDialog& kept, const DialogRecord& record) {
  const uint32_t before = SharedFor(DialogRecord::SumOf(kept.sizes_));
  const uint32_t after = SharedFor(record.size());
  if (after > before + shared_free_) {
    return false;
  }
  shared_free_ = shared_free_ + before - after;
  kept.sizes_ = record.sizes_;
  uint32_t* place = &kept.first_;
  const char* from = record.text_.data();
  for (size_t left = record.size(); left != 0;) {
    if (*place == kNone) {
      *place = TakeFree();
    }
    Chunk& chunk = chunks_[*place];
    const size_t part = std::min(left, chunk.text.size());
    std::memcpy(chunk.text.data(), from, part);
    from += part;
    left -= part;
    place = &chunk.next;
  }
  ReleaseFrom(*place);
  return true;
}

void DialogStore::Read(const KeptDialog& kept, DialogRecord& out, DialogRecord::Part last) const {
  out.Clear();
  std::copy_n(kept.sizes_.begin(), last + 1, out.sizes_.begin());
  char* to = out.text_.data();
  uint32_t at = kept.first_;
  for (size_t left = out.size(); left != 0; at = chunks_[at].next) {
    const Chunk& chunk = chunks_[at];
    const size_t part = std::min(left, chunk.text.size());
    std::memcpy(to, chunk.text.data(), part);
    to += part;
    left -= part;
  }
}

void DialogStore::Release(KeptDialog& kept) {
  shared_free_ += SharedFor(DialogRecord::SumOf(kept.sizes_));
  kept.sizes_ = {};
  ReleaseFrom(kept.first_);
}

}  // namespace gh::sip
