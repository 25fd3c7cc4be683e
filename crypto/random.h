// The appliance's random generator: ChaCha20 with fast key erasure, seeded from hal::Entropy.
//
// Each appliance has its own (several run in one simulated process), so that one seed replays a
// run. Every refill replaces the key by part of its own output: what was handed out cannot be
// recomputed from a later state. Fresh entropy is mixed in after kRandomReseedBytes and on
// Reseed().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/limits.h"
#include "hal/entropy.h"

namespace gh::crypto {

class Random {
 public:
  explicit Random(hal::Entropy& entropy);
  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;
  ~Random();

  void Fill(std::span<uint8_t> out);
  uint32_t U32();
  uint64_t U64();
  // Uniform in [0, bound), without modulo bias. bound > 0.
  uint32_t Below(uint32_t bound);
  // Mixes in kRandomSeedSize bytes of entropy; the old state still counts.
  void Reseed();
  const char* source() const { return entropy_.source(); }

  // mbedTLS's f_rng: `random` is a Random*. Always 0.
  static int MbedtlsCallback(void* random, unsigned char* out, size_t size);

 private:
  static constexpr size_t kKeySize = 32;
  static constexpr size_t kBufferSize = 480;
  void Refill();

  hal::Entropy& entropy_;
  std::array<uint8_t, kKeySize> key_ = {};
  std::array<uint8_t, kBufferSize> buffer_ = {};
  size_t buffer_used_ = kBufferSize;
  uint64_t bytes_since_seed_ = 0;
};

// While it lives, libsodium's own randombytes() draws from `random`. Without one, a libsodium
// function that wants randomness panics: it must never get any by accident. Scopes nest.
class SodiumRandomScope {
 public:
  explicit SodiumRandomScope(Random& random);
  SodiumRandomScope(const SodiumRandomScope&) = delete;
  SodiumRandomScope& operator=(const SodiumRandomScope&) = delete;
  ~SodiumRandomScope();

 private:
  Random* previous_;
};

}  // namespace gh::crypto
