#include "firmware/sip/proxy.h"

#include <algorithm>
#include <utility>

#include "firmware/sip/media_body.h"
#include "firmware/sip/proxy_context.h"
#include "firmware/sip/session_timer.h"

namespace gh::sip {

uint64_t Proxy::bytes_per_context() { return Pool<Context>::bytes_per_item(); }

Proxy::Proxy(Core& core, Arena& arena, SipTransport& transport, net::Resolver& resolver,
             CallTable& calls)
    : core_(core),
      transport_(transport),
      calls_(calls),
      transactions_(core, arena, transport, *this),
      locator_(core, arena, resolver),
      contexts_(arena, core.capacity.proxies),
      ways_(arena),
      busy_hops_(core, arena) {
  calls.SetExpired(
      [](void* self, Call& call, CallEnd how) { static_cast<Proxy*>(self)->EndCall(call, how); },
      this);
  flow_watch_.Bind<&Proxy::WatchFlows>(this);
}

// --- Opening -------------------------------------------------------------------------------------

Proxy::Context* Proxy::Open(const Message& request, const Flow& flow, uint64_t loop,
                            uint32_t breadth) {
  if (contexts_.free_count() == 0) {
    ++core_.statistics.overload;
    return nullptr;
  }
  ServerTransaction* server = transactions_.CreateServer(request, flow);
  if (server == nullptr) {
    return nullptr;
  }
  Context* context = contexts_.Allocate();
  GH_ASSERT(context != nullptr);
  context->proxy = this;
  context->server = server;
  context->server_handle = transactions_.HandleOf(*server);
  context->source = server->source;
  context->method = server->method;
  context->loop = loop;
  context->breadth = breadth;
  context->is_initial_invite = request.method() == Method::kInvite && request.to_tag().empty();
  context->arrived = core_.now();
  if (IsSessionRefresh(request.method())) {
    server->session_s = SessionEditOf(core_.config, request).answer_s;
  }
  server->context = context;
  return context;
}

bool Proxy::AddTarget(Context& context, const TargetSpec& spec) {
  const size_t used = context.texts == nullptr ? 0 : context.texts->size;
  const size_t needed = used + spec.uri.size() + spec.path.size();
  if (context.target_count == kTargetMax || needed > UINT16_MAX) {
    return false;
  }
  if (context.texts == nullptr || needed > context.texts->capacity) {
    Buffer* grown = core_.buffers.Allocate(needed);
    if (grown == nullptr) {
      return false;
    }
    if (context.texts != nullptr) {
      std::memcpy(grown->data, context.texts->data, used);
      core_.buffers.Release(context.texts);
    }
    context.texts = grown;
  }
  Target target;
  target.uri_offset = static_cast<uint16_t>(used);
  target.uri_size = static_cast<uint16_t>(spec.uri.size());
  target.path_offset = static_cast<uint16_t>(used + spec.uri.size());
  target.path_size = static_cast<uint16_t>(spec.path.size());
  target.q = spec.q;
  target.zone = spec.zone;
  target.peer_first = spec.peer_first;
  target.peer_only = spec.peer_only;
  target.place = spec.place;
  target.has_flow = spec.flow != nullptr;
  target.flow_decides = spec.flow_decides;
  target.flow_only = spec.flow_only;
  target.instance = spec.instance;
  target.is_alternate = spec.is_alternate;
  target.flow = spec.flow != nullptr ? *spec.flow : Flow{};
  std::memcpy(context.texts->data + used, spec.uri.data(), spec.uri.size());
  if (!spec.path.empty()) {
    std::memcpy(context.texts->data + target.path_offset, spec.path.data(), spec.path.size());
  }
  context.texts->size = static_cast<uint32_t>(needed);
  // Kept by falling q; equals in the order they came.
  size_t at = context.target_count++;
  for (; at > 0 && context.targets[at - 1].q < spec.q; --at) {
    context.targets[at] = context.targets[at - 1];
  }
  context.targets[at] = target;
  return true;
}

void Proxy::SetSource(Context& context, ZoneId zone, const Place& place) {
  context.source_zone = zone;
  context.place = place;
}

void Proxy::SetUrgent(Context& context) { context.is_urgent = true; }

void Proxy::SetWay(Context& context, const RegistrationWay& way) { context.way = way; }

void Proxy::Discard(Context& context) {
  ServerTransaction& server = *context.server;
  Detach(context);
  transactions_.Abandon(server);
  Release(context);
}

Handle Proxy::HandleOf(const Context& context) { return context.server_handle; }

Buffer* Proxy::TakeBack(Handle handle) {
  ServerTransaction* server = transactions_.ResolveServer(handle);
  if (server == nullptr || server->context == nullptr) {
    return nullptr;
  }
  auto& context = *static_cast<Context*>(server->context);
  GH_ASSERT_EQ(context.target_count, 0u);
  Buffer* request = std::exchange(server->request, nullptr);
  Discard(context);
  return request;
}

uint32_t Proxy::TargetCountOf(const Context& context) { return context.target_count; }

Flow Proxy::SourceOf(const ServerTransaction& server) const {
  Flow source = server.flow;
  source.remote = server.source;
  return source;
}

bool Proxy::Parse(ServerTransaction& server, Request& out) const {
  GH_ASSERT(server.request != nullptr);
  const bool good = out.message.Index(server.request->bytes()).ok() &&
                    out.message.Check(true).verdict == Verdict::kGood &&
                    PlanRoutes(core_, out.message, out.plan);
  GH_ASSERT(good);  // it was when it arrived
  return good;
}

void Proxy::Start(Context& context, const Message& request, const RoutePlan& plan) {
  if (request.method() == Method::kInvite) {
    ByteWriter out(core_.scratch);
    const OverloadReport report = ReportOf(core_);
    WriteResponse(out, request, SourceOf(*context.server),
                  {.status = 100, .reason = {}, .to_tag = 0, .extra = {}, .overload = &report});
    if (out.ok()) {
      transactions_.Respond(*context.server, 100, out.written());
    }
  }
  StartGroup(context, request, plan);
  Advance(context);
}

// Starts the targets that share the highest q left, as many in parallel as Max-Breadth allows.
void Proxy::StartGroup(Context& context, const Message& request, const RoutePlan& plan) {
  const uint8_t first = context.target_next;
  GH_ASSERT_LT(first, context.target_count);
  const uint16_t q = context.targets[first].q;
  uint8_t end = first;
  while (end < context.target_count && context.targets[end].q == q &&
         end - first < static_cast<int>(std::max(context.breadth, 1u))) {
    ++end;
  }
  GH_ASSERT_GT(end, first);
  const uint32_t share = context.breadth / static_cast<uint32_t>(end - first);
  context.target_next = end;
  context.is_starting = true;
  for (uint8_t i = first; i < end; ++i) {
    if (context.targets[i].is_alternate) {
      continue;  // only where the first flow to the same instance fails
    }
    Branch& branch = context.branches[i];
    branch.context = &context;
    branch.target = i;
    branch.breadth = share;
    branch.pending = true;
    ++context.pending;
    StartBranch(context, branch, request, plan);
  }
  context.is_starting = false;
}

bool Proxy::NextUri(const Context& context, const Branch& branch, const RoutePlan& plan,
                    Uri& out) const {
  const Target& target = context.targets[branch.target];
  if (plan.has_next) {
    out = plan.next.uri;
    return true;
  }
  if (target.path_size != 0) {
    Scanner scanner(context.PathOf(target));
    const auto first = ParseNameAddr(scanner);
    out = first.ok() ? first->uri : Uri{};
    return first.ok();
  }
  const auto uri = ParseUri(context.UriOf(target));
  out = uri.ok() ? *uri : Uri{};
  return uri.ok();
}

void Proxy::StartBranch(Context& context, Branch& branch, const Message& request,
                        const RoutePlan& plan) {
  const Target& target = context.targets[branch.target];
  if (!Admit(context, branch, request)) {
    KeepIfBest(context, 488, nullptr);
    EndBranch(branch);
    return;
  }
  if (target.zone != 0) {
    KeepToPeer(branch);
    if (!TryNextPeer(branch, request, plan) && !TryNextFlow(branch, request, plan)) {
      KeepIfBest(context, context.was_throttled ? 503 : 480, nullptr);
      EndBranch(branch);
    }
    return;
  }
  const bool direct =
      target.has_flow && target.path_size == 0 && (!plan.has_next || target.flow_decides);
  if (direct && transport_.IsAlive(target.flow)) {
    branch.hop = {target.flow.transport, target.flow.remote};
    if (Launch(branch, target.flow, request, plan)) {
      return;
    }
    KeepIfBest(context, 503, nullptr);
    EndBranch(branch);
    return;
  }
  if (direct && (target.flow_only || target.flow.is_websocket())) {  // nobody can connect to it
    if (!TryNextFlow(branch, request, plan)) {
      KeepIfBest(context, 480, nullptr);
      EndBranch(branch);
    }
    return;
  }
  Uri uri;
  Hop hop;
  if (!NextUri(context, branch, plan, uri) || !uri.is_sip()) {
    KeepIfBest(context, 416, nullptr);
    EndBranch(branch);
    return;
  }
  if (Locator::Direct(uri, hop)) {
    if (!ToHop(branch, hop, uri.host, request, plan)) {
      KeepIfBest(context, 503, nullptr);
      EndBranch(branch);
    }
    return;
  }
  branch.location = locator_.Allocate();
  if (branch.location != nullptr) {
    branch.location->context = &branch;
    branch.location->done = [](Location& location) {
      auto& self = *static_cast<Branch*>(location.context);
      self.context->proxy->OnLocated(self);
    };
    if (locator_.Start(*branch.location, uri).ok()) {
      return;
    }
  }
  KeepIfBest(context, 503, nullptr);
  EndBranch(branch);
}

void Proxy::OnLocated(Branch& branch) {
  Context& context = *branch.context;
  if (context.is_cancelled || context.final_sent) {
    KeepIfBest(context, 487, nullptr);
    EndBranch(branch);
  } else if (!TryNextHop(branch)) {
    KeepIfBest(context, branch.location->hop_count == 0 ? 404 : 503, nullptr);
    EndBranch(branch);
  }
  Advance(context);
}

// A Path through one peer of a zone is nothing to the others.
void Proxy::KeepToPeer(Branch& branch) {
  const Target& target = branch.context->targets[branch.target];
  branch.peers_tried =
      target.peer_only ? static_cast<uint8_t>(~(1u << target.peer_first)) : uint8_t{0};
}

// The next peer of the zone that takes the request.
bool Proxy::TryNextPeer(Branch& branch, const Message& request, const RoutePlan& plan) {
  Context& context = *branch.context;
  const Target& target = context.targets[branch.target];
  const Zones::PeerWish wish = {target.peer_first, context.is_urgent};
  Zones::PeerRef peer;
  while (zones_->NextPeer(target.zone, branch.peers_tried, peer, wish)) {
    branch.hop = {peer.flow.transport, peer.flow.remote};
    branch.calls = peer.calls;
    branch.peer = peer.index;
    if (Launch(branch, peer.flow, request, plan)) {
      // Those at the other end of a traversal zone are our like: they say 100 at once.
      const bool is_called =
          request.method() == Method::kInvite && zones_->IsTraversal(target.zone);
      if ((peer.has_other || HasNextFlow(branch)) &&
          (is_called || request.method() == Method::kRegister)) {
        transactions_.Hurry(*branch.client);
      }
      return true;
    }
  }
  context.was_throttled = context.was_throttled || peer.was_throttled;
  return false;
}

bool Proxy::HasNextFlow(const Branch& branch) {
  const Context& context = *branch.context;
  const uint8_t instance = context.targets[branch.target].instance;
  for (uint8_t i = 0; instance != 0 && i < context.target_count; ++i) {
    const Target& target = context.targets[i];
    if (target.instance == instance && target.is_alternate && !target.is_tried) {
      return true;
    }
  }
  return false;
}

// RFC 5626 5.3: another flow to the same user agent, when one has failed.
bool Proxy::TryNextFlow(Branch& branch, const Message& request, const RoutePlan& plan) {
  Context& context = *branch.context;
  const uint8_t instance = context.targets[branch.target].instance;
  for (uint8_t i = 0; instance != 0 && i < context.target_count; ++i) {
    Target& target = context.targets[i];
    if (target.instance != instance || !target.is_alternate || target.is_tried) {
      continue;
    }
    target.is_tried = true;
    if (target.zone != 0) {
      branch.target = i;
      KeepToPeer(branch);
      if (TryNextPeer(branch, request, plan)) {
        return true;
      }
    } else if (transport_.IsAlive(target.flow)) {
      branch.target = i;
      branch.hop = {target.flow.transport, target.flow.remote};
      if (Launch(branch, target.flow, request, plan)) {
        return true;
      }
    }
  }
  return false;
}

// The next address that takes the request; false when there is none left.
bool Proxy::TryNextHop(Branch& branch) {
  const Target& target = branch.context->targets[branch.target];
  if (target.zone != 0 || target.flow_only) {
    Request request;
    Parse(*branch.context->server, request);
    return (target.zone != 0 && TryNextPeer(branch, request.message, request.plan)) ||
           TryNextFlow(branch, request.message, request.plan);
  }
  Location* location = branch.location;
  if (location == nullptr || location->hop_next >= location->hop_count) {
    return false;
  }
  Request request;
  Context& context = *branch.context;
  Parse(*context.server, request);
  const bool may_wait = !context.is_urgent && request.message.to_tag().empty();
  while (location->hop_next < location->hop_count) {
    const Hop& hop = location->hops[location->hop_next++];
    if (may_wait && !busy_hops_.Admits(hop.remote)) {
      context.was_throttled = true;
    } else if (ToHop(branch, hop, location->domain.view(), request.message, request.plan)) {
      return true;
    }
  }
  return false;
}

bool Proxy::ToHop(Branch& branch, const Hop& hop, std::string_view name, const Message& request,
                  const RoutePlan& plan) {
  branch.hop = hop;
  const auto flow = transport_.FlowTo(hop.transport, hop.remote, name);
  return flow.ok() && Launch(branch, *flow, request, plan);
}

bool Proxy::Launch(Branch& branch, const Flow& flow, const Message& request,
                   const RoutePlan& plan) {
  const Target& target = branch.context->targets[branch.target];
  // A phone behind NAT is reached by the flow it registered on and no other.
  const bool may_switch = !flow.is_reliable() && !target.has_flow && !branch.switched_to_tcp;
  const Result<void> sent = Send(branch, flow, request, plan, may_switch);
  if (sent.ok() || sent.code() != ErrorCode::kTooLarge || !may_switch) {
    return sent.ok();
  }
  // RFC 3261 18.1.1: too large for one UDP packet. TCP, and UDP after all when that fails.
  branch.switched_to_tcp = true;
  const auto stream = transport_.FlowTo(TransportKind::kTcp, flow.remote);
  if (stream.ok() && Send(branch, *stream, request, plan, false).ok()) {
    return true;
  }
  return Send(branch, flow, request, plan, false).ok();
}

namespace {

// Reached by the flow it registered on, which is not where its Contact says it is.
bool IsBehindNat(std::string_view contact, const Flow& flow) {
  const auto uri = ParseUri(contact);
  return uri.ok() && uri->is_sip() && IsElsewhere(uri->host, flow.remote.address);
}

}  // namespace

// What our Record-Route says: who is on either side, and how that one is reached. A traversal zone
// has its stream for both directions; others are asked in our Via to come by the same one.
void Proxy::SetDialog(ForwardSpec& spec, const Branch& branch, const Message& request,
                      const RoutePlan& plan) const {
  const Context& context = *branch.context;
  const Target& target = context.targets[branch.target];
  const Flow& flow = spec.target;
  const Method method = request.method();
  const bool makes_dialog = method == Method::kInvite || method == Method::kSubscribe ||
                            method == Method::kRefer || method == Method::kOther;
  spec.record_route = core_.config.record_route && makes_dialog && request.to_tag().empty();
  spec.token.caller_tag = CallerTagHash(core_, request.from_tag());
  const bool from_traversal = zones_ != nullptr && zones_->IsTraversal(context.source_zone);
  const bool to_traversal = target.zone != 0 && zones_->IsTraversal(target.zone);
  spec.asks_for_alias = !to_traversal && transport_.MayAskForAlias(flow);
  spec.token.caller = {request.via_count() == 1 || from_traversal, spec.source.transport,
                       spec.source.remote, from_traversal ? context.source_zone : ZoneId{0}};
  spec.token.callee = {(target.has_flow && target.path_size == 0 && !plan.has_next) || to_traversal,
                       flow.transport, flow.remote, to_traversal ? target.zone : ZoneId{0}};
}

Result<void> Proxy::Send(Branch& branch, const Flow& flow, const Message& request,
                         const RoutePlan& plan, bool may_switch) {
  Context& context = *branch.context;
  const Target& target = context.targets[branch.target];
  ClientTransaction* client = transactions_.CreateClient(request.method(), context.loop);
  if (client == nullptr) {
    return Error(ErrorCode::kExhausted, "client transactions");
  }
  uint8_t branch_text[64];
  ByteWriter branch_writer(branch_text);
  transactions_.WriteBranch(branch_writer, *client);
  ForwardSpec spec;
  spec.uri = context.UriOf(target);
  spec.path = context.PathOf(target);
  spec.branch = branch_writer.text();
  spec.source = SourceOf(*context.server);
  spec.target = flow;
  client->source_media = context.place.media;
  client->target_media = target.place.media;
  client->limit_kbps = branch.limit_kbps != 0 ? branch.limit_kbps : LimitInDialog(request);
  const MediaVerdict media =
      ShowRequest(core_, request, {spec.source, client->source_media},
                  {flow, client->target_media, target.has_flow && IsBehindNat(spec.uri, flow)});
  if (media.kind == MediaVerdict::Kind::kRefused) {
    KeepIfBest(context, media.status, nullptr);
    transactions_.ReleaseClient(*client);
    return Error(ErrorCode::kRefused, "media");
  }
  std::string_view body = media.body;
  const bool is_limited = Limit(request, client->limit_kbps, media, body);
  spec.body = is_limited || media.kind == MediaVerdict::Kind::kReplaced ? &body : nullptr;
  const Method method = request.method();
  SessionEdit session;
  if (IsSessionRefresh(method)) {
    session = SessionEditOf(core_.config, request);
    spec.session = session.replaces ? &session : nullptr;
  }
  SetDialog(spec, branch, request, plan);
  uint8_t identity_bytes[kUserBytesMax + kDomainBytesMax + 8];
  ByteWriter identity(identity_bytes);
  SetProfile(spec, branch, request, *client, identity);
  // The registrar behind the zone reaches who registers through us, and by no other way; who comes
  // with it from there wants into the same zone (RFC 3608).
  const DialogSide path_to = {true, spec.source.transport, spec.source.remote, target.zone};
  if (method == Method::kRegister && target.zone != 0) {
    spec.path_to = &path_to;
  }
  spec.asks_for_load = target.zone != 0 || branch.location != nullptr;
  spec.hop_count_max =
      target.zone != 0 ? zones_->config(target.zone).plan.hop_count : kMaxForwardsMax;
  const bool forks = context.target_count > 1 || request.Has(HeaderId::kMaxBreadth);
  spec.breadth = forks ? branch.breadth : 0;
  ByteWriter out(core_.scratch);
  WriteForwardedRequest(out, core_, request, plan, spec);
  Result<void> result;
  if (!out.ok() || (may_switch && out.size() > kUdpSwitchBytes)) {
    result = Error(ErrorCode::kTooLarge, "message");
  } else {
    result = transactions_.Launch(*client, flow, out.written());
  }
  if (!result.ok()) {
    transactions_.ReleaseClient(*client);
    return result;
  }
  core_.Note(request, flow, true);
  client->branch = &branch;
  client->server = transactions_.HandleOf(*context.server);
  branch.client = client;
  return result;
}

// --- Responses -----------------------------------------------------------------------------------

void Proxy::Relay(ServerTransaction& server, const Message& response,
                  const ClientTransaction& client) {
  const MediaVerdict media = ShowResponse(core_, response, {client.flow, client.target_media},
                                          {SourceOf(server), client.source_media});
  std::string_view body = media.body;
  const bool is_limited = Limit(response, client.limit_kbps, media, body);
  uint8_t lines[96];
  ByteWriter extra(lines);
  const bool success = response.status() >= 200 && response.status() < 300;
  if (success && server.session_s != 0 && !response.Has(HeaderId::kSessionExpires)) {
    WriteAnswerLines(extra, server.session_s);
  }
  const bool is_replaced = is_limited || media.kind == MediaVerdict::Kind::kReplaced;
  ByteWriter out(core_.scratch);
  const bool keeps_identity =
      client.keeps_identity && (client.keeps_private || !WantsPrivacy(response));
  const ResponseEdit edit = {keeps_identity, client.hides_update};
  WriteForwardedResponse(out, response, is_replaced ? &body : nullptr, extra.text(), edit);
  if (!out.ok()) {  // only where the new description made it too large
    out = ByteWriter(core_.scratch);
    WriteForwardedResponse(out, response, nullptr, {}, edit);
  }
  GH_ASSERT(out.ok());  // a Via goes; at most a Content-Length comes
  transactions_.Respond(server, response.status(), out.written());
}

// The final response is out: the server transaction lives on by itself.
void Proxy::Detach(Context& context) {
  context.final_sent = true;
  if (context.server != nullptr) {
    context.server->context = nullptr;
    context.server = nullptr;
  }
}

void Proxy::OnResponse(ClientTransaction& client, const Message& response) {
  if (client.probe != nullptr) {
    if (response.status() >= 200) {
      Probe& probe = *std::exchange(client.probe, nullptr);
      probe.client = nullptr;
      probe.answered(probe, client.flow, response);
    }
    return;
  }
  auto* branch = static_cast<Branch*>(client.branch);
  if (response.via_count() < 2) {
    return;  // nobody upstream: not from one who saw our request
  }
  if (branch == nullptr) {
    // A 2xx again, after its context ended: to the caller, who has to send ACK again. Not once the
    // call is over: its media would begin anew.
    const bool is_over = calls_.Find(response) == nullptr && !calls_.is_full();
    ServerTransaction* server = transactions_.ResolveServer(client.server);
    if (server != nullptr && server->state == ServerState::kAccepted && !is_over) {
      Relay(*server, response, client);
    }
    return;
  }
  Context& context = *branch->context;
  if (const ZoneId zone = context.targets[branch->target].zone; zone != 0) {
    zones_->OnReport(zone, client.flow, response.via().params);
  } else if (branch->location != nullptr) {
    busy_hops_.OnReport(branch->hop.remote, response.via().params);
  }
  branch->answered = true;
  if (response.status() < 200) {
    OnProvisional(context, *branch, response);
    return;
  }
  OnFinal(context, *branch, response);
  Advance(context);
}

void Proxy::OnProvisional(Context& context, Branch& branch, const Message& response) {
  // RFC 4320: nothing provisional to non-INVITE but our own 100.
  const bool is_invite = context.method == Method::kInvite;
  if (is_invite && !context.final_sent && !branch.is_cancelled) {
    Relay(*context.server, response, *branch.client);
  }
}

void Proxy::OnFinal(Context& context, Branch& branch, const Message& response) {
  const uint16_t status = response.status();
  if (context.method == Method::kBye) {
    calls_.End(response);
    ShowEnd(core_, response);
  }
  if (status < 300) {
    // The first final response to anything; to INVITE also every other 2xx.
    ServerTransaction* server = transactions_.ResolveServer(context.server_handle);
    const bool open =
        !context.final_sent || (server != nullptr && server->state == ServerState::kAccepted);
    NoteAnswer(context, branch, response);
    if (context.way.key != 0) {
      context.way.zone = context.targets[branch.target].zone;
      context.way.peer = branch.peer;
      ways_.Learn(context.way);
    }
    if (open && server != nullptr) {
      Relay(*server, response, *branch.client);
    }
    Detach(context);
    EndBranch(branch);
    CancelBranches(context);
    return;
  }
  // RFC 3263 4.3: a 503 sends us to the next address; so does nothing else that was answered.
  const Target& target = context.targets[branch.target];
  const bool flow_failed = status == 430 && (target.flow_only || target.peer_only);
  if ((status == 503 || flow_failed) && !context.is_cancelled && !context.final_sent) {
    branch.client->branch = nullptr;
    branch.client = nullptr;
    branch.answered = false;
    if (TryNextHop(branch)) {
      return;
    }
  }
  KeepIfBest(context, status, &response);
  if (status >= 600) {
    context.target_next = context.target_count;
    EndBranch(branch);
    CancelBranches(context);
    return;
  }
  EndBranch(branch);
}

void Proxy::OnClientFailed(ClientTransaction& client, ClientFailure why) {
  if (client.probe != nullptr) {
    Probe& probe = *std::exchange(client.probe, nullptr);
    probe.client = nullptr;
    probe.failed(probe, why);
    return;
  }
  auto* branch = static_cast<Branch*>(client.branch);
  if (branch == nullptr) {
    return;
  }
  Context& context = *branch->context;
  client.branch = nullptr;
  branch->client = nullptr;
  const bool may_retry = !branch->answered && !context.is_cancelled && !context.final_sent;
  if (may_retry && branch->switched_to_tcp && branch->hop.transport == TransportKind::kUdp &&
      client.flow.is_reliable() && why == ClientFailure::kTransport) {
    Request request;
    Parse(*context.server, request);
    if (ToHop(*branch, branch->hop, {}, request.message, request.plan)) {
      return;
    }
  }
  const ZoneId zone = context.targets[branch->target].zone;
  if (zone != 0 && why == ClientFailure::kTimeout && !branch->answered) {
    zones_->Doubt(zone, client.flow);
  }
  if (may_retry && TryNextHop(*branch)) {
    return;
  }
  const uint16_t status = why == ClientFailure::kTimeout ? 408 : 503;
  KeepIfBest(context, context.is_cancelled ? uint16_t{487} : status, nullptr);
  EndBranch(*branch);
  Advance(context);
}

void Proxy::EndBranch(Branch& branch) {
  GH_ASSERT(branch.pending);
  branch.pending = false;
  --branch.context->pending;
  if (branch.client != nullptr) {
    branch.client->branch = nullptr;
    branch.client = nullptr;
  }
  if (branch.location != nullptr) {
    locator_.Release(*branch.location);
    branch.location = nullptr;
  }
  if (bandwidth_ != nullptr) {
    bandwidth_->Release(branch.hold);
  }
}

void Proxy::CancelBranches(Context& context) {
  for (uint8_t i = 0; i < context.target_next; ++i) {
    Branch& branch = context.branches[i];
    if (!branch.pending || branch.is_cancelled) {
      continue;
    }
    branch.is_cancelled = true;
    if (branch.client != nullptr) {
      transactions_.Cancel(*branch.client);
    } else {
      KeepIfBest(context, 487, nullptr);  // still searching for its address
      EndBranch(branch);
    }
  }
}

void Proxy::Cancel(ServerTransaction& server) {
  auto* context = static_cast<Context*>(server.context);
  if (context == nullptr || context->is_cancelled || server.method != Method::kInvite) {
    return;
  }
  context->is_cancelled = true;
  context->target_next = std::min(context->target_next, context->target_count);
  CancelBranches(*context);
  Advance(*context);
}

// --- The best response (16.7 6) ------------------------------------------------------------------

namespace {

// Smaller is better. 6xx beats all; then the lowest class; in 4xx those that help the caller.
uint32_t Rank(uint16_t status) {
  if (status >= 600) {
    return 0;
  }
  const uint32_t rank = status / 100u * 10;
  switch (status) {
    case 401:
    case 407:
      return rank;
    case 415:
    case 420:
    case 484:
      return rank + 1;
    case 408:
      return rank + 5;
    case 503:
      return rank + 6;
    default:
      return rank + 3;
  }
}

}  // namespace

void Proxy::KeepIfBest(Context& context, uint16_t status, const Message* response) {
  if (status == 430) {  // between proxies: to the caller it is a phone that is not there
    status = 480;
    response = nullptr;
  }
  const bool challenge = status == 401 || status == 407;
  const bool best_challenge = context.best_status == 401 || context.best_status == 407;
  if (context.final_sent) {
    return;
  }
  if (challenge && best_challenge && response != nullptr) {
    AddChallenges(context, *response);  // 16.7 7
    return;
  }
  if (context.best_status != 0 && Rank(context.best_status) <= Rank(status)) {
    return;
  }
  core_.buffers.Release(context.best);
  context.best = nullptr;
  context.best_status = status;
  if (response != nullptr && status != 503) {
    ByteWriter out(core_.scratch);
    WriteForwardedResponse(out, *response);
    context.best = out.ok() ? core_.buffers.Copy(out.written()) : nullptr;
  }
}

void Proxy::AddChallenges(Context& context, const Message& response) {
  Message best;
  if (context.best == nullptr || !best.Index(context.best->bytes()).ok()) {
    return;
  }
  ByteWriter out(core_.scratch);
  out.Text(best.View(0, best.header_end()));
  for (const HeaderId id : {HeaderId::kWwwAuthenticate, HeaderId::kProxyAuthenticate}) {
    for (const HeaderField* f = response.First(id); f != nullptr; f = response.NextSame(*f)) {
      out.Text(response.Line(*f));
    }
  }
  out.Text(best.View(best.header_end(), context.best->size - best.header_end()));
  Buffer* joined = out.ok() ? core_.buffers.Copy(out.written()) : nullptr;
  if (joined != nullptr) {
    core_.buffers.Release(context.best);
    context.best = joined;
  }
}

// Goes on when no branch is pending: next targets, or the best response and the end.
void Proxy::Advance(Context& context) {
  if (context.is_starting) {
    return;
  }
  while (context.pending == 0 && !context.final_sent && !context.is_cancelled &&
         context.target_next < context.target_count) {
    Request request;
    Parse(*context.server, request);
    StartGroup(context, request.message, request.plan);
  }
  if (context.pending != 0) {
    return;
  }
  if (!context.final_sent) {
    SendBest(context);
  }
  Release(context);
}

void Proxy::SendBest(Context& context) {
  ServerTransaction& server = *context.server;
  const uint16_t none = context.is_cancelled ? 487 : 480;
  const uint16_t status = context.best_status == 0 ? none : context.best_status;
  if (context.method == Method::kBye && context.best == nullptr) {
    NoteByeFailed(context);
  }
  if (context.is_initial_invite) {
    Request request;
    Parse(server, request);
    NoteFailure(request.message, context, status);
  }
  if (core_.anchor != nullptr) {
    Request request;
    Parse(server, request);
    ShowFailure(core_, request.message);
  }
  const bool silent = status == 408 && context.method != Method::kInvite && context.best == nullptr;
  if (context.best != nullptr) {
    transactions_.Respond(server, status, context.best->bytes());
  } else if (!silent) {
    // 16.7 6: a 503 goes on only where it is ours to say, to all that would go this way.
    SendLocal(context, status == 503 && !context.was_throttled ? uint16_t{500} : status);
  }
  Detach(context);
  if (silent) {
    transactions_.Abandon(server);  // RFC 4320 4.2: the client knows by itself
  }
}

void Proxy::SendLocal(Context& context, uint16_t status) {
  Request request;
  Parse(*context.server, request);
  ByteWriter out(core_.scratch);
  ResponseSpec spec;
  spec.status = status;
  spec.to_tag = core_.Hash(kHashToTag).Add(context.loop).Add(request.message.call_id()).Value() | 1;
  uint8_t lines[128];
  ByteWriter extra(lines);
  if (status == 488 && context.lacks_bandwidth) {
    extra.Text("Warning: 370 ");
    WriteHostPort(extra, core_.config.listeners[context.server->flow.listener].advertise);
    extra.Text(" \"Insufficient bandwidth\"\r\n");
  }
  spec.extra = extra.text();
  WriteResponse(out, request.message, SourceOf(*context.server), spec);
  GH_ASSERT(out.ok());  // smaller than the request was
  transactions_.Respond(*context.server, status, out.written());
}

void Proxy::Release(Context& context) {
  GH_ASSERT(context.server == nullptr);
  core_.buffers.Release(context.texts);
  core_.buffers.Release(context.best);
  contexts_.Release(&context);
}

// --- Dialogs -------------------------------------------------------------------------------------

bool Proxy::FlowOfPeer(const DialogToken& token, const Message& request, const RoutePlan& plan,
                       Flow& out) {
  const bool from_caller = CallerTagHash(core_, request.from_tag()) == token.caller_tag;
  const DialogSide& side = from_caller ? token.callee : token.caller;
  if (side.zone != 0) {
    return zones_ != nullptr && zones_->FlowInto(side.zone, side.remote, out);
  }
  if (plan.has_next) {
    return false;
  }
  // A stream that is gone cannot be opened again from here: its Contact may say where.
  if (!side.adjacent || !transport_.IsReachable(side.transport, side.remote)) {
    return false;
  }
  const auto flow = transport_.FlowTo(side.transport, side.remote);
  if (!flow.ok()) {
    return false;
  }
  out = *flow;
  return true;
}

void Proxy::ForwardAck(const Message& ack, const Flow& flow, const RoutePlan& plan,
                       std::string_view uri, const Flow* target) {
  uint8_t branch[64];
  ByteWriter branch_writer(branch);
  branch_writer.Text("z9hG4bKa");
  branch_writer.Hex(core_.Hash(kHashBranch).Add(ack.via().branch).Add(ack.call_id()).Value(), 16);
  ForwardSpec spec;
  spec.uri = uri;
  spec.branch = branch_writer.text();
  spec.source = flow;
  const auto write_and_send = [&](const Flow& to) {
    spec.target = to;
    const MediaVerdict media = ShowRequest(core_, ack, {flow}, {to});
    std::string_view body = media.body;
    const bool is_limited = Limit(ack, ack.body().empty() ? 0 : LimitInDialog(ack), media, body);
    spec.body = is_limited || media.kind == MediaVerdict::Kind::kReplaced ? &body : nullptr;
    ByteWriter out(core_.scratch);
    WriteForwardedRequest(out, core_, ack, plan, spec);
    if (out.ok()) {
      core_.Note(ack, to, true);
      transport_.Send(to, out.written()).ignore("the callee repeats its 2xx");
    }
  };
  if (target != nullptr) {
    write_and_send(*target);
    return;
  }
  Hop hop;
  const Uri next = plan.has_next ? plan.next.uri : plan.uri;
  if (!next.is_sip()) {
    return;
  }
  if (Locator::Direct(next, hop)) {
    if (const auto to = transport_.FlowTo(hop.transport, hop.remote, next.host); to.ok()) {
      write_and_send(*to);
    }
    return;
  }
  // The name has to be looked up; the ACK waits as it came.
  Location* location = locator_.Allocate();
  if (location == nullptr) {
    return;
  }
  location->held = core_.buffers.Copy(ack.bytes());
  location->source = flow.remote;
  location->context = this;
  location->done = &Proxy::OnAckLocated;
  if (location->held == nullptr || !locator_.Start(*location, next).ok()) {
    locator_.Release(*location);
  }
}

void Proxy::OnAckLocated(Location& location) {
  auto& self = *static_cast<Proxy*>(location.context);
  Request request;
  const bool good = request.message.Index(location.held->bytes()).ok() &&
                    request.message.Check(true).verdict == Verdict::kGood &&
                    PlanRoutes(self.core_, request.message, request.plan);
  if (good && location.hop_count != 0) {
    const Hop& hop = location.hops[0];
    const auto to = self.transport_.FlowTo(hop.transport, hop.remote, location.domain.view());
    if (to.ok()) {
      Flow source;
      source.remote = location.source;
      self.ForwardAck(request.message, source, request.plan, request.plan.uri.text, &*to);
    }
  }
  self.locator_.Release(location);
}

}  // namespace gh::sip
