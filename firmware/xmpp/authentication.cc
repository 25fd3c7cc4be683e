// How clients prove who they are: SASL in its old profile (RFC 6120) and in the extensible one
// (XEP-0388). SCRAM, PLAIN, EXTERNAL by TLS certificate (XEP-0178), and tokens (XEP-0484).
//
// Whoever is unknown is answered like somebody known, and as late. What a client wants besides, in
// the extensible profile, is kept as Wishes until it has proved itself.
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

void WriteMechanism(std::string_view name, ByteWriter& out) {
  out.Text("<mechanism>");
  out.Text(name);
  out.Text("</mechanism>");
}

void WriteNames(std::span<const std::string_view> names, ByteWriter& out) {
  for (const std::string_view name : names) {
    WriteMechanism(name, out);
  }
}

// XEP-0474 5.1: sorted by octets, between RS; what neither XML nor a name can have.
void WriteSorted(std::span<std::string_view> names, ByteWriter& out) {
  std::ranges::sort(names);
  for (size_t i = 0; i < names.size(); ++i) {
    out.Text(i == 0 ? "" : "\x1e");
    out.Text(names[i]);
  }
}

std::string_view SpaceOf(const Session& session) { return session.sasl2 ? ns::kSasl2 : ns::kSasl; }

}  // namespace

// --- What is offered -----------------------------------------------------------------------------

Engine::LoginOffer Engine::OfferOf(Session& session) {
  LoginOffer offer;
  std::array<uint8_t, 64> binding;
  if (BindingOf(session, Binding::kExporter, binding) != 0) {
    offer.bindings.Add("tls-exporter");
  }
  if (BindingOf(session, Binding::kEndPoint, binding) != 0) {
    offer.bindings.Add("tls-server-end-point");
  }
  if (HasProvedUser(session)) {
    offer.mechanisms.Add("EXTERNAL");
  }
  for (const Mechanism& mechanism : kMechanisms) {
    if ((mechanism.hash == ScramHash::kSha256 || config_.sha1) &&
        (!mechanism.plus || offer.bindings.count != 0)) {
      offer.mechanisms.Add(mechanism.name);
    }
  }
  if (config_.plain) {
    offer.mechanisms.Add("PLAIN");
  }
  return offer;
}

void Engine::WriteMechanisms(Session& session, ByteWriter& out) {
  const LoginOffer offer = OfferOf(session);
  out.Text("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
  WriteNames(offer.mechanisms.view(), out);
  out.Text("</mechanisms>");
  if (offer.bindings.count != 0) {
    out.Text("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>");
    for (const std::string_view type : offer.bindings.view()) {
      out.Text("<channel-binding type='");
      out.Text(type);
      out.Text("'/>");
    }
    out.Text("</sasl-channel-binding>");
  }
  out.Text("<authentication xmlns='urn:xmpp:sasl:2'>");
  WriteNames(offer.mechanisms.view(), out);
  out.Text(
      "<inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/>"
      "<feature var='urn:xmpp:csi:0'/><feature var='urn:xmpp:sm:3'/></inline></bind>"
      "<sm xmlns='urn:xmpp:sm:3'/>");
  if (config_.tokens) {
    out.Text("<fast xmlns='urn:xmpp:fast:0'>");
    for (const HashedTokenMechanism& mechanism : kHashedTokenMechanisms) {
      if (MayBindChannel(session, mechanism.binding)) {
        WriteMechanism(mechanism.name, out);
      }
    }
    out.Text("</fast>");
  }
  out.Text("</inline></authentication>");
}

bool Engine::MayBindChannel(Session& session, Binding kind) {
  std::array<uint8_t, 64> binding;
  return kind == Binding::kNone || BindingOf(session, kind, binding) != 0;
}

// --- Attempts ------------------------------------------------------------------------------------

void Engine::DropAttempt(Session& session) {
  EndAttempt(session);
  if (session.login != nullptr) {
    logins_.Release(session.login);
    session.login = nullptr;
  }
  if (session.wishes != nullptr) {
    wishes_.Release(session.wishes);
    session.wishes = nullptr;
  }
}

void Engine::OnAuth(Session& session, const Node& stanza) {
  DropAttempt(session);
  session.sasl2 = false;
  const std::string_view text = stanza.Text();
  Attempt(session, stanza.Get("mechanism"), text == "=" ? std::string_view() : text);
}

void Engine::Attempt(Session& session, std::string_view name, std::string_view text) {
  const auto mechanism = std::ranges::find(kMechanisms, name, &Mechanism::name);
  const bool is_scram = mechanism != std::end(kMechanisms) &&
                        (mechanism->hash == ScramHash::kSha256 || config_.sha1) &&
                        (!mechanism->plus || config_.channel_binding);
  const HashedTokenMechanism* token =
      session.sasl2 && config_.tokens ? FindHashedToken(name) : nullptr;
  const bool is_plain = name == "PLAIN" && config_.plain;
  const bool is_external = name == "EXTERNAL" && HasProvedUser(session);
  if (!is_scram && !is_plain && !is_external && token == nullptr) {
    RefuseAuth(session, "invalid-mechanism", "a mechanism that is not offered");
    return;
  }
  uint8_t bytes[1024];
  ByteWriter message(bytes);
  if (!ReadBase64(text, message)) {
    RefuseAuth(session, "incorrect-encoding", "not base64");
    return;
  }
  if (is_scram) {
    OnClientFirst(session, message.text(), mechanism->hash, mechanism->plus);
  } else if (is_plain) {
    OnPlain(session, message.text());
  } else if (is_external) {
    OnExternal(session, message.text());
  } else {
    OnHashedToken(session, message.text(), token->binding);
  }
  SecureZero(bytes);
}

void Engine::RefuseAuth(Session& session, std::string_view condition, std::string_view reason) {
  ++counters_.login_failures;
  uint8_t bytes[256];
  ByteWriter out(bytes);
  out.Text("<failure");
  WriteAttribute("xmlns", SpaceOf(session), out);
  out.Text("><");
  out.Text(condition);
  out.Text(session.sasl2 ? " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
                         : "/></failure>");
  Write(session, out.written());
  observer_.OnRefused(session.remote, session.login != nullptr ? session.login->user() : "",
                      reason);
  DropAttempt(session);
  session.account = nullptr;
  if (++session.failures >= kLoginFailureMax) {
    StreamError(session, "policy-violation", "too many failures to log in");
  }
}

// What it showed was not right: its address has so many tries.
void Engine::RefuseGuess(Session& session, std::string_view reason, std::string_view condition) {
  observer_.OnGuess(session.remote);
  RefuseAuth(session, condition, reason);
}

// `data`: what the mechanism says with its success; empty: nothing.
void Engine::OnProven(Session& session, Account& account, const char* mechanism,
                      std::span<const uint8_t> data) {
  session.account = &account;
  if (session.sasl2) {
    OnProvenWithWishes(session, mechanism, data);
    return;
  }
  uint8_t bytes[256];
  ByteWriter out(bytes);
  out.Text("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
  WriteBase64(data, out);
  out.Text("</success>");
  Write(session, out.written());
  OnAuthenticated(session, mechanism);
  session.state = SessionState::kProven;
}

// From here on it is one of ours, with our readers and a time to get its resource.
void Engine::OnAuthenticated(Session& session, const char* mechanism) {
  ++counters_.logins;
  DropAttempt(session);
  observer_.OnLoggedIn(session.account->name.view(), session.remote, mechanism);
  ReturnReader(session);
  LeaveStrangers(session);
  session.unproven = false;
  timers_.Arm(session.timer, Duration::Seconds(kUnprovenSeconds));
}

// Null: what nobody has, but looks like it.
Verifier Engine::VerifierOf(const Account* account, const Address& user) const {
  return account != nullptr ? account->verifier
                            : NoVerifier(secret_, user.full(), directory_->iterations());
}

// --- SCRAM ---------------------------------------------------------------------------------------

void Engine::OnClientFirst(Session& session, std::string_view message, ScramHash hash, bool plus) {
  if (!BeginAttempt(session)) {
    RefuseAuth(session, "temporary-auth-failure", "too many log in at a time");
    return;
  }
  session.login = logins_.Allocate();
  GH_ASSERT(session.login != nullptr);
  ScramLogin& login = *session.login;
  LoginOffer offer = OfferOf(session);
  if (auto taken = login.First(message, hash, plus, offer.bindings.count != 0); !taken.ok()) {
    RefuseAuth(session,
               taken.code() == ErrorCode::kUnauthentic ? "not-authorized" : "malformed-request",
               taken.error().what);
    return;
  }
  const Address user = Address::Of(login.user(), config_.domains[session.domain].view());
  const Verifier verifier = VerifierOf(directory_->Find(user.full()), user);
  uint8_t offered_bytes[256];
  ByteWriter offered_text(offered_bytes);
  if (config_.downgrade_protection) {
    WriteSorted(offer.mechanisms.view(), offered_text);
    if (offer.bindings.count != 0) {
      offered_text.Text("\x1f");
      WriteSorted(offer.bindings.view(), offered_text);
    }
    GH_ASSERT(offered_text.ok());
  }
  uint8_t challenge_bytes[512];
  ByteWriter challenge(challenge_bytes);
  login.Challenge(verifier, offered_text.text(), random_, challenge);
  uint8_t bytes[1024];
  ByteWriter out(bytes);
  out.Text("<challenge");
  WriteAttribute("xmlns", SpaceOf(session), out);
  out.Char('>');
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
    if (done.code() == ErrorCode::kUnauthentic) {
      RefuseGuess(session, done.error().what);
    } else {
      RefuseAuth(session, "malformed-request", done.error().what);
    }
    return;
  }
  if (!IsAuthorisation(session, login.authorisation(), user)) {
    RefuseAuth(session, "invalid-authzid", "as somebody else");
    return;
  }
  Account* account = directory_->Find(user.full());
  if (account == nullptr) {  // removed meanwhile
    RefuseAuth(session, "not-authorized", "no such user");
    return;
  }
  const bool plus = login.binding() != Binding::kNone;
  OnProven(session, *account, plus ? "SCRAM with channel binding" : "SCRAM",
           final_message.written());
}

// Whether `user` may act as who he says, which is himself; XEP-0388: and as his header said.
bool Engine::IsAuthorisation(const Session& session, std::string_view said, const Address& user) {
  const auto wanted = Address::Parse(said);
  return (said.empty() || (wanted.ok() && wanted->full() == user.full())) &&
         (!session.sasl2 || session.said_from == 0 ||
          session.said_from == directory_->HashOf(user.full()));
}

// --- PLAIN ---------------------------------------------------------------------------------------

// RFC 4616: authzid NUL authcid NUL password. Whoever is unknown takes as long as somebody known.
void Engine::OnPlain(Session& session, std::string_view message) {
  const size_t first = message.find('\0');
  const size_t second = first == message.npos ? first : message.find('\0', first + 1);
  if (second == message.npos || message.find('\0', second + 1) != message.npos) {
    RefuseAuth(session, "malformed-request", "not a message of PLAIN");
    return;
  }
  const std::string_view password = message.substr(second + 1);
  FixedString<kLocalMax> local;
  const bool named = PrepareLocal(message.substr(first + 1, second - first - 1), local).ok();
  const Address user =
      Address::Of(named ? local.view() : "nobody", config_.domains[session.domain].view());
  Account* account = named ? directory_->Find(user.full()) : nullptr;
  const Verifier verifier = VerifierOf(account, user);
  if (!IsPasswordOf(verifier, password) || account == nullptr) {
    RefuseGuess(session, "not the password, or nobody");
  } else if (!IsAuthorisation(session, message.substr(0, first), user)) {
    RefuseAuth(session, "invalid-authzid", "as somebody else");
  } else {
    OnProven(session, *account, "PLAIN", {});
  }
}

// --- EXTERNAL ------------------------------------------------------------------------------------

// Users of the stream's domain that the client's certificate names; how many.
uint32_t Engine::ProvedUsers(Session& session, std::span<ProvedUser, kProvedUserMax> out) {
  if (!config_.external || session.framing != Framing::kStream || !session.secure) {
    return 0;
  }
  std::array<ProvedUser, kProvedUserMax> all;
  const uint32_t count = host_.ProvedUsers(session.stream, all);
  uint32_t own = 0;
  for (const ProvedUser& each : std::span(all).first(count)) {
    const auto address = Address::Parse(each.view());
    if (address.ok() && !address->local().empty() && !address->has_resource() &&
        config_.domains[session.domain] == address->domain()) {
      out[own++].Assign(address->full());
    }
  }
  return own;
}

bool Engine::HasProvedUser(Session& session) {
  std::array<ProvedUser, kProvedUserMax> users;
  return ProvedUsers(session, users) > 0;
}

// XEP-0178: as whom is said where the certificate names several, and may be said where it names
// one.
void Engine::OnExternal(Session& session, std::string_view said) {
  std::array<ProvedUser, kProvedUserMax> users;
  const uint32_t count = ProvedUsers(session, users);
  const auto wanted = Address::Parse(said.empty() ? users[0].view() : said);
  const auto named = std::span(users).first(count);
  const bool is_named = wanted.ok() && std::ranges::any_of(named, [&](const ProvedUser& each) {
                          return each == wanted->full();
                        });
  if ((said.empty() && count != 1) || !is_named ||
      !IsAuthorisation(session, wanted->full(), *wanted)) {
    RefuseGuess(session, "somebody whom its certificate does not name", "invalid-authzid");
    return;
  }
  Account* account = directory_->Find(wanted->full());
  if (account == nullptr) {
    RefuseAuth(session, "not-authorized", "its certificate names no user of ours");
    return;
  }
  OnProven(session, *account, "certificate", {});
}

// --- Tokens --------------------------------------------------------------------------------------

// authcid NUL hash
void Engine::OnHashedToken(Session& session, std::string_view message, Binding kind) {
  Wishes& wishes = *session.wishes;
  const size_t end = message.find('\0');
  FixedString<kLocalMax> local;
  if (!wishes.has_token || !wishes.has_client || end == message.npos ||
      !PrepareLocal(message.substr(0, end), local).ok()) {
    RefuseAuth(session, "malformed-request", "not a message of HT-SHA-256");
    return;
  }
  const Address user = Address::Of(local.view(), config_.domains[session.domain].view());
  Account* account = directory_->Find(user.full());
  std::array<uint8_t, 64> binding;
  const size_t binding_size = kind != Binding::kNone ? BindingOf(session, kind, binding) : 0;
  std::array<uint8_t, 32> answer = {};
  const bool has_binding = kind == Binding::kNone || binding_size != 0;
  auto checked =
      account != nullptr && has_binding
          ? tokens_.Check(*account, wishes.client, kind, AsBytes(message.substr(end + 1)),
                          std::span(binding).first(binding_size), host_.UnixSeconds(), answer)
          : Result<void>(Error{ErrorCode::kUnauthentic, "not a token of this client"});
  if (!checked.ok()) {
    if (checked.code() == ErrorCode::kTimeout) {
      RefuseAuth(session, "credentials-expired", checked.error().what);
    } else {
      RefuseGuess(session, checked.error().what);
    }
    return;
  }
  if (!IsAuthorisation(session, {}, user)) {
    RefuseAuth(session, "invalid-authzid", "as somebody else");
    return;
  }
  if (wishes.invalidates) {
    tokens_.Remove(*account, wishes.client);
  } else if (!wishes.wants_token) {  // each use gives another
    wishes.wants_token = true;
    wishes.token_binding = kind;
  }
  ++counters_.token_logins;
  OnProven(session, *account, "token", answer);
}

}  // namespace gh::xmpp
