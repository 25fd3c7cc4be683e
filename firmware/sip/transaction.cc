#include "firmware/sip/transaction.h"

#include <algorithm>
#include <utility>

namespace gh::sip {

namespace {

// Of a response we wrote: "SIP/2.0 200 OK".
uint16_t StatusOf(std::string_view response) {
  return static_cast<uint16_t>(ParseNumber(response.substr(8, 3), 999).value_or(0));
}

}  // namespace

TransactionLayer::TransactionLayer(Core& core, Arena& arena, SipTransport& transport,
                                   TransactionUser& user)
    : core_(core),
      transport_(transport),
      user_(user),
      servers_(arena, core.capacity.server_transactions),
      clients_(arena, core.capacity.client_transactions),
      server_table_(arena, core.capacity.server_transactions) {}

// --- Server side ---------------------------------------------------------------------------------

namespace {

// What all keys of a transaction are of; by the branch nothing more, where it is one of RFC 3261.
KeyedHash& AddSender(KeyedHash& hash, std::string_view method, const Via& via) {
  return hash.Add(method).AddNoCase(via.host).Add(uint64_t{via.port});
}

}  // namespace

ServerKey TransactionLayer::KeyOf(const Message& request, Method method) const {
  const Via& via = request.via();
  const std::string_view name =
      method == Method::kOther ? request.method_text() : MethodName(method);
  const auto fill = [&](KeyedHash hash) {
    AddSender(hash, name, via);
    if (via.is_rfc3261()) {
      hash.Add(via.branch);
    } else {
      // RFC 2543: everything that ACK and retransmissions share with the request (17.2.3). The To
      // tag of an ACK is ours, so it is left out; Call-ID and CSeq already tell calls apart.
      hash.Add(request.uri_text())
          .Add(request.from_tag())
          .Add(request.call_id())
          .Add(uint64_t{request.cseq()})
          .Add(via.text);
    }
    return hash.Value();
  };
  return {fill(core_.Hash(kHashServerKeyHigh)), fill(core_.Hash(kHashServerKeyLow))};
}

ServerTransaction* TransactionLayer::FindServer(const ServerKey& key) const {
  return server_table_.Find(
      key.high, [&](const ServerTransaction& server) { return server.key_low == key.low; });
}

bool TransactionLayer::MayHaveServer(Method method, const Via& via) const {
  KeyedHash hash = core_.Hash(kHashServerKeyHigh);
  AddSender(hash, MethodName(method), via).Add(via.branch);
  return server_table_.Find(hash.Value(), [](const ServerTransaction&) { return true; }) != nullptr;
}

ServerTransaction* TransactionLayer::FindCancelled(const Message& cancel) const {
  return FindServer(KeyOf(cancel, Method::kInvite));
}

ServerTransaction* TransactionLayer::CreateServer(const Message& request, const Flow& flow) {
  Buffer* copy = core_.buffers.Copy(request.bytes());
  ServerTransaction* server = copy == nullptr ? nullptr : servers_.Allocate();
  if (server == nullptr) {
    core_.buffers.Release(copy);
    ++core_.statistics.overload;
    return nullptr;
  }
  const ServerKey key = KeyOf(request, Fold(request.method()));
  server->key_low = key.low;
  server->layer = this;
  server->request = copy;
  server->flow = flow;
  server->source = flow.remote;
  server->flow.remote = ResponseTarget(flow, request.via());
  server->cseq = request.cseq();
  server->method = request.method();
  if (CallLadder::IsOfCalls(server->method)) {
    server->ladder = core_.LadderOf(request.call_id());
  }
  server->retransmit.Set(
      [](Timer&, void* context) {
        auto* self = static_cast<ServerTransaction*>(context);
        self->layer->OnServerRetransmitTimer(*self);
      },
      server);
  server->lifetime.Set(
      [](Timer&, void* context) {
        auto* self = static_cast<ServerTransaction*>(context);
        self->layer->ReleaseServer(*self);
      },
      server);
  server_table_.Insert(*server, key.high);
  if (request.method() == Method::kInvite) {
    server->state = ServerState::kProceeding;
  } else {
    // RFC 4320 4.1: 100 once a client's timer E has reached T2 (after T1 + 2*T1 + 4*T1).
    core_.timers.Arm(server->retransmit, core_.config.t1 * 7);
  }
  return server;
}

Result<void> TransactionLayer::SendToServerFlow(ServerTransaction& server,
                                                std::span<const uint8_t> bytes) {
  Result<void> sent = transport_.Send(server.flow, bytes);
  if (sent.ok() || !server.flow.is_reliable() || server.request == nullptr) {
    return sent;
  }
  // RFC 3261 18.2.2: the stream is gone, open one to the sent-by port.
  Message request;
  if (!request.Index(server.request->bytes()).ok() ||
      request.Check(true).verdict != Verdict::kGood) {
    return sent;
  }
  net::Endpoint target = server.source;
  target.port =
      request.via().port != 0
          ? request.via().port
          : (server.flow.transport == TransportKind::kTls ? uint16_t{5061} : uint16_t{5060});
  const auto flow = transport_.FlowTo(server.flow.transport, target);
  if (!flow.ok()) {
    return flow.error();
  }
  server.flow = *flow;
  return transport_.Send(server.flow, bytes);
}

void TransactionLayer::Respond(ServerTransaction& server, uint16_t status,
                               std::span<const uint8_t> bytes) {
  GH_ASSERT(server.state == ServerState::kTrying || server.state == ServerState::kProceeding ||
            (server.state == ServerState::kAccepted && status < 300));
  SendToServerFlow(server, bytes).ignore("the sender repeats its request or gives up");
  core_.ladder.Note({server.ladder, core_.now(), server.flow.remote, server.cseq, status,
                     server.method, server.flow.transport, true});
  server.status = status;
  if (server.state == ServerState::kAccepted) {
    return;
  }
  const bool is_invite = server.method == Method::kInvite;
  const bool success = status >= 200 && status < 300;
  // A 2xx to INVITE is repeated by the user agent; a final non-2xx and a non-INVITE final by us.
  const bool keep =
      !(is_invite && success) && !(status >= 200 && !is_invite && server.flow.is_reliable());
  core_.buffers.Release(server.response);
  server.response = keep ? core_.buffers.Copy(bytes) : nullptr;
  if (status < 200) {
    server.state = ServerState::kProceeding;
    core_.timers.Cancel(server.retransmit);
    return;
  }
  FinishServer(server, status);
}

void TransactionLayer::FinishServer(ServerTransaction& server, uint16_t status) {
  core_.buffers.Release(server.request);
  server.request = nullptr;
  core_.timers.Cancel(server.retransmit);
  const Duration t64 = core_.config.t1 * 64;
  if (server.method == Method::kInvite) {
    const bool success = status < 300;
    server.state = success ? ServerState::kAccepted : ServerState::kCompleted;
    if (!success && !server.flow.is_reliable()) {
      server.interval = core_.config.t1;
      core_.timers.Arm(server.retransmit, server.interval);  // G
    }
    core_.timers.Arm(server.lifetime, t64);  // L or H
    return;
  }
  server.state = ServerState::kCompleted;
  core_.timers.Arm(server.lifetime, server.flow.is_reliable() ? Duration{} : t64);  // J
}

void TransactionLayer::OnServerRetransmitTimer(ServerTransaction& server) {
  if (server.state == ServerState::kTrying) {
    SendTrying(server);
    return;
  }
  if (server.state == ServerState::kCompleted && server.response != nullptr) {
    transport_.Send(server.flow, server.response->bytes()).ignore("timer G again");
    server.interval = std::min(server.interval * 2, core_.config.t2);
    core_.timers.Arm(server.retransmit, server.interval);
  }
}

void TransactionLayer::SendTrying(ServerTransaction& server) {
  Message request;
  if (server.request == nullptr || !request.Index(server.request->bytes()).ok() ||
      request.Check(true).verdict != Verdict::kGood) {
    return;
  }
  ByteWriter out(core_.scratch);
  Flow source = server.flow;
  source.remote = server.source;
  WriteResponse(out, request, source, {.status = 100, .reason = {}, .to_tag = 0, .extra = {}});
  if (out.ok()) {
    Respond(server, 100, out.written());
  }
}

void TransactionLayer::OnRetransmission(ServerTransaction& server) {
  if (server.response != nullptr &&
      (server.state == ServerState::kProceeding || server.state == ServerState::kCompleted)) {
    transport_.Send(server.flow, server.response->bytes()).ignore("repeated again on request");
  }
}

void TransactionLayer::OnAck(ServerTransaction& server) {
  if (server.state != ServerState::kCompleted || server.method != Method::kInvite) {
    return;
  }
  server.state = ServerState::kConfirmed;
  core_.timers.Cancel(server.retransmit);
  core_.buffers.Release(server.response);
  server.response = nullptr;
  core_.timers.Arm(server.lifetime, server.flow.is_reliable() ? Duration{} : core_.config.t4);  // I
}

void TransactionLayer::Abandon(ServerTransaction& server) { ReleaseServer(server); }

void TransactionLayer::ReleaseServer(ServerTransaction& server) {
  GH_ASSERT(server.context == nullptr);
  core_.timers.Cancel(server.retransmit);
  core_.timers.Cancel(server.lifetime);
  core_.buffers.Release(server.request);
  core_.buffers.Release(server.response);
  server_table_.Remove(server);
  servers_.Release(&server);
}

void TransactionLayer::SendStateless(const Message& request, const Flow& flow,
                                     std::span<const uint8_t> bytes) {
  Flow target = flow;
  target.remote = ResponseTarget(flow, request.via());
  transport_.Send(target, bytes).ignore("the sender repeats its request");
  if (CallLadder::IsOfCalls(request.method())) {
    core_.ladder.Note({core_.LadderOf(request.call_id()), core_.now(), target.remote,
                       request.cseq(), StatusOf(AsText(bytes)), request.method(), target.transport,
                       true});
  }
}

// --- Client side ---------------------------------------------------------------------------------

uint64_t TransactionLayer::CookieOf(Handle handle) const {
  return core_.Hash(kHashBranch).Add(uint64_t{handle.index} << 32 | handle.generation).Value();
}

ClientTransaction* TransactionLayer::CreateClient(Method method, uint64_t loop) {
  ClientTransaction* client = clients_.Allocate();
  if (client == nullptr) {
    ++core_.statistics.overload;
    return nullptr;
  }
  client->layer = this;
  client->method = method;
  client->loop = loop;
  client->cookie = CookieOf(clients_.HandleOf(*client));
  client->flow_user.lost = [](FlowUser& user) {
    auto* self = reinterpret_cast<ClientTransaction*>(&user);
    self->layer->Fail(*self, ClientFailure::kTransport);
  };
  client->retransmit.Set(
      [](Timer&, void* context) {
        auto* self = static_cast<ClientTransaction*>(context);
        self->layer->OnClientRetransmitTimer(*self);
      },
      client);
  client->lifetime.Set(
      [](Timer&, void* context) {
        auto* self = static_cast<ClientTransaction*>(context);
        self->layer->OnClientLifetime(*self);
      },
      client);
  return client;
}

// z9hG4bK, 'g', index, generation, cookie, loop hash.
void TransactionLayer::WriteBranch(ByteWriter& out, const ClientTransaction& client) const {
  const Handle handle = clients_.HandleOf(client);
  out.Text("z9hG4bKg");
  out.Hex(handle.index, 8);
  out.Hex(handle.generation, 8);
  out.Hex(client.cookie, 16);
  out.Hex(client.loop, 16);
}

std::optional<TransactionLayer::BranchParts> TransactionLayer::ParseBranch(
    std::string_view branch) {
  if (branch.size() != 56 || !branch.starts_with("z9hG4bKg")) {
    return std::nullopt;
  }
  uint64_t words[4] = {};
  constexpr size_t kSizes[4] = {8, 8, 16, 16};
  size_t at = 8;
  for (size_t i = 0; i < 4; ++i) {
    for (size_t end = at + kSizes[i]; at < end; ++at) {
      const int digit = HexValue(branch[at]);
      if (digit < 0) {
        return std::nullopt;
      }
      words[i] = words[i] << 4 | static_cast<uint64_t>(digit);
    }
  }
  return BranchParts{
      {static_cast<uint32_t>(words[0]), static_cast<uint32_t>(words[1])}, words[2], words[3]};
}

std::optional<uint64_t> TransactionLayer::OwnLoopHash(const Via& via) const {
  const auto parts = ParseBranch(via.branch);
  if (!parts || parts->cookie != CookieOf(parts->handle)) {
    return std::nullopt;
  }
  return parts->loop;
}

Result<void> TransactionLayer::Launch(ClientTransaction& client, const Flow& flow,
                                      std::span<const uint8_t> bytes) {
  GH_ASSERT(client.state == ClientState::kIdle);
  Buffer* copy = core_.buffers.Copy(bytes);
  if (copy == nullptr) {
    return Error(ErrorCode::kExhausted, "buffers");
  }
  const Result<void> sent = transport_.Send(flow, bytes);
  if (!sent.ok()) {
    core_.buffers.Release(copy);
    return sent;
  }
  client.request = copy;
  client.flow = flow;
  const bool is_invite = client.method == Method::kInvite;
  client.state = is_invite ? ClientState::kCalling : ClientState::kTrying;
  client.interval = core_.config.t1;
  if (!flow.is_reliable()) {
    core_.timers.Arm(client.retransmit, client.interval);  // A, E
  }
  core_.timers.Arm(client.lifetime, core_.config.t1 * 64);  // B, F
  transport_.Watch(flow, client.flow_user);
  return Ok();
}

void TransactionLayer::Hurry(ClientTransaction& client) {
  client.is_hurried = client.state == ClientState::kTrying;
  if (client.is_hurried || client.state == ClientState::kCalling) {
    core_.timers.Arm(client.lifetime, core_.config.t1 * kHurry);
  }
}

void TransactionLayer::DropRequest(ClientTransaction& client) {
  core_.buffers.Release(client.request);
  client.request = nullptr;
}

void TransactionLayer::OnClientRetransmitTimer(ClientTransaction& client) {
  if (client.is_cancelled) {
    if (core_.now() < client.cancel_deadline) {
      SendCancel(client);
      client.interval = std::min(client.interval * 2, core_.config.t2);
      core_.timers.Arm(client.retransmit, client.interval);
    }
    return;
  }
  if (client.request == nullptr || client.state == ClientState::kCompleted) {
    return;
  }
  transport_.Send(client.flow, client.request->bytes()).ignore("timers B and F decide");
  client.interval = client.interval * 2;
  if (client.method != Method::kInvite) {
    client.interval = client.state == ClientState::kProceeding
                          ? core_.config.t2
                          : std::min(client.interval, core_.config.t2);
  }
  core_.timers.Arm(client.retransmit, client.interval);
}

void TransactionLayer::OnClientLifetime(ClientTransaction& client) {
  if (client.state == ClientState::kCompleted || client.state == ClientState::kAccepted) {
    ReleaseClient(client);  // D, K, M
    return;
  }
  const bool ringing = client.method == Method::kInvite && client.state == ClientState::kProceeding;
  if (ringing && !client.is_cancelled && client.cancel_deadline == Instant{}) {
    Cancel(client);  // C: it rang too long; a final response is waited for once more
    return;
  }
  Fail(client, ClientFailure::kTimeout);  // B, F, or a cancelled INVITE nobody answers
}

void TransactionLayer::Fail(ClientTransaction& client, ClientFailure why) {
  const bool waiting = client.state == ClientState::kCalling ||
                       client.state == ClientState::kTrying ||
                       client.state == ClientState::kProceeding;
  if (waiting) {
    user_.OnClientFailed(client, why);
    client.branch = nullptr;
    ReleaseClient(client);
  }
  // Completed and Accepted go on without their stream: nothing more has to be sent.
}

void TransactionLayer::ReleaseClient(ClientTransaction& client) {
  GH_ASSERT(client.branch == nullptr);
  core_.timers.Cancel(client.retransmit);
  core_.timers.Cancel(client.lifetime);
  DropRequest(client);
  if (client.flow_user.node.linked()) {
    // The list's size is kept by the list; the stream that owns it is still there.
    transport_.Unwatch(client.flow, client.flow_user);
  }
  clients_.Release(&client);
}

ClientTransaction* TransactionLayer::FindClient(const Message& response) {
  const auto parts = ParseBranch(response.via().branch);
  if (!parts) {
    return nullptr;
  }
  ClientTransaction* client = clients_.Resolve(parts->handle);
  if (client == nullptr || client->cookie != parts->cookie || client->state == ClientState::kIdle) {
    return nullptr;
  }
  return client;
}

bool TransactionLayer::OnResponse(const Message& response, const Flow& /*flow*/) {
  ClientTransaction* client = FindClient(response);
  if (client == nullptr) {
    return false;
  }
  if (response.method() == Method::kCancel && client->method == Method::kInvite) {
    if (client->is_cancelled && response.status() >= 200) {
      client->is_cancelled = false;
      core_.timers.Cancel(client->retransmit);
    }
    return true;
  }
  if (response.method() != client->method) {
    return false;
  }
  if (client->method == Method::kInvite) {
    OnInviteResponse(*client, response);
  } else {
    OnOtherResponse(*client, response);
  }
  return true;
}

void TransactionLayer::OnInviteResponse(ClientTransaction& client, const Message& response) {
  const uint16_t status = response.status();
  const bool waiting =
      client.state == ClientState::kCalling || client.state == ClientState::kProceeding;
  if (client.state == ClientState::kCompleted) {
    if (status >= 300 && client.request != nullptr) {  // here it is the ACK that was sent
      transport_.Send(client.flow, client.request->bytes()).ignore("repeated again on request");
    }
    return;
  }
  if (client.state == ClientState::kAccepted) {
    if (status >= 200 && status < 300) {
      user_.OnResponse(client, response);
    }
    return;
  }
  GH_ASSERT(waiting);
  if (status < 200) {
    if (client.state == ClientState::kCalling) {
      client.state = ClientState::kProceeding;
      core_.timers.Cancel(client.retransmit);
      core_.timers.Arm(client.lifetime, core_.config.timer_c);
      if (client.wants_cancel) {
        Cancel(client);
      }
    } else if (status > 100 && !client.is_cancelled) {
      core_.timers.Arm(client.lifetime, core_.config.timer_c);  // RFC 3261 16.7 2
    }
    if (status > 100) {
      user_.OnResponse(client, response);
    }
    return;
  }
  core_.timers.Cancel(client.retransmit);
  client.is_cancelled = false;
  if (status < 300) {
    client.state = ClientState::kAccepted;
    DropRequest(client);
    core_.timers.Arm(client.lifetime, core_.config.t1 * 64);  // M
  } else {
    client.state = ClientState::kCompleted;
    SendAck(client, response);
    core_.timers.Arm(client.lifetime,
                     client.flow.is_reliable() ? Duration{} : core_.config.t1 * 64);  // D
  }
  user_.OnResponse(client, response);
  client.branch = nullptr;
}

void TransactionLayer::OnOtherResponse(ClientTransaction& client, const Message& response) {
  if (client.state == ClientState::kCompleted) {
    return;
  }
  const uint16_t status = response.status();
  if (status < 200) {
    client.state = ClientState::kProceeding;
    if (std::exchange(client.is_hurried, false)) {
      core_.timers.Arm(client.lifetime, core_.config.t1 * (64 - kHurry));
    }
    if (status > 100) {
      user_.OnResponse(client, response);
    }
    return;
  }
  client.state = ClientState::kCompleted;
  core_.timers.Cancel(client.retransmit);
  DropRequest(client);
  core_.timers.Arm(client.lifetime, client.flow.is_reliable() ? Duration{} : core_.config.t4);  // K
  user_.OnResponse(client, response);
  client.branch = nullptr;
}

// Sends the ACK and keeps it in the request's place, to be repeated with the response.
void TransactionLayer::SendAck(ClientTransaction& client, const Message& response) {
  Message sent;
  if (client.request == nullptr || !sent.Index(client.request->bytes()).ok()) {
    return;
  }
  ByteWriter out(core_.scratch);
  WriteAck(out, sent, response);
  DropRequest(client);
  if (!out.ok()) {
    return;
  }
  transport_.Send(client.flow, out.written()).ignore("sent again with the next response");
  core_.ladder.Note({core_.LadderOf(response.call_id()), core_.now(), client.flow.remote,
                     response.cseq(), 0, Method::kAck, client.flow.transport, true});
  if (!client.flow.is_reliable()) {
    client.request = core_.buffers.Copy(out.written());
  }
}

void TransactionLayer::SendCancel(ClientTransaction& client) {
  Message sent;
  if (client.request == nullptr || !sent.Index(client.request->bytes()).ok()) {
    return;
  }
  ByteWriter out(core_.scratch);
  WriteCancel(out, sent);
  if (out.ok()) {
    transport_.Send(client.flow, out.written()).ignore("timer E again");
    core_.ladder.Note({core_.LadderOf(sent.ValueOf(HeaderId::kCallId)), core_.now(),
                       client.flow.remote,
                       ParseNumberClamped(sent.ValueOf(HeaderId::kCseq), kCseqMax).value_or(0), 0,
                       Method::kCancel, client.flow.transport, true});
  }
}

void TransactionLayer::Cancel(ClientTransaction& client) {
  if (client.method != Method::kInvite || client.is_cancelled) {
    return;
  }
  if (client.state == ClientState::kCalling) {
    client.wants_cancel = true;
    return;
  }
  if (client.state != ClientState::kProceeding) {
    return;
  }
  client.wants_cancel = false;
  client.is_cancelled = true;
  client.cancel_deadline = core_.now() + core_.config.t1 * 64;
  SendCancel(client);
  client.interval = core_.config.t1;
  if (!client.flow.is_reliable()) {
    core_.timers.Arm(client.retransmit, client.interval);
  }
  // RFC 3261 9.1: a final response should come within 64*T1; then the transaction is given up.
  core_.timers.Arm(client.lifetime, core_.config.t1 * 64);
}

}  // namespace gh::sip
