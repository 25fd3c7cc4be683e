// A stanza of a bound session: who it is for, and what is answered when it cannot be.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

// Of a stanza we wrote: it comes first. Rooms' names need no escapes.
std::string_view FromOf(std::span<const uint8_t> stanza) {
  const std::string_view text = AsText(stanza);
  constexpr std::string_view kFrom = " from='";
  const size_t at = text.find(kFrom);
  const std::string_view rest = text.substr(std::min(at + kFrom.size(), text.size()));
  return at == std::string_view::npos ? std::string_view() : rest.substr(0, rest.find('\''));
}

// A push of a roster, of blocked addresses or of privacy lists, which clients believe when it
// comes.
bool IsServersToSay(const Node& stanza) {
  const Node* query = stanza.FirstElement();
  return stanza.name == "iq" && stanza.Get("type") == "set" && query != nullptr &&
         (query->space == ns::kRoster || query->space == ns::kBlocking ||
          query->space == ns::kPrivacy);
}

bool IsRequest(const Node& stanza) {
  return stanza.Get("type") == "get" || stanza.Get("type") == "set";
}

}  // namespace

std::string_view Engine::FullOf(const Session& session, std::span<uint8_t> out) const {
  ByteWriter writer(out);
  writer.Text(session.account->name.view());
  if (!session.resource.empty()) {  // a server's own, of another server
    writer.Char('/');
    writer.Text(session.resource.view());
  }
  GH_ASSERT(writer.ok());
  return writer.text();
}

bool Engine::IsLocal(std::string_view domain) const {
  return std::any_of(config_.domains.begin(), config_.domains.begin() + config_.domain_count,
                     [&](const auto& own) { return own == domain; });
}

void Engine::OnStanza(Session& session, Node& stanza) {
  if (OnManagement(session, stanza)) {
    return;
  }
  const bool is_message = stanza.Is("message", ns::kClient);
  const bool is_presence = stanza.Is("presence", ns::kClient);
  const bool is_query = stanza.Is("iq", ns::kClient);
  if (!is_message && !is_presence && !is_query) {
    StreamError(session, "unsupported-stanza-type", "an element that is no stanza");
    return;
  }
  ++session.handled;
  session.allowance -= kStanzaAllowance;
  ++counters_.stanzas_in;
  ++(is_message ? counters_.messages : is_presence ? counters_.presences : counters_.queries);
  if (const std::string_view from = stanza.Get("from"); !from.empty()) {
    uint8_t full_bytes[kAddressMax];
    const auto claimed = Address::Parse(from);
    if (!claimed.ok() || (claimed->full() != session.account->name.view() &&
                          claimed->full() != FullOf(session, full_bytes))) {
      StreamError(session, "invalid-from", "it spoke for somebody else");
      return;
    }
  }
  DropForged(stanza);
  const std::string_view to = stanza.Get("to");
  if (to.empty() && !is_message) {
    if (is_presence) {
      OnPresence(session, stanza, nullptr);
    } else {
      OnQuery(session, stanza, nullptr);
    }
    return;
  }
  const auto address = Address::Parse(to.empty() ? session.account->name.view() : to);
  if (!address.ok()) {
    AnswerError(session, stanza, "modify", "jid-malformed");
    return;
  }
  Route(session, stanza, *address);
}

void Engine::Route(Session& session, Node& stanza, const Address& to) {
  const bool is_blocked = directory_->IsBlocked(*session.account, to);
  if ((is_blocked || Denies(session, to, kPrivacyRest)) && stanza.Get("type") != "error" &&
      to.bare() != session.account->name.view()) {
    AnswerError(session, stanza, "cancel", "not-acceptable",
                is_blocked ? "<blocked xmlns='urn:xmpp:blocking:errors'/>" : "");
    return;
  }
  if (stanza.name == "message" && !config_.messages) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  if (!MayPass(session, stanza, to)) {
    return;
  }
  if (rooms_->Serves(to.domain())) {
    uint8_t full_bytes[kAddressMax];
    if (const auto from = Address::Parse(FullOf(session, full_bytes)); from.ok()) {
      rooms_->OnStanza({session.is_remote ? nullptr : &session, &*from}, stanza, to);
    }
    return;
  }
  if (stanza.name == "presence") {
    OnPresence(session, stanza, &to);
    return;
  }
  if (stanza.name == "message" && IsSpoken(stanza)) {
    NoteReply(session, to.bare());
  }
  if (!IsLocal(to.domain())) {
    SendAway(session, stanza, to);
    return;
  }
  if (to.local().empty()) {
    if (stanza.name == "iq") {
      OnQuery(session, stanza, &to);
    } else {
      AnswerError(session, stanza, "cancel", "service-unavailable");
    }
    return;
  }
  Account* account = directory_->Find(to.bare());
  if (account == nullptr) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  RouteToAccount(session, stanza, to, *account);
}

void Engine::RouteToAccount(Session& session, Node& stanza, const Address& to, Account& account) {
  uint8_t full_bytes[kAddressMax];
  const std::string_view full = FullOf(session, full_bytes);
  if (const auto from = Address::Parse(full);
      &account != session.account && from.ok() &&
      (Blocks(account, *from) || DeniesStanza(account, to, *from, stanza))) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  if (stanza.name == "message") {
    OnMessage(session, stanza, to, account);
    return;
  }
  if (!to.has_resource()) {
    OnQuery(session, stanza, &to);
    return;
  }
  Session* target = FindSession(account, to.resource());
  if (target == nullptr || IsServersToSay(stanza) ||
      (IsRequest(stanza) && Sifts(*target, kSiftIq, full, false))) {
    AnswerError(session, stanza, "cancel", "service-unavailable");
    return;
  }
  ByteWriter out(scratch_);
  WriteStanza(stanza, {full, to.full()}, out);
  if (!out.ok()) {
    AnswerError(session, stanza, "modify", "policy-violation");
    return;
  }
  SendStanza(*target, out.written());
}

// --- For rooms -----------------------------------------------------------------------------------

void Engine::SendTo(Session* session, std::string_view full, std::span<const uint8_t> stanza) {
  if (session != nullptr) {
    SendStanza(*session, stanza);
    return;
  }
  const auto to = Address::Parse(full);
  if (to.ok() && !IsLocal(to->domain())) {
    // What cannot be sent there comes back as an error, and the occupant is out.
    (void)ToRemote(FromOf(stanza), to->domain(), stanza);
    return;
  }
  Account* account = to.ok() ? directory_->Find(to->bare()) : nullptr;
  Session* target = account != nullptr ? FindSession(*account, to->resource()) : nullptr;
  if (target != nullptr) {
    SendStanza(*target, stanza);
  }
}

void Engine::SendToUser(const Address& to, std::span<const uint8_t> stanza) {
  if (!IsLocal(to.domain())) {
    (void)ToRemote(FromOf(stanza), to.domain(), stanza);
    return;
  }
  Account* account = directory_->Find(to.bare());
  const auto from = Address::Parse(FromOf(stanza));
  if (account == nullptr || !from.ok() || Blocks(*account, *from) ||
      DeniesAll(*account, *from, kPrivacyMessage)) {
    return;
  }
  Session* only = to.has_resource() ? FindSession(*account, to.resource()) : nullptr;
  if (DeliverMessage(*account, stanza, true, nullptr, only) == Delivery::kNobody &&
      account->waiting.size() < config_.messages_per_user) {
    (void)PutBy(*account, stanza, nullptr);
  }
}

void Engine::OnKept(Session* session, uint64_t commit) {
  Session& sender = session != nullptr ? *session : remote_session_;  // of another server's
  sender.last_commit = std::max(sender.last_commit, commit);
}

// To who sent it; what is an answer itself gets none.
void Engine::AnswerError(Session& session, const Node& stanza, std::string_view type,
                         std::string_view condition, std::string_view more) {
  const std::string_view its_type = stanza.Get("type");
  if (its_type == "error" || its_type == "result") {
    return;
  }
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch_);
  out.Char('<');
  out.Text(stanza.name);
  if (const auto to = Address::Parse(stanza.Get("to")); to.ok()) {
    WriteAttribute("from", to->full(), out);
  }
  if (session.state >= SessionState::kBound) {
    WriteAttribute("to", FullOf(session, full_bytes), out);
  }
  if (const Attribute* id = stanza.Find("id")) {
    WriteAttribute("id", id->value, out);
  }
  out.Text(" type='error'><error type='");
  out.Text(type);
  out.Text("'><");
  out.Text(condition);
  out.Text(" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>");
  out.Text(more);
  out.Text("</error></");
  out.Text(stanza.name);
  out.Char('>');
  if (!out.ok()) {
    return;
  }
  if (session.state >= SessionState::kBound) {
    SendStanza(session, out.written());
  } else {
    Write(session, out.written());
  }
}

void Engine::SendResult(Session& session, const Node& query, std::string_view payload,
                        std::string_view from) {
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch_);
  out.Text("<iq type='result'");
  WriteAttribute("id", query.Get("id"), out);
  if (!from.empty()) {
    WriteAttribute("from", from, out);
  }
  WriteAttribute("to", FullOf(session, full_bytes), out);
  out.Char('>');
  out.Text(payload);
  out.Text("</iq>");
  if (!out.ok()) {
    AnswerError(session, query, "wait", "resource-constraint");
    return;
  }
  SendStanza(session, out.written());
}

}  // namespace gh::xmpp
