// Messages that wait, one by one (XEP-0013): how many there are, from whom, each shown and removed
// at its user's word. Who asks is not sent them with his presence, nor is any session of his while
// that one is there.
//
// A message goes by its number, in hexadecimal of fixed width, so that later ones sort behind. What
// was sent to a session that has not acknowledged it yet is not among them. One answer has so many
// of them and so many bytes; what is beyond is there when those are removed.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kEnd = "</message>";

void WriteNode(uint64_t number, ByteWriter& out) {
  out.Text(" node='");
  out.Hex(number, kNumberDigits);
  out.Char('\'');
}

}  // namespace

bool Engine::IsOfflineQuery(const Node& query) {
  return query.Is("offline", ns::kOffline) ||
         ((query.Is("query", ns::kInfo) || query.Is("query", ns::kItems)) &&
          query.Get("node") == ns::kOffline);
}

// What waits, and is on its way to nobody; null: there is none of that name.
Waiting* Engine::FindOffline(Account& account, const Node& item) {
  const std::string_view node = item.Get("node");
  uint64_t number = 0;
  Waiting* waiting = node.size() == kNumberDigits && ReadHex(node, number)
                         ? directory_->FindMessage(account, number)
                         : nullptr;
  return waiting != nullptr && waiting->in_flight == 0 ? waiting : nullptr;
}

void Engine::OnOffline(Session& session, const Node& stanza, const Node& query, bool is_set) {
  if (query.space == ns::kInfo || query.space == ns::kItems) {
    if (is_set) {
      AnswerError(session, stanza, "modify", "bad-request");
      return;
    }
    session.reads_offline = true;
    if (query.space == ns::kInfo) {
      CountOffline(session, stanza);
    } else {
      ListOffline(session, stanza);
    }
    return;
  }
  const Node* first = query.FirstElement();
  const std::string_view action = is_set ? "remove" : "view";
  if (first == nullptr) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  const bool is_alone = first->NextElement() == nullptr;
  const bool fetches = is_alone && first->Is("fetch", ns::kOffline);  // slixmpp says it in a set
  const bool purges = is_alone && is_set && first->Is("purge", ns::kOffline);
  for (const Node* item = first; !fetches && !purges && item != nullptr;
       item = item->NextElement()) {
    if (!item->Is("item", ns::kOffline) || item->Get("action") != action) {
      AnswerError(session, stanza, "modify", "bad-request");
      return;
    }
    if (FindOffline(*session.account, *item) == nullptr) {
      AnswerError(session, stanza, "cancel", "item-not-found");
      return;
    }
  }
  if (is_set && !fetches) {
    RemoveOffline(session, stanza, purges ? nullptr : first);
    return;
  }
  session.reads_offline = true;
  SendOffline(session, stanza, fetches ? nullptr : first);
}

void Engine::CountOffline(Session& session, const Node& stanza) {
  uint32_t count = 0;
  for (const Waiting& waiting : session.account->waiting) {
    count += waiting.in_flight == 0 ? 1 : 0;
  }
  ByteWriter out(scratch2_);
  out.Text(
      "<query xmlns='http://jabber.org/protocol/disco#info' "
      "node='http://jabber.org/protocol/offline'>"
      "<identity category='automation' type='message-list'/>"
      "<feature var='http://jabber.org/protocol/offline'/>"
      "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
      "<value>http://jabber.org/protocol/offline</value></field>"
      "<field var='number_of_messages'><value>");
  out.Decimal(count);
  out.Text("</value></field></x></query>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

void Engine::ListOffline(Session& session, const Node& stanza) {
  Account& account = *session.account;
  ByteWriter out(scratch2_);
  out.Text(
      "<query xmlns='http://jabber.org/protocol/disco#items' "
      "node='http://jabber.org/protocol/offline'>");
  uint32_t count = 0;
  for (const Waiting& waiting : account.waiting) {
    uint8_t bytes[kRowMax];
    if (waiting.in_flight != 0) {
      continue;
    }
    if (++count > kOfflineListedMax) {
      break;
    }
    out.Text("<item");
    WriteAttribute("jid", account.name.view(), out);
    WriteNode(waiting.number, out);
    out.Text(" name='");
    out.Text(WrittenFrom(directory_->BeginningOf(account, waiting, bytes)));
    out.Text("'/>");
  }
  out.Text("</query>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// False: the answer would be too large.
bool Engine::ShowOffline(Session& session, const Waiting& waiting, uint32_t& room) {
  const std::string_view text =
      AsText(directory_->ReadMessage(*session.account, waiting, scratch2_));
  if (!text.ends_with(kEnd)) {
    return true;  // it cannot be read
  }
  ByteWriter out(scratch_);
  out.Text(text.substr(0, text.size() - kEnd.size()));
  out.Text("<offline xmlns='http://jabber.org/protocol/offline'><item");
  WriteNode(waiting.number, out);
  out.Text("/></offline></message>");
  if (!out.ok() || out.size() > room) {
    return false;
  }
  room -= static_cast<uint32_t>(out.size());
  FlushHeld(session);
  SendNow(session, out.written(), 0);  // asked for: past lists and the like
  return true;
}

// From `item` on, or all: what is shown stays.
void Engine::SendOffline(Session& session, const Node& stanza, const Node* item) {
  Account& account = *session.account;
  uint32_t room = kOfflineBytesMax;
  uint32_t count = 0;
  bool is_whole = true;
  if (item == nullptr) {
    for (const Waiting& waiting : account.waiting) {
      if (waiting.in_flight == 0 && is_whole) {
        is_whole = ++count <= kOfflineListedMax && ShowOffline(session, waiting, room);
      }
    }
  }
  for (; item != nullptr && is_whole; item = item->NextElement()) {
    const Waiting* waiting = FindOffline(account, *item);
    is_whole = ++count <= kOfflineListedMax &&
               (waiting == nullptr || ShowOffline(session, *waiting, room));
  }
  if (is_whole) {
    SendResult(session, stanza, "");
  } else {
    AnswerError(session, stanza, "wait", "resource-constraint");
  }
}

void Engine::RemoveOffline(Session& session, const Node& stanza, const Node* item) {
  Account& account = *session.account;
  if (item == nullptr) {
    for (Waiting& waiting : account.waiting) {
      if (waiting.in_flight == 0) {
        directory_->RemoveMessage(account, waiting);
      }
    }
  }
  for (; item != nullptr; item = item->NextElement()) {
    if (Waiting* waiting = FindOffline(account, *item)) {
      directory_->RemoveMessage(account, *waiting);
    }
  }
  session.last_commit = std::max(session.last_commit, keeper_.gathering());
  SendResult(session, stanza, "");
}

}  // namespace gh::xmpp
