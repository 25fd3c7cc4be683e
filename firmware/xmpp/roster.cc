// Rosters and their versions (RFC 6121 section 2).
#include <charconv>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

const char* SubscriptionOf(uint8_t state) {
  switch (state & (kTo | kFrom)) {
    case kTo:
      return "to";
    case kFrom:
      return "from";
    case kTo | kFrom:
      return "both";
    default:
      return "none";
  }
}

// Name and groups as a contact's details; false: a limit.
bool WriteDetails(const Node& item, ByteWriter& out) {
  const std::string_view name = item.Get("name");
  size_t groups = 0;
  out.U16Be(static_cast<uint16_t>(name.size()));
  out.Text(name);
  for (const Node* group = item.FirstElement(); group != nullptr; group = group->NextElement()) {
    if (!group->Is("group", ns::kRoster)) {
      continue;
    }
    const std::string_view text = group->Text();
    groups += text.size() + 2;
    out.U16Be(static_cast<uint16_t>(text.size()));
    out.Text(text);
    if (text.empty()) {
      return false;
    }
  }
  return out.ok() && name.size() <= kContactNameMax && groups <= kContactGroupsMax;
}

}  // namespace

void Engine::WriteItem(const Contact& contact, ByteWriter& out) {
  uint8_t address_bytes[kAddressMax];
  uint8_t details_bytes[kContactDetailsMax];
  const auto all = directory_->DetailsOf(contact, details_bytes);
  ByteReader details(all);
  out.Text("<item");
  WriteAttribute("jid", directory_->AddressOf(contact, address_bytes), out);
  if (all.size() > 2) {
    if (const std::string_view name = AsText(details.Take(details.U16Be())); !name.empty()) {
      WriteAttribute("name", name, out);
    }
  }
  WriteAttribute("subscription", SubscriptionOf(contact.state), out);
  if ((contact.state & kAsked) != 0) {
    out.Text(" ask='subscribe'");
  }
  if (all.size() <= 2 || details.remaining() < 2) {
    out.Text("/>");
    return;
  }
  out.Char('>');
  while (details.remaining() >= 2) {
    out.Text("<group>");
    WriteEscaped(AsText(details.Take(details.U16Be())), out);
    out.Text("</group>");
  }
  out.Text("</item>");
}

void Engine::OnRosterGet(Session& session, const Node& stanza, const Node& query) {
  Account& account = *session.account;
  session.wants_roster = true;
  uint8_t version_bytes[16];
  ByteWriter version(version_bytes);
  version.Decimal(account.roster_version);
  if (query.Get("ver") == version.text()) {
    SendResult(session, stanza, "");
    return;
  }
  ByteWriter out(scratch2_);
  out.Text("<query xmlns='jabber:iq:roster'");
  WriteAttribute("ver", version.text(), out);
  out.Char('>');
  for (const Contact& contact : account.contacts) {
    if ((contact.state & kInRoster) != 0) {
      WriteItem(contact, out);
    }
  }
  out.Text("</query>");
  if (!out.ok()) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  SendResult(session, stanza, out.text());
}

// Whether the roster with such an item still goes into one stanza, plain contacts beside it.
bool Engine::RosterHolds(Account& account, const Contact* replaced,
                         std::span<const uint8_t> details) {
  ByteWriter out(scratch2_.first(kRosterBytesMax));
  for (const Contact& contact : account.contacts) {
    if (&contact != replaced && (contact.state & kInRoster) != 0) {
      WriteItem(contact, out);
    }
  }
  WriteEscaped(AsText(details), out);
  return out.ok();
}

void Engine::OnRosterSet(Session& session, const Node& stanza, const Node& query) {
  Account& account = *session.account;
  const Node* item = query.FirstElement();
  if (item == nullptr || !item->Is("item", ns::kRoster) || item->NextElement() != nullptr) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  const auto address = Address::Parse(item->Get("jid"));
  if (!address.ok() || address->has_resource() || address->full() == account.name.view()) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  Contact* contact = directory_->FindContact(account, address->full());
  if (item->Get("subscription") == "remove") {
    if (contact == nullptr || (contact->state & kInRoster) == 0) {
      AnswerError(session, stanza, "modify", "item-not-found");
      return;
    }
    RemoveContact(session, stanza, *contact);
    return;
  }
  uint8_t bytes[kContactDetailsMax];
  ByteWriter details(bytes);
  if (!WriteDetails(*item, details)) {
    AnswerError(session, stanza, "modify", "not-acceptable");
    return;
  }
  if (details.size() > 2 && !RosterHolds(account, contact, details.written())) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  const bool is_new = contact == nullptr;
  if (is_new && account.contacts.size() < config_.contacts_per_user) {
    contact = directory_->AddContact(account, address->full());
  }
  if (contact == nullptr || !directory_->SetDetails(*contact, details.written())) {
    if (is_new && contact != nullptr) {
      (void)directory_->KeepContact(account, *contact, false);  // has no state: it goes
    }
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  contact->state = static_cast<uint8_t>(contact->state | kInRoster);
  if (!Changed(account, *contact, true)) {
    if (is_new) {  // what is refused is not shown until the next start either
      contact->state = 0;
      (void)directory_->KeepContact(account, *contact, false);
    }
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  session.last_commit = std::max(session.last_commit, keeper_.gathering());
  SendResult(session, stanza, "");
}

void Engine::RemoveContact(Session& session, const Node& stanza, Contact& contact) {
  const uint64_t commit = ForgetContact(*session.account, contact);
  if (commit == 0) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  session.last_commit = commit;
  SendResult(session, stanza, "");
}

// Both subscriptions end with it (RFC 6121 section 2.5.2). 0: the keeper takes no more.
uint64_t Engine::ForgetContact(Account& account, Contact& contact) {
  uint8_t address_bytes[kAddressMax];
  const auto address = Address::Parse(directory_->AddressOf(contact, address_bytes));
  GH_ASSERT(address.ok());
  const bool was_listed = (contact.state & kInRoster) != 0;
  if ((contact.state & (kTo | kAsked)) != 0) {
    Subscribe(account, *address, "unsubscribe", nullptr);
  }
  if ((contact.state & (kFrom | kWasAsked)) != 0) {
    Subscribe(account, *address, "unsubscribed", nullptr);
  }
  contact.state = 0;
  const uint64_t commit = directory_->KeepContact(account, contact, true);
  EndStale(account);
  if (commit != 0 && was_listed) {
    uint8_t bytes[kAddressMax * 6 + 64];
    ByteWriter item(bytes);
    item.Text("<item");
    WriteAttribute("jid", address->full(), item);
    item.Text(" subscription='remove'/>");
    PushItem(account, item.text());
  }
  return commit;
}

bool Engine::Changed(Account& account, Contact& contact, bool visible) {
  uint8_t bytes[4096];
  if ((contact.state & kFrom) == 0 && !account.clients_away.empty()) {
    if (const auto who = Address::Parse(directory_->AddressOf(contact, bytes)); who.ok()) {
      ForgetClientsAway(account, *who);
    }
  }
  ByteWriter item(bytes);
  if (visible) {
    WriteItem(contact, item);
  }
  if (directory_->KeepContact(account, contact, visible) == 0) {
    return false;
  }
  if (visible && item.ok()) {
    PushItem(account, item.text());
  }
  return true;
}

void Engine::PushItem(Account& account, std::string_view item) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!at->wants_roster || at->doomed) {
      continue;
    }
    uint8_t full_bytes[kAddressMax];
    uint8_t bytes[6144];
    ByteWriter out(bytes);
    out.Text("<iq type='set' id='push-");
    out.Decimal(next_id_++);
    out.Char('\'');
    WriteAttribute("from", account.name.view(), out);
    WriteAttribute("to", FullOf(*at, full_bytes), out);
    out.Text("><query xmlns='jabber:iq:roster' ver='");
    out.Decimal(account.roster_version);
    out.Text("'>");
    out.Text(item);
    out.Text("</query></iq>");
    if (out.ok()) {
      SendStanza(*at, out.written());
    }
  }
}

}  // namespace gh::xmpp
