// A page of the event log as it lies on the disk: 4 KiB, little-endian, pure functions.
//
//   "GHEV" | u16 version | u16 records | u64 page number | u64 first | u64 last sequence |
//   run (16 bytes) | 4 x (u32 server | u64 next sequence for it), then the records:
//   u64 sequence | i64 unix ns | u8 flags | u32 event id | u32 suppressed | u16 size | values,
//   zeros, CRC-32 of all before it in the last four bytes.
//
// The servers are those of remote syslog: how far each had been told when the page was written, and
// a hash of which server that was. Events are named by their number: a page of another version is
// read as far as this one knows its events. Nothing in it is secret (events.proto), so it is not
// sealed; a factory reset erases it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/log/event.h"
#include "hal/rt/result.h"

namespace gh::log {

struct ServerMark {
  uint32_t server = 0;
  uint64_t next = 0;
};

struct EventPage {
  uint64_t number = 0;  // from 1
  uint64_t first = 0;   // sequence of the first record
  uint64_t last = 0;
  uint16_t count = 0;
  std::array<uint8_t, kRunIdBytes> run = {};
  std::array<ServerMark, kSyslogServerMax> marks = {};

  std::string_view run_id() const;
};

class EventPageWriter {
 public:
  EventPageWriter(std::span<uint8_t> page, const EventPage& head);
  // False: it does not fit.
  bool Add(const Record& record);
  uint16_t count() const { return head_.count; }
  // The page is whole after this.
  void Finish();

 private:
  std::span<uint8_t> page_;
  EventPage head_;
  size_t size_;
};

// kNotFound: blank, torn, damaged, or of another number when `number` is not 0.
Result<EventPage> DecodeEventPage(std::span<const uint8_t> page, uint64_t number);
// The first record of a decoded page with at least that sequence and a known event; false: none.
bool FindInEventPage(std::span<const uint8_t> page, const EventPage& head, uint64_t sequence,
                     Record& out);

}  // namespace gh::log
