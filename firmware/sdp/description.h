// A session description (RFC 8866) indexed in place: what a relay has to know of it, and where.
//
// Parse() reads the lines once, checks their form and limits, and notes per m= section what says
// where media goes and how it is protected: c=, a=rtcp (RFC 3605), a=rtcp-mux (RFC 5761), a=crypto
// (RFC 4568), ICE (RFC 8839), DTLS (RFC 8842), BUNDLE (RFC 9143), direction. Codecs are not looked
// at but for the clock of the first one. Views point into the text, which must outlive them.
//
// Fault model: the text is hostile. No recursion, no allocation, one pass; anything that is not SDP
// or beyond the limits is an error that says why.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/sdp/limits.h"
#include "hal/rt/result.h"
#include "net/address.h"

namespace gh::sdp {

struct Line {
  char type = 0;
  uint16_t offset = 0;  // of the value, behind "x="
  uint16_t size = 0;    // of the value, without the line's end
};

enum class Direction : uint8_t { kSendRecv, kSendOnly, kRecvOnly, kInactive };

struct Crypto {
  uint32_t tag = 0;
  std::string_view suite;   // "AES_CM_128_HMAC_SHA1_80"
  std::string_view key;     // base64 behind "inline:", without lifetime and MKI
  bool has_mki = false;     // of more than one key, or an MKI: not for us
  bool has_params = false;  // session parameters (UNENCRYPTED_SRTP, KDR ...): not for us
};

// Ours, of a section: media on a shared port (firmware/rtp/mux.h). Never passed on.
inline constexpr std::string_view kMuxAttribute = "x-gatehouse-mux";

// How a section's media is carried, by its protocol.
enum class Profile : uint8_t {
  kRtp,       // RTP/AVP, RTP/AVPF
  kSrtp,      // RTP/SAVP, RTP/SAVPF
  kDtlsSrtp,  // UDP/TLS/RTP/SAVP, UDP/TLS/RTP/SAVPF
  kUdp,       // another protocol over UDP: UDP/..., udptl
  kOther,     // TCP and what else is not ours to carry
};

struct Media {
  uint16_t line = 0;  // the m= line
  uint16_t line_end = 0;
  std::string_view type;      // "audio"
  std::string_view protocol;  // "RTP/AVP"
  std::string_view formats;   // "0 8 101"
  Profile profile = Profile::kOther;
  bool is_feedback = false;  // RTP/AVPF, RTP/SAVPF
  uint16_t port = 0;
  net::IpAddress address;  // its own c= or the session's; none: unknown (a name), or port is 0
  net::Endpoint rtcp;      // a=rtcp; port 0: not said. Address none: that of the media
  bool has_connection = false;
  bool is_held = false;  // c=0.0.0.0 or ::, RFC 2543's hold; with ICE it says nothing
  bool rtcp_mux = false;
  bool has_ice = false;
  bool has_fingerprint = false;
  bool is_bundled = false;      // its mid is in a BUNDLE group, and not the first of it
  bool is_bundle_only = false;  // and its port 0 in an offer refuses nothing (RFC 9143 6)
  Direction direction = Direction::kSendRecv;
  uint32_t clock_rate = 0;  // of its first format; 0: unknown
  uint8_t crypto_count = 0;
  std::array<Crypto, kCryptoMax> crypto;
  std::string_view mid;
  std::string_view ice_user;
  std::string_view ice_password;
  std::string_view fingerprint;  // "sha-256 AB:CD..."; the first of several
  std::string_view setup;        // "actpass"; empty: not said
  std::string_view mux;          // a=x-gatehouse-mux: between the two sides of a traversal zone
};

struct Description {
  std::string_view text;
  uint16_t line_count = 0;
  uint16_t media_count = 0;
  std::array<Line, kLinesMax> lines;
  std::array<Media, kMediaMax> media;
  uint16_t session_end = 0;  // the first line behind the session's part
  net::IpAddress address;    // of the session's c=; none: it has none, or a name
  bool has_connection = false;
  bool has_ice = false;
  bool is_ice_lite = false;
  bool has_fingerprint = false;
  Direction direction = Direction::kSendRecv;
  std::string_view ice_user;
  std::string_view ice_password;
  std::string_view fingerprint;
  std::string_view setup;
  std::string_view bundle;  // mids of the first BUNDLE group

  std::string_view Value(const Line& line) const { return text.substr(line.offset, line.size); }
  // With "x=".
  std::string_view Whole(const Line& line) const {
    return text.substr(line.offset - 2u, line.size + 2u);
  }
  std::span<const Media> sections() const { return {media.data(), media_count}; }
};

// kMalformed, kTooLarge.
Result<void> Parse(std::string_view text, Description& out);

// "name" or "name:value" of an a= line.
struct Attribute {
  std::string_view name;
  std::string_view value;
};
Attribute SplitAttribute(std::string_view value);
Profile ProfileOf(std::string_view protocol);
const char* NameOf(Profile profile, bool is_feedback);  // "RTP/SAVPF"

}  // namespace gh::sdp
