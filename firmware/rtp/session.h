// What is held for one dialog's media: its streams, and for each end of a stream what was agreed,
// where its packets really come from, and our port and keys towards it.
#pragma once

#include <array>
#include <cstdint>

#include "firmware/rtp/dtls.h"
#include "firmware/rtp/ice.h"
#include "firmware/rtp/ice_agent.h"
#include "firmware/rtp/limits.h"
#include "firmware/rtp/mux.h"
#include "firmware/rtp/path.h"
#include "firmware/rtp/turn_client.h"
#include "firmware/sdp/description.h"
#include "firmware/sip/media_anchor.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/hash_table.h"

namespace gh::rtp {

struct Session;

// Of End::own.
constexpr uint32_t OwnIndexOf(Suite suite) { return KeySizeOf(suite) == 32 ? 0 : 1; }

// The two ends of a stream, as the two sides of the dialog: who began it, who was called.
inline constexpr uint32_t kCaller = 0;
inline constexpr uint32_t kCallee = 1;
constexpr uint32_t OtherEnd(uint32_t end) { return 1 - end; }

// What an end that speaks DTLS-SRTP with us said of it.
struct WebTerms {
  bool has_ice = false;
  uint64_t ice_peer = 0;  // hash of its user fragment
  Fingerprint fingerprint;
  enum class Setup : uint8_t { kEither, kActive, kPassive } setup = Setup::kEither;
};

// An end whose DTLS-SRTP ends here: a browser. Its ICE checks are answered, and nothing passes
// before its keys have come.
struct Web {
  WebTerms now;
  WebTerms offered;
  IceCredentials own;
  Dtls::Handshake* handshake = nullptr;
  bool is_client = false;   // of DTLS: we say hello
  bool has_role = false;    // is_client is agreed
  bool is_keyed = false;    // `now.master` and `own` of its end are DTLS's
  bool has_failed = false;  // with this certificate there will be no keys
  FixedString<16> mid;      // as it named the section
};

// An end with which we speak ICE as a full agent.
struct Ice {
  IceAgent agent;
  IceTerms offered;            // and not answered yet
  TurnClient* turn = nullptr;  // whose relayed address is a candidate of ours
  bool is_relayed = false;     // packets go by it
};

// What an end said of a stream in a description.
struct Terms {
  net::Endpoint rtp;
  net::Endpoint rtcp;
  bool is_set = false;
  bool rtcp_mux = false;
  bool is_feedback = false;   // RTP/AVPF and its kin
  bool is_encrypted = false;  // under keys it told us
  bool is_required = false;   // SRTP's profile: not taken without
  bool uses_mux = false;      // it comes and goes by the shared port
  bool is_dtls = false;       // keys come by DTLS, with us
  bool sends = false;         // by its direction
  bool receives = false;
  Suite suite = Suite::kAesCm128_80;
  uint32_t crypto_tag = 1;
  sdp::Profile profile = sdp::Profile::kRtp;
  Master master;

  void TakeFrom(Terms& other);
};

struct End {
  uint16_t port = 0;  // ours, of RTP; RTCP's is the next. 0: none
  Terms now;
  Terms offered;                                         // and not answered yet
  std::array<net::Endpoint, kComponentCount> seen = {};  // latched; port 0: not yet
  struct Rival {                                         // of what is latched
    Instant since;        // it sends, and nothing came from there; 0: there is none
    uint64_t passed = 0;  // from there, then
  };
  std::array<Rival, kComponentCount> rivals;
  // Ours, that it decrypts with: for keys of 32 bytes, and of 16.
  std::array<Master, 2> own;
  bool has_own = false;
  bool sends_encrypted = false;  // what we send it is encrypted, by `own` and this suite
  Suite own_suite = Suite::kAesCm128_80;
  Mux* mux = nullptr;  // of terms that are uses_mux
  Web* web = nullptr;  // of terms that are is_dtls
  Ice* ice = nullptr;  // null: it is lite, or none

  bool speaks_dtls() const { return now.is_dtls && web != nullptr; }
  bool has_agent() const { return ice != nullptr && ice->agent.is_started(); }
  bool speaks_ice() const { return has_agent() || (speaks_dtls() && web->now.has_ice); }
  // That has its relayed address for us.
  TurnClient* turn() const { return ice != nullptr ? ice->turn : nullptr; }
  // The way its packets go where that is not straight from our port.
  TurnClient* via() const { return has_agent() && ice->is_relayed ? ice->turn : nullptr; }
  bool awaits_keys() const { return now.is_dtls && (web == nullptr || !web->is_keyed); }
};

struct Stream {
  Session* session = nullptr;
  uint8_t index = 0;        // of its m= section
  bool passes_ice = false;  // the parties' own, with our ports as the last candidates
  uint32_t clock_rate = 0;
  std::array<End, 2> ends;
  std::array<Path, 2> paths;  // by the end that sends
};

struct Session {
  uint64_t key = 0;         // over Call-ID and the caller's tag
  uint64_t id = 0;          // for operators
  uint64_t call = 0;        // for the engine
  FixedString<64> call_id;  // may be cut
  HashNode node;
  std::array<sip::MediaSide, 2> sides;
  std::array<Stream*, sdp::kMediaMax> streams = {};  // by m= section
  uint8_t stream_count = 0;
  bool is_confirmed = false;   // answered
  bool has_web = false;        // DTLS-SRTP of a side ends here, and BUNDLE with it
  bool is_terminated = false;  // encryption is agreed with us, not end to end
  // Who made the offer of the INVITE, UPDATE, PRACK in hand; -1: nobody.
  std::array<int8_t, 3> offerer = {-1, -1, -1};
  Instant began_at;
  Instant active_at;
  struct Activity {  // of the end that sends
    uint64_t packets = 0;
    Instant heard_at;
    Instant awaited_at;  // it has sent nothing since, and was to
    bool is_told = false;
  };
  std::array<Activity, 2> activity;
};

}  // namespace gh::rtp
