// One direction's packet protection (RFC 4253 section 6): chacha20-poly1305@openssh.com,
// aes*-gcm@openssh.com (RFC 5647 with OpenSSH's framing), AES-CTR with an encrypt-then-MAC HMAC,
// and none. Pure: sequence numbers and padding bytes come in.
//
// A sealed packet is 4 bytes of length, packet_length bytes, a tag. The length is hidden by
// ChaCha20 alone; everywhere else it is in the clear and authenticated.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/cipher.h"
#include "crypto/random.h"
#include "crypto/tls_environment.h"
#include "firmware/admin/ssh/algorithms.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh::ssh {

inline constexpr size_t kKeyMax = 64;
inline constexpr size_t kIvMax = 16;

// What key exchange derives for one direction; each part may be longer than is used.
struct KeyMaterial {
  SecretBytes<kKeyMax> key;
  SecretBytes<kIvMax> iv;
  SecretBytes<kKeyMax> mac_key;
};

class PacketCipher {
 public:
  PacketCipher() = default;
  PacketCipher(const PacketCipher&) = delete;
  PacketCipher& operator=(const PacketCipher&) = delete;

  // kExhausted: no memory for the cipher; the former keys are gone then.
  Result<void> SetKeys(crypto::TlsEnvironment& environment, Cipher cipher, Mac mac,
                       const KeyMaterial& keys);
  void Clear();
  Cipher cipher() const { return cipher_; }
  Mac mac() const { return mac_; }
  size_t tag_size() const;

  // packet_length of the packet that begins with `head`. kMalformed: none that can be.
  Result<uint32_t> ReadLength(uint32_t sequence, std::span<const uint8_t, 4> head) const;
  // Checks and decrypts a whole packet in place; its payload, at least one byte, lies in it.
  Result<std::span<uint8_t>> Open(uint32_t sequence, std::span<uint8_t> packet);

  // The bytes a payload of this size takes when sealed.
  size_t SealedSize(size_t payload_size) const;
  static constexpr size_t kPayloadOffset = 5;
  // `packet` is SealedSize(payload_size) bytes, the payload at kPayloadOffset.
  Result<void> Seal(uint32_t sequence, std::span<uint8_t> packet, size_t payload_size,
                    crypto::Random& random);

 private:
  size_t block_size() const { return cipher_ == Cipher::kNone || IsChaCha() ? 8 : 16; }
  bool IsChaCha() const { return cipher_ == Cipher::kChaChaPoly; }
  bool IsGcm() const { return cipher_ == Cipher::kAes256Gcm || cipher_ == Cipher::kAes128Gcm; }
  size_t PaddingFor(size_t payload_size) const;
  void ComputeMac(uint32_t sequence, std::span<const uint8_t> bytes,
                  std::span<uint8_t, kTagMax> out) const;
  std::array<uint8_t, crypto::kPoly1305TagSize> ChaChaTag(uint32_t sequence,
                                                          std::span<const uint8_t> bytes) const;
  void NextNonce();

  Cipher cipher_ = Cipher::kNone;
  Mac mac_ = Mac::kOfCipher;
  SecretBytes<kKeyMax> key_;      // ChaCha20: payload key, then length key
  SecretBytes<kKeyMax> mac_key_;  // HMAC
  std::array<uint8_t, crypto::AesGcm::kNonceSize> nonce_ = {};  // GCM: fixed part and counter
  crypto::AesGcm gcm_;
  crypto::AesCtr ctr_;
};

}  // namespace gh::ssh
