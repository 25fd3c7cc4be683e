// SRTP and SRTCP (RFC 3711, RFC 6188): one direction's packets under one master key.
//
// A context holds the session keys and, per sender (SSRC), the roll-over counter and the window of
// packet numbers that were seen. All of it is in place: nothing is allocated when a new sender
// appears, on whichever processor that happens (which is why this is not libsrtp2: it allocates
// then). The cryptography is crypto/srtp_cipher.h.
//
// Fault model: Unprotect*() meets whatever the wire brings; a packet that does not verify, or was
// seen, changes nothing. Protect*() refuses a packet number that was sent, since the key stream
// would be used twice.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/srtp_cipher.h"
#include "firmware/rtp/limits.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh::rtp {

enum class Suite : uint8_t {
  kAes256Cm80,  // AES_256_CM_HMAC_SHA1_80
  kAes256Cm32,
  kAesCm128_80,  // AES_CM_128_HMAC_SHA1_80
  kAesCm128_32,
};
inline constexpr uint32_t kSuiteCount = 4;
inline constexpr uint32_t kSaltSize = 14;
inline constexpr uint32_t kMasterMax = 32 + kSaltSize;

std::string_view NameOf(Suite suite);
std::optional<Suite> SuiteOf(std::string_view name);
constexpr uint32_t KeySizeOf(Suite suite) { return suite <= Suite::kAes256Cm32 ? 32 : 16; }
constexpr uint32_t MasterSizeOf(Suite suite) { return KeySizeOf(suite) + kSaltSize; }

// Master key and salt, one behind the other.
using Master = SecretBytes<kMasterMax>;

// Of an RTP packet; 0: it is none. With extension and contributing sources.
uint32_t RtpHeaderSize(std::span<const uint8_t> packet);

class SrtpContext {
 public:
  SrtpContext() = default;
  SrtpContext(const SrtpContext&) = delete;
  SrtpContext& operator=(const SrtpContext&) = delete;

  // Senders are forgotten, unless it is the key that is there already.
  void SetKey(Suite suite, const Master& master);

  // In place: `buffer` holds a packet of `size` bytes and room for kTagBytesMax more. The new
  // size. kMalformed, kUnauthentic, kAlreadyExists (seen before).
  Result<uint32_t> Protect(std::span<uint8_t> buffer, uint32_t size);
  Result<uint32_t> Unprotect(std::span<uint8_t> buffer, uint32_t size);
  Result<uint32_t> ProtectRtcp(std::span<uint8_t> buffer, uint32_t size);
  Result<uint32_t> UnprotectRtcp(std::span<uint8_t> buffer, uint32_t size);

 private:
  struct Keys {
    crypto::AesCounter cipher;
    crypto::HmacSha1Key mac;
    SecretBytes<kSaltSize> salt;
  };
  // Numbers seen: the highest, and a bit for each of those below.
  struct Window {
    uint64_t highest = 0;
    uint64_t seen = 0;  // bit 0: the highest
    bool is_begun = false;
    bool MayPass(uint64_t index) const;
    void Add(uint64_t index);
  };
  struct Sender {
    uint32_t ssrc = 0;
    bool is_used = false;
    uint32_t used_at = 0;
    uint32_t rtcp_next = 0;  // of what we send
    Window rtp;
    Window rtcp;
  };

  void SetKeys(Keys& keys, crypto::AesCounter& master, std::span<const uint8_t> salt,
               uint8_t label_first, uint32_t key_size);
  Sender* Find(uint32_t ssrc);
  Sender& FindOrTake(uint32_t ssrc);
  static uint64_t IndexOf(const Sender* sender, uint16_t sequence);
  static std::array<uint8_t, 16> CounterOf(const Keys& keys, uint32_t ssrc, uint64_t index);

  Keys rtp_;
  Keys rtcp_;
  bool has_key_ = false;
  Suite suite_ = Suite::kAesCm128_80;
  Master master_;
  uint32_t tag_size_ = 10;
  uint32_t use_count_ = 0;
  std::array<Sender, kSsrcMax> senders_ = {};
};

}  // namespace gh::rtp
