// Permissions and channels (RFC 8656 9 and 12), and the data that passes the engine itself.
#include <algorithm>

#include "firmware/turn/engine.h"

namespace gh::turn {
namespace {

constexpr uint8_t kIcmpUnreachable = 3;
constexpr uint8_t kIcmpNeedsFragmentation = 4;
constexpr uint8_t kIcmpv6TooBig = 2;

uint32_t IndexOf(const net::IpAddress& address) {
  return address.is_v6() ? kIpv6Index : kIpv4Index;
}

}  // namespace

// 0, or the code of the refusal.
uint16_t Engine::CheckPeer(const Allocation& allocation, const net::Endpoint& peer) {
  if (allocation.relay_port[IndexOf(peer.address)] == 0) {
    return 443;
  }
  return policy_.Allows(peer.address) ? 0 : 403;
}

Permission* Engine::FindPermission(const Allocation& allocation, const net::IpAddress& peer) const {
  for (Permission* p = allocation.permissions; p != nullptr; p = p->next) {
    if (p->peer == peer) {
      return p->expires_at > now() ? p : nullptr;
    }
  }
  return nullptr;
}

// Installs or refreshes. False: there is no room for one more.
bool Engine::Permit(Allocation& allocation, const net::IpAddress& peer) {
  const Instant expires_at = now() + Duration::Seconds(int64_t{kPermissionSeconds});
  for (Permission* p = allocation.permissions; p != nullptr; p = p->next) {
    if (p->peer == peer) {
      p->expires_at = expires_at;
      return true;
    }
  }
  Permission* fresh =
      allocation.permission_count < kPermissionsMax ? permissions_.Allocate() : nullptr;
  if (fresh == nullptr) {
    return false;
  }
  fresh->peer = peer;
  fresh->expires_at = expires_at;
  fresh->next = allocation.permissions;
  allocation.permissions = fresh;
  ++allocation.permission_count;
  return true;
}

void Engine::OnCreatePermission(const Request& request) {
  Allocation& allocation = *request.allocation;
  const uint32_t count = request.message.Count(kXorPeerAddress);
  if (count == 0 || count > kPeersPerRequestMax) {
    Refuse(request, 400);
    return;
  }
  std::array<net::Endpoint, kPeersPerRequestMax> peers;
  uint32_t fresh_count = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const auto peer = request.message.XorAddress(kXorPeerAddress, i);
    if (!peer.ok()) {
      Refuse(request, 400);
      return;
    }
    if (const uint16_t code = CheckPeer(allocation, *peer); code != 0) {
      Refuse(request, code);
      return;
    }
    peers[i] = *peer;
    fresh_count += FindPermission(allocation, peer->address) == nullptr ? 1 : 0;
  }
  // All or none (RFC 8656 10.2).
  if (allocation.permission_count + fresh_count > kPermissionsMax ||
      permissions_.free_count() < fresh_count) {
    Refuse(request, 508);
    return;
  }
  for (const net::Endpoint& peer : std::span(peers).first(count)) {
    const bool permitted = Permit(allocation, peer.address);
    GH_ASSERT(permitted);
  }
  SyncFlows(allocation);
  ArmTimer(allocation);
  Builder builder = Reply(request);
  SendReply(request, builder);
}

void Engine::OnChannelBind(const Request& request) {
  Allocation& allocation = *request.allocation;
  const auto number_value = request.message.U32(kChannelNumber);
  const auto peer = request.message.XorAddress(kXorPeerAddress);
  const auto number = static_cast<uint16_t>(number_value.ok() ? *number_value >> 16 : 0);
  const uint16_t last = config_.is_strict_channels ? kChannelLastStrict : kChannelLast;
  if (!peer.ok() || peer->port == 0 || number < kChannelFirst || number > last) {
    Refuse(request, 400);
    return;
  }
  if (const uint16_t code = allocation.is_tcp ? 403 : CheckPeer(allocation, *peer); code != 0) {
    Refuse(request, code);
    return;
  }
  DropExpired(allocation);
  Channel* found = nullptr;
  for (Channel* c = allocation.channels; c != nullptr; c = c->next) {
    if ((c->number == number) != (c->peer == *peer)) {
      Refuse(request, 400);  // the number is another peer's, or the peer has another number
      return;
    }
    found = c->number == number ? c : found;
  }
  const bool has_room =
      found != nullptr || (allocation.channel_count < kChannelsMax && channels_.free_count() > 0);
  if (!has_room || !Permit(allocation, peer->address)) {
    Refuse(request, 508);
    return;
  }
  if (found == nullptr) {
    found = channels_.Allocate();
    found->number = number;
    found->peer = *peer;
    found->next = allocation.channels;
    allocation.channels = found;
    ++allocation.channel_count;
  }
  found->expires_at = now() + Duration::Seconds(int64_t{kChannelSeconds});
  SyncFlows(allocation);
  ArmTimer(allocation);
  Builder builder = Reply(request);
  SendReply(request, builder);
}

// --- Flows of the media plane -------------------------------------------------------------------

void Engine::AddFlows(Allocation& allocation, Channel& channel) {
  const ClientPath& path = allocation.path;
  if (path.transport != ClientTransport::kUdp ||
      policy_.OwnRelay(channel.peer.address) != nullptr) {
    return;  // streams, and peers that are relays of ours, are the engine's
  }
  const uint32_t family = IndexOf(channel.peer.address);
  const net::Endpoint relay = Bound(family, allocation.relay_port[family]);
  if (channel.up == nullptr) {
    channel.up = ports_.relay.AddFlow({.local = path.local,
                                       .remote = path.remote,
                                       .channel_in = channel.number,
                                       .from = relay,
                                       .to = channel.peer,
                                       .channel_out = 0,
                                       .meter = &allocation.up});
  }
  if (channel.down == nullptr) {
    channel.down = ports_.relay.AddFlow({.local = relay,
                                         .remote = channel.peer,
                                         .channel_in = 0,
                                         .from = path.local,
                                         .to = path.remote,
                                         .channel_out = channel.number,
                                         .meter = &allocation.down});
  }
}

void Engine::RemoveFlows(Channel& channel) {
  for (media::Flow** flow : {&channel.up, &channel.down}) {
    if (*flow != nullptr) {
      ports_.relay.RemoveFlow(*flow);
      *flow = nullptr;
    }
  }
}

void Engine::SyncFlows(Allocation& allocation) {
  for (Channel* c = allocation.channels; c != nullptr; c = c->next) {
    if (FindPermission(allocation, c->peer.address) != nullptr) {
      AddFlows(allocation, *c);
    } else {
      RemoveFlows(*c);
    }
  }
}

void Engine::DropExpired(Allocation& allocation) {
  for (Channel** link = &allocation.channels; *link != nullptr;) {
    Channel* channel = *link;
    if (channel->expires_at > now()) {
      link = &channel->next;
      continue;
    }
    *link = channel->next;
    RemoveFlows(*channel);
    channels_.Release(channel);
    --allocation.channel_count;
  }
  for (Permission** link = &allocation.permissions; *link != nullptr;) {
    Permission* permission = *link;
    if (permission->expires_at > now()) {
      link = &permission->next;
      continue;
    }
    *link = permission->next;
    permissions_.Release(permission);
    --allocation.permission_count;
  }
  SyncFlows(allocation);
}

void Engine::ReleasePeers(Allocation& allocation) {
  while (Channel* channel = allocation.channels) {
    allocation.channels = channel->next;
    RemoveFlows(*channel);
    channels_.Release(channel);
  }
  while (Permission* permission = allocation.permissions) {
    allocation.permissions = permission->next;
    permissions_.Release(permission);
  }
}

// --- Data ---------------------------------------------------------------------------------------

void Engine::OnSend(const ClientPath& path, const Message& message) {
  Allocation* allocation = by_path_.Find(path.Key());
  const auto peer = message.XorAddress(kXorPeerAddress);
  if (allocation == nullptr) {
    ++counters_.dropped_stray;
    return;
  }
  if (!peer.ok() || peer->port == 0 || !message.Has(kData) || !message.unknown().empty()) {
    ++counters_.dropped_malformed;
    return;
  }
  SendToPeer(*allocation, *peer, message.Value(kData), message.Has(kDontFragment));
}

void Engine::OnChannelData(const ClientPath& path, std::span<uint8_t> data) {
  Allocation* allocation = by_path_.Find(path.Key());
  if (allocation == nullptr) {
    ++counters_.dropped_stray;
    return;
  }
  const auto channel_data = ParseChannelData(data);
  if (!channel_data.ok()) {
    ++counters_.dropped_malformed;
    return;
  }
  for (const Channel* c = allocation->channels; c != nullptr; c = c->next) {
    if (c->number == channel_data->number && c->expires_at > now()) {
      SendToPeer(*allocation, c->peer, channel_data->data, false);
      return;
    }
  }
  ++counters_.dropped_permission;
}

void Engine::SendToPeer(Allocation& allocation, const net::Endpoint& peer,
                        std::span<const uint8_t> data, bool dont_fragment) {
  const uint32_t family = IndexOf(peer.address);
  if (allocation.is_tcp || allocation.relay_port[family] == 0 ||
      FindPermission(allocation, peer.address) == nullptr || !policy_.Allows(peer.address)) {
    ++counters_.dropped_permission;
    return;
  }
  if (!allocation.up.Take(now(), static_cast<uint32_t>(data.size()))) {
    ++counters_.dropped_limit;
    return;
  }
  ++counters_.sent_to_peers;
  const net::Endpoint relay = Bound(family, allocation.relay_port[family]);
  if (const net::IpAddress* own = policy_.OwnRelay(peer.address); own != nullptr) {
    // Another client's relay: its permissions name us as we are shown, or as we are.
    std::array<uint8_t, kMessageMax> copy;
    std::copy_n(data.begin(), std::min(data.size(), copy.size()), copy.begin());
    const auto bytes = std::span(copy).first(std::min(data.size(), copy.size()));
    if (peer.address == *own) {
      (void)OnRelayDatagram({*own, peer.port}, relay, bytes);
    } else {
      (void)OnRelayDatagram({*own, peer.port}, Shown(family, relay.port), bytes);
    }
    return;
  }
  const auto sent = ports_.relay.Send(relay, peer, data, dont_fragment);
  if (sent.code() == ErrorCode::kTooLarge) {
    TellIcmp(allocation, peer, peer.address.is_v6() ? kIcmpv6TooBig : kIcmpUnreachable,
             peer.address.is_v6() ? 0 : kIcmpNeedsFragmentation, 0);
  }
}

Allocation* Engine::OwnerOf(const net::Endpoint& relay) {
  const uint32_t family = IndexOf(relay.address);
  if (relay.address != config_.relay[family]) {
    return nullptr;
  }
  const uint32_t owner = relay_ports_[family]->OwnerOf(relay.port);
  return owner < allocations_.capacity() ? allocations_.At(owner) : nullptr;
}

bool Engine::OnRelayDatagram(const net::Endpoint& local, const net::Endpoint& remote,
                             std::span<uint8_t> data) {
  Allocation* allocation = OwnerOf(local);
  if (allocation == nullptr) {
    return false;
  }
  if (allocation->is_tcp || FindPermission(*allocation, remote.address) == nullptr) {
    ++counters_.dropped_permission;
    return true;
  }
  if (!allocation->down.Take(now(), static_cast<uint32_t>(data.size()))) {
    ++counters_.dropped_limit;
    return true;
  }
  for (const Channel* c = allocation->channels; c != nullptr; c = c->next) {
    if (c->peer == remote && c->expires_at > now()) {
      ByteWriter writer(out_);
      writer.U16Be(c->number);
      writer.U16Be(static_cast<uint16_t>(data.size()));
      writer.Bytes(data);
      while (allocation->path.transport == ClientTransport::kStream && writer.size() % 4 != 0) {
        writer.U8(0);
      }
      if (writer.ok()) {
        SendToClient(allocation->path, writer.written());
      }
      return true;
    }
  }
  TransactionId transaction;
  ports_.random.Fill(transaction);
  Builder builder(out_, Class::kIndication, Method::kData, transaction);
  builder.XorAddress(kXorPeerAddress, remote);
  builder.Bytes(kData, data);
  SendToClient(allocation->path, builder.Finish());
  return true;
}

void Engine::OnRelayError(const net::Endpoint& local, const net::Endpoint& remote,
                          uint8_t icmp_type, uint8_t icmp_code, uint32_t icmp_data) {
  Allocation* allocation = OwnerOf(local);
  if (allocation != nullptr && FindPermission(*allocation, remote.address) != nullptr) {
    TellIcmp(*allocation, remote, icmp_type, icmp_code, icmp_data);
  }
}

// RFC 8656 11.5 and 18.13: type in seven bits, code in nine.
void Engine::TellIcmp(Allocation& allocation, const net::Endpoint& peer, uint8_t type, uint8_t code,
                      uint32_t data) {
  TransactionId transaction;
  ports_.random.Fill(transaction);
  Builder builder(out_, Class::kIndication, Method::kData, transaction);
  builder.XorAddress(kXorPeerAddress, peer);
  uint8_t bytes[8];
  ByteWriter icmp(bytes);
  icmp.U16Be(0);
  icmp.U16Be(static_cast<uint16_t>((type & 0x7f) << 9 | code));
  icmp.U32Be(data);
  builder.Bytes(kIcmp, bytes);
  SendToClient(allocation.path, builder.Finish());
}

}  // namespace gh::turn
