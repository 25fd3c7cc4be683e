// The event log on the `log` partition: a ring of pages (event_page.h) behind the crash records.
//
// A large partition is shared with files (firmware/files); a ring that had all of it before is
// taken over: its numbers go on, what it held is not read any more.
//
// Page n lies in slot (n - 1) mod slots: a full ring overwrites its oldest. Events go to the ring
// in memory first (log.h) and are written from there in batches, asynchronously: after a moment, or
// at once when a page is full or an event is grave. One page is under way at a time, flushed before
// the next begins, so a power cut can tear that page, which held the oldest of the ring, and costs
// the events that were not written yet; no other. Sequence numbers go on over restarts.
//
// Reading waits for the disk: one page of 4 KiB where events are read in order. Fault model: the
// partition may hold anything; a page whose checksum, number or place is wrong is not there. A disk
// that fails is told once and tried again; service goes on.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/log/event_page.h"
#include "firmware/log/log.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::log {

class EventStore {
 public:
  EventStore(Arena& arena, hal::BlockDevice& device, Log& log);
  EventStore(const EventStore&) = delete;
  EventStore& operator=(const EventStore&) = delete;

  // Finds the newest page. kUnsupported: the partition is too small, or its blocks are odd.
  Result<void> Open();
  bool is_open() const { return slot_count_ != 0; }
  // The number the log goes on with.
  uint64_t next_sequence() const { return stored_next_; }
  // What a server had been told, by the newest page; 0: nothing is known of it.
  uint64_t MarkOf(uint32_t server) const;

  void SetRun(std::string_view run_id);
  // For the next page. Index of the server's setting.
  void SetMark(uint32_t index, const ServerMark& mark) { head_.marks[index] = mark; }
  // Drives the writing; often. Returns when to be called again, at the latest.
  Instant Step(Instant now);
  // Everything, now: at an orderly end. Waits for the disk.
  void Flush();
  // Overwrites what there is: factory reset on boards without a boot chain.
  Result<void> Erase();

  // The first event with at least that sequence that is on the disk. False: none. `run_id` as of
  // the run that told it.
  bool Find(uint64_t sequence, Record& out);
  std::string_view found_run_id() const { return read_head_.run_id(); }
  uint64_t first_sequence();  // oldest on the disk; next_sequence() when there is none
  uint64_t page_count() const { return newest_ - oldest() + 1; }
  uint64_t newest_page() const { return newest_; }
  uint64_t slot_count() const { return slot_count_; }
  uint64_t lost_count() const { return lost_; }  // overtaken by the ring in memory
  const char* fault() const { return fault_; }   // of the disk; ""

 private:
  enum class State : uint8_t { kIdle, kWriting, kFlushing };
  uint64_t BlockOf(uint64_t number) const;
  uint64_t oldest() const;
  Result<EventPage> ReadPage(uint64_t number);  // into read_page_
  uint64_t FindNewest(uint64_t slot_count);
  void TakeOver(uint64_t before);
  void FindFloor();
  bool IsPage(uint64_t number);
  uint64_t LastOf(uint64_t base, uint64_t low);
  bool IsDue(Instant now) const;
  void Build();
  void Submit(hal::BlockOp op);
  void Complete();
  static void OnDone(hal::BlockRequest& request);

  hal::BlockDevice& device_;
  Log& log_;
  std::span<uint8_t> write_page_;
  std::span<uint8_t> read_page_;
  hal::BlockRequest request_;
  State state_ = State::kIdle;
  bool done_ = false;
  uint64_t slot_count_ = 0;
  uint64_t newest_ = 0;       // page number on the disk; 0: none
  uint64_t floor_ = 1;        // no page below it is of this ring
  uint64_t stored_next_ = 1;  // sequence behind the last that is on the disk
  uint64_t writing_next_ = 1;
  EventPage head_;       // what the next page's head says
  EventPage disk_head_;  // of the newest page at Open()
  EventPage read_head_;  // of read_page_; number 0: nothing is there
  uint64_t lost_ = 0;
  Instant retry_at_;
  const char* fault_ = "";
};

}  // namespace gh::log
