#include "firmware/admin/ssh/authentication.h"

#include <algorithm>
#include <array>

namespace gh::ssh {

Authentication::~Authentication() {
  if (is_pending_) {
    authenticator_.CancelPassword(id_);
  }
}

bool Authentication::OnPacket(std::span<const uint8_t> payload) {
  ByteReader in(payload.subspan(1));
  if (payload[0] == kMsgServiceRequest) {
    HandleServiceRequest(in);
    return true;
  }
  if (payload[0] != kMsgUserauthRequest || !has_service_) {
    return false;
  }
  if (!done_) {  // after success they are ignored (RFC 4252 section 5.1)
    HandleRequest(in);
  }
  return true;
}

void Authentication::HandleServiceRequest(ByteReader& in) {
  const std::string_view name = TakeText(in);
  if (!in.ok() || !(name == "ssh-userauth" || (done_ && name == "ssh-connection"))) {
    transport_.Disconnect(DisconnectReason::kServiceNotAvailable, "no such service");
    return;
  }
  has_service_ = true;
  std::array<uint8_t, 32> reply;
  ByteWriter out(reply);
  out.U8(kMsgServiceAccept);
  PutString(out, name);
  transport_.Send(out.written());
}

void Authentication::SendBanner() {
  if (has_banner_ || settings_.banner.empty()) {
    return;
  }
  has_banner_ = true;
  std::array<uint8_t, kBannerMax + 32> message;
  ByteWriter out(message);
  out.U8(kMsgUserauthBanner);
  out.U32Be(settings_.banner.size() + 2);
  out.Text(settings_.banner.view());
  out.Text("\r\n");
  PutString(out, "en");
  transport_.Send(out.written());
}

bool Authentication::TakeUser(std::string_view user, std::string_view service) {
  if (user.empty() || user.size() > kUserNameMax || service != "ssh-connection") {
    return false;
  }
  if (!has_user_) {
    user_.Assign(user);
    has_user_ = true;
  }
  return user_ == user;  // one name for a connection: its failures are counted under that name
}

void Authentication::HandleRequest(ByteReader& in) {
  const std::string_view user = TakeText(in);
  const std::string_view service = TakeText(in);
  const std::string_view method = TakeText(in);
  if (!in.ok()) {
    transport_.Disconnect(DisconnectReason::kProtocolError, "malformed log-in request");
    return;
  }
  if (!TakeUser(user, service)) {
    transport_.Disconnect(DisconnectReason::kProtocolError,
                          "wrong service, or the user's name is unusable or has changed");
    return;
  }
  SendBanner();
  if (method == "password" && settings_.allows_password) {
    HandlePassword(in);
  } else if (method == "publickey") {
    HandlePublicKey(in);
  } else if (method == "none") {
    const bool counts = queries_ > 0;  // the first asks which methods there are
    ++queries_;
    Refuse("none", counts);
  } else {
    Refuse("unknown", true);
  }
}

void Authentication::HandlePassword(ByteReader& in) {
  const bool changes = TakeBool(in);
  const std::string_view password = TakeText(in);
  if (!in.ok() || (!changes && !in.at_end())) {
    transport_.Disconnect(DisconnectReason::kProtocolError, "malformed log-in request");
    return;
  }
  if (changes || password.empty() || password.size() > kPasswordMax) {
    Refuse("password", true);
    return;
  }
  is_pending_ = true;
  const Verdict verdict = authenticator_.CheckPassword(id_, user_.view(), password, remote_);
  if (verdict != Verdict::kPending) {
    OnPasswordChecked(verdict == Verdict::kAccepted);
  }
}

void Authentication::OnPasswordChecked(bool accepted) {
  if (!is_pending_) {
    return;
  }
  is_pending_ = false;
  accepted ? Accept("password") : Refuse("password", true);
}

// The signature covers the session and the request (RFC 4252 section 7).
bool Authentication::IsSigned(const PublicKeyView& key, std::string_view algorithm,
                              std::span<const uint8_t> signature) const {
  std::array<uint8_t, kPublicKeyBlobMax + 256> message;
  ByteWriter out(message);
  PutString(out, transport_.session_id());
  out.U8(kMsgUserauthRequest);
  PutString(out, user_.view());
  PutString(out, "ssh-connection");
  PutString(out, "publickey");
  out.U8(1);
  PutString(out, algorithm);
  PutString(out, key.blob);
  return out.ok() && VerifyBlob(environment_, key, algorithm, out.written(), signature);
}

void Authentication::HandlePublicKey(ByteReader& in) {
  const bool has_signature = TakeBool(in);
  const std::string_view algorithm = TakeText(in);
  const auto blob = TakeString(in);
  const auto signature = has_signature ? TakeString(in) : std::span<const uint8_t>();
  if (!in.ok() || !in.at_end() || signature.size() > kSignatureMax) {
    transport_.Disconnect(DisconnectReason::kProtocolError, "malformed log-in request");
    return;
  }
  const auto key = ParsePublicKey(blob);
  const bool is_usable = key.ok() && SignsWith(key->kind, algorithm);
  if (!is_usable || !authenticator_.MayUseKey(user_.view(), *key)) {
    ++queries_;
    if (has_signature) {
      authenticator_.RefuseKey(user_.view(), remote_);
    }
    // An agent asks about key after key: that alone is no guess.
    Refuse("publickey", has_signature || queries_ > kQueriedKeysMax);
    return;
  }
  if (!has_signature) {
    std::array<uint8_t, kPublicKeyBlobMax + 64> reply;
    ByteWriter out(reply);
    out.U8(kMsgUserauthPkOk);
    PutString(out, algorithm);
    PutString(out, blob);
    if (++queries_ > kQueriedKeysMax || !out.ok()) {
      Refuse("publickey", true);
      return;
    }
    transport_.Send(out.written());
    return;
  }
  if (!IsSigned(*key, algorithm, signature)) {
    authenticator_.RefuseKey(user_.view(), remote_);
    Refuse("publickey", true);
    return;
  }
  if (!authenticator_.AcceptKey(id_, user_.view(), *key, remote_)) {
    Refuse("publickey", true);
    return;
  }
  fingerprint_ = FingerprintOf(blob);
  Accept("publickey");
}

void Authentication::Accept(std::string_view method) {
  done_ = true;
  method_ = method;
  const uint8_t success = kMsgUserauthSuccess;
  transport_.Send({&success, 1});
  observer_.OnLoggedIn(user_.view(), method, fingerprint_.view());
}

void Authentication::Refuse(std::string_view method, bool counts) {
  if (counts) {
    ++tries_;
    observer_.OnLoginRefused(user_.view(), method);
  }
  if (tries_ >= settings_.tries_max) {
    transport_.Disconnect(DisconnectReason::kNoMoreAuthMethods, "too many log-in failures");
    return;
  }
  std::array<uint8_t, 48> reply;
  ByteWriter out(reply);
  out.U8(kMsgUserauthFailure);
  PutString(out, settings_.allows_password ? "publickey,password" : "publickey");
  out.U8(0);  // no partial success
  transport_.Send(out.written());
}

}  // namespace gh::ssh
