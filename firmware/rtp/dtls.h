// DTLS-SRTP (RFC 5763, 5764): handshakes with browsers, from which keys for their media come.
//
// A handshake belongs to one end of a stream (its `owner`), is begun when that end's address is
// proven, and is given the end's datagrams. The peer's certificate has to have the fingerprint that
// its signalling said; who signed it means nothing. When keys are there the place is kept for a
// while, for a last flight that was lost has to be repeated, and then given back: a call that runs
// holds none. Our certificate is drawn at start, of a key that never leaves memory.
//
// Fault model: datagrams are hostile and may come from anybody; handshakes are bounded in number,
// time and memory; a place that only lingers is taken when there is no other.
#pragma once

#include <mbedtls/x509_crt.h>

#include <array>
#include <span>
#include <string_view>

#include "crypto/software_key.h"
#include "crypto/tls_endpoint.h"
#include "crypto/tls_session.h"
#include "firmware/rtp/limits.h"
#include "firmware/rtp/srtp.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/list.h"
#include "hal/rt/pool.h"
#include "hal/rt/timer_wheel.h"

namespace gh::rtp {

// RFC 7983: by a datagram's first byte.
constexpr bool IsDtls(uint8_t first) { return first >= 20 && first <= 63; }

// Of a peer's certificate, as signalling said it (RFC 8122).
struct Fingerprint {
  FixedString<8> hash;  // "sha-256"
  uint8_t size = 0;     // 0: none that we know
  std::array<uint8_t, 64> bytes = {};
  // "sha-256 AB:CD...". Empty where it is malformed or its hash is not known (or weak).
  static Fingerprint Of(std::string_view text);
  friend bool operator==(const Fingerprint& a, const Fingerprint& b) {
    return a.size == b.size && a.hash.view() == b.hash.view() && a.bytes == b.bytes;
  }
};

// Both directions' master keys, of suite kAesCm128_80.
struct MediaKeys {
  Master theirs;  // what they send is under it
  Master ours;
};

class DtlsUser {
 public:
  virtual void SendDtls(uint32_t owner, std::span<const uint8_t> datagram) = 0;
  // Once; the place is still held.
  virtual void OnDtlsKeys(uint32_t owner, MediaKeys& keys) = 0;
  // The place is given back. `why`: null when keys had come. `is_final`: the peer is not who
  // signalling said, and will not be; else it may try again.
  virtual void OnDtlsOver(uint32_t owner, const char* why, bool is_final) = 0;

 protected:
  ~DtlsUser() = default;
};

struct DtlsCounts {
  uint64_t begun = 0;
  uint64_t keyed = 0;
  uint64_t failed = 0;
  uint64_t refused = 0;  // no place
};

class Dtls final : private crypto::Identities, private crypto::PeerCheck {
 public:
  struct Parts {
    Arena& arena;
    TimerWheel& timers;
    crypto::Random& random;
    hal::Clock& clock;
  };
  struct Handshake final : crypto::TlsWire {
    size_t OnTlsOutput(std::span<const uint8_t> bytes) override {
      dtls->user_->SendDtls(owner, bytes);
      return bytes.size();
    }
    void OnTlsReady() override {}  // our key signs at once
    void OnTimeout() { dtls->OnTimer(*this); }

    Dtls* dtls = nullptr;
    uint32_t owner = 0;
    bool is_client = false;
    bool is_keyed = false;
    Fingerprint expected;
    crypto::TlsSession session;
    Instant end;  // of patience, or of lingering
    Timer timer;
    ListNode node;  // in lingering_, once keyed
  };

  Dtls(const Parts& parts, uint32_t handshake_count);
  Dtls(const Dtls&) = delete;
  Dtls& operator=(const Dtls&) = delete;
  ~Dtls();

  void SetUser(DtlsUser& user) { user_ = &user; }
  // Draws key and certificate, once. Before it nothing begins.
  Result<void> Prepare();
  bool is_ready() const { return !fingerprint_.view().empty(); }
  std::string_view fingerprint() const { return fingerprint_.view(); }  // for a=fingerprint

  // Null: no place. As a client our hello leaves within the call.
  Handshake* Begin(uint32_t owner, bool is_client, const Fingerprint& expected);
  // One of its peer's datagrams. The handshake may be over when it returns.
  void Take(Handshake& handshake, std::span<const uint8_t> datagram);
  void Drop(Handshake& handshake);  // without a word to the user

  const DtlsCounts& counts() const { return counts_; }
  uint32_t handshake_count() const { return places_.used_count(); }
  uint32_t handshake_capacity() const { return places_.capacity(); }
  static uint64_t ArenaBytes(uint32_t handshake_count);

 private:
  const crypto::Identity* Acquire(std::string_view) override { return &identity_; }
  void Release(const crypto::Identity&) override {}
  crypto::PeerVerdict Check(const mbedtls_x509_crt&, const crypto::PeerExpectation&) override {
    return crypto::PeerVerdict::kGood;  // its fingerprint is looked at when the session is open
  }
  Result<void> MakeCertificate();
  Handshake* TakePlace();
  bool Start(Handshake& handshake);
  void OnOpen(Handshake& handshake);
  const char* FaultOf(Handshake& handshake, MediaKeys& keys) const;
  void OnTimer(Handshake& handshake);
  void Arm(Handshake& handshake);
  void End(Handshake& handshake, const char* why, bool is_final = false);

  TimerWheel& timers_;
  crypto::Random& random_;
  hal::Clock& clock_;
  Heap heap_;
  crypto::TlsEnvironment environment_;
  crypto::SoftwareKey key_;
  mbedtls_x509_crt certificate_;
  crypto::Identity identity_;
  FixedString<112> fingerprint_;
  crypto::TlsEndpoint server_;
  crypto::TlsEndpoint client_;
  Pool<Handshake> places_;
  List<Handshake, &Handshake::node> lingering_;  // the oldest first
  std::span<uint8_t> scratch_;
  DtlsUser* user_ = nullptr;
  DtlsCounts counts_;
};

}  // namespace gh::rtp
