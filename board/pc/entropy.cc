#include "board/pc/entropy.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "board/pc/cpu.h"

namespace gh::pc {
namespace {

constexpr Duration kVirtioTimeout = Duration::Milliseconds(500);
// RDSEED may be drained by other processors: Intel advises to try again with a pause.
constexpr uint32_t kCpuTries = 1000;
// Two equal 64-bit words in a row have a chance of 2^-64: the second time is a broken generator.
constexpr uint32_t kRepeatMax = 1;

void Mix(std::span<uint8_t> out, std::span<const uint8_t> in) {
  for (size_t i = 0; i < out.size() && i < in.size(); ++i) {
    out[i] ^= in[i];
  }
}

}  // namespace

Result<void> VirtioEntropy::Initialise(Arena& arena, PageTables& pages, const Pci& pci,
                                       const PciDevice& device, uint8_t vector) {
  GH_TRY(transport_.Initialise(pages, pci, device, 0, vector, vector));
  GH_TRY(transport_.InitialiseQueue(arena, 0, 8, queue_));
  buffer_ = static_cast<uint8_t*>(arena.Allocate(kBufferSize, 64));
  transport_.Start();
  return Ok();
}

Result<void> VirtioEntropy::Read(PcClock& clock, std::span<uint8_t> out) {
  while (!out.empty()) {
    if (!in_flight_) {
      const VirtqueueBuffer request = {buffer_, kBufferSize, true};
      uint16_t head = 0;
      if (!queue_.Add({&request, 1}, head)) {
        return Error(ErrorCode::kIoError, "virtio-rng queue");
      }
      queue_.Publish();
      in_flight_ = true;
    }
    VirtqueueUsed used;
    const Instant end = clock.Now() + kVirtioTimeout;
    while (!queue_.Take(used)) {
      if (clock.Now() > end) {
        return Error(ErrorCode::kTimeout, "virtio-rng has nothing");  // still in flight
      }
      Pause();
    }
    in_flight_ = false;
    const size_t count = std::min<size_t>(used.written, out.size());
    if (count == 0) {
      return Error(ErrorCode::kIoError, "virtio-rng gave nothing");
    }
    std::memcpy(out.data(), buffer_, count);
    std::memset(buffer_, 0, kBufferSize);
    out = out.subspan(count);
  }
  return Ok();
}

void PcEntropy::SetSeed(std::span<const uint8_t> seed) {
  seed_left_ = static_cast<uint32_t>(std::min(seed.size(), seed_.size()));
  // At the end of the array: Fill() takes the last `seed_left_` bytes.
  std::memcpy(seed_.data() + seed_.size() - seed_left_, seed.data(), seed_left_);
}

Result<void> PcEntropy::Start() {
  has_rdrand_ = (Cpuid(1).ecx & 1u << 30) != 0;
  has_rdseed_ = Cpuid(0).eax >= 7 && (Cpuid(7).ebx & 1u << 18) != 0;
  uint64_t probe = 0;
  if (!CpuWord(probe)) {
    has_rdrand_ = has_rdseed_ = false;
  }
  std::array<uint8_t, 8> bytes = {};
  if (virtio_ != nullptr && !virtio_->Read(clock_, bytes).ok()) {
    virtio_ = nullptr;
  }
  const auto note = [this](std::string_view name) {
    if (!source_.empty()) {
      source_.Append('+');
    }
    source_.Append(name);
  };
  if (has_rdseed_) {
    note("rdseed");
  } else if (has_rdrand_) {
    note("rdrand");
  }
  if (virtio_ != nullptr) {
    note("virtio-rng");
  }
  if (seed_left_ != 0) {
    note("uefi-seed");
  }
  if (!has_rdseed_ && !has_rdrand_ && virtio_ == nullptr) {
    return Error(ErrorCode::kNoDevice, "no entropy source: neither RDSEED, RDRAND nor virtio-rng");
  }
  return Ok();
}

bool PcEntropy::CpuWord(uint64_t& word) {
  for (uint32_t i = 0; i < kCpuTries && (has_rdseed_ || has_rdrand_); ++i) {
    // The last tries take RDRAND, which is never drained for long.
    const bool use_seed = has_rdseed_ && (i < kCpuTries / 2 || !has_rdrand_);
    if (!(use_seed ? ReadRdseed(word) : ReadRdrand(word))) {
      Pause();
      continue;
    }
    if (word == last_word_ || word == 0 || word == UINT64_MAX) {
      if (++repeat_count_ > kRepeatMax) {
        has_rdseed_ = has_rdrand_ = false;
      }
      continue;
    }
    repeat_count_ = 0;
    last_word_ = word;
    return true;
  }
  return false;
}

bool PcEntropy::FillFromCpu(std::span<uint8_t> out) {
  while (!out.empty()) {
    uint64_t word = 0;
    if (!CpuWord(word)) {
      return false;
    }
    const size_t count = std::min(out.size(), sizeof(word));
    Mix(out.first(count), {reinterpret_cast<const uint8_t*>(&word), count});
    out = out.subspan(count);
  }
  return true;
}

bool PcEntropy::FillFromVirtio(std::span<uint8_t> out) {
  if (virtio_ == nullptr) {
    return false;
  }
  std::array<uint8_t, 64> bytes;
  while (!out.empty()) {
    const size_t count = std::min(out.size(), bytes.size());
    if (!virtio_->Read(clock_, std::span(bytes).first(count)).ok()) {
      return false;
    }
    Mix(out.first(count), bytes);
    out = out.subspan(count);
  }
  std::memset(bytes.data(), 0, bytes.size());
  return true;
}

void PcEntropy::Fill(std::span<uint8_t> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  const bool has_cpu = FillFromCpu(out);
  const bool has_virtio = FillFromVirtio(out);
  const uint32_t seed_count = static_cast<uint32_t>(std::min<size_t>(seed_left_, out.size()));
  Mix(out, std::span(seed_).subspan(seed_.size() - seed_left_, seed_count));
  std::memset(seed_.data() + seed_.size() - seed_left_, 0, seed_count);
  seed_left_ -= seed_count;
  // No source answered: going on would mean guessable keys.
  GH_ASSERT(has_cpu || has_virtio);
}

}  // namespace gh::pc
