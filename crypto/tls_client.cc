#include "crypto/tls_client.h"

#include <mbedtls/x509_crt.h>

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::crypto {
namespace {

const char* ObjectionTo(PeerVerdict verdict) {
  switch (verdict) {
    case PeerVerdict::kExpired:
    case PeerVerdict::kNotYetValid:
      return "the server's certificate is not valid at this time";
    case PeerVerdict::kUnknownAuthority:
      return "the server's certificate is of no authority that is trusted";
    case PeerVerdict::kWrongName:
      return "the server's certificate is for another name";
    case PeerVerdict::kRevoked:
      return "the server's certificate is revoked";
    case PeerVerdict::kWrongUsage:
      return "the server's certificate is not for servers";
    case PeerVerdict::kNameConstraint:
      return "the server's name is outside of its authority's constraints";
    case PeerVerdict::kWeak:
      return "the server's certificate has a weak key or hash";
    case PeerVerdict::kBadStatus:
      return "the server's OCSP response does not speak for its certificate";
    default:
      return "the server's certificate is not acceptable";
  }
}

}  // namespace

Result<void> TlsClient::Start(std::string_view server_name,
                              const CertificateFingerprint& fingerprint) {
  Reset();
  trust_ = nullptr;
  wanted_ = fingerprint;
  return Begin(server_name);
}

Result<void> TlsClient::Start(std::string_view server_name, PeerCheck& trust) {
  Reset();
  if (!trust.TrustsAnyone(PeerRole::kServer)) {
    return Error(ErrorCode::kUnauthentic, "no certificate authority is trusted");
  }
  trust_ = &trust;
  return Begin(server_name);
}

Result<void> TlsClient::Begin(std::string_view server_name) {
  if (server_name.empty() || !name_.Assign(server_name)) {
    return Error(ErrorCode::kInvalidArgument, "the server's name is empty or too long");
  }
  endpoint_.emplace(TlsEndpoint::Parts{.environment = environment_,
                                       .side = TlsSide::kClient,
                                       .identities = identities_,
                                       .peers = this,
                                       .peer_role = PeerRole::kServer});
  TlsPolicy policy;
  policy.tickets = false;
  GH_TRY(endpoint_->Configure(policy));
  return session_.Start(*endpoint_, *this, {.server_name = server_name});
}

PeerVerdict TlsClient::Check(const mbedtls_x509_crt& chain, const PeerExpectation& expected) {
  peer_ = Sha256::Of(std::span(chain.raw.p, chain.raw.len));
  if (trust_ != nullptr) {
    const PeerVerdict verdict =
        trust_->Check(chain, {PeerRole::kServer, name_.view(), expected.staple});
    objection_ = verdict == PeerVerdict::kGood ? nullptr : ObjectionTo(verdict);
    return verdict;
  }
  if (std::ranges::equal(*peer_, wanted_)) {
    return PeerVerdict::kGood;
  }
  objection_ = "the server's certificate is not the one expected";
  return PeerVerdict::kUnknownAuthority;
}

Error TlsClient::Explain(const Error& error) const {
  if (error.code != ErrorCode::kUnauthentic) {
    return error;
  }
  if (objection_ != nullptr) {
    return {ErrorCode::kUnauthentic, objection_};
  }
  return session_.failure() == TlsFailure::kCertificate
             ? Error(ErrorCode::kUnauthentic, "the server's certificate is not acceptable")
             : error;
}

Result<size_t> TlsClient::Read(std::span<const uint8_t>& in, std::span<uint8_t> out) {
  if (auto flushed = session_.Flush(); !flushed.ok() && flushed.code() != ErrorCode::kWouldBlock) {
    return Explain(flushed.error());
  }
  auto got = session_.Read(in, out);
  return got.ok() ? std::move(got) : Result<size_t>(Explain(got.error()));
}

Result<void> TlsClient::Write(std::span<const uint8_t> plain) {
  if (session_.is_open()) {
    if (plain.size() > kTlsClientWriteMax) {
      return ErrorCode::kTooLarge;
    }
    if (output_.size() - output_size_ < plain.size() + kTlsRecordOverhead) {
      return ErrorCode::kWouldBlock;
    }
  }
  auto written = session_.Write(plain);
  return written.ok() ? Ok() : Result<void>(written.error());
}

void TlsClient::ConsumeOutput(size_t count) {
  GH_ASSERT_LE(count, output_size_);
  std::memmove(output_.data(), output_.data() + count, output_size_ - count);
  output_size_ -= count;
}

void TlsClient::Reset() {
  session_.Reset();
  endpoint_.reset();
  output_size_ = 0;
  objection_ = nullptr;
  peer_.reset();
}

size_t TlsClient::OnTlsOutput(std::span<const uint8_t> bytes) {
  const size_t count = std::min(output_.size() - output_size_, bytes.size());
  if (count != 0) {
    std::memcpy(output_.data() + output_size_, bytes.data(), count);
  }
  output_size_ += count;
  return count;
}

}  // namespace gh::crypto
