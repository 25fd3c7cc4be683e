// What accounts publish, told to users of other servers who see them (XEP-0163 sections 4 and 5):
// to each client that shows itself to the account's address and whose capabilities have the wish.
// What a hash of capabilities stands for is asked of the client that names it, and shared once it
// has proved true; hashes from elsewhere have places of their own.
//
// A client is known from its presence until it goes, shows that it does not hear, or its user may
// not see the account any more. It is known while its owner is away too, for its server goes on
// telling. Where there is no place the longest silent gives way: of the same user, of the same
// account, of all. It is back with its next presence, and told the last items again.
//
// Fault model: the other server has proved its domain. Its users spend places of their own and
// what they are sent; one presence costs a look through the account's clients and one question.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {

ClientAway* Engine::FindClientAway(Account& owner, const Address& who) {
  const uint64_t hash = directory_->HashOf(who.full());
  for (ClientAway& each : owner.clients_away) {
    uint8_t bytes[kAddressMax];
    if (each.hash == hash && chains_.Text(each.address, bytes) == who.full()) {
      return &each;
    }
  }
  return nullptr;
}

void Engine::MakeRoomForClientAway(Account& owner, uint64_t user_hash) {
  uint32_t count = 0;
  ClientAway* oldest = nullptr;
  for (ClientAway& each : owner.clients_away) {
    if (each.user_hash == user_hash) {
      oldest = oldest != nullptr ? oldest : &each;
      ++count;
    }
  }
  if (count >= kClientsAwayPerContact) {
    ForgetClientAway(*oldest);
  } else if (owner.clients_away.size() >= kClientsAwayPerUser) {
    ForgetClientAway(*owner.clients_away.front());
  } else if (clients_away_.free_count() == 0) {
    ForgetClientAway(*clients_by_age_.front());
  }
}

// Null: no memory for its address.
ClientAway* Engine::NewClientAway(Account& owner, const Address& who) {
  const uint64_t user_hash = directory_->HashOf(who.bare());
  MakeRoomForClientAway(owner, user_hash);
  ClientAway* client = clients_away_.Allocate();
  if (!chains_.Assign(client->address, who.full())) {
    clients_away_.Release(client);
    return nullptr;
  }
  client->owner = &owner;
  client->hash = directory_->HashOf(who.full());
  client->user_hash = user_hash;
  owner.clients_away.PushBack(*client);
  clients_by_age_.PushBack(*client);
  return client;
}

void Engine::ForgetClientAway(ClientAway& client) {
  caps_away_->Release(client.caps);
  chains_.Free(client.address);
  client.owner->clients_away.Remove(client);
  clients_by_age_.Remove(client);
  clients_away_.Release(&client);
}

// One client, or all of a user's.
void Engine::ForgetClientsAway(Account& owner, const Address& who) {
  if (who.has_resource()) {
    if (ClientAway* client = FindClientAway(owner, who)) {
      ForgetClientAway(*client);
    }
    return;
  }
  const uint64_t user_hash = directory_->HashOf(who.bare());
  for (ClientAway& each : owner.clients_away) {
    if (each.user_hash == user_hash) {
      ForgetClientAway(each);
    }
  }
}

void Engine::ForgetBlockedAway(Account& owner) {
  for (ClientAway& each : owner.clients_away) {
    uint8_t bytes[kAddressMax];
    const auto who = Address::Parse(chains_.Text(each.address, bytes));
    if (!who.ok() || Blocks(owner, *who)) {
      ForgetClientAway(each);
    }
  }
}

void Engine::ForgetAllAway(Account& owner) {
  while (ClientAway* client = owner.clients_away.front()) {
    ForgetClientAway(*client);
  }
}

// A message from an account's own address came back: it was an event.
void Engine::ForgetWhoCannotHear(const Address& to, const Node& stanza) {
  Account* owner = stanza.name == "message" && stanza.Get("type") == "error" && !to.has_resource()
                       ? directory_->Find(to.bare())
                       : nullptr;
  if (owner != nullptr && remote_from_.has_resource()) {
    EndSubscriptions(*owner, remote_from_.full());
    ForgetClientsAway(*owner, remote_from_);
  }
}

// A presence to the account's address, from remote_from_.
void Engine::OnClientAway(Account& owner, const Node& presence) {
  if (!presence.Get("type").empty()) {  // it goes, or does not hear
    EndSubscriptions(owner, remote_from_.full());
    ForgetClientsAway(owner, remote_from_);
    return;
  }
  if (!remote_from_.has_resource() || !Sees(remote_account_, owner)) {
    return;
  }
  ClientAway* client = FindClientAway(owner, remote_from_);
  if (client != nullptr) {
    owner.clients_away.Remove(*client);
    owner.clients_away.PushBack(*client);
    clients_by_age_.Remove(*client);
    clients_by_age_.PushBack(*client);
  }
  const Node* c = presence.Child("c", "http://jabber.org/protocol/caps");
  if (c == nullptr) {
    return;  // as before (XEP-0115 section 8.4)
  }
  const std::string_view hash = c->Get("hash") == "sha-1" ? c->Get("ver") : std::string_view();
  const uint64_t named = directory_->HashOf(hash);
  if (client != nullptr && client->named == named && client->told) {
    return;
  }
  if (client == nullptr && !hash.empty()) {
    client = NewClientAway(owner, remote_from_);
  }
  if (client == nullptr) {
    return;
  }
  if (client->named != named || client->caps == nullptr) {
    caps_away_->Release(client->caps);
    client->caps = caps_away_->Take(hash);
    client->named = named;
    client->told = false;
  }
  if (client->caps == nullptr) {
    ForgetClientAway(*client);
  } else if (client->caps->known) {
    TellClientAway(*client);
  } else {
    AskClientAway(*client, *c);
  }
}

// Of this client and of the hash it named.
void Engine::WriteCapsIdAway(const ClientAway& client, ByteWriter& out) const {
  out.Text("caps-");
  out.Decimal(clients_away_.IndexOf(client));
  out.Char('-');
  out.Hex(client.named, 16);
}

void Engine::AskClientAway(const ClientAway& client, const Node& caps) {
  uint8_t bytes[kAddressMax];
  const std::string_view full = chains_.Text(client.address, bytes);
  ByteWriter out(scratch_);
  out.Text("<iq type='get' id='");
  WriteCapsIdAway(client, out);
  out.Char('\'');
  WriteAttribute("from", client.owner->name.view(), out);
  WriteAttribute("to", full, out);
  out.Text("><query xmlns='http://jabber.org/protocol/disco#info' node='");
  WriteEscaped(caps.Get("node"), out);
  out.Char('#');
  WriteEscaped(caps.Get("ver"), out);
  out.Text("'/></iq>");
  if (out.ok()) {
    (void)ToRemote(client.owner->name.view(), full, out.written());
  }
}

// The answer, if it is one.
void Engine::OnCapsAnswerAway(Account& owner, const Node& stanza) {
  const Node* query = stanza.Child("query", ns::kInfo);
  ClientAway* client = FindClientAway(owner, remote_from_);
  if (client == nullptr || client->told || query == nullptr || stanza.Get("type") != "result") {
    return;
  }
  uint8_t bytes[48];
  ByteWriter id(bytes);
  WriteCapsIdAway(*client, id);
  if (stanza.Get("id") != id.text()) {
    return;
  }
  client->caps = caps_away_->Learn(client->caps, *query);
  if (client->caps == nullptr) {
    ForgetClientAway(*client);
  } else if (client->caps->known) {
    TellClientAway(*client);
  }
}

// What it wishes for is known: it is sent what there is, once.
void Engine::TellClientAway(ClientAway& client) {
  client.told = true;
  for (ItemNode& node : client.owner->nodes) {
    uint8_t name_bytes[kNodeNameMax];
    if (!node.is_private && !node.items.empty() &&
        caps_away_->Wants(*client.caps, items_->NameOf(node, name_bytes)) &&
        !NotifyClientAway(client, node, LastItemOf(*client.owner, node))) {
      return;
    }
  }
}

// False: nothing goes there now.
bool Engine::NotifyClientAway(ClientAway& client, ItemNode& node, std::string_view event) {
  Account& owner = *client.owner;
  uint8_t name_bytes[kNodeNameMax];
  const std::string_view name = items_->NameOf(node, name_bytes);
  if (!client.caps->known || !caps_away_->Wants(*client.caps, name)) {
    return true;
  }
  uint8_t bytes[kAddressMax];
  const std::string_view full = chains_.Text(client.address, bytes);
  if (!MayRead(BareOf(full), owner, node)) {
    return true;
  }
  ByteWriter out(scratch_);
  WriteEvent(owner, full, name, event, out);
  if (!out.ok()) {
    return true;
  }
  switch (ToRemote(owner.name.view(), full, out.written())) {
    case Remote::Taken::kYes:
      return true;
    case Remote::Taken::kFull:
      ++counters_.refused;
      return false;
    default:
      ForgetClientAway(client);
      return false;
  }
}

void Engine::NotifyAway(Account& owner, ItemNode& node, std::string_view event) {
  for (ClientAway& each : owner.clients_away) {
    uint8_t bytes[kAddressMax];
    if (!IsSubscriberAway(node, chains_.Text(each.address, bytes))) {
      (void)NotifyClientAway(each, node, event);
    }
  }
}

// Somebody may see the account from now on: his clients show themselves once more.
void Engine::AskPresenceAway(Account& owner, std::string_view bare) {
  const Contact* contact = directory_->FindContact(owner, bare);
  if (contact != nullptr && (contact->state & kTo) != 0) {
    ProbeAway(owner, bare);
  }
}

}  // namespace gh::xmpp
