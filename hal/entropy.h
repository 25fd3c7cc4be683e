// Raw entropy of the machine (RDSEED, virtio-rng, getrandom; a seeded stream in simulation). Only
// crypto/random draws from it; everyone else draws from crypto/random.
#pragma once

#include <cstdint>
#include <span>

namespace gh::hal {

class Entropy {
 public:
  // Fills `out` with full-entropy bytes; may take milliseconds. Called at boot and on re-seeding.
  virtual void Fill(std::span<uint8_t> out) = 0;
  // Names the sources in use for the console and status, e.g. "rdseed+virtio-rng".
  virtual const char* source() const = 0;

 protected:
  ~Entropy() = default;
};

}  // namespace gh::hal
