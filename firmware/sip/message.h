// A SIP message, indexed in place over the bytes it arrived in (RFC 3261 7, 25).
//
// Index() makes one pass over the header fields and notes where each is; nothing is copied and no
// value is parsed. Check() then parses what every element needs (start line, Via, From, To,
// Call-ID, CSeq, Max-Forwards, lengths) and gives the verdict. Everything else is parsed when
// somebody asks. Views stay valid as long as the buffer does.
//
// Faults: anything from the wire. A message whose framing or identity cannot be trusted is dropped
// (verdict kDrop); one that can still be answered says with what (kReject and a status).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "firmware/sip/limits.h"
#include "firmware/sip/uri.h"

namespace gh::sip {

enum class Method : uint8_t {
  kInvite,
  kAck,
  kBye,
  kCancel,
  kRegister,
  kOptions,
  kMessage,
  kInfo,
  kPrack,
  kUpdate,
  kSubscribe,
  kNotify,
  kPublish,
  kRefer,
  kOther,
};
inline constexpr size_t kMethodCount = static_cast<size_t>(Method::kOther) + 1;
Method MethodOf(std::string_view text);  // case-sensitive, RFC 3261 7.1
std::string_view MethodName(Method method);

enum class HeaderId : uint8_t {
  kOther,
  kVia,
  kFrom,
  kTo,
  kCallId,
  kCseq,
  kMaxForwards,
  kContact,
  kRoute,
  kRecordRoute,
  kPath,
  kContentLength,
  kContentType,
  kContentEncoding,
  kExpires,
  kMinExpires,
  kAuthorization,
  kProxyAuthorization,
  kWwwAuthenticate,
  kProxyAuthenticate,
  kRequire,
  kProxyRequire,
  kSupported,
  kUnsupported,
  kAllow,
  kAccept,
  kEvent,
  kDate,
  kRetryAfter,
  kTimestamp,
  kUserAgent,
  kServer,
  kSubject,
  kReferTo,
  kReferredBy,
  kAllowEvents,
  kMaxBreadth,
  kSessionExpires,
  kMinSe,
  kPAssertedIdentity,
  kPPreferredIdentity,
  kPrivacy,
  kServiceRoute,
  kReason,
  kReplaces,
  kRseq,
  kRack,
  kWarning,
  kCount,
};
inline constexpr size_t kHeaderIdCount = static_cast<size_t>(HeaderId::kCount);

// Offsets into the message. Not set before it is one of its fields: there is room for many.
struct HeaderField {
  uint16_t line;        // first byte of the field name
  uint16_t value;       // first byte after the colon
  uint16_t value_size;  // to the CRLF that ends the field, folds included
  uint16_t next_same;   // the next field of the same id (0: none), kOther is not chained
  HeaderId id;
  uint8_t name_size;
};

struct Via {
  std::string_view transport;  // "UDP"
  std::string_view host;       // brackets kept
  uint16_t port = 0;           // 0: none given
  std::string_view params;     // from the first ';', may be empty
  std::string_view branch;     // empty: none
  std::string_view text;       // the whole value
  bool has_rport = false;
  bool has_alias = false;  // RFC 5923
  bool is_rfc3261() const { return branch.size() > 7 && branch.starts_with("z9hG4bK"); }
};

struct NameAddr {
  std::string_view display;  // as written, quotes kept
  std::string_view uri_text;
  Uri uri;
  std::string_view params;  // header parameters, from the first ';'
  std::string_view text;    // the whole value
  bool is_star = false;     // Contact: *
  bool bracketed = false;
  std::string_view tag_text;  // of a tag parameter
  std::string_view tag() const { return tag_text; }
};

enum class Verdict : uint8_t { kGood, kReject, kDrop };

struct CheckResult {
  Verdict verdict = Verdict::kGood;
  uint16_t status = 0;
  const char* why = "";  // a reason phrase or a note for the counters
};

class Message {
 public:
  // kMalformed, kTooLarge, kTruncated (no end of header section). The data may go on beyond the
  // message; consumed() says where it ends once Check() is done.
  Result<void> Index(std::span<const uint8_t> data);
  // `is_datagram`: the body is what Content-Length says, or all there is without one; bytes
  // beyond it are dropped. Streams must have a Content-Length.
  CheckResult Check(bool is_datagram);
  // What it takes to refuse a request, a quarter of the work of Check(): start line, topmost Via,
  // the presence of the rest. Fills in method(), uri(), via(), call_id(); to() as text alone.
  // False: only Check() can tell. For a request outside a dialog, or an ACK.
  bool CheckTop();

  bool is_request() const { return is_request_; }
  Method method() const { return method_; }  // of a response: its CSeq's
  std::string_view method_text() const { return method_text_; }
  std::string_view uri_text() const { return uri_text_; }
  const Uri& uri() const { return uri_; }  // request URI, after Check
  uint16_t status() const { return status_; }
  std::string_view reason() const { return reason_; }
  std::string_view start_line() const { return View(0, start_line_size_); }

  // After Check, when its verdict is good.
  const Via& via() const { return via_; }
  const NameAddr& from() const { return from_; }
  const NameAddr& to() const { return to_; }
  std::string_view from_tag() const { return from_tag_; }
  std::string_view to_tag() const { return to_tag_; }
  std::string_view call_id() const { return call_id_; }
  uint32_t cseq() const { return cseq_; }
  std::optional<uint32_t> max_forwards() const { return max_forwards_; }
  size_t via_count() const { return via_count_; }
  std::span<const uint8_t> body() const { return data_.subspan(body_offset_, body_size_); }
  size_t consumed() const { return body_offset_ + body_size_; }
  std::span<const uint8_t> bytes() const { return data_.first(consumed()); }

  // Fields in order.
  std::span<const HeaderField> fields() const { return {fields_.data(), field_count_}; }
  const HeaderField* First(HeaderId id) const {
    const uint16_t at = first_[static_cast<size_t>(id)];
    return at == 0 ? nullptr : &fields_[at - 1u];
  }
  const HeaderField* NextSame(const HeaderField& field) const {
    return field.next_same == 0 ? nullptr : &fields_[field.next_same - 1u];
  }
  bool Has(HeaderId id) const { return First(id) != nullptr; }
  size_t CountOf(HeaderId id) const;
  std::string_view Value(const HeaderField& field) const {  // trimmed
    return TrimLws(View(field.value, field.value_size));
  }
  std::string_view ValueOf(HeaderId id) const {  // of the first, "" when there is none
    const HeaderField* field = First(id);
    return field == nullptr ? std::string_view() : Value(*field);
  }
  std::string_view Name(const HeaderField& field) const {
    return View(field.line, field.name_size);
  }
  // The whole line(s) with the final CRLF.
  std::string_view Line(const HeaderField& field) const {
    return View(field.line, static_cast<size_t>(field.value) + field.value_size + 2 - field.line);
  }
  std::string_view View(size_t offset, size_t size) const {
    return {reinterpret_cast<const char*>(data_.data()) + offset, size};
  }
  // Offset of the empty line that ends the header section.
  size_t header_end() const { return header_end_; }

  // For streams: where the header section ends, or nothing when it has not all arrived.
  static std::optional<size_t> FindHeaderEnd(std::span<const uint8_t> data, size_t from);
  // The first Content-Length in a complete header section, 64-bit safe; nothing when absent or
  // malformed, so that a stream without framing can be refused.
  static std::optional<uint32_t> FindContentLength(std::span<const uint8_t> header_section);

 private:
  Result<void> IndexFields(size_t at);
  Result<void> AddField(size_t line, size_t line_end);
  CheckResult CheckStartLine();
  CheckResult CheckRequestLine(std::string_view line);
  CheckResult CheckStatusLine(std::string_view line);
  CheckResult CheckBody(bool is_datagram);
  CheckResult CheckSingles();
  CheckResult CheckVias();
  CheckResult CheckIdentity();
  CheckResult CheckCseq();
  CheckResult CheckLists();
  CheckResult Bad(const char* why, uint16_t status = 400) const {
    return is_request_ ? CheckResult{Verdict::kReject, status, why}
                       : CheckResult{Verdict::kDrop, 0, why};
  }

  std::span<const uint8_t> data_;
  size_t start_line_size_ = 0;
  size_t header_end_ = 0;
  size_t body_offset_ = 0;
  size_t body_size_ = 0;
  std::string_view method_text_;
  std::string_view uri_text_;
  std::string_view reason_;
  Uri uri_;
  Via via_;
  NameAddr from_;
  NameAddr to_;
  std::string_view from_tag_;
  std::string_view to_tag_;
  std::string_view call_id_;
  std::optional<uint32_t> max_forwards_;
  uint32_t cseq_ = 0;
  size_t via_count_ = 0;
  uint32_t field_count_ = 0;
  uint16_t status_ = 0;
  Method method_ = Method::kOther;
  bool is_request_ = false;
  std::array<uint16_t, kHeaderIdCount> first_;
  std::array<uint16_t, kHeaderIdCount> last_;
  std::array<HeaderField, kHeaderCountMax> fields_;
};

HeaderId HeaderIdOf(std::string_view name);

// --- Values of header fields ---------------------------------------------------------------------

// Parses one element and leaves the scanner behind it (at a comma or the end).
Result<Via> ParseVia(Scanner& scanner);
Result<NameAddr> ParseNameAddr(Scanner& scanner);

// Elements of a comma-separated list of addresses (Contact, Route, Record-Route, Path) over all
// fields of that id, in order.
class AddressList {
 public:
  AddressList(const Message& message, HeaderId id)
      : message_(message), field_(message.First(id)), scanner_({}) {
    Load();
  }
  // kItem fills `out`. After kMalformed the list is over.
  Next NextItem(NameAddr& out);

 private:
  void Load() {
    if (field_ != nullptr) {
      scanner_ = Scanner(message_.Value(*field_));
    }
  }
  const Message& message_;
  const HeaderField* field_;
  Scanner scanner_;
};

// Same for Via.
class ViaList {
 public:
  explicit ViaList(const Message& message)
      : message_(message), field_(message.First(HeaderId::kVia)), scanner_({}) {
    if (field_ != nullptr) {
      scanner_ = Scanner(message_.Value(*field_));
    }
  }
  Next NextItem(Via& out);

 private:
  const Message& message_;
  const HeaderField* field_;
  Scanner scanner_;
};

// Tokens of a comma-separated list (Require, Supported, Allow): calls `visit(token)`; stops and
// returns false when it does, or at a malformed list.
template <typename Visit>
bool ForEachToken(const Message& message, HeaderId id, Visit visit) {
  for (const HeaderField* f = message.First(id); f != nullptr; f = message.NextSame(*f)) {
    Scanner scanner(message.Value(*f));
    while (!scanner.at_end()) {
      const std::string_view token = scanner.Run(kToken);
      if (token.empty() || !visit(token) || (!scanner.at_end() && !scanner.Take(','))) {
        return false;
      }
    }
  }
  return true;
}

// The dialog a Replaces names, as who gets it sees it (RFC 3891).
struct Replaces {
  std::string_view call_id;
  std::string_view to_tag;    // his own
  std::string_view from_tag;  // the other's
};
std::optional<Replaces> ParseReplaces(std::string_view text);

// RFC 3261 Date: "Sat, 13 Nov 2010 23:29:00 GMT", nothing else. Seconds since 1970.
std::optional<int64_t> ParseSipDate(std::string_view text);

}  // namespace gh::sip
