#include "board/sim/disk.h"

#include <algorithm>
#include <cstring>

namespace gh::sim {
namespace {

// So many fruitless polls at one instant mean that the caller waits in place.
constexpr uint32_t kIdlePollMax = 16;

uint64_t HashOf(const hal::BlockRequest& request, uint32_t block_size) {
  uint64_t hash = 0;
  const size_t bytes = size_t{request.block_count} * block_size;
  for (size_t at = 0; at + 8 <= bytes; at += 8) {
    uint64_t word;
    std::memcpy(&word, request.data + at, 8);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

SimDisk::SimDisk(std::string name, Random random, uint64_t bytes, uint32_t block_size)
    : name_(std::move(name)), random_(random), block_size_(block_size) {
  GH_ASSERT(block_size == 512 || block_size == 4096);
  GH_ASSERT_EQ(bytes % 4096, 0u);
  durable_.resize(bytes);
  live_.resize(bytes);
}

std::span<uint8_t> SimDisk::SectorOf(std::vector<uint8_t>& medium, uint64_t sector) {
  return std::span<uint8_t>(medium).subspan(sector * kSectorBytes, kSectorBytes);
}

bool SimDisk::Strikes(Fault fault) const {
  return plan_.fault == fault && plan_.first != 0 && io_count_ >= plan_.first &&
         io_count_ - plan_.first < plan_.count;
}

Duration SimDisk::Latency(hal::BlockOp op) {
  Duration base = random_.Between(Duration::Microseconds(20), Duration::Microseconds(120));
  if (op == hal::BlockOp::kFlush) {
    base = base + random_.Between(Duration::Microseconds(500), Duration::Milliseconds(3));
  }
  return Strikes(Fault::kStall) ? base + plan_.stall : base;
}

SimDisk::Pending SimDisk::Admit(hal::BlockRequest& request) {
  Pending pending;
  pending.request = &request;
  pending.io = io_count_;
  pending.block = request.block;
  pending.status = powered_ && !Strikes(Fault::kFail) ? ErrorCode::kOk : ErrorCode::kIoError;
  pending.lost = Strikes(Fault::kLose);
  if (Strikes(Fault::kMisdirect) && request.block_count < block_count()) {
    const uint64_t places = block_count() - request.block_count;
    pending.block = (request.block + 1 + random_.Below(places)) % (places + 1);
  }
  const Instant now = host_ != nullptr ? host_->disk_now() : Instant{};
  pending.when = now + (host_ != nullptr ? Latency(request.op) : Duration{});
  return pending;
}

Result<void> SimDisk::Submit(hal::BlockRequest& request) {
  GH_ASSERT(request.done != nullptr);
  if (request.op != hal::BlockOp::kFlush &&
      (request.block > block_count() || request.block_count > block_count() - request.block)) {
    return Error(ErrorCode::kOutOfRange, "beyond the end of the device");
  }
  if (pending_.size() == kSimDiskQueueMax) {
    return Error(ErrorCode::kExhausted, "disk queue full");
  }
  ++io_count_;
  Pending pending = Admit(request);
  const bool has_effect = pending.status == ErrorCode::kOk && !pending.lost;
  const bool writes = request.op == hal::BlockOp::kWrite || request.op == hal::BlockOp::kDiscard;
  if (has_effect && writes) {
    BeginWrite(pending);
  }
  if (request.op == hal::BlockOp::kFlush) {
    BeginFlush(pending);
  }
  pending.data_hash = request.op == hal::BlockOp::kWrite ? HashOf(request, block_size_) : 0;
  if (world_ != nullptr) {
    const size_t bytes =
        request.op == hal::BlockOp::kWrite ? size_t{request.block_count} * block_size_ : 0;
    world_->Trace(name_, static_cast<uint64_t>(request.op), pending.block, {request.data, bytes});
  }
  const auto place =
      std::upper_bound(pending_.begin(), pending_.end(), pending,
                       [](const Pending& a, const Pending& b) { return a.when < b.when; });
  const Instant when = pending.when;
  pending_.insert(place, std::move(pending));
  if (powered_ && cut_io_ != 0 && io_count_ == cut_io_) {
    if (host_ != nullptr) {
      host_->OnPlannedCut();  // does not return inside a turn; the machine cuts its disks
    }
    CutPower(cut_damage_);
    return Ok();
  }
  if (host_ != nullptr) {
    host_->WakeForDisk(when);
  }
  return Ok();
}

// A write is visible to reads at once; on the medium it is a candidate until a flush covers it.
void SimDisk::BeginWrite(const Pending& pending) {
  const hal::BlockRequest& request = *pending.request;
  const uint64_t per_block = block_size_ / kSectorBytes;
  const uint64_t first = pending.block * per_block;
  for (uint64_t i = 0; i < request.block_count * per_block; ++i) {
    Version version{pending.io, std::vector<uint8_t>(kSectorBytes)};
    if (request.op == hal::BlockOp::kWrite) {
      std::memcpy(version.bytes.data(), request.data + i * kSectorBytes, kSectorBytes);
    }
    std::copy(version.bytes.begin(), version.bytes.end(), SectorOf(live_, first + i).begin());
    cache_[first + i].push_back(std::move(version));
  }
}

void SimDisk::BeginFlush(Pending& pending) {
  for (const Pending& other : pending_) {
    if (other.request->op != hal::BlockOp::kRead) {
      pending.writes_under_way.push_back(other.io);
    }
  }
}

void SimDisk::FinishFlush(const Pending& pending) {
  const auto covered = [&](const Version& version) {
    const auto& under_way = pending.writes_under_way;
    return version.io < pending.io &&
           std::find(under_way.begin(), under_way.end(), version.io) == under_way.end();
  };
  for (auto sector = cache_.begin(); sector != cache_.end();) {
    std::vector<Version>& versions = sector->second;
    const auto last = std::find_if(versions.rbegin(), versions.rend(), covered);
    if (last != versions.rend()) {
      std::copy(last->bytes.begin(), last->bytes.end(), SectorOf(durable_, sector->first).begin());
      std::erase_if(versions, covered);
    }
    sector = versions.empty() ? cache_.erase(sector) : std::next(sector);
  }
  ++flush_count_;
}

void SimDisk::Finish(Pending& pending) {
  hal::BlockRequest& request = *pending.request;
  request.status = pending.status;
  if (request.op == hal::BlockOp::kWrite && HashOf(request, block_size_) != pending.data_hash) {
    ++unstable_buffer_count_;
    if (world_ != nullptr) {
      world_->Fail(name_ + ": a write's buffer changed while the write was under way");
    }
  }
  if (pending.status != ErrorCode::kOk) {
    return;
  }
  if (request.op == hal::BlockOp::kRead) {
    std::memcpy(request.data, live_.data() + pending.block * block_size_,
                size_t{request.block_count} * block_size_);
  }
  if (request.op == hal::BlockOp::kFlush && !pending.lost) {
    FinishFlush(pending);
  }
}

void SimDisk::CompleteFirst() {
  Pending first = std::move(pending_.front());
  pending_.erase(pending_.begin());
  Finish(first);
  first.request->done(*first.request);
}

// The caller polls in place: gives it the time the first request still takes.
bool SimDisk::WaitInTurn() {
  const Instant now = host_->disk_now();
  idle_poll_count_ = now == last_poll_ ? idle_poll_count_ + 1 : 1;
  last_poll_ = now;
  if (idle_poll_count_ < kIdlePollMax) {
    return false;
  }
  host_->WaitForDisk(pending_.front().when);
  return true;
}

uint32_t SimDisk::Poll() {
  if (pending_.empty()) {
    return 0;
  }
  if (host_ != nullptr && pending_.front().when > host_->disk_now() && !WaitInTurn()) {
    return 0;
  }
  uint32_t count = 0;
  // What is there now: done() may submit more.
  for (size_t limit = pending_.size(); limit > 0 && !pending_.empty(); --limit) {
    if (host_ != nullptr && pending_.front().when > host_->disk_now()) {
      break;
    }
    CompleteFirst();
    ++count;
  }
  return count;
}

std::vector<uint8_t> SimDisk::Torn(std::span<const uint8_t> old_bytes,
                                   std::span<const uint8_t> fresh, Tear tear) {
  if (tear == Tear::kAnyOf) {
    tear = static_cast<Tear>(random_.Between(static_cast<int64_t>(Tear::kPrefix),
                                             static_cast<int64_t>(Tear::kRandomBytes)));
  }
  std::vector<uint8_t> torn(old_bytes.begin(), old_bytes.end());
  const size_t edge = 1 + random_.Below(kSectorBytes - 1);
  switch (tear) {
    case Tear::kPrefix:
      std::copy_n(fresh.begin(), edge, torn.begin());
      break;
    case Tear::kSuffix:
      std::copy(fresh.begin() + static_cast<ptrdiff_t>(edge), fresh.end(),
                torn.begin() + static_cast<ptrdiff_t>(edge));
      break;
    case Tear::kRandomBytes:
      random_.Fill(torn);
      break;
    case Tear::kNone:
    case Tear::kAnyOf:
      break;
  }
  return torn;
}

void SimDisk::DamageCache(const CutDamage& damage) {
  std::vector<uint64_t> unflushed;
  for (auto& [sector, versions] : cache_) {
    unflushed.push_back(sector);
    // Which of the contents the sector has had since the last flush is there afterwards: 0 is the
    // old one.
    const uint64_t kept = damage.keep == Keep::kNone  ? 0
                          : damage.keep == Keep::kAll ? versions.size()
                                                      : random_.Below(versions.size() + 1);
    if (kept > 0) {
      const std::vector<uint8_t>& bytes = versions[kept - 1].bytes;
      std::copy(bytes.begin(), bytes.end(), SectorOf(durable_, sector).begin());
    }
  }
  if (unflushed.empty()) {
    return;
  }
  if (damage.tear != Tear::kNone) {
    const uint64_t sector = unflushed[random_.Below(unflushed.size())];
    const std::vector<Version>& versions = cache_[sector];
    const auto torn = Torn(SectorOf(durable_, sector),
                           versions[random_.Below(versions.size())].bytes, damage.tear);
    std::copy(torn.begin(), torn.end(), SectorOf(durable_, sector).begin());
  }
  if (damage.flip == Flip::kUnflushed) {
    FlipBit((unflushed[random_.Below(unflushed.size())] * kSectorBytes) * 8 +
            random_.Below(kSectorBytes * 8));
  }
}

void SimDisk::CutPower(const CutDamage& damage) {
  if (!powered_) {
    return;
  }
  powered_ = false;
  cut_io_ = 0;
  DamageCache(damage);
  if (damage.flip == Flip::kAnywhere) {
    FlipBit(random_.Below(durable_.size() * 8));
  }
  cache_.clear();
  live_ = durable_;
  if (host_ != nullptr) {
    pending_.clear();  // their memory is gone with the machine
    return;
  }
  for (Pending& pending : pending_) {
    pending.status = ErrorCode::kIoError;
  }
}

void SimDisk::PowerOn() {
  GH_ASSERT(host_ == nullptr || pending_.empty());
  powered_ = true;
  idle_poll_count_ = 0;
}

void SimDisk::SaveAll() {
  CutPower({.keep = Keep::kAll, .tear = Tear::kNone, .flip = Flip::kNone});
}

void SimDisk::FlipBit(uint64_t bit) {
  GH_ASSERT_LT(bit / 8, durable_.size());
  const auto mask = static_cast<uint8_t>(1u << bit % 8);
  durable_[bit / 8] = static_cast<uint8_t>(durable_[bit / 8] ^ mask);
  live_[bit / 8] = static_cast<uint8_t>(live_[bit / 8] ^ mask);
}

void SimDisk::Restore(std::span<const uint8_t> snapshot) {
  GH_ASSERT_EQ(snapshot.size(), durable_.size());
  GH_ASSERT(pending_.empty());
  std::copy(snapshot.begin(), snapshot.end(), durable_.begin());
  live_ = durable_;
  cache_.clear();
}

}  // namespace gh::sim
