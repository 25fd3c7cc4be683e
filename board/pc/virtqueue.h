// A virtio split virtqueue (virtio 1.2, 2.7) with event-index notification suppression.
//
// The ring is shared with the device. What the device writes (used index, ids, lengths) is checked
// against our own books before use; a device that breaks them is not believed again (broken()).
// Interrupts are armed only when the loop is about to sleep.
#pragma once

#include <cstdint>
#include <span>

#include "board/pc/limits.h"
#include "board/pc/mmio.h"
#include "hal/rt/arena.h"

namespace gh::pc {

struct VirtqueueBuffer {
  const void* data = nullptr;
  uint32_t size = 0;
  bool device_writes = false;
};

struct VirtqueueUsed {
  uint16_t head = 0;     // what Add() returned
  uint32_t written = 0;  // bytes the device wrote, at most what it was given
};

class Virtqueue {
 public:
  Virtqueue() = default;
  Virtqueue(const Virtqueue&) = delete;
  Virtqueue& operator=(const Virtqueue&) = delete;

  // `size`: a power of two. `notify`: the doorbell, 2 bytes.
  void Initialise(Arena& arena, uint16_t index, uint16_t size, bool has_event_index);
  void SetDoorbell(Mmio notify) { notify_ = notify; }

  // Queues a chain; nothing is seen by the device before Publish(). False: not enough descriptors.
  bool Add(std::span<const VirtqueueBuffer> buffers, uint16_t& head);
  // The head that the next Add() will use; only while free_count() is not 0.
  uint16_t next_head() const { return free_head_; }
  // Shows the device what was added and rings its doorbell if it asks for that.
  void Publish();
  // One completed chain; its descriptors are free again.
  bool Take(VirtqueueUsed& used);
  bool HasUsed() const;

  // Asks for an interrupt at the next completion; true when completions wait already.
  bool ArmInterrupt();
  // For rings whose completions nobody waits for.
  void SuppressInterrupts();

  uint16_t size() const { return size_; }
  uint16_t free_count() const { return free_count_; }
  bool broken() const { return broken_; }
  uint64_t doorbell_count() const { return doorbell_count_; }

  uint64_t descriptor_address() const { return reinterpret_cast<uint64_t>(descriptors_); }
  uint64_t available_address() const { return reinterpret_cast<uint64_t>(available_); }
  uint64_t used_address() const { return reinterpret_cast<uint64_t>(used_); }

 private:
  struct Descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
  };
  struct Available {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[kVirtqueueSizeMax + 1];  // [size]: used_event
  };
  struct UsedElement {
    uint32_t id;
    uint32_t written;
  };
  struct Used {
    uint16_t flags;
    uint16_t index;
    UsedElement ring[kVirtqueueSizeMax + 1];  // [size]: avail_event, in its first 16 bits
  };
  // Our own books, out of the device's reach.
  struct Chain {
    uint16_t next = 0;
    uint16_t length = 0;  // of a chain in flight, at its head; else 0
    uint32_t writable = 0;
  };

  uint16_t size_ = 0;
  uint16_t index_ = 0;
  bool has_event_index_ = false;
  bool broken_ = false;
  uint16_t free_head_ = 0;
  uint16_t free_count_ = 0;
  uint16_t available_index_ = 0;  // next to fill
  uint16_t published_index_ = 0;  // what the device was shown
  uint16_t used_index_ = 0;       // next to take
  uint64_t doorbell_count_ = 0;
  Descriptor* descriptors_ = nullptr;
  volatile Available* available_ = nullptr;
  volatile Used* used_ = nullptr;
  std::span<Chain> chains_;
  Mmio notify_;
};

}  // namespace gh::pc
