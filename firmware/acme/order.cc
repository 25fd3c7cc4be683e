#include "firmware/acme/order.h"

#include <algorithm>
#include <utility>

#include "crypto/tls_identity.h"
#include "net/address.h"
#include "net/http_exchange.h"

namespace gh::acme {
namespace {

constexpr std::string_view kBadNonce = "urn:ietf:params:acme:error:badNonce";
constexpr const char* kPemChain = "application/pem-certificate-chain";

const char* NameOf(Challenge challenge) {
  return challenge == Challenge::kHttp ? "http-01" : "tls-alpn-01";
}

Error Nonsense(const char* what) { return {ErrorCode::kMalformed, what}; }

}  // namespace

const char* Order::step() const {
  switch (state_) {
    case State::kIdle:
      return "idle";
    case State::kDirectory:
    case State::kNonce:
      return "asking for the directory";
    case State::kAccount:
      return "finding the account";
    case State::kOrder:
      return "ordering";
    case State::kAuthorization:
    case State::kReady:
    case State::kProving:
      return "proving names";
    case State::kFinalize:
    case State::kIssuing:
      return "waiting for the certificate";
    case State::kChain:
      return "fetching the certificate";
  }
  return "?";
}

Result<void> Order::Start(const Wanted& wanted, Instant now) {
  if (is_active()) {
    return Error(ErrorCode::kWrongState, "an order is under way");
  }
  if (wanted.names.empty() || wanted.names.size() > kNamesMax) {
    return Error(ErrorCode::kInvalidArgument, "there are no names to certify, or too many");
  }
  for (const crypto::AlternativeName& name : wanted.names) {
    if (name.dns.starts_with("*.")) {
      return Error(ErrorCode::kUnsupported,
                   "a wildcard is proved by DNS records only (dns-01), which is not spoken here");
    }
  }
  wanted_ = wanted;
  fault_.Clear();
  nonce_.Clear();
  account_.Clear();
  authorization_count_ = authorization_at_ = poll_count_ = nonce_retries_ = 0;
  no_answer_count_ = 0;
  retry_after_s_ = 0;
  deadline_ = now + Duration::Seconds(kOrderSeconds);
  timer_ = deadline_;
  directory_.Assign(wanted.directory);
  GH_TRY(port_.Send({.url = directory_.view()}));
  state_ = State::kDirectory;
  return Ok();
}

void Order::Cancel() {
  StopProving();
  sends_again_ = false;
  state_ = State::kIdle;
  timer_ = Instant::Max();
}

void Order::StopProving() {
  if (is_proving_) {
    is_proving_ = false;
    port_.Withdraw();
  }
}

void Order::Fail(const Error& error) {
  if (fault_.empty()) {
    fault_.Assign(error.what);
  }
  Cancel();
  port_.OnOrderEnd(error);
}

// A connection that failed says nothing of the order: the next try of an order is far off.
void Order::OnNoAnswer(const Error& error, Instant now) {
  if (!is_active()) {
    return;
  }
  if (no_answer_count_++ == kNoAnswerRetriesMax) {
    return Fail(error);
  }
  sends_again_ = true;
  timer_ = std::min(deadline_, now + Duration::Seconds(kNoAnswerSeconds));
}

void Order::OnAnswer(const Answer& answer, Instant now) {
  if (!is_active()) {
    return;
  }
  if (!answer.nonce.empty()) {
    nonce_.Assign(answer.nonce);
    if (nonce_.truncated()) {
      nonce_.Clear();
    }
  }
  const auto done = Advance(answer, now);
  if (!done.ok()) {
    Fail(done.error());
  }
}

void Order::OnTimer(Instant now) {
  if (!is_active() || now < timer_) {
    return;
  }
  timer_ = deadline_;
  if (now >= deadline_) {
    return Fail(Error(ErrorCode::kTimeout, "the authority is too slow"));
  }
  const auto sent = std::exchange(sends_again_, false) ? SendAgain()
                    : state_ == State::kProving ? Post(State::kProving, authorization_.view(), "")
                    : state_ == State::kIssuing ? Post(State::kIssuing, order_.view(), "")
                                                : Ok();
  if (!sent.ok()) {
    Fail(sent.error());
  }
}

// --- Answers ------------------------------------------------------------------------------------

Result<void> Order::Advance(const Answer& answer, Instant now) {
  const bool is_chain = state_ == State::kChain && answer.status == 200;
  if (!is_chain && state_ != State::kNonce) {
    const auto parsed = json_.Parse(answer.body);
    if (answer.status >= 400) {
      if (parsed.ok() && json_.Is(json_.Find(json_.root(), "type"), kBadNonce) && !nonce_.empty() &&
          nonce_retries_++ < kNonceRetriesMax) {
        return SendSigned();
      }
      TakeProblem(answer);
      return Error(ErrorCode::kRefused, "the authority refuses");
    }
    GH_TRY(parsed);
  }
  switch (state_) {
    case State::kDirectory:
      return OnDirectory(answer);
    case State::kNonce:
      return OnNonce(answer);
    case State::kAccount:
      return OnAccount(answer);
    case State::kOrder:
      return OnOrder(answer);
    case State::kAuthorization:
      return OnAuthorization(answer, now);
    case State::kReady:
      state_ = State::kProving;
      return PollLater(answer, now);
    case State::kProving:
      return OnProving(answer, now);
    case State::kFinalize:
    case State::kIssuing:
      return OnIssuing(answer, now);
    case State::kChain:
      break;
    case State::kIdle:
      return Ok();
  }
  if (!is_chain) {
    return Error(ErrorCode::kRefused, "the authority does not give the certificate");
  }
  Cancel();
  port_.OnOrderEnd(answer.body);
  return Ok();
}

// RFC 7807; the detail is meant for people.
void Order::TakeProblem(const Answer& answer) {
  retry_after_s_ = std::clamp<int64_t>(answer.retry_after_s, 0, kRetryAfterMax);
  Json::Node problem = json_.root();
  if (json_.kind(json_.Find(problem, "error")) == Json::Kind::kObject) {
    problem = json_.Find(problem, "error");
  }
  FixedString<kFaultMax> detail;
  json_.Text(json_.Find(problem, "detail"), detail);
  fault_.Assign("the authority refuses");
  if (!detail.empty()) {
    fault_.Append(": ");
    // It is shown on consoles: only what prints.
    for (const char c : detail.view()) {
      fault_.Append(c >= ' ' && c <= '~' ? c : '?');
    }
  } else if (answer.status >= 400) {
    uint8_t bytes[24];
    ByteWriter status(bytes);
    status.Text(" with HTTP status ");
    status.Decimal(answer.status);
    fault_.Append(status.text());
  }
}

Result<void> Order::TakeUrl(Json::Node node, const char* what, Url& out) {
  if (!json_.Text(node, out) || !net::HttpsUrl::Parse(out.view()).ok()) {
    return Nonsense(what);
  }
  return Ok();
}

Result<void> Order::OnDirectory(const Answer& answer) {
  const Json::Node root = json_.root();
  const char* wrong = "the URL is not that of an ACME directory";
  if (answer.status != 200) {
    return Nonsense(wrong);
  }
  GH_TRY(TakeUrl(json_.Find(root, "newNonce"), wrong, new_nonce_));
  GH_TRY(TakeUrl(json_.Find(root, "newAccount"), wrong, new_account_));
  GH_TRY(TakeUrl(json_.Find(root, "newOrder"), wrong, new_order_));
  const Json::Node meta = json_.Find(root, "meta");
  if (json_.IsTrue(json_.Find(meta, "externalAccountRequired")) && wanted_.binding.name.empty()) {
    return Error(ErrorCode::kWrongState,
                 "the authority wants an account that exists (BindingName, BindingKey)");
  }
  if (json_.kind(json_.Find(meta, "termsOfService")) == Json::Kind::kString &&
      !wanted_.terms_agreed) {
    return Error(ErrorCode::kWrongState,
                 "the authority has terms of service: see them, then set TermsAgreed to On");
  }
  return PostAccount();
}

Result<void> Order::PostAccount() {
  uint8_t bytes[2048];
  ByteWriter payload(bytes);
  payload.Text(R"({"termsOfServiceAgreed":)");
  payload.Text(wanted_.terms_agreed ? "true" : "false");
  if (!wanted_.contact.empty()) {
    payload.Text(R"(,"contact":[)");
    FixedString<160> address("mailto:");
    address.Append(wanted_.contact);
    WriteJsonString(address.view(), payload);
    payload.Char(']');
  }
  if (!wanted_.binding.name.empty()) {
    payload.Text(R"(,"externalAccountBinding":)");
    GH_TRY(WriteBinding(key_, wanted_.binding, new_account_.view(), payload));
  }
  payload.Char('}');
  if (!payload.ok()) {
    return Error(ErrorCode::kTooLarge, "the account's particulars are too large");
  }
  return Post(State::kAccount, new_account_.view(), payload.text());
}

Result<void> Order::OnNonce(const Answer& answer) {
  if (answer.status / 100 != 2 || nonce_.empty()) {
    return Nonsense("the authority gives no nonce");
  }
  state_ = after_nonce_;
  return SendSigned();
}

Result<void> Order::OnAccount(const Answer& answer) {
  account_.Assign(answer.location);
  if (account_.truncated() || !net::HttpsUrl::Parse(account_.view()).ok()) {
    return Nonsense("the authority gives no account");
  }
  const Json::Node status = json_.Find(json_.root(), "status");
  if (status != Json::kNothing && !json_.Is(status, "valid")) {
    return Error(ErrorCode::kRefused, "the account was closed by the authority");
  }
  return PostOrder();
}

bool Order::WriteName(const crypto::AlternativeName& name, ByteWriter& out) const {
  if (!name.dns.empty()) {
    // Identifiers are compared as they are written: in lower case.
    for (const char c : name.dns) {
      out.Char(c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c);
    }
    return true;
  }
  net::IpAddress address;
  address.family = name.address_size == 4 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
  std::copy_n(name.address.begin(), name.address_size, address.bytes.begin());
  address.Format(out);
  return false;
}

Result<void> Order::PostOrder() {
  ByteWriter payload(payload_);
  payload.Text(R"({"identifiers":[)");
  for (size_t i = 0; i < wanted_.names.size(); ++i) {
    uint8_t bytes[256];
    ByteWriter name(bytes);
    const bool is_dns = WriteName(wanted_.names[i], name);
    payload.Text(i == 0 ? "" : ",");
    payload.Text(is_dns ? R"({"type":"dns","value":)" : R"({"type":"ip","value":)");
    WriteJsonString(name.text(), payload);
    payload.Char('}');
  }
  payload.Text("]}");
  if (!payload.ok()) {
    return Error(ErrorCode::kTooLarge, "the names are too many for one order");
  }
  return Post(State::kOrder, new_order_.view(), payload.text());
}

Result<void> Order::OnOrder(const Answer& answer) {
  const char* wrong = "the authority's order makes no sense";
  order_.Assign(answer.location);
  if (order_.truncated() || !net::HttpsUrl::Parse(order_.view()).ok()) {
    return Nonsense(wrong);
  }
  GH_TRY(TakeUrl(json_.Find(json_.root(), "finalize"), wrong, finalize_));
  authorization_count_ = authorization_at_ = 0;
  for (Json::Node node = json_.First(json_.Find(json_.root(), "authorizations"));
       node != Json::kNothing; node = json_.Next(node)) {
    if (authorization_count_ == kNamesMax) {
      return Nonsense(wrong);
    }
    GH_TRY(TakeUrl(node, wrong, authorizations_[authorization_count_]));
    ++authorization_count_;
  }
  return NextAuthorization();
}

Result<void> Order::NextAuthorization() {
  StopProving();
  if (authorization_at_ == authorization_count_) {
    return PostFinalize();
  }
  authorization_.Assign(authorizations_[authorization_at_++].view());
  poll_count_ = 0;
  return Post(State::kAuthorization, authorization_.view(), "");
}

// --- Names --------------------------------------------------------------------------------------

Result<void> Order::OnAuthorization(const Answer&, Instant) {
  const Json::Node status = json_.Find(json_.root(), "status");
  if (json_.Is(status, "valid")) {
    return NextAuthorization();  // proved some time ago
  }
  if (!json_.Is(status, "pending")) {
    return Error(ErrorCode::kRefused, "a name's authorisation is neither valid nor pending");
  }
  GH_TRY(CheckName());
  GH_TRY(ChooseChallenge());
  FixedString<43> thumbprint;
  GH_TRY(WriteThumbprint(key_, thumbprint));
  key_authorization_.Assign(token_.view());
  key_authorization_.Append('.');
  key_authorization_.Append(thumbprint.view());
  is_proving_ = true;
  GH_TRY(port_.Offer({wanted_.challenge, name_.view(), token_.view(), key_authorization_.view()}));
  return Post(State::kReady, challenge_.view(), "{}");
}

// It is one of those that were ordered.
Result<void> Order::CheckName() {
  const Json::Node identifier = json_.Find(json_.root(), "identifier");
  json_.Text(json_.Find(identifier, "value"), name_);
  for (const crypto::AlternativeName& wanted : wanted_.names) {
    uint8_t bytes[256];
    ByteWriter name(bytes);
    WriteName(wanted, name);
    if (name.text() == name_.view()) {
      return Ok();
    }
  }
  return Nonsense("the authority asks for a name that was not ordered");
}

Result<void> Order::ChooseChallenge() {
  Json::Node node = json_.First(json_.Find(json_.root(), "challenges"));
  while (node != Json::kNothing && !json_.Is(json_.Find(node, "type"), NameOf(wanted_.challenge))) {
    node = json_.Next(node);
  }
  if (node == Json::kNothing) {
    return Error(ErrorCode::kUnsupported, wanted_.challenge == Challenge::kHttp
                                              ? "the authority offers no http-01 challenge"
                                              : "the authority offers no tls-alpn-01 challenge");
  }
  const char* wrong = "the authority's challenge makes no sense";
  GH_TRY(TakeUrl(json_.Find(node, "url"), wrong, challenge_));
  const bool has_token = json_.Text(json_.Find(node, "token"), token_);
  const bool is_proper = std::ranges::all_of(token_.view(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
  });
  return has_token && !token_.empty() && is_proper ? Ok() : Result<void>(Nonsense(wrong));
}

Result<void> Order::PollLater(const Answer& answer, Instant now) {
  if (++poll_count_ > kPollsMax) {
    return Error(ErrorCode::kTimeout, "the authority does not come to an end");
  }
  const int64_t wait = answer.retry_after_s > 0 ? answer.retry_after_s
                                                : std::min<int64_t>(poll_count_, kPollSeconds);
  timer_ = std::min(deadline_, now + Duration::Seconds(std::min<int64_t>(wait, kOrderSeconds)));
  return Ok();
}

Result<void> Order::OnProving(const Answer& answer, Instant now) {
  const Json::Node status = json_.Find(json_.root(), "status");
  if (json_.Is(status, "valid")) {
    return NextAuthorization();
  }
  if (json_.Is(status, "pending") || json_.Is(status, "processing")) {
    return PollLater(answer, now);
  }
  // Why, is said at the challenge.
  for (Json::Node node = json_.First(json_.Find(json_.root(), "challenges"));
       node != Json::kNothing; node = json_.Next(node)) {
    FixedString<kFaultMax> detail;
    if (json_.Text(json_.Find(json_.Find(node, "error"), "detail"), detail)) {
      fault_.Assign("the authority could not verify ");
      fault_.Append(name_.view());
      fault_.Append(": ");
      for (const char c : detail.view()) {
        fault_.Append(c >= ' ' && c <= '~' ? c : '?');
      }
    }
  }
  return Error(ErrorCode::kRefused, "the authority could not verify a name");
}

// --- The certificate ----------------------------------------------------------------------------

Result<void> Order::PostFinalize() {
  ByteWriter payload(payload_);
  payload.Text(R"({"csr":")");
  WriteBase64Url(wanted_.request, payload);
  payload.Text("\"}");
  if (!payload.ok()) {
    return Error(ErrorCode::kTooLarge, "the request is too large");
  }
  poll_count_ = 0;
  return Post(State::kFinalize, finalize_.view(), payload.text());
}

Result<void> Order::OnIssuing(const Answer& answer, Instant now) {
  const Json::Node status = json_.Find(json_.root(), "status");
  if (json_.Is(status, "valid")) {
    GH_TRY(TakeUrl(json_.Find(json_.root(), "certificate"),
                   "the authority does not say where the certificate is", certificate_));
    return Post(State::kChain, certificate_.view(), "");
  }
  if (json_.Is(status, "processing") || json_.Is(status, "ready") || json_.Is(status, "pending")) {
    state_ = State::kIssuing;
    return PollLater(answer, now);
  }
  TakeProblem(answer);
  return Error(ErrorCode::kRefused, "the authority refuses");
}

// --- Requests -----------------------------------------------------------------------------------

Result<void> Order::Post(State next, std::string_view url, std::string_view payload) {
  GH_ASSERT_LE(payload.size(), payload_.size());
  if (payload.data() != AsText(payload_).data()) {
    std::ranges::copy(AsBytes(payload), payload_.begin());
  }
  payload_size_ = payload.size();
  sent_url_.Assign(url);
  nonce_retries_ = 0;
  if (!nonce_.empty()) {
    state_ = next;
    return SendSigned();
  }
  after_nonce_ = next;
  state_ = State::kNonce;
  return port_.Send({.method = "HEAD", .url = new_nonce_.view()});
}

// The request that got no answer; its nonce may be used up.
Result<void> Order::SendAgain() {
  if (state_ == State::kDirectory) {
    return port_.Send({.url = directory_.view()});
  }
  if (state_ != State::kNonce) {
    after_nonce_ = state_;
    state_ = State::kNonce;
  }
  return port_.Send({.method = "HEAD", .url = new_nonce_.view()});
}

// With a nonce that is used up by it.
Result<void> Order::SendSigned() {
  ByteWriter out(room_);
  GH_TRY(WriteJws(key_, {sent_url_.view(), nonce_.view(), account_.view()},
                  AsText(std::span<const uint8_t>(payload_).first(payload_size_)), out));
  nonce_.Clear();
  const bool is_chain = state_ == State::kChain;
  return port_.Send({.method = "POST",
                     .url = sent_url_.view(),
                     .accept = is_chain ? kPemChain : "*/*",
                     .body = out.written()});
}

}  // namespace gh::acme
