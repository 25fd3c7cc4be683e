// What comes in, who it is from, and how it is answered.
#include "firmware/turn/engine.h"

#include <algorithm>

namespace gh::turn {
namespace {

SipKey DrawKey(crypto::Random& random) {
  std::array<uint8_t, 16> bytes;
  random.Fill(bytes);
  return SipKey::FromBytes(bytes);
}

}  // namespace

const char* EndReasonName(EndReason reason) {
  static constexpr const char* kNames[] = {"ended by the client", "expired",
                                           "the client's stream closed", "closed by an operator",
                                           "the configuration changed"};
  return kNames[static_cast<uint8_t>(reason)];
}

Engine::Engine(Arena& arena, const Ports& ports, const Capacity& capacity)
    : ports_(ports),
      authenticator_(arena, ports.random, ports.clock, ports.credentials, config_),
      allocations_(arena, capacity.allocations),
      permissions_(arena, capacity.permissions),
      channels_(arena, capacity.channels),
      users_(arena, capacity.allocations),
      links_(arena, capacity.links),
      by_path_(arena, capacity.allocations, DrawKey(ports.random)),
      by_user_(arena, capacity.allocations, DrawKey(ports.random)),
      by_link_(arena, capacity.links, DrawKey(ports.random)) {
  for (RelayPorts*& family : relay_ports_) {
    family = arena.New<RelayPorts>(arena, ports.random, capacity.relay_ports);
  }
}

uint64_t Engine::BytesPerAllocation() {
  return Pool<Allocation>::bytes_per_item() + Pool<UserAccount>::bytes_per_item() +
         4 * (Pool<Permission>::bytes_per_item() + Pool<Channel>::bytes_per_item()) +
         2 * sizeof(HashNode*);
}

// A relay address that goes or changes takes what stands on it along; one that appears, as when its
// duplicate address detection ends, disturbs nobody.
void Engine::Apply(const Config& config) {
  const bool all = config.port_first != config_.port_first ||
                   config.port_last != config_.port_last || !config.enabled ||
                   config.port_rest.ns != config_.port_rest.ns;
  std::array<bool, kFamilyCount> moves = {};
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    moves[i] = all || config.relay[i] != config_.relay[i];
  }
  CloseMoved(moves);  // where there was no address, nothing stands on it
  CloseUnwanted(config);
  config_ = config;
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    if (moves[i]) {
      relay_ports_[i]->SetRange(config_.port_first, config_.port_last, config_.port_rest);
    }
  }
  total_.SetLimit(config_.total_bytes_per_s);
  for (uint32_t i = 0; i < kRealmCountMax; ++i) {
    realms_[i].meter.parent = &total_;
    realms_[i].meter.SetLimit(config_.realms[i].total_bytes_per_s);
  }
  // Who may no longer be talked to is cut off at once.
  for (uint32_t i = 0; i < allocations_.capacity(); ++i) {
    if (Allocation* allocation = allocations_.At(i); allocation != nullptr) {
      for (Permission* p = allocation->permissions; p != nullptr; p = p->next) {
        p->expires_at = policy_.Allows(p->peer) ? p->expires_at : now();
      }
      allocation->up.SetLimit(config_.allocation_bytes_per_s);
      allocation->down.SetLimit(config_.allocation_bytes_per_s);
      allocation->user->meter.SetLimit(config_.RealmAt(allocation->user->realm()).user_bytes_per_s);
      DropExpired(*allocation);
      ArmTimer(*allocation);
    }
  }
}

void Engine::CloseMoved(const std::array<bool, kFamilyCount>& moves) {
  for (uint32_t i = 0; i < allocations_.capacity(); ++i) {
    Allocation* allocation = allocations_.At(i);
    for (uint32_t f = 0; allocation != nullptr && f < kFamilyCount; ++f) {
      if (moves[f] && allocation->relay_port[f] != 0) {
        Release(*allocation, EndReason::kReconfigured);
        allocation = nullptr;
      }
    }
  }
  for (Reservation& reservation : reservations_) {
    if (reservation.port != 0 && moves[reservation.family]) {
      relay_ports_[reservation.family]->Give(now(), reservation.port);
      reservation = {};
      --reservation_count_;
    }
  }
}

// Those of a realm that goes or is another one now, and relays over TCP where there are to be none.
void Engine::CloseUnwanted(const Config& config) {
  for (uint32_t i = 0; i < allocations_.capacity(); ++i) {
    Allocation* allocation = allocations_.At(i);
    if (allocation == nullptr) {
      continue;
    }
    const uint8_t realm = allocation->user->realm();
    if ((realm != 0 && config.RealmAt(realm).name != config_.RealmAt(realm).name) ||
        (allocation->is_tcp && !config.allows_tcp)) {
      Release(*allocation, EndReason::kReconfigured);
    }
  }
}

void Engine::OnClientData(const ClientPath& path, std::span<uint8_t> data) {
  if (!config_.enabled) {
    return;
  }
  if (IsChannelData(data)) {
    OnChannelData(path, data);
    return;
  }
  const auto message = Message::Parse(data);
  if (!message.ok()) {
    ++counters_.dropped_malformed;
    return;
  }
  OnMessage(path, *message);
}

void Engine::OnMessage(const ClientPath& path, const Message& message) {
  if (message.cls() == Class::kIndication) {
    if (message.method() == Method::kSend) {
      OnSend(path, message);
    }
    return;  // others, as keep-alives, ask for nothing
  }
  if (message.cls() != Class::kRequest) {
    ++counters_.dropped_stray;
    return;
  }
  ++counters_.requests;
  if (message.method() == Method::kBinding && message.integrity() == Integrity::kNone) {
    OnBinding(path, message);
    return;
  }
  Allocation* allocation = by_path_.Find(path.Key());
  const SessionKey* held = allocation != nullptr && allocation->token_key.key_size > 0
                               ? &allocation->token_key
                               : nullptr;
  Identity identity;
  const Realm realm = RealmOf(path, message);
  const Verdict verdict = authenticator_.Check(now(), message, path.remote, realm, held, identity);
  switch (verdict) {
    case Verdict::kChallenge:
      ++counters_.challenges;
      Challenge(path, message, 401);
      return;
    case Verdict::kWrong:
      ++counters_.auth_failures;
      ports_.observer.OnRefused(path.remote, message.Text(kUserName).substr(0, kUserNameMax), 401);
      Challenge(path, message, 401);
      return;
    case Verdict::kStale:
      Challenge(path, message, 438);
      return;
    case Verdict::kBadRequest:
      Challenge(path, message, 400);
      return;
    case Verdict::kAuthentic:
      break;
  }
  const Request request{path, message, identity, allocation};
  if (!message.unknown().empty()) {
    RefuseUnknown(request);
    return;
  }
  Dispatch(request);
}

Realm Engine::RealmOf(const ClientPath& path, const Message& message) const {
  std::array<std::string_view, kOriginMax> origins;
  const uint32_t count = std::min(message.Count(kOrigin), kOriginMax);
  for (uint32_t i = 0; i < count; ++i) {
    origins[i] = message.Text(kOrigin, i);
  }
  return config_.RealmFor(path.local, message.Text(kRealm), std::span(origins).first(count),
                          path.asked_name);
}

void Engine::Dispatch(const Request& request) {
  const Method method = request.message.method();
  if (method == Method::kBinding) {
    Builder builder = Reply(request);
    builder.XorAddress(kXorMappedAddress, request.path.remote);
    SendReply(request, builder);
    return;
  }
  if (method == Method::kAllocate) {
    OnAllocate(request);
    return;
  }
  if (method == Method::kRefresh && request.allocation == nullptr &&
      request.message.Has(kMobilityTicket)) {
    OnMobileRefresh(request);
    return;
  }
  if (method == Method::kConnectionBind) {
    OnConnectionBind(request);
    return;
  }
  if (method != Method::kRefresh && method != Method::kCreatePermission &&
      method != Method::kChannelBind && method != Method::kConnect) {
    Refuse(request, 400);
    return;
  }
  if (request.allocation == nullptr) {
    Refuse(request, 437);
    return;
  }
  if (!IsOwner(request.identity, *request.allocation)) {
    Refuse(request, 441);
    return;
  }
  if (method == Method::kRefresh) {
    OnRefresh(request);
  } else if (method == Method::kCreatePermission) {
    OnCreatePermission(request);
  } else if (method == Method::kConnect) {
    OnConnect(request);
  } else {
    OnChannelBind(request);
  }
}

// Strangers learn their address only when the operator wants it.
void Engine::OnBinding(const ClientPath& path, const Message& message) {
  const bool discovers = config_.discovery.port != 0 && path.transport == ClientTransport::kUdp;
  const bool asks_for_it = message.Has(kChangeRequest) || message.Has(kResponsePort);
  if ((!config_.answers_binding && !discovers) || !message.unknown().empty() ||
      (asks_for_it && !discovers) ||
      (path.transport == ClientTransport::kUdp &&
       !authenticator_.MayReply(now(), path.remote.address))) {
    ++counters_.dropped_unanswered;
    return;
  }
  if (discovers) {
    AnswerDiscovery(path, message);
    return;
  }
  Builder builder(out_, Class::kSuccess, message.method(), message.transaction());
  builder.XorAddress(kXorMappedAddress, path.remote);
  SendToClient(path, builder.Finish());
}

// To somebody who has proved nothing: as little as may be, and not too often. Over a stream the
// or DTLS the handshake has proved the address.
void Engine::Challenge(const ClientPath& path, const Message& message, uint16_t code) {
  const bool is_proven = path.transport != ClientTransport::kUdp;
  if (!is_proven && !authenticator_.MayReply(now(), path.remote.address)) {
    return;
  }
  const size_t size_max = is_proven ? kMessageMax : message.size() * kAmplificationTenthsMax / 10;
  Builder builder(out_, Class::kError, message.method(), message.transaction());
  // An Allocate without REQUESTED-TRANSPORT is wrong whoever sends it, and too small to challenge.
  const bool is_bare = message.method() == Method::kAllocate && !message.Has(kRequestedTransport);
  builder.Error(is_bare && code == 401 ? 400 : code);
  constexpr size_t kErrorSize = kStunHeaderSize + 8;
  if (code != 400 && !is_bare &&
      !authenticator_.WriteChallenge(now(), path.remote, RealmOf(path, message), kErrorSize,
                                     size_max, builder)) {
    ++counters_.dropped_unanswered;
    return;
  }
  SendToClient(path, builder.Finish());
}

Builder Engine::Reply(const Request& request) {
  return Builder(out_, Class::kSuccess, request.message.method(), request.message.transaction());
}

void Engine::SendReply(const Request& request, Builder& builder) {
  builder.Sign(request.identity.integrity, request.identity.key_bytes());
  builder.Fingerprint();
  const auto bytes = builder.Finish();
  GH_ASSERT(!bytes.empty());
  SendToClient(request.path, bytes);
}

void Engine::Refuse(const Request& request, uint16_t code) {
  counters_.refused_quota += code == 486 ? 1 : 0;
  counters_.refused_capacity += code == 508 ? 1 : 0;
  counters_.refused_peer += code == 403 ? 1 : 0;
  ports_.observer.OnRefused(request.path.remote, request.identity.user.view(), code);
  Builder builder(out_, Class::kError, request.message.method(), request.message.transaction());
  builder.Error(code);
  if (code == 300) {
    builder.PlainAddress(kAlternateServer, config_.alternate);
  }
  SendReply(request, builder);
}

void Engine::RefuseUnknown(const Request& request) {
  Builder builder(out_, Class::kError, request.message.method(), request.message.transaction());
  builder.Error(420);
  uint8_t bytes[2 * kUnknownMax];
  ByteWriter types(bytes);
  for (const uint16_t type : request.message.unknown()) {
    types.U16Be(type);
  }
  builder.Bytes(kUnknownAttributes, types.written());
  SendReply(request, builder);
}

void Engine::SendToClient(const ClientPath& path, std::span<const uint8_t> bytes) {
  if (bytes.empty()) {
    return;
  }
  ++counters_.sent_to_clients;
  if (path.transport == ClientTransport::kStream) {
    ports_.streams.SendToStream(path.stream, bytes)
        .ignore("a client that does not read loses what is relayed to it");
    return;
  }
  if (path.transport == ClientTransport::kDtls) {
    ports_.streams.SendToDtls(path, bytes).ignore("datagrams may be lost");
    return;
  }
  ports_.relay.Send(path.local, path.remote, bytes, false).ignore("datagrams may be lost");
}

// --- Operators ----------------------------------------------------------------------------------

AllocationInfo Engine::InfoOf(const Allocation& allocation) const {
  AllocationInfo info;
  info.id = allocations_.IndexOf(allocation) + 1;
  info.user = allocation.user->name();
  info.realm = allocation.user->realm();
  info.path = &allocation.path;
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    if (allocation.relay_port[i] != 0) {
      info.relay[i] = Bound(i, allocation.relay_port[i]);
    }
  }
  info.permission_count = allocation.permission_count;
  info.channel_count = allocation.channel_count;
  for (const Channel* c = allocation.channels; c != nullptr; c = c->next) {
    info.flow_count += (c->up != nullptr ? 1 : 0) + (c->down != nullptr ? 1 : 0);
  }
  const Duration left = allocation.expires_at - now();
  info.remaining_s = left.ns > 0 ? static_cast<uint32_t>(left.seconds()) : 0;
  info.age = now() - allocation.created_at;
  info.up = &allocation.up;
  info.down = &allocation.down;
  return info;
}

bool Engine::NextAllocation(uint32_t& cursor, AllocationInfo& out) {
  while (cursor < allocations_.capacity()) {
    if (const Allocation* allocation = allocations_.At(cursor++); allocation != nullptr) {
      out = InfoOf(*allocation);
      return true;
    }
  }
  return false;
}

bool Engine::Close(uint32_t id) {
  if (id == 0 || id > allocations_.capacity() || allocations_.At(id - 1) == nullptr) {
    return false;
  }
  Release(*allocations_.At(id - 1), EndReason::kByOperator);
  return true;
}

uint32_t Engine::CloseAll(EndReason reason) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < allocations_.capacity(); ++i) {
    if (Allocation* allocation = allocations_.At(i); allocation != nullptr) {
      Release(*allocation, reason);
      ++count;
    }
  }
  return count;
}

void Engine::OnStreamClosed(const ClientPath& path) {
  if (Allocation* allocation = by_path_.Find(path.Key());
      allocation != nullptr && allocation->path.stream == path.stream) {
    Release(*allocation, EndReason::kStreamClosed);
  }
}

}  // namespace gh::turn
