// Secrets: bytes that zero themselves, do not copy, do not print, and compare in constant time.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace gh {

// Zeroes memory in a way the compiler may not leave out.
inline void SecureZero(std::span<uint8_t> bytes) {
  if (!bytes.empty()) {
    std::memset(bytes.data(), 0, bytes.size());
    asm volatile("" : : "r"(bytes.data()) : "memory");
  }
}

// Time depends on the sizes alone. Different sizes are different.
[[nodiscard]] inline bool ConstantTimeEqual(std::span<const uint8_t> a,
                                            std::span<const uint8_t> b) {
  if (a.size() != b.size()) {
    return false;
  }
  uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<uint8_t>(difference | (a[i] ^ b[i]));
    asm volatile("" : "+r"(difference));  // no early exit
  }
  return difference == 0;
}

// N secret bytes in place, zero until set. There is no conversion to text and no copy: whoever
// needs the bytes asks for them by name, and a reader sees it.
template <size_t N>
class SecretBytes {
 public:
  SecretBytes() = default;
  ~SecretBytes() { Zero(); }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  static constexpr size_t size() { return N; }
  std::span<uint8_t, N> Expose() { return std::span<uint8_t, N>(bytes_); }
  std::span<const uint8_t, N> Expose() const { return std::span<const uint8_t, N>(bytes_); }
  void Set(std::span<const uint8_t, N> bytes) { std::memmove(bytes_, bytes.data(), N); }
  // Takes the other's bytes and leaves zeros there: the way to hand a secret on.
  void TakeFrom(SecretBytes& other) {
    if (this != &other) {
      Set(other.Expose());
      other.Zero();
    }
  }
  void Zero() { SecureZero(bytes_); }

  friend bool operator==(const SecretBytes& a, const SecretBytes& b) {
    return ConstantTimeEqual(a.bytes_, b.bytes_);
  }
  bool Equals(std::span<const uint8_t> other) const { return ConstantTimeEqual(bytes_, other); }

 private:
  uint8_t bytes_[N] = {};
};

}  // namespace gh
