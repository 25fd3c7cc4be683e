#include "image/ymodem.h"

#include <algorithm>
#include <charconv>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::image {

namespace {

constexpr uint8_t kSoh = 0x01;  // a block of 128 bytes
constexpr uint8_t kStx = 0x02;  // a block of 1024 bytes
constexpr uint8_t kCtrlC = 0x03;
constexpr uint8_t kEot = 0x04;
constexpr uint8_t kAck = 0x06;
constexpr uint8_t kBackspace = 0x08;
constexpr uint8_t kNak = 0x15;
constexpr uint8_t kCan = 0x18;
constexpr uint8_t kInvite = 'C';
constexpr uint32_t kShortBlockSize = 128;
// Two between blocks; amid garbage, which may hold anything, as many as senders really send.
constexpr uint32_t kCancelRun = 2;
constexpr uint32_t kCancelRunInGarbage = 5;
constexpr uint32_t kCancelSend = 8;

constexpr std::array<uint16_t, 256> MakeCrcTable() {
  std::array<uint16_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i << 8;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 0x8000) != 0 ? value << 1 ^ 0x1021 : value << 1;
    }
    table[i] = static_cast<uint16_t>(value);
  }
  return table;
}
constexpr std::array<uint16_t, 256> kCrcTable = MakeCrcTable();

}  // namespace

uint16_t YmodemCrc(std::span<const uint8_t> bytes) {
  uint16_t crc = 0;
  for (const uint8_t byte : bytes) {
    crc = static_cast<uint16_t>(crc << 8 ^ kCrcTable[crc >> 8 ^ byte]);
  }
  return crc;
}

void YmodemReceiver::Reply(uint8_t byte) {
  // A caller that never takes replies loses them; the sender then asks again.
  if (reply_size_ < reply_.size()) {
    reply_[reply_size_++] = byte;
  }
}

void YmodemReceiver::Wait(State state, Instant now, Duration timeout) {
  state_ = state;
  deadline_ = now + timeout;
}

void YmodemReceiver::Start(Instant now) {
  GH_ASSERT(state_ == State::kIdle);
  start_end_ = now + options_.start_timeout;
  AwaitHeader(now);
}

// Invites the sender: to begin, or to go on with the next file.
void YmodemReceiver::AwaitHeader(Instant now) {
  in_file_ = false;
  end_seen_ = false;
  expected_ = 0;
  cancel_run_ = 0;
  Reply(kInvite);
  Wait(State::kStart, now, options_.poll_interval);
}

void YmodemReceiver::AwaitBlock(Instant now) {
  cancel_run_ = 0;
  Wait(State::kBody, now, NothingYet() ? options_.poll_interval : options_.block_timeout);
}

void YmodemReceiver::AwaitSilence(State state, Instant now) {
  quiet_end_ = now + options_.block_timeout;
  Wait(state, now, options_.silence);
}

size_t YmodemReceiver::Receive(std::span<const uint8_t> bytes, Instant now) {
  size_t taken = 0;
  while (taken < bytes.size() && event_ == YmodemEvent::kNone && !Over()) {
    const uint8_t byte = bytes[taken++];
    switch (state_) {
      case State::kStart:
      case State::kBody:
        TakeControl(byte, now);
        break;
      case State::kBlock:
        data_[filled_++] = byte;
        deadline_ = now + options_.byte_timeout;
        if (filled_ == 2 + block_size_ + 2) {
          TakeBlock(now);
        }
        break;
      case State::kPurge:
        TakePurged(byte, now);
        break;
      case State::kSettle:  // repeats of the header: one answer is for all of them
        deadline_ = std::min(now + options_.silence, quiet_end_);
        break;
      case State::kIdle:
      case State::kOver:
        break;
    }
  }
  return taken;
}

void YmodemReceiver::TakeControl(uint8_t byte, Instant now) {
  cancel_run_ = byte == kCan ? cancel_run_ + 1 : 0;
  if (byte == kSoh || byte == kStx) {
    block_size_ = byte == kSoh ? kShortBlockSize : kYmodemBlockSizeMax;
    filled_ = 0;
    Wait(State::kBlock, now, options_.byte_timeout);
    return;
  }
  if (byte == kCan) {
    if (cancel_run_ == kCancelRun) {
      Fail(ErrorCode::kCancelled, "the sender cancelled");
    }
    return;
  }
  if (byte == kEot) {
    TakeEnd(now);
    return;
  }
  if (state_ == State::kStart) {
    // Nobody sends yet: a person may be typing.
    if (byte == kCtrlC && !had_file_) {
      Fail(ErrorCode::kCancelled, "cancelled at the console");
    }
    return;
  }
  Fault(now);
}

// The end of a file, or its repetition when our answer was lost. The first one is refused: what is
// no noise comes again.
void YmodemReceiver::TakeEnd(Instant now) {
  if (!in_file_) {
    if (had_file_) {
      Reply(kAck);
      AwaitHeader(now);
    }
    return;
  }
  if (!end_seen_) {
    end_seen_ = true;
    Reply(kNak);
    AwaitBlock(now);
    return;
  }
  if (size_ && received_ != *size_) {
    Fail(ErrorCode::kTruncated, "the file ended before the size its header gave");
    return;
  }
  data_size_ = 0;
  Raise(YmodemEvent::kFileEnd);
}

void YmodemReceiver::TakeBlock(Instant now) {
  const uint8_t sequence = data_[0];
  const uint32_t crc = uint32_t{data_[2 + block_size_]} << 8 | data_[3 + block_size_];
  if ((sequence ^ data_[1]) != 0xff || YmodemCrc(std::span(data_).subspan(2, block_size_)) != crc) {
    Fault(now);
    return;
  }
  faults_in_row_ = 0;
  if (!in_file_) {
    if (sequence == 0) {
      TakeHeader(now);
    } else {
      Fail(ErrorCode::kMalformed, "the sender does not begin with a header: not YMODEM");
    }
    return;
  }
  TakeData(sequence, now);
}

void YmodemReceiver::TakeHeader(Instant now) {
  const std::string_view block = AsText(std::span(data_).subspan(2, block_size_));
  const size_t name_end = block.find('\0');
  if (name_end == 0) {
    // An empty header ends the batch.
    Reply(kAck);
    state_ = State::kOver;
    Raise(YmodemEvent::kDone);
    return;
  }
  if (name_end == std::string_view::npos) {
    Fail(ErrorCode::kMalformed, "the file's header is malformed");
    return;
  }
  name_.Clear();
  for (const char c : block.substr(0, name_end)) {
    name_.Append(c >= 0x20 && c < 0x7f ? c : '?');
  }
  size_.reset();
  std::string_view rest = block;
  rest.remove_prefix(name_end + 1);
  uint64_t value = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (parsed.ec == std::errc::result_out_of_range) {
    Fail(ErrorCode::kTooLarge, "the file's size is beyond all limits");
    return;
  }
  if (parsed.ec == std::errc()) {
    size_ = value;
  }
  in_file_ = true;
  received_ = 0;
  expected_ = 1;
  data_size_ = 0;
  // Invitations that piled up while the sender was not there make it repeat the header: wait until
  // it has.
  AwaitSilence(State::kSettle, now);
}

void YmodemReceiver::TakeData(uint8_t sequence, Instant now) {
  if (sequence == static_cast<uint8_t>(expected_ - 1)) {
    ++fault_count_;
    if (NothingYet()) {
      AwaitSilence(State::kSettle, now);
      header_again_ = true;
      return;
    }
    Reply(kAck);
    AwaitBlock(now);
    return;
  }
  if (sequence != expected_) {
    Fail(ErrorCode::kMalformed, "a block is missing");
    return;
  }
  end_seen_ = false;
  ++expected_;
  const uint64_t left = size_ ? *size_ - received_ : UINT64_MAX;
  if (left == 0) {
    Fail(ErrorCode::kTooLarge, "the file goes on beyond the size its header gave");
    return;
  }
  data_size_ = static_cast<uint32_t>(std::min<uint64_t>(left, block_size_));
  received_ += data_size_;
  Raise(YmodemEvent::kData);
}

void YmodemReceiver::Continue(Instant now) {
  const YmodemEvent event = event_;
  GH_ASSERT(event == YmodemEvent::kFile || event == YmodemEvent::kData ||
            event == YmodemEvent::kFileEnd);
  event_ = YmodemEvent::kNone;
  Reply(kAck);
  if (event == YmodemEvent::kFileEnd) {
    had_file_ = true;
    start_end_ = now + options_.block_timeout * 2;
    AwaitHeader(now);
    return;
  }
  if (event == YmodemEvent::kFile) {
    Reply(kInvite);
  }
  AwaitBlock(now);
}

void YmodemReceiver::Raise(YmodemEvent event) {
  event_ = event;
  deadline_ = Instant::Max();
}

// Something is wrong on the line: drops what comes until it is silent, then asks again.
void YmodemReceiver::Fault(Instant now) {
  ++fault_count_;
  cancel_run_ = 0;
  if (++faults_in_row_ > kYmodemFaultMax) {
    Fail(ErrorCode::kIoError, "too many faults on the line");
    return;
  }
  AwaitSilence(State::kPurge, now);
}

void YmodemReceiver::TakePurged(uint8_t byte, Instant now) {
  if (byte == kCan) {
    ++cancel_run_;
  } else if (byte != kBackspace) {
    cancel_run_ = 0;
  }
  deadline_ = std::min(now + options_.silence, quiet_end_);
}

void YmodemReceiver::AskAgain(Instant now) {
  if (!in_file_) {
    AwaitHeader(now);
    return;
  }
  Reply(NothingYet() ? kInvite : kNak);
  AwaitBlock(now);
}

void YmodemReceiver::Tick(Instant now) {
  if (now < deadline_ || event_ != YmodemEvent::kNone || Over()) {
    return;
  }
  switch (state_) {
    case State::kStart:
      if (now < start_end_) {
        AwaitHeader(now);
      } else if (had_file_) {
        // The file is whole; only the batch's end did not come.
        state_ = State::kOver;
        Raise(YmodemEvent::kDone);
      } else {
        Fail(ErrorCode::kTimeout, "no sender began");
      }
      return;
    case State::kSettle:
      if (header_again_) {
        header_again_ = false;
        Reply(kAck);
        Reply(kInvite);
        AwaitBlock(now);
        return;
      }
      Raise(YmodemEvent::kFile);
      return;
    case State::kPurge:
      if (cancel_run_ >= kCancelRunInGarbage) {
        Fail(ErrorCode::kCancelled, "the sender cancelled");
        return;
      }
      AskAgain(now);
      return;
    default:
      break;
  }
  ++fault_count_;
  if (++faults_in_row_ > kYmodemFaultMax) {
    Fail(ErrorCode::kTimeout, "the sender is gone");
    return;
  }
  AskAgain(now);
}

void YmodemReceiver::Cancel(ErrorCode code, const char* why) {
  if (!Over()) {
    Fail(code, why);
  }
}

void YmodemReceiver::Fail(ErrorCode code, const char* why) {
  failure_ = Error(code, why);
  reply_size_ = 0;
  // As senders do: the backspaces take the CANs off a screen.
  for (uint32_t i = 0; i < 2 * kCancelSend; ++i) {
    Reply(i < kCancelSend ? kCan : kBackspace);
  }
  state_ = State::kOver;
  Raise(YmodemEvent::kFailed);
}

}  // namespace gh::image
