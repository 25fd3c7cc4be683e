// The stream of p11-kit's remoting protocol: greeting, frames, answers to their calls.
#include <algorithm>

#include "crypto/pkcs11_rpc.h"
#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::crypto::pkcs11 {
namespace {

constexpr uint32_t kFrameHeader = 12;
constexpr uint32_t kOptionsMax = 256;
constexpr Duration kGreetingWait = Duration::Seconds(3);
constexpr Duration kZerosPeriod = Duration::Seconds(1);
constexpr uint32_t kZeros = 256;  // per try; a call of ours that was cut off has at most 4 KiB

}  // namespace

bool RpcClient::Start(Call& call, Instant now) {
  GH_ASSERT(!call.is_pending);
  if (state_ != State::kOpen || calls_.size() + forgotten_count_ >= kRpcCallsMax ||
      out_.size() - out_size_ < kRpcMessageMax) {
    return false;
  }
  const auto frame = std::span(out_).subspan(out_size_, kRpcMessageMax);
  const auto size = EncodeCall(call, frame.subspan(kFrameHeader));
  if (!size.ok()) {
    return false;
  }
  call.code = next_code_++;
  ByteWriter header(frame);
  header.U32Be(call.code);
  header.U32Be(0);
  header.U32Be(static_cast<uint32_t>(*size));
  out_size_ += static_cast<uint32_t>(kFrameHeader + *size);
  call.started = now;
  call.is_pending = true;
  call.error = ErrorCode::kOk;
  calls_.PushBack(call);
  (void)Flush();  // what the link does not take goes with Poll
  return true;
}

void RpcClient::Forget(Call& call) {
  if (!call.is_pending) {
    return;
  }
  calls_.Remove(call);
  call.is_pending = false;
  GH_ASSERT_LT(forgotten_count_, kRpcCallsMax);
  forgotten_[forgotten_count_] = call.code;
  forgotten_since_[forgotten_count_++] = call.started;
}

Instant RpcClient::waiting_since() const {
  const Call* oldest = calls_.front();
  Instant since = oldest == nullptr ? Instant::Max() : oldest->started;
  for (uint32_t i = 0; i < forgotten_count_; ++i) {
    since = std::min(since, forgotten_since_[i]);
  }
  return since;
}

void RpcClient::FailAll(const Error& why) {
  SecureZero(std::span(out_).first(out_size_));
  out_size_ = in_size_ = skip_ = 0;
  forgotten_count_ = 0;
  // What a listener starts anew is not for this connection: state_ is not kOpen.
  while (Call* call = calls_.PopFront()) {
    call->is_pending = false;
    call->error = why;
    call->listener->OnCall(*call);
  }
}

void RpcClient::Reset(const Error& why) { Lose(why); }

void RpcClient::Lose(const Error& why) {
  error_ = why;
  state_ = State::kLost;
  zeros_at_ = Instant();
  FailAll(why);
}

void RpcClient::Begin(Instant now) {
  state_ = State::kGreeting;
  has_version_ = false;
  greeted_ = now;
  zeros_at_ = now + kGreetingWait;
  out_size_ = in_size_ = skip_ = 0;
  out_[out_size_++] = 0;
}

// No version came back: the far end is in a session of somebody before us.
void RpcClient::Greet(Instant now) {
  if (now < zeros_at_ || out_size_ != 0) {
    return;
  }
  std::fill_n(out_.begin(), kZeros, uint8_t{0});
  out_size_ = kZeros;
  zeros_at_ = now + kZerosPeriod;
  error_ = Error{ErrorCode::kTimeout, "the HSM's side does not answer the greeting"};
}

bool RpcClient::Flush() {
  if (out_size_ == 0) {
    return false;
  }
  const uint32_t written = link_.Write(std::span(out_).first(out_size_));
  std::copy(out_.begin() + written, out_.begin() + out_size_, out_.begin());
  SecureZero(std::span(out_).subspan(out_size_ - written, written));
  out_size_ -= written;
  return written != 0 && out_size_ != 0;
}

bool RpcClient::Poll(Instant now) {
  const bool has_bytes = ReadSome(now);
  if (state_ == State::kGreeting) {
    Greet(now);
  }
  return Flush() || has_bytes;
}

bool RpcClient::ReadSome(Instant now) {
  const uint32_t room = static_cast<uint32_t>(in_.size()) - in_size_;
  // Also where nothing is expected: it is how a link learns that it is connected.
  const uint32_t count = link_.Read(std::span(in_).subspan(in_size_, room));
  if (!link_.connected()) {
    if (state_ == State::kOpen || state_ == State::kGreeting) {
      Lose(Error{ErrorCode::kUnreachable, "the connection to the HSM is gone"});
    }
    state_ = State::kAway;
    in_size_ = 0;
    return false;
  }
  if (state_ == State::kAway) {
    Begin(now);  // what was read belongs to this connection: it can only be early
  }
  if (state_ == State::kLost) {
    // Only a new connection helps: ask the far end to end this one.
    if (now >= zeros_at_ && out_size_ == 0) {
      std::fill_n(out_.begin(), kZeros, uint8_t{0});
      out_size_ = kZeros;
      zeros_at_ = now + kZerosPeriod;
    }
    in_size_ = 0;
    return count != 0;
  }
  in_size_ += count;
  TakeFrames();
  return count == room;
}

void RpcClient::TakeFrames() {
  uint32_t at = 0;
  while (state_ == State::kGreeting || state_ == State::kOpen) {
    if (!has_version_) {
      if (at == in_size_) {
        break;
      }
      if (in_[at++] != 0) {
        Lose(Error{ErrorCode::kUnsupported, "the HSM's side speaks another protocol or version"});
        return;
      }
      has_version_ = true;
      state_ = State::kOpen;
      error_ = ErrorCode::kOk;
      continue;
    }
    const auto rest = std::span<const uint8_t>(in_).subspan(at, in_size_ - at);
    if (rest.size() < kFrameHeader) {
      break;
    }
    ByteReader header(rest);
    const uint32_t code = header.U32Be();
    const uint32_t options = header.U32Be();
    const uint32_t size = header.U32Be();
    if (options > kOptionsMax || size > kRpcMessageMax - kOptionsMax) {
      Lose(Error{ErrorCode::kMalformed, "the HSM's answer is too large"});
      return;
    }
    if (rest.size() < kFrameHeader + options + size) {
      break;
    }
    at += kFrameHeader + options + size;
    Answer(rest.subspan(kFrameHeader + options, size), code);
  }
  if (state_ == State::kGreeting || state_ == State::kOpen) {
    std::copy(in_.begin() + at, in_.begin() + in_size_, in_.begin());
    SecureZero(std::span(in_).subspan(in_size_ - at, at));
    in_size_ -= at;
  }
}

void RpcClient::Answer(std::span<const uint8_t> message, uint32_t code) {
  const auto used = std::span(forgotten_).first(forgotten_count_);
  if (const auto found = std::ranges::find(used, code); found != used.end()) {
    const auto at = static_cast<uint32_t>(found - used.begin());
    forgotten_[at] = forgotten_[forgotten_count_ - 1];
    forgotten_since_[at] = forgotten_since_[--forgotten_count_];
    return;
  }
  Call* call = calls_.front();
  if (call == nullptr || call->code != code) {
    Lose(Error{ErrorCode::kMalformed, "the HSM answered what was not asked"});
    return;
  }
  if (const auto decoded = DecodeAnswer(message, *call); !decoded.ok()) {
    Lose(decoded.error());
    return;
  }
  calls_.Remove(*call);
  call->is_pending = false;
  call->listener->OnCall(*call);
}

}  // namespace gh::crypto::pkcs11
