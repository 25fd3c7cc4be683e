// A description written anew with the addresses, ports and keys of a relay in it. What the relay
// does not change (codecs, bandwidths, timing, unknown attributes) is copied as it came.
#pragma once

#include <span>
#include <string_view>

#include "firmware/sdp/candidate.h"
#include "firmware/sdp/description.h"
#include "hal/rt/bytes.h"

namespace gh::sdp {

// One a=crypto line of ours.
struct CryptoLine {
  uint32_t tag = 1;
  std::string_view suite;
  std::string_view key;  // base64
};

// What becomes of one section. By default it is copied as it came.
struct MediaEdit {
  enum class Kind : uint8_t { kCopy, kRelay, kRefuse };  // kRefuse: port 0
  Kind kind = Kind::kCopy;
  net::Endpoint at;        // where its media is to go
  uint16_t rtcp_port = 0;  // 0: none is said; the next one is meant, or the same with rtcp-mux
  Profile profile = Profile::kRtp;                         // of RTP; others keep their protocol
  enum class Feedback : uint8_t { kAsItCame, kOn, kOff };  // RTP/AVPF or AVP; kOff: for phones
  Feedback feedback = Feedback::kAsItCame;
  bool drops_dtls = false;  // fingerprint, setup, tls-id
  bool drops_mux = false;
  bool adds_mux = false;
  uint32_t crypto_count = 0;
  std::array<CryptoLine, kCryptoMax> crypto;  // in place of those it had
  bool replaces_crypto = false;
  std::string_view ice_user;  // empty: no ICE of ours
  std::string_view ice_password;
  std::span<const Candidate> candidates;  // ours, as a full agent; none: ICE lite with `at` alone
  bool keeps_ice = false;                 // its own, and `at` as the last candidate
  std::string_view fingerprint;           // "sha-256 AB:CD..." of ours; empty: none
  std::string_view setup;                 // beside it
  std::string_view mux;                   // the value of ours; empty: none
  std::string_view mid;                   // where it had none; empty: none
  bool is_bundle_only = false;            // it has no transport but that of its group (RFC 9143 6)
};

// What becomes of the session's part.
struct SessionEdit {
  bool drops_bundle = false;  // each section has a transport of its own
  std::string_view bundle;    // mids of the group in its place; empty: none
};

// `edits`: one for each section. `origin`: the address in o=; none: as it came. Fails by
// running out of room (`out` says so).
void Rewrite(const Description& description, std::span<const MediaEdit> edits,
             const net::IpAddress& origin, ByteWriter& out, const SessionEdit& session = {});

}  // namespace gh::sdp
