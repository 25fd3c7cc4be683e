#include "crypto/self_signed.h"

namespace gh::crypto {
namespace {

constexpr size_t kInfoBytesMax = 1024;

// A key in memory has signed when Start is over.
class NoListener final : public SignListener {
 public:
  void OnSigned(SignRequest&) override {}
};

}  // namespace

Result<size_t> WriteSelfSigned(std::string_view common_name, std::span<const AlternativeName> names,
                               const SelfSigned& terms, SoftwareKey& key, std::span<uint8_t> out) {
  const SignatureScheme scheme = CertificateSchemeOf(key.type());
  uint8_t info_bytes[kInfoBytesMax];
  GH_TRY_ASSIGN(const auto info, WriteCertificateInfo({.common_name = common_name}, names, terms,
                                                      key, scheme, info_bytes));
  uint8_t digest[kSignDigestMax];
  const size_t digest_size = DigestFor(scheme, info, digest);
  SignRequest request;
  NoListener nobody;
  request.Prepare(scheme, std::span(digest).first(digest_size), nobody, Instant{});
  key.Start(request);
  if (request.state() != SignRequest::State::kDone) {
    return request.error();
  }
  return WriteSigned(info, scheme, request.signature(), out);
}

}  // namespace gh::crypto
