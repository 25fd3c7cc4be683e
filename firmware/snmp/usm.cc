#include "firmware/snmp/usm.h"

#include <algorithm>
#include <cstring>

#include "crypto/mac.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::snmp {

void KeyMaker::Start(AuthProtocol protocol, std::string_view password) {
  protocol_ = protocol;
  password_size_ = static_cast<uint32_t>(std::min<size_t>(password.size(), password_.size()));
  std::memcpy(password_.Expose().data(), password.data(), password_size_);
  done_ = 0;
  sha1_.reset();
  sha256_.reset();
  if (protocol == AuthProtocol::kSha1) {
    sha1_.emplace();
  } else {
    sha256_.emplace();
  }
}

bool KeyMaker::Work() {
  GH_ASSERT_GT(password_size_, 0u);
  uint8_t block[64];
  for (uint32_t step = 0; step < kPerStep; step += sizeof(block)) {
    for (uint8_t& byte : block) {
      byte = password_.Expose()[done_++ % password_size_];
    }
    if (protocol_ == AuthProtocol::kSha1) {
      sha1_->Add(block);
    } else {
      sha256_->Add(block);
    }
  }
  SecureZero(block);
  if (done_ < kTotal) {
    return false;
  }
  if (protocol_ == AuthProtocol::kSha1) {
    const auto digest = sha1_->Finish();
    std::copy(digest.begin(), digest.end(), key_.Expose().begin());
  } else {
    const auto digest = sha256_->Finish();
    std::copy(digest.begin(), digest.end(), key_.Expose().begin());
  }
  sha1_.reset();
  sha256_.reset();
  password_.Zero();
  return true;
}

void KeyMaker::Localise(std::span<const uint8_t> engine_id, Key& out) {
  const auto key = std::span<const uint8_t>(key_.Expose()).first(KeySize(protocol_));
  out.Zero();
  const auto hash = [&](auto digester) {
    digester.Add(key);
    digester.Add(engine_id);
    digester.Add(key);
    const auto digest = digester.Finish();
    std::copy(digest.begin(), digest.end(), out.Expose().begin());
  };
  if (protocol_ == AuthProtocol::kSha1) {
    hash(crypto::Sha1());
  } else {
    hash(crypto::Sha256());
  }
  key_.Zero();
}

std::array<uint8_t, kTagMax> TagOf(AuthProtocol protocol, const Key& key,
                                   std::span<const uint8_t> message) {
  const auto bytes = std::span<const uint8_t>(key.Expose()).first(KeySize(protocol));
  std::array<uint8_t, kTagMax> tag = {};
  if (protocol == AuthProtocol::kSha1) {
    const auto mac = crypto::HmacSha1(bytes, message);
    std::copy_n(mac.begin(), TagSize(protocol), tag.begin());
  } else {
    const auto mac = crypto::HmacSha256::Of(bytes, message);
    std::copy_n(mac.begin(), TagSize(protocol), tag.begin());
  }
  return tag;
}

void Crypt(bool encrypt, const Key& key, uint32_t boots, uint32_t time,
           std::span<const uint8_t, 8> salt, std::span<uint8_t> bytes) {
  std::array<uint8_t, crypto::kAesBlock> iv;
  ByteWriter out(iv);
  out.U32Be(boots);
  out.U32Be(time);
  out.Bytes(salt);
  const std::span<const uint8_t, crypto::kAesBlock> aes_key(key.Expose().data(), crypto::kAesBlock);
  if (encrypt) {
    crypto::AesCfbEncrypt(aes_key, iv, bytes);
  } else {
    crypto::AesCfbDecrypt(aes_key, iv, bytes);
  }
}

}  // namespace gh::snmp
