// A certificate that was brought for the server or a domain: is it good, and if not, why not. What
// passes is in force with the next handshake.
//
// It has to belong to a key that is here (of the request in progress, of the file, or of the
// certificate it renews), to be valid now, to be for server and client authentication (CERT-20), to
// have subject alternative names (the domain's among them), today's strength, and a chain without a
// gap up to a root that is trusted or comes with it.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "crypto/certificate_file.h"
#include "crypto/pkcs12.h"
#include "firmware/keys/key_store.h"
#include "firmware/keys/request.h"
#include "firmware/keys/trust_store.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::keys {

// The password that opens the next PKCS #12 file or encrypted key; used once, kept for some
// minutes.
class FilePassword {
 public:
  static constexpr Duration kLife = Duration::Minutes(10);
  ~FilePassword() { Forget(); }
  // kInvalidArgument: too long.
  Result<void> Set(std::string_view password, Instant now);
  void Forget();
  bool IsSet(Instant now) const { return size_ > 0 && now < until_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), size_}; }

 private:
  std::array<uint8_t, crypto::kPkcs12PasswordMax> bytes_ = {};
  size_t size_ = 0;
  Instant until_;
};

struct UploadParts {
  crypto::TlsEnvironment& environment;
  KeyStore& keys;
  TrustStore& trust;
  Requests& requests;
  log::Log& log;
  FilePassword& password;
};

// What an ACME authority has given for the request in progress: as TakeUpload, but the chain may
// end below a root that nobody trusts here (the authority itself was believed), and client
// authentication may be missing, which authorities for the public do not give any more.
Result<void> TakeIssued(const UploadParts& parts, std::string_view domain,
                        std::span<const uint8_t> bytes, std::span<uint8_t> room, ByteWriter& out);

// `bytes`: PEM, DER, PKCS #7 or PKCS #12, with a key or without. `room`: as large; wiped. What was
// done, or what is wrong in detail, is said on `out`. A password that opened it is forgotten.
Result<void> TakeUpload(const UploadParts& parts, std::string_view domain,
                        std::span<const uint8_t> bytes, std::span<uint8_t> room,
                        std::string_view by, ByteWriter& out);

}  // namespace gh::keys
