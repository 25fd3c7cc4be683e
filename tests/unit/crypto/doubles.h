// The clock and the entropy that tests of crypto give it: today's time or a day that stays, bytes
// that repeat or the system's. For fuzz targets too, so nothing here needs a test framework.
#pragma once

#include <cstdint>
#include <ctime>
#include <fstream>
#include <span>

#include "crypto/signing_key.h"
#include "hal/clock.h"
#include "hal/entropy.h"

namespace gh::crypto {

// A millisecond passes with every look.
struct WallClock final : hal::Clock {
  Instant Now() override { return Instant{now += 1'000'000}; }
  WallTime Wall() override {
    return {.unix_ns = int64_t{time(nullptr)} * 1'000'000'000, .is_set = true};
  }
  void SetWall(int64_t) override {}
  int64_t now = 0;
};

// It is 2026-06-01 for ever.
struct FixedClock final : hal::Clock {
  Instant Now() override { return Instant{now += 1'000'000}; }
  WallTime Wall() override { return {.unix_ns = 1'780'272'000 * int64_t{1'000'000'000}}; }
  void SetWall(int64_t) override {}
  int64_t now = 0;
};

struct CountingEntropy final : hal::Entropy {
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      byte = static_cast<uint8_t>(++state * 37);
    }
  }
  const char* source() const override { return "counter"; }
  uint32_t state = 0;
};

struct SeededEntropy final : hal::Entropy {
  explicit SeededEntropy(uint64_t seed = 20260101) : state(seed) {}
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<uint8_t>(state >> 56);
    }
  }
  const char* source() const override { return "seed"; }
  uint64_t state;
};

struct SystemEntropy final : hal::Entropy {
  void Fill(std::span<uint8_t> out) override {
    std::ifstream("/dev/urandom")
        .read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  }
  const char* source() const override { return "urandom"; }
};

// For signatures that are complete when Start returns.
struct NobodyListens final : SignListener {
  void OnSigned(SignRequest&) override {}
};

}  // namespace gh::crypto
