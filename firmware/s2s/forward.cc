// To whom a stanza goes: to users of ours, to a partner, or out to another server; by what name our
// users are known there; and what is answered where it goes nowhere.
#include <algorithm>

#include "firmware/s2s/federation.h"

namespace gh::s2s {

using xmpp::Address;
using xmpp::Node;
using xmpp::WriteAttribute;
namespace ns = xmpp::ns;

// --- Out -----------------------------------------------------------------------------------------

xmpp::Remote::Taken Federation::SendRemote(std::string_view local, std::string_view remote,
                                           std::span<const uint8_t> stanza) {
  if (!config_.emails || (engine_.directory().email_domains().empty() && answers_as_.empty()) ||
      PartnerOf(remote) != kNoPartner) {
    return SendOut(local, remote, stanza);
  }
  Node* said = Reread(stanza, 1);
  if (said == nullptr || !names_out_.NameOut(*said)) {
    return Taken::kFull;
  }
  std::string_view from = said->Get("from");
  if (!answers_as_.empty() && from == engine_.config().domains[0].view()) {
    from = answers_as_;
  }
  const auto sender = Address::Parse(from);
  ByteWriter out(renamed_);
  xmpp::WriteStanza(*said, {from, said->Get("to")}, out);
  return sender.ok() && out.ok() ? SendOut(sender->domain(), remote, out.written()) : Taken::kFull;
}

xmpp::Remote::Taken Federation::SendOut(std::string_view local, std::string_view remote,
                                        std::span<const uint8_t> stanza) {
  Taken refusal = Taken::kYes;
  Link* link = WayTo(local, remote, refusal);
  counters_.forbidden += refusal == Taken::kForbidden ? 1 : 0;
  return link != nullptr ? SendOn(*link, stanza) : refusal;
}

// The link that stanzas from `local` to `remote` take, made if there is none; null: why not.
Link* Federation::WayTo(std::string_view local, std::string_view remote, Taken& refusal) {
  refusal = Taken::kUnknown;
  if (const uint32_t partner = PartnerOf(remote); partner != kNoPartner) {
    return LinkOf(partner);
  }
  if (!config_.enabled || remote.empty() || Serves(remote)) {
    return nullptr;
  }
  if (!config_.policy.Allows(remote, Direction::kOutgoing)) {
    refusal = Taken::kForbidden;
    return nullptr;
  }
  if (config_.by_edge) {
    KeepTrunk();
    return links_.Resolve(trunk_);
  }
  refusal = Taken::kFull;
  Link* link = FindRoute(local, remote);
  if (link == nullptr) {
    link = NewOutgoing(local, remote, LinkKind::kOutgoing);
    if (link != nullptr && !Ride(*link)) {
      BeginLookup(*link);
    }
  }
  return link;
}

xmpp::Remote::Taken Federation::SendOn(Link& link, std::span<const uint8_t> stanza) {
  counters_.relayed += IsPartner(link) ? 1 : 0;
  if (link.state == LinkState::kBackingOff || link.doomed) {
    return Taken::kUnknown;
  }
  if (Link* carrier = link.state == LinkState::kReady ? CarrierOf(link) : nullptr) {
    link.used = timers_.now();
    ++link.stanzas_out;
    return SendOn(*carrier, stanza);
  }
  if (link.state != LinkState::kReady || IsSilent(link) || !link.unsent.empty() ||
      !link.queue.empty() || !MaySend(link, stanza.size())) {
    return Enqueue(link, stanza) ? Taken::kYes : Taken::kFull;
  }
  SendCounted(link, stanza);
  return Taken::kYes;
}

// --- In ------------------------------------------------------------------------------------------

// Whose stanza it is has been proved.
void Federation::Forward(const Address& from, const Address& to, Node& stanza) {
  if (engine_.Serves(to.domain()) || IsEmailDomain(to.domain())) {
    ToEngine(from, to, stanza);
    return;
  }
  ByteWriter out(scratch_);
  xmpp::WriteStanza(stanza, {from.full(), to.full()}, out);
  if (!out.ok()) {
    AnswerError(stanza, "policy-violation");
    return;
  }
  switch (SendOut(from.domain(), to.domain(), out.written())) {
    case Taken::kYes:
      return;
    case Taken::kUnknown:
      AnswerError(stanza, PartnerOf(to.domain()) != kNoPartner ? "remote-server-timeout"
                                                               : "remote-server-not-found");
      return;
    case Taken::kForbidden:
      AnswerError(stanza, "not-allowed");
      return;
    case Taken::kFull:
      AnswerError(stanza, "resource-constraint");
      return;
  }
}

void Federation::ToEngine(const Address& from, Address to, Node& stanza) {
  if (config_.emails && PartnerOf(from.domain()) == kNoPartner && !TakeEmails(from, to, stanza)) {
    return;
  }
  engine_.OnRemote(from, to, stanza);
  answers_as_ = {};
}

// EMAIL-004: who has an e-mail address is not known by another. Addresses of nobody are answered
// as the engine would.
bool Federation::TakeEmails(const Address& from, Address& to, Node& stanza) {
  xmpp::Directory& directory = engine_.directory();
  xmpp::Account* account = to.local().empty() ? nullptr : directory.FindEmail(to.bare());
  if (account != nullptr) {
    FixedString<xmpp::kAddressMax> named(account->name.view());
    if (to.has_resource()) {
      named.Append('/');
      named.Append(to.resource());
    }
    const auto meant = Address::Parse(named.view());
    if (!meant.ok()) {
      return false;
    }
    to = *meant;
    return names_in_.NameIn(stanza);
  }
  account = directory.Find(to.bare());
  if (account != nullptr && !account->email.empty()) {
    ++counters_.dropped;
    observer_.OnDropped(from.domain(), to.bare());
    return false;
  }
  if (engine_.Serves(to.domain())) {
    return names_in_.NameIn(stanza);
  }
  if (!to.local().empty() || engine_.config().domain_count == 0) {
    AnswerError(stanza, "service-unavailable");
    return false;
  }
  // The e-mail domain itself is asked: the server behind it answers by that name.
  const uint32_t count = static_cast<uint32_t>(engine_.directory().email_domains().size());
  for (uint32_t i = 0; i < count && answers_as_.empty(); ++i) {
    const auto& each = engine_.directory().email_domains()[i].name;
    answers_as_ = each == to.domain() ? each.view() : std::string_view();
  }
  for (uint32_t i = 0; i < config_.email_domain_count && answers_as_.empty(); ++i) {
    const auto& each = config_.email_domains[i];
    answers_as_ = each == to.domain() ? each.view() : std::string_view();
  }
  to = Address::Of({}, engine_.config().domains[0].view());
  for (xmpp::Attribute& each : std::span(stanza.attributes, stanza.attribute_count)) {
    if (each.space.empty() && each.name == "to") {
      each.value = engine_.config().domains[0].view();
    }
  }
  return names_in_.NameIn(stanza);
}

// --- Back ----------------------------------------------------------------------------------------

// RFC 6120 section 8.3: the sender hears it; answers are not answered, and presence is not.
void Federation::AnswerError(const Node& stanza, std::string_view condition) {
  const std::string_view type = stanza.Get("type");
  const auto from = Address::Parse(stanza.Get("to"));
  const auto to = Address::Parse(stanza.Get("from"));
  if (type == "error" || type == "result" || (stanza.name == "presence" && !type.empty()) ||
      !from.ok() || !to.ok()) {
    return;
  }
  ByteWriter out(scratch_);
  out.Char('<');
  out.Text(stanza.name);
  WriteAttribute("from", from->full(), out);
  WriteAttribute("to", to->full(), out);
  if (const xmpp::Attribute* id = stanza.Find("id")) {
    WriteAttribute("id", id->value, out);
  }
  const bool may_pass = condition == "remote-server-timeout" || condition == "resource-constraint";
  out.Text(" type='error'>");
  xmpp::WriteError(may_pass ? "wait" : "cancel", condition, out);
  out.Text("</");
  out.Text(stanza.name);
  out.Char('>');
  if (!out.ok()) {
    return;
  }
  if (!engine_.Serves(to->domain()) && !IsEmailDomain(to->domain())) {
    (void)SendOut(from->domain(), to->domain(), out.written());  // of itself: nobody is told
    return;
  }
  Node* error = Reread(out.written());
  if (error == nullptr) {
    return;
  }
  ++counters_.returned;
  TakeAsClients(*error);
  if (config_.emails && !names_in_.NameIn(*error)) {
    return;
  }
  const auto whom = Address::Parse(error->Get("to"));
  if (whom.ok() && engine_.Serves(whom->domain()) && !engine_.Serves(from->domain())) {
    engine_.OnRemote(*from, *whom, *error);
  }
}

}  // namespace gh::s2s
