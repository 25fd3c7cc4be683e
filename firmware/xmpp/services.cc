// What the server offers beside streams: how it describes itself, slots for files (XEP-0363).
#include <charconv>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kQueryEnd = "</query>";

void StartForm(std::string_view type, ByteWriter& out) {
  out.Text("<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>");
  out.Text(type);
  out.Text("</value></field>");
}

void WriteField(std::string_view name, uint64_t value, ByteWriter& out) {
  out.Text("<field var='");
  out.Text(name);
  out.Text("'><value>");
  out.Decimal(value);
  out.Text("</value></field>");
}

// Offers of files from client to client, by whatever extension (XEP-0096, 0065, 0047, 0066, 0234).
bool IsFileOffer(const Node& stanza) {
  const Node* query = stanza.FirstElement();
  if (stanza.name != "iq" || stanza.Get("type") != "set" || query == nullptr) {
    return false;
  }
  if (query->space == "urn:xmpp:jingle:1") {
    for (const Node* content = query->FirstElement(); content != nullptr;
         content = content->NextElement()) {
      for (const Node* each = content->FirstElement(); each != nullptr;
           each = each->NextElement()) {
        if (each->space.starts_with("urn:xmpp:jingle:apps:file-transfer:")) {
          return true;
        }
      }
    }
    return false;
  }
  for (std::string_view space :
       {"http://jabber.org/protocol/si", "http://jabber.org/protocol/bytestreams",
        "http://jabber.org/protocol/ibb", "jabber:iq:oob"}) {
    if (query->space == space) {
      return true;
    }
  }
  return false;
}

// Messages that say something; not that somebody is typing, or has read.
bool IsRecorded(const Node& stanza) {
  if (stanza.name != "message" || stanza.Get("type") == "error") {
    return false;
  }
  for (const Node* child = stanza.FirstElement(); child != nullptr; child = child->NextElement()) {
    if (child->space != "http://jabber.org/protocol/chatstates" &&
        child->space != "urn:xmpp:receipts" && child->space != "urn:xmpp:chat-markers:0" &&
        child->space != ns::kHints && child->name != "thread") {
      return true;
    }
  }
  return false;
}

}  // namespace

// `features`: a whole <query/>; what depends on settings goes into it.
void Engine::DescribeServer(Session& session, const Node& stanza, std::string_view features) {
  GH_ASSERT(features.ends_with(kQueryEnd));
  ByteWriter out(scratch2_);
  out.Text(features.substr(0, features.size() - kQueryEnd.size()));
  out.Text(config_.search ? "<feature var='jabber:iq:search'/>" : "");
  if (uploads_ != nullptr && uploads_->is_on()) {
    out.Text("<identity category='store' type='file' name='Files'/>");
    out.Text("<feature var='urn:xmpp:http:upload:0'/>");
    StartForm(ns::kUpload, out);
    WriteField("max-file-size", uploads_->config().size_max, out);
    out.Text("</x>");
  }
  StartForm("urn:gatehouse:client-policy", out);
  WriteField("history", config_.client_history ? 1 : 0, out);
  WriteField("cut-paste", config_.client_cut_paste ? 1 : 0, out);
  out.Text("</x>");
  out.Text(kQueryEnd);
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// What the policy lets pass; else it is answered.
bool Engine::MayPass(Session& session, const Node& stanza, const Address& to) {
  if (!config_.file_transfer && IsFileOffer(stanza)) {
    ++counters_.refused;
    AnswerError(session, stanza, "cancel", "not-allowed");
    return false;
  }
  if (recorder_ == nullptr || !IsRecorded(stanza)) {
    return true;
  }
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch_);
  WriteStanza(stanza, {FullOf(session, full_bytes), to.full()}, out);
  if (!out.ok() || !recorder_->Record(out.written())) {
    ++counters_.refused;
    AnswerError(session, stanza, "wait", "resource-constraint");
    return false;
  }
  return true;
}

void Engine::OnUploadRequest(Session& session, const Node& stanza, const Node& request) {
  if (uploads_ == nullptr || !uploads_->is_on()) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  if (session.is_remote) {
    AnswerError(session, stanza, "auth", "forbidden");
    return;
  }
  Uploads::Wish wish;
  wish.owner = session.account->name.view();
  wish.domain = DomainOf(*session.account);
  wish.name = request.Get("filename");
  wish.type = request.Get("content-type");
  const std::string_view size = request.Get("size");
  const auto read = std::from_chars(size.data(), size.data() + size.size(), wish.size);
  if (read.ec != std::errc() || read.ptr != size.data() + size.size()) {
    wish.size = 0;
  }
  uint8_t bytes[2048];
  ByteWriter out(bytes);
  Uploads::Slot slot;
  switch (uploads_->Ask(wish, host_.UnixSeconds(), slot)) {
    case Uploads::Answer::kYes:
      out.Text("<slot xmlns='urn:xmpp:http:upload:0'><put");
      WriteAttribute("url", slot.put.view(), out);
      out.Text("/><get");
      WriteAttribute("url", slot.get.view(), out);
      out.Text("/></slot>");
      SendResult(session, stanza, out.text(), stanza.Get("to"));
      return;
    case Uploads::Answer::kMalformed:
      AnswerError(session, stanza, "modify", "bad-request");
      return;
    case Uploads::Answer::kTooLarge:
      out.Text("<file-too-large xmlns='urn:xmpp:http:upload:0'><max-file-size>");
      out.Decimal(uploads_->config().size_max);
      out.Text("</max-file-size></file-too-large>");
      AnswerError(session, stanza, "modify", "not-acceptable", out.text());
      return;
    case Uploads::Answer::kQuota:
      AnswerError(session, stanza, "cancel", "resource-constraint");
      return;
    case Uploads::Answer::kBusy:
      AnswerError(session, stanza, "wait", "resource-constraint");
      return;
  }
}

}  // namespace gh::xmpp
