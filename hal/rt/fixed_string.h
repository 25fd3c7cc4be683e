// FixedString<N>: text of at most N bytes in place, for names in records and tables. Text that does
// not fit is cut and marked, never overrun. Always NUL-terminated, for boards that need C strings.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace gh {

template <uint32_t N>
class FixedString {
  static_assert(N > 0);

 public:
  constexpr FixedString() = default;
  explicit FixedString(std::string_view text) { Assign(text); }

  // False when `text` was cut.
  bool Assign(std::string_view text) {
    Clear();
    return Append(text);
  }
  // `text` may be part of this string.
  bool Append(std::string_view text) {
    const uint32_t room = N - size_;
    const bool fits = text.size() <= room;
    const uint32_t count = fits ? static_cast<uint32_t>(text.size()) : room;
    if (count != 0) {
      std::memmove(text_ + size_, text.data(), count);
    }
    size_ += count;
    text_[size_] = '\0';
    truncated_ = truncated_ || !fits;
    return fits;
  }
  bool Append(char c) { return Append(std::string_view(&c, 1)); }
  void Clear() {
    size_ = 0;
    text_[0] = '\0';
    truncated_ = false;
  }

  std::string_view view() const { return {text_, size_}; }
  operator std::string_view() const { return view(); }
  const char* c_str() const { return text_; }
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool truncated() const { return truncated_; }
  static constexpr uint32_t capacity() { return N; }

  friend bool operator==(const FixedString& a, std::string_view b) { return a.view() == b; }
  friend bool operator==(const FixedString& a, const FixedString& b) {
    return a.view() == b.view();
  }

 private:
  char text_[N + 1] = {};
  uint32_t size_ = 0;
  bool truncated_ = false;
};

}  // namespace gh
