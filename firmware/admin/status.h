// What xStatus shows: rooms add nodes, each a source of lines read one at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/limits.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::admin {

struct StatusNode {
  const char* path = "";  // "System", "SIP Registration": first words of its lines
  const char* help = "";
  // Writes one line ("SIP Registration 1 Contact: ...", without line end) and advances `cursor`,
  // which starts at 0. False: there is no more, nothing was written.
  bool (*next)(void* context, uint64_t& cursor, ByteWriter& out) = nullptr;
  void* context = nullptr;
  bool only_named = false;  // long: not part of a plain xStatus
};

class StatusTree {
 public:
  // Behind the last one of its branch ("Network"), so that a listing opens each branch once.
  void Add(const StatusNode& node) {
    GH_ASSERT_LT(count_, kStatusNodeMax);
    uint32_t at = count_;
    while (at > 0 && BranchOf(nodes_[at - 1]) != BranchOf(node)) {
      --at;
    }
    at = at == 0 ? count_ : at;
    std::copy_backward(nodes_.begin() + at, nodes_.begin() + count_, nodes_.begin() + count_ + 1);
    nodes_[at] = node;
    ++count_;
  }
  // StatusTree::AddMember<&Rooms::NextMemoryLine>("Memory", "...", this)
  template <auto Method, typename T>
  void AddMember(const char* path, const char* help, T* object, bool only_named = false) {
    Add({path, help,
         [](void* context, uint64_t& cursor, ByteWriter& out) {
           return (static_cast<T*>(context)->*Method)(cursor, out);
         },
         object, only_named});
  }
  std::span<const StatusNode> nodes() const { return {nodes_.data(), count_}; }

 private:
  static std::string_view BranchOf(const StatusNode& node) {
    const std::string_view path = node.path;
    return path.substr(0, path.find(' '));
  }

  std::array<StatusNode, kStatusNodeMax> nodes_ = {};
  uint32_t count_ = 0;
};

}  // namespace gh::admin
