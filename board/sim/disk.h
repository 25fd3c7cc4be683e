// A simulated disk that loses power. Completed writes sit in a volatile cache until a flush; a
// power cut keeps any subset of what was not flushed, in any order, sector by sector, tears one
// sector and may flip a bit. I/O can also fail, be misdirected or be silently lost, by count.
//
// The unit of loss is the 512-byte sector, whatever the block size: a 4 KiB block may be torn at
// its sectors. With a host (a simulated machine) requests take virtual time; without one, Poll()
// completes everything at once, which is what exhaustive power-cut tests want.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "board/sim/world.h"
#include "hal/block_device.h"

namespace gh::sim {

inline constexpr uint32_t kSectorBytes = 512;
inline constexpr uint32_t kSimDiskQueueMax = 64;

enum class Keep : uint8_t { kSubset, kNone, kAll };
enum class Tear : uint8_t { kNone, kPrefix, kSuffix, kRandomBytes, kAnyOf };
enum class Flip : uint8_t { kNone, kUnflushed, kAnywhere };

// What a power cut does to the sectors that were written but not flushed.
struct CutDamage {
  Keep keep = Keep::kSubset;
  Tear tear = Tear::kAnyOf;
  Flip flip = Flip::kNone;
};

enum class Fault : uint8_t {
  kFail,       // the request completes with kIoError and has no effect
  kMisdirect,  // a write lands on another block, a read comes from one; reported as success
  kLose,       // a write or flush does nothing; reported as success
  kStall,      // the request takes `stall` longer
};

// Strikes requests number `first` to `first + count - 1`, counted from 1 by io_count().
struct FaultPlan {
  Fault fault = Fault::kFail;
  uint64_t first = 0;  // 0: never
  uint64_t count = 1;
  Duration stall = Duration::Seconds(2);
};

// The machine a disk is plugged into: gives virtual time, and is cut off with the disk.
class DiskHost {
 public:
  virtual Instant disk_now() const = 0;
  // Waits, inside a turn of the machine, until virtual time `when`; for synchronous I/O.
  virtual void WaitForDisk(Instant when) = 0;
  // A request will complete at `when`: the machine must get a turn then.
  virtual void WakeForDisk(Instant when) = 0;
  // The planned cut struck. Does not return when the machine is in a turn.
  virtual void OnPlannedCut() = 0;

 protected:
  ~DiskHost() = default;
};

class SimDisk final : public hal::BlockDevice {
 public:
  SimDisk(std::string name, Random random, uint64_t bytes, uint32_t block_size = 512);
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  uint32_t block_size() const override { return block_size_; }
  uint64_t block_count() const override { return durable_.size() / block_size_; }
  const char* name() const override { return name_.c_str(); }
  Result<void> Submit(hal::BlockRequest& request) override;
  uint32_t Poll() override;

  void SetHost(DiskHost* host, World* world) {
    host_ = host;
    world_ = world;
  }
  // Requests since creation; the place to count cut points and fault points from.
  uint64_t io_count() const { return io_count_; }
  uint64_t flush_count() const { return flush_count_; }
  uint64_t unflushed_sector_count() const { return cache_.size(); }
  // Writes whose buffer changed before they were done: a mistake of the caller.
  uint64_t unstable_buffer_count() const { return unstable_buffer_count_; }

  void PlanFault(const FaultPlan& plan) { plan_ = plan; }
  // Cuts the power when request number `io` is submitted, while it is under way; 0: never.
  void PlanCut(uint64_t io, const CutDamage& damage) {
    cut_io_ = io;
    cut_damage_ = damage;
  }
  bool cut_happened() const { return !powered_; }

  // Ends the power: requests in flight vanish, the cache is damaged as told. What is left is what
  // the next PowerOn finds. Without a host, requests then complete with kIoError.
  void CutPower(const CutDamage& damage);
  void PowerOn();
  // Whoever asked for what is under way is gone.
  void Forget() { pending_.clear(); }
  // An orderly end: nothing is lost.
  void SaveAll();

  // Flips one bit of what is on the medium.
  void FlipBit(uint64_t bit);
  // The medium as a power cut now would leave it at the latest flush; for snapshots and searches.
  std::span<const uint8_t> durable() const { return durable_; }
  void Restore(std::span<const uint8_t> snapshot);

 private:
  // One unflushed content of a sector and the request that wrote it.
  struct Version {
    uint64_t io;
    std::vector<uint8_t> bytes;
  };
  struct Pending {
    hal::BlockRequest* request = nullptr;
    Instant when;
    uint64_t io = 0;
    uint64_t block = 0;  // where it really goes
    ErrorCode status = ErrorCode::kOk;
    bool lost = false;       // reported as done, has no effect
    uint64_t data_hash = 0;  // a write's buffer must not change while it is under way
    std::vector<uint64_t> writes_under_way;  // flush: those it does not cover
  };

  std::span<uint8_t> SectorOf(std::vector<uint8_t>& medium, uint64_t sector);
  bool Strikes(Fault fault) const;
  Pending Admit(hal::BlockRequest& request);
  void BeginWrite(const Pending& pending);
  void BeginFlush(Pending& pending);
  void Finish(Pending& pending);
  void FinishFlush(const Pending& pending);
  void CompleteFirst();
  bool WaitInTurn();
  std::vector<uint8_t> Torn(std::span<const uint8_t> old_bytes, std::span<const uint8_t> fresh,
                            Tear tear);
  void DamageCache(const CutDamage& damage);
  Duration Latency(hal::BlockOp op);

  std::string name_;
  Random random_;
  uint32_t block_size_;
  std::vector<uint8_t> durable_;                    // survives a cut
  std::vector<uint8_t> live_;                       // durable with the cache on top: what reads see
  std::map<uint64_t, std::vector<Version>> cache_;  // unflushed versions of a sector, oldest first
  std::vector<Pending> pending_;                    // in order of completion
  DiskHost* host_ = nullptr;
  World* world_ = nullptr;
  FaultPlan plan_;
  uint64_t cut_io_ = 0;
  CutDamage cut_damage_;
  uint64_t io_count_ = 0;
  uint64_t flush_count_ = 0;
  uint64_t unstable_buffer_count_ = 0;
  Instant last_poll_ = {-1};
  uint32_t idle_poll_count_ = 0;
  bool powered_ = true;
};

}  // namespace gh::sim
