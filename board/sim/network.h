// Simulated Ethernet: a learning switch whose cables delay, lose, duplicate, reorder, corrupt and
// slow down frames, and can be cut into partitions that do not hear one another.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "board/sim/world.h"
#include "hal/ethernet_port.h"

namespace gh::sim {

// One cable, both directions alike. Probabilities are per frame and direction.
struct LinkQuality {
  Duration delay = Duration::Microseconds(100);
  Duration jitter = {};  // up to this much more; order is kept
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;  // held back by reorder_delay, so that later frames overtake it
  Duration reorder_delay = Duration::Milliseconds(5);
  double corrupt = 0;            // one bit of an IP packet flipped, as bad memory on the way would
  uint64_t bits_per_second = 0;  // 0: as fast as can be
  Duration queue_max = Duration::Milliseconds(50);  // waiting longer for the wire is a loss
};

struct LinkCounters {
  uint64_t sent = 0;  // frames that entered the cable, from the station or to it
  uint64_t lost = 0;  // by chance, overflow, partition or a cable that is down
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
};

// Whoever has a network plug.
class Station {
 public:
  virtual void OnFrame(std::span<const uint8_t> frame) = 0;
  virtual void OnLinkChange(bool up) { (void)up; }

 protected:
  ~Station() = default;
};

class Switch {
 public:
  static constexpr uint32_t kStationMax = 256;

  Switch(World& world, std::string name);
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

  // Plugs `station` in; the number names its cable from now on.
  uint32_t Attach(Station& station, const LinkQuality& quality = {});
  void Send(uint32_t cable, std::span<const uint8_t> frame);

  void SetQuality(uint32_t cable, const LinkQuality& quality) { At(cable).quality = quality; }
  void SetQualityOfAll(const LinkQuality& quality);
  void SetUp(uint32_t cable, bool up);
  bool up(uint32_t cable) const { return cables_[cable].up; }
  // Cables in different groups do not hear one another; all start in group 0.
  void SetGroup(uint32_t cable, uint32_t group) { At(cable).group = group; }
  void HealPartitions();
  const LinkCounters& counters(uint32_t cable) const { return cables_[cable].counters; }
  LinkCounters total() const;

 private:
  struct Cable {
    Station* station = nullptr;
    LinkQuality quality;
    LinkCounters counters;
    uint32_t group = 0;
    bool up = true;
    Instant free_at[2] = {};  // when the wire is idle again: to the switch, to the station
    Instant last_at[2] = {};  // the latest arrival, which the next must not overtake
  };
  // The fate of one frame on one cable in one direction.
  struct Passage {
    bool arrives = false;
    Instant when;
    bool duplicated = false;
    bool corrupted = false;
  };

  Cable& At(uint32_t cable);
  Passage Pass(Cable& cable, uint32_t direction, Instant when, size_t byte_count);
  void Forward(uint32_t from, uint32_t to, std::vector<uint8_t> frame);
  void Deliver(uint32_t to, Instant when, std::vector<uint8_t> frame);

  World& world_;
  std::string name_;
  std::string label_;
  Random random_;
  std::vector<Cable> cables_;
  std::map<std::array<uint8_t, 6>, uint32_t> stations_;  // learnt: who is behind which cable
};

}  // namespace gh::sim
