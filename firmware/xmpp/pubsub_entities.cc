// Who asked to be told of what is published at a node, and who is somebody to it (XEP-0060 sections
// 4.1, 5.6, 5.7, 6.1, 6.2, 8.8, 8.9): users of ours, of other servers and of components alike.
//
// A subscription of a bare address is told to all sessions that messages for it go to, and outlives
// them; one of a full address is that session's own, goes with it, and is not kept. Who has
// subscribed is told once, whatever his client wishes besides (XEP-0163). A subscription ends with
// the right to read: that is looked at when something changes, and before each event.
//
// Fault model: whoever may read may subscribe, strangers too where a node is open: they spend
// places of their own (limits.h). Who does not see the account learns nothing of its nodes.
#include <algorithm>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kInvalidJid =
    "<invalid-jid xmlns='http://jabber.org/protocol/pubsub#errors'/>";
constexpr std::string_view kNotSubscribed =
    "<not-subscribed xmlns='http://jabber.org/protocol/pubsub#errors'/>";
constexpr std::string_view kTooMany =
    "<too-many-subscriptions xmlns='http://jabber.org/protocol/pubsub#errors'/>";
constexpr std::string_view kNeedsPresence =
    "<presence-subscription-required xmlns='http://jabber.org/protocol/pubsub#errors'/>";
constexpr std::string_view kNeedsRoster =
    "<not-in-roster-group xmlns='http://jabber.org/protocol/pubsub#errors'/>";
constexpr std::string_view kClosed =
    "<closed-node xmlns='http://jabber.org/protocol/pubsub#errors'/>";

constexpr std::string_view kAffiliations[] = {"none", "outcast", "member", "publisher", "owner"};

std::string_view ToText(NodeAffiliation affiliation) {
  return kAffiliations[static_cast<uint8_t>(affiliation)];
}

bool ReadAffiliation(std::string_view text, NodeAffiliation& out) {
  const auto at = std::ranges::find(kAffiliations, text);
  out = static_cast<NodeAffiliation>(at - std::begin(kAffiliations));
  return at != std::end(kAffiliations);
}

void WriteSubscription(std::string_view node, std::string_view jid, bool is_subscribed,
                       ByteWriter& out) {
  out.Text("<subscription");
  if (!node.empty()) {
    WriteAttribute("node", node, out);
  }
  WriteAttribute("jid", jid, out);
  WriteAttribute("subscription", is_subscribed ? "subscribed" : "none", out);
  out.Text("/>");
}

// Messages for the bare address go to it (RFC 6121 section 8.5.2).
bool HearsAll(const Session& session) {
  return !session.doomed && session.available && session.priority >= 0;
}

}  // namespace

NodeAffiliation Engine::AffiliationOf(std::string_view bare, const Account& owner, ItemNode& node) {
  if (bare == owner.name.view()) {
    return NodeAffiliation::kOwner;
  }
  const NodeEntity* entity = items_->FindEntity(node, bare);
  return entity != nullptr ? entity->affiliation : NodeAffiliation::kNone;
}

bool Engine::Owns(const Session& session, Account& owner, ItemNode* node) {
  return &owner == session.account ||
         (node != nullptr &&
          AffiliationOf(session.account->name.view(), owner, *node) == NodeAffiliation::kOwner);
}

// What anybody may ask about himself. True: it was that, and is answered.
bool Engine::OnEntityQuery(Session& session, const Node& stanza, const Node& what, Account& owner,
                           ItemNode* node, bool is_set) {
  if (is_set && what.name == "subscribe") {
    OnSubscribe(session, stanza, what, owner, node);
  } else if (is_set && what.name == "unsubscribe") {
    OnUnsubscribe(session, stanza, what, owner, node);
  } else if (!is_set && (what.name == "subscriptions" || what.name == "affiliations")) {
    SendOwnEntities(session, stanza, what, owner, node);
  } else {
    return false;
  }
  return true;
}

// --- Subscribing ---------------------------------------------------------------------------------

// If not, he is told why; to who does not see the account a node that is not there looks like one
// that is.
bool Engine::MaySubscribe(Session& session, const Node& stanza, Account& owner, ItemNode* node) {
  const std::string_view bare = session.account->name.view();
  if (node != nullptr && MayRead(*session.account, owner, *node)) {
    return true;
  }
  if (node != nullptr && AffiliationOf(bare, owner, *node) == NodeAffiliation::kOutcast) {
    AnswerError(session, stanza, "auth", "forbidden");
  } else if (!IsSubscribed(*session.account, owner)) {
    AnswerError(session, stanza, "auth", "not-authorized", kNeedsPresence);
  } else if (node == nullptr) {
    AnswerError(session, stanza, "cancel", "item-not-found");
  } else if (node->access == ItemAccess::kWhitelist) {
    AnswerError(session, stanza, "cancel", "not-allowed", kClosed);
  } else {
    AnswerError(session, stanza, "auth", "not-authorized", kNeedsRoster);
  }
  return false;
}

// Null: a limit.
NodeEntity* Engine::AddSubscriber(Account& owner, ItemNode& node, const Address& who) {
  NodeEntity* entity = items_->FindEntity(node, who.full());
  if (entity != nullptr && entity->subscribed) {
    return entity;
  }
  if (items_->SubscriptionCount(who.bare()) >= kSubscriptionsPerUserMax) {
    return nullptr;
  }
  if (entity == nullptr) {
    entity = items_->AddEntity(owner, node, who.full(), !IsLocal(who.domain()));
  }
  if (entity == nullptr) {
    return nullptr;
  }
  entity->subscribed = true;
  if (!items_->KeepEntity(*entity)) {
    (void)EndSubscription(*entity);
    return nullptr;
  }
  return entity;
}

void Engine::OnSubscribe(Session& session, const Node& stanza, const Node& what, Account& owner,
                         ItemNode* node) {
  uint8_t bytes[kAddressMax];
  const auto who = Address::Parse(what.Get("jid"));
  if (!who.ok() ||
      (who->full() != session.account->name.view() && who->full() != FullOf(session, bytes))) {
    AnswerError(session, stanza, "modify", "bad-request", kInvalidJid);
    return;
  }
  if (!MaySubscribe(session, stanza, owner, node)) {
    return;
  }
  EndStale(owner, *node);
  NodeEntity* entity = AddSubscriber(owner, *node, *who);
  if (entity == nullptr) {
    ++counters_.refused;
    AnswerError(session, stanza, "wait", "policy-violation", kTooMany);
    return;
  }
  session.subscribes = session.subscribes || entity->is_full;
  uint8_t answer_bytes[(kAddressMax + kNodeNameMax) * 6 + 192];
  ByteWriter answer(answer_bytes);
  answer.Text("<pubsub xmlns='http://jabber.org/protocol/pubsub'>");
  WriteSubscription(what.Get("node"), who->full(), true, answer);
  answer.Text("</pubsub>");
  SendResult(session, stanza, answer.text(), stanza.Get("to"));
  if (!node->items.empty()) {
    NotifySubscriber(*entity, LastItemOf(owner, *node));
  }
}

void Engine::OnUnsubscribe(Session& session, const Node& stanza, const Node& what, Account& owner,
                           ItemNode* node) {
  const auto who = Address::Parse(what.Get("jid"));
  if (!who.ok()) {
    AnswerError(session, stanza, "modify", "bad-request", kInvalidJid);
    return;
  }
  if (who->bare() != session.account->name.view()) {
    AnswerError(session, stanza, "auth", "forbidden");
    return;
  }
  NodeEntity* entity = node != nullptr ? items_->FindEntity(*node, who->full()) : nullptr;
  if (node == nullptr && IsSubscribed(*session.account, owner)) {
    AnswerError(session, stanza, "cancel", "item-not-found");
  } else if (entity == nullptr || !entity->subscribed) {
    AnswerError(session, stanza, "cancel", "unexpected-request", kNotSubscribed);
  } else if (!EndSubscription(*entity)) {
    AnswerError(session, stanza, "wait", "resource-constraint");
  } else {
    SendResult(session, stanza, "", stanza.Get("to"));
  }
}

// --- Their ends ----------------------------------------------------------------------------------

// The entity may be gone after it. False: the keeper takes no more, and it is back after a restart.
bool Engine::EndSubscription(NodeEntity& entity) {
  entity.subscribed = false;
  return items_->KeepEntity(entity);
}

// Of one client of another server.
void Engine::EndSubscriptions(Account& owner, std::string_view full) {
  for (ItemNode& node : owner.nodes) {
    NodeEntity* entity = items_->FindEntity(node, full);
    if (entity != nullptr && entity->is_full) {
      (void)EndSubscription(*entity);
    }
  }
}

bool Engine::IsStale(Account& owner, ItemNode& node, const NodeEntity& entity) {
  uint8_t bytes[kAddressMax];
  const auto who = Address::Parse(items_->AddressOf(entity, bytes));
  if (!who.ok() || (who->bare() != owner.name.view() && !MayRead(who->bare(), owner, node))) {
    return true;
  }
  if (!IsLocal(who->domain())) {
    return false;
  }
  Account* reader = directory_->Find(who->bare());
  return reader == nullptr ||
         (who->has_resource() && FindSession(*reader, who->resource()) == nullptr);
}

void Engine::EndStale(Account& owner, ItemNode& node) {
  for (NodeEntity& entity : node.entities) {
    if (entity.subscribed && IsStale(owner, node, entity)) {
      (void)EndSubscription(entity);
    }
  }
}

void Engine::EndStale(Account& owner) {
  for (ItemNode& node : owner.nodes) {
    EndStale(owner, node);
  }
}

// --- Events --------------------------------------------------------------------------------------

// It is told by its subscription, or by that of its bare address.
bool Engine::IsSubscriber(ItemNode& node, const Session& session) {
  if (node.entities.empty()) {
    return false;
  }
  uint8_t bytes[kAddressMax];
  const NodeEntity* full = items_->FindEntity(node, FullOf(session, bytes));
  const NodeEntity* bare = items_->FindEntity(node, session.account->name.view());
  return (full != nullptr && full->subscribed) ||
         (bare != nullptr && bare->subscribed && (session.is_remote || HearsAll(session)));
}

// What goes to a bare address elsewhere its server tells to his clients.
bool Engine::IsSubscriberAway(ItemNode& node, std::string_view full) {
  const NodeEntity* client = items_->FindEntity(node, full);
  const NodeEntity* user = items_->FindEntity(node, BareOf(full));
  return (client != nullptr && client->subscribed) || (user != nullptr && user->subscribed);
}

// To the session that `who` names, or to each that hears all. `has_user`: these have it already.
void Engine::SendToReader(Account& reader, const Address& who, bool has_user,
                          std::span<const uint8_t> event) {
  for (Session* at = reader.sessions; at != nullptr; at = at->next_of_account) {
    const bool is_for_it = who.has_resource() ? at->resource == who.resource() && !at->doomed &&
                                                    !(has_user && HearsAll(*at))
                                              : HearsAll(*at);
    if (is_for_it) {
      SendStanza(*at, event);
    }
  }
}

void Engine::NotifySubscriber(NodeEntity& entity, std::string_view event) {
  uint8_t bytes[kAddressMax];
  uint8_t name_bytes[kNodeNameMax];
  const auto who = Address::Parse(items_->AddressOf(entity, bytes));
  if (!who.ok()) {
    return;
  }
  ItemNode& node = *entity.of;
  const NodeEntity* user = entity.is_full ? items_->FindEntity(node, who->bare()) : nullptr;
  const bool has_user = user != nullptr && user->subscribed;
  ByteWriter out(scratch_);
  WriteEvent(*entity.owner, who->full(), items_->NameOf(node, name_bytes), event, out);
  if (!out.ok()) {
    return;
  }
  if (!IsLocal(who->domain())) {
    const auto taken = has_user ? Remote::Taken::kYes
                                : ToRemote(entity.owner->name.view(), who->domain(), out.written());
    counters_.refused += taken == Remote::Taken::kFull ? 1 : 0;
    return;
  }
  Account* reader = directory_->Find(who->bare());
  const auto owner = Address::Parse(entity.owner->name.view());
  if (reader == nullptr || !owner.ok() || (reader != entity.owner && Blocks(*reader, *owner))) {
    return;
  }
  SendToReader(*reader, *who, has_user, out.written());
}

void Engine::NotifySubscribers(Account& owner, ItemNode& node, std::string_view event) {
  EndStale(owner, node);
  for (NodeEntity& entity : node.entities) {
    if (entity.subscribed) {
      NotifySubscriber(entity, event);
    }
  }
}

// --- Lists ---------------------------------------------------------------------------------------

// What the asker is to one node, or to all (XEP-0060 sections 5.6, 5.7).
void Engine::SendOwnEntities(Session& session, const Node& stanza, const Node& what, Account& owner,
                             ItemNode* node) {
  const bool is_all = what.Get("node").empty();
  const bool is_subscriptions = what.name == "subscriptions";
  const std::string_view bare = session.account->name.view();
  if (!is_all && node == nullptr && IsSubscribed(*session.account, owner)) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  ByteWriter out(scratch2_);
  out.Text("<pubsub xmlns='http://jabber.org/protocol/pubsub'>");
  out.Text(is_subscriptions ? "<subscriptions>" : "<affiliations>");
  for (ItemNode& each : owner.nodes) {
    if (each.is_private || (!is_all && &each != node)) {
      continue;
    }
    uint8_t name_bytes[kNodeNameMax];
    const std::string_view name = items_->NameOf(each, name_bytes);
    const NodeAffiliation affiliation = AffiliationOf(bare, owner, each);
    if (!is_subscriptions && affiliation != NodeAffiliation::kNone) {
      out.Text("<affiliation");
      WriteAttribute("node", name, out);
      WriteAttribute("affiliation", ToText(affiliation), out);
      out.Text("/>");
    }
    EndStale(owner, each);
    for (NodeEntity& entity : each.entities) {
      uint8_t bytes[kAddressMax];
      const std::string_view address = items_->AddressOf(entity, bytes);
      if (is_subscriptions && entity.subscribed && BareOf(address) == bare) {
        WriteSubscription(name, address, true, out);
      }
    }
  }
  out.Text(is_subscriptions ? "</subscriptions></pubsub>" : "</affiliations></pubsub>");
  if (!out.ok()) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// To an owner: all subscribers, or all who are somebody (XEP-0060 sections 8.8.1, 8.9.1).
void Engine::SendEntities(Session& session, const Node& stanza, Account& owner, ItemNode& node,
                          bool is_subscriptions) {
  EndStale(owner, node);
  uint8_t name_bytes[kNodeNameMax];
  ByteWriter out(scratch2_);
  const auto affiliate = [&out](std::string_view jid, NodeAffiliation affiliation) {
    out.Text("<affiliation");
    WriteAttribute("jid", jid, out);
    WriteAttribute("affiliation", ToText(affiliation), out);
    out.Text("/>");
  };
  out.Text("<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>");
  out.Text(is_subscriptions ? "<subscriptions" : "<affiliations");
  WriteAttribute("node", items_->NameOf(node, name_bytes), out);
  out.Char('>');
  if (!is_subscriptions) {
    affiliate(owner.name.view(), NodeAffiliation::kOwner);
  }
  for (NodeEntity& entity : node.entities) {
    uint8_t bytes[kAddressMax];
    const std::string_view address = items_->AddressOf(entity, bytes);
    if (is_subscriptions && entity.subscribed) {
      WriteSubscription({}, address, true, out);
    } else if (!is_subscriptions && entity.affiliation != NodeAffiliation::kNone) {
      affiliate(address, entity.affiliation);
    }
  }
  out.Text(is_subscriptions ? "</subscriptions></pubsub>" : "</affiliations></pubsub>");
  if (!out.ok()) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// --- What owners set -----------------------------------------------------------------------------

// An owner ends anybody's subscription, and begins that of who sees the account and may read: a
// stranger would be sent what he never asked for.
bool Engine::MaySetSubscriber(const Node& item, Account& owner, ItemNode& node) {
  const auto who = Address::Parse(item.Get("jid"));
  const std::string_view wanted = item.Get("subscription");
  if (!item.Is("subscription", ns::kPubsubOwner) || !who.ok()) {
    return false;
  }
  const Contact* contact = directory_->FindContact(owner, who->bare());
  const bool sees = contact != nullptr && (contact->state & kFrom) != 0;
  const bool is_own = who->full() == owner.name.view();
  return wanted == "none" || (wanted == "subscribed" && !who->has_resource() &&
                              (is_own || (sees && MayRead(who->bare(), owner, node))));
}

// All of them or none, as far as there is room.
void Engine::OnSubscribersSet(Session& session, const Node& stanza, const Node& what,
                              Account& owner, ItemNode& node) {
  for (const Node* item = what.FirstElement(); item != nullptr; item = item->NextElement()) {
    if (!MaySetSubscriber(*item, owner, node)) {
      AnswerError(session, stanza, "modify", "not-acceptable");
      return;
    }
  }
  for (const Node* item = what.FirstElement(); item != nullptr; item = item->NextElement()) {
    const auto who = Address::Parse(item->Get("jid"));
    NodeEntity* entity = who.ok() ? items_->FindEntity(node, who->full()) : nullptr;
    const bool was_subscribed = entity != nullptr && entity->subscribed;
    const bool is_wanted = item->Get("subscription") == "subscribed";
    if (!who.ok() || was_subscribed == is_wanted) {
      continue;
    }
    const bool done =
        is_wanted ? AddSubscriber(owner, node, *who) != nullptr : EndSubscription(*entity);
    if (!done) {
      AnswerError(session, stanza, "wait", "resource-constraint");
      return;
    }
    TellSubscription(owner, node, *who, is_wanted);
  }
  SendResult(session, stanza, "", stanza.Get("to"));
}

void Engine::TellSubscription(const Account& owner, const ItemNode& node, const Address& who,
                              bool is_subscribed) {
  uint8_t name_bytes[kNodeNameMax];
  uint8_t bytes[(2 * kAddressMax + 128 + kNodeNameMax) * 6 + 256];
  ByteWriter out(bytes);
  out.Text("<message type='headline'");
  WriteAttribute("from", owner.name.view(), out);
  WriteAttribute("to", who.full(), out);
  out.Text("><event xmlns='http://jabber.org/protocol/pubsub#event'>");
  WriteSubscription(items_->NameOf(node, name_bytes), who.full(), is_subscribed, out);
  out.Text("</event></message>");
  if (!IsLocal(who.domain())) {
    (void)ToRemote(owner.name.view(), who.domain(), out.written());
  } else if (Account* reader = directory_->Find(who.bare())) {
    SendToReader(*reader, who, false, out.written());
  }
}

// False: a limit. Who may not read any more is not told either.
bool Engine::SetAffiliation(Account& owner, ItemNode& node, const Address& who,
                            NodeAffiliation affiliation) {
  NodeEntity* entity = items_->FindEntity(node, who.bare());
  if (entity == nullptr && affiliation == NodeAffiliation::kNone) {
    return true;
  }
  if (entity == nullptr) {
    entity = items_->AddEntity(owner, node, who.bare(), !IsLocal(who.domain()));
  }
  if (entity == nullptr) {
    return false;
  }
  const NodeAffiliation before = std::exchange(entity->affiliation, affiliation);
  if (!items_->KeepEntity(*entity)) {
    entity->affiliation = before;
    if (before == NodeAffiliation::kNone && !entity->subscribed) {
      items_->RemoveEntity(*entity);
    }
    return false;
  }
  return true;
}

void Engine::OnAffiliatesSet(Session& session, const Node& stanza, const Node& what, Account& owner,
                             ItemNode& node) {
  for (const Node* item = what.FirstElement(); item != nullptr; item = item->NextElement()) {
    NodeAffiliation affiliation;
    const auto who = Address::Parse(item->Get("jid"));
    if (!item->Is("affiliation", ns::kPubsubOwner) || !who.ok() ||
        !ReadAffiliation(item->Get("affiliation"), affiliation)) {
      AnswerError(session, stanza, "modify", "bad-request");
      return;
    }
    if (who->bare() == owner.name.view() && affiliation != NodeAffiliation::kOwner) {
      AnswerError(session, stanza, "modify", "not-acceptable");  // it is his account
      return;
    }
  }
  bool fits = true;
  for (const Node* item = what.FirstElement(); fits && item != nullptr;
       item = item->NextElement()) {
    NodeAffiliation affiliation;
    const auto who = Address::Parse(item->Get("jid"));
    (void)ReadAffiliation(item->Get("affiliation"), affiliation);
    fits = who->bare() == owner.name.view() || SetAffiliation(owner, node, *who, affiliation);
  }
  EndStale(owner, node);
  if (!fits) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  SendResult(session, stanza, "", stanza.Get("to"));
}

}  // namespace gh::xmpp
