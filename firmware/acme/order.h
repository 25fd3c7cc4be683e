// One certificate from an ACME authority (RFC 8555), as a state machine without I/O: from the
// directory to the chain.
//
//   directory -> nonce -> account -> order -> each authorisation: challenge, ready, poll ->
//   finalize -> poll -> chain
//
// In: what is wanted (names, CSR), answers to the requests it makes, time. Out, through OrderPort:
// requests, the challenge to answer while an authorisation is pending, the end. It keeps nothing
// between orders: with the same key the authority finds the same account.
//
// Fault model: the authority's server is authenticated by TLS and still only believed within
// bounds: sizes, counts, polls, all of it within kOrderSeconds. URLs it gives have to be https. A
// request that got no answer is made again, a few times in an order.
// Whatever goes wrong ends the order with words, the authority's own where it has some.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/software_key.h"
#include "crypto/x509_writer.h"
#include "firmware/acme/json.h"
#include "firmware/acme/jws.h"
#include "firmware/acme/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::acme {

enum class Challenge : uint8_t { kHttp, kTlsAlpn };

struct Ask {
  const char* method = "GET";
  std::string_view url = {};
  const char* accept = "*/*";
  std::span<const uint8_t> body = {};  // empty: none
};

// The fields of a response that matter, and its body.
struct Answer {
  uint32_t status = 0;
  std::string_view nonce;
  std::string_view location;
  int64_t retry_after_s = 0;  // 0: not said
  std::string_view body;
};

// What proves a name: the text at /.well-known/acme-challenge/<token>, or its hash in a certificate
// for tls-alpn-01.
struct Proof {
  Challenge challenge = Challenge::kHttp;
  std::string_view name;  // a DNS name, or the text of an address
  std::string_view token;
  std::string_view key_authorization;
};

class OrderPort {
 public:
  // One at a time; answered by Order::OnAnswer or OnNoAnswer, later. An error ends the order.
  virtual Result<void> Send(const Ask& ask) = 0;
  // From now on the proof can be fetched; until Withdraw.
  virtual Result<void> Offer(const Proof& proof) = 0;
  virtual void Withdraw() = 0;
  // The chain as PEM, or words: in order.fault(). Always the last call.
  virtual void OnOrderEnd(Result<std::string_view> chain) = 0;

 protected:
  ~OrderPort() = default;
};

struct Wanted {
  std::string_view directory;
  std::string_view contact;  // a mail address; empty: none
  bool terms_agreed = false;
  Challenge challenge = Challenge::kHttp;
  Binding binding;                                 // name empty: none
  std::span<const crypto::AlternativeName> names;  // stay until the end
  std::span<const uint8_t> request;                // PKCS #10, DER; stays until the end
};

class Order {
 public:
  // `key`: the account's. `room`: for what is sent.
  Order(OrderPort& port, crypto::SoftwareKey& key, std::span<uint8_t> room)
      : port_(port), key_(key), room_(room) {}
  Order(const Order&) = delete;
  Order& operator=(const Order&) = delete;

  // The end is never told from inside Start.
  Result<void> Start(const Wanted& wanted, Instant now);
  void OnAnswer(const Answer& answer, Instant now);
  void OnNoAnswer(const Error& error, Instant now);
  // When timer() is due.
  void OnTimer(Instant now);
  Instant timer() const { return timer_; }
  void Cancel();

  bool is_active() const { return state_ != State::kIdle; }
  const char* step() const;                                 // for status: "proving names"
  std::string_view fault() const { return fault_.view(); }  // of the last order
  // From when on the authority wants to be asked again; 0 s: it does not say.
  int64_t retry_after_s() const { return retry_after_s_; }
  std::string_view account() const { return account_.view(); }

 private:
  enum class State : uint8_t {
    kIdle,
    kDirectory,
    kNonce,
    kAccount,
    kOrder,
    kAuthorization,  // which challenges there are
    kReady,          // the challenge may be fetched now
    kProving,        // polled until it was
    kFinalize,
    kIssuing,  // polled until the certificate is there
    kChain,
  };
  using Url = FixedString<kUrlMax>;

  Result<void> Advance(const Answer& answer, Instant now);
  Result<void> OnDirectory(const Answer& answer);
  Result<void> OnNonce(const Answer& answer);
  Result<void> OnAccount(const Answer& answer);
  Result<void> OnOrder(const Answer& answer);
  Result<void> OnAuthorization(const Answer& answer, Instant now);
  Result<void> OnProving(const Answer& answer, Instant now);
  Result<void> ChooseChallenge();
  Result<void> CheckName();
  Result<void> NextAuthorization();
  Result<void> OnIssuing(const Answer& answer, Instant now);
  Result<void> PollLater(const Answer& answer, Instant now);
  Result<void> Post(State next, std::string_view url, std::string_view payload);
  Result<void> PostAccount();
  Result<void> PostOrder();
  Result<void> PostFinalize();
  Result<void> SendSigned();
  Result<void> SendAgain();
  Result<void> TakeUrl(Json::Node node, const char* what, Url& out);
  bool WriteName(const crypto::AlternativeName& name, ByteWriter& out) const;
  void TakeProblem(const Answer& answer);
  void Fail(const Error& error);
  void StopProving();

  OrderPort& port_;
  crypto::SoftwareKey& key_;
  std::span<uint8_t> room_;
  Wanted wanted_;
  State state_ = State::kIdle;
  Instant timer_ = Instant::Max();
  Instant deadline_;
  Json json_;
  Url directory_;
  Url new_nonce_;
  Url new_account_;
  Url new_order_;
  Url account_;
  Url order_;
  Url finalize_;
  Url certificate_;
  Url authorization_;
  Url challenge_;
  std::array<Url, kNamesMax> authorizations_;
  uint32_t authorization_count_ = 0;
  uint32_t authorization_at_ = 0;
  FixedString<kNonceMax> nonce_;
  FixedString<kTokenMax> token_;
  FixedString<253> name_;
  FixedString<kKeyAuthorizationMax> key_authorization_;
  FixedString<kFaultMax> fault_;
  bool is_proving_ = false;
  uint32_t poll_count_ = 0;
  uint32_t nonce_retries_ = 0;
  uint32_t no_answer_count_ = 0;
  bool sends_again_ = false;  // when the timer is due
  int64_t retry_after_s_ = 0;
  // What is sent, to be signed again with another nonce.
  Url sent_url_;
  State after_nonce_ = State::kIdle;
  std::array<uint8_t, kPayloadBytesMax> payload_;
  size_t payload_size_ = 0;
};

}  // namespace gh::acme
