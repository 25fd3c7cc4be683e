// From the first byte to a bound resource: headers and features, STARTTLS, binding. How a client
// proves who it is: authentication.cc.
#include "firmware/xmpp/engine.h"

namespace gh::xmpp {
// --- Headers -------------------------------------------------------------------------------------

void Engine::OnHeader(Session& session, const Node& header) {
  const bool is_first = session.state == SessionState::kConnected;
  const bool is_again = session.state == SessionState::kProven;
  if (!is_first && !is_again) {
    StreamError(session, "not-well-formed", "a stream inside a stream");
    return;
  }
  if (session.framing == Framing::kStream && !header.Is("stream", ns::kStreams)) {
    StreamError(session, "invalid-namespace", "a header that is not a stream's");
    return;
  }
  FixedString<kDomainMax> domain;
  const bool named = PrepareDomain(header.Get("to"), domain).ok();
  uint32_t at = 0;
  while (at < config_.domain_count && !(config_.domains[at] == domain.view())) {
    ++at;
  }
  if (!named || at == config_.domain_count) {
    StreamError(session, named ? "host-unknown" : "improper-addressing", "a domain not served");
    return;
  }
  const std::string_view version = header.Get("version");
  if (version.empty() || version[0] != '1') {
    StreamError(session, "unsupported-version", "a stream from before RFC 3920");
    return;
  }
  session.domain = static_cast<uint8_t>(at);
  const auto from = Address::Parse(header.Get("from"));
  session.said_from = from.ok() && !from->local().empty() ? directory_->HashOf(from->bare()) : 0;
  WriteHeader(session, header);
  session.state = is_first ? SessionState::kNegotiated : SessionState::kBinding;
  WriteFeatures(session);
}

void Engine::WriteHeader(Session& session, const Node& header) {
  uint8_t bytes[kAddressMax * 6 + 512];
  ByteWriter out(bytes);
  const auto from = Address::Parse(header.Get("from"));
  WriteOpen(session, from.ok() && session.secure ? from->full() : std::string_view(), out);
  Write(session, out.written());
}

void Engine::WriteFeatures(Session& session) {
  uint8_t bytes[4096];
  ByteWriter out(bytes);
  out.Text("<stream:features>");
  if (!session.secure) {
    out.Text("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>");
  } else if (session.state == SessionState::kNegotiated) {
    WriteMechanisms(session, out);
  } else {
    out.Text(session.state == SessionState::kBound
                 ? ""
                 : "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
                   "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>");
    out.Text(
        "<sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/>"
        "<ver xmlns='urn:xmpp:features:rosterver'/>");
  }
  // XEP-0478.
  out.Text("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>");
  out.Decimal(StanzaMax(session));
  out.Text("</max-bytes></limits></stream:features>");
  GH_ASSERT(out.ok());
  Write(session, out.written());
}

void Engine::OnNegotiation(Session& session, Node& stanza) {
  if (session.state == SessionState::kBinding) {
    OnBinding(session, stanza);
  } else if (!session.secure) {
    if (stanza.Is("starttls", ns::kTls)) {
      OnStartTls(session);
    } else {
      StreamError(session, "policy-violation", "it did not begin with STARTTLS");
    }
  } else if (stanza.Is("auth", ns::kSasl)) {
    OnAuth(session, stanza);
  } else if (stanza.Is("authenticate", ns::kSasl2)) {
    OnAuthenticate(session, stanza);
  } else if (stanza.Is("response", session.sasl2 ? ns::kSasl2 : ns::kSasl)) {
    OnResponse(session, stanza);
  } else if (stanza.Is("abort", session.sasl2 ? ns::kSasl2 : ns::kSasl)) {
    RefuseAuth(session, "aborted", "the client gave up");
  } else {
    StreamError(session, "not-authorized", "stanzas before authentication");
  }
}

// What came behind <starttls/> was plain, and might be anybody's: it is forgotten (CVE-2011-0411).
void Engine::OnStartTls(Session& session) {
  Write(session, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  if (session.doomed) {
    return;
  }
  ReturnReader(session);
  session.state = SessionState::kSecuring;
  if (auto started = host_.StartTls(session.stream); !started.ok()) {
    host_.Abort(session.stream);
    Doom(session, started.error().what);
  }
}

// --- Binding -------------------------------------------------------------------------------------

void Engine::OnBinding(Session& session, Node& stanza) {
  if (stanza.Is("resume", ns::kManagement)) {
    OnResumeRequest(session, stanza);
    return;
  }
  const Node* query = stanza.FirstElement();
  if (!stanza.Is("iq", ns::kClient) || stanza.Get("type") != "set" || query == nullptr ||
      !query->Is("bind", ns::kBind)) {
    if (stanza.Is("enable", ns::kManagement)) {
      Write(session,
            "<failed xmlns='urn:xmpp:sm:3'><unexpected-request "
            "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
      return;
    }
    StreamError(session, "not-authorized", "stanzas before a resource is bound");
    return;
  }
  const Node* resource = query->Child("resource", ns::kBind);
  Bind(session, stanza, resource != nullptr ? resource->Text() : std::string_view());
}

Session* Engine::FindSession(Account& account, std::string_view resource) {
  for (Session* at = account.sessions; at != nullptr; at = at->next_of_account) {
    if (at->resource == resource && !at->doomed) {
      return at;
    }
  }
  return nullptr;
}

// False: the user has as many sessions as he may.
bool Engine::MayBind(const Session& session, std::string_view resource) {
  Account& account = *session.account;
  const uint32_t others =
      account.session_count - (FindSession(account, resource) != nullptr ? 1u : 0u);
  return others < config_.sessions_per_user;
}

// A resource that is in use already goes to who comes last (RFC 6120 section 7.7.2.2).
void Engine::TakeResource(Session& session) {
  if (Session* other = FindSession(*session.account, session.resource.view())) {
    other->resumable = false;
    StreamError(*other, "conflict", "another session took its resource");
  }
  session.state = SessionState::kBound;
  ++bound_count_;
  LinkToAccount(session);
  timers_.Cancel(session.timer);
}

void Engine::Bind(Session& session, const Node& query, std::string_view wanted) {
  if (config_.draining) {  // sessions that broke were resumed before
    observer_.OnRefused(session.remote, session.account->name.view(), "maintenance");
    StreamError(session, "system-shutdown", "maintenance");
    return;
  }
  FixedString<kResourceMax> resource;
  if (!wanted.empty() && wanted.size() <= kResourceMax && !PrepareResource(wanted, resource).ok()) {
    AnswerError(session, query, "modify", "bad-request");
    return;
  }
  if (!MayBind(session, resource.view())) {
    AnswerError(session, query, "wait", "resource-constraint");
    return;
  }
  if (resource.empty()) {
    uint8_t bytes[32];
    ByteWriter name(bytes);
    name.Hex(random_.U64(), 16);
    resource.Assign(name.text());
  }
  session.resource = resource;
  TakeResource(session);
  uint8_t full[kAddressMax];
  uint8_t bytes[kAddressMax * 6 + 128];
  ByteWriter out(bytes);
  out.Text("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>");
  WriteEscaped(FullOf(session, full), out);
  out.Text("</jid></bind>");
  SendResult(session, query, out.text());
}

}  // namespace gh::xmpp
