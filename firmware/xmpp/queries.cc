// What the server answers itself: rosters, copies, blocking, ping, disco, version.
#include <algorithm>

#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/stamp.h"

namespace gh::xmpp {
namespace {

// Of the server, and of an account towards those who may see it.
constexpr std::string_view kServerFeatures =
    "<query xmlns='http://jabber.org/protocol/disco#info'>"
    "<identity category='server' type='im' name='Gatehouse'/>"
    "<feature var='http://jabber.org/protocol/disco#info'/>"
    "<feature var='http://jabber.org/protocol/disco#items'/>"
    "<feature var='urn:xmpp:ping'/><feature var='urn:xmpp:carbons:2'/>"
    "<feature var='urn:xmpp:blocking'/><feature var='jabber:iq:roster'/>"
    "<feature var='jabber:iq:privacy'/><feature var='http://jabber.org/protocol/offline'/>"
    "<feature var='urn:xmpp:sift:2'/><feature var='urn:xmpp:sift:stanzas:iq'/>"
    "<feature var='urn:xmpp:sift:stanzas:message'/>"
    "<feature var='urn:xmpp:sift:stanzas:presence'/>"
    "<feature var='urn:xmpp:sift:senders:all'/><feature var='urn:xmpp:sift:senders:local'/>"
    "<feature var='urn:xmpp:sift:senders:others'/><feature var='urn:xmpp:sift:senders:remote'/>"
    "<feature var='urn:xmpp:sift:senders:self'/><feature var='urn:xmpp:sift:recipients:all'/>"
    "<feature var='urn:xmpp:sift:recipients:bare'/>"
    "<feature var='urn:xmpp:sift:recipients:full'/>"
    "<feature var='jabber:iq:version'/><feature var='msgoffline'/>"
    "<feature var='vcard-temp'/><feature var='jabber:iq:private'/>"
    "<feature var='urn:xmpp:time'/><feature var='jabber:iq:last'/>"
    "<feature var='http://jabber.org/protocol/commands'/></query>";
constexpr std::string_view kCommandFeatures =
    "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:gatehouse:policy'>"
    "<identity category='automation' type='command-node' name='Who may see me'/>"
    "<feature var='http://jabber.org/protocol/commands'/><feature var='jabber:x:data'/></query>";
constexpr std::string_view kAccountFeatures =
    "<identity category='account' type='registered'/>"
    "<identity category='pubsub' type='pep'/>"
    "<feature var='http://jabber.org/protocol/disco#info'/>"
    "<feature var='http://jabber.org/protocol/disco#items'/>"
    "<feature var='urn:xmpp:sid:0'/><feature var='vcard-temp'/><feature var='jabber:iq:last'/>"
    "<feature var='http://jabber.org/protocol/pubsub'/>"
    "<feature var='urn:xmpp:pep-vcard-conversion:0'/>"
    "<feature var='urn:xmpp:bookmarks:1#compat'/>";
constexpr std::string_view kNodeFeatures =
    "><identity category='pubsub' type='leaf'/>"
    "<feature var='http://jabber.org/protocol/pubsub'/>";
constexpr std::string_view kArchiveFeatures =
    "<feature var='urn:xmpp:mam:2'/><feature var='urn:xmpp:mam:2#extended'/>";
constexpr std::string_view kPubsubFeatures[] = {"access-open",
                                                "access-presence",
                                                "access-roster",
                                                "access-whitelist",
                                                "auto-create",
                                                "config-node",
                                                "create-nodes",
                                                "create-and-configure",
                                                "delete-items",
                                                "delete-nodes",
                                                "filtered-notifications",
                                                "item-ids",
                                                "last-published",
                                                "manage-subscriptions",
                                                "member-affiliation",
                                                "modify-affiliations",
                                                "multi-items",
                                                "outcast-affiliation",
                                                "persistent-items",
                                                "publish",
                                                "publish-options",
                                                "publisher-affiliation",
                                                "purge-nodes",
                                                "retract-items",
                                                "retrieve-affiliations",
                                                "retrieve-items",
                                                "retrieve-subscriptions",
                                                "subscribe",
                                                "subscription-notifications",
                                                "presence-notifications",
                                                "auto-subscribe"};

}  // namespace

// `to`: null or its own bare address, an account, or a domain of ours.
void Engine::OnQuery(Session& session, Node& stanza, const Address* to) {
  const std::string_view type = stanza.Get("type");
  if (type == "result" || type == "error") {
    uint8_t full_bytes[kAddressMax];
    Account* account = to != nullptr ? directory_->Find(to->full()) : nullptr;
    if (account != nullptr && OnPushAnswer(*account, stanza, FullOf(session, full_bytes))) {
      return;
    }
    if (!session.is_remote) {
      OnCapsAnswer(session, stanza);
    } else if (account != nullptr) {
      OnCapsAnswerAway(*account, stanza);
    }
    return;
  }
  const Node* query = stanza.FirstElement();
  if ((type != "get" && type != "set") || query == nullptr || query->NextElement() != nullptr ||
      stanza.Find("id") == nullptr) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  const bool is_set = type == "set";
  if (to == nullptr || to->full() == session.account->name.view()) {
    OnOwnQuery(session, stanza, *query, is_set);
  } else if (to->local().empty()) {
    OnServerQuery(session, stanza, *query, is_set);
  } else {
    Account* account = directory_->Find(to->bare());
    if (account == nullptr || !OnAccountQuery(session, stanza, *query, *account, is_set)) {
      AnswerError(session, stanza, "cancel", "service-unavailable");
    }
  }
}

// What accounts answer themselves, to others and to their owners; false: nothing.
bool Engine::OnAccountQuery(Session& session, const Node& stanza, const Node& query,
                            Account& account, bool is_set) {
  const bool is_own = &account == session.account;
  const bool may_see = IsSubscribed(*session.account, account);
  if (query.Is("pubsub", ns::kPubsub) || query.Is("pubsub", ns::kPubsubOwner)) {
    OnPubsub(session, stanza, query, account, is_set);
  } else if (query.Is("vCard", ns::kVcard) && (is_own || !is_set)) {
    OnStored(session, stanza, "vcard", query, is_own ? "<vCard xmlns='vcard-temp'/>" : "", account,
             is_set);
  } else if (IsOfflineQuery(query) && may_see) {
    AnswerError(session, stanza, "auth", "forbidden");  // who may not see is told of nobody
  } else if (is_set || !may_see) {
    return false;
  } else if (query.Is("query", ns::kInfo) || query.Is("query", ns::kItems)) {
    DescribeAccount(session, stanza, query, account);
  } else if (query.Is("query", ns::kLast)) {
    return TellLastActivity(session, stanza, account);
  } else {
    return false;
  }
  return true;
}

// Or a node of its, for those who may read that (XEP-0060 sections 5.3, 5.5).
void Engine::DescribeAccount(Session& session, const Node& stanza, const Node& query,
                             Account& account) {
  const std::string_view name = query.Get("node");
  const bool tells_info = query.space == ns::kInfo;
  ItemNode* one = name.empty() ? nullptr : items_->Find(account, name);
  if (!name.empty() && (one == nullptr || !MayRead(*session.account, account, *one))) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  ByteWriter out(scratch2_);
  out.Text("<query");
  WriteAttribute("xmlns", query.space, out);
  const auto item = [&](std::string_view attribute, std::string_view value) {
    out.Text("<item");
    WriteAttribute("jid", account.name.view(), out);
    WriteAttribute(attribute, value, out);
    out.Text("/>");
  };
  uint8_t bytes[std::max(kNodeNameMax, kItemNameMax)];
  if (one != nullptr) {
    WriteAttribute("node", name, out);
    out.Text(tells_info ? kNodeFeatures : ">");
    for (Item& each : one->items) {
      if (!tells_info) {
        item("name", items_->NameOf(each, bytes));
      }
    }
  } else if (tells_info) {
    out.Char('>');
    out.Text(kAccountFeatures);
    out.Text(archive_.enabled() ? kArchiveFeatures : "");
    out.Text(config_.push ? "<feature var='urn:xmpp:push:0'/>" : "");
    for (std::string_view feature : kPubsubFeatures) {
      out.Text("<feature var='http://jabber.org/protocol/pubsub#");
      out.Text(feature);
      out.Text("'/>");
    }
  } else {
    out.Char('>');
    for (ItemNode& node : account.nodes) {
      if (!node.is_private && MayRead(*session.account, account, node)) {
        item("node", items_->NameOf(node, bytes));
      }
    }
  }
  out.Text("</query>");
  SendResult(session, stanza, out.text(), account.name.view());
}

void Engine::OnOwnQuery(Session& session, const Node& stanza, const Node& query, bool is_set) {
  if (query.Is("query", ns::kRoster)) {
    if (is_set) {
      OnRosterSet(session, stanza, query);
    } else {
      OnRosterGet(session, stanza, query);
    }
  } else if (query.space == ns::kArchive) {
    OnArchiveQuery(session, stanza, query, is_set);
  } else if (query.space == ns::kBlocking) {
    OnBlocking(session, stanza, query, is_set);
  } else if (query.Is("query", ns::kPrivacy)) {
    OnPrivacy(session, stanza, query, is_set);
  } else if (IsOfflineQuery(query)) {
    OnOffline(session, stanza, query, is_set);
  } else if (is_set && query.Is("sift", ns::kSift)) {
    OnSift(session, stanza, query);
  } else if (is_set && query.space == ns::kTemporary) {
    OnTemporary(session, stanza, query);
  } else if (is_set && query.space == ns::kCarbons &&
             (query.name == "enable" || query.name == "disable")) {
    session.carbons = query.name == "enable";
    SendResult(session, stanza, "");
  } else if (is_set && query.Is("session", ns::kSession)) {
    SendResult(session, stanza, "");
  } else if (is_set && query.Is("bind", ns::kBind)) {
    AnswerError(session, stanza, "cancel", "not-allowed");  // one resource to a stream
  } else if (is_set && query.space == ns::kPush &&
             (query.name == "enable" || query.name == "disable")) {
    OnPush(session, stanza, query);
  } else if (query.Is("query", ns::kPrivate)) {
    OnPrivate(session, stanza, query, is_set);
  } else if ((query.space == ns::kInfo || query.space == ns::kItems) && stanza.Get("to").empty()) {
    OnServerQuery(session, stanza, query, is_set);
  } else if (!OnAccountQuery(session, stanza, query, *session.account, is_set)) {
    OnServerQuery(session, stanza, query, is_set);
  }
}

void Engine::OnServerQuery(Session& session, const Node& stanza, const Node& query, bool is_set) {
  const std::string_view from = stanza.Get("to");
  if (!is_set && query.Is("ping", ns::kPing)) {
    SendResult(session, stanza, "", from);
  } else if (query.Is("query", ns::kSearch)) {
    OnSearch(session, stanza, query, is_set);
  } else if (!is_set && query.Is("time", ns::kTime)) {
    TellTime(session, stanza);
  } else if (!is_set && query.Is("query", ns::kLast)) {  // since the start (XEP-0012 section 4)
    ByteWriter out(scratch2_);
    out.Text("<query xmlns='jabber:iq:last' seconds='");
    out.Decimal(static_cast<uint64_t>((timers_.now() - started_).milliseconds() / 1000));
    out.Text("'/>");
    SendResult(session, stanza, out.text(), from);
  } else if (is_set && query.Is("command", ns::kCommands)) {
    OnCommand(session, stanza, query);
  } else if (!is_set && query.Is("query", ns::kInfo) && query.Get("node") == ns::kPolicy) {
    SendResult(session, stanza, kCommandFeatures, from);
  } else if (!is_set && query.Is("query", ns::kInfo)) {
    if (!query.Get("node").empty()) {
      AnswerError(session, stanza, "cancel", "item-not-found");
      return;
    }
    DescribeServer(session, stanza, kServerFeatures);
  } else if (!is_set && query.Is("query", ns::kItems)) {
    SendServerItems(session, stanza, query);
  } else if (!is_set && query.Is("request", ns::kUpload)) {
    OnUploadRequest(session, stanza, query);
  } else if (!is_set && query.Is("query", ns::kVersion)) {
    SendResult(session, stanza,
               "<query xmlns='jabber:iq:version'><name>Gatehouse</name><version>1</version>"
               "</query>",
               from);
  } else {
    AnswerError(session, stanza, "cancel", "service-unavailable");
  }
}

// XEP-0202; the server lives in UTC.
void Engine::TellTime(Session& session, const Node& stanza) {
  ByteWriter out(scratch2_);
  out.Text("<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>");
  WriteStamp(host_.UnixSeconds(), out);
  out.Text("</utc></time>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

void Engine::SendServerItems(Session& session, const Node& stanza, const Node& query) {
  const std::string_view node = query.Get("node");
  const RoomRules& rules = config_.rooms;
  ByteWriter out(scratch2_);
  out.Text("<query xmlns='http://jabber.org/protocol/disco#items'");
  if (!node.empty()) {
    WriteAttribute("node", node, out);
  }
  out.Char('>');
  for (uint32_t i = 0; rules.enabled && node.empty() && i < rules.host_count; ++i) {
    out.Text("<item name='Rooms'");
    WriteAttribute("jid", rules.hosts[i].view(), out);
    out.Text("/>");
  }
  if (node == ns::kCommands && !session.is_remote) {
    WriteCommands(DomainOf(*session.account), out);
  }
  out.Text("</query>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// --- Blocking (XEP-0191) -------------------------------------------------------------------------

void Engine::OnBlocking(Session& session, const Node& stanza, const Node& query, bool is_set) {
  Account& account = *session.account;
  if (!is_set && query.name == "blocklist") {
    session.wants_blocks = true;
    ByteWriter out(scratch2_);
    out.Text("<blocklist xmlns='urn:xmpp:blocking'>");
    for (const Blocked& blocked : account.blocked) {
      uint8_t bytes[kAddressMax];
      out.Text("<item");
      WriteAttribute("jid", directory_->AddressOf(blocked, bytes), out);
      out.Text("/>");
    }
    out.Text("</blocklist>");
    SendResult(session, stanza, out.text());
    return;
  }
  const bool is_block = query.name == "block";
  if (!is_set || (!is_block && query.name != "unblock") ||
      (is_block && query.FirstElement() == nullptr)) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  ByteWriter push(scratch2_);
  push.Text(is_block ? "<block xmlns='urn:xmpp:blocking'>" : "<unblock xmlns='urn:xmpp:blocking'>");
  for (const Node* item = query.FirstElement(); item != nullptr; item = item->NextElement()) {
    const auto address = Address::Parse(item->Get("jid"));
    if (!item->Is("item", ns::kBlocking) || !address.ok()) {
      AnswerError(session, stanza, "modify", "jid-malformed");
      return;
    }
    push.Text("<item");
    WriteAttribute("jid", address->full(), push);
    push.Text("/>");
  }
  if (!is_block && query.FirstElement() == nullptr) {
    UnblockAll(account);
  }
  push.Text(is_block ? "</block>" : "</unblock>");
  const uint32_t push_size = static_cast<uint32_t>(push.size());
  Chain kept;  // presence is written into the same memory below
  if (!chains_.Append(kept, push.written())) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  for (const Node* item = query.FirstElement(); item != nullptr; item = item->NextElement()) {
    const auto address = Address::Parse(item->Get("jid"));
    if (is_block) {
      if (!Block(account, *address).ok()) {
        chains_.Free(kept);
        AnswerError(session, stanza, "wait", "resource-constraint");
        return;
      }
    } else {
      (void)Unblock(account, *address);
    }
  }
  (void)chains_.Copy(kept, 0, scratch2_.first(push_size));
  chains_.Free(kept);
  session.last_commit = std::max(session.last_commit, keeper_.gathering());
  SendResult(session, stanza, "");
  PushBlocking(account, AsText(scratch2_.first(push_size)));
}

void Engine::PushBlocking(Account& account, std::string_view payload) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (!at->wants_blocks || at->doomed) {
      continue;
    }
    uint8_t full_bytes[kAddressMax];
    ByteWriter out(scratch_);
    out.Text("<iq type='set' id='push-");
    out.Decimal(next_id_++);
    out.Char('\'');
    WriteAttribute("to", FullOf(*at, full_bytes), out);
    out.Char('>');
    out.Text(payload);
    out.Text("</iq>");
    if (out.ok()) {
      SendStanza(*at, out.written());
    }
  }
}

}  // namespace gh::xmpp
