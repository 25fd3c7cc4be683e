#include "firmware/admin/ssh/packet_cipher.h"

#include <algorithm>

#include "crypto/mac.h"
#include "firmware/admin/ssh/limits.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::ssh {
namespace {

constexpr size_t kPaddingMin = 4;

size_t KeySize(Cipher cipher) {
  switch (cipher) {
    case Cipher::kAes128Gcm:
    case Cipher::kAes128Ctr:
      return 16;
    case Cipher::kAes192Ctr:
      return 24;
    default:
      return 32;
  }
}

std::array<uint8_t, 4> BigEndian(uint32_t value) {
  return {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
          static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

uint32_t ReadBig(std::span<const uint8_t, 4> b) {
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

}  // namespace

Result<void> PacketCipher::SetKeys(crypto::TlsEnvironment& environment, Cipher cipher, Mac mac,
                                   const KeyMaterial& keys) {
  Clear();
  cipher_ = cipher;
  mac_ = IsAead(cipher) ? Mac::kOfCipher : mac;
  GH_ASSERT(IsAead(cipher) || mac != Mac::kOfCipher);
  if (IsChaCha()) {
    key_.Set(keys.key.Expose());
    return Ok();
  }
  const auto key = keys.key.Expose().first(KeySize(cipher));
  if (IsGcm()) {
    std::copy_n(keys.iv.Expose().begin(), nonce_.size(), nonce_.begin());
    return gcm_.SetKey(environment, key);
  }
  mac_key_.Set(keys.mac_key.Expose());
  ctr_.SetKey(key, keys.iv.Expose());
  return Ok();
}

void PacketCipher::Clear() {
  cipher_ = Cipher::kNone;
  mac_ = Mac::kOfCipher;
  key_.Zero();
  mac_key_.Zero();
  gcm_.Clear();
  ctr_.Clear();
}

size_t PacketCipher::tag_size() const {
  if (cipher_ == Cipher::kNone) {
    return 0;
  }
  return mac_ == Mac::kOfCipher ? 16 : mac_ == Mac::kHmacSha256Etm ? 32 : 64;
}

Result<uint32_t> PacketCipher::ReadLength(uint32_t sequence,
                                          std::span<const uint8_t, 4> head) const {
  std::array<uint8_t, 4> plain;
  std::copy(head.begin(), head.end(), plain.begin());
  if (IsChaCha()) {
    crypto::ChaCha20Xor(key_.Expose().last<32>(), sequence, 0, plain);
  }
  const uint32_t length = ReadBig(plain);
  if (length < 1 + kPaddingMin + 1 || length > kPacketMax) {
    return Error(ErrorCode::kMalformed, "packet length out of range");
  }
  // Before there are keys the length field counts for the alignment, as it is encrypted with it.
  const size_t aligned = cipher_ == Cipher::kNone ? length + size_t{4} : length;
  if (aligned % block_size() != 0) {
    return Error(ErrorCode::kMalformed, "packet length not a multiple of the block size");
  }
  return length;
}

void PacketCipher::ComputeMac(uint32_t sequence, std::span<const uint8_t> bytes,
                              std::span<uint8_t, kTagMax> out) const {
  const auto number = BigEndian(sequence);
  if (mac_ == Mac::kHmacSha256Etm) {
    crypto::HmacSha256 mac(mac_key_.Expose().first<32>());
    mac.Update(number);
    mac.Update(bytes);
    const auto tag = mac.Finish();
    std::copy(tag.begin(), tag.end(), out.begin());
    return;
  }
  crypto::HmacSha512 mac(mac_key_.Expose());
  mac.Update(number);
  mac.Update(bytes);
  const auto tag = mac.Finish();
  std::copy(tag.begin(), tag.end(), out.begin());
}

std::array<uint8_t, crypto::kPoly1305TagSize> PacketCipher::ChaChaTag(
    uint32_t sequence, std::span<const uint8_t> bytes) const {
  SecretBytes<32> poly_key;  // block 0 of the payload's key stream
  crypto::ChaCha20Xor(key_.Expose().first<32>(), sequence, 0, poly_key.Expose());
  return crypto::Poly1305(poly_key.Expose(), bytes);
}

void PacketCipher::NextNonce() {
  for (size_t i = nonce_.size(); i > 4; --i) {
    if (++nonce_[i - 1] != 0) {
      return;
    }
  }
}

Result<std::span<uint8_t>> PacketCipher::Open(uint32_t sequence, std::span<uint8_t> packet) {
  GH_ASSERT_GE(packet.size(), 4 + 1 + kPaddingMin + 1 + tag_size());
  const auto signed_part = packet.first(packet.size() - tag_size());
  const auto tag = packet.last(tag_size());
  const auto body = signed_part.subspan(4);
  if (IsChaCha()) {
    if (!ConstantTimeEqual(ChaChaTag(sequence, signed_part), tag)) {
      return Error(ErrorCode::kUnauthentic, "wrong packet tag");
    }
    crypto::ChaCha20Xor(key_.Expose().first<32>(), sequence, 1, body);
  } else if (IsGcm()) {
    GH_TRY(gcm_.Open(nonce_, signed_part.first(4), body, tag.first<16>()));
    NextNonce();
  } else if (cipher_ != Cipher::kNone) {
    std::array<uint8_t, kTagMax> expected;
    ComputeMac(sequence, signed_part, expected);
    if (!ConstantTimeEqual(std::span<const uint8_t>(expected).first(tag_size()), tag)) {
      return Error(ErrorCode::kUnauthentic, "wrong packet tag");
    }
    ctr_.Xor(body);
  }
  const size_t padding = body[0];
  if (padding < kPaddingMin || padding + 1 >= body.size()) {
    return Error(ErrorCode::kMalformed, "wrong padding");
  }
  return body.subspan(1, body.size() - 1 - padding);
}

size_t PacketCipher::PaddingFor(size_t payload_size) const {
  const size_t aligned = 1 + payload_size + (cipher_ == Cipher::kNone ? 4 : 0);
  const size_t block = block_size();
  const size_t padding = block - aligned % block;
  return padding < kPaddingMin ? padding + block : padding;
}

size_t PacketCipher::SealedSize(size_t payload_size) const {
  return 4 + 1 + payload_size + PaddingFor(payload_size) + tag_size();
}

Result<void> PacketCipher::Seal(uint32_t sequence, std::span<uint8_t> packet, size_t payload_size,
                                crypto::Random& random) {
  GH_ASSERT_EQ(packet.size(), SealedSize(payload_size));
  const size_t padding = PaddingFor(payload_size);
  const auto signed_part = packet.first(packet.size() - tag_size());
  const auto tag = packet.last(tag_size());
  const auto length = BigEndian(static_cast<uint32_t>(signed_part.size() - 4));
  std::copy(length.begin(), length.end(), signed_part.begin());
  signed_part[4] = static_cast<uint8_t>(padding);
  random.Fill(signed_part.last(padding));
  const auto body = signed_part.subspan(4);
  if (IsChaCha()) {
    crypto::ChaCha20Xor(key_.Expose().last<32>(), sequence, 0, signed_part.first(4));
    crypto::ChaCha20Xor(key_.Expose().first<32>(), sequence, 1, body);
    const auto computed = ChaChaTag(sequence, signed_part);
    std::copy(computed.begin(), computed.end(), tag.begin());
  } else if (IsGcm()) {
    GH_TRY(gcm_.Seal(nonce_, signed_part.first(4), body, tag.first<16>()));
    NextNonce();
  } else if (cipher_ != Cipher::kNone) {
    ctr_.Xor(body);
    std::array<uint8_t, kTagMax> computed;
    ComputeMac(sequence, signed_part, computed);
    std::copy_n(computed.begin(), tag.size(), tag.begin());
  }
  return Ok();
}

}  // namespace gh::ssh
