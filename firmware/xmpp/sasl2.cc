// The extensible profile of SASL (XEP-0388): a log-in that says what it wants besides, and has it
// with its success: a resource and what is on in it (XEP-0386), or the session it lost (XEP-0198),
// and a token for the next time (XEP-0484). No data before the handshake's end is taken (0-RTT).
//
// The stream does not begin anew: what follows <success/> is read as a user's.
#include <charconv>

#include "crypto/mac.h"
#include "firmware/xmpp/archive_query.h"
#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/stamp.h"
#include "hal/rt/base64.h"
#include "hal/rt/secret.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kUnknownSession =
    "<failed xmlns='urn:xmpp:sm:3'><item-not-found "
    "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

bool IsTrue(std::string_view text) { return text == "true" || text == "1"; }

void ReadBind(const Node& bind, Wishes& out) {
  out.binds = true;
  const Node* tag = bind.Child("tag", ns::kBind2);
  if (tag != nullptr && tag->Text().size() <= out.tag.capacity()) {
    out.tag.Assign(tag->Text());
  }
  out.carbons = bind.Child("enable", ns::kCarbons) != nullptr;
  out.inactive = bind.Child("inactive", ns::kClientState) != nullptr;
  const Node* enable = bind.Child("enable", ns::kManagement);
  out.manages = enable != nullptr;
  out.keeps = enable != nullptr && IsTrue(enable->Get("resume"));
}

void ReadWishes(const Node& stanza, Wishes& out) {
  if (const Node* bind = stanza.Child("bind", ns::kBind2)) {
    ReadBind(*bind, out);
  }
  if (const Node* resume = stanza.Child("resume", ns::kManagement)) {
    const std::string_view h = resume->Get("h");
    const auto [stop, error] = std::from_chars(h.data(), h.data() + h.size(), out.handled);
    out.resumes = true;
    if (error != std::errc() || stop != h.data() + h.size() ||
        !out.previous.Assign(resume->Get("previd"))) {
      out.previous.Clear();  // nobody's
    }
  }
  const Node* agent = stanza.Child("user-agent", ns::kSasl2);
  if (const std::string_view id = agent != nullptr ? agent->Get("id") : ""; !id.empty()) {
    out.client = crypto::Sha256::Of(AsBytes(id));
    out.has_client = true;
  }
  if (const Node* request = stanza.Child("request-token", ns::kFast)) {
    const HashedTokenMechanism* mechanism = FindHashedToken(request->Get("mechanism"));
    out.wants_token = mechanism != nullptr;
    out.token_binding = mechanism != nullptr ? mechanism->binding : Binding::kNone;
  }
  if (const Node* fast = stanza.Child("fast", ns::kFast)) {
    out.has_token = true;
    out.invalidates = IsTrue(fast->Get("invalidate"));
  }
}

}  // namespace

void Engine::OnAuthenticate(Session& session, const Node& stanza) {
  DropAttempt(session);
  session.sasl2 = true;
  if (!BeginAttempt(session)) {
    RefuseAuth(session, "temporary-auth-failure", "too many log in at a time");
    return;
  }
  session.wishes = wishes_.Allocate();
  GH_ASSERT(session.wishes != nullptr);
  ReadWishes(stanza, *session.wishes);
  const Node* initial = stanza.Child("initial-response", ns::kSasl2);
  Attempt(session, stanza.Get("mechanism"),
          initial != nullptr ? initial->Text() : std::string_view());
}

// The same client gets the same resource, so that the session it forgot goes.
void Engine::NameResource(const Account& account, const Wishes& wishes,
                          FixedString<kResourceMax>& out) {
  uint8_t id_bytes[16];
  ByteWriter id(id_bytes);
  if (wishes.has_client) {
    crypto::HmacSha256 mac(secret_);
    mac.Update(account.name.view());
    mac.Update(wishes.client);
    const auto tag = mac.Finish();
    ByteReader digest(tag);
    id.Hex(digest.U64Be(), 16);
  } else {
    id.Hex(random_.U64(), 16);
  }
  uint8_t bytes[kResourceMax];
  ByteWriter name(bytes);
  name.Text(wishes.tag.view());
  name.Text(wishes.tag.empty() ? "" : "/");
  name.Text(id.text());
  if (!name.ok() || !PrepareResource(name.text(), out).ok()) {
    out.Assign(id.text());
  }
}

void Engine::OnProvenWithWishes(Session& session, const char* mechanism,
                                std::span<const uint8_t> data) {
  const Wishes wishes = *session.wishes;
  Account& account = *session.account;
  FixedString<kResourceMax> resource;
  NameResource(account, wishes, resource);
  Session* old =
      wishes.resumes ? FindResumable(session, wishes.previous.view(), wishes.handled) : nullptr;
  if (old == nullptr && wishes.binds && !MayBind(session, resource.view())) {
    RefuseAuth(session, "temporary-auth-failure", "the user has too many sessions");
    return;
  }
  if (old == nullptr && wishes.binds && config_.draining) {
    RefuseAuth(session, "temporary-auth-failure", "maintenance");
    return;
  }
  OnAuthenticated(session, mechanism);
  session.state = SessionState::kBinding;
  if (old != nullptr) {
    TakeOver(session, *old);
  } else if (wishes.binds) {
    session.resource = resource;
    TakeResource(session);
  }
  Session& now = old != nullptr ? *old : session;
  const bool is_bound = now.state == SessionState::kBound;
  uint8_t full_bytes[kAddressMax];
  uint8_t bytes[kAddressMax * 6 + 2048];
  ByteWriter out(bytes);
  out.Text("<success xmlns='urn:xmpp:sasl:2'>");
  if (!data.empty()) {
    out.Text("<additional-data>");
    WriteBase64(data, out);
    out.Text("</additional-data>");
  }
  out.Text("<authorization-identifier>");
  WriteEscaped(is_bound ? FullOf(now, full_bytes) : account.name.view(), out);
  out.Text("</authorization-identifier>");
  if (old != nullptr) {
    WriteResumed(*old, wishes.previous.view(), out);
  } else {
    out.Text(wishes.resumes ? kUnknownSession : "");
    if (wishes.binds) {
      WriteBound(session, wishes, out);
    }
  }
  WriteNewToken(now, account, wishes, out);
  out.Text("</success>");
  GH_ASSERT(out.ok());
  Write(now, out.written());
  WriteFeatures(now);
  if (old != nullptr) {
    Resend(*old);
  }
}

// What waits for the user stays: it comes with his first presence, archived or not.
void Engine::WriteBound(Session& session, const Wishes& wishes, ByteWriter& out) {
  session.carbons = wishes.carbons;
  session.inactive = wishes.inactive;
  out.Text("<bound xmlns='urn:xmpp:bind:0'>");
  if (archive_.enabled() && session.account->archive.commit <= keeper_.durable()) {
    WriteArchiveMetadata(archive_, session.account->archive, scratch3_, out);
  }
  if (wishes.manages) {
    EnableManagement(session, wishes.keeps, out);
  }
  out.Text("</bound>");
}

void Engine::WriteNewToken(Session& session, Account& account, const Wishes& wishes,
                           ByteWriter& out) {
  FixedString<kTokenTextMax> token;
  const int64_t expires = host_.UnixSeconds() + config_.token_life.milliseconds() / 1000;
  if (!config_.tokens || !wishes.wants_token || !wishes.has_client ||
      !MayBindChannel(session, wishes.token_binding) ||
      !tokens_.Give(account, wishes.client, wishes.token_binding, expires, token)) {
    return;
  }
  out.Text("<token xmlns='urn:xmpp:fast:0' expiry='");
  WriteStamp(expires, out);
  out.Char('\'');
  WriteAttribute("token", token.view(), out);
  out.Text("/>");
  SecureZero({reinterpret_cast<uint8_t*>(&token), sizeof(token)});
}

uint32_t Engine::RevokeTokens(std::string_view bare) {
  Account* account = directory_->Find(bare);
  return account != nullptr ? tokens_.RemoveAll(*account) : 0;
}

}  // namespace gh::xmpp
