// Hostile bytes as a key list: parsed, decoded, and verified as if its signatures were good enough.
#include <cstdlib>

#include "image/key_list.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::image;
  const std::span<const uint8_t> bytes(data, size);
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
