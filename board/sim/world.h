// The simulated world: a virtual clock, one queue of events, one seed.
//
// Everything that happens is an event at an instant of virtual time; events of the same instant run
// in an order the seed chooses. Nothing reads a real clock, a real random source or an address, so
// a seed replays a run bit for bit. Every event and every byte that moves goes into one running
// digest: two runs of a seed end with the same digest, or something is not deterministic. Setting
// GATEHOUSE_SIM_TRACE to a file name writes what the digest sees as text, to find where two runs
// part.
#pragma once

#include <cstdio>
#include <functional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "board/sim/random.h"
#include "hal/rt/time.h"

namespace gh::sim {

inline constexpr uint64_t kEventsMax = 200'000'000;  // a run that needs more is a livelock

class World {
 public:
  explicit World(uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  uint64_t seed() const { return seed_; }
  Instant now() const { return now_; }
  Random StreamFor(std::string_view entity) const { return Random(seed_, entity); }

  // `label` says in the trace what happens; it must outlive the event (a literal, a name).
  uint64_t At(Instant when, std::string_view label, std::function<void()> run);
  uint64_t After(Duration delay, std::string_view label, std::function<void()> run) {
    return At(now_ + delay, label, std::move(run));
  }
  // An event that has run or was cancelled is ignored.
  void Cancel(uint64_t event);

  // Runs the next event; false when there is none.
  bool Step();
  void RunFor(Duration duration);
  // Runs until `done` holds, at most `limit`; returns whether it holds.
  bool RunUntil(const std::function<bool()>& done, Duration limit);

  // What moved: frames, console bytes, disk blocks.
  void Trace(std::string_view what, uint64_t a, uint64_t b, std::span<const uint8_t> bytes = {});
  uint64_t digest() const { return digest_; }
  uint64_t event_count() const { return event_count_; }

  // Something that must not happen happened (a panic nobody expected, an invariant broken): kept
  // for the test to look at, with the virtual time.
  void Fail(std::string_view what);
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  struct Event {
    Instant when;
    uint64_t tie;
    uint64_t id;
    std::string_view label;
    std::function<void()> run;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.when != b.when ? a.when > b.when : a.tie != b.tie ? a.tie > b.tie : a.id > b.id;
    }
  };
  bool TakeNext(Instant limit, Event& event);

  uint64_t seed_;
  Random order_;
  Instant now_ = {1'000'000'000};
  std::vector<Event> heap_;
  std::vector<bool> cancelled_;  // by id
  uint64_t next_id_ = 0;
  uint64_t event_count_ = 0;
  uint64_t digest_ = 0;
  std::vector<std::string> failures_;
  FILE* trace_ = nullptr;
};

}  // namespace gh::sim
