#include "firmware/dialplan/bandwidth.h"

#include <algorithm>

namespace gh::dialplan {

Bandwidth::Bandwidth(Arena& arena)
    : nodes_(arena.NewArray<Node>(kNodeMax)),
      queue_(arena.NewArray<uint16_t>(kNodeMax)),
      links_(arena.NewArray<Link>(kLinkMax)),
      pipes_(arena.NewArray<PipeState>(kPipeMax)) {}

void Bandwidth::Begin(const BandwidthSettings& settings) {
  settings_ = settings;
  for (Node& node : nodes_) {
    node.limits = {};
  }
  link_count_ = pipe_count_ = 0;
}

void Bandwidth::SetNode(uint16_t node, const BandwidthLimits& limits) {
  GH_ASSERT_LT(node, kNodeMax);
  nodes_[node].limits = limits;
}

Result<uint8_t> Bandwidth::AddPipe(const Pipe& pipe) {
  if (pipe_count_ == kPipeMax) {
    return Error(ErrorCode::kExhausted, "there are too many pipes");
  }
  pipes_[pipe_count_].pipe = pipe;
  return static_cast<uint8_t>(pipe_count_++);
}

Result<void> Bandwidth::AddLink(const Link& link) {
  if (link_count_ == kLinkMax) {
    return Error(ErrorCode::kExhausted, "there are too many links");
  }
  if (link.from >= kNodeMax || link.to >= kNodeMax) {
    return Error(ErrorCode::kNotFound, "a link joins two subzones or zones that exist");
  }
  links_[link_count_++] = link;
  return Ok();
}

// The fewest links; the pipes of them, each once.
Result<void> Bandwidth::FindPath(uint16_t from, uint16_t to, BandwidthHold& hold) {
  if (from == to || link_count_ == 0) {
    return Ok();
  }
  for (Node& node : nodes_) {
    node.seen = false;
  }
  uint32_t head = 0;
  uint32_t tail = 0;
  queue_[tail++] = from;
  nodes_[from].seen = true;
  while (head < tail && !nodes_[to].seen) {
    const uint16_t at = queue_[head++];
    for (uint32_t i = 0; i < link_count_; ++i) {
      const Link& link = links_[i];
      const uint16_t next = link.from == at ? link.to : link.to == at ? link.from : at;
      if (!nodes_[next].seen) {
        nodes_[next].seen = true;
        nodes_[next].came_by = static_cast<uint16_t>(i);
        queue_[tail++] = next;
      }
    }
  }
  if (!nodes_[to].seen) {
    return Error(ErrorCode::kUnreachable, "no link leads there");
  }
  for (uint16_t at = to; at != from;) {
    const Link& link = links_[nodes_[at].came_by];
    for (const uint8_t pipe : link.pipes) {
      const auto end = hold.pipes.begin() + hold.pipe_count;
      if (pipe >= pipe_count_ || std::find(hold.pipes.begin(), end, pipe) != end) {
        continue;
      }
      if (hold.pipe_count == kPathPipeMax) {
        return Error(ErrorCode::kTooLarge, "too many pipes on the way");
      }
      hold.pipes[hold.pipe_count++] = pipe;
    }
    at = link.from == at ? link.to : link.from;
  }
  return Ok();
}

void Bandwidth::Count(const BandwidthHold& hold, bool taken) {
  const auto count = [&](auto& state) {
    state.used = taken ? state.used + hold.kbps : state.used - std::min(state.used, hold.kbps);
    state.calls = taken ? state.calls + 1 : state.calls - std::min(state.calls, 1u);
  };
  count(nodes_[hold.from]);
  if (hold.to != hold.from) {
    count(nodes_[hold.to]);
  }
  for (uint32_t i = 0; i < hold.pipe_count; ++i) {
    count(pipes_[hold.pipes[i]]);
  }
}

Result<BandwidthHold> Bandwidth::Admit(uint16_t from, uint16_t to, uint32_t wanted_kbps) {
  GH_ASSERT(from < kNodeMax && to < kNodeMax);
  BandwidthHold hold;
  hold.from = from;
  hold.to = to;
  if (auto path = FindPath(from, to, hold); !path.ok()) {
    ++refused_count_;
    return path.error();
  }
  const uint32_t wanted = wanted_kbps != 0 ? wanted_kbps : settings_.default_kbps;
  uint32_t per_call = kUnlimited;
  uint32_t left = kUnlimited;
  const auto look = [&](uint32_t limit, uint32_t total, uint32_t used) {
    per_call = std::min(per_call, limit);
    left = total == kUnlimited ? left : std::min(left, total - std::min(total, used));
  };
  for (const uint16_t node : {from, to}) {
    const BandwidthLimits& limits = nodes_[node].limits;
    look(from == to ? limits.per_call_intra_kbps : limits.per_call_inter_kbps, limits.total_kbps,
         nodes_[node].used);
  }
  for (uint32_t i = 0; i < hold.pipe_count; ++i) {
    const PipeState& state = pipes_[hold.pipes[i]];
    look(state.pipe.per_call_kbps, state.pipe.total_kbps, state.used);
  }
  const uint32_t granted = std::min({wanted, per_call, left});
  const bool may = (per_call >= wanted || settings_.downspeed_per_call) &&
                   (left >= std::min(wanted, per_call) || settings_.downspeed_total) &&
                   granted >= std::min(wanted, kBandwidthFloorKbps);
  if (!may || granted == 0) {
    ++refused_count_;
    return Error(ErrorCode::kExhausted, "no bandwidth is left on the way");
  }
  downspeed_count_ += granted < wanted ? 1 : 0;
  hold.kbps = granted;
  Count(hold, true);
  return hold;
}

void Bandwidth::Release(BandwidthHold& hold) {
  if (hold.kbps != 0) {
    Count(hold, false);
    hold = {};
  }
}

}  // namespace gh::dialplan
