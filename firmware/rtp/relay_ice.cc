// The relay where it is a full ICE agent: agents of ends, and the TURN server's allocations that
// give them relayed candidates. A description is answered at once, so a few allocations are made
// before anybody asks for one.
#include "firmware/rtp/relay.h"

namespace gh::rtp {

// --- Agents -------------------------------------------------------------------------------------

Ice* Relay::IceOf(Stream& stream, uint32_t end) {
  End& own = stream.ends[end];
  if (own.ice != nullptr) {
    return own.ice;
  }
  Ice* ice = ices_.Allocate();
  if (ice == nullptr) {
    ++counters_.refused_capacity;
    return nullptr;
  }
  const uint32_t owner = OwnerOf(stream, end);
  ice->turn = TakeTurn(owner);
  if (own.port == 0 && ice->turn != nullptr &&
      ice->turn->local().address == stream.session->sides[end].local) {
    SharePorts(stream, end, ice->turn->local().port);
  } else if (!TakePorts(stream, end)) {
    DropTurn(ice->turn);
    ices_.Release(ice);
    return nullptr;
  }
  own.ice = ice;
  ice->agent.Begin(ice_parts_, owner, {stream.session->sides[end].local, own.port});
  if (ice->turn != nullptr) {
    ice->agent.SetRelayed(ice->turn->relayed());
  }
  return ice;
}

// An allocation's ports become the end's: as the server sees them, so does the peer, which is a
// candidate more (server-reflexive).
void Relay::SharePorts(Stream& stream, uint32_t end, uint16_t port) {
  turn::RelayPorts* set = PortsOf(stream.session->sides[end].local);
  GH_ASSERT(set != nullptr);  // the allocation has them of it
  set->SetOwner(port, OwnerOf(stream, end));
  set->SetOwner(static_cast<uint16_t>(port + 1), OwnerOf(stream, end));
  stream.ends[end].port = port;
}

void Relay::DropIce(End& end) {
  if (end.ice == nullptr) {
    return;
  }
  const bool was_started = end.ice->agent.is_started();
  end.ice->agent.Stop();
  DropTurn(end.ice->turn);
  ices_.Release(end.ice);
  end.ice = nullptr;
  if (was_started) {
    end.seen = {};
  }
}

void Relay::StartIce(Stream& stream, uint32_t end, const IceTerms& terms, bool we_offered) {
  IceAgent& agent = stream.ends[end].ice->agent;
  const bool begins_anew = agent.is_started() && !agent.terms().IsSameSession(terms);
  if (begins_anew && !we_offered) {
    agent.DrawCredentials();  // RFC 8445 9: whoever answers shows new ones, too
  }
  if (!agent.is_started()) {
    stream.ends[end].seen = {};
  }
  agent.Start(terms, we_offered, stream.session->stream_count);
}

void Relay::SendIce(uint32_t owner, IceLocal local, const net::Endpoint& to,
                    std::span<const uint8_t> datagram) {
  const Stream& stream = *streams_.At(owner / 2);
  const End& own = stream.ends[owner % 2];
  if (local == IceLocal::kRelayed) {
    if (own.ice->turn != nullptr) {
      own.ice->turn->Send(to, datagram);
    }
    return;
  }
  const net::Endpoint from{stream.session->sides[owner % 2].local, own.port};
  relay_.Send(from, to, datagram, false).ignore("a check that is lost is repeated");
}

void Relay::SendStraight(const Stream& stream, uint32_t end, const net::Endpoint& to,
                         std::span<const uint8_t> datagram) {
  const End& own = stream.ends[end];
  if (TurnClient* via = own.via(); via != nullptr && to == own.seen[Path::kRtpTag]) {
    via->Send(to, datagram);
    return;
  }
  const net::Endpoint from{stream.session->sides[end].local, own.port};
  relay_.Send(from, to, datagram, false).ignore("a flight that is lost is repeated");
}

void Relay::OnIcePair(uint32_t owner, IceLocal local, const net::Endpoint& remote, bool is_agreed) {
  Stream& stream = *streams_.At(owner / 2);
  const uint32_t end = owner % 2;
  End& own = stream.ends[end];
  ++counters_.latched;
  own.seen[Path::kRtpTag] = remote;
  own.ice->is_relayed = local == IceLocal::kRelayed;
  TurnClient* turn = own.ice->turn;
  if (is_agreed) {
    ++counters_.agreed;
    if (own.ice->is_relayed && turn != nullptr) {
      turn->BindChannel(remote);
    }
    const net::Endpoint from{stream.session->sides[end].local, own.port};
    const bool is_relayed = own.ice->is_relayed && turn != nullptr;
    observer_.OnIceAgreed(*stream.session, is_relayed ? turn->relayed() : from, remote, is_relayed);
  }
  UpdateFlows(stream);
  BeginDtls(stream, end);
}

void Relay::OnIceFailed(uint32_t owner, const char* why) {
  Stream& stream = *streams_.At(owner / 2);
  ++counters_.ice_failed;
  stream.ends[owner % 2].seen[Path::kRtpTag] = {};
  UpdateFlows(stream);
  observer_.OnIceLost(*stream.session, why);
}

// --- Allocations --------------------------------------------------------------------------------

void Relay::SendTurn(const TurnClient& client, std::span<const uint8_t> datagram) {
  relay_.Send(client.local(), client.server(), datagram, false)
      .ignore("requests are repeated, media is not");
}

void Relay::OnTurnDatagram(uint32_t index, const net::Endpoint& local, const net::Endpoint& remote,
                           std::span<uint8_t> data) {
  TurnClient* client = turns_.At(index);
  GH_ASSERT(client != nullptr);
  if (local != client->local() || remote != client->server() || data.empty()) {
    ++counters_.dropped_source;
    return;
  }
  client->Take(data);
}

void Relay::OnTurnData(TurnClient& client, const net::Endpoint& peer, std::span<uint8_t> data) {
  if (client.owner == TurnClient::kNobody) {
    ++counters_.dropped_source;
    return;
  }
  OnEndDatagram(*streams_.At(client.owner / 2), client.owner % 2, Path::kRtpTag, peer, data,
                IceLocal::kRelayed);
}

void Relay::OnTurnChannel(TurnClient& client) {
  if (client.owner != TurnClient::kNobody) {
    UpdateFlows(*streams_.At(client.owner / 2));
  }
}

void Relay::OnTurnLost(TurnClient& client, const char* why) {
  turn_retry_ = now() + kTurnRetry;
  if (!is_turn_lost_) {
    is_turn_lost_ = true;
    observer_.OnTurnServerLost(why);
  }
  if (client.owner != TurnClient::kNobody) {
    End& own = streams_.At(client.owner / 2)->ends[client.owner % 2];
    own.ice->agent.SetRelayed({});
    own.ice->turn = nullptr;
  }
  DropTurn(&client);
}

void Relay::DropTurn(TurnClient* client) {
  if (client == nullptr) {
    return;
  }
  client->End();
  turn::RelayPorts* set = PortsOf(client->local().address);
  GH_ASSERT(set != nullptr);  // addresses change only after all of them are dropped
  const uint16_t port = client->local().port;
  if ((set->OwnerOf(port) & kTurnOwner) != 0) {  // else it is an end's by now
    set->Give(now(), port);
    set->Give(now(), static_cast<uint16_t>(port + 1));
  }
  turns_.Release(client);
}

// Those of calls stay until their calls end: with their server, if it still takes them.
void Relay::EndTurns() {
  for (uint32_t i = 0; i < turns_.capacity(); ++i) {
    TurnClient* client = turns_.At(i);
    if (client != nullptr && client->owner == TurnClient::kNobody) {
      DropTurn(client);
    }
  }
  turn_retry_ = {};
  is_turn_lost_ = false;
}

TurnClient* Relay::TakeTurn(uint32_t owner) {
  for (uint32_t i = 0; i < turns_.capacity() && config_.turn.at.port != 0; ++i) {
    TurnClient* client = turns_.At(i);
    if (client != nullptr && IsWarm(*client) && client->is_ready()) {
      client->owner = owner;
      is_turn_lost_ = false;
      KeepTurnsWarm();
      return client;
    }
  }
  return nullptr;
}

void Relay::KeepTurnsWarm() {
  if (!config_.enabled || config_.turn.at.port == 0 || now() < turn_retry_) {
    return;
  }
  uint32_t warm = 0;
  for (uint32_t i = 0; i < turns_.capacity(); ++i) {
    const TurnClient* client = turns_.At(i);
    warm += client != nullptr && IsWarm(*client) ? 1 : 0;
  }
  turn::RelayPorts* set = PortsOf(config_.turn_local);
  for (; warm < kTurnWarm && set != nullptr; ++warm) {
    TurnClient* client = turns_.Allocate();
    if (client == nullptr) {
      return;
    }
    const auto port = set->TakeEven(now(), kTurnOwner | turns_.IndexOf(*client), true);
    if (!port.ok()) {
      turns_.Release(client);
      return;
    }
    client->Begin(turn_parts_, {config_.turn_local, *port});
  }
}

}  // namespace gh::rtp
