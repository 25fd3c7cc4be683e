// A reader of JSON (RFC 8259), for documents of a few kilobytes. Pure.
//
// One pass without recursion makes a table of nodes over the caller's text; strings are decoded
// when they are asked for. Bounded: kJsonNodesMax, kJsonDepthMax. Strict: nothing behind the
// document, no comments, no trailing commas, no control characters in strings, well-formed numbers.
// Of a name that comes twice the first counts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "firmware/acme/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::acme {

class Json {
 public:
  enum class Kind : uint8_t { kNone, kObject, kArray, kString, kNumber, kTrue, kFalse, kNull };
  using Node = uint16_t;  // index; kNothing: there is no such node
  static constexpr Node kNothing = UINT16_MAX;

  Json() = default;
  Json(const Json&) = delete;
  Json& operator=(const Json&) = delete;

  // `text` stays for as long as nodes are asked for. kMalformed, kTooLarge.
  Result<void> Parse(std::string_view text);

  Node root() const { return count_ == 0 ? kNothing : Node{0}; }
  Kind kind(Node node) const { return node == kNothing ? Kind::kNone : nodes_[node].kind; }
  // The value of a name in an object; kNothing too if `object` is none.
  Node Find(Node object, std::string_view name) const;
  // The members of an array or object, in order.
  Node First(Node parent) const;
  Node Next(Node node) const { return node == kNothing ? kNothing : nodes_[node].next; }
  // A string decoded to UTF-8; false: it is none, or does not fit.
  bool Text(Node node, ByteWriter& out) const;
  template <uint32_t N>
  bool Text(Node node, FixedString<N>& out) const {
    uint8_t bytes[N];
    ByteWriter writer(bytes);
    const bool taken = Text(node, writer);
    out.Assign(taken ? writer.text() : std::string_view());
    return taken;
  }
  // Whether it is the string `text`, which needs no escapes.
  bool Is(Node node, std::string_view text) const;
  bool IsTrue(Node node) const { return kind(node) == Kind::kTrue; }

 private:
  struct Entry {
    Kind kind = Kind::kNone;
    Node next = kNothing;   // sibling
    Node first = kNothing;  // child
    uint32_t name_begin = 0;
    uint32_t name_size = 0;  // of a member of an object, between the quotes
    uint32_t begin = 0;      // of a string: between the quotes
    uint32_t size = 0;
  };
  struct Level {
    Node node = kNothing;
    Node last = kNothing;  // child
  };
  class Parser;

  std::string_view text_;
  std::array<Entry, kJsonNodesMax> nodes_;
  uint32_t count_ = 0;
};

}  // namespace gh::acme
