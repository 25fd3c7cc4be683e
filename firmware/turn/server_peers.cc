// Connections between relays and peers (RFC 6062): listeners, and bytes from one side to the other.
#include <algorithm>

#include "firmware/turn/server.h"

namespace gh::turn {
namespace {

// A stream whose bandwidth is spent is looked at again after this long.
constexpr Duration kLimitedPause = Duration::Milliseconds(50);
constexpr size_t kPieceMax = 4096;  // taken from a meter at a time

}  // namespace

Result<void> Server::OpenRelay(const net::Endpoint& relay) {
  const auto free = std::ranges::find_if(relays_, [](const auto& r) { return r.at.port == 0; });
  if (free == relays_.end()) {
    return ErrorCode::kExhausted;
  }
  net::StreamOptions options;
  options.keep_until_read = true;
  const auto opened = streams_.Listen(relay, options, peer_door_);
  if (!opened.ok()) {
    return opened.error();
  }
  *free = {relay, *opened};
  return Ok();
}

void Server::CloseRelay(const net::Endpoint& relay) {
  const auto found = std::ranges::find_if(relays_, [&](const auto& r) { return r.at == relay; });
  if (found != relays_.end()) {
    streams_.CloseListener(found->listener);
    *found = {};
  }
}

Result<net::StreamId> Server::ConnectPeer(const net::Endpoint& relay, const net::Endpoint& peer,
                                          uint32_t link) {
  net::StreamOptions options;
  options.local = relay;
  options.keep_until_read = true;
  const auto id = streams_.Connect(peer, options, peer_door_);
  if (!id.ok()) {
    return id.error();
  }
  Client* client = NewClient(*id);
  if (client == nullptr) {
    streams_.AbortStream(*id);
    return ErrorCode::kExhausted;
  }
  client->link = link;
  return *id;
}

bool Server::OnPeerOpen(net::StreamId id, const net::StreamInfo& info) {
  if (!info.accepted) {
    const Client* client = by_stream_.Find(KeyOf(id));
    return client != nullptr && engine_->OnPeerConnected(client->link);
  }
  Client* client = NewClient(id);
  if (client == nullptr) {
    return false;
  }
  client->link = engine_->OnPeerArrived(info.local, info.remote, id);
  if (client->link == 0) {
    by_stream_.Remove(*client);
    clients_.Release(client);
    return false;
  }
  return true;
}

void Server::CarryData(net::StreamId stream, uint32_t link) {
  Client* client = by_stream_.Find(KeyOf(stream));
  if (client == nullptr) {
    return;
  }
  client->link = link;
  // No frame is awaited any more: the timer is for streams whose bandwidth is spent.
  timers_.Cancel(client->deadline);
}

void Server::Join(net::StreamId a, media::Meter* a_meter, net::StreamId b, media::Meter* b_meter) {
  Client* first = by_stream_.Find(KeyOf(a));
  Client* second = by_stream_.Find(KeyOf(b));
  if (first == nullptr || second == nullptr) {
    return;  // one is just closing, and ends the link
  }
  first->partner = b;
  first->meter = a_meter;
  second->partner = a;
  second->meter = b_meter;
  for (Client* client : {first, second}) {
    client->deadline.Set(
        [](Timer&, void* context) {
          auto& self = *static_cast<Client*>(context);
          self.server->streams_.ResumeStream(self.path.stream);
        },
        client);
    streams_.ResumeStream(client->path.stream);
  }
}

// How much of `data` went on; the rest waits in the network, which holds the sender back.
size_t Server::Pass(Client& client, std::span<const uint8_t> data) {
  size_t used = 0;
  while (client.partner.valid() && used < data.size()) {
    const size_t room = streams_.SendRoom(client.partner);
    const auto piece = data.subspan(used, std::min({data.size() - used, room, kPieceMax}));
    if (piece.empty()) {
      // Asked for all the same, so that the partner tells when it has room.
      const auto asked = streams_.SendStream(client.partner, data.subspan(used, 1));
      if (asked.code() == ErrorCode::kClosed) {
        return data.size();
      }
      return used + (asked.ok() ? 1 : 0);
    }
    if (!client.meter->Take(timers_.now(), static_cast<uint32_t>(piece.size()))) {
      timers_.Arm(client.deadline, kLimitedPause);
      return used;
    }
    const auto sent = streams_.SendStream(client.partner, piece);
    if (!sent.ok()) {
      return sent.code() == ErrorCode::kClosed ? data.size() : used;
    }
    used += piece.size();
  }
  return used;
}

void Server::OnStreamWritable(net::StreamId id) {
  const Client* client = by_stream_.Find(KeyOf(id));
  if (client != nullptr && client->partner.valid()) {
    streams_.ResumeStream(client->partner);
  }
}

}  // namespace gh::turn
