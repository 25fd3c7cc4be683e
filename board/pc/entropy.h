// Raw entropy: RDSEED (or RDRAND), virtio-rng and the loader's seed, combined by XOR: as good as
// the best of them, whatever the others do. A processor generator that repeats itself is not used
// again. A machine without any source does not start.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/clock.h"
#include "board/pc/virtio_pci.h"
#include "hal/entropy.h"
#include "hal/rt/arena.h"
#include "hal/rt/fixed_string.h"

namespace gh::pc {

// One request at a time, waited for.
class VirtioEntropy {
 public:
  Result<void> Initialise(Arena& arena, PageTables& pages, const Pci& pci, const PciDevice& device,
                          uint8_t vector);
  // kTimeout: the host has none for us now.
  Result<void> Read(PcClock& clock, std::span<uint8_t> out);

 private:
  static constexpr uint32_t kBufferSize = 64;
  VirtioPci transport_;
  Virtqueue queue_;
  uint8_t* buffer_ = nullptr;
  bool in_flight_ = false;
};

class PcEntropy final : public hal::Entropy {
 public:
  explicit PcEntropy(PcClock& clock) : clock_(clock) {}
  PcEntropy(const PcEntropy&) = delete;
  PcEntropy& operator=(const PcEntropy&) = delete;

  void SetSeed(std::span<const uint8_t> seed);
  void SetVirtio(VirtioEntropy& virtio) { virtio_ = &virtio; }
  // Looks at what there is; kNoDevice: nothing, and no seed either.
  Result<void> Start();

  void Fill(std::span<uint8_t> out) override;
  const char* source() const override { return source_.c_str(); }

 private:
  bool CpuWord(uint64_t& word);
  bool FillFromCpu(std::span<uint8_t> out);
  bool FillFromVirtio(std::span<uint8_t> out);

  PcClock& clock_;
  VirtioEntropy* virtio_ = nullptr;
  bool has_rdseed_ = false;
  bool has_rdrand_ = false;
  uint64_t last_word_ = 0;
  uint32_t repeat_count_ = 0;
  uint32_t seed_left_ = 0;
  std::array<uint8_t, 64> seed_ = {};
  FixedString<48> source_;
};

}  // namespace gh::pc
