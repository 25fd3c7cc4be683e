// A benchmark harness in one header: warm-up, rounds, median and least time for an operation.
//
//   int main(int argc, char** argv) {
//     gh::Bench bench(argc, argv);            // --json, --rounds=N, and a name's part as filter
//     bench.Run("siphash 16 bytes", 1'000'000, [](uint64_t count) {
//       for (uint64_t i = 0; i < count; ++i) { gh::KeepAlive(Hash(i)); }
//     });
//     return bench.Finish();
//   }
//
// The body does `count` operations. Set-up that must not be timed goes into a second callable, run
// before each round. Times are of the process's CPU, so that neighbours on the machine count only
// by what they do to caches and clock rates; the least is the figure that depends least on them.
#pragma once

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace gh {

// Keeps the compiler from leaving the computation of `value` out.
template <typename T>
inline void KeepAlive(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

inline double CpuNanoseconds() {
  timespec now = {};
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

class Bench {
 public:
  Bench(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view argument = argv[i];
      if (argument == "--json") {
        json_ = true;
      } else if (argument.starts_with("--rounds=")) {
        round_count_ = std::max(1, std::atoi(argv[i] + std::strlen("--rounds=")));
      } else if (argument.starts_with("-")) {
        std::fprintf(stderr, "usage: %s [--json] [--rounds=N] [part of a name]\n", argv[0]);
        std::exit(2);
      } else {
        filter_ = argument;
      }
    }
  }

  bool Wants(std::string_view name) const {
    return filter_.empty() || name.find(filter_) != std::string_view::npos;
  }

  template <typename Body>
  void Run(std::string_view name, uint64_t operation_count, Body&& body) {
    Run(name, operation_count, std::forward<Body>(body), [] {});
  }
  template <typename Body, typename Prepare>
  void Run(std::string_view name, uint64_t operation_count, Body&& body, Prepare&& prepare) {
    if (!Wants(name)) {
      return;
    }
    std::vector<double> times;
    for (int round = -1; round < round_count_; ++round) {  // the first warms up
      prepare();
      const double before = CpuNanoseconds();
      body(operation_count);
      const double spent = CpuNanoseconds() - before;
      if (round >= 0) {
        times.push_back(spent / static_cast<double>(operation_count));
      }
    }
    std::sort(times.begin(), times.end());
    // cppcheck-suppress containerOutOfBounds ; there is at least one round
    Print(name, operation_count, times[times.size() / 2], times.front());
  }
  // A figure that is not a time: bytes, lengths, ratios.
  void Report(std::string_view name, double value, std::string_view unit) {
    if (!Wants(name)) {
      return;
    }
    if (json_) {
      std::printf("%s{\"name\":\"%.*s\",\"value\":%.6g,\"unit\":\"%.*s\"}", Separator(),
                  static_cast<int>(name.size()), name.data(), value, static_cast<int>(unit.size()),
                  unit.data());
    } else {
      std::printf("%-44.*s %14.6g %.*s\n", static_cast<int>(name.size()), name.data(), value,
                  static_cast<int>(unit.size()), unit.data());
    }
    std::fflush(stdout);
  }
  int Finish() {
    if (json_) {
      std::printf("%s]\n", any_ ? "\n" : "[");
    }
    return 0;
  }

 private:
  const char* Separator() {
    const char* separator = any_ ? ",\n" : "[\n";
    any_ = true;
    return separator;
  }
  void Print(std::string_view name, uint64_t count, double median, double least) {
    const int size = static_cast<int>(name.size());
    if (json_) {
      std::printf("%s{\"name\":\"%.*s\",\"operations\":%" PRIu64
                  ",\"rounds\":%d,\"ns_per_op_median\":%.3f,\"ns_per_op_min\":%.3f,"
                  "\"ops_per_second\":%.0f}",
                  Separator(), size, name.data(), count, round_count_, median, least, 1e9 / median);
    } else {
      std::printf("%-44.*s %9.1f ns/op (min %.1f) %14.0f ops/s\n", size, name.data(), median, least,
                  1e9 / median);
    }
    std::fflush(stdout);
  }

  bool json_ = false;
  bool any_ = false;
  int round_count_ = 9;
  std::string_view filter_;
};

}  // namespace gh
