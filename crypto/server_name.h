// Which domain a TLS client asked for (SNI, RFC 6066 section 3), kept when the handshake is over:
// two marks of 64 bits in place of the name, for whoever has names to compare it with.
//
// Two names may share a mark, if somebody looks for such; he could have shown the other name as
// well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gh::crypto {

class ServerNameMark {
 public:
  constexpr ServerNameMark() = default;
  constexpr explicit ServerNameMark(std::string_view name)
      : whole_(HashOf(name)), parent_(HashOf(ParentOf(name))) {}

  constexpr bool is_none() const { return whole_ == 0; }
  // The name shown is `domain`, in whatever letters.
  constexpr bool Is(std::string_view domain) const {
    return !domain.empty() && whole_ == HashOf(domain);
  }
  // It is one label below `domain`: turn.example.com is below example.com.
  constexpr bool IsBelow(std::string_view domain) const {
    return !domain.empty() && parent_ == HashOf(domain);
  }
  friend constexpr bool operator==(const ServerNameMark&, const ServerNameMark&) = default;

 private:
  static constexpr std::string_view ParentOf(std::string_view name) {
    const size_t dot = name.find('.');
    return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
  }
  // FNV-1a over small letters; 0 stands for no name.
  static constexpr uint64_t HashOf(std::string_view name) {
    if (name.empty()) {
      return 0;
    }
    uint64_t hash = 0xcbf29ce484222325;
    for (const char c : name) {
      hash ^= static_cast<uint8_t>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
      hash *= 0x100000001b3;
    }
    return hash == 0 ? 1 : hash;
  }

  uint64_t whole_ = 0;
  uint64_t parent_ = 0;
};

}  // namespace gh::crypto
