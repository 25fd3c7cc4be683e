// The runtime's own costs: timer wheel at three sizes, hash table, pool, rings, SipHash, heap.
#include <time.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "hal/rt/hash_table.h"
#include "hal/rt/heap.h"
#include "hal/rt/pool.h"
#include "hal/rt/siphash.h"
#include "hal/rt/spsc_ring.h"
#include "hal/rt/timer_wheel.h"
#include "hal/rt/trace.h"
#include "tests/bench/bench.h"

namespace gh {
namespace {

constexpr SipKey kKey{0x243f6a8885a308d3, 0x13198a2e03707344};

class BenchArena {
 public:
  explicit BenchArena(size_t size) : memory_(new uint8_t[size]), arena_({memory_.get(), size}) {}
  operator Arena&() { return arena_; }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  Arena arena_;
};

// Cheap and the same in every run; the generator must not outweigh what is measured.
struct Random {
  uint64_t state = 88172645463325252;
  uint64_t operator()() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
};

// Registrations: every timer runs up to an hour, is re-armed when it fires, and is refreshed or
// cancelled by its peer at random meanwhile.
class TimerLoad {
 public:
  explicit TimerLoad(uint32_t count) : timers_(count), order_(count) {
    for (uint32_t i = 0; i < count; ++i) {
      timers_[i].Set([](Timer& timer, void* load) { static_cast<TimerLoad*>(load)->OnFire(timer); },
                     this);
      order_[i] = i;
    }
    std::shuffle(order_.begin(), order_.end(), std::mt19937(1));
  }
  Duration Delay() {
    return Duration::Milliseconds(1 + static_cast<int64_t>(random_() % 3'600'000));
  }
  void ArmAll() {
    for (uint32_t i : order_) {
      wheel_.Arm(timers_[i], Delay());
    }
  }
  void CancelAll() {
    for (uint32_t i : order_) {
      wheel_.Cancel(timers_[i]);
    }
  }
  void ReArm(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      wheel_.Arm(timers_[random_() % timers_.size()], Delay());
    }
  }
  // Runs the clock, as the event loop does, until `count` have fired (and been re-armed).
  void Expire(uint64_t count) {
    for (const uint64_t end = fired_ + count; fired_ < end;) {
      wheel_.Advance(std::max(wheel_.now(), wheel_.NextDeadline()), kTimerFirePerTurnMax);
    }
  }
  void Mixed(uint64_t count) {
    for (uint64_t i = 0; i < count; i += 4) {
      Timer& timer = timers_[random_() % timers_.size()];
      wheel_.Cancel(timer);
      wheel_.Arm(timer, Delay());
      ReArm(1);
      Expire(1);
    }
  }
  // CPU time of a single Advance, 99.99th percentile, while the clock runs for `span`, ticking each
  // millisecond. Not the worst: on a shared machine that is the hypervisor's doing.
  double SlowAdvanceUs(Duration span) {
    std::vector<double> times;
    for (const Instant end = wheel_.now() + span; wheel_.now() < end;) {
      const bool behind = wheel_.NextDeadline() <= wheel_.now();
      const double before = ThreadTimeUs();
      wheel_.Advance(behind ? wheel_.now() : wheel_.now() + TimerWheel::kTick,
                     kTimerFirePerTurnMax);
      times.push_back(ThreadTimeUs() - before);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() - 1 - times.size() / 10'000];
  }

 private:
  static double ThreadTimeUs() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
  }
  void OnFire(Timer& timer) {
    ++fired_;
    wheel_.Arm(timer, Delay());
  }
  TimerWheel wheel_{Instant{0}};
  std::vector<Timer> timers_;
  std::vector<uint32_t> order_;
  Random random_;
  uint64_t fired_ = 0;
};

void BenchTimers(Bench& bench, uint32_t count, const std::string& label) {
  if (!bench.Wants("timer")) {
    return;
  }
  const std::string prefix = "timer wheel " + label + " timers: ";
  auto load = std::make_unique<TimerLoad>(count);
  bench.Run(
      prefix + "arm", count, [&](uint64_t) { load->ArmAll(); }, [&] { load->CancelAll(); });
  bench.Run(
      prefix + "cancel", count, [&](uint64_t) { load->CancelAll(); }, [&] { load->ArmAll(); });
  load->ArmAll();
  bench.Run(prefix + "re-arm", 200'000, [&](uint64_t n) { load->ReArm(n); });
  bench.Run(prefix + "expire and re-arm", 200'000, [&](uint64_t n) { load->Expire(n); });
  bench.Run(prefix + "mixed", 200'000, [&](uint64_t n) { load->Mixed(n); });
  bench.Report(prefix + "turn, CPU, p99.99", load->SlowAdvanceUs(Duration::Minutes(10)), "us");
}

struct Entry {
  uint64_t key = 0;
  HashNode node;
};
struct ByKey {
  using Key = uint64_t;
  static uint64_t KeyOf(const Entry& entry) { return entry.key; }
};

void BenchHashTable(Bench& bench, uint32_t count, const std::string& label) {
  if (!bench.Wants("hash table")) {
    return;
  }
  BenchArena arena(64 << 20);
  HashTable<Entry, &Entry::node, ByKey> table(arena, count, kKey);
  std::vector<Entry> entries(count);
  Random random;
  for (Entry& entry : entries) {
    entry.key = random();
    (void)table.Insert(entry);
  }
  const std::string prefix = "hash table " + label + " entries: ";
  bench.Run(prefix + "find", 200'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      KeepAlive(table.Find(entries[random() % count].key));
    }
  });
  bench.Run(prefix + "find nothing", 200'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      KeepAlive(table.Find(random()));
    }
  });
  bench.Run(prefix + "remove and insert", 200'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      Entry& entry = entries[random() % count];
      table.Remove(entry);
      entry.key = random();
      KeepAlive(table.Insert(entry));
    }
  });
  bench.Report(prefix + "longest chain", table.chain_max(), "entries");
}

void BenchPoolAndRings(Bench& bench) {
  struct Object {
    uint8_t bytes[256];
  };
  BenchArena arena(64 << 20);
  Pool<Object> pool(arena, 1024);
  bench.Run("pool allocate and release", 1'000'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      Object* object = pool.Allocate();
      KeepAlive(object);
      pool.Release(object);
    }
  });
  SpscRing<uint64_t> ring(arena, 1024);
  bench.Run("spsc ring push and pop", 1'000'000, [&](uint64_t n) {
    uint64_t out = 0;
    for (uint64_t i = 0; i < n; ++i) {
      ring.Push(i);
      ring.Pop(&out);
      KeepAlive(out);
    }
  });
  bench.Run("spsc ring batches of 32", 1'000'000, [&](uint64_t n) {
    uint64_t batch[32] = {};
    for (uint64_t i = 0; i < n; i += 32) {
      ring.PushBatch(batch);
      KeepAlive(ring.PopBatch(batch));
    }
  });
  TraceRing trace(arena, 1024);
  bench.Run("trace point", 1'000'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      trace.Add(Instant{static_cast<int64_t>(i)}, 1, i, i);
    }
    KeepAlive(trace.count());
  });
}

void BenchSipHash(Bench& bench) {
  const std::string text(1024, 'x');
  for (size_t size : {8, 16, 40, 64, 1024}) {
    bench.Run("siphash-1-3 " + std::to_string(size) + " bytes", 200'000, [&](uint64_t n) {
      SipKey key = kKey;
      for (uint64_t i = 0; i < n; ++i) {
        key.k0 = SipHash13(key, std::string_view(text).substr(0, size));
      }
      KeepAlive(key.k0);
    });
  }
}

// A steady mix at three quarters of 64 MiB, in the sizes of TLS and XML work.
void BenchHeap(Bench& bench) {
  if (!bench.Wants("heap")) {
    return;
  }
  BenchArena arena(65 << 20);
  Heap heap(arena, 64 << 20);
  Random random;
  auto size = [&random] { return 16 + random() % (random() % 16 == 0 ? 16'384 : 512); };
  std::vector<void*> held;
  while (heap.used_bytes() < heap.capacity() * 3 / 4) {
    held.push_back(heap.Allocate(size()));
  }
  bench.Run("heap free and allocate, mixed sizes", 200'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      void*& p = held[random() % held.size()];
      heap.Free(p);
      p = heap.Allocate(size());
    }
  });
  bench.Run("heap reallocate, mixed sizes", 200'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      void*& p = held[random() % held.size()];
      void* moved = heap.Reallocate(p, size());
      p = moved != nullptr ? moved : p;
    }
  });
  bench.Run("heap allocate and free, 256 bytes", 1'000'000, [&](uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      void* p = heap.Allocate(256);
      KeepAlive(p);
      heap.Free(p);
    }
  });
  const HeapShape shape = heap.Inspect();
  bench.Report("heap refused of all tried", static_cast<double>(heap.refused_count()), "times");
  bench.Report(
      "heap largest free block",
      static_cast<double>(shape.free_bytes_largest) / static_cast<double>(shape.free_bytes),
      "of the free bytes");
}

}  // namespace
}  // namespace gh

int main(int argc, char** argv) {
  gh::Bench bench(argc, argv);
  gh::BenchTimers(bench, 1'000, "1k");
  gh::BenchTimers(bench, 100'000, "100k");
  gh::BenchTimers(bench, 1'000'000, "1M");
  bench.Report("timer size", sizeof(gh::Timer), "bytes");
  gh::BenchHashTable(bench, 1'000, "1k");
  gh::BenchHashTable(bench, 1'000'000, "1M");
  gh::BenchPoolAndRings(bench);
  gh::BenchSipHash(bench);
  gh::BenchHeap(bench);
  return bench.Finish();
}
