// Privacy lists in use (XEP-0016; XEP-0126: invisibility by them): the list a session has made
// active is asked about what comes to it and what it shows, else the user's default one. What is
// for the user as a whole is denied where the lists of all his sessions deny it; where he has none,
// where the default one does.
//
// Where: stanzas that come, in RouteToAccount and where they are handed to a session (IsHeldOff);
// presence that goes, in ToWatchers and its neighbours; who is denied altogether is as good as
// blocked (policy.cc). A user without lists costs one look. Nobody is locked out of his own
// sessions and his server; of its rooms only by an item that names them.
#include <algorithm>
#include <charconv>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

// Of a stanza we wrote: what is in its first tag.
std::string_view InTag(std::string_view stanza, std::string_view attribute) {
  const std::string_view tag = stanza.substr(0, stanza.find('>'));
  const size_t at = tag.find(attribute);
  const std::string_view rest = tag.substr(std::min(at, tag.size() - attribute.size()));
  return at == std::string_view::npos
             ? std::string_view()
             : rest.substr(attribute.size()).substr(0, rest.substr(attribute.size()).find('\''));
}

// What a list is asked about; 0: nothing, for it is an answer or an error.
uint8_t KindOf(std::string_view stanza, std::string_view type) {
  if (type == "error") {
    return 0;
  }
  if (stanza.starts_with("<message")) {
    return kPrivacyMessage;
  }
  if (!stanza.starts_with("<presence")) {
    return 0;
  }
  return type.empty() || type == "unavailable" ? kPrivacyPresenceIn : kPrivacyRest;
}

constexpr struct {
  std::string_view name;
  uint8_t kind;
} kKinds[] = {{"message", kPrivacyMessage},
              {"iq", kPrivacyIq},
              {"presence-in", kPrivacyPresenceIn},
              {"presence-out", kPrivacyPresenceOut}};
constexpr std::string_view kBy[] = {"", "jid", "group", "subscription"};

// An item as it came; `address` is room for its value. False: it is none.
bool ReadItem(const Node& node, PrivacyItem& out, FixedString<kAddressMax>& address) {
  const auto by = std::ranges::find(kBy, node.Get("type"));
  const std::string_view action = node.Get("action");
  const std::string_view order = node.Get("order");
  const auto read = std::from_chars(order.data(), order.data() + order.size(), out.order);
  if (!node.Is("item", ns::kPrivacy) || by == std::end(kBy) ||
      (action != "allow" && action != "deny") || read.ec != std::errc() ||
      read.ptr != order.data() + order.size()) {
    return false;
  }
  out.by = static_cast<PrivacyBy>(by - std::begin(kBy));
  out.denies = action == "deny";
  out.kinds = 0;
  for (const Node* kind = node.FirstElement(); kind != nullptr; kind = kind->NextElement()) {
    const auto found = std::ranges::find(kKinds, kind->name, [](auto& each) { return each.name; });
    if (kind->space != ns::kPrivacy || found == std::end(kKinds)) {
      return false;
    }
    out.kinds |= found->kind;
  }
  out.kinds = out.kinds == 0 ? kPrivacyAll : out.kinds;
  out.value = out.by == PrivacyBy::kAnybody ? std::string_view() : node.Get("value");
  if (out.by == PrivacyBy::kAddress) {
    const auto parsed = Address::Parse(out.value);
    address.Assign(parsed.ok() ? parsed->full() : std::string_view());
    out.value = address.view();
  }
  const bool is_state =
      out.value == "both" || out.value == "to" || out.value == "from" || out.value == "none";
  return out.value.empty() == (out.by == PrivacyBy::kAnybody) &&
         (out.by != PrivacyBy::kSubscription || is_state);
}

void WritePrivacyItem(const PrivacyItem& item, ByteWriter& out) {
  out.Text("<item");
  if (item.by != PrivacyBy::kAnybody) {
    WriteAttribute("type", kBy[static_cast<size_t>(item.by)], out);
    WriteAttribute("value", item.value, out);
  }
  out.Text(item.denies ? " action='deny' order='" : " action='allow' order='");
  out.Decimal(item.order);
  out.Text(item.kinds == kPrivacyAll ? "'/>" : "'>");
  if (item.kinds != kPrivacyAll) {
    for (const auto& each : kKinds) {
      if ((item.kinds & each.kind) != 0) {
        out.Char('<');
        out.Text(each.name);
        out.Text("/>");
      }
    }
    out.Text("</item>");
  }
}

// What of <list/> is kept, its items in their order.
enum class Compiled : uint8_t { kYes, kMalformed, kTooLarge };

Compiled Compile(const Node& wanted, ByteWriter& out) {
  struct Entry {
    uint32_t order = 0;
    const Node* node = nullptr;
  };
  std::array<Entry, kPrivacyItemsMax> entries;
  uint32_t count = 0;
  PrivacyItem item;
  FixedString<kAddressMax> address;
  for (const Node* node = wanted.FirstElement(); node != nullptr; node = node->NextElement()) {
    if (count == kPrivacyItemsMax) {
      return Compiled::kTooLarge;
    }
    if (!ReadItem(*node, item, address)) {
      return Compiled::kMalformed;
    }
    entries[count++] = {item.order, node};
  }
  const auto all = std::span(entries).first(count);
  std::ranges::sort(all, {}, &Entry::order);
  if (std::ranges::adjacent_find(all, {}, &Entry::order) != all.end()) {
    return Compiled::kMalformed;
  }
  const std::string_view name = wanted.Get("name");
  if (name.size() > kPrivacyNameMax) {
    return Compiled::kTooLarge;
  }
  out.U8(1);
  out.U8(static_cast<uint8_t>(name.size()));
  out.Text(name);
  for (const Entry& entry : all) {
    (void)ReadItem(*entry.node, item, address);
    item.Write(out);
  }
  return out.ok() ? Compiled::kYes : Compiled::kTooLarge;
}

}  // namespace

// --- Who is denied what --------------------------------------------------------------------------

bool Engine::DeniesBy(Account& account, const PrivacyList& list, const Address& other,
                      uint8_t kind) {
  if (list.items.empty() || other.bare() == account.name.view() ||
      other.full() == DomainOf(account)) {
    return false;
  }
  const Contact* contact = directory_->FindContact(account, other.bare());
  uint8_t details[kContactDetailsMax];
  PrivacyPeer peer{other, 0, {}, rooms_->Serves(other.domain())};
  if (contact != nullptr) {
    peer.state = contact->state;
    peer.details = directory_->DetailsOf(*contact, details);
  }
  return list.Denies(peer, kind);
}

bool Engine::Denies(const Session& session, const Address& other, uint8_t kind) {
  Account& account = *session.account;
  PrivacyBytes bytes;
  return !account.privacy.empty() &&
         DeniesBy(account, privacy_.Read(account, PrivacyOf(session), bytes), other, kind);
}

// Whose address is not at hand.
bool Engine::DeniesFrom(const Session& session, const Session& other, uint8_t kind) {
  if (session.account->privacy.empty()) {
    return false;
  }
  uint8_t bytes[kAddressMax];
  const auto address = Address::Parse(FullOf(other, bytes));
  return address.ok() && Denies(session, *address, kind);
}

bool Engine::DeniesAll(Account& account, const Address& other, uint8_t kind) {
  if (account.privacy.empty()) {
    return false;
  }
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!Denies(*at, other, kind)) {
      return false;
    }
  }
  PrivacyBytes bytes;
  return account.sessions != nullptr ||
         DeniesBy(account, privacy_.Read(account, account.privacy_default, bytes), other, kind);
}

// A message or a query that comes.
bool Engine::DeniesStanza(Account& account, const Address& to, const Address& from,
                          const Node& stanza) {
  if (account.privacy.empty()) {
    return false;
  }
  const uint8_t kind = stanza.name == "message" ? kPrivacyMessage : kPrivacyIq;
  const Session* target = to.has_resource() ? FindSession(account, to.resource()) : nullptr;
  return target != nullptr ? Denies(*target, from, kind) : DeniesAll(account, from, kind);
}

// A stanza of ours, on its way to the session.
bool Engine::IsHeldOff(const Session& session, std::span<const uint8_t> stanza) {
  constexpr decltype(session.sift) kNothing = {};
  if (session.account->privacy.empty() && session.sift == kNothing) {
    return false;
  }
  const std::string_view text = AsText(stanza);
  const uint8_t kind = KindOf(text, InTag(text, " type='"));
  std::string_view from = kind != 0 ? InTag(text, " from='") : std::string_view();
  const bool is_bare = InTag(text, " to='").find('/') == std::string_view::npos;
  if ((kind == kPrivacyMessage && Sifts(session, kSiftMessage, from, is_bare)) ||
      (kind == kPrivacyPresenceIn && Sifts(session, kSiftPresence, from, is_bare))) {
    return true;
  }
  if (session.account->privacy.empty()) {
    return false;
  }
  // A resource with escapes in it is longer than it was, and another one.
  from = from.find('&') != std::string_view::npos ? BareOf(from) : from;
  const auto address = Address::Parse(from);
  return address.ok() && Denies(session, *address, kind);
}

std::string_view Engine::WrittenFrom(std::string_view stanza) { return InTag(stanza, " from='"); }

// Whether the asker may take notice that the user is here.
bool Engine::IsHereFor(Account& account, const Session& asker) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!DeniesFrom(*at, asker, kPrivacyPresenceOut)) {
      return true;
    }
  }
  return false;
}

// --- Changes -------------------------------------------------------------------------------------

// Sections 2.10 and 2.9: whoever sees the session and is not to any more is told that it has gone;
// whom its user does not want to see any more has gone for it. Before the change, which may shut
// the way there.
void Engine::HideFrom(Session& session, const PrivacyList& before, const PrivacyList& after) {
  Account& account = *session.account;
  const auto denies_now = [&](const Address& other, uint8_t kind) {
    return DeniesBy(account, after, other, kind) && !DeniesBy(account, before, other, kind);
  };
  const auto write = [&](const Session& whose, std::string_view to, ByteWriter& out) {
    uint8_t full_bytes[kAddressMax];
    out.Text("<presence");
    if (!to.empty()) {
      WriteAttribute("to", to, out);
    }
    WriteAttribute("from", FullOf(whose, full_bytes), out);
    out.Text(" type='unavailable'/>");
  };
  if (!session.available || session.doomed || !config_.presence) {
    return;
  }
  for (Watch& watch : account.watches) {
    const auto other = Address::Parse(watch.watcher->account->name.view());
    if (other.ok() && denies_now(*other, kPrivacyPresenceOut)) {
      uint8_t bytes[kAddressMax * 12 + 64];
      ByteWriter out(bytes);
      write(session, watch.watcher->account->name.view(), out);
      SendStanza(*watch.watcher, out.written());
    }
  }
  for (Contact& contact : account.contacts) {
    uint8_t address_bytes[kAddressMax];
    const auto other = Address::Parse(directory_->AddressOf(contact, address_bytes));
    if (!other.ok()) {
      continue;
    }
    uint8_t bytes[kAddressMax * 12 + 64];
    if ((contact.state & kFrom) != 0 && denies_now(*other, kPrivacyPresenceOut)) {
      ByteWriter out(bytes);
      write(session, "", out);
      ToWatcher(account, contact, out.written());
    }
    Account* watched = (contact.state & kTo) != 0 ? directory_->Find(other->bare()) : nullptr;
    if (watched == nullptr || !denies_now(*other, kPrivacyPresenceIn)) {
      continue;
    }
    for (Session* at = watched->sessions; at != nullptr; at = at->next_of_account) {
      if (at->available && !at->doomed && !DeniesFrom(*at, session, kPrivacyPresenceOut)) {
        uint8_t full_bytes[kAddressMax];
        ByteWriter out(bytes);
        write(*at, FullOf(session, full_bytes), out);
        SendStanza(session, out.written());
      }
    }
  }
}

bool Engine::AppliesElsewhere(const Session& session, uint8_t number) {
  for (Session* at = session.account->sessions; at != nullptr; at = at->next_of_account) {
    if (at != &session && number != 0 && PrivacyOf(*at) == number) {
      return true;
    }
  }
  return false;
}

// <active/> or <default/>.
void Engine::OnPrivacyChoice(Session& session, const Node& stanza, const Node& what) {
  Account& account = *session.account;
  const std::string_view name = what.Get("name");
  const uint8_t number = privacy_.Find(account, name);
  const bool is_default = what.name == "default";
  if (!name.empty() && number == 0) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  if (is_default && number != account.privacy_default) {
    for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
      if (at != &session && at->privacy == 0 && account.privacy_default != 0) {
        AnswerError(session, stanza, "cancel", "conflict");
        return;
      }
    }
  }
  PrivacyBytes before, after;
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (is_default ? at->privacy == 0 : at == &session) {
      const uint8_t next = number != 0 || is_default ? number : account.privacy_default;
      HideFrom(*at, privacy_.Read(account, PrivacyOf(*at), before),
               privacy_.Read(account, next, after));
    }
  }
  if (!is_default) {
    session.privacy = number;
  } else if (!privacy_.SetDefault(account, number)) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  } else {
    session.last_commit = std::max(session.last_commit, keeper_.gathering());
  }
  SendResult(session, stanza, "");
}

bool Engine::HasGroupInRoster(Account& account, std::string_view group) {
  for (const Contact& contact : account.contacts) {
    uint8_t details[kContactDetailsMax];
    if ((contact.state & kInRoster) != 0 &&
        HasGroup(directory_->DetailsOf(contact, details), group)) {
      return true;
    }
  }
  return false;
}

void Engine::RemovePrivacyList(Session& session, const Node& stanza, uint8_t number) {
  Account& account = *session.account;
  if (number == 0) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  if (AppliesElsewhere(session, number)) {
    AnswerError(session, stanza, "cancel", "conflict");
    return;
  }
  PrivacyBytes before, after;
  const PrivacyList gone = privacy_.Read(account, number, before);
  FixedString<kPrivacyNameMax> name(gone.name);
  if (session.privacy == number) {
    const uint8_t next = account.privacy_default != number ? account.privacy_default : uint8_t{0};
    HideFrom(session, gone, privacy_.Read(account, next, after));
  }
  if (!privacy_.Remove(account, number)) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  session.privacy = session.privacy == number ? uint8_t{0} : session.privacy;
  session.last_commit = std::max(session.last_commit, keeper_.gathering());
  SendResult(session, stanza, "");
  PushPrivacy(account, name.view());
}

// A whole list, in place of what it was; one without items goes.
void Engine::OnPrivacyList(Session& session, const Node& stanza, const Node& wanted) {
  Account& account = *session.account;
  const uint8_t number = privacy_.Find(account, wanted.Get("name"));
  if (wanted.FirstElement() == nullptr) {
    RemovePrivacyList(session, stanza, number);
    return;
  }
  PrivacyBytes before, after;
  ByteWriter out(after);
  PrivacyList fresh;
  const Compiled compiled =
      wanted.Get("name").empty() ? Compiled::kMalformed : Compile(wanted, out);
  if (compiled == Compiled::kMalformed) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  if (compiled == Compiled::kTooLarge || IsShort() || !PrivacyList::Read(out.written(), fresh)) {
    ++counters_.refused;
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  ByteReader items(fresh.items);
  for (PrivacyItem item; !items.at_end() && PrivacyItem::Read(items, item);) {
    if (item.by == PrivacyBy::kGroup && !HasGroupInRoster(account, item.value)) {
      AnswerError(session, stanza, "cancel", "item-not-found");
      return;
    }
  }
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (number != 0 && PrivacyOf(*at) == number) {
      HideFrom(*at, privacy_.Read(account, number, before), fresh);
    }
  }
  if (!privacy_.Put(account, out.written()).ok()) {
    ++counters_.refused;
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  session.last_commit = std::max(session.last_commit, keeper_.gathering());
  SendResult(session, stanza, "");
  PushPrivacy(account, fresh.name);
}

// To all of his sessions; what is in it they may ask for.
void Engine::PushPrivacy(Account& account, std::string_view name) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    uint8_t full_bytes[kAddressMax];
    ByteWriter out(scratch_);
    out.Text("<iq type='set' id='push-");
    out.Decimal(next_id_++);
    out.Char('\'');
    WriteAttribute("to", FullOf(*at, full_bytes), out);
    out.Text("><query xmlns='jabber:iq:privacy'><list");
    WriteAttribute("name", name, out);
    out.Text("/></query></iq>");
    SendStanza(*at, out.written());
  }
}

// --- Queries -------------------------------------------------------------------------------------

void Engine::SendPrivacyNames(Session& session, const Node& stanza) {
  Account& account = *session.account;
  PrivacyBytes bytes;
  ByteWriter out(scratch2_);
  const auto write = [&](std::string_view what, uint8_t number) {
    out.Char('<');
    out.Text(what);
    WriteAttribute("name", privacy_.Read(account, number, bytes).name, out);
    out.Text("/>");
  };
  out.Text("<query xmlns='jabber:iq:privacy'>");
  if (session.privacy != 0) {
    write("active", session.privacy);
  }
  if (account.privacy_default != 0) {
    write("default", account.privacy_default);
  }
  for (uint8_t number = 0; (number = privacy_.Next(account, number)) != 0;) {
    write("list", number);
  }
  out.Text("</query>");
  SendResult(session, stanza, out.text());
}

void Engine::SendPrivacyList(Session& session, const Node& stanza, std::string_view name) {
  const uint8_t number = privacy_.Find(*session.account, name);
  if (number == 0) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  PrivacyBytes bytes;
  const PrivacyList list = privacy_.Read(*session.account, number, bytes);
  ByteWriter out(scratch2_);
  out.Text("<query xmlns='jabber:iq:privacy'><list");
  WriteAttribute("name", list.name, out);
  out.Char('>');
  ByteReader items(list.items);
  for (PrivacyItem item; !items.at_end() && PrivacyItem::Read(items, item);) {
    WritePrivacyItem(item, out);
  }
  out.Text("</list></query>");
  SendResult(session, stanza, out.text());
}

void Engine::OnPrivacy(Session& session, const Node& stanza, const Node& query, bool is_set) {
  const Node* what = query.FirstElement();
  const bool is_one = what != nullptr && what->NextElement() == nullptr;
  const bool is_choice =
      is_one && (what->Is("active", ns::kPrivacy) || what->Is("default", ns::kPrivacy));
  if (!is_set && (what == nullptr || is_choice)) {
    SendPrivacyNames(session, stanza);
  } else if (!is_set && is_one && what->Is("list", ns::kPrivacy)) {
    SendPrivacyList(session, stanza, what->Get("name"));
  } else if (is_set && is_one && what->Is("list", ns::kPrivacy)) {
    OnPrivacyList(session, stanza, *what);
  } else if (is_set && is_choice) {
    OnPrivacyChoice(session, stanza, *what);
  } else {
    AnswerError(session, stanza, "modify", "bad-request");
  }
}

}  // namespace gh::xmpp
