#include "board/sim/world.h"

#include <algorithm>
#include <cinttypes>
#include <cstdlib>

namespace gh::sim {

World::World(uint64_t seed) : seed_(seed), order_(seed, "order"), digest_(Mix(seed, 1)) {
  if (const char* path = std::getenv("GATEHOUSE_SIM_TRACE"); path != nullptr) {
    trace_ = std::fopen(path, "a");
  }
  if (trace_ != nullptr) {
    std::fprintf(trace_, "world seed %" PRIu64 "\n", seed_);
  }
}

World::~World() {
  if (trace_ != nullptr) {
    std::fclose(trace_);
  }
}

uint64_t World::At(Instant when, std::string_view label, std::function<void()> run) {
  const uint64_t id = next_id_++;
  cancelled_.push_back(false);
  heap_.push_back({std::max(when, now_), order_.Next(), id, label, std::move(run)});
  std::push_heap(heap_.begin(), heap_.end(), Later());
  return id;
}

void World::Cancel(uint64_t event) {
  GH_ASSERT_LT(event, cancelled_.size());
  cancelled_[event] = true;
}

bool World::TakeNext(Instant limit, Event& event) {
  while (!heap_.empty() && heap_.front().when <= limit) {
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    event = std::move(heap_.back());
    heap_.pop_back();
    if (!cancelled_[event.id]) {
      cancelled_[event.id] = true;  // it has run: a later Cancel is harmless
      return true;
    }
  }
  return false;
}

bool World::Step() {
  Event event;
  if (!TakeNext(Instant::Max(), event)) {
    return false;
  }
  GH_ASSERT_GE(event.when, now_);
  now_ = event.when;
  ++event_count_;
  GH_ASSERT_LT(event_count_, kEventsMax);
  Trace(event.label, event.id, 0);
  event.run();
  return true;
}

void World::RunFor(Duration duration) {
  const Instant end = now_ + duration;
  while (!heap_.empty() && heap_.front().when <= end) {
    Step();
  }
  now_ = std::max(now_, end);
}

bool World::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  while (!done()) {
    if (heap_.empty() || heap_.front().when > end) {
      now_ = std::max(now_, end);
      return done();
    }
    Step();
  }
  return true;
}

void World::Trace(std::string_view what, uint64_t a, uint64_t b, std::span<const uint8_t> bytes) {
  uint64_t value = MixText(Mix(digest_, static_cast<uint64_t>(now_.ns)), what);
  value = Mix(Mix(value, a), b);
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t word;
    std::copy_n(bytes.data() + at, 8, reinterpret_cast<uint8_t*>(&word));
    value = Mix(value, word);
  }
  for (; at < bytes.size(); ++at) {
    value = Mix(value, bytes[at]);
  }
  digest_ = Mix(value, bytes.size());
  if (trace_ != nullptr) {
    std::fprintf(trace_, "%" PRId64 " %.*s %" PRIu64 " %" PRIu64 " %zu %016" PRIx64 "\n", now_.ns,
                 static_cast<int>(what.size()), what.data(), a, b, bytes.size(), digest_);
  }
}

void World::Fail(std::string_view what) {
  char head[64];
  std::snprintf(head, sizeof(head), "at %.6f s: ", static_cast<double>(now_.ns) * 1e-9);
  failures_.push_back(head + std::string(what));
}

}  // namespace gh::sim
