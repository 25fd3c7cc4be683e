// C strings in fixed buffers, for the kernel's structures.
#pragma once

#include <cstring>

namespace gh::board {

// Copies `text`, cut to fit; always terminated.
template <size_t kSize>
void CopyText(char (&out)[kSize], const char* text) {
  const size_t size = strnlen(text, kSize - 1);
  std::memcpy(out, text, size);
  out[size] = '\0';
}

}  // namespace gh::board
