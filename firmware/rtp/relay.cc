#include "firmware/rtp/relay.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "net/packet.h"

namespace gh::rtp {
namespace {

SipKey DrawKey(crypto::Random& random) {
  std::array<uint8_t, 16> bytes;
  random.Fill(bytes);
  return SipKey::FromBytes(bytes);
}

uint64_t PacketsOf(const Session& session, uint32_t end) {
  uint64_t sum = 0;
  for (const Stream* stream : session.streams) {
    sum += stream != nullptr ? stream->paths[end].passed.packets() : 0;
  }
  return sum;
}

// Of any stream, by what both have said.
bool IsToSend(const Session& session, uint32_t end) {
  return std::ranges::any_of(session.streams, [&](const Stream* stream) {
    return stream != nullptr && stream->ends[end].now.sends &&
           stream->ends[OtherEnd(end)].now.receives;
  });
}

}  // namespace

void Terms::TakeFrom(Terms& other) {
  rtp = other.rtp;
  rtcp = other.rtcp;
  is_set = other.is_set;
  rtcp_mux = other.rtcp_mux;
  is_feedback = other.is_feedback;
  uses_mux = other.uses_mux;
  is_encrypted = other.is_encrypted;
  is_required = other.is_required;
  crypto_tag = other.crypto_tag;
  profile = other.profile;
  if (!is_dtls || !other.is_dtls) {  // those by DTLS stay until it brings others
    suite = other.suite;
    master.TakeFrom(other.master);
  }
  is_dtls = other.is_dtls;
  sends = other.sends;
  receives = other.receives;
  other.is_set = false;
}

Capacity Capacity::For(uint32_t calls) {
  // Most calls are of one stream; half of them may have a second one, encrypted on one side.
  Capacity c;
  c.sessions = calls;
  c.streams = calls + calls / 2;
  c.contexts = c.streams * 2;
  c.ports = std::min<uint32_t>(c.streams * 4, 24'000);
  c.webs = c.streams;
  c.ices = std::max(calls / 2, 20u);
  c.muxes = std::min<uint32_t>(c.streams, kMuxChannelLast - kMuxChannelFirst + 1);
  return c;
}

uint32_t Capacity::handshakes() const { return std::clamp(sessions / 50, 8u, 200u); }

uint64_t Capacity::ArenaBytes() const {
  const uint64_t table = std::bit_ceil(sessions) * sizeof(HashNode*);
  return sessions * Pool<Session>::bytes_per_item() + streams * Pool<Stream>::bytes_per_item() +
         contexts * Pool<SrtpContext>::bytes_per_item() +
         uint64_t{webs} * Pool<Web>::bytes_per_item() +
         uint64_t{muxes} * (Pool<Mux>::bytes_per_item() + 24) +
         std::bit_ceil(muxes) * sizeof(HashNode*) + table +
         uint64_t{ices} * (Pool<Ice>::bytes_per_item() + Pool<TurnClient>::bytes_per_item()) +
         uint64_t{ports} * kLocalAddressMax * 24 + (64u << 10);
}

Relay::Relay(const Ports& ports, const Capacity& capacity)
    : relay_(ports.relay),
      timers_(ports.timers),
      random_(ports.random),
      observer_(ports.observer),
      sessions_(ports.arena, capacity.sessions),
      streams_(ports.arena, capacity.streams),
      contexts_(ports.arena, capacity.contexts),
      webs_(ports.arena, capacity.webs),
      muxes_(ports.arena, capacity.muxes),
      ices_(ports.arena, capacity.ices),
      turns_(ports.arena, capacity.ices),
      ice_parts_{*this, ports.timers, ports.random},
      turn_parts_{*this, ports.timers, ports.random, config_.turn},
      mux_table_(ports.arena, capacity.muxes, DrawKey(ports.random)),
      channels_(ports.arena.New<turn::RelayPorts>(ports.arena, ports.random, capacity.muxes)),
      dtls_(ports.dtls),
      ice_key_(DrawKey(ports.random)),
      table_(ports.arena, capacity.sessions, DrawKey(ports.random)),
      packet_(
          ports.arena
              .NewArray<uint8_t>(turn::kChannelHeaderSize + kPacketMax + media::kProcessorGrowthMax)
              .subspan(turn::kChannelHeaderSize)) {
  for (turn::RelayPorts*& set : ports_) {
    set = ports.arena.New<turn::RelayPorts>(ports.arena, ports.random, capacity.ports);
  }
  sweep_.Bind<&Relay::Sweep>(this);
  if (dtls_ != nullptr) {
    dtls_->SetUser(*this);
  }
}

void Relay::Apply(const Config& config) {
  const auto same_addresses = [&] {
    return config.address_count == config_.address_count &&
           std::equal(config.addresses.begin(), config.addresses.begin() + config.address_count,
                      config_.addresses.begin());
  };
  const bool keeps_ports = config.enabled == config_.enabled &&
                           config.port_first == config_.port_first &&
                           config.port_last == config_.port_last &&
                           config.mux_port == config_.mux_port && same_addresses();
  if (!keeps_ports || !(config.turn == config_.turn) || config.turn_local != config_.turn_local) {
    EndTurns();
  }
  if (!keeps_ports) {
    for (uint32_t i = 0; i < sessions_.capacity(); ++i) {
      if (Session* session = sessions_.At(i)) {
        Close(*session);
      }
    }
    for (turn::RelayPorts* set : ports_) {
      set->SetRange(config.port_first, config.port_last, config.port_rest);
    }
  }
  config_ = config;
  if (!keeps_ports) {
    channels_->SetRange(kMuxChannelFirst, kMuxChannelLast, config.port_rest);
  }
  if (config_.enabled && !sweep_.armed()) {
    timers_.Arm(sweep_, kSweepPeriod);
  }
}

// --- Sessions, streams and ports ----------------------------------------------------------------

Session* Relay::Open(uint64_t key, std::string_view call_id) {
  Session* session = config_.enabled ? sessions_.Allocate() : nullptr;
  if (session == nullptr) {
    ++counters_.refused_capacity;
    return nullptr;
  }
  session->key = key;
  if (table_.Insert(*session) != HashInsert::kInserted) {
    sessions_.Release(session);
    return nullptr;
  }
  session->id = next_id_++;
  session->call_id.Assign(call_id.substr(0, 64));
  session->began_at = session->active_at = now();
  ++counters_.sessions;
  return session;
}

void Relay::Close(Session& session, bool by_silence) {
  observer_.OnMediaEnded(session, by_silence);
  for (uint32_t i = 0; i < session.streams.size(); ++i) {
    RemoveStream(session, i);
  }
  table_.Remove(session);
  sessions_.Release(&session);
}

Stream* Relay::StreamAt(Session& session, uint32_t index) {
  if (session.streams[index] != nullptr) {
    return session.streams[index];
  }
  Stream* stream = session.stream_count < kStreamsPerSession ? streams_.Allocate() : nullptr;
  if (stream == nullptr) {
    ++counters_.refused_capacity;
    return nullptr;
  }
  stream->session = &session;
  stream->index = static_cast<uint8_t>(index);
  session.streams[index] = stream;
  ++session.stream_count;
  return stream;
}

void Relay::RemoveStream(Session& session, uint32_t index) {
  Stream* stream = session.streams[index];
  if (stream == nullptr) {
    return;
  }
  RemoveFlows(*stream);
  for (uint32_t end = 0; end < 2; ++end) {
    for (SrtpContext* context : {stream->paths[end].from_sender, stream->paths[end].to_receiver}) {
      if (context != nullptr) {
        contexts_.Release(context);
      }
    }
    DropWeb(stream->ends[end]);
    DropIce(stream->ends[end]);
    DropMux(stream->ends[end]);
    GivePorts(*stream, end);
  }
  streams_.Release(stream);
  session.streams[index] = nullptr;
  --session.stream_count;
}

void Relay::GivePorts(Stream& stream, uint32_t end) {
  uint16_t& port = stream.ends[end].port;
  if (port != 0) {
    turn::RelayPorts* set = PortsOf(stream.session->sides[end].local);
    GH_ASSERT(set != nullptr);  // addresses change only after all sessions ended
    set->Give(now(), port);
    set->Give(now(), static_cast<uint16_t>(port + 1));
    port = 0;
  }
}

turn::RelayPorts* Relay::PortsOf(const net::IpAddress& address) {
  for (uint32_t i = 0; i < config_.address_count; ++i) {
    if (config_.addresses[i] == address) {
      return ports_[i];
    }
  }
  return nullptr;
}

uint32_t Relay::port_count() const {
  uint32_t sum = 0;
  for (const turn::RelayPorts* set : ports_) {
    sum += set->used_count();
  }
  return sum;
}

bool Relay::TakePorts(Stream& stream, uint32_t end) {
  End& own = stream.ends[end];
  if (own.port != 0) {
    return true;
  }
  turn::RelayPorts* set = PortsOf(stream.session->sides[end].local);
  if (set == nullptr) {
    return false;
  }
  const auto port = set->TakeEven(now(), streams_.IndexOf(stream) * 2 + end, true);
  if (!port.ok()) {
    ++counters_.refused_capacity;
    return false;
  }
  own.port = *port;
  return true;
}

const Session* Relay::Next(uint32_t& cursor) {
  while (cursor < sessions_.capacity()) {
    if (const Session* session = sessions_.At(cursor++)) {
      return session;
    }
  }
  return nullptr;
}

// --- What was agreed ----------------------------------------------------------------------------

bool Relay::SetContext(SrtpContext*& context, bool is_wanted, Suite suite, const Master& master) {
  if (!is_wanted) {
    if (context != nullptr) {
      contexts_.Release(context);
      context = nullptr;
    }
    return true;
  }
  if (context == nullptr) {
    context = contexts_.Allocate();
  }
  if (context == nullptr) {
    ++counters_.refused_capacity;
    return false;
  }
  context->SetKey(suite, master);
  return true;
}

bool Relay::Put(Stream& stream) {
  RemoveFlows(stream);
  bool has_room = true;
  for (uint32_t end = 0; end < 2; ++end) {
    Path& path = stream.paths[end];
    const End& from = stream.ends[end];
    const End& to = stream.ends[OtherEnd(end)];
    const sdp::Profile profile = from.now.profile;
    const bool is_carried = profile == sdp::Profile::kDtlsSrtp && !from.now.is_dtls;
    path.carry = profile == sdp::Profile::kUdp ? Carry::kAny
                 : is_carried                  ? Carry::kDtls
                                               : Carry::kRtp;
    path.is_web = from.now.is_dtls;
    path.is_ice = from.ice != nullptr;
    path.carries_stun = stream.passes_ice;
    path.splits_rtcp = from.now.rtcp_mux && !to.now.rtcp_mux && profile != sdp::Profile::kUdp;
    has_room = SetContext(path.from_sender, from.now.is_dtls || from.now.is_encrypted,
                          from.now.suite, from.now.master) &&
               SetContext(path.to_receiver, to.now.is_dtls || to.sends_encrypted, to.own_suite,
                          to.own[OwnIndexOf(to.own_suite)]) &&
               has_room;
    path.meter.Start(stream.clock_rate);
  }
  if (has_room) {
    UpdateFlows(stream);
    for (uint32_t end = 0; end < 2; ++end) {
      BeginDtls(stream, end);
    }
  }
  return has_room;
}

// --- Packets outside flows ----------------------------------------------------------------------

namespace {

// ICE's checks or the requests on the shared port say where it is.
bool IsCheckedElsewhere(const End& end, uint32_t component) {
  return end.now.uses_mux || (end.speaks_ice() && (component == Path::kRtpTag || end.now.rtcp_mux));
}

// Its description or its signalling has that address.
bool IsOfEnd(const Stream& stream, uint32_t end, const net::Endpoint& remote) {
  const Terms& terms = stream.ends[end].now;
  return terms.is_set &&
         (remote.address == terms.rtp.address || remote.address == terms.rtcp.address ||
          remote.address == stream.session->sides[end].remote.address);
}

}  // namespace

bool Relay::MayLatch(Stream& stream, uint32_t end, uint32_t component,
                     const net::Endpoint& remote) {
  const End& own = stream.ends[end];
  if (IsCheckedElsewhere(own, component)) {
    return own.seen[component] == remote;
  }
  if (own.seen[component].port == 0) {
    return IsOfEnd(stream, end, remote);
  }
  return own.seen[component] == remote || IsSuccessor(stream, end, component, remote);
}

// A NAT on the way may give the first packet of a flow another port than those that follow (Linux
// does where both ends send their first at once), and forget a port in mid-call.
bool Relay::IsSuccessor(Stream& stream, uint32_t end, uint32_t component,
                        const net::Endpoint& remote) {
  End& own = stream.ends[end];
  const Path& path = stream.paths[end];
  const bool is_said = remote == (component == Path::kRtpTag ? own.now.rtp : own.now.rtcp);
  const bool verifies = path.from_sender != nullptr;
  if (!is_said && !(verifies && IsOfEnd(stream, end, remote))) {
    return false;
  }
  const uint64_t passed = path.passed.packets() + path.passed.dropped();
  End::Rival& rival = own.rivals[component];
  if (rival.since.ns == 0 || rival.passed != passed) {
    rival = {.since = now(), .passed = passed};
  }
  return now() - rival.since >= kLatchQuiet;
}

net::Endpoint Relay::DestinationOf(const Stream& stream, uint32_t end, uint32_t component) const {
  const End& own = stream.ends[end];
  const bool is_rtp = component == Path::kRtpTag || own.now.rtcp_mux;
  const net::Endpoint& seen = own.seen[is_rtp ? Path::kRtpTag : Path::kRtcpTag];
  if (seen.port != 0) {
    return seen;
  }
  if ((own.speaks_ice() && is_rtp) || own.now.uses_mux) {
    return {};
  }
  const net::Endpoint& said = is_rtp ? own.now.rtp : own.now.rtcp;
  const bool is_usable = own.now.is_set && said.port != 0 && !said.address.is_unspecified() &&
                         !said.address.is_multicast();
  return is_usable ? said : net::Endpoint{};
}

bool Relay::OnRelayDatagram(const net::Endpoint& local, const net::Endpoint& remote,
                            std::span<uint8_t> data) {
  if (has_mux() && local.port == config_.mux_port) {
    OnMuxDatagram(local, remote, data);
    return true;
  }
  turn::RelayPorts* set = PortsOf(local.address);
  const uint32_t owner = set != nullptr ? set->OwnerOf(local.port) : turn::RelayPorts::kNobody;
  if (owner == turn::RelayPorts::kNobody) {
    return false;
  }
  if ((owner & kTurnOwner) != 0) {
    OnTurnDatagram(owner & ~kTurnOwner, local, remote, data);
    return true;
  }
  Stream* stream = streams_.At(owner / 2);
  GH_ASSERT(stream != nullptr);
  const uint32_t end = owner % 2;
  if (TurnClient* turn = stream->ends[end].turn();
      turn != nullptr && turn->IsBetween(local, remote)) {
    turn->Take(data);
    return true;
  }
  const uint32_t component = local.port - stream->ends[end].port;
  OnEndDatagram(*stream, end, component, remote, data, IceLocal::kHost);
  return true;
}

void Relay::OnEndDatagram(Stream& stream, uint32_t end, uint32_t component,
                          const net::Endpoint& remote, std::span<uint8_t> data, IceLocal local) {
  End& own = stream.ends[end];
  const bool is_rtp = component == Path::kRtpTag && !data.empty();
  if (is_rtp && own.ice != nullptr && IsStun(data[0])) {
    const auto outcome = own.ice->agent.Take(local, remote, data);
    ++(outcome == IceAgent::Outcome::kTaken      ? counters_.checks
       : outcome == IceAgent::Outcome::kStranger ? counters_.dropped_source
                                                 : counters_.checks_refused);
    return;
  }
  const bool is_other_way =
      is_rtp && own.has_agent() && own.ice->is_relayed != (local == IceLocal::kRelayed);
  if (!is_other_way && is_rtp && own.speaks_dtls() && OnWebDatagram(stream, end, remote, data)) {
    return;
  }
  if (is_other_way || !MayLatch(stream, end, component, remote)) {
    ++counters_.dropped_source;
    return;
  }
  if (data.empty() || data.size() > kPacketMax) {
    ++counters_.dropped_other;
    return;
  }
  Pass(stream, end, component, remote, data);
}

void Relay::Pass(Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& remote,
                 std::span<const uint8_t> data) {
  Path& path = stream.paths[end];
  if (stream.ends[end].awaits_keys() || stream.ends[OtherEnd(end)].awaits_keys()) {
    ++counters_.dropped_other;  // never plain in place of encrypted
    return;
  }
  std::memcpy(packet_.data(), data.data(), data.size());
  for (media::Flow* flow : path.flows) {
    if (flow != nullptr) {
      relay_.Hold(*flow);
    }
  }
  const int32_t size = path.Convert(packet_, static_cast<uint32_t>(data.size()), component, now());
  for (media::Flow* flow : path.flows) {
    if (flow != nullptr) {
      relay_.LetGo(*flow);
    }
  }
  if (size < 0) {
    ++counters_.dropped_other;
    return;
  }
  const bool is_split = path.splits_rtcp && data.size() >= 2 && IsRtcpType(data[1]);
  const uint32_t leaving = is_split ? Path::kRtcpTag : component;
  const net::Endpoint to = DestinationOf(stream, OtherEnd(end), leaving);
  if (to.port != 0 && path.passed.Take(now(), static_cast<uint32_t>(size))) {
    ++counters_.by_engine;
    SendTo(stream, OtherEnd(end), leaving, to, static_cast<uint32_t>(size));
  }
  Latch(stream, end, component, remote);
}

net::Endpoint Relay::OursFor(const Stream& stream, uint32_t end, uint32_t component) const {
  const End& own = stream.ends[end];
  const bool is_rtcp = component == Path::kRtcpTag && !own.now.rtcp_mux;
  const auto port = static_cast<uint16_t>(own.port + (is_rtcp ? 1 : 0));
  return {stream.session->sides[end].local, own.now.uses_mux ? config_.mux_port : port};
}

// What is in `packet_`.
void Relay::SendTo(const Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& to,
                   uint32_t size) {
  const End& own = stream.ends[end];
  std::span<uint8_t> data = packet_.first(size);
  if (TurnClient* via = own.via(); via != nullptr && to == own.seen[Path::kRtpTag]) {
    via->Send(to, data);
    return;
  }
  if (own.now.uses_mux) {
    data = {packet_.data() - turn::kChannelHeaderSize, size + turn::kChannelHeaderSize};
    net::StoreBe16(data.data(), own.mux->channel);
    net::StoreBe16(data.data() + 2, static_cast<uint16_t>(size));
  }
  relay_.Send(OursFor(stream, end, component), to, data, false)
      .ignore("media that cannot be sent is lost");
}

void Relay::Latch(Stream& stream, uint32_t end, uint32_t component, const net::Endpoint& remote) {
  End& own = stream.ends[end];
  if (!(own.seen[component] == remote)) {
    own.seen[component] = remote;
    ++counters_.latched;
  }
  own.rivals[component] = {};
  UpdateFlows(stream);
}

// --- Flows --------------------------------------------------------------------------------------

void Relay::UpdateFlows(Stream& stream) {
  for (uint32_t end = 0; end < 2; ++end) {
    for (uint32_t component = 0; component < kComponentCount; ++component) {
      UpdateFlow(stream, end, component);
    }
  }
}

void Relay::UpdateFlow(Stream& stream, uint32_t end, uint32_t component) {
  media::Flow*& flow = stream.paths[end].flows[component];
  media::FlowSpec spec;
  const bool is_wanted = SpecOf(stream, end, component, spec);
  if (flow != nullptr && is_wanted && flow->spec.local == spec.local &&
      flow->spec.remote == spec.remote && flow->spec.to == spec.to &&
      flow->spec.channel_in == spec.channel_in && flow->spec.channel_out == spec.channel_out) {
    return;
  }
  if (flow != nullptr) {
    relay_.RemoveFlow(flow);
    flow = nullptr;
  }
  if (is_wanted) {
    flow = relay_.AddFlow(spec);
  }
}

// False: nothing passes by a flow, or not yet.
bool Relay::SpecOf(Stream& stream, uint32_t end, uint32_t component, media::FlowSpec& spec) {
  const uint32_t other = OtherEnd(end);
  const net::Endpoint source = stream.ends[end].seen[component];
  const net::Endpoint to = DestinationOf(stream, other, component);
  const auto& sides = stream.session->sides;
  const End& sender = stream.ends[end];
  const End& receiver = stream.ends[other];
  const auto is_placed = [](const End& e) { return e.port != 0 || e.now.uses_mux; };
  if (source.port == 0 || to.port == 0 || !is_placed(sender) || !is_placed(receiver) ||
      sender.awaits_keys() || receiver.awaits_keys()) {
    return false;
  }
  spec.local = {sides[end].local, sender.now.uses_mux
                                      ? config_.mux_port
                                      : static_cast<uint16_t>(sender.port + component)};
  spec.channel_in = sender.now.uses_mux ? sender.mux->channel : uint16_t{0};
  spec.remote = source;
  spec.from = OursFor(stream, other, component);
  spec.channel_out = receiver.now.uses_mux ? receiver.mux->channel : uint16_t{0};
  spec.to = to;
  spec.meter = &stream.paths[end].passed;
  spec.processor = &stream.paths[end];
  spec.processor_tag = component;
  spec.dscp = config_.dscp;
  if (const TurnClient* via = sender.via(); via != nullptr && component == Path::kRtpTag) {
    spec.local = via->local();
    spec.remote = via->server();
    spec.channel_in = via->ChannelOf(source);
    if (spec.channel_in == 0) {
      return false;
    }
  }
  if (const TurnClient* via = receiver.via(); via != nullptr && to == receiver.seen[0]) {
    spec.from = via->local();
    spec.to = via->server();
    spec.channel_out = via->ChannelOf(to);
    if (spec.channel_out == 0) {
      return false;
    }
  }
  return true;
}

void Relay::RemoveFlows(Stream& stream) {
  for (Path& path : stream.paths) {
    for (media::Flow*& flow : path.flows) {
      if (flow != nullptr) {
        relay_.RemoveFlow(flow);
        flow = nullptr;
      }
    }
  }
}

// --- Silence ------------------------------------------------------------------------------------

// An end that has sent, is to send, and has sent nothing for a time: told once.
void Relay::WatchEnd(Session& session, uint32_t end) {
  Session::Activity& own = session.activity[end];
  const uint64_t packets = PacketsOf(session, end);
  if (packets != own.packets) {
    session.active_at = now();
  }
  if (packets != own.packets || !IsToSend(session, end)) {
    const Instant heard_at = packets != own.packets ? now() : own.heard_at;
    own = {.packets = packets, .heard_at = heard_at, .awaited_at = now()};
    return;
  }
  const Duration silence = now() - own.awaited_at;
  if (packets != 0 && !own.is_told && config_.party_inactivity.ns != 0 &&
      silence > config_.party_inactivity) {
    own.is_told = true;
    ++counters_.party_silent;
    observer_.OnPartySilent(session, end, silence);
  }
}

void Relay::Sweep() {
  const uint32_t count = std::min(kSweepPerTurn, sessions_.capacity());
  for (uint32_t i = 0; i < count; ++i) {
    sweep_at_ = (sweep_at_ + 1) % sessions_.capacity();
    Session* session = sessions_.At(sweep_at_);
    if (session == nullptr) {
      continue;
    }
    const Handle handle = sessions_.HandleOf(*session);
    for (uint32_t end = 0; end < 2 && sessions_.Resolve(handle) != nullptr; ++end) {
      WatchEnd(*session, end);
    }
    if (sessions_.Resolve(handle) != nullptr && now() - session->active_at > config_.inactivity) {
      ++counters_.silent;
      Close(*session, true);
    }
  }
  KeepTurnsWarm();
  if (config_.enabled) {
    timers_.Arm(sweep_, kSweepPeriod);
  }
}

}  // namespace gh::rtp
