// The secure traversal test: a whole TLS handshake with a peer as one of the federation does it,
// both sides showing certificates, and in words what would fail and why. Nothing but the handshake
// is sent. Fault model as of the other tests (diagnostics.h).
#include "firmware/diagnostics.h"
#include "firmware/keys/path_words.h"
#include "firmware/keys/x509_text.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

constexpr uint16_t kTraversalPort = 5061;
// A TLS 1.3 server judges our certificate when we are through already.
constexpr Duration kObjectionWait = Duration::Milliseconds(1500);
constexpr uint32_t kShownMax = 10;

}  // namespace

Result<void> Diagnostics::ParseTraversal(std::span<const std::string_view> words) {
  port_ = kTraversalPort;
  verify_name_.Assign(words[0]);
  if (words.size() > 1 && !ParsePort(words[1])) {
    return Error(ErrorCode::kInvalidArgument, "expected a port, 1 to 65535, behind the host");
  }
  if (words.size() > 2 && !verify_name_.Assign(words[2])) {
    return Error(ErrorCode::kInvalidArgument, "the name is too long");
  }
  return Ok();
}

bool Diagnostics::StartTraversal() {
  peer_verdict_ = crypto::PeerVerdict::kNoCertificate;
  tls_->SetIdentities(rooms_.certificates->identities(), *this);
  if (const auto started = tls_->Start(verify_name_.view(), *this); !started.ok()) {
    Finish("FAILED: no memory for a TLS session");
    return false;
  }
  return true;
}

// Inside the handshake, where the chain is whole.
crypto::PeerVerdict Diagnostics::Check(const mbedtls_x509_crt& chain,
                                       const crypto::PeerExpectation& expected) {
  uint8_t bytes[400];
  uint32_t shown = 0;
  for (const mbedtls_x509_crt* one = &chain; one != nullptr && shown < kShownMax; one = one->next) {
    ByteWriter words(bytes);
    keys::WriteName(one->subject, words);
    words.Text(" from ");
    keys::WriteDate(one->valid_from, words);
    words.Text(" to ");
    keys::WriteDate(one->valid_to, words);
    words.Text(", issued by ");
    keys::WriteName(one->issuer, words);
    Line("Certificate ", ++shown, " of the peer: ", words.text());
  }
  ByteWriter names(bytes);
  keys::WriteAlternativeNames(chain, names);
  Line("Its names: ", names.size() == 0 ? std::string_view("none") : names.text());
  const crypto::PeerExpectation asked{crypto::PeerRole::kFederation, expected.name,
                                      expected.staple};
  const auto report = rooms_.certificates->trust().Examine(chain, asked);
  ByteWriter words(bytes);
  keys::ExplainPath(report, chain, asked, words);
  peer_verdict_ = report.verdict;
  const bool is_good = report.verdict == crypto::PeerVerdict::kGood;
  Line(is_good ? "The peer's certificate is good: " : "FAILED: the peer's certificate: ",
       words.text());
  return report.verdict;
}

void Diagnostics::OnTlsClientReady() {
  if (!over_ && has_stream_) {
    ReadTraversal({});
  }
}

void Diagnostics::ReadTraversal(std::span<const uint8_t> in) {
  uint8_t plain[512];
  const bool was_open = tls_->is_open();
  while (!over_) {
    const size_t before = in.size();
    const auto read = tls_->Read(in, plain);
    FlushTls();
    if (!read.ok()) {
      EndTraversal(read.error());
      return;
    }
    if (*read == 0 && in.size() == before) {
      break;
    }
  }
  if (!over_ && tls_->is_open() && !was_open) {
    Line("TLS: ", tls_->version(), " ", tls_->cipher());
    Arm(kObjectionWait);
  }
}

void Diagnostics::EndTraversal(const Error& error) {
  if (tls_->failure() == crypto::TlsFailure::kAlert) {
    uint8_t bytes[40];
    ByteWriter alert(bytes);
    keys::WriteAlert(tls_->alert(), alert);
    Line("FAILED: the peer refuses with the alert ", alert.text(),
         peer_verdict_ == crypto::PeerVerdict::kGood ? ": it may not accept our certificate" : "");
  } else if (error.code == ErrorCode::kClosed && peer_verdict_ == crypto::PeerVerdict::kGood) {
    Line("PASSED: both sides' certificates are accepted");
  } else if (peer_verdict_ == crypto::PeerVerdict::kNoCertificate ||
             peer_verdict_ == crypto::PeerVerdict::kGood) {
    Line("FAILED: ", error.what);
  }
  ShowOwn();
  Finish("");
}

void Diagnostics::PassTraversal() {
  Line("PASSED: the peer raises no objection within ", kObjectionWait);
  ShowOwn();
  Finish("");
}

// What the peer may have been shown.
void Diagnostics::ShowOwn() {
  keys::Installed installed;
  if (!rooms_.certificates->keys().Find("", installed)) {
    Line("Our own certificate: none");
    return;
  }
  uint8_t bytes[400];
  ByteWriter words(bytes);
  keys::WriteAlternativeNames(*installed.identity->chain, words);
  words.Text(", issued by ");
  keys::WriteName(installed.identity->chain->issuer, words);
  Line("Our own certificate, if the peer asked for it: ", words.text(),
       installed.info->is_temporary ? " (temporary: no peer will trust it)" : "");
}

}  // namespace gh
