#include "firmware/sip/dialog_record.h"

#include "firmware/sip/dialog_token.h"
#include "firmware/sip/writer.h"

namespace gh::sip {
namespace {

std::string_view ContactOf(const Message& message) {
  AddressList list(message, HeaderId::kContact);
  NameAddr contact;
  const bool has = list.NextItem(contact) == Next::kItem && !contact.is_star;
  return has && contact.uri.is_sip() ? contact.uri_text : std::string_view();
}

}  // namespace

std::string_view DialogRecord::Get(Part part) const {
  size_t at = 0;
  for (size_t i = 0; i < part; ++i) {
    at += sizes_[i];
  }
  return {text_.data() + at, sizes_[part]};
}

bool DialogRecord::Set(Part part, std::string_view value) {
  size_t before = 0;
  size_t total = 0;
  for (size_t i = 0; i < kPartCount; ++i) {
    before += i < part ? sizes_[i] : 0u;
    total += sizes_[i];
  }
  const size_t behind = before + sizes_[part];
  if (total - sizes_[part] + value.size() > text_.size()) {
    return false;
  }
  std::memmove(text_.data() + before + value.size(), text_.data() + behind, total - behind);
  if (!value.empty()) {
    std::memcpy(text_.data() + before, value.data(), value.size());
  }
  sizes_[part] = static_cast<uint16_t>(value.size());
  return true;
}

// The caller's side of us: what was in the INVITE when it came.
bool DialogRecord::TakeCallerRoutes(const Message& request) {
  std::array<char, kDialogRecordBytes> text;
  size_t size = 0;
  AddressList list(request, HeaderId::kRecordRoute);
  NameAddr route;
  while (list.NextItem(route) == Next::kItem) {
    if (size + 1 + route.text.size() > text.size()) {
      return false;
    }
    if (size != 0) {
      text[size++] = ',';
    }
    std::memcpy(text.data() + size, route.text.data(), route.text.size());
    size += route.text.size();
  }
  return Set(kCallerRoutes, {text.data(), size});
}

// The callee's side: what the answer has above ours, the nearest to us first.
bool DialogRecord::TakeCalleeRoutes(const Core& core, const Message& answer) {
  std::array<char, kDialogRecordBytes> text;
  size_t start = text.size();  // put together from the end
  AddressList list(answer, HeaderId::kRecordRoute);
  NameAddr route;
  while (list.NextItem(route) == Next::kItem &&
         !ReadDialogToken(core, route.uri.user, answer.call_id())) {
    const size_t comma = start == text.size() ? 0 : 1;
    if (route.text.size() + comma > start) {
      return false;
    }
    if (comma != 0) {
      text[--start] = ',';
    }
    start -= route.text.size();
    std::memcpy(text.data() + start, route.text.data(), route.text.size());
  }
  return Set(kCalleeRoutes, {text.data() + start, text.size() - start});
}

Uri DialogRecord::NextHop(bool to_caller) const {
  if (const std::string_view routes = Get(to_caller ? kCallerRoutes : kCalleeRoutes);
      !routes.empty()) {
    Scanner scanner(routes);
    const auto route = ParseNameAddr(scanner);
    return route.ok() ? route->uri : Uri{};
  }
  const auto contact = ParseUri(Get(to_caller ? kCallerContact : kCalleeContact));
  return contact.ok() ? *contact : Uri{};
}

bool DialogRecord::Take(const Core& core, const Message& request, const Message& answer) {
  Clear();
  const std::string_view caller = ContactOf(request);
  const std::string_view callee = ContactOf(answer);
  return !caller.empty() && !callee.empty() && Set(kCallId, answer.call_id()) &&
         Set(kCaller, answer.from().text) && Set(kCallee, answer.to().text) &&
         Set(kCallerContact, caller) && Set(kCalleeContact, callee) && TakeCallerRoutes(request) &&
         TakeCalleeRoutes(core, answer);
}

bool DialogRecord::TakeSubscribe(const Message& request, uint64_t to_tag) {
  Clear();
  std::array<uint8_t, kDialogRecordBytes> bytes;
  ByteWriter to(bytes);
  to.Text(request.to().text);
  to.Text(";tag=");
  to.Hex(to_tag, 16);
  const std::string_view contact = ContactOf(request);
  return to.ok() && !contact.empty() && Set(kCallId, request.call_id()) &&
         Set(kCaller, request.from().text) && Set(kCallee, to.text()) &&
         Set(kCallerContact, contact) && Set(kCalleeContact, request.uri().user) &&
         TakeCallerRoutes(request);
}

bool DialogRecord::SetContact(bool of_caller, const Message& message) {
  const Part part = of_caller ? kCallerContact : kCalleeContact;
  const std::string_view contact = ContactOf(message);
  return !contact.empty() && contact != Get(part) && Set(part, contact);
}

void WriteBye(ByteWriter& out, const DialogRecord& record, const ByeSpec& spec) {
  using R = DialogRecord;
  out.Text("BYE ");
  out.Text(record.Get(spec.to_caller ? R::kCallerContact : R::kCalleeContact));
  out.Text(" SIP/2.0\r\nVia: SIP/2.0/");
  out.Text(TransportName(spec.listener.transport));
  out.Char(' ');
  WriteHostPort(out, spec.listener.advertise);
  out.Text(spec.listener.transport == TransportKind::kUdp ? ";rport;branch=" : ";branch=");
  out.Text(spec.branch);
  out.Text("\r\nMax-Forwards: 70\r\n");
  const std::string_view routes = record.Get(spec.to_caller ? R::kCallerRoutes : R::kCalleeRoutes);
  if (!routes.empty()) {
    out.Text("Route: ");
    out.Text(routes);
    out.Text("\r\n");
  }
  out.Text("From: ");
  out.Text(record.Get(spec.to_caller ? R::kCallee : R::kCaller));
  out.Text("\r\nTo: ");
  out.Text(record.Get(spec.to_caller ? R::kCaller : R::kCallee));
  out.Text("\r\nCall-ID: ");
  out.Text(record.Get(R::kCallId));
  out.Text("\r\nCSeq: ");
  out.Decimal(spec.cseq);
  out.Text(" BYE\r\nReason: SIP;cause=200;text=\"");
  out.Text(spec.reason);
  out.Text("\"\r\nContent-Length: 0\r\n\r\n");
}

}  // namespace gh::sip
