// From the first byte to a bound resource: headers and features, STARTTLS, SASL, binding.
#include <algorithm>

#include "firmware/xmpp/engine.h"
#include "hal/rt/base64.h"
#include "hal/rt/secret.h"

namespace gh::xmpp {
namespace {

struct Mechanism {
  std::string_view name;
  ScramHash hash;
  bool plus;
};
// As offered, best first.
constexpr Mechanism kMechanisms[] = {
    {"SCRAM-SHA-256-PLUS", ScramHash::kSha256, true},
    {"SCRAM-SHA-256", ScramHash::kSha256, false},
    {"SCRAM-SHA-1-PLUS", ScramHash::kSha1, true},
    {"SCRAM-SHA-1", ScramHash::kSha1, false},
};

}  // namespace

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
  uint8_t bytes[2048];
  ByteWriter out(bytes);
  out.Text("<stream:features>");
  if (!session.secure) {
    out.Text("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>");
  } else if (session.state == SessionState::kNegotiated) {
    std::array<uint8_t, 64> binding;
    const bool exporter = BindingOf(session, Binding::kExporter, binding) != 0;
    const bool end_point = BindingOf(session, Binding::kEndPoint, binding) != 0;
    out.Text("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
    for (const Mechanism& mechanism : kMechanisms) {
      if ((mechanism.hash == ScramHash::kSha1 && !config_.sha1) ||
          (mechanism.plus && !exporter && !end_point)) {
        continue;
      }
      out.Text("<mechanism>");
      out.Text(mechanism.name);
      out.Text("</mechanism>");
    }
    out.Text(config_.plain ? "<mechanism>PLAIN</mechanism>" : "");
    out.Text("</mechanisms>");
    if (exporter || end_point) {
      out.Text("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>");
      out.Text(exporter ? "<channel-binding type='tls-exporter'/>" : "");
      out.Text(end_point ? "<channel-binding type='tls-server-end-point'/>" : "");
      out.Text("</sasl-channel-binding>");
    }
  } else {
    out.Text(
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
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
  } else if (stanza.Is("response", ns::kSasl)) {
    OnResponse(session, stanza);
  } else if (stanza.Is("abort", ns::kSasl)) {
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

// --- SASL ----------------------------------------------------------------------------------------

void Engine::OnAuth(Session& session, const Node& stanza) {
  const std::string_view name = stanza.Get("mechanism");
  const bool is_plain = name == "PLAIN" && config_.plain;
  const auto mechanism = std::ranges::find(kMechanisms, name, &Mechanism::name);
  if (!is_plain && (mechanism == std::end(kMechanisms) ||
                    (mechanism->hash == ScramHash::kSha1 && !config_.sha1) ||
                    (mechanism->plus && !config_.channel_binding))) {
    RefuseAuth(session, "invalid-mechanism", "a mechanism that is not offered");
    return;
  }
  uint8_t bytes[1024];
  ByteWriter message(bytes);
  if (!ReadBase64(stanza.Text(), message)) {
    RefuseAuth(session, "incorrect-encoding", "not base64");
    return;
  }
  if (is_plain) {
    OnPlain(session, message.text());
  } else {
    OnClientFirst(session, message.text(), mechanism->hash, mechanism->plus);
  }
  SecureZero(bytes);
}

// RFC 4616: authzid NUL authcid NUL password. Whoever is unknown takes as long as somebody known.
void Engine::OnPlain(Session& session, std::string_view message) {
  const size_t first = message.find('\0');
  const size_t second = first == message.npos ? first : message.find('\0', first + 1);
  if (second == message.npos || message.find('\0', second + 1) != message.npos) {
    RefuseAuth(session, "malformed-request", "not a message of PLAIN");
    return;
  }
  const std::string_view authorisation = message.substr(0, first);
  const std::string_view password = message.substr(second + 1);
  FixedString<kLocalMax> local;
  const bool named = PrepareLocal(message.substr(first + 1, second - first - 1), local).ok();
  const Address user =
      Address::Of(named ? local.view() : "nobody", config_.domains[session.domain].view());
  Account* account = named ? directory_->Find(user.full()) : nullptr;
  const Verifier verifier =
      account != nullptr ? account->verifier : NoVerifier(secret_, user.full());
  if (!IsPasswordOf(verifier, password) || account == nullptr) {
    RefuseAuth(session, "not-authorized", "not the password, or nobody");
    return;
  }
  if (const auto wanted = Address::Parse(authorisation);
      !authorisation.empty() && (!wanted.ok() || wanted->full() != user.full())) {
    RefuseAuth(session, "invalid-authzid", "as somebody else");
    return;
  }
  session.account = account;
  Write(session, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
  OnAuthenticated(session, "PLAIN");
}

void Engine::OnClientFirst(Session& session, std::string_view message, ScramHash hash, bool plus) {
  if (session.login != nullptr) {
    logins_.Release(session.login);
  }
  session.login = logins_.Allocate();
  if (session.login == nullptr) {
    RefuseAuth(session, "temporary-auth-failure", "too many log in at a time");
    return;
  }
  ScramLogin& login = *session.login;
  std::array<uint8_t, 64> binding;
  const bool offered = BindingOf(session, Binding::kExporter, binding) != 0 ||
                       BindingOf(session, Binding::kEndPoint, binding) != 0;
  if (auto taken = login.First(message, hash, plus, offered); !taken.ok()) {
    RefuseAuth(session,
               taken.code() == ErrorCode::kUnauthentic ? "not-authorized" : "malformed-request",
               taken.error().what);
    return;
  }
  const Address user = Address::Of(login.user(), config_.domains[session.domain].view());
  const Account* account = directory_->Find(user.full());
  const Verifier verifier =
      account != nullptr ? account->verifier : NoVerifier(secret_, user.full());
  uint8_t challenge_bytes[512];
  ByteWriter challenge(challenge_bytes);
  login.Challenge(verifier, random_, challenge);
  uint8_t bytes[1024];
  ByteWriter out(bytes);
  out.Text("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
  WriteBase64(challenge.written(), out);
  out.Text("</challenge>");
  Write(session, out.written());
}

void Engine::OnResponse(Session& session, const Node& stanza) {
  if (session.login == nullptr) {
    RefuseAuth(session, "malformed-request", "an answer to nothing");
    return;
  }
  ScramLogin& login = *session.login;
  std::array<uint8_t, 64> binding;
  size_t binding_size = 0;
  if (login.binding() != Binding::kNone) {
    binding_size = BindingOf(session, login.binding(), binding);
    if (binding_size == 0) {
      RefuseAuth(session, "not-authorized", "a channel binding that is not there");
      return;
    }
  }
  uint8_t bytes[1024];
  ByteWriter message(bytes);
  uint8_t final_bytes[64];
  ByteWriter final_message(final_bytes);
  if (!ReadBase64(stanza.Text(), message)) {
    RefuseAuth(session, "incorrect-encoding", "not base64");
    return;
  }
  const Address user = Address::Of(login.user(), config_.domains[session.domain].view());
  const auto done =
      login.Final(message.text(), std::span(binding).first(binding_size), final_message);
  if (!done.ok()) {
    RefuseAuth(session, "not-authorized", done.error().what);
    return;
  }
  if (!login.authorisation().empty()) {
    const auto wanted = Address::Parse(login.authorisation());
    if (!wanted.ok() || wanted->full() != user.full()) {
      RefuseAuth(session, "invalid-authzid", "as somebody else");
      return;
    }
  }
  session.account = directory_->Find(user.full());
  if (session.account == nullptr) {  // removed meanwhile
    RefuseAuth(session, "not-authorized", "no such user");
    return;
  }
  ByteWriter out(bytes);
  out.Text("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
  WriteBase64(final_message.written(), out);
  out.Text("</success>");
  const bool plus = login.binding() != Binding::kNone;
  Write(session, out.written());
  OnAuthenticated(session, plus ? "SCRAM with channel binding" : "SCRAM");
}

void Engine::RefuseAuth(Session& session, std::string_view condition, std::string_view reason) {
  ++counters_.login_failures;
  uint8_t bytes[256];
  ByteWriter out(bytes);
  out.Text("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><");
  out.Text(condition);
  out.Text("/></failure>");
  Write(session, out.written());
  observer_.OnRefused(session.remote, session.login != nullptr ? session.login->user() : "",
                      reason);
  if (session.login != nullptr) {
    logins_.Release(session.login);
    session.login = nullptr;
  }
  if (++session.failures >= kLoginFailureMax) {
    StreamError(session, "policy-violation", "too many failures to log in");
  }
}

void Engine::OnAuthenticated(Session& session, const char* mechanism) {
  ++counters_.logins;
  if (session.login != nullptr) {
    logins_.Release(session.login);
    session.login = nullptr;
  }
  observer_.OnLoggedIn(session.account->name.view(), session.remote, mechanism);
  ReturnReader(session);  // the stream begins anew
  session.unproven = false;
  session.state = SessionState::kProven;
  timers_.Arm(session.timer, Duration::Seconds(kUnprovenSeconds));
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

// A resource that is in use already goes to who comes last (RFC 6120 section 7.7.2.2).
void Engine::Bind(Session& session, const Node& query, std::string_view wanted) {
  Account& account = *session.account;
  if (account.session_count >= config_.sessions_per_user) {
    AnswerError(session, query, "wait", "resource-constraint");
    return;
  }
  if (!wanted.empty() && wanted.size() <= kResourceMax &&
      !PrepareResource(wanted, session.resource).ok()) {
    AnswerError(session, query, "modify", "bad-request");
    return;
  }
  if (session.resource.empty()) {
    uint8_t bytes[32];
    ByteWriter name(bytes);
    name.Hex(random_.U64(), 16);
    session.resource.Assign(name.text());
  }
  if (Session* other = FindSession(account, session.resource.view())) {
    other->resumable = false;
    StreamError(*other, "conflict", "another session took its resource");
  }
  session.state = SessionState::kBound;
  ++bound_count_;
  LinkToAccount(session);
  timers_.Cancel(session.timer);
  uint8_t full[kAddressMax];
  uint8_t bytes[kAddressMax * 6 + 128];
  ByteWriter out(bytes);
  out.Text("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>");
  WriteEscaped(FullOf(session, full), out);
  out.Text("</jid></bind>");
  SendResult(session, query, out.text());
}

}  // namespace gh::xmpp
