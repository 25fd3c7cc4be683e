// Bandwidth between subzones and zones: what one call may take, what all of them together take, and
// the links and pipes on the way. Nodes are numbered as the caller likes, below kNodeMax.
//
// A call inside one node is under its intra limit; one between two nodes under the inter limits of
// both and under every pipe of the way with the fewest links. Without any link at all, every node
// reaches every other and no pipe is in between. With links, nodes that are not joined cannot call
// each other. A call that finds less than it wants is slowed down to that, where the settings say
// so and at least kBandwidthFloor is left; else it is refused.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "firmware/dialplan/limits.h"
#include "hal/rt/arena.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::dialplan {

// Local subzones (0: the default one), then zones.
inline constexpr uint32_t kNodeMax = 1 + kSubzoneMax + kZoneMax + 2;
inline constexpr uint32_t kBandwidthFloorKbps = 64;
inline constexpr uint32_t kUnlimited = UINT32_MAX;

struct BandwidthLimits {
  uint32_t total_kbps = kUnlimited;
  uint32_t per_call_inter_kbps = kUnlimited;
  uint32_t per_call_intra_kbps = kUnlimited;  // 0: no calls at all, as of the others
};
struct Pipe {
  FixedString<kNameBytesMax> name;
  uint32_t total_kbps = kUnlimited;
  uint32_t per_call_kbps = kUnlimited;
};
struct Link {
  FixedString<kNameBytesMax> name;
  uint16_t from = 0;
  uint16_t to = 0;
  std::array<uint8_t, 2> pipes = {UINT8_MAX, UINT8_MAX};  // UINT8_MAX: none
};
struct BandwidthSettings {
  uint32_t default_kbps = 384;
  bool downspeed_per_call = true;
  bool downspeed_total = true;
};

// What an admitted call holds. Empty: nothing.
struct BandwidthHold {
  uint32_t kbps = 0;
  uint16_t from = 0;
  uint16_t to = 0;
  uint8_t pipe_count = 0;
  std::array<uint8_t, kPathPipeMax> pipes = {};
};

class Bandwidth {
 public:
  explicit Bandwidth(Arena& arena);

  // A new plan; what calls hold goes on being counted where node and pipe keep their numbers.
  void Begin(const BandwidthSettings& settings);
  void SetNode(uint16_t node, const BandwidthLimits& limits);
  Result<uint8_t> AddPipe(const Pipe& pipe);
  Result<void> AddLink(const Link& link);

  // `wanted` of 0 means the default. kExhausted: no bandwidth is left (or allowed); kUnreachable:
  // no link leads there.
  Result<BandwidthHold> Admit(uint16_t from, uint16_t to, uint32_t wanted_kbps);
  void Release(BandwidthHold& hold);

  uint32_t default_kbps() const { return settings_.default_kbps; }
  uint32_t used_kbps(uint16_t node) const { return nodes_[node].used; }
  uint32_t call_count(uint16_t node) const { return nodes_[node].calls; }
  struct PipeStatus {
    std::string_view name;
    uint32_t used_kbps = 0;
    uint32_t total_kbps = 0;
    uint32_t calls = 0;
  };
  uint32_t pipe_count() const { return pipe_count_; }
  PipeStatus pipe(uint32_t index) const {
    const auto& p = pipes_[index];
    return {p.pipe.name.view(), p.used, p.pipe.total_kbps, p.calls};
  }
  uint32_t link_count() const { return link_count_; }
  const Link& link(uint32_t index) const { return links_[index]; }
  uint64_t refused_count() const { return refused_count_; }
  uint64_t downspeed_count() const { return downspeed_count_; }

 private:
  struct Node {
    BandwidthLimits limits;
    uint32_t used = 0;
    uint32_t calls = 0;
    // Of the search for a way.
    uint16_t came_by = 0;  // link
    bool seen = false;
  };
  struct PipeState {
    Pipe pipe;
    uint32_t used = 0;
    uint32_t calls = 0;
  };

  Result<void> FindPath(uint16_t from, uint16_t to, BandwidthHold& hold);
  void Count(const BandwidthHold& hold, bool taken);

  BandwidthSettings settings_;
  std::span<Node> nodes_;
  std::span<uint16_t> queue_;
  std::span<Link> links_;
  std::span<PipeState> pipes_;
  uint32_t link_count_ = 0;
  uint32_t pipe_count_ = 0;
  uint64_t refused_count_ = 0;
  uint64_t downspeed_count_ = 0;
};

}  // namespace gh::dialplan
