// One token of an HSM as its users see it: opened, logged in, with sessions kept, doing one thing
// per request: find a key, generate, sign, encrypt, decrypt, wrap, unwrap, read a public key,
// destroy.
//
// Requests wait in a bounded queue for a session; each has a deadline. A request that is over
// before its answer came is told so at once, and its session is used again when the answer has
// come: nobody waits for a slow token. A token whose answer is overdue by kAnswerMax loses its
// connection. What the token says is checked; a PIN that it refuses is not tried again before the
// settings change, for tokens lock themselves.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/cryptoki.h"
#include "crypto/signing_key.h"
#include "hal/rt/arena.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/list.h"
#include "hal/rt/secret.h"

namespace gh::crypto::pkcs11 {

inline constexpr uint32_t kSessionsMax = 4;
inline constexpr uint32_t kTokenQueueMax = 64;
inline constexpr uint32_t kPublicKeyMax = 640;  // DER of SubjectPublicKeyInfo
inline constexpr Duration kAnswerMax = Duration::Seconds(10);
inline constexpr Duration kGenerateMax = Duration::Seconds(120);  // RSA 4096 takes its time

enum class TokenWork : uint8_t {
  kFindPrivate,   // label -> handle, key type, whether it is protected
  kFindSecret,    // label -> handle, whether it is protected
  kReadPublic,    // label -> output: SubjectPublicKeyInfo; key type, bits
  kGeneratePair,  // label, key type, bits -> handle of the private key
  kGenerateAes,   // label -> handle of an AES-256 key that encrypts, decrypts and wraps
  kSign,          // handle, mechanism, input -> output
  kEncrypt,
  kDecrypt,
  kWrap,     // handle of the key that wraps, wrapped_key, mechanism -> output
  kUnwrap,   // handle of the key that unwraps, mechanism, input (PKCS #8); label, key type
             // -> handle of a private key that signs and can not be taken out again
  kDestroy,  // handle
  kCheck,    // the token's state
};

class TokenRequest;
class TokenListener {
 public:
  virtual void OnTokenDone(TokenRequest& request) = 0;

 protected:
  ~TokenListener() = default;
};

// Belongs to whoever asks, stays in place while it is pending.
class TokenRequest {
 public:
  TokenWork work = TokenWork::kCheck;
  FixedString<kLabelMax> label;
  KeyType key_type = KeyType::kEcP256;
  uint32_t bits = 0;
  uint64_t handle = 0;
  uint64_t wrapped_key = 0;
  Mechanism mechanism;  // its bytes: `vector`
  std::array<uint8_t, 16> vector = {};
  std::array<uint8_t, kInputMax> input = {};
  uint32_t input_size = 0;
  Instant deadline;
  TokenListener* listener = nullptr;

  // Answered.
  bool ok = false;
  Error error = ErrorCode::kOk;
  uint64_t value = 0;         // what Cryptoki returned, when that was why
  bool is_protected = false;  // sensitive and not extractable
  std::array<uint8_t, kPublicKeyMax> output = {};
  uint32_t output_size = 0;
  std::span<const uint8_t> out() const { return {output.data(), output_size}; }

  bool is_pending = false;
  ListNode node;         // the token's queue
  int32_t session = -1;  // the token's
};

enum class TokenState : uint8_t { kAway, kOpening, kReady, kFailed };

struct TokenSettings {
  FixedString<32> serial;  // of the token, or its label; empty: the first that has been set up
  FixedString<kPinMax> pin;
};

class Token final : public CallListener {
 public:
  Token(Arena& arena, Provider& provider);
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  // Closes what is open; Poll opens anew.
  void Configure(const TokenSettings& settings);
  // Not used any more: nothing is opened until Configure.
  void Disable();
  // True: more is waiting.
  bool Poll(Instant now);

  TokenState state() const { return state_; }
  const Error& error() const { return error_; }
  const TokenInfo& info() const { return info_; }
  // The token says of itself that it is at fault, or answers every call with a device's errors.
  bool hardware_failed() const { return hardware_failed_; }
  bool pin_refused() const { return pin_refused_; }
  uint64_t opened_count() const { return opened_count_; }
  uint32_t queued_count() const { return queue_.size(); }
  uint32_t busy_count() const;

  // Pending, unless it failed at once (kUnreachable, kExhausted): the listener is not called then.
  bool Start(TokenRequest& request, Instant now);
  void Cancel(TokenRequest& request);  // the listener is not called

  void OnCall(Call& call) override;

 private:
  struct Session {
    Call call;
    uint64_t handle = 0;
    bool is_open = false;
    bool is_busy = false;
    bool is_waiting_to_start = false;  // the provider took no call
    TokenRequest* request = nullptr;   // null while busy: nobody waits for it any more
    TokenWork work = TokenWork::kCheck;
    FixedString<kLabelMax> label;
    KeyType key_type = KeyType::kEcP256;
    uint32_t bits = 0;
    uint64_t key = 0;
    uint64_t wrapped_key = 0;
    Mechanism mechanism;
    std::array<uint8_t, 16> vector = {};
    std::array<uint8_t, kInputMax> input = {};
    uint32_t input_size = 0;
    uint8_t step = 0;
    Template first;
    Template second;
  };
  enum class Opening : uint8_t { kInitialise, kSlots, kInfo, kSession, kLogIn };

  void Fail(const Error& why, bool retry);
  void Drop(const Error& why);
  void StartOpening(Instant now);
  void AskOpening(Instant now);
  void OnOpening(Call& call);
  bool IsWanted(const TokenInfo& info) const;
  void Assign(Instant now);
  void Ask(Session& session, Instant now);
  void AskFind(Session& session, uint64_t object_class);
  void AskGenerate(Session& session);
  void AskCrypt(Session& session);
  void AskWrap(Session& session);
  void OnSession(Session& session);
  bool OnFound(Session& session);
  void End(Session& session, const Error& error, uint64_t value);
  void Finish(TokenRequest& request, const Error& error, uint64_t value);
  void CheckDeadlines(Instant now);

  Provider& provider_;
  TokenSettings settings_;
  bool is_enabled_ = false;
  TokenState state_ = TokenState::kAway;
  Error error_ = ErrorCode::kOk;
  TokenInfo info_;
  bool hardware_failed_ = false;
  bool pin_refused_ = false;
  Instant now_;
  Instant retry_at_;
  Opening opening_ = Opening::kInitialise;
  bool opening_waits_ = false;
  Call open_call_;
  std::array<uint64_t, kHandlesMax> slots_ = {};
  uint32_t slot_count_ = 0;
  uint32_t slot_at_ = 0;
  uint32_t session_at_ = 0;
  uint64_t opened_count_ = 0;
  std::span<Session> sessions_;
  List<TokenRequest, &TokenRequest::node> queue_;
};

// --- Signatures: what TLS and X.509 call them, and how Cryptoki makes them -----------------------

// Mechanism and input of C_Sign. kUnsupported: not a scheme of such a key.
Result<void> PrepareSignature(KeyType type, SignatureScheme scheme, std::span<const uint8_t> digest,
                              TokenRequest& request);
// ECDSA: from r || s to DER; RSA: as it is. kUnauthentic: not a signature of such a key.
Result<size_t> FinishSignature(KeyType type, uint32_t bits, std::span<const uint8_t> raw,
                               std::span<uint8_t> out);

struct PublicKeyInfo {
  KeyType type = KeyType::kEcP256;
  uint32_t bits = 0;
  uint32_t size = 0;  // bytes of `der`
};
// SubjectPublicKeyInfo of what a token says of a public key: EC by point, or RSA by its numbers.
Result<PublicKeyInfo> BuildPublicKey(const Call& attributes, std::span<uint8_t> der);
// "EC P-256", "RSA".
const char* KeyTypeName(KeyType type);

}  // namespace gh::crypto::pkcs11
