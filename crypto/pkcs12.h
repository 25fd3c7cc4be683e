// Keys and certificates that a password protects: PKCS #12 files (RFC 7292) and encrypted private
// keys (PKCS #8, RFC 5958), as OpenSSL, Windows and Java make them today: PBES2 with PBKDF2 and
// AES-CBC, and the HMAC over all of it. Older ways (3DES, RC2) are refused with words.
//
// All is decrypted in place: what is found lies in the caller's buffer, which holds the secrets
// then and is the caller's to wipe.
//
// Fault model: the bytes are anybody's. How long a derivation may take is bounded
// (kPkcs12IterationsMax), as are depth and count of what is in the file.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/certificate_file.h"
#include "crypto/tls_environment.h"
#include "hal/rt/result.h"

namespace gh::crypto {

// Passwords are ASCII, as the files' two kinds of derivation agree on nothing more.
inline constexpr size_t kPkcs12PasswordMax = 64;
// Of one derivation; a file has three or four. Some 20 ms each.
inline constexpr int kPkcs12IterationsMax = 10'000;
inline constexpr uint32_t kPkcs12ContentsMax = 4;  // parts of a file
inline constexpr uint32_t kPkcs12BagsMax = 80;

// `der`: the whole file. kUnauthentic: the password is wrong, or the file damaged; kUnsupported;
// kMalformed; kTooLarge.
Result<void> OpenPkcs12(TlsEnvironment& environment, std::span<uint8_t> der,
                        std::string_view password, CertificateFile& out);
// `der`: EncryptedPrivateKeyInfo. The key's own DER.
Result<std::span<const uint8_t>> OpenPrivateKey(TlsEnvironment& environment, std::span<uint8_t> der,
                                                std::string_view password);

}  // namespace gh::crypto
