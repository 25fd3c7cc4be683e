#include "hal/rt/heap.h"

#include <bit>
#include <cstring>

#include "hal/rt/sanitizer.h"

namespace gh {
namespace {

constexpr uint32_t kUnit = Heap::kAlignment;
constexpr uint32_t kUnitsMin = 2;  // a header and room for the links of a free block
static_assert(kHeapBytesMax / kUnit <= uint32_t{1} << 30);
constexpr size_t kSizeMax = (kHeapBytesMax / kUnit - 1) * kUnit;  // one header off
constexpr uint32_t kUsedBit = uint32_t{1} << 31;

}  // namespace

// A header, and the first bytes of the payload while the block is free.
struct Heap::Block {
  uint32_t units_and_used;
  uint32_t previous_units;  // of the block in front in memory; 0: none
  uint32_t owner;
  uint32_t check;
  uint32_t free_next;  // only in free blocks
  uint32_t free_previous;

  uint32_t units() const { return units_and_used & ~kUsedBit; }
  bool used() const { return (units_and_used & kUsedBit) != 0; }
};

static_assert(kUnitsMin * kUnit >= 24, "a free block holds its header and links");
static_assert(kHeapBytesMin >= (kUnitsMin + 1) * kUnit);

Heap::Heap(std::span<uint8_t> memory, std::span<HeapOwner> owners)
    : base_(memory.data()), owners_(owners) {
  GH_ASSERT_EQ(reinterpret_cast<uintptr_t>(base_) % kAlignment, 0u);
  GH_ASSERT_GE(memory.size(), kHeapBytesMin);
  GH_ASSERT_LE(memory.size(), kHeapBytesMax);
  GH_ASSERT(!owners.empty());
  GH_ASSERT_LE(owners.size(), kHeapOwnerMax);
  for (auto& row : free_) {
    row.fill(kNone);
  }
  unit_count_ = static_cast<uint32_t>(memory.size() / kUnit) - 1;
  capacity_ = uint64_t{unit_count_} * kUnit;
  Write(unit_count_, 0, unit_count_, 0, true);  // the end mark: never free, never merged
  MakeFree(0, unit_count_, 0);
}

Heap::Heap(Arena& arena, uint64_t byte_count, uint32_t owner_count)
    : Heap({static_cast<uint8_t*>(arena.Allocate(byte_count, kAlignment)), byte_count},
           arena.NewArray<HeapOwner>(owner_count)) {}

Heap::~Heap() { UnpoisonMemory(base_, capacity_); }

// --- Blocks
// ----------------------------------------------------------------------------------------

Heap::Block& Heap::Raw(uint32_t index) const {
  return *reinterpret_cast<Block*>(base_ + uint64_t{index} * kUnit);
}

uint32_t Heap::CheckOf(uint32_t index, const Block& block) const {
  uint64_t mix = uint64_t{block.units_and_used} << 32 | block.previous_units;
  mix ^= (uint64_t{block.owner} << 32 | index) * 0x9e3779b97f4a7c15;
  mix *= 0xff51afd7ed558ccd;
  return static_cast<uint32_t>(mix >> 32) ^ 0x47480001;
}

Heap::Block& Heap::At(uint32_t index) const {
  GH_ASSERT_LE(index, unit_count_);
  Block& block = Raw(index);
  if (block.check != CheckOf(index, block)) {
    GH_PANIC("heap: damaged block header (overrun, or a pointer that is not ours)");
  }
  return block;
}

void Heap::Write(uint32_t index, uint32_t units, uint32_t previous_units, uint32_t owner,
                 bool used) {
  Block& block = Raw(index);
  UnpoisonMemory(&block, used ? kHeaderSize : sizeof(Block));
  block.units_and_used = units | (used ? kUsedBit : 0);
  block.previous_units = previous_units;
  block.owner = owner;
  block.check = CheckOf(index, block);
}

void Heap::SetPreviousUnits(uint32_t index, uint32_t previous_units) {
  Block& block = At(index);
  block.previous_units = previous_units;
  block.check = CheckOf(index, block);
}

void* Heap::PayloadOf(uint32_t index) const {
  return base_ + uint64_t{index} * kUnit + kHeaderSize;
}

// Of a block in use; a panic for anything else.
uint32_t Heap::IndexOf(const void* p) const {
  const auto offset = reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(base_);
  GH_ASSERT(offset >= kHeaderSize && offset < capacity_ && offset % kAlignment == 0);
  const auto index = static_cast<uint32_t>(offset / kUnit - 1);
  GH_ASSERT(At(index).used());  // else freed twice
  return index;
}

// --- Free lists
// ------------------------------------------------------------------------------------

Heap::Class Heap::ClassOf(uint32_t units) {
  if (units < kSecondCount) {
    return {0, units};
  }
  const auto log = static_cast<uint32_t>(std::bit_width(units)) - 1;
  return {log - kSecondBits + 1, (units >> (log - kSecondBits)) & (kSecondCount - 1)};
}

// Header included; kNone when it can never fit.
uint32_t Heap::UnitsFor(size_t size) {
  if (size > kSizeMax) {
    return kNone;
  }
  const auto units = static_cast<uint32_t>((size + kUnit - 1) / kUnit) + 1;
  return units < kUnitsMin ? kUnitsMin : units;
}

void Heap::Link(uint32_t index) {
  Block& block = Raw(index);
  const Class c = ClassOf(block.units());
  uint32_t& head = free_[c.first][c.second];
  block.free_next = head;
  block.free_previous = kNone;
  if (head != kNone) {
    At(head).free_previous = index;
  }
  head = index;
  first_map_ |= uint32_t{1} << c.first;
  second_map_[c.first] |= uint32_t{1} << c.second;
}

void Heap::Unlink(uint32_t index) {
  Block& block = At(index);
  GH_ASSERT(!block.used());
  const Class c = ClassOf(block.units());
  if (block.free_next != kNone) {
    At(block.free_next).free_previous = block.free_previous;
  }
  if (block.free_previous != kNone) {
    At(block.free_previous).free_next = block.free_next;
    return;
  }
  uint32_t& head = free_[c.first][c.second];
  GH_ASSERT_EQ(head, index);
  head = block.free_next;
  if (head == kNone) {
    second_map_[c.first] &= ~(uint32_t{1} << c.second);
    if (second_map_[c.first] == 0) {
      first_map_ &= ~(uint32_t{1} << c.first);
    }
  }
}

// A free block of at least `units`, or kNone. The first of the exact class is tried before the
// classes in which every block fits.
uint32_t Heap::FindFree(uint32_t units) const {
  const Class exact = ClassOf(units);
  const uint32_t candidate = free_[exact.first][exact.second];
  if (candidate != kNone && At(candidate).units() >= units) {
    return candidate;
  }
  uint32_t rounded = units;
  if (units >= kSecondCount) {
    const auto log = static_cast<uint32_t>(std::bit_width(units)) - 1;
    rounded += (uint32_t{1} << (log - kSecondBits)) - 1;
  }
  const Class c = ClassOf(rounded);
  uint32_t first = c.first;
  uint32_t seconds = second_map_[first] & (~uint32_t{0} << c.second);
  if (seconds == 0) {
    const uint32_t firsts = first_map_ & static_cast<uint32_t>(~uint64_t{0} << (first + 1));
    if (firsts == 0) {
      return kNone;
    }
    first = static_cast<uint32_t>(std::countr_zero(firsts));
    seconds = second_map_[first];
  }
  const uint32_t found = free_[first][static_cast<uint32_t>(std::countr_zero(seconds))];
  GH_ASSERT_GE(At(found).units(), units);
  return found;
}

// Frees [index, index + units), merging with free neighbours.
void Heap::MakeFree(uint32_t index, uint32_t units, uint32_t previous_units) {
  const Block& after = At(index + units);
  if (!after.used()) {
    Unlink(index + units);
    units += after.units();
  }
  if (previous_units != 0 && !At(index - previous_units).used()) {
    index -= previous_units;
    Unlink(index);
    units += previous_units;
    previous_units = Raw(index).previous_units;
  }
  Write(index, units, previous_units, 0, false);
  SetPreviousUnits(index + units, units);
  Link(index);
  PoisonMemory(reinterpret_cast<uint8_t*>(&Raw(index)) + kUnitsMin * kUnit,
               (uint64_t{units} - kUnitsMin) * kUnit);
}

// Makes a used block of `units` at `index`, out of `units_available` that are in no list; the rest,
// if it can be a block, becomes free.
void Heap::TakeUnits(uint32_t index, uint32_t units, uint32_t units_available, uint32_t owner) {
  const uint32_t previous_units = Raw(index).previous_units;
  const uint32_t rest = units_available - units;
  if (rest < kUnitsMin) {
    Write(index, units_available, previous_units, owner, true);
    SetPreviousUnits(index + units_available, units_available);
    return;
  }
  Write(index, units, previous_units, owner, true);
  MakeFree(index + units, rest, units);
}

// --- Accounts
// --------------------------------------------------------------------------------------

void Heap::SetOwner(uint32_t owner) {
  GH_ASSERT_LT(owner, owners_.size());
  owner_current_ = owner;
}

void Heap::SetOwnerLimit(uint32_t owner, uint64_t bytes) {
  GH_ASSERT_LT(owner, owners_.size());
  owners_[owner].limit = bytes;
}

const HeapOwner& Heap::OwnerState(uint32_t owner) const {
  GH_ASSERT_LT(owner, owners_.size());
  return owners_[owner];
}

void Heap::ResetOwner(uint32_t owner) {
  GH_ASSERT_EQ(OwnerState(owner).block_count, 0u);
  owners_[owner] = HeapOwner();
}

bool Heap::MayTake(uint32_t owner, uint64_t bytes) {
  const HeapOwner& state = owners_[owner];
  return state.bytes <= state.limit && bytes <= state.limit - state.bytes;
}

void Heap::Book(uint32_t owner, int64_t bytes, int32_t blocks) {
  HeapOwner& state = owners_[owner];
  state.bytes += static_cast<uint64_t>(bytes);
  state.block_count += static_cast<uint32_t>(blocks);
  state.bytes_max = state.bytes > state.bytes_max ? state.bytes : state.bytes_max;
  used_bytes_ += static_cast<uint64_t>(bytes);
  block_count_ += static_cast<uint32_t>(blocks);
  used_bytes_max_ = used_bytes_ > used_bytes_max_ ? used_bytes_ : used_bytes_max_;
  GH_ASSERT_LE(state.bytes, used_bytes_);
  GH_ASSERT_LE(used_bytes_, capacity_);
}

// --- The four calls
// --------------------------------------------------------------------------------

void* Heap::Allocate(size_t size) { return AllocateFor(owner_current_, size); }

void* Heap::AllocateFor(uint32_t owner, size_t size) {
  void* p = TryAllocate(owner, size);
  return p != nullptr ? p : Refuse(owner);
}

void* Heap::Refuse(uint32_t owner) {
  ++refused_count_;
  ++owners_[owner].refused_count;
  return nullptr;
}

void* Heap::TryAllocate(uint32_t owner, size_t size) {
  const uint32_t units = UnitsFor(size);
  const bool allowed = units != kNone && MayTake(owner, uint64_t{units} * kUnit);
  const uint32_t index = allowed ? FindFree(units) : kNone;
  if (index == kNone) {
    return nullptr;
  }
  const uint32_t units_available = At(index).units();
  Unlink(index);
  TakeUnits(index, units, units_available, owner);
  const uint64_t bytes = uint64_t{Raw(index).units()} * kUnit;
  Book(owner, static_cast<int64_t>(bytes), 1);
  void* payload = PayloadOf(index);
  PoisonMemory(payload, bytes - kHeaderSize);
  UnpoisonMemory(payload, size);
  return payload;
}

void* Heap::AllocateZeroed(size_t count, size_t size) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    return Refuse(owner_current_);
  }
  void* p = Allocate(bytes);
  if (p != nullptr && bytes != 0) {
    std::memset(p, 0, bytes);
  }
  return p;
}

void Heap::Free(void* p) {
  if (p == nullptr) {
    return;
  }
  const uint32_t index = IndexOf(p);
  Block& block = Raw(index);
  const uint32_t units = block.units();
  Book(block.owner, -static_cast<int64_t>(uint64_t{units} * kUnit), -1);
  block.check = ~block.check;  // merged away, it must not pass for a block when freed again
  MakeFree(index, units, block.previous_units);
}

// Takes from the free block behind, if there is one and it suffices.
bool Heap::GrowInPlace(uint32_t index, uint32_t units) {
  const Block& block = Raw(index);
  const uint32_t owner = block.owner;
  const uint32_t units_old = block.units();
  const Block& after = At(index + units_old);
  if (after.used() || units_old + after.units() < units ||
      !MayTake(owner, uint64_t{units - units_old} * kUnit)) {
    return false;
  }
  const uint32_t units_available = units_old + after.units();
  Unlink(index + units_old);
  TakeUnits(index, units, units_available, owner);
  Book(owner, static_cast<int64_t>((uint64_t{Raw(index).units()} - units_old) * kUnit), 0);
  return true;
}

// To a block of its own; null and the old one untouched when there is none. Not a refusal yet.
void* Heap::Move(void* p, uint32_t index, size_t size) {
  const uint32_t owner = Raw(index).owner;
  const uint64_t payload_size_old = uint64_t{Raw(index).units()} * kUnit - kHeaderSize;
  void* moved = TryAllocate(owner, size);
  if (moved != nullptr) {
    const uint64_t count = size < payload_size_old ? size : payload_size_old;
    UnpoisonMemory(p, count);
    std::memcpy(moved, p, count);
    Free(p);
  }
  return moved;
}

void* Heap::Reallocate(void* p, size_t size) {
  if (p == nullptr) {
    return Allocate(size);
  }
  if (size == 0) {
    Free(p);
    return nullptr;
  }
  const uint32_t index = IndexOf(p);
  const uint32_t owner = Raw(index).owner;
  const uint32_t units = UnitsFor(size);
  const uint32_t units_old = Raw(index).units();
  // A block that loses most of its size moves: left in place it would pin a small block in the
  // middle of a large hole, which is how reallocation fragments a heap.
  if (units < units_old / 2) {
    if (void* moved = Move(p, index, size)) {
      return moved;
    }
  }
  if (units <= units_old && units_old - units >= kUnitsMin) {
    TakeUnits(index, units, units_old, owner);
    Book(owner, -static_cast<int64_t>(uint64_t{units_old - units} * kUnit), 0);
  }
  if (units <= units_old || (units != kNone && GrowInPlace(index, units))) {
    const uint64_t payload_size = uint64_t{Raw(index).units()} * kUnit - kHeaderSize;
    PoisonMemory(p, payload_size);
    UnpoisonMemory(p, size);
    return p;
  }
  void* moved = Move(p, index, size);
  return moved != nullptr ? moved : Refuse(owner);
}

size_t Heap::UsableSize(const void* p) const {
  const size_t size = size_t{Raw(IndexOf(p)).units()} * kUnit - kHeaderSize;
  UnpoisonMemory(p, size);  // whoever asks may use it all
  return size;
}

HeapShape Heap::Inspect() const {
  HeapShape shape;
  uint32_t previous_units = 0;
  bool previous_free = false;
  for (uint32_t index = 0; index < unit_count_;) {
    const Block& block = At(index);
    const uint64_t bytes = uint64_t{block.units()} * kUnit;
    GH_ASSERT_GE(block.units(), kUnitsMin);
    GH_ASSERT_EQ(block.previous_units, previous_units);
    GH_ASSERT(block.used() || !previous_free);  // merged at once
    if (block.used()) {
      shape.used_bytes += bytes;
      ++shape.used_block_count;
    } else {
      const Class c = ClassOf(block.units());
      GH_ASSERT((second_map_[c.first] >> c.second & 1) != 0 && (first_map_ >> c.first & 1) != 0);
      GH_ASSERT(block.free_previous != kNone || free_[c.first][c.second] == index);
      shape.free_bytes += bytes;
      shape.free_bytes_largest =
          bytes > shape.free_bytes_largest ? bytes : shape.free_bytes_largest;
      ++shape.free_block_count;
    }
    previous_units = block.units();
    previous_free = !block.used();
    index += block.units();
  }
  GH_ASSERT_EQ(At(unit_count_).previous_units, previous_units);
  GH_ASSERT_EQ(shape.used_bytes, used_bytes_);
  GH_ASSERT_EQ(shape.used_block_count, block_count_);
  GH_ASSERT_EQ(shape.used_bytes + shape.free_bytes, capacity_);
  return shape;
}

}  // namespace gh
