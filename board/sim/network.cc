#include "board/sim/network.h"

#include <algorithm>

namespace gh::sim {
namespace {

constexpr uint32_t kToSwitch = 0;
constexpr uint32_t kToStation = 1;

// In the IP packet, whose checksums are there to catch it: Ethernet's own would have caught the
// rest.
void FlipOneBit(std::vector<uint8_t>& frame, Random& random) {
  constexpr size_t kHeaderBytes = 14;
  const bool is_ip = frame[12] == 0x08 && frame[13] == 0x00;
  if (!is_ip || frame.size() == kHeaderBytes) {
    return;
  }
  const uint64_t bit = kHeaderBytes * 8 + random.Below((frame.size() - kHeaderBytes) * 8);
  frame[bit / 8] = static_cast<uint8_t>(frame[bit / 8] ^ 1u << bit % 8);
}

}  // namespace

Switch::Switch(World& world, std::string name)
    : world_(world),
      name_(std::move(name)),
      label_("frame " + name_),
      random_(world.StreamFor("switch " + name_)) {}

uint32_t Switch::Attach(Station& station, const LinkQuality& quality) {
  GH_ASSERT_LT(cables_.size(), kStationMax);
  Cable cable;
  cable.station = &station;
  cable.quality = quality;
  cables_.push_back(cable);
  return static_cast<uint32_t>(cables_.size() - 1);
}

Switch::Cable& Switch::At(uint32_t cable) {
  GH_ASSERT_LT(cable, cables_.size());
  return cables_[cable];
}

void Switch::SetQualityOfAll(const LinkQuality& quality) {
  for (Cable& cable : cables_) {
    cable.quality = quality;
  }
}

void Switch::SetUp(uint32_t cable, bool up) {
  Cable& changed = At(cable);
  if (changed.up != up) {
    changed.up = up;
    world_.Trace("link", cable, up ? 1 : 0);
    changed.station->OnLinkChange(up);
  }
}

void Switch::HealPartitions() {
  for (Cable& cable : cables_) {
    cable.group = 0;
  }
}

LinkCounters Switch::total() const {
  LinkCounters sum;
  for (const Cable& cable : cables_) {
    sum.sent += cable.counters.sent;
    sum.lost += cable.counters.lost;
    sum.duplicated += cable.counters.duplicated;
    sum.reordered += cable.counters.reordered;
    sum.corrupted += cable.counters.corrupted;
  }
  return sum;
}

Switch::Passage Switch::Pass(Cable& cable, uint32_t direction, Instant when, size_t byte_count) {
  const LinkQuality& quality = cable.quality;
  ++cable.counters.sent;
  Instant leaves = when;
  if (quality.bits_per_second > 0) {
    leaves = std::max(when, cable.free_at[direction]);
    const auto wire_ns =
        static_cast<int64_t>((byte_count + 24) * 8 * 1'000'000'000 / quality.bits_per_second);
    if (leaves - when > quality.queue_max) {
      ++cable.counters.lost;
      return {};
    }
    leaves = leaves + Duration::Nanoseconds(wire_ns);
    cable.free_at[direction] = leaves;
  }
  if (!cable.up || random_.Chance(quality.loss)) {
    ++cable.counters.lost;
    return {};
  }
  Passage passage{.arrives = true,
                  .when = leaves + quality.delay + random_.Between({}, quality.jitter),
                  .duplicated = random_.Chance(quality.duplicate),
                  .corrupted = random_.Chance(quality.corrupt)};
  cable.counters.duplicated += passage.duplicated ? 1 : 0;
  cable.counters.corrupted += passage.corrupted ? 1 : 0;
  if (random_.Chance(quality.reorder)) {
    ++cable.counters.reordered;
    passage.when = passage.when + quality.reorder_delay;
    return passage;
  }
  passage.when = std::max(passage.when, cable.last_at[direction] + Duration::Nanoseconds(1));
  cable.last_at[direction] = passage.when;
  return passage;
}

void Switch::Send(uint32_t cable, std::span<const uint8_t> frame) {
  GH_ASSERT_GE(frame.size(), 14u);
  world_.Trace(label_, cable, 0, frame);
  const Passage passage = Pass(At(cable), kToSwitch, world_.now(), frame.size());
  if (!passage.arrives) {
    return;
  }
  std::vector<uint8_t> copy(frame.begin(), frame.end());
  if (passage.corrupted) {
    FlipOneBit(copy, random_);
  }
  for (int count = passage.duplicated ? 2 : 1; count > 0; --count) {
    world_.At(passage.when, label_, [this, cable, copy]() mutable {
      std::array<uint8_t, 6> destination;
      std::array<uint8_t, 6> source;
      std::copy_n(copy.begin(), 6, destination.begin());
      std::copy_n(copy.begin() + 6, 6, source.begin());
      if ((source[0] & 1) == 0) {
        stations_[source] = cable;
      }
      const auto known = stations_.find(destination);
      const bool unicast = (destination[0] & 1) == 0 && known != stations_.end();
      for (uint32_t to = 0; to < cables_.size(); ++to) {
        if (to != cable && (!unicast || to == known->second)) {
          Forward(cable, to, copy);
        }
      }
    });
  }
}

void Switch::Forward(uint32_t from, uint32_t to, std::vector<uint8_t> frame) {
  Cable& cable = At(to);
  if (cable.group != At(from).group) {
    ++cable.counters.lost;
    return;
  }
  const Passage passage = Pass(cable, kToStation, world_.now(), frame.size());
  if (!passage.arrives) {
    return;
  }
  if (passage.corrupted) {
    FlipOneBit(frame, random_);
  }
  if (passage.duplicated) {
    Deliver(to, passage.when, frame);
  }
  Deliver(to, passage.when, std::move(frame));
}

void Switch::Deliver(uint32_t to, Instant when, std::vector<uint8_t> frame) {
  world_.At(when, label_, [this, to, bytes = std::move(frame)] {
    if (cables_[to].up) {
      world_.Trace(label_, to, 1, bytes);
      cables_[to].station->OnFrame(bytes);
    }
  });
}

}  // namespace gh::sim
