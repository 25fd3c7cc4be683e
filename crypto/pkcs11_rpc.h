// Cryptoki over p11-kit's remoting protocol (`p11-kit remote`, `p11-kit server`), as a state
// machine on a byte stream that may vanish and come back.
//
// The wire (p11-kit's rpc-message.h and rpc-transport.c; big-endian):
//
//   stream:   version byte (0) each way, then frames
//   frame:    u32 code | u32 options size | u32 message size | options | message
//   message:  u32 function | u32 size, signature text | arguments as the signature says
//
// The far end serves one call after the other and answers in order; a code says to which call an
// answer belongs. A far end may still be in a session with our former life (a machine that
// restarts does not end the host's side of a virtio port): it does not answer our version byte.
// Zeros end such a session, whatever it waits for: they are an empty message, which p11-kit refuses
// by ending. A new one then begins on the host's side, if whoever runs it there starts it again.
//
// Nothing the far end says is trusted: every size is limited before it is used, and what does not
// parse ends the connection.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/cryptoki.h"
#include "hal/rt/list.h"
#include "hal/rt/result.h"
#include "hal/token_link.h"

namespace gh::crypto::pkcs11 {

inline constexpr uint32_t kRpcMessageMax = 4096;
inline constexpr uint32_t kRpcCallsMax = 8;

class RpcClient final : public Provider {
 public:
  // `link` stays; it is read by Poll alone.
  explicit RpcClient(hal::TokenLink& link) : link_(link) {}
  RpcClient(const RpcClient&) = delete;
  RpcClient& operator=(const RpcClient&) = delete;

  bool Start(Call& call, Instant now) override;
  void Forget(Call& call) override;
  bool Poll(Instant now) override;
  bool is_connected() const override { return state_ == State::kOpen; }
  Instant waiting_since() const override;
  void Reset(const Error& why) override;

  const Error& error() const { return error_; }

 private:
  enum class State : uint8_t { kAway, kGreeting, kOpen, kLost };

  void Begin(Instant now);
  void Lose(const Error& why);
  void FailAll(const Error& why);
  void Greet(Instant now);
  bool Flush();
  bool ReadSome(Instant now);
  void TakeFrames();
  void Answer(std::span<const uint8_t> message, uint32_t code);

  hal::TokenLink& link_;
  State state_ = State::kAway;
  Error error_ = ErrorCode::kOk;
  Instant greeted_;
  Instant zeros_at_;
  bool has_version_ = false;
  uint32_t next_code_ = 0x10;
  List<Call, &Call::node> calls_;  // under way, in order
  // Codes of calls that were forgotten before they were answered.
  std::array<uint32_t, kRpcCallsMax> forgotten_ = {};
  std::array<Instant, kRpcCallsMax> forgotten_since_ = {};
  uint32_t forgotten_count_ = 0;
  uint32_t skip_ = 0;  // bytes of options still to be dropped
  std::array<uint8_t, 2 * kRpcMessageMax> out_ = {};
  uint32_t out_size_ = 0;
  std::array<uint8_t, kRpcMessageMax + 12> in_ = {};
  uint32_t in_size_ = 0;
};

// Pure: the message of a call, and what an answer's message says; for tests and the fuzzer.
// kTooLarge: the arguments do not fit `out`.
Result<size_t> EncodeCall(const Call& call, std::span<uint8_t> out);
// kMalformed: it is no answer to `call`.
Result<void> DecodeAnswer(std::span<const uint8_t> message, Call& call);

}  // namespace gh::crypto::pkcs11
