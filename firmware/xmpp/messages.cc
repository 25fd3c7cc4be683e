// Messages: to whom they go (RFC 6121 section 8.5), copies (XEP-0280), and what waits for those
// who are away.
//
// What is sent to a session that acknowledges (XEP-0198) is kept in the store until it has; most
// of it is acknowledged before the keeper's next commit, and never touches the disk.
#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/stamp.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kEnd = "</message>";

// XEP-0359, of an archive's entry; nothing when it is not archived.
void WriteStanzaId(std::string_view by, uint64_t number, ByteWriter& out) {
  if (number != 0) {
    out.Text("<stanza-id xmlns='urn:xmpp:sid:0'");
    WriteAttribute("by", by, out);
    out.Text(" id='");
    WriteArchiveId(number, out);
    out.Text("'/>");
  }
}

bool IsChatOrNormal(std::string_view type) {
  return type != "groupchat" && type != "headline" && type != "error";
}

}  // namespace

// Somebody says something in it: more than a state of his keyboard.
bool Engine::IsSpoken(const Node& stanza) {
  return IsChatOrNormal(stanza.Get("type")) && stanza.Child("body", ns::kClient) != nullptr;
}

bool Engine::IsCopied(const Node& stanza) {
  const std::string_view type = stanza.Get("type");
  return (type == "chat" ||
          (IsChatOrNormal(type) && stanza.Child("body", ns::kClient) != nullptr)) &&
         stanza.Child("private", ns::kCarbons) == nullptr &&
         stanza.Child("no-copy", ns::kHints) == nullptr;
}

void Engine::OnMessage(Session& session, Node& stanza, const Address& to, Account& account) {
  const std::string_view type = stanza.Get("type");
  Session* only = to.has_resource() ? FindSession(account, to.resource()) : nullptr;
  if (only == nullptr && (type == "error" || (to.has_resource() && type == "headline"))) {
    return;
  }
  if (only == nullptr && type == "groupchat") {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  if (only == nullptr && IsChatOrNormal(type) && &account != session.account) {
    only = RepliedFrom(account, session.account->name.view());
    only = only != nullptr && DeniesFrom(*only, session, kPrivacyMessage) ? nullptr : only;
  }
  const bool is_kept = IsChatOrNormal(type) && stanza.Child("body", ns::kClient) != nullptr &&
                       stanza.Child("no-store", ns::kHints) == nullptr;
  uint8_t full_bytes[kAddressMax];
  const std::string_view full = FullOf(session, full_bytes);
  const auto from = Address::Parse(full);
  uint8_t id_bytes[kAddressMax * 6 + 96];
  ByteWriter id(id_bytes);
  if (from.ok()) {
    (void)ArchiveFor(*session.account, &session, stanza, full, to.full(), to);
    // To oneself is archived once.
    const uint64_t number = &account != session.account
                                ? ArchiveFor(account, &session, stanza, full, to.full(), *from)
                                : 0;
    WriteStanzaId(account.name.view(), number, id);
  }
  ByteWriter out(scratch_);
  WriteStanza(stanza, {full, to.full(), id.text()}, out);
  if (!out.ok()) {
    AnswerError(session, stanza, "modify", "policy-violation");
    return;
  }
  if (DeliverMessage(account, out.written(), is_kept, &session, only) == Delivery::kNobody) {
    if (is_kept && (account.waiting.size() >= config_.messages_per_user ||
                    PutBy(account, out.written(), &session) == 0)) {
      ++counters_.refused;
      AnswerError(session, stanza, "cancel", "service-unavailable");
      return;
    }
  }
  if (IsCopied(stanza)) {
    CarbonCopies(session, stanza, to, &account, only);
  }
  if (is_kept) {
    NotifyPush(account, from.ok() ? from->bare() : full, stanza.Child("body", ns::kClient)->Text());
  }
}

// Keeps the message as one that was delayed; its number, 0: there is no room.
uint64_t Engine::PutBy(Account& account, std::span<const uint8_t> stanza, Session* sender) {
  const std::string_view text = AsText(stanza);
  GH_ASSERT(text.ends_with(kEnd));
  ByteWriter out(scratch2_);
  out.Text(text.substr(0, text.size() - kEnd.size()));
  out.Text("<delay xmlns='urn:xmpp:delay' from='");
  out.Text(account.name.view().substr(account.name.view().find('@') + 1));
  out.Text("' stamp='");
  WriteStamp(host_.UnixSeconds(), out);
  out.Text("'/>");
  out.Text(kEnd);
  uint64_t commit = 0;
  const Waiting* waiting =
      out.ok() ? directory_->KeepMessage(account, out.written(), commit) : nullptr;
  if (waiting == nullptr) {
    return 0;
  }
  ++counters_.kept;
  if (sender != nullptr) {
    sender->last_commit = commit;
  }
  return waiting->number;
}

Engine::Delivery Engine::DeliverMessage(Account& account, std::span<const uint8_t> bytes, bool keep,
                                        Session* sender, Session* only) {
  const auto is_target = [&](const Session& at) {
    return !at.doomed && (only != nullptr ? &at == only : at.available && at.priority >= 0) &&
           !IsHeldOff(at, bytes);
  };
  uint32_t managed = 0;
  uint32_t count = 0;
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    count += is_target(*at) ? 1 : 0;
    managed += is_target(*at) && at->managed ? 1 : 0;
  }
  if (count == 0) {
    return Delivery::kNobody;
  }
  uint64_t number = 0;
  if (keep && managed > 0) {
    number = PutBy(account, bytes, sender);
    Waiting* waiting = number != 0 ? directory_->FindMessage(account, number) : nullptr;
    if (waiting == nullptr) {
      return Delivery::kNobody;  // nothing is promised that is not kept
    }
    waiting->in_flight = managed;
  }
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (is_target(*at)) {
      SendStanza(*at, bytes, at->managed ? number : 0);
    }
  }
  return Delivery::kDelivered;
}

void Engine::SendWaiting(Session& session) {
  Account& account = *session.account;
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (at->reads_offline) {
      return;  // XEP-0013 section 2.2
    }
  }
  for (Waiting& waiting : account.waiting) {
    if (session.doomed || !session.connected || !config_.messages) {
      return;
    }
    if (waiting.in_flight > 0) {
      continue;
    }
    const auto stanza = directory_->ReadMessage(account, waiting, scratch2_);
    if (stanza.empty()) {
      directory_->RemoveMessage(account, waiting);
      continue;
    }
    if (IsHeldOff(session, stanza)) {
      continue;
    }
    ++counters_.delivered;
    if (session.managed) {
      waiting.in_flight = 1;
      SendStanza(session, stanza, waiting.number);
    } else {
      SendStanza(session, stanza);
      directory_->RemoveMessage(account, waiting);
    }
  }
}

// --- Copies --------------------------------------------------------------------------------------

void Engine::CarbonCopies(Session& sender, const Node& stanza, const Address& to,
                          Account* recipient, const Session* only) {
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch2_);
  WriteStanza(stanza, {FullOf(sender, full_bytes), to.full(), {}, true}, out);
  if (!out.ok()) {
    return;
  }
  SendCarbon(*sender.account, "sent", &sender, out.written(), recipient == sender.account);
  if (only != nullptr && recipient != sender.account) {
    SendCarbon(*recipient, "received", only, out.written(), false);
  }
}

// `has_it`: those that are available got the message itself.
void Engine::SendCarbon(Account& account, const char* direction, const Session* except,
                        std::span<const uint8_t> forwarded, bool has_it) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (at == except || !at->carbons || at->doomed ||
        (has_it && at->available && at->priority >= 0) || IsHeldOff(*at, forwarded)) {
      continue;
    }
    uint8_t full_bytes[kAddressMax];
    ByteWriter out(scratch_);
    out.Text("<message");
    WriteAttribute("from", account.name.view(), out);
    WriteAttribute("to", FullOf(*at, full_bytes), out);
    out.Text(" type='chat'><");
    out.Text(direction);
    out.Text(" xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>");
    out.Bytes(forwarded);
    out.Text("</forwarded></");
    out.Text(direction);
    out.Text("></message>");
    if (out.ok()) {
      SendStanza(*at, out.written());
    }
  }
}

}  // namespace gh::xmpp
