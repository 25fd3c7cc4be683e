// Users of other servers: what goes to them and what comes from them. How it travels is the
// business of whoever is the Remote (firmware/s2s).
//
// A stanza from another server is dealt with as if its sender had a session here, made for this one
// stanza: what is answered goes back by the Remote. Fault model: the other server has proved its
// domain and nothing else; what it sends is as hostile as a client's.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

std::string_view DomainPart(std::string_view address) {
  const std::string_view bare = BareOf(address);
  const size_t at = bare.find('@');
  return at == std::string_view::npos ? bare : bare.substr(at + 1);
}

}  // namespace

// What only servers may say: an id that names one of our domains as its giver (XEP-0359), where
// somebody was delayed by us, and what a session of the reader's is said to have sent or got.
void Engine::DropForged(Node& stanza) const {
  for (Node* child = stanza.first; child != nullptr; child = child->next) {
    const bool is_id = child->Is("stanza-id", ns::kStanzaId);
    const bool is_delay = child->Is("delay", ns::kDelay);
    if (child->Is("received", ns::kCarbons) || child->Is("sent", ns::kCarbons)) {
      child->dropped = true;
    } else if (is_id || is_delay) {
      child->dropped = child->dropped || IsLocal(DomainPart(child->Get(is_id ? "by" : "from")));
    }
  }
}

bool Engine::Serves(std::string_view domain) const {
  return IsLocal(domain) || rooms_->Serves(domain);
}

// --- Out -----------------------------------------------------------------------------------------

// `from` and `to`: addresses or domains.
Remote::Taken Engine::ToRemote(std::string_view from, std::string_view to,
                               std::span<const uint8_t> stanza) {
  return remote_ == nullptr ? Remote::Taken::kUnknown
                            : remote_->SendRemote(DomainPart(from), DomainPart(to), stanza);
}

void Engine::SendAway(Session& session, const Node& stanza, const Address& to) {
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch_);
  WriteStanza(stanza, {FullOf(session, full_bytes), to.full()}, out);
  if (!out.ok()) {
    AnswerError(session, stanza, "modify", "policy-violation");
    return;
  }
  switch (ToRemote(session.account->name.view(), to.domain(), out.written())) {
    case Remote::Taken::kYes:
      if (stanza.name == "message" && IsCopied(stanza)) {
        CarbonCopies(session, stanza, to, nullptr, nullptr);
      }
      return;
    case Remote::Taken::kUnknown:
      AnswerError(session, stanza, "cancel", "remote-server-not-found");
      return;
    case Remote::Taken::kForbidden:
      AnswerError(session, stanza, "cancel", "not-allowed");
      return;
    case Remote::Taken::kFull:
      ++counters_.refused;
      AnswerError(session, stanza, "wait", "resource-constraint");
      return;
  }
}

void Engine::OnPresenceAway(Session& session, const Node& stanza, const Address& to) {
  const std::string_view type = stanza.Get("type");
  if (type.empty() || type == "unavailable") {
    if (type.empty() && !config_.presence) {
      return;
    }
    if (type.empty() && !RememberDirected(session, to)) {
      AnswerError(session, stanza, "wait", "resource-constraint");
      return;
    }
    SendAway(session, stanza, to);
  } else if (type == "subscribe" || type == "subscribed" || type == "unsubscribe" ||
             type == "unsubscribed") {
    if (remote_ == nullptr) {
      AnswerError(session, stanza, "cancel", "remote-server-not-found");
    } else {
      Subscribe(*session.account, to, type, &stanza);
    }
  } else if (type != "probe" && type != "error") {  // probes are ours to send
    AnswerError(session, stanza, "modify", "bad-request");
  }
}

// A presence of ours, without `to`, for a watcher elsewhere.
void Engine::PresenceAway(Account& account, std::string_view watcher,
                          std::span<const uint8_t> presence) {
  const auto address = Address::Parse(watcher);
  if (!address.ok() || IsLocal(address->domain()) || Blocks(account, *address)) {
    return;
  }
  constexpr std::string_view kStart = "<presence";
  const std::string_view text = AsText(presence);
  GH_ASSERT(text.starts_with(kStart));
  ByteWriter out(scratch2_);
  out.Text(kStart);
  WriteAttribute("to", watcher, out);
  out.Text(text.substr(kStart.size()));
  if (out.ok()) {
    (void)ToRemote(account.name.view(), address->domain(), out.written());
  }
}

// RFC 6121 section 4.3: what a contact elsewhere is doing is asked of its server.
void Engine::ProbeAway(const Account& account, std::string_view watched) {
  if (IsLocal(DomainPart(watched))) {
    return;
  }
  uint8_t bytes[kAddressMax * 12 + 64];
  ByteWriter out(bytes);
  out.Text("<presence");
  WriteAttribute("from", account.name.view(), out);
  WriteAttribute("to", watched, out);
  out.Text(" type='probe'/>");
  (void)ToRemote(account.name.view(), watched, out.written());
}

void Engine::HoldUntil(const Speaker& speaker, std::string_view from, uint64_t commit) {
  if (speaker.session != nullptr && !speaker.session->is_remote) {
    HoldUntil(*speaker.session, commit);
  } else if (commit > keeper_.durable() && remote_ != nullptr) {
    remote_->HoldUntil(DomainPart(from), speaker.from->domain(), commit);
  }
}

// So that they hear when it goes.
bool Engine::RememberDirected(Session& session, const Address& to) {
  if (session.is_remote) {
    return true;  // its own server does
  }
  uint8_t head[2];
  ByteWriter size(head);
  size.U16Be(static_cast<uint16_t>(to.full().size()));
  return session.directed.size + 2 + to.full().size() <= kDirectedMax * 64 &&
         chains_.Append(session.directed, head) && chains_.Append(session.directed, to.full());
}

// --- In ------------------------------------------------------------------------------------------

void Engine::OnRemote(const Address& from, const Address& to, Node& stanza) {
  GH_ASSERT(!IsLocal(from.domain()) && Serves(to.domain()));
  const bool is_presence = stanza.Is("presence", ns::kClient);
  if (!is_presence && !stanza.Is("message", ns::kClient) && !stanza.Is("iq", ns::kClient)) {
    return;
  }
  ++counters_.stanzas_in;
  remote_from_ = from;
  remote_to_ = to;
  remote_session_.resource.Assign(from.resource());
  if (!remote_account_.name.Assign(from.bare())) {
    remote_account_.name.Assign(from.domain());
    remote_session_.resource.Clear();
    AnswerError(remote_session_, stanza, "modify", "jid-malformed");  // longer than we keep
    return;
  }
  DropForged(stanza);
  const bool is_user = IsLocal(to.domain()) && !to.local().empty();
  Account* account = is_presence && is_user ? directory_->Find(to.bare()) : nullptr;
  if (account != nullptr) {
    OnRemotePresence(*account, to, stanza);
  } else {
    ForgetWhoCannotHear(to, stanza);
    Route(remote_session_, stanza, to);
  }
  Settle();
}

void Engine::OnRemotePresence(Account& account, const Address& to, Node& stanza) {
  const std::string_view type = stanza.Get("type");
  if (type == "probe") {
    AnswerProbe(account);
  } else if (type.empty() || type == "unavailable" || type == "error") {
    OnDirected(remote_session_, stanza, to, type.empty());
    if (!to.has_resource()) {
      OnClientAway(account, stanza);
    }
  } else if (type == "subscribe" || type == "subscribed" || type == "unsubscribe" ||
             type == "unsubscribed") {
    if (type == "unsubscribed") {
      EndWatchesAway(account, remote_from_.bare());
    }
    uint8_t bytes[kPresenceMax];
    ByteWriter out(bytes);
    WriteStanza(stanza, {remote_from_.bare(), account.name.view()}, out);
    if (out.ok() && !remote_from_.local().empty()) {
      OnSubscriptionFor(account, remote_from_.bare(), type, out.written());
    }
  } else {
    AnswerError(remote_session_, stanza, "modify", "bad-request");
  }
}

// RFC 6121 section 4.3.2: who may not see is told so, once more; who is blocked is not, and finds
// nobody there.
void Engine::AnswerProbe(Account& account) {
  if (Sees(remote_account_, account)) {
    SendPresenceOf(account, remote_session_);
    return;
  }
  uint8_t full_bytes[kAddressMax];
  uint8_t bytes[kAddressMax * 12 + 64];
  ByteWriter out(bytes);
  out.Text("<presence");
  WriteAttribute("from", account.name.view(), out);
  WriteAttribute("to", FullOf(remote_session_, full_bytes), out);
  const bool is_hidden = !config_.presence || Blocks(account, remote_from_);
  out.Text(is_hidden ? " type='unavailable'/>" : " type='unsubscribed'/>");
  SendStanza(remote_session_, out.written());
}

}  // namespace gh::xmpp
