#include "firmware/sip/message.h"

#include <algorithm>
#include <bit>

namespace gh::sip {
namespace {

struct KnownHeader {
  std::string_view name;  // lower case
  HeaderId id;
};

// Sorted by length; kLengthStart says where each length begins.
constexpr KnownHeader kKnownHeaders[] = {
    {"v", HeaderId::kVia},
    {"f", HeaderId::kFrom},
    {"t", HeaderId::kTo},
    {"i", HeaderId::kCallId},
    {"m", HeaderId::kContact},
    {"l", HeaderId::kContentLength},
    {"c", HeaderId::kContentType},
    {"e", HeaderId::kContentEncoding},
    {"k", HeaderId::kSupported},
    {"s", HeaderId::kSubject},
    {"o", HeaderId::kEvent},
    {"u", HeaderId::kAllowEvents},
    {"r", HeaderId::kReferTo},
    {"b", HeaderId::kReferredBy},
    {"x", HeaderId::kSessionExpires},
    {"to", HeaderId::kTo},
    {"via", HeaderId::kVia},
    {"from", HeaderId::kFrom},
    {"cseq", HeaderId::kCseq},
    {"path", HeaderId::kPath},
    {"date", HeaderId::kDate},
    {"rseq", HeaderId::kRseq},
    {"rack", HeaderId::kRack},
    {"route", HeaderId::kRoute},
    {"allow", HeaderId::kAllow},
    {"event", HeaderId::kEvent},
    {"accept", HeaderId::kAccept},
    {"server", HeaderId::kServer},
    {"min-se", HeaderId::kMinSe},
    {"reason", HeaderId::kReason},
    {"call-id", HeaderId::kCallId},
    {"contact", HeaderId::kContact},
    {"expires", HeaderId::kExpires},
    {"require", HeaderId::kRequire},
    {"subject", HeaderId::kSubject},
    {"privacy", HeaderId::kPrivacy},
    {"warning", HeaderId::kWarning},
    {"refer-to", HeaderId::kReferTo},
    {"replaces", HeaderId::kReplaces},
    {"supported", HeaderId::kSupported},
    {"timestamp", HeaderId::kTimestamp},
    {"user-agent", HeaderId::kUserAgent},
    {"unsupported", HeaderId::kUnsupported},
    {"min-expires", HeaderId::kMinExpires},
    {"retry-after", HeaderId::kRetryAfter},
    {"referred-by", HeaderId::kReferredBy},
    {"max-breadth", HeaderId::kMaxBreadth},
    {"max-forwards", HeaderId::kMaxForwards},
    {"content-type", HeaderId::kContentType},
    {"record-route", HeaderId::kRecordRoute},
    {"allow-events", HeaderId::kAllowEvents},
    {"authorization", HeaderId::kAuthorization},
    {"proxy-require", HeaderId::kProxyRequire},
    {"service-route", HeaderId::kServiceRoute},
    {"content-length", HeaderId::kContentLength},
    {"session-expires", HeaderId::kSessionExpires},
    {"www-authenticate", HeaderId::kWwwAuthenticate},
    {"content-encoding", HeaderId::kContentEncoding},
    {"proxy-authenticate", HeaderId::kProxyAuthenticate},
    {"proxy-authorization", HeaderId::kProxyAuthorization},
    {"p-asserted-identity", HeaderId::kPAssertedIdentity},
    {"p-preferred-identity", HeaderId::kPPreferredIdentity},
};
constexpr size_t kKnownHeaderCount = std::size(kKnownHeaders);
constexpr size_t kKnownLengthMax = 20;

constexpr std::array<uint8_t, kKnownLengthMax + 2> MakeLengthStart() {
  std::array<uint8_t, kKnownLengthMax + 2> start = {};
  size_t at = 0;
  for (size_t length = 0; length <= kKnownLengthMax; ++length) {
    start[length] = static_cast<uint8_t>(at);
    while (at < kKnownHeaderCount && kKnownHeaders[at].name.size() == length) {
      ++at;
    }
  }
  start[kKnownLengthMax + 1] = static_cast<uint8_t>(at);
  return start;
}
constexpr auto kLengthStart = MakeLengthStart();

// The first eight characters in one word, letters folded: bit 0x20 is set in every other character
// that a known name has, and no two token characters become the same letter.
constexpr uint64_t FoldedHead(std::string_view name) {
  uint64_t word = 0;
  const size_t size = name.size() < 8 ? name.size() : 8;
  for (size_t i = 0; i < size; ++i) {
    word |= static_cast<uint64_t>(static_cast<uint8_t>(name[i] | 0x20)) << (8 * i);
  }
  return word;
}
constexpr std::array<uint64_t, kKnownHeaderCount> MakeKnownHeads() {
  std::array<uint64_t, kKnownHeaderCount> heads = {};
  for (size_t i = 0; i < kKnownHeaderCount; ++i) {
    heads[i] = FoldedHead(kKnownHeaders[i].name);
  }
  return heads;
}
constexpr auto kKnownHeads = MakeKnownHeads();
static_assert(kLengthStart[kKnownLengthMax + 1] == kKnownHeaderCount, "sorted by length");

constexpr std::string_view kMethodNames[kMethodCount] = {
    "INVITE", "ACK",    "BYE",       "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "INFO",
    "PRACK",  "UPDATE", "SUBSCRIBE", "NOTIFY", "PUBLISH",  "REFER",   ""};

// The first control character (below 0x20) at or after `at`, eight bytes at a time.
inline size_t FindControl(std::span<const uint8_t> data, size_t at) {
  static_assert(std::endian::native == std::endian::little);
  while (data.size() - at >= 8) {
    uint64_t word;
    std::memcpy(&word, data.data() + at, 8);
    const uint64_t below = (word - 0x2020202020202020u) & ~word & 0x8080808080808080u;
    if (below != 0) {
      return at + static_cast<size_t>(std::countr_zero(below)) / 8;
    }
    at += 8;
  }
  while (at < data.size() && data[at] >= 0x20) {
    ++at;
  }
  return at;
}

// The CRLF that ends a line; data.size() when it has not come; SIZE_MAX at a bare CR or LF.
size_t FindLineEnd(std::span<const uint8_t> data, size_t at) {
  while (true) {
    at = FindControl(data, at);
    if (at >= data.size()) {
      return data.size();
    }
    if (data[at] == '\r') {
      if (at + 1 == data.size()) {
        return data.size();
      }
      return data[at + 1] == '\n' ? at : SIZE_MAX;
    }
    if (data[at] == '\n') {
      return SIZE_MAX;
    }
    ++at;  // other controls are for the grammar of the value to judge
  }
}

}  // namespace

Method MethodOf(std::string_view text) {
  for (size_t i = 0; i + 1 < kMethodCount; ++i) {
    if (text == kMethodNames[i]) {
      return static_cast<Method>(i);
    }
  }
  return Method::kOther;
}

std::string_view MethodName(Method method) { return kMethodNames[static_cast<size_t>(method)]; }

namespace {

// As FoldedHead, in two loads where the name is long enough.
uint64_t LoadFoldedHead(std::string_view name) {
  if (name.size() < 4) {
    return FoldedHead(name);
  }
  constexpr uint64_t kFold = 0x2020202020202020u;
  if (name.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, name.data(), 8);
    return word | kFold;
  }
  uint32_t low;
  uint32_t high;  // overlaps `low`; what is in both is the same
  std::memcpy(&low, name.data(), 4);
  std::memcpy(&high, name.data() + name.size() - 4, 4);
  const uint64_t word = low | static_cast<uint64_t>(high) << (8 * (name.size() - 4));
  return word | kFold >> (8 * (8 - name.size()));
}

}  // namespace

HeaderId HeaderIdOf(std::string_view name) {
  if (name.empty() || name.size() > kKnownLengthMax) {
    return HeaderId::kOther;
  }
  const uint64_t head = LoadFoldedHead(name);
  for (size_t i = kLengthStart[name.size()]; i < kLengthStart[name.size() + 1]; ++i) {
    const KnownHeader& known = kKnownHeaders[i];
    if (kKnownHeads[i] == head &&
        (name.size() <= 8 || EqualsNoCase(known.name.substr(8), name.substr(8)))) {
      return known.id;
    }
  }
  return HeaderId::kOther;
}

Result<void> Message::Index(std::span<const uint8_t> data) {
  data_ = data;
  field_count_ = 0;
  first_.fill(0);
  last_.fill(0);
  body_offset_ = body_size_ = header_end_ = 0;
  via_count_ = 0;
  max_forwards_.reset();
  from_tag_ = to_tag_ = call_id_ = method_text_ = uri_text_ = reason_ = {};
  via_ = {};
  from_ = {};
  to_ = {};
  uri_ = {};
  cseq_ = 0;
  status_ = 0;
  const size_t end = FindLineEnd(data, 0);
  if (end == SIZE_MAX) {
    return Error(ErrorCode::kMalformed, "start line");
  }
  if (end > kStartLineBytesMax) {
    return Error(ErrorCode::kTooLarge, "start line");
  }
  if (end == data.size()) {
    return Error(ErrorCode::kTruncated, "start line");
  }
  start_line_size_ = end;
  is_request_ = !start_line().starts_with("SIP/");
  return IndexFields(end + 2);
}

Result<void> Message::IndexFields(size_t at) {
  while (true) {
    if (at >= data_.size()) {
      return Error(ErrorCode::kTruncated, "header section");
    }
    if (at > kMessageBytesMax) {
      return Error(ErrorCode::kTooLarge, "header section");
    }
    size_t end = FindLineEnd(data_, at);
    if (end == SIZE_MAX) {
      return Error(ErrorCode::kMalformed, "bare CR or LF");
    }
    if (end == data_.size()) {
      return Error(ErrorCode::kTruncated, "header section");
    }
    if (end == at) {
      header_end_ = at;
      body_offset_ = at + 2;
      return Ok();
    }
    while (end + 2 < data_.size() && (data_[end + 2] == ' ' || data_[end + 2] == '\t')) {
      end = FindLineEnd(data_, end + 2);
      if (end == SIZE_MAX) {
        return Error(ErrorCode::kMalformed, "bare CR or LF");
      }
      if (end == data_.size()) {
        return Error(ErrorCode::kTruncated, "header section");
      }
    }
    GH_TRY(AddField(at, end));
    at = end + 2;
  }
}

Result<void> Message::AddField(size_t line, size_t line_end) {
  size_t at = line;
  while (at < line_end && Is(static_cast<char>(data_[at]), kToken)) {
    ++at;
  }
  const size_t name_size = at - line;
  while (at < line_end && (data_[at] == ' ' || data_[at] == '\t')) {
    ++at;
  }
  if (name_size == 0 || at == line_end || data_[at] != ':') {
    return Error(ErrorCode::kMalformed, "header name");
  }
  const size_t value = at + 1;
  if (name_size > kHeaderNameBytesMax || line_end - value > kHeaderBytesMax ||
      field_count_ == kHeaderCountMax || line_end + 2 > kMessageBytesMax) {
    return Error(ErrorCode::kTooLarge, "header field");
  }
  HeaderField& field = fields_[field_count_++];
  field.line = static_cast<uint16_t>(line);
  field.value = static_cast<uint16_t>(value);
  field.value_size = static_cast<uint16_t>(line_end - value);
  field.name_size = static_cast<uint8_t>(name_size);
  field.next_same = 0;
  field.id = HeaderIdOf(View(line, name_size));
  const size_t id = static_cast<size_t>(field.id);
  const auto number = static_cast<uint16_t>(field_count_);
  if (field.id != HeaderId::kOther) {
    if (first_[id] == 0) {
      first_[id] = number;
    } else {
      fields_[last_[id] - 1u].next_same = number;
    }
    last_[id] = number;
  }
  return Ok();
}

size_t Message::CountOf(HeaderId id) const {
  size_t count = 0;
  for (const HeaderField* f = First(id); f != nullptr; f = NextSame(*f)) {
    ++count;
  }
  return count;
}

std::optional<size_t> Message::FindHeaderEnd(std::span<const uint8_t> data, size_t from) {
  for (size_t at = from; at + 3 < data.size(); ++at) {
    at = FindControl(data, at);
    if (at + 3 < data.size() && data[at] == '\r' && data[at + 1] == '\n' && data[at + 2] == '\r' &&
        data[at + 3] == '\n') {
      return at + 4;
    }
  }
  return std::nullopt;
}

std::optional<uint32_t> Message::FindContentLength(std::span<const uint8_t> section) {
  const std::string_view text(reinterpret_cast<const char*>(section.data()), section.size());
  size_t line = text.find("\r\n");
  while (line != std::string_view::npos && line + 2 < text.size()) {
    line += 2;
    const size_t end = text.find("\r\n", line);
    const std::string_view one = text.substr(line, end - line);
    const size_t colon = one.find(':');
    if (colon != std::string_view::npos &&
        HeaderIdOf(TrimLws(one.substr(0, colon))) == HeaderId::kContentLength) {
      std::string_view value = one.substr(colon + 1);
      if (TrimLws(value).empty() && end != std::string_view::npos) {  // folded
        const size_t end_next = text.find("\r\n", end + 2);
        value = text.substr(end + 2, end_next - end - 2);
      }
      return ParseNumberClamped(TrimLws(value), UINT32_MAX);
    }
    line = end;
  }
  return std::nullopt;
}

// --- Check ---------------------------------------------------------------------------------------

CheckResult Message::Check(bool is_datagram) {
  using Step = CheckResult (Message::*)();
  // Identity first: what comes later can then be answered with a matching response.
  constexpr Step kSteps[] = {&Message::CheckStartLine, &Message::CheckSingles,
                             &Message::CheckVias,      &Message::CheckIdentity,
                             &Message::CheckCseq,      &Message::CheckLists};
  if (!Has(HeaderId::kVia)) {
    return {Verdict::kDrop, 0, "no Via"};
  }
  const CheckResult body = CheckBody(is_datagram);
  if (body.verdict == Verdict::kDrop) {
    return body;
  }
  for (const Step step : kSteps) {
    const CheckResult result = (this->*step)();
    if (result.verdict != Verdict::kGood) {
      return result;
    }
  }
  return body;
}

bool Message::CheckTop() {
  constexpr HeaderId kNeeded[] = {HeaderId::kVia, HeaderId::kFrom, HeaderId::kTo, HeaderId::kCallId,
                                  HeaderId::kCseq};
  for (const HeaderId id : kNeeded) {
    const HeaderField* field = First(id);
    if (field == nullptr || (id != HeaderId::kVia && field->next_same != 0)) {
      return false;
    }
  }
  Scanner scanner(ValueOf(HeaderId::kVia));
  const auto via = ParseVia(scanner);
  if (!is_request_ || CheckStartLine().verdict != Verdict::kGood || !via.ok()) {
    return false;
  }
  via_ = *via;
  call_id_ = ValueOf(HeaderId::kCallId);
  to_.text = ValueOf(HeaderId::kTo);
  // Whatever looks like a tag may be one.
  const std::string_view behind = to_.text.substr(std::min(to_.text.rfind('>'), to_.text.size()));
  const std::string_view params = behind.empty() ? to_.text : behind;
  const auto is_letter = [](char a, char b) { return Lower(a) == b; };
  constexpr std::string_view kTag = "tag";
  const bool has_tag = std::search(params.begin(), params.end(), kTag.begin(), kTag.end(),
                                   is_letter) != params.end();
  return via_.is_rfc3261() && (method_ == Method::kAck || !has_tag);
}

CheckResult Message::CheckStartLine() {
  const std::string_view line = start_line();
  return is_request_ ? CheckRequestLine(line) : CheckStatusLine(line);
}

CheckResult Message::CheckRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == 0 || first > kMethodBytesMax ||
      !AllAre(line.substr(0, first), kToken)) {
    return {Verdict::kDrop, 0, "not SIP"};
  }
  method_text_ = line.substr(0, first);
  method_ = MethodOf(method_text_);
  if (last == first) {
    return Bad("Bad Request-Line");
  }
  uri_text_ = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!EqualsNoCase(version, "SIP/2.0")) {
    const bool is_sip = version.size() > 4 && EqualsNoCase(version.substr(0, 4), "SIP/");
    return is_sip ? Bad("Version Not Supported", 505) : Bad("Bad Request-Line");
  }
  if (uri_text_.find(' ') != std::string_view::npos) {
    return Bad("Bad Request-Line");
  }
  auto uri = ParseUri(uri_text_);
  if (!uri.ok()) {
    return uri.code() == ErrorCode::kTooLarge ? Bad("Request-URI Too Long", 414)
                                              : Bad("Bad Request-URI");
  }
  uri_ = *uri;
  if (uri_.scheme != UriScheme::kOther && !uri_.headers.empty()) {
    return Bad("Headers In Request-URI");
  }
  return {};
}

CheckResult Message::CheckStatusLine(std::string_view line) {
  // "SIP/2.0 200 OK"; the reason may be empty but its space is there (RFC 4475 3.1.1.13).
  if (line.size() < 12 || !EqualsNoCase(line.substr(0, 8), "SIP/2.0 ") || line[11] != ' ') {
    return {Verdict::kDrop, 0, "bad status line"};
  }
  const auto status = ParseNumber(line.substr(8, 3), 699);
  if (!status || *status < 100) {
    return {Verdict::kDrop, 0, "bad status code"};
  }
  status_ = static_cast<uint16_t>(*status);
  reason_ = line.substr(12);
  return {};
}

CheckResult Message::CheckBody(bool is_datagram) {
  const HeaderField* field = First(HeaderId::kContentLength);
  const size_t available = data_.size() - body_offset_;
  if (field == nullptr) {
    if (!is_datagram) {
      return {Verdict::kDrop, 0, "no Content-Length on a stream"};
    }
    body_size_ = available;
    return {};
  }
  const auto length = ParseNumber(Value(*field), kMessageBytesMax);
  for (const HeaderField* f = NextSame(*field); f != nullptr; f = NextSame(*f)) {
    if (!length || ParseNumber(Value(*f), kMessageBytesMax) != length) {
      return Bad("Conflicting Content-Length");
    }
  }
  if (!length) {
    return Bad("Bad Content-Length");
  }
  if (*length > available) {
    return Bad("Content-Length Beyond Message");
  }
  body_size_ = *length;
  return {};
}

CheckResult Message::CheckSingles() {
  struct Single {
    HeaderId id;
    const char* missing;
  };
  constexpr Single kNeeded[] = {{HeaderId::kFrom, "Missing From"},
                                {HeaderId::kTo, "Missing To"},
                                {HeaderId::kCallId, "Missing Call-ID"},
                                {HeaderId::kCseq, "Missing CSeq"}};
  for (const Single& single : kNeeded) {
    const HeaderField* field = First(single.id);
    if (field == nullptr) {
      return Bad(single.missing);
    }
    if (field->next_same != 0) {
      return Bad("Repeated Header Field");
    }
  }
  constexpr HeaderId kOnce[] = {HeaderId::kMaxForwards, HeaderId::kContentType,
                                HeaderId::kExpires,     HeaderId::kEvent,
                                HeaderId::kDate,        HeaderId::kMaxBreadth};
  for (const HeaderId id : kOnce) {
    const HeaderField* field = First(id);
    if (field != nullptr && field->next_same != 0) {
      return Bad("Repeated Header Field");
    }
  }
  return {};
}

CheckResult Message::CheckVias() {
  const HeaderField* field = First(HeaderId::kVia);
  if (field == nullptr) {
    return {Verdict::kDrop, 0, "no Via"};
  }
  ViaList list(*this);
  Via via;
  while (true) {
    const Next next = list.NextItem(via);
    if (next == Next::kEnd) {
      break;
    }
    if (next == Next::kMalformed) {
      return Bad("Bad Via");
    }
    if (via_count_++ == 0) {
      via_ = via;
    }
    if (via_count_ > kViaCountMax) {
      return Bad("Too Many Vias", 483);
    }
  }
  return via_count_ == 0 ? CheckResult{Verdict::kDrop, 0, "no Via"} : CheckResult{};
}

CheckResult Message::CheckIdentity() {
  Scanner from(ValueOf(HeaderId::kFrom));
  auto from_value = ParseNameAddr(from);
  if (!from_value.ok() || !from.at_end() || from_value->is_star) {
    return Bad("Bad From");
  }
  Scanner to(ValueOf(HeaderId::kTo));
  auto to_value = ParseNameAddr(to);
  if (!to_value.ok() || !to.at_end() || to_value->is_star) {
    return Bad("Bad To");
  }
  from_ = *from_value;
  to_ = *to_value;
  from_tag_ = from_.tag();
  to_tag_ = to_.tag();
  call_id_ = ValueOf(HeaderId::kCallId);
  if (call_id_.empty() || call_id_.size() > kCallIdBytesMax || !AllAre(call_id_, kWordChar)) {
    return Bad("Bad Call-ID");
  }
  if (from_tag_.size() > kTagBytesMax || to_tag_.size() > kTagBytesMax ||
      via_.branch.size() > kBranchBytesMax) {
    return Bad("Identifier Too Long");
  }
  return {};
}

CheckResult Message::CheckCseq() {
  Scanner scanner(ValueOf(HeaderId::kCseq));
  const auto number = ParseNumber(scanner.Run(kDigit), kCseqMax);
  const bool spaced =
      scanner.offset() == 0 || Is(scanner.rest().empty() ? 'x' : scanner.rest()[0], kLws);
  const std::string_view method = scanner.Run(kToken);
  if (!number || !spaced || method.empty() || !scanner.at_end()) {
    return Bad("Bad CSeq");
  }
  cseq_ = *number;
  if (is_request_) {
    if (method != method_text_) {
      return Bad("CSeq Method Mismatch");
    }
  } else {
    method_text_ = method;
    method_ = MethodOf(method);
  }
  return {};
}

CheckResult Message::CheckLists() {
  if (const HeaderField* field = First(HeaderId::kMaxForwards)) {
    max_forwards_ = ParseNumber(Value(*field), kMaxForwardsMax);
    if (!max_forwards_) {
      return Bad("Bad Max-Forwards");
    }
  }
  if (is_request_ && Has(HeaderId::kDate) && !ParseSipDate(ValueOf(HeaderId::kDate))) {
    return Bad("Bad Date");
  }
  size_t count = 0;
  for (const HeaderId id : {HeaderId::kRoute, HeaderId::kRecordRoute, HeaderId::kContact}) {
    AddressList list(*this, id);
    NameAddr address;
    Next next;
    while ((next = list.NextItem(address)) == Next::kItem) {
      if (address.is_star ? id != HeaderId::kContact
                          : id != HeaderId::kContact && !address.bracketed) {
        return Bad("Bad Route");
      }
      if (++count > 3 * kRouteCountMax) {
        return Bad("Too Many Addresses", 513);
      }
    }
    if (next == Next::kMalformed) {
      return Bad(id == HeaderId::kContact ? "Bad Contact" : "Bad Route");
    }
  }
  return {};
}

// --- Values --------------------------------------------------------------------------------------

Result<Via> ParseVia(Scanner& scanner) {
  Via via;
  scanner.SkipLws();
  const size_t start = scanner.offset();
  const std::string_view whole = scanner.rest();
  const std::string_view protocol = scanner.Run(kToken);
  if (protocol.empty() || !scanner.Take('/') || scanner.Run(kToken).empty() || !scanner.Take('/')) {
    return Error(ErrorCode::kMalformed, "Via protocol");
  }
  via.transport = scanner.Run(kToken);
  if (via.transport.empty()) {
    return Error(ErrorCode::kMalformed, "Via transport");
  }
  if (scanner.PeekIs('[')) {
    const auto inside = scanner.Until(']');
    if (!inside) {
      return Error(ErrorCode::kMalformed, "Via host");
    }
    via.host = {inside->data(), inside->size() + 1};
    scanner.Skip(1);
  } else {
    via.host = scanner.Run(kHostChar);
  }
  if (!IsHost(via.host)) {
    return Error(ErrorCode::kMalformed, "Via host");
  }
  if (scanner.Take(':')) {
    const auto port = ParseNumber(scanner.Run(kDigit), 65535);
    if (!port || *port == 0) {
      return Error(ErrorCode::kMalformed, "Via port");
    }
    via.port = static_cast<uint16_t>(*port);
  }
  scanner.SkipLws();
  const size_t params = scanner.offset();
  Param param;
  size_t count = 0;
  Next next;
  while ((next = NextParam(scanner, param)) == Next::kItem) {
    if (EqualsNoCase(param.name, "branch")) {
      via.branch = param.value;
    } else if (EqualsNoCase(param.name, "rport")) {
      via.has_rport = true;
    } else if (EqualsNoCase(param.name, "alias")) {
      via.has_alias = true;
    }
    if (++count > kParamCountMax) {
      return Error(ErrorCode::kTooLarge, "Via parameters");
    }
  }
  if (next == Next::kMalformed) {
    return Error(ErrorCode::kMalformed, "Via parameter");
  }
  via.params = TrimLws(scanner.Slice(params, scanner.offset()));
  via.text = TrimLws(whole.substr(0, scanner.offset() - start));
  return via;
}

namespace {

// Parses what comes before '<' or the bare address. Leaves the scanner behind the URI.
Result<void> ParseAddress(Scanner& scanner, NameAddr& out) {
  if (scanner.PeekIs('"')) {
    const size_t start = scanner.offset();
    if (!scanner.Quoted()) {
      return Error(ErrorCode::kMalformed, "quoted string");
    }
    out.display = scanner.Slice(start, scanner.offset());
    if (!scanner.PeekIs('<')) {
      return Error(ErrorCode::kMalformed, "address");
    }
  } else if (!scanner.PeekIs('<')) {
    const Scanner mark = scanner;
    const size_t start = scanner.offset();
    while (!scanner.Run(kToken).empty()) {
    }
    if (!scanner.PeekIs('<')) {
      scanner = mark;  // addr-spec
    } else {
      out.display = TrimLws(scanner.Slice(start, scanner.offset()));
    }
  }
  if (scanner.Take('<')) {
    const auto uri = scanner.Until('>');
    if (!uri) {
      return Error(ErrorCode::kMalformed, "address");
    }
    scanner.Skip(1);
    out.uri_text = *uri;
    out.bracketed = true;
    return Ok();
  }
  // Without brackets, ";" begins header parameters and "," the next element; "?" is not allowed.
  const size_t start = scanner.offset();
  const std::string_view rest = scanner.rest();
  size_t size = 0;
  while (size < rest.size() && !Is(rest[size], kLws) && rest[size] != ';' && rest[size] != ',' &&
         rest[size] != '?') {
    ++size;
  }
  scanner.Skip(size);
  out.uri_text = scanner.Slice(start, start + size);
  if (scanner.PeekIs('?')) {
    return Error(ErrorCode::kMalformed, "address");
  }
  return Ok();
}

}  // namespace

Result<NameAddr> ParseNameAddr(Scanner& scanner) {
  NameAddr out;
  scanner.SkipLws();
  const size_t start = scanner.offset();
  const std::string_view whole = scanner.rest();
  if (whole.starts_with("*") &&
      (TrimLws(whole.substr(1)).empty() || TrimLws(whole.substr(1))[0] == ',')) {
    scanner.Skip(1);
    out.is_star = true;
    out.text = whole.substr(0, 1);
    return out;
  }
  GH_TRY(ParseAddress(scanner, out));
  auto uri = ParseUri(out.uri_text);
  if (!uri.ok()) {
    return uri.error();
  }
  out.uri = *uri;
  scanner.SkipLws();
  const size_t params = scanner.offset();
  Param param;
  size_t count = 0;
  Next next;
  while ((next = NextParam(scanner, param)) == Next::kItem) {
    if (out.tag_text.empty() && EqualsNoCase(param.name, "tag")) {
      out.tag_text = param.value;
    }
    if (++count > kParamCountMax) {
      return Error(ErrorCode::kTooLarge, "parameters");
    }
  }
  if (next == Next::kMalformed) {
    return Error(ErrorCode::kMalformed, "parameter");
  }
  out.params = TrimLws(scanner.Slice(params, scanner.offset()));
  out.text = TrimLws(whole.substr(0, scanner.offset() - start));
  return out;
}

Next AddressList::NextItem(NameAddr& out) {
  while (field_ != nullptr && scanner_.at_end()) {
    field_ = message_.NextSame(*field_);
    Load();
    if (field_ != nullptr && scanner_.at_end()) {
      return Next::kMalformed;  // an empty value
    }
  }
  if (field_ == nullptr) {
    return Next::kEnd;
  }
  auto parsed = ParseNameAddr(scanner_);
  if (!parsed.ok()) {
    return Next::kMalformed;
  }
  out = *parsed;
  if (!scanner_.at_end() && (!scanner_.Take(',') || scanner_.at_end())) {
    return Next::kMalformed;
  }
  return Next::kItem;
}

Next ViaList::NextItem(Via& out) {
  while (field_ != nullptr && scanner_.at_end()) {
    field_ = message_.NextSame(*field_);
    if (field_ != nullptr) {
      scanner_ = Scanner(message_.Value(*field_));
      if (scanner_.at_end()) {
        return Next::kMalformed;
      }
    }
  }
  if (field_ == nullptr) {
    return Next::kEnd;
  }
  auto parsed = ParseVia(scanner_);
  if (!parsed.ok()) {
    return Next::kMalformed;
  }
  out = *parsed;
  if (!scanner_.at_end() && (!scanner_.Take(',') || scanner_.at_end())) {
    return Next::kMalformed;
  }
  return Next::kItem;
}

std::optional<Replaces> ParseReplaces(std::string_view text) {
  Scanner scanner(text);
  Replaces out;
  out.call_id = scanner.Run(kWordChar);
  Param param;
  Next next;
  while ((next = NextParam(scanner, param)) == Next::kItem) {
    if (EqualsNoCase(param.name, "to-tag")) {
      out.to_tag = param.value;
    } else if (EqualsNoCase(param.name, "from-tag")) {
      out.from_tag = param.value;
    }
  }
  const bool is_good = next == Next::kEnd && scanner.at_end() && !out.call_id.empty() &&
                       !out.to_tag.empty() && !out.from_tag.empty();
  return is_good ? std::optional(out) : std::nullopt;
}

std::optional<int64_t> ParseSipDate(std::string_view text) {
  constexpr std::string_view kDays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  // "Sat, 13 Nov 2010 23:29:00 GMT"
  if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT" ||
      text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':') {
    return std::nullopt;
  }
  bool day_known = false;
  for (std::string_view day : kDays) {
    day_known = day_known || day == text.substr(0, 3);
  }
  const size_t month_at = kMonths.find(text.substr(8, 3));
  const auto day = ParseNumber(text.substr(5, 2), 31);
  const auto year = ParseNumber(text.substr(12, 4), 9999);
  const auto hour = ParseNumber(text.substr(17, 2), 23);
  const auto minute = ParseNumber(text.substr(20, 2), 59);
  const auto second = ParseNumber(text.substr(23, 2), 60);
  if (!day_known || month_at == std::string_view::npos || month_at % 3 != 0 || !day || *day == 0 ||
      !year || !hour || !minute || !second) {
    return std::nullopt;
  }
  // Days from civil, proleptic Gregorian.
  const int64_t month = static_cast<int64_t>(month_at / 3) + 1;
  const int64_t y = static_cast<int64_t>(*year) - (month <= 2 ? 1 : 0);
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t year_of_era = y - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + *day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  const int64_t days = era * 146097 + day_of_era - 719468;
  return days * 86400 + *hour * 3600 + *minute * 60 + *second;
}

}  // namespace gh::sip
