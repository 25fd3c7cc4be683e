// A receiver of YMODEM: a protocol engine without I/O. Bytes and time go in; answers to the sender
// and the file's data come out.
//
// Blocks of 128 and 1024 bytes with CRC-16; a header block with the file's name and size; batches.
// The sender waits for the answer to each block, so an event that the caller has not dealt with
// holds the line: nothing is staged here beyond one block, whatever the file's size.
//
//   receiver.Start(now);
//   loop: send reply(), then ClearReply(); feed Receive(bytes, now); call Tick(now) at deadline();
//         on an event(): use name(), size(), data(), then Continue(now), or Cancel(...).
//
// Fault model: the line loses, adds and changes bytes, the sender repeats, stops or lies. A bad
// block is asked for again once the line is silent, so that one answer belongs to one block; a
// repeated block is acknowledged and dropped; a block that skips one ends the transfer, as do too
// many faults in a row, more data than the header promised, and less.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"
#include "image/limits.h"

namespace gh::image {

enum class YmodemEvent : uint8_t {
  kNone,
  kFile,     // a header: name() and size() are known
  kData,     // data() is the next piece of the file
  kFileEnd,  // the file is complete; the sender learns so by Continue()
  kDone,     // the batch is over
  kFailed,   // failure() says why; the sender was told
};

class YmodemReceiver {
 public:
  struct Options {
    Duration start_timeout = Duration::Minutes(2);  // for a sender to begin
    Duration poll_interval = Duration::Seconds(3);  // between invitations to begin
    Duration block_timeout = Duration::Seconds(10);
    Duration byte_timeout = Duration::Seconds(1);    // within a block
    Duration silence = Duration::Milliseconds(150);  // the line is idle after this
  };

  YmodemReceiver() = default;
  explicit YmodemReceiver(const Options& options) : options_(options) {}
  YmodemReceiver(const YmodemReceiver&) = delete;
  YmodemReceiver& operator=(const YmodemReceiver&) = delete;

  void Start(Instant now);
  // Takes bytes from the line; stops at an event. Returns how many it took.
  size_t Receive(std::span<const uint8_t> bytes, Instant now);
  // To be called at deadline(), harmless at other times.
  void Tick(Instant now);
  Instant deadline() const { return deadline_; }

  YmodemEvent event() const { return event_; }
  // The event was dealt with: answers the sender. Not after kDone and kFailed.
  void Continue(Instant now);
  // Ends the transfer and tells the sender. `why` is a static text.
  void Cancel(ErrorCode code, const char* why);

  std::span<const uint8_t> reply() const { return {reply_.data(), reply_size_}; }
  void ClearReply() { reply_size_ = 0; }

  std::string_view name() const { return name_.view(); }
  std::optional<uint64_t> size() const { return size_; }
  std::span<const uint8_t> data() const { return {data_.data() + 2, data_size_}; }
  uint64_t received() const { return received_; }  // bytes of this file, up to and with data()
  uint32_t fault_count() const { return fault_count_; }  // bad and repeated blocks, silences
  Result<void> failure() const { return failure_; }

 private:
  enum class State : uint8_t { kIdle, kStart, kBody, kBlock, kPurge, kSettle, kOver };

  bool Over() const { return state_ == State::kOver || state_ == State::kIdle; }
  bool NothingYet() const { return in_file_ && received_ == 0 && expected_ == 1; }
  void Reply(uint8_t byte);
  void Wait(State state, Instant now, Duration timeout);
  void AwaitSilence(State state, Instant now);
  void AwaitBlock(Instant now);
  void AwaitHeader(Instant now);
  void TakeControl(uint8_t byte, Instant now);
  void TakePurged(uint8_t byte, Instant now);
  void TakeBlock(Instant now);
  void TakeHeader(Instant now);
  void TakeData(uint8_t sequence, Instant now);
  void TakeEnd(Instant now);
  void Fault(Instant now);
  void AskAgain(Instant now);
  void Raise(YmodemEvent event);
  void Fail(ErrorCode code, const char* why);

  Options options_;
  State state_ = State::kIdle;
  YmodemEvent event_ = YmodemEvent::kNone;
  Instant deadline_ = Instant::Max();
  Instant start_end_;
  Instant quiet_end_;          // a line that is never silent is not waited for beyond this
  bool in_file_ = false;       // between a header and its file's end
  bool had_file_ = false;      // one came through whole
  bool end_seen_ = false;      // the first EOT was answered by a NAK, as it may have been noise
  bool header_again_ = false;  // the header was repeated after its answer
  uint8_t expected_ = 0;       // the next block's sequence number
  uint32_t block_size_ = 0;    // of the block that is coming in
  uint32_t filled_ = 0;        // bytes of `data_`
  uint32_t cancel_run_ = 0;    // CANs in a row
  uint32_t faults_in_row_ = 0;
  uint32_t fault_count_ = 0;
  std::array<uint8_t, 2 + kYmodemBlockSizeMax + 2> data_;  // sequence, complement, block, CRC
  uint32_t data_size_ = 0;
  std::array<uint8_t, kYmodemReplySizeMax> reply_;
  uint32_t reply_size_ = 0;
  FixedString<kYmodemNameSizeMax> name_;
  std::optional<uint64_t> size_;
  uint64_t received_ = 0;
  Result<void> failure_;
};

// CRC-16 of XMODEM and YMODEM: polynomial 0x1021, from zero.
uint16_t YmodemCrc(std::span<const uint8_t> bytes);

}  // namespace gh::image
