// Any bytes as a message: index, check, and every value parser over what is there. What the parser
// accepts is written again as a response and parsed again.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "firmware/sip/busy_answer.h"
#include "firmware/sip/digest.h"
#include "firmware/sip/glance.h"
#include "firmware/sip/message.h"
#include "firmware/sip/throttle.h"
#include "firmware/sip/writer.h"

namespace {

using gh::sip::HeaderId;
using gh::sip::Message;

void WalkLists(const Message& message) {
  for (const HeaderId id :
       {HeaderId::kContact, HeaderId::kRoute, HeaderId::kRecordRoute, HeaderId::kPath}) {
    gh::sip::AddressList list(message, id);
    gh::sip::NameAddr address;
    while (list.NextItem(address) == gh::sip::Next::kItem) {
      if (address.uri_text.size() > gh::sip::kUriBytesMax) {
        std::abort();
      }
    }
  }
  for (const HeaderId id : {HeaderId::kRequire, HeaderId::kSupported, HeaderId::kAllow}) {
    gh::sip::ForEachToken(message, id, [](std::string_view token) { return !token.empty(); });
  }
  for (const HeaderId id : {HeaderId::kAuthorization, HeaderId::kProxyAuthorization}) {
    for (const auto* f = message.First(id); f != nullptr; f = message.NextSame(*f)) {
      gh::sip::ParseDigestCredentials(message.Value(*f)).ignore("only that it returns");
    }
  }
  gh::sip::ParseReplaces(message.ValueOf(HeaderId::kReplaces));
  gh::sip::ParseSipDate(message.ValueOf(HeaderId::kDate));
}

// What a look at the head says is what the whole check says, of a request that passes that.
void CompareTop(std::span<const uint8_t> bytes) {
  static Message top;
  static Message whole;
  if (!top.Index(bytes).ok() || !top.CheckTop() || !whole.Index(bytes).ok() ||
      whole.Check(true).verdict != gh::sip::Verdict::kGood) {
    return;
  }
  const bool has_tag = whole.method() != gh::sip::Method::kAck && !whole.to_tag().empty();
  if (top.method() != whole.method() || top.call_id() != whole.call_id() || has_tag ||
      top.via().branch != whole.via().branch || top.via().text != whole.via().text ||
      top.uri().user != whole.uri().user) {
    std::abort();
  }
  static std::array<uint8_t, 2 * gh::sip::kMessageBytesMax> room;
  gh::ByteWriter out(room);
  gh::sip::WriteResponse(out, top, {}, {.status = 503, .reason = {}, .to_tag = 1, .extra = {}});
  if (!out.ok() || !top.Index(out.written()).ok() ||
      top.Check(true).verdict != gh::sip::Verdict::kGood || top.to_tag().empty()) {
    std::abort();
  }
}

// An answer from the lines alone is a good response, that goes the way back and says it is this
// request's.
void CompareBusyAnswer(std::span<const uint8_t> bytes, const Message& request) {
  static std::array<uint8_t, 2 * gh::sip::kMessageBytesMax> room;
  static Message answer;
  gh::sip::Flow flow;
  flow.remote = {gh::net::IpAddress::V4(192, 0, 2, 1), 5060};
  gh::ByteWriter out(room);
  const auto via = gh::sip::GlanceAtVia(bytes, flow);
  if (!via || !gh::sip::WriteBusyAnswer(bytes, *via, flow, {{1, 2}, 3}, 10, out)) {
    return;
  }
  if (!answer.Index(out.written()).ok() || answer.Check(true).verdict != gh::sip::Verdict::kGood ||
      answer.is_request() || answer.status() != 503 ||
      answer.via().branch != request.via().branch || answer.via().branch != via->branch ||
      answer.via().host != via->host || answer.call_id() != request.call_id() ||
      answer.cseq() != request.cseq() || answer.from_tag() != request.from_tag() ||
      answer.to_tag().empty()) {
    std::abort();
  }
}

// What a glance takes for new is that, should the message pass the whole check.
void CompareGlance(std::span<const uint8_t> bytes) {
  static Message whole;
  const auto seen = gh::sip::GlanceAtNew(bytes);
  if (!seen || !whole.Index(bytes).ok() || whole.Check(true).verdict != gh::sip::Verdict::kGood) {
    return;
  }
  if (!whole.is_request() || whole.method() != seen->method || !whole.to_tag().empty() ||
      whole.Has(HeaderId::kRoute) || whole.uri().user != seen->user) {
    std::abort();
  }
  CompareBusyAnswer(bytes, whole);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  CompareGlance(bytes);
  Message::FindHeaderEnd(bytes, 0);
  Message::FindContentLength(bytes);
  Message message;
  if (size > gh::sip::kMessageBytesMax || !message.Index(bytes).ok()) {
    return 0;
  }
  WalkLists(message);
  CompareTop(bytes);
  for (const bool datagram : {true, false}) {
    const auto check = message.Check(datagram);
    gh::sip::ParseOverloadWord(message.via().params);
    if (check.verdict == gh::sip::Verdict::kDrop || !message.is_request()) {
      continue;
    }
    static std::array<uint8_t, 2 * gh::sip::kMessageBytesMax> room;
    gh::ByteWriter out(room);
    gh::sip::Flow flow;
    flow.remote = {gh::net::IpAddress::V4(192, 0, 2, 7), 5060};
    gh::sip::WriteResponse(out, message, flow,
                           {.status = 400, .reason = {}, .to_tag = 1, .extra = {}});
    if (!out.ok()) {
      std::abort();
    }
    // A response to an accepted request is itself acceptable.
    if (check.verdict == gh::sip::Verdict::kGood) {
      Message response;
      if (!response.Index(out.written()).ok() ||
          response.Check(true).verdict != gh::sip::Verdict::kGood) {
        std::abort();
      }
    }
    message.Index(bytes).ignore("it was well-formed before");
  }
  return 0;
}
