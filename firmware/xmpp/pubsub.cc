// Personal eventing (XEP-0163, of XEP-0060 what clients use of it): accounts publish, those who may
// and wish are notified. Bookmarks, avatars, keys of encryption, nicks and moods all go this way.
// Who asked to be notified, and who is somebody to a node: pubsub_entities.cc.
#include <algorithm>
#include <charconv>

#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kConfig = "http://jabber.org/protocol/pubsub#node_config";

constexpr std::string_view kAccess[] = {"presence", "open", "whitelist", "roster"};
constexpr std::string_view kPublish[] = {"publishers", "subscribers", "open"};

std::string_view ToText(ItemAccess access) { return kAccess[static_cast<uint8_t>(access)]; }
std::string_view ToText(PublishModel model) { return kPublish[static_cast<uint8_t>(model)]; }

// The value of an enumeration up to `last` whose text this is; false: none.
template <typename Value>
bool ReadValue(std::string_view text, Value last, Value& out) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(last); ++i) {
    if (ToText(static_cast<Value>(i)) == text) {
      out = static_cast<Value>(i);
      return true;
    }
  }
  return false;
}

// Nodes that are for their owner alone unless he says otherwise (XEP-0223).
bool IsOwnersAlone(std::string_view name) {
  return name == "urn:xmpp:bookmarks:1" || name == "storage:bookmarks" ||
         name == "urn:xmpp:mds:displayed:0";
}

// Fields of publish-options or of a configuration; false: one that has no such value here.
bool ReadConfig(const Node* form, ItemNode& out) {
  for (const Node* field = form != nullptr ? form->FirstElement() : nullptr; field != nullptr;
       field = field->NextElement()) {
    const std::string_view var = field->Get("var");
    const Node* child = field->Child("value", ns::kForm);
    const std::string_view value = child != nullptr ? child->Text() : std::string_view();
    if (var == "pubsub#access_model") {
      if (!ReadValue(value, ItemAccess::kRoster, out.access)) {
        return false;
      }
    } else if (var == "pubsub#publish_model") {
      if (!ReadValue(value, PublishModel::kOpen, out.publish)) {
        return false;
      }
    } else if (var == "pubsub#max_items") {
      uint32_t most = kItemsPerNodeMax;
      const auto error = std::from_chars(value.data(), value.data() + value.size(), most).ec;
      if (value != "max" && (error != std::errc() || most == 0)) {
        return false;
      }
      out.item_max = static_cast<uint16_t>(std::min(most, kItemsPerNodeMax));
    }
  }
  return true;
}

constexpr std::string_view kPurge = "purge";
constexpr std::string_view kDelete = "delete";

}  // namespace

// An affiliation is stronger than the access model (XEP-0060 sections 4.1, 4.5).
bool Engine::MayRead(std::string_view reader, Account& owner, ItemNode& node) {
  const auto address = Address::Parse(reader);
  if (!address.ok() || Blocks(owner, *address)) {
    return false;
  }
  const NodeAffiliation affiliation = AffiliationOf(reader, owner, node);
  if (affiliation != NodeAffiliation::kNone) {
    return affiliation != NodeAffiliation::kOutcast;
  }
  const Contact* contact = directory_->FindContact(owner, reader);
  const uint8_t state = contact != nullptr ? contact->state : uint8_t{0};
  switch (node.access) {
    case ItemAccess::kOpen:
      return true;
    case ItemAccess::kPresence:
      return (state & kFrom) != 0;
    case ItemAccess::kRoster:
      return (state & kInRoster) != 0;
    default:
      return false;
  }
}

// Into a node there is not yet, its account's user alone.
bool Engine::MayPublish(const Session& session, Account& owner, ItemNode* node) {
  if (&owner == session.account || node == nullptr) {
    return &owner == session.account;
  }
  const auto affiliation = AffiliationOf(session.account->name.view(), owner, *node);
  if (affiliation == NodeAffiliation::kOutcast || affiliation >= NodeAffiliation::kPublisher) {
    return affiliation != NodeAffiliation::kOutcast;
  }
  return node->publish == PublishModel::kOpen ||
         (node->publish == PublishModel::kSubscribers && IsSubscriber(*node, session));
}

void Engine::OnPubsub(Session& session, const Node& stanza, const Node& query, Account& owner,
                      bool is_set) {
  const Node* what = query.FirstElement();
  const std::string_view name = what != nullptr ? what->Get("node") : std::string_view();
  const bool is_owners = query.space == ns::kPubsubOwner;
  const bool is_list = what != nullptr && !is_owners && !is_set &&
                       (what->name == "subscriptions" || what->name == "affiliations");
  if (what == nullptr || (name.empty() && what->name != "default" && !is_list)) {
    AnswerError(session, stanza, "modify", "bad-request",
                "<nodeid-required xmlns='http://jabber.org/protocol/pubsub#errors'/>");
    return;
  }
  ItemNode* node = items_->Find(owner, name);
  if (!is_owners && OnEntityQuery(session, stanza, *what, owner, node, is_set)) {
    // It is answered.
  } else if (!is_set && what->name == "items" && !is_owners) {
    if (&owner != session.account &&
        (node == nullptr || !MayRead(*session.account, owner, *node))) {
      AnswerError(session, stanza, "auth", "not-authorized");
    } else if (node == nullptr) {
      AnswerError(session, stanza, "cancel", "item-not-found");
    } else {
      SendItems(session, stanza, *what, query.Child("set", ns::kPages), owner, *node);
    }
  } else if (is_set && what->name == "publish" && !is_owners && MayPublish(session, owner, node)) {
    OnPublish(session, stanza, query, *what, owner, node);
  } else if (is_set && what->name == "retract" && node != nullptr &&
             AffiliationOf(session.account->name.view(), owner, *node) >=
                 NodeAffiliation::kPublisher) {
    OnRetract(session, stanza, *what, owner, *node);
  } else if (!Owns(session, owner, node)) {
    AnswerError(session, stanza, "auth", "forbidden");
  } else if (is_set && what->name == "create" && !is_owners) {
    OnCreate(session, stanza, query, name);
  } else if (node == nullptr) {
    AnswerError(session, stanza, "cancel", "item-not-found");
  } else {
    OnNodeOwner(session, stanza, *what, owner, *node, is_set);
  }
  session.last_commit =
      is_set ? std::max(session.last_commit, keeper_.gathering()) : session.last_commit;
}

// By the account's own user; a node that is there is nobody's to create.
void Engine::OnCreate(Session& session, const Node& stanza, const Node& query,
                      std::string_view name) {
  ItemNode wanted;
  const Node* configure = query.Child("configure", ns::kPubsub);
  const Node* form = configure != nullptr ? configure->Child("x", ns::kForm) : nullptr;
  if (items_->Find(*session.account, name) != nullptr) {
    AnswerError(session, stanza, "cancel", "conflict");
  } else if (!ReadConfig(form, wanted)) {
    AnswerError(session, stanza, "modify", "not-acceptable");
  } else if (items_->Make(*session.account, name, wanted) == nullptr) {
    AnswerError(session, stanza, "wait", "resource-constraint");
  } else {
    SendResult(session, stanza, "", stanza.Get("to"));
  }
}

void Engine::OnRetract(Session& session, const Node& stanza, const Node& what, Account& owner,
                       ItemNode& node) {
  const Node* named = what.FirstElement();
  Item* item = named != nullptr ? items_->Find(node, named->Get("id")) : nullptr;
  if (item == nullptr) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  items_->Remove(owner, node, *item);
  uint8_t bytes[kItemNameMax * 6 + 32];
  ByteWriter out(bytes);
  out.Text("<retract");
  WriteAttribute("id", named->Get("id"), out);
  out.Text("/>");
  SendResult(session, stanza, "", stanza.Get("to"));
  Notify(owner, node, out.text());
}

// What its owners do with a node.
void Engine::OnNodeOwner(Session& session, const Node& stanza, const Node& what, Account& owner,
                         ItemNode& node, bool is_set) {
  const bool is_subscriptions = what.Is("subscriptions", ns::kPubsubOwner);
  if (is_set && what.Is("delete", ns::kPubsubOwner)) {
    SendResult(session, stanza, "", stanza.Get("to"));
    Notify(owner, node, kDelete);
    items_->RemoveNode(owner, node);
  } else if (is_set && what.Is("purge", ns::kPubsubOwner)) {
    while (Item* item = node.items.front()) {
      items_->Remove(owner, node, *item);
    }
    SendResult(session, stanza, "", stanza.Get("to"));
    Notify(owner, node, kPurge);
  } else if (what.Is("configure", ns::kPubsubOwner)) {
    if (is_set) {
      OnConfigure(session, stanza, what, owner, node);
    } else {
      SendConfigForm(session, stanza, node);
    }
  } else if (is_subscriptions || what.Is("affiliations", ns::kPubsubOwner)) {
    if (!is_set) {
      SendEntities(session, stanza, owner, node, is_subscriptions);
    } else if (is_subscriptions) {
      OnSubscribersSet(session, stanza, what, owner, node);
    } else {
      OnAffiliatesSet(session, stanza, what, owner, node);
    }
  } else {
    AnswerError(session, stanza, "cancel", "feature-not-implemented");
  }
}

void Engine::OnConfigure(Session& session, const Node& stanza, const Node& what, Account& owner,
                         ItemNode& node) {
  ItemNode wanted;
  wanted.access = node.access;
  wanted.publish = node.publish;
  wanted.item_max = node.item_max;
  if (!ReadConfig(what.Child("x", ns::kForm), wanted)) {
    AnswerError(session, stanza, "modify", "not-acceptable");
    return;
  }
  node.access = wanted.access;
  node.publish = wanted.publish;
  node.item_max = wanted.item_max;
  if (!items_->Keep(owner, node)) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  EndStale(owner, node);
  SendResult(session, stanza, "", stanza.Get("to"));
}

void Engine::SendConfigForm(Session& session, const Node& stanza, const ItemNode& node) {
  uint8_t name_bytes[kNodeNameMax];
  ByteWriter out(scratch2_);
  const auto list = [&out](std::string_view var, std::string_view value,
                           std::span<const std::string_view> options) {
    out.Text("<field type='list-single'");
    WriteAttribute("var", var, out);
    out.Text("><value>");
    out.Text(value);
    out.Text("</value>");
    for (std::string_view each : options) {
      out.Text("<option><value>");
      out.Text(each);
      out.Text("</value></option>");
    }
    out.Text("</field>");
  };
  out.Text("<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure");
  WriteAttribute("node", items_->NameOf(node, name_bytes), out);
  out.Text("><x xmlns='jabber:x:data' type='form'><field var='FORM_TYPE' type='hidden'><value>");
  out.Text(kConfig);
  out.Text("</value></field>");
  list("pubsub#access_model", ToText(node.access), kAccess);
  list("pubsub#publish_model", ToText(node.publish), kPublish);
  out.Text("<field var='pubsub#max_items' type='text-single'><value>");
  out.Decimal(node.item_max);
  out.Text("</value></field></x></configure></pubsub>");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// --- Publishing ----------------------------------------------------------------------------------

void Engine::OnPublish(Session& session, const Node& stanza, const Node& query, const Node& publish,
                       Account& owner, ItemNode* node) {
  const Node* item = publish.FirstElement();
  const Node* payload = item != nullptr ? item->FirstElement() : nullptr;
  if (item == nullptr || !item->Is("item", ns::kPubsub) || item->NextElement() != nullptr ||
      (payload != nullptr && payload->NextElement() != nullptr)) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  const Node* options = query.Child("publish-options", ns::kPubsub);
  ItemNode wanted;
  wanted.access = node != nullptr                      ? node->access
                  : IsOwnersAlone(publish.Get("node")) ? ItemAccess::kWhitelist
                                                       : ItemAccess::kPresence;
  wanted.publish = node != nullptr ? node->publish : wanted.publish;
  wanted.item_max = node != nullptr ? node->item_max : 1;
  const bool read =
      ReadConfig(options != nullptr ? options->Child("x", ns::kForm) : nullptr, wanted);
  if (!read ||
      (node != nullptr && (wanted.access != node->access || wanted.publish != node->publish ||
                           wanted.item_max != node->item_max))) {
    AnswerError(session, stanza, "cancel", "conflict",
                "<precondition-not-met xmlns='http://jabber.org/protocol/pubsub#errors'/>");
    return;
  }
  node = node != nullptr ? node : items_->Make(owner, publish.Get("node"), wanted);
  uint8_t id_bytes[24];
  ByteWriter made(id_bytes);
  made.Hex(random_.U64(), 16);
  const bool no_avatar = publish.Get("node") == "urn:xmpp:avatar:metadata" &&
                         (payload == nullptr || payload->FirstElement() == nullptr);
  const std::string_view id = no_avatar                 ? "none"  // a hash names a picture
                              : item->Get("id").empty() ? made.text()
                                                        : item->Get("id");
  ByteWriter text(scratch3_);
  if (payload != nullptr) {
    WriteElement(*payload, {}, text);
  }
  const bool kept =
      node != nullptr && text.ok() && items_->Put(owner, *node, id, text.text()) != nullptr;
  if (!kept) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  ByteWriter event(scratch2_);
  event.Text("<item");
  WriteAttribute("id", id, event);
  event.Char('>');
  event.Bytes(text.written());
  event.Text("</item>");
  const size_t event_size = event.size();
  uint8_t answer_bytes[(kItemNameMax + kNodeNameMax) * 6 + 160];
  ByteWriter answer(answer_bytes);
  answer.Text("<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish");
  WriteAttribute("node", publish.Get("node"), answer);
  answer.Text("><item");
  WriteAttribute("id", id, answer);
  answer.Text("/></publish></pubsub>");
  SendResult(session, stanza, answer.text(), stanza.Get("to"));
  Notify(owner, *node, AsText(scratch2_.first(event_size)));
  OnAvatarPublished(owner, publish.Get("node"), payload);
}

// `event`: what is inside of "items", or kPurge or kDelete.
void Engine::WriteEvent(const Account& owner, std::string_view to, std::string_view node,
                        std::string_view event, ByteWriter& out) {
  const bool is_items = event != kPurge && event != kDelete;
  const std::string_view what = is_items ? "items" : event;
  out.Text("<message type='headline'");
  WriteAttribute("from", owner.name.view(), out);
  WriteAttribute("to", to, out);
  out.Text("><event xmlns='http://jabber.org/protocol/pubsub#event'><");
  out.Text(what);
  WriteAttribute("node", node, out);
  out.Char('>');
  out.Text(is_items ? event : std::string_view());
  out.Text("</");
  out.Text(what);
  out.Text("></event></message>");
}

void Engine::NotifySession(Account& owner, Session& session, const ItemNode& node,
                           std::string_view event) {
  uint8_t name_bytes[kNodeNameMax];
  const std::string_view name = items_->NameOf(node, name_bytes);
  if (session.doomed || !session.available || session.caps == nullptr ||
      !caps_->Wants(*session.caps, name)) {
    return;
  }
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch_);
  WriteEvent(owner, FullOf(session, full_bytes), name, event, out);
  if (out.ok()) {
    SendStanza(session, out.written());
  }
}

// To those who subscribed; then to the owner's sessions and to those who see him, if they may and
// wish and have not been told.
void Engine::Notify(Account& owner, ItemNode& node, std::string_view event) {
  NotifySubscribers(owner, node, event);
  const auto notify = [&](Account& reader) {
    for (Session* at = reader.sessions; at != nullptr; at = at->next_of_account) {
      if (!IsSubscriber(node, *at)) {
        NotifySession(owner, *at, node, event);
      }
    }
  };
  notify(owner);
  for (Contact& contact : owner.contacts) {
    uint8_t bytes[kAddressMax];
    Account* reader = (contact.state & kFrom) != 0
                          ? directory_->Find(directory_->AddressOf(contact, bytes))
                          : nullptr;
    if (reader == nullptr || reader == &owner || !MayRead(*reader, owner, node)) {
      continue;
    }
    notify(*reader);
  }
  NotifyAway(owner, node, event);
}

// As it is notified, in scratch2_. The node has one.
std::string_view Engine::LastItemOf(Account& owner, ItemNode& node) {
  const Item& last = *node.items.back();
  uint8_t id_bytes[kItemNameMax];
  ByteWriter event(scratch2_);
  event.Text("<item");
  WriteAttribute("id", items_->NameOf(last, id_bytes), event);
  event.Char('>');
  event.Text(items_->Read(owner, node, last, scratch3_));
  event.Text("</item>");
  return event.text();
}

// The last item of each node of `owner` that the session wishes for.
void Engine::SendLastItems(Account& owner, Session& session) {
  for (ItemNode& node : owner.nodes) {
    uint8_t name_bytes[kNodeNameMax];
    if (!node.is_private && !node.items.empty() &&
        caps_->Wants(*session.caps, items_->NameOf(node, name_bytes)) &&
        MayRead(*session.account, owner, node)) {
      NotifySession(owner, session, node, LastItemOf(owner, node));
    }
  }
}

// What a client wishes for is known: it is sent what there is.
void Engine::OnWishesKnown(Session& session) {
  SendLastItems(*session.account, session);
  for (Contact& contact : session.account->contacts) {
    uint8_t bytes[kAddressMax];
    Account* owner = (contact.state & kTo) != 0
                         ? directory_->Find(directory_->AddressOf(contact, bytes))
                         : nullptr;
    if (owner != nullptr && owner != session.account) {
      SendLastItems(*owner, session);
    }
  }
}

// A presence names a hash of capabilities; what it stands for is asked for once.
void Engine::OnCaps(Session& session, const Node& presence) {
  const Node* c = presence.Child("c", "http://jabber.org/protocol/caps");
  const std::string_view hash =
      c != nullptr && c->Get("hash") == "sha-1" ? c->Get("ver") : std::string_view();
  if (session.caps != nullptr && session.caps->hash == hash) {
    return;
  }
  caps_->Release(std::exchange(session.caps, nullptr));
  session.caps = caps_->Take(hash);
  if (session.caps == nullptr) {
    return;
  }
  if (session.caps->known) {
    OnWishesKnown(session);
    return;
  }
  uint8_t full_bytes[kAddressMax];
  ByteWriter out(scratch_);
  out.Text("<iq type='get' id='caps-");
  out.Decimal(caps_->IndexOf(*session.caps));
  out.Char('\'');
  WriteAttribute("from", DomainOf(*session.account), out);
  WriteAttribute("to", FullOf(session, full_bytes), out);
  out.Text("><query xmlns='http://jabber.org/protocol/disco#info' node='");
  WriteEscaped(c->Get("node"), out);
  out.Char('#');
  WriteEscaped(hash, out);
  out.Text("'/></iq>");
  if (out.ok()) {
    SendStanza(session, out.written());
  }
}

// The answer, if it is one.
void Engine::OnCapsAnswer(Session& session, const Node& stanza) {
  const Node* query = stanza.Child("query", ns::kInfo);
  uint8_t bytes[24];
  ByteWriter id(bytes);
  id.Text("caps-");
  id.Decimal(session.caps != nullptr ? caps_->IndexOf(*session.caps) : 0);
  if (session.caps == nullptr || query == nullptr || stanza.Get("type") != "result" ||
      stanza.Get("id") != id.text()) {
    return;
  }
  session.caps = caps_->Learn(session.caps, *query);
  if (session.caps != nullptr && session.caps->known) {
    OnWishesKnown(session);
  }
}

// --- Reading -------------------------------------------------------------------------------------

void Engine::SendItems(Session& session, const Node& stanza, const Node& wanted, const Node* set,
                       Account& owner, ItemNode& node) {
  uint32_t most = kItemsPerNodeMax;
  const Node* limit = set != nullptr ? set->Child("max", ns::kPages) : nullptr;
  for (std::string_view text :
       {wanted.Get("max_items"), limit != nullptr ? limit->Text() : std::string_view()}) {
    (void)std::from_chars(text.data(), text.data() + text.size(), most);
  }
  uint8_t name_bytes[kNodeNameMax];
  ByteWriter out(scratch2_);
  out.Text("<pubsub xmlns='http://jabber.org/protocol/pubsub'><items");
  WriteAttribute("node", items_->NameOf(node, name_bytes), out);
  out.Char('>');
  const Node* named = wanted.FirstElement();
  const uint32_t skip = node.items.size() > most ? node.items.size() - most : 0;
  uint32_t index = 0;
  for (Item& item : node.items) {
    uint8_t id_bytes[kItemNameMax];
    const std::string_view id = items_->NameOf(item, id_bytes);
    bool is_wanted = named == nullptr && index++ >= skip;
    for (const Node* at = named; at != nullptr; at = at->NextElement()) {
      is_wanted = is_wanted || at->Get("id") == id;
    }
    if (!is_wanted) {
      continue;
    }
    out.Text("<item");
    WriteAttribute("id", id, out);
    out.Char('>');
    out.Text(items_->Read(owner, node, item, scratch3_));
    out.Text("</item>");
  }
  out.Text("</items></pubsub>");
  if (!out.ok()) {
    AnswerError(session, stanza, "wait", "resource-constraint");
    return;
  }
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

// --- vCards and private storage ------------------------------------------------------------------

void Engine::OnStored(Session& session, const Node& stanza, std::string_view name,
                      const Node& content, std::string_view empty, Account& owner, bool is_set) {
  ItemNode* node = items_->Find(owner, name, true);
  if (is_set) {
    ItemNode wanted;
    wanted.access = ItemAccess::kWhitelist;
    wanted.is_private = true;
    node = node != nullptr ? node : items_->Make(owner, name, wanted);
    ByteWriter text(scratch3_);
    WriteElement(content, {}, text);
    if (node == nullptr || !text.ok() ||
        items_->Put(owner, *node, "current", text.text()) == nullptr) {
      AnswerError(session, stanza, "wait", "resource-constraint");
      return;
    }
    session.last_commit = std::max(session.last_commit, keeper_.gathering());
    SendResult(session, stanza, "");
    if (content.space == ns::kVcard) {
      OnCardSet(owner, content);
    }
    return;
  }
  const Item* item = node != nullptr ? node->items.front() : nullptr;
  const std::string_view text =
      item != nullptr ? items_->Read(owner, *node, *item, scratch3_) : empty;
  if (text.empty()) {
    AnswerError(session, stanza, "cancel", "item-not-found");
    return;
  }
  const bool is_storage = content.space != ns::kVcard;
  ByteWriter out(scratch2_);
  out.Text(is_storage ? "<query xmlns='jabber:iq:private'>" : "");
  out.Text(text);
  out.Text(is_storage ? "</query>" : "");
  SendResult(session, stanza, out.text(), stanza.Get("to"));
}

void Engine::OnPrivate(Session& session, const Node& stanza, const Node& query, bool is_set) {
  const Node* content = query.FirstElement();
  if (content == nullptr || content->NextElement() != nullptr || content->space.empty() ||
      content->space == ns::kPrivate) {
    AnswerError(session, stanza, "modify", "bad-request");
    return;
  }
  if (content->Is("storage", ns::kBookmarks)) {
    OnBookmarks(session, stanza, *content, is_set);
    return;
  }
  FixedString<kNodeNameMax> name(content->name);
  name.Append(' ');
  if (!name.Append(content->space)) {
    AnswerError(session, stanza, "modify", "not-acceptable");
    return;
  }
  uint8_t bytes[kNodeNameMax * 8];
  ByteWriter empty(bytes);
  empty.Char('<');
  empty.Text(content->name);
  WriteAttribute("xmlns", content->space, empty);
  empty.Text("/>");
  OnStored(session, stanza, name.view(), *content, empty.text(), *session.account, is_set);
}

}  // namespace gh::xmpp
