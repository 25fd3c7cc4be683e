// Push (XEP-0357): clients have a service of theirs told that something waits, for when they are
// not there. Which services is kept with the account's private items, one each.
//
// Told is who registered from a resource that is not connected when a message comes that is kept
// for the user. What: how many messages wait; who wrote what only where the operator wants it.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kNode = "push";
constexpr std::string_view kIdBegin = "notify-";

// jid, node, resource, and a form of publish-options; new lines between.
struct Registration {
  static bool Read(std::string_view text, Registration& out) {
    for (std::string_view* part : {&out.jid, &out.node, &out.resource}) {
      const size_t end = text.find('\n');
      if (end == std::string_view::npos) {
        return false;
      }
      *part = text.substr(0, end);
      text.remove_prefix(end + 1);
    }
    out.form = text;
    return true;
  }
  std::string_view jid, node, resource, form;
};

bool IsPlain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<uint8_t>(c) >= ' '; });
}

}  // namespace

void Engine::OnPush(Session& session, const Node& stanza, const Node& query) {
  Account& account = *session.account;
  const auto jid = Address::Parse(query.Get("jid"));
  const std::string_view name = query.Get("node");
  if (!config_.push || session.is_remote) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  if (!jid.ok() || !IsPlain(name) || name.size() > kItemNameMax) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  ItemNode* node = items_->Find(account, kNode, true);
  if (node != nullptr) {
    for (Item& item : node->items) {
      Registration had;
      if (!Registration::Read(items_->Read(account, *node, item, scratch3_), had) ||
          (had.jid == jid->full() && (name.empty() || had.node == name))) {
        items_->Remove(account, *node, item);
      }
    }
  }
  session.last_commit = std::max(session.last_commit, keeper_.gathering());
  if (query.name == "disable") {
    SendResult(session, stanza, "");
    return;
  }
  ItemNode wanted;
  wanted.access = ItemAccess::kWhitelist;
  wanted.is_private = true;
  wanted.item_max = kPushMax;
  node = node != nullptr ? node : items_->Make(account, kNode, wanted);
  ByteWriter text(scratch3_);
  text.Text(jid->full());
  text.Char('\n');
  text.Text(name);
  text.Char('\n');
  text.Text(session.resource.view());
  text.Char('\n');
  if (const Node* form = query.Child("x", ns::kForm)) {
    WriteElement(*form, {}, text);
  }
  uint8_t id_bytes[24];
  ByteWriter id(id_bytes);
  id.Hex(random_.U64(), 16);
  if (!text.ok() || text.size() > kPushBytesMax || node == nullptr ||
      items_->Put(account, *node, id.text(), text.text()) == nullptr) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  SendResult(session, stanza, "");
}

// A message was kept, or sent to somebody who may be away.
void Engine::NotifyPush(Account& account, std::string_view from, std::string_view body) {
  ItemNode* node =
      config_.push && !account.nodes.empty() ? items_->Find(account, kNode, true) : nullptr;
  if (node == nullptr) {
    return;
  }
  for (Item& item : node->items) {
    Registration push;
    if (!Registration::Read(items_->Read(account, *node, item, scratch3_), push)) {
      continue;
    }
    const Session* there = FindSession(account, push.resource);
    if (there == nullptr || !there->connected) {
      SendPush(account, push.jid, push.node, push.form, from, body);
    }
  }
}

void Engine::SendPush(Account& account, std::string_view jid, std::string_view node,
                      std::string_view form, std::string_view from, std::string_view body) {
  const auto field = [](std::string_view name, std::string_view value, ByteWriter& out) {
    out.Text("<field var='");
    out.Text(name);
    out.Text("'><value>");
    WriteEscaped(value, out);
    out.Text("</value></field>");
  };
  const auto to = Address::Parse(jid);
  uint8_t count_bytes[16];
  ByteWriter count(count_bytes);
  count.Decimal(std::max<uint32_t>(account.waiting.size(), 1));
  ByteWriter out(scratch2_);
  out.Text("<iq type='set'");
  WriteAttribute("from", account.name.view(), out);
  WriteAttribute("to", jid, out);
  out.Text(" id='");
  out.Text(kIdBegin);
  out.Decimal(next_id_++);
  out.Text("'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish");
  WriteAttribute("node", node, out);
  out.Text("><item><notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>");
  field("FORM_TYPE", "urn:xmpp:push:summary", out);
  field("message-count", count.text(), out);
  if (config_.push_contents) {
    field("last-message-sender", from, out);
    field("last-message-body", Shortened(body, kPushBodyMax), out);
  }
  out.Text("</x></notification></item></publish>");
  if (!form.empty()) {
    out.Text("<publish-options>");
    out.Text(form);
    out.Text("</publish-options>");
  }
  out.Text("</pubsub></iq>");
  if (!out.ok() || !to.ok()) {
    return;
  }
  ++counters_.pushes;
  if (!IsLocal(to->domain())) {
    (void)ToRemote(account.name.view(), to->domain(), out.written());
  } else {
    SendTo(nullptr, to->full(), out.written());
  }
}

// An error of a push service, for good: it is not asked again. False: it is none.
bool Engine::OnPushAnswer(Account& account, const Node& stanza, std::string_view from) {
  if (stanza.Get("type") != "error" || !stanza.Get("id").starts_with(kIdBegin)) {
    return false;
  }
  const Node* error = stanza.Child("error", ns::kClient);
  ItemNode* node = items_->Find(account, kNode, true);
  if (error != nullptr && error->Get("type") == "wait") {
    return true;
  }
  if (node == nullptr) {
    return true;
  }
  for (Item& item : node->items) {
    Registration push;
    if (Registration::Read(items_->Read(account, *node, item, scratch3_), push) &&
        push.jid == from) {
      items_->Remove(account, *node, item);
      observer_.OnPushGone(account.name.view(), from, "it answers with an error");
    }
  }
  return true;
}

}  // namespace gh::xmpp
