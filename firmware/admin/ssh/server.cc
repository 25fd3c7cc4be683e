#include "firmware/admin/ssh/server.h"

#include <algorithm>

#include "hal/rt/assert.h"

namespace gh::ssh {
namespace {

constexpr size_t kBuffersEach = kInputBytes + kOutputBytes + kHeldBytes;
constexpr Duration kTick = Duration::Seconds(1);
constexpr size_t kSendMax = 16 * 1024;  // at once, into the stream

// An address, or a network that one host may have all of.
bool IsSameSource(const net::IpAddress& a, const net::IpAddress& b) {
  const size_t size = a.is_v6() ? 8 : 4;
  return a.family == b.family &&
         std::equal(a.bytes.begin(), a.bytes.begin() + size, b.bytes.begin());
}

// The same as one address: of an IPv6 /64 the first.
net::IpAddress SourceKeyOf(net::IpAddress address) {
  if (address.is_v6()) {
    std::fill(address.bytes.begin() + 8, address.bytes.end(), uint8_t{0});
  }
  return address;
}

}  // namespace

const char* ToText(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kTooMany:
      return "too many connections";
    case RefusalReason::kTooManyOfAddress:
      return "too many connections of one address";
    case RefusalReason::kTooFast:
      return "too many new connections";
    case RefusalReason::kBlocked:
      return "the address is blocked";
  }
  return "";
}

Server::Server(const Parts& parts)
    : parts_(parts),
      heap_(parts.arena, kCryptoHeapBytes),
      environment_{heap_, parts.random, parts.clock},
      keys_(environment_),
      slots_(parts.arena.NewArray<Slot>(kConnectionCount)),
      channels_(parts.arena, kChannelCount),
      buffers_(parts.arena.NewArray<uint8_t>(kBuffersEach * kConnectionCount)),
      pump_task_([](void* self) { static_cast<Server*>(self)->PumpAll(); }, this) {
  tick_.Bind<&Server::OnTick>(this);
  settings_.enabled = false;
}

void Server::Configure(const ServerSettings& settings) {
  settings_ = settings;
  if (!settings.enabled || listener_port_ != settings.port) {
    CloseListeners();
  }
  if (settings.enabled && !is_listening()) {
    OpenListeners();
  }
  if (!tick_.armed()) {
    parts_.loop.timers().Arm(tick_, parts_.loop.now() + kTick);
  }
}

void Server::CloseListeners() {
  for (net::ListenerId& listener : listeners_) {
    if (listener.valid()) {
      parts_.streams.CloseListener(listener);
      listener = {};
    }
  }
}

// On every address of ours. One family alone is enough to serve.
void Server::OpenListeners() {
  Result<void> outcome = Ok();
  for (size_t i = 0; i < listeners_.size(); ++i) {
    net::Endpoint local;
    local.address.family = i == 0 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
    local.port = settings_.port;
    const auto listener = parts_.streams.Listen(local, {}, *this);
    if (listener.ok()) {
      listeners_[i] = *listener;
    } else {
      outcome = listener.error();
    }
  }
  listener_port_ = settings_.port;
  parts_.observer.OnListening(settings_.port, is_listening() ? Ok() : outcome);
}

TransportBuffers Server::BuffersOf(size_t index) const {
  const auto all = buffers_.subspan(index * kBuffersEach, kBuffersEach);
  return {all.first(kInputBytes), all.subspan(kInputBytes, kOutputBytes), all.last(kHeldBytes)};
}

Server::Slot* Server::Find(net::StreamId id) {
  for (Slot& slot : slots_) {
    if (slot.connection.has_value() && slot.stream == id) {
      return &slot;
    }
  }
  return nullptr;
}

// --- Who comes in --------------------------------------------------------------------------------

Server::Source Server::CountOf(const net::IpAddress& address) const {
  Source source;
  for (const Slot& slot : slots_) {
    if (slot.connection.has_value() && IsSameSource(slot.connection->remote().address, address)) {
      ++source.connection_count;
      source.unauthenticated_count += slot.connection->is_logged_in() ? 0 : 1;
      source.half_open_count += slot.connection->is_half_open() ? 1 : 0;
    }
  }
  return source;
}

// The address with the most half-open connections; none when there are none.
net::IpAddress Server::MostCrowded() const {
  net::IpAddress most;
  uint32_t most_count = 0;
  for (const Slot& slot : slots_) {
    if (slot.connection.has_value() && slot.connection->is_half_open()) {
      const net::IpAddress& address = slot.connection->remote().address;
      const uint32_t count = CountOf(address).half_open_count;
      most = count > most_count ? address : most;
      most_count = std::max(count, most_count);
    }
  }
  return most;
}

// Ends the oldest half-open connection of this address; false: it has none.
bool Server::EvictHalfOpen(const net::IpAddress& address) {
  Slot* oldest = nullptr;
  for (Slot& slot : slots_) {
    if (slot.connection.has_value() && slot.connection->is_half_open() &&
        IsSameSource(slot.connection->remote().address, address) &&
        (oldest == nullptr || slot.connection->opened_at() < oldest->connection->opened_at())) {
      oldest = &slot;
    }
  }
  if (oldest == nullptr) {
    return false;
  }
  ++evicted_count_;
  parts_.streams.AbortStream(oldest->stream);
  End(*oldest);
  return true;
}

bool Server::Admit(const net::IpAddress& address) {
  if (!parts_.observer.MayConnect(address)) {
    Refuse(address, RefusalReason::kBlocked);
    return false;
  }
  if (!strangers_.Admits(SourceKeyOf(address), parts_.loop.now())) {
    Refuse(address, RefusalReason::kTooFast);
    return false;
  }
  // Who holds connections without a log-in does not use up what is for everybody else.
  const Source source = CountOf(address);
  net::TokenBucket& opens = source.unauthenticated_count > 0 ? crowded_opens_ : opens_;
  if (!opens.Take(parts_.loop.now())) {
    Refuse(address, RefusalReason::kTooFast);
    return false;
  }
  const bool has_its_share = source.unauthenticated_count >= kUnauthenticatedPerAddress ||
                             source.connection_count >= kConnectionsPerAddress;
  if (has_its_share && !EvictHalfOpen(address)) {
    Refuse(address, RefusalReason::kTooManyOfAddress);
    return false;
  }
  const ServerStatus now = status();
  const bool is_full = now.connection_count - now.logged_in_count >= kUnauthenticatedMax ||
                       now.connection_count >= kConnectionCount;
  if (is_full && !EvictHalfOpen(MostCrowded())) {
    Refuse(address, RefusalReason::kTooMany);
    return false;
  }
  return true;
}

void Server::Refuse(const net::IpAddress& address, RefusalReason reason) {
  ++refused_count_;
  refused_last_ = address;
  refused_reason_ = reason;
}

bool Server::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  if (!Admit(info.remote.address)) {
    return false;
  }
  size_t index = 0;
  while (slots_[index].connection.has_value()) {
    ++index;
    GH_ASSERT_LT(index, slots_.size());  // Admit has seen to it
  }
  Slot& slot = slots_[index];
  slot.stream = id;
  slot.holds_input = false;
  const Handle handle = {static_cast<uint32_t>(index), ++slot.generation};
  const Connection::Parts parts = {environment_,     keys_,     settings_.connection,
                                   BuffersOf(index), channels_, parts_.authenticator,
                                   parts_.sessions,  *this};
  slot.connection.emplace(parts, handle, info.remote, parts_.loop.now());
  ++accepted_count_;
  parts_.loop.Defer(pump_task_);
  return true;
}

// --- Bytes ---------------------------------------------------------------------------------------

size_t Server::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  Slot* slot = Find(id);
  if (slot == nullptr) {
    return data.size();
  }
  const size_t taken = slot->connection->Receive(data, parts_.loop.now());
  slot->holds_input = taken < data.size();
  parts_.loop.Defer(pump_task_);
  return taken;
}

void Server::OnStreamWritable(net::StreamId) { parts_.loop.Defer(pump_task_); }

void Server::OnStreamClosed(net::StreamId id, net::StreamClose) {
  if (Slot* slot = Find(id); slot != nullptr) {
    slot->connection->transport().Drop("the connection was closed");
    End(*slot);
  }
}

void Server::OnOutput(Connection&) { parts_.loop.Defer(pump_task_); }

void Server::PumpAll() {
  for (Slot& slot : slots_) {
    if (slot.connection.has_value()) {
      PumpOne(slot);
    }
  }
}

void Server::SendOutput(Slot& slot) {
  Transport& transport = slot.connection->transport();
  while (!transport.output().empty()) {
    const auto output = transport.output();
    const size_t room = parts_.streams.SendRoom(slot.stream);
    const size_t count = std::min({output.size(), room, kSendMax});
    // When there is no room the attempt itself asks for OnStreamWritable.
    const auto chunk = output.first(count == 0 ? std::min(output.size(), kSendMax) : count);
    if (!parts_.streams.SendStream(slot.stream, chunk).ok()) {
      return;
    }
    transport.ConsumeOutput(chunk.size());
  }
}

void Server::PumpOne(Slot& slot) {
  SendOutput(slot);
  if (!slot.connection->is_over()) {
    slot.connection->Pump(parts_.loop.now());
    SendOutput(slot);
  }
  if (slot.connection->is_over()) {
    parts_.streams.CloseStream(slot.stream);
    End(slot);
    return;
  }
  if (slot.holds_input) {
    slot.holds_input = false;
    parts_.streams.ResumeStream(slot.stream);
  }
}

// The slot is free afterwards; its stream is closed, or the caller closes it.
void Server::End(Slot& slot) {
  if (!slot.connection->is_logged_in() && slot.connection->transport().exchange_count() > 0) {
    strangers_.Charge(SourceKeyOf(slot.connection->remote().address), parts_.loop.now());
  }
  if (slot.connection->is_logged_in()) {
    parts_.observer.OnLoggedOut(*slot.connection, parts_.loop.now() - slot.connection->opened_at());
  }
  slot.connection.reset();
  slot.stream = {};
}

// --- Log-in, time and status ---------------------------------------------------------------------

void Server::OnPasswordChecked(Handle id, bool accepted) {
  if (id.index < slots_.size() && slots_[id.index].connection.has_value() &&
      slots_[id.index].generation == id.generation) {
    slots_[id.index].connection->OnPasswordChecked(accepted);
    parts_.loop.Defer(pump_task_);
  }
}

void Server::OnLoggedIn(Connection& connection) {
  ++login_count_;
  parts_.observer.OnLoggedIn(connection);
}

void Server::OnLoginRefused(Connection& connection, std::string_view user,
                            std::string_view method) {
  ++login_refused_count_;
  parts_.observer.OnLoginRefused(connection.remote().address, user, method);
}

uint32_t Server::DisconnectUser(std::string_view user, std::string_view why) {
  uint32_t count = 0;
  for (Slot& slot : slots_) {
    if (slot.connection.has_value() && slot.connection->is_logged_in() &&
        (user.empty() || slot.connection->authentication().user() == user)) {
      slot.connection->Disconnect(DisconnectReason::kByApplication, why);
      ++count;
    }
  }
  parts_.loop.Defer(pump_task_);
  return count;
}

void Server::OnTick() {
  const Instant now = parts_.loop.now();
  for (Slot& slot : slots_) {
    if (slot.connection.has_value()) {
      slot.connection->Tick(now);
    }
  }
  const uint64_t refused = refused_count_ + evicted_count_;
  if (refused != refused_told_) {
    parts_.observer.OnConnectionsRefused(refused_last_, refused_reason_, refused - refused_told_);
    refused_told_ = refused;
  }
  if (settings_.enabled && !is_listening()) {
    OpenListeners();
  }
  parts_.loop.Defer(pump_task_);
  parts_.loop.timers().Arm(tick_, now + kTick);
}

ServerStatus Server::status() const {
  ServerStatus status;
  status.listening = is_listening();
  for (const Slot& slot : slots_) {
    if (slot.connection.has_value()) {
      ++status.connection_count;
      status.logged_in_count += slot.connection->is_logged_in() ? 1 : 0;
      status.half_open_count += slot.connection->is_half_open() ? 1 : 0;
    }
  }
  status.channel_count = channels_.used_count();
  status.accepted_count = accepted_count_;
  status.refused_count = refused_count_;
  status.evicted_count = evicted_count_;
  status.login_count = login_count_;
  status.login_refused_count = login_refused_count_;
  status.heap_used = heap_.OwnerState(0).bytes;
  return status;
}

}  // namespace gh::ssh
