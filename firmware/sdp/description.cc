#include "firmware/sdp/description.h"

#include <charconv>

#include "hal/rt/ascii.h"

namespace gh::sdp {
namespace {

// The next word of `text`, which loses it and the space behind it.
std::string_view TakeWord(std::string_view& text) {
  const size_t end = text.find(' ');
  const std::string_view word = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return word;
}

bool ParseNumber(std::string_view text, uint32_t max, uint32_t& out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && stop == end && out <= max && !text.empty();
}

bool IsToken(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c > '~') {
      return false;
    }
  }
  return !text.empty();
}

// "IN IP4 192.0.2.1/127"; a name is well formed and no address.
bool ParseConnection(std::string_view value, net::IpAddress& out) {
  const std::string_view network = TakeWord(value);
  const std::string_view kind = TakeWord(value);
  if (network != "IN" || (kind != "IP4" && kind != "IP6") || !IsToken(value)) {
    return false;
  }
  const auto address = net::IpAddress::Parse(value.substr(0, value.find('/')));
  if (!address.ok()) {
    return true;
  }
  if (address->is_v4() != (kind == "IP4")) {
    return false;
  }
  out = *address;
  return true;
}

// "9001", "9001 IN IP4 192.0.2.1".
bool ParseRtcp(std::string_view value, net::Endpoint& out) {
  uint32_t port = 0;
  if (!ParseNumber(TakeWord(value), UINT16_MAX, port)) {
    return false;
  }
  out.port = static_cast<uint16_t>(port);
  return value.empty() || ParseConnection(value, out.address);
}

// "1 AES_CM_128_HMAC_SHA1_80 inline:base64|2^20|1:4 KDR=1".
bool ParseCrypto(std::string_view value, Crypto& out) {
  if (!ParseNumber(TakeWord(value), kCryptoTagMax, out.tag)) {
    return false;
  }
  out.suite = TakeWord(value);
  std::string_view keys = TakeWord(value);
  out.has_params = !value.empty();
  if (!IsToken(out.suite) || !keys.starts_with("inline:")) {
    return false;
  }
  keys.remove_prefix(7);
  out.has_mki = keys.find(';') != std::string_view::npos;
  const size_t bar = keys.find('|');
  out.key = keys.substr(0, bar);
  while (bar != std::string_view::npos && !keys.empty()) {
    keys = keys.substr(std::min(keys.find('|'), keys.size()));
    keys = keys.empty() ? keys : keys.substr(1);
    out.has_mki = out.has_mki || keys.substr(0, keys.find('|')).find(':') != std::string_view::npos;
  }
  return IsToken(out.key);
}

uint32_t StaticClockRate(uint32_t format) {
  // RFC 3551 6.
  if (format == 6) {
    return 16000;
  }
  if (format == 10 || format == 11) {
    return 44100;
  }
  if (format == 14 || (format >= 24 && format <= 34)) {
    return 90000;
  }
  return format < 20 ? 8000 : 0;
}

bool HasWord(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    if (TakeWord(list) == word) {
      return true;
    }
  }
  return false;
}

// What one line says, into the description.
class Reader {
 public:
  explicit Reader(Description& out) : out_(out) {}
  // An error's text, or null.
  const char* Take(const Line& line, uint16_t index);
  const char* Finish();

 private:
  const char* TakeOrder(const Line& line);
  const char* TakeOrigin(std::string_view value);
  const char* TakeMedia(std::string_view value, uint16_t index);
  const char* TakeConnection(std::string_view value);
  const char* TakeAttribute(const Attribute& attribute);
  bool TakeDirection(std::string_view name);
  void TakeRate(std::string_view value);

  Description& out_;
  Media* media_ = nullptr;
  bool has_origin_ = false;
};

const char* Reader::Take(const Line& line, uint16_t index) {
  const std::string_view value = out_.Value(line);
  if (const char* fault = TakeOrder(line)) {
    return fault;
  }
  switch (line.type) {
    case 'v':
      return value == "0" ? nullptr : "the version is not 0";
    case 'o':
      return TakeOrigin(value);
    case 'm':
      return TakeMedia(value, index);
    case 'c':
      return TakeConnection(value);
    case 'a':
      return TakeAttribute(SplitAttribute(value));
    default:
      return nullptr;
  }
}

// RFC 8866 9: v= is first, o= second, and each at most once; the session's lines never follow m=.
const char* Reader::TakeOrder(const Line& line) {
  const bool is_first = &line == out_.lines.data();
  if ((line.type == 'v') != is_first) {
    return "v= is not the first line, and it alone";
  }
  if ((line.type == 'o') != (&line == out_.lines.data() + 1)) {
    return "o= is not the second line, and it alone";
  }
  const bool is_of_session =
      std::string_view("osetrzuep").find(line.type) != std::string_view::npos;
  if (media_ != nullptr && is_of_session) {
    return "a line of the session within a media section";
  }
  if (std::string_view("vosiuepcbtrzkam").find(line.type) == std::string_view::npos) {
    return "an unknown type of line";
  }
  return nullptr;
}

const char* Reader::TakeOrigin(std::string_view value) {
  for (uint32_t i = 0; i < 3; ++i) {
    if (!IsToken(TakeWord(value))) {
      return "o= does not have its six fields";
    }
  }
  net::IpAddress ignored;
  has_origin_ = ParseConnection(value, ignored);
  return has_origin_ ? nullptr : "o= has no address";
}

const char* Reader::TakeMedia(std::string_view value, uint16_t index) {
  if (out_.media_count == kMediaMax) {
    return "too many media sections";
  }
  if (media_ != nullptr) {
    media_->line_end = index;
  } else {
    out_.session_end = index;
  }
  media_ = &out_.media[out_.media_count++];
  *media_ = {};
  media_->line = index;
  media_->direction = out_.direction;
  media_->type = TakeWord(value);
  const std::string_view port = TakeWord(value);
  media_->protocol = TakeWord(value);
  media_->formats = value;
  uint32_t number = 0;
  if (!IsToken(media_->type) || !IsToken(media_->protocol) || value.empty() ||
      !ParseNumber(port.substr(0, port.find('/')), UINT16_MAX, number)) {
    return "m= does not have its four fields";
  }
  media_->port = static_cast<uint16_t>(number);
  media_->profile = ProfileOf(media_->protocol);
  media_->is_feedback = media_->protocol.ends_with("F");
  uint32_t count = 0;
  for (std::string_view list = value; !list.empty(); ++count) {
    if (!IsToken(TakeWord(list)) || count == kFormatsMax) {
      return "a bad list of formats";
    }
  }
  const bool is_rtp = media_->profile < Profile::kUdp;
  if (is_rtp && ParseNumber(value.substr(0, value.find(' ')), 127, number)) {
    media_->clock_rate = StaticClockRate(number);
  }
  return nullptr;
}

const char* Reader::TakeConnection(std::string_view value) {
  net::IpAddress address;
  if (!ParseConnection(value, address)) {
    return "a bad connection line";
  }
  if (media_ == nullptr) {
    out_.has_connection = true;
    out_.address = address;
    return nullptr;
  }
  if (!media_->has_connection) {  // of several, for layers, the first
    media_->has_connection = true;
    media_->address = address;
  }
  return nullptr;
}

bool Reader::TakeDirection(std::string_view name) {
  Direction direction = Direction::kSendRecv;
  if (name == "sendonly") {
    direction = Direction::kSendOnly;
  } else if (name == "recvonly") {
    direction = Direction::kRecvOnly;
  } else if (name == "inactive") {
    direction = Direction::kInactive;
  } else if (name != "sendrecv") {
    return false;
  }
  (media_ != nullptr ? media_->direction : out_.direction) = direction;
  return true;
}

void Reader::TakeRate(std::string_view value) {
  const std::string_view format = TakeWord(value);
  const size_t slash = value.find('/');
  if (format != media_->formats.substr(0, media_->formats.find(' ')) ||
      slash == std::string_view::npos) {
    return;
  }
  const std::string_view rest = value.substr(slash + 1);
  uint32_t rate = 0;
  if (ParseNumber(rest.substr(0, rest.find('/')), 1'000'000, rate)) {
    media_->clock_rate = rate;
  }
}

const char* Reader::TakeAttribute(const Attribute& attribute) {
  const auto [name, value] = attribute;
  bool* const fingerprint = media_ != nullptr ? &media_->has_fingerprint : &out_.has_fingerprint;
  if (name == "fingerprint") {
    std::string_view& first = media_ != nullptr ? media_->fingerprint : out_.fingerprint;
    first = *fingerprint ? first : value;
    *fingerprint = true;
  } else if (name == "setup") {
    (media_ != nullptr ? media_->setup : out_.setup) = value;
  } else if (name == "ice-ufrag") {
    (media_ != nullptr ? media_->has_ice : out_.has_ice) = true;
    (media_ != nullptr ? media_->ice_user : out_.ice_user) = value;
  } else if (name == "ice-pwd") {
    (media_ != nullptr ? media_->ice_password : out_.ice_password) = value;
  } else if (TakeDirection(name)) {
    return nullptr;
  } else if (media_ == nullptr) {
    out_.is_ice_lite = out_.is_ice_lite || name == "ice-lite";
    if (name == "group" && value.starts_with("BUNDLE ") && out_.bundle.empty()) {
      out_.bundle = value.substr(7);
    }
  } else if (name == "rtcp-mux") {
    media_->rtcp_mux = true;
  } else if (name == "bundle-only") {
    media_->is_bundle_only = true;
  } else if (name == "rtcp") {
    return ParseRtcp(value, media_->rtcp) ? nullptr : "a bad rtcp attribute";
  } else if (name == "mid") {
    media_->mid = value;
  } else if (name == kMuxAttribute) {
    media_->mux = value;
  } else if (name == "rtpmap") {
    TakeRate(value);
  } else if (name == "crypto") {
    if (media_->crypto_count == kCryptoMax) {
      return "too many crypto attributes";
    }
    // One that is malformed is one we do not know: RFC 4568 5.1.2.
    Crypto crypto;
    if (ParseCrypto(value, crypto)) {
      media_->crypto[media_->crypto_count++] = crypto;
    }
  }
  return nullptr;
}

const char* Reader::Finish() {
  if (!has_origin_) {
    return "o= is missing";
  }
  if (media_ == nullptr) {
    out_.session_end = out_.line_count;
    return nullptr;
  }
  media_->line_end = out_.line_count;
  const std::string_view first = out_.bundle.substr(0, out_.bundle.find(' '));
  for (Media& media : std::span(out_.media).first(out_.media_count)) {
    if (!media.has_connection && media.port != 0) {
      if (!out_.has_connection) {
        return "a media section has no connection line";
      }
      media.address = out_.address;
    }
    media.has_ice = media.has_ice || out_.has_ice;
    media.has_fingerprint = media.has_fingerprint || out_.has_fingerprint;
    media.ice_user = media.ice_user.empty() ? out_.ice_user : media.ice_user;
    media.ice_password = media.ice_password.empty() ? out_.ice_password : media.ice_password;
    media.fingerprint = media.fingerprint.empty() ? out_.fingerprint : media.fingerprint;
    media.setup = media.setup.empty() ? out_.setup : media.setup;
    media.is_held = !media.has_ice && !media.address.is_none() && media.address.is_unspecified();
    media.is_bundled = !media.mid.empty() && media.mid != first && HasWord(out_.bundle, media.mid);
  }
  return nullptr;
}

}  // namespace

Attribute SplitAttribute(std::string_view value) {
  const size_t colon = value.find(':');
  return {value.substr(0, colon),
          colon == std::string_view::npos ? std::string_view() : value.substr(colon + 1)};
}

Profile ProfileOf(std::string_view protocol) {
  if (protocol == "RTP/AVP" || protocol == "RTP/AVPF") {
    return Profile::kRtp;
  }
  if (protocol == "RTP/SAVP" || protocol == "RTP/SAVPF") {
    return Profile::kSrtp;
  }
  if (protocol == "UDP/TLS/RTP/SAVP" || protocol == "UDP/TLS/RTP/SAVPF") {
    return Profile::kDtlsSrtp;
  }
  const bool is_udp = EqualsIgnoringCase(protocol.substr(0, 4), "UDP/") ||
                      EqualsIgnoringCase(protocol, "udptl") || EqualsIgnoringCase(protocol, "udp");
  return is_udp ? Profile::kUdp : Profile::kOther;
}

const char* NameOf(Profile profile, bool is_feedback) {
  switch (profile) {
    case Profile::kRtp:
      return is_feedback ? "RTP/AVPF" : "RTP/AVP";
    case Profile::kSrtp:
      return is_feedback ? "RTP/SAVPF" : "RTP/SAVP";
    case Profile::kDtlsSrtp:
      return is_feedback ? "UDP/TLS/RTP/SAVPF" : "UDP/TLS/RTP/SAVP";
    case Profile::kUdp:
    case Profile::kOther:
      break;
  }
  return "";
}

Result<void> Parse(std::string_view text, Description& out) {
  if (text.size() > kBodyMax) {
    return Error{ErrorCode::kTooLarge, "the description is too large"};
  }
  out.text = text;
  out.line_count = out.media_count = out.session_end = 0;
  out.address = {};
  out.has_connection = out.has_ice = out.is_ice_lite = out.has_fingerprint = false;
  out.direction = Direction::kSendRecv;
  out.ice_user = out.ice_password = out.fingerprint = out.setup = out.bundle = {};
  Reader reader(out);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (text.find_first_not_of("\r\n", at) == std::string_view::npos && out.line_count != 0) {
      break;  // some end with an empty line
    }
    const size_t line_end = end > at && text[end - 1] == '\r' ? end - 1 : end;
    if (line_end - at < 2 || text[at + 1] != '=') {
      return Error{ErrorCode::kMalformed, "a line is not of the form x=..."};
    }
    if (line_end - at > kLineMax || out.line_count == kLinesMax) {
      return Error{ErrorCode::kTooLarge, "a line is too long, or there are too many"};
    }
    for (const char c : text.substr(at, line_end - at)) {
      if (c == '\0' || c == '\r') {
        return Error{ErrorCode::kMalformed, "a line holds NUL or CR"};
      }
    }
    Line& line = out.lines[out.line_count];
    line = {text[at], static_cast<uint16_t>(at + 2), static_cast<uint16_t>(line_end - at - 2)};
    if (const char* fault = reader.Take(line, out.line_count)) {
      return Error{ErrorCode::kMalformed, fault};
    }
    ++out.line_count;
    at = end + 1;
  }
  if (const char* fault = reader.Finish()) {
    return Error{ErrorCode::kMalformed, fault};
  }
  return Ok();
}

}  // namespace gh::sdp
