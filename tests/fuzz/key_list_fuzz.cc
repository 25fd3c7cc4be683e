// Hostile bytes as a key list: parsed, decoded, and verified as if its signatures were good enough.
// The same bytes as they arrive from a source of updates, in pieces.
#include <cstdlib>

#include "firmware/upgrade/key_list_buffer.h"
#include "image/key_list.h"

namespace {

// Collects at most one list, and all of it when there is one at the front.
void FeedPieces(std::span<const uint8_t> bytes) {
  using namespace gh::image;
  static uint8_t memory[kKeyListSizeMax];
  gh::upgrade::KeyListBuffer buffer;
  buffer.Start(memory);
  std::span<const uint8_t> rest = bytes;
  bool is_good = true;
  while (is_good && !rest.empty() && !buffer.complete()) {
    const size_t piece = std::min<size_t>(rest.size(), 1 + rest[0] % 50);
    std::span<const uint8_t> part = rest.first(piece);
    is_good = buffer.Feed(part).ok();
    rest = rest.subspan(piece - part.size());
  }
  const auto parts = ParseKeyList(bytes, false);
  if (buffer.received() > kKeyListSizeMax || buffer.total() > kKeyListSizeMax ||
      (parts.ok() && (!buffer.complete() || buffer.total() != KeyListSize(*parts)))) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::image;
  const std::span<const uint8_t> bytes(data, size);
  FeedPieces(bytes);
  const auto parts = ParseKeyList(bytes, false);
  if (!parts.ok()) {
    (void)DecodeKeyList(bytes);  // without the frame: the decoder alone
    return 0;
  }
  if (KeyListSize(*parts) > size || KeyListSize(*parts) > kKeyListSizeMax) {
    std::abort();
  }
  const auto list = DecodeKeyList(parts->list);
  if (list.ok() && (list->sequence == 0 || list->signature_count_min == 0 ||
                    list->keys_count > kTrustedKeyCountMax)) {
    std::abort();
  }
  // Nobody here holds this root key.
  TrustedKey root = {};
  root.key.fill(7);
  root.role = gatehouse_image_KeyRole_KEY_ROOT;
  KeyRing ring;
  if (VerifyKeyList(*parts, {&root, 1}, 1, ring).ok()) {
    std::abort();
  }
  return 0;
}
