#include "firmware/sip/proxy.h"

#include <algorithm>

namespace gh::sip {

struct Proxy::Branch {
  Context* context = nullptr;
  ClientTransaction* client = nullptr;
  Location* location = nullptr;  // while searching, and its hops afterwards
  Hop hop;                       // where it went last
  uint32_t breadth = 0;
  uint8_t target = 0;
  bool pending = false;
  bool answered = false;  // any response came: no other address is tried
  bool is_cancelled = false;
  bool switched_to_tcp = false;  // because of its size; UDP is tried when that fails
};

struct Proxy::Context {
  Proxy* proxy = nullptr;
  ServerTransaction* server = nullptr;  // until a final response was sent
  Handle server_handle;
  net::Endpoint source;
  Method method = Method::kOther;
  Buffer* texts = nullptr;
  Buffer* best = nullptr;  // ready to be sent up; null: made locally from best_status
  uint64_t loop = 0;
  uint32_t breadth = 0;
  uint16_t best_status = 0;
  uint8_t target_count = 0;
  uint8_t target_next = 0;
  uint8_t pending = 0;
  bool final_sent = false;
  bool is_cancelled = false;
  bool is_initial_invite = false;
  bool is_starting = false;  // branches are being started: Advance waits
  std::array<Target, kTargetMax> targets;
  std::array<Branch, kTargetMax> branches;

  std::string_view UriOf(const Target& target) const {
    return Text(target.uri_offset, target.uri_size);
  }
  std::string_view PathOf(const Target& target) const {
    return Text(target.path_offset, target.path_size);
  }
  std::string_view Text(size_t offset, size_t size) const {
    return {reinterpret_cast<const char*>(texts->data) + offset, size};
  }
};

uint64_t Proxy::bytes_per_context() { return Pool<Context>::bytes_per_item(); }

Proxy::Proxy(Core& core, Arena& arena, SipTransport& transport, net::Resolver& resolver,
             CallTable& calls)
    : core_(core),
      transport_(transport),
      calls_(calls),
      transactions_(core, arena, transport, *this),
      locator_(core, arena, resolver),
      contexts_(arena, core.capacity.proxies) {}

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
  server->context = context;
  return context;
}

bool Proxy::AddTarget(Context& context, std::string_view uri, std::string_view path, uint16_t q,
                      const Flow* flow) {
  const size_t used = context.texts == nullptr ? 0 : context.texts->size;
  const size_t needed = used + uri.size() + path.size();
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
  target.uri_size = static_cast<uint16_t>(uri.size());
  target.path_offset = static_cast<uint16_t>(used + uri.size());
  target.path_size = static_cast<uint16_t>(path.size());
  target.q = q;
  target.has_flow = flow != nullptr;
  target.flow = flow != nullptr ? *flow : Flow{};
  std::memcpy(context.texts->data + used, uri.data(), uri.size());
  if (!path.empty()) {
    std::memcpy(context.texts->data + target.path_offset, path.data(), path.size());
  }
  context.texts->size = static_cast<uint32_t>(needed);
  // Kept by falling q; equals in the order they came.
  size_t at = context.target_count++;
  for (; at > 0 && context.targets[at - 1].q < q; --at) {
    context.targets[at] = context.targets[at - 1];
  }
  context.targets[at] = target;
  return true;
}

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
    WriteResponse(out, request, SourceOf(*context.server),
                  {.status = 100, .reason = {}, .to_tag = 0, .extra = {}});
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
  const bool direct = target.has_flow && target.path_size == 0 && !plan.has_next;
  if (direct && transport_.IsAlive(target.flow)) {
    branch.hop = {target.flow.transport, target.flow.remote};
    if (Launch(branch, target.flow, request, plan)) {
      return;
    }
    KeepIfBest(context, 503, nullptr);
    EndBranch(branch);
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

// The next address that takes the request; false when there is none left.
bool Proxy::TryNextHop(Branch& branch) {
  Location* location = branch.location;
  if (location == nullptr || location->hop_next >= location->hop_count) {
    return false;
  }
  Request request;
  Parse(*branch.context->server, request);
  while (location->hop_next < location->hop_count) {
    if (ToHop(branch, location->hops[location->hop_next++], location->domain.view(),
              request.message, request.plan)) {
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
  const Method method = request.method();
  const bool makes_dialog = method == Method::kInvite || method == Method::kSubscribe ||
                            method == Method::kRefer || method == Method::kOther;
  spec.record_route = core_.config.record_route && makes_dialog && request.to_tag().empty();
  spec.token.caller_tag = CallerTagHash(core_, request.from_tag());
  spec.token.caller = {request.via_count() == 1, spec.source.transport, spec.source.remote};
  spec.token.callee = {target.has_flow && target.path_size == 0 && !plan.has_next, flow.transport,
                       flow.remote};
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
  client->branch = &branch;
  client->server = transactions_.HandleOf(*context.server);
  branch.client = client;
  return result;
}

// --- Responses -----------------------------------------------------------------------------------

void Proxy::Relay(ServerTransaction& server, const Message& response) {
  ByteWriter out(core_.scratch);
  WriteForwardedResponse(out, response);
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
  auto* branch = static_cast<Branch*>(client.branch);
  if (response.via_count() < 2) {
    return;  // nobody upstream: not from one who saw our request
  }
  if (branch == nullptr) {
    // A 2xx again, after its context ended: to the caller, who has to send ACK again.
    ServerTransaction* server = transactions_.ResolveServer(client.server);
    if (server != nullptr && server->state == ServerState::kAccepted) {
      Relay(*server, response);
    }
    return;
  }
  Context& context = *branch->context;
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
    Relay(*context.server, response);
  }
}

void Proxy::OnFinal(Context& context, Branch& branch, const Message& response) {
  const uint16_t status = response.status();
  if (context.method == Method::kBye) {
    calls_.End(response);
  }
  if (status < 300) {
    // The first final response to anything; to INVITE also every other 2xx.
    ServerTransaction* server = transactions_.ResolveServer(context.server_handle);
    const bool open =
        !context.final_sent || (server != nullptr && server->state == ServerState::kAccepted);
    if (open && server != nullptr) {
      Relay(*server, response);
    }
    if (context.is_initial_invite) {
      calls_.Start(response, context.source, branch.client->flow.remote);
    }
    Detach(context);
    EndBranch(branch);
    CancelBranches(context);
    return;
  }
  // RFC 3263 4.3: a 503 sends us to the next address; so does nothing else that was answered.
  if (status == 503 && !context.is_cancelled && !context.final_sent) {
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
  const bool silent = status == 408 && context.method != Method::kInvite && context.best == nullptr;
  if (context.best != nullptr) {
    transactions_.Respond(server, status, context.best->bytes());
  } else if (!silent) {
    SendLocal(context, status == 503 ? uint16_t{500} : status);
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
  WriteResponse(out, request.message, SourceOf(*context.server), spec);
  GH_ASSERT(out.ok());  // smaller than the request was
  transactions_.Respond(*context.server, status, out.written());
}

void Proxy::NoteFailure(const Message& request, const Context& context, uint16_t status) {
  if (status == 401 || status == 407) {
    return;
  }
  ++core_.statistics.calls_failed;
  CallEvent event;
  event.caller = request.from().uri_text;
  event.callee = request.to().uri_text;
  event.call_id = request.call_id();
  event.caller_address = context.source;
  core_.observer.OnCallFailed(event, status);
}

// The call is over for the one who hung up, whether the other answered or not.
void Proxy::NoteByeFailed(Context& context) {
  Request request;
  Parse(*context.server, request);
  calls_.End(request.message);
}

void Proxy::Release(Context& context) {
  GH_ASSERT(context.server == nullptr);
  core_.buffers.Release(context.texts);
  core_.buffers.Release(context.best);
  contexts_.Release(&context);
}

// --- Dialogs -------------------------------------------------------------------------------------

bool Proxy::FlowOfPeer(const DialogToken& token, const Message& request, Flow& out) {
  const bool from_caller = CallerTagHash(core_, request.from_tag()) == token.caller_tag;
  const DialogSide& side = from_caller ? token.callee : token.caller;
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
    ByteWriter out(core_.scratch);
    WriteForwardedRequest(out, core_, ack, plan, spec);
    if (out.ok()) {
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
