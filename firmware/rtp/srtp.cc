#include "firmware/rtp/srtp.h"

#include <algorithm>
#include <cstring>

#include "net/packet.h"

namespace gh::rtp {
namespace {

using net::LoadBe16;
using net::LoadBe32;
using net::StoreBe32;

constexpr uint32_t kFixedHeader = 12;
constexpr uint32_t kRtcpHeader = 8;
constexpr uint32_t kRtcpTag = 10;  // RFC 4568 6.2.2: also where RTP's is shorter
constexpr uint32_t kRtcpIndexMax = 0x7fffffff;
constexpr uint32_t kMacKeySize = 20;

constexpr std::array<std::string_view, kSuiteCount> kNames = {
    "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32"};

}  // namespace

std::string_view NameOf(Suite suite) { return kNames[static_cast<uint8_t>(suite)]; }

std::optional<Suite> SuiteOf(std::string_view name) {
  for (uint8_t i = 0; i < kSuiteCount; ++i) {
    if (kNames[i] == name) {
      return static_cast<Suite>(i);
    }
  }
  return std::nullopt;
}

uint32_t RtpHeaderSize(std::span<const uint8_t> packet) {
  if (packet.size() < kFixedHeader || packet[0] >> 6 != 2) {
    return 0;
  }
  uint32_t size = kFixedHeader + (packet[0] & 0xfu) * 4;
  if ((packet[0] & 0x10) != 0) {
    if (packet.size() < size + 4) {
      return 0;
    }
    size += 4 + LoadBe16(packet.data() + size + 2) * 4u;
  }
  return size <= packet.size() ? size : 0;
}

// --- Keys (RFC 3711 4.3, a key derivation rate of 0) --------------------------------------------

void SrtpContext::SetKeys(Keys& keys, crypto::AesCounter& master, std::span<const uint8_t> salt,
                          uint8_t label_first, uint32_t key_size) {
  SecretBytes<32> bytes;
  const auto derive = [&](uint8_t label, std::span<uint8_t> out) {
    std::array<uint8_t, 16> counter = {};
    std::memcpy(counter.data(), salt.data(), kSaltSize);
    counter[7] ^= label;
    std::ranges::fill(out, uint8_t{0});
    master.Xor(counter, out);
  };
  derive(label_first, bytes.Expose().first(key_size));
  keys.cipher.SetKey(bytes.Expose().first(key_size));
  derive(static_cast<uint8_t>(label_first + 1), bytes.Expose().first(kMacKeySize));
  keys.mac.SetKey(bytes.Expose().first(kMacKeySize));
  derive(static_cast<uint8_t>(label_first + 2), keys.salt.Expose());
}

void SrtpContext::SetKey(Suite suite, const Master& master) {
  if (has_key_ && suite == suite_ && master == master_) {
    return;
  }
  has_key_ = true;
  suite_ = suite;
  master_.Set(master.Expose());
  const uint32_t key_size = KeySizeOf(suite);
  crypto::AesCounter cipher;
  cipher.SetKey(master.Expose().first(key_size));
  const auto salt = master.Expose().subspan(key_size, kSaltSize);
  SetKeys(rtp_, cipher, salt, 0, key_size);
  SetKeys(rtcp_, cipher, salt, 3, key_size);
  tag_size_ = suite == Suite::kAes256Cm32 || suite == Suite::kAesCm128_32 ? 4 : 10;
  senders_ = {};
}

// --- Senders ------------------------------------------------------------------------------------

bool SrtpContext::Window::MayPass(uint64_t index) const {
  if (!is_begun || index > highest) {
    return true;
  }
  const uint64_t behind = highest - index;
  return behind < 64 && (seen >> behind & 1) == 0;
}

void SrtpContext::Window::Add(uint64_t index) {
  if (!is_begun) {
    *this = {index, 1, true};
    return;
  }
  if (index > highest) {
    const uint64_t ahead = index - highest;
    seen = (ahead < 64 ? seen << ahead : 0) | 1;
    highest = index;
    return;
  }
  seen |= uint64_t{1} << (highest - index);
}

SrtpContext::Sender* SrtpContext::Find(uint32_t ssrc) {
  for (Sender& sender : senders_) {
    if (sender.is_used && sender.ssrc == ssrc) {
      return &sender;
    }
  }
  return nullptr;
}

// Only for packets that are proven: a stranger cannot push a sender out.
SrtpContext::Sender& SrtpContext::FindOrTake(uint32_t ssrc) {
  Sender* sender = Find(ssrc);
  if (sender == nullptr) {
    sender = &*std::ranges::min_element(
        senders_, {}, [](const Sender& s) { return s.is_used ? s.used_at + uint64_t{1} : 0; });
    *sender = {};
    sender->ssrc = ssrc;
    sender->is_used = true;
  }
  sender->used_at = ++use_count_;
  return *sender;
}

// RFC 3711 3.3.1: the packet's number with its roll-over counter, the one nearest to the highest.
uint64_t SrtpContext::IndexOf(const Sender* sender, uint16_t sequence) {
  if (sender == nullptr || !sender->rtp.is_begun) {
    return sequence;
  }
  const uint64_t roll_over = sender->rtp.highest >> 16;
  const auto last = static_cast<uint16_t>(sender->rtp.highest);
  uint64_t guess = roll_over;
  if (last < 0x8000 && sequence > last && sequence - last > 0x8000) {
    guess = roll_over != 0 ? roll_over - 1 : 0;
  } else if (last >= 0x8000 && sequence < last - 0x8000) {
    guess = roll_over + 1;
  }
  return guess << 16 | sequence;
}

std::array<uint8_t, 16> SrtpContext::CounterOf(const Keys& keys, uint32_t ssrc, uint64_t index) {
  std::array<uint8_t, 16> counter = {};
  std::memcpy(counter.data(), keys.salt.Expose().data(), kSaltSize);
  for (uint32_t i = 0; i < 4; ++i) {
    counter[4 + i] ^= static_cast<uint8_t>(ssrc >> (24 - 8 * i));
  }
  for (uint32_t i = 0; i < 6; ++i) {
    counter[8 + i] ^= static_cast<uint8_t>(index >> (40 - 8 * i));
  }
  return counter;
}

// --- RTP ----------------------------------------------------------------------------------------

Result<uint32_t> SrtpContext::Protect(std::span<uint8_t> buffer, uint32_t size) {
  const uint32_t header = RtpHeaderSize(buffer.first(size));
  if (header == 0 || size + tag_size_ > buffer.size()) {
    return ErrorCode::kMalformed;
  }
  const uint32_t ssrc = LoadBe32(buffer.data() + 8);
  const uint64_t index = IndexOf(Find(ssrc), LoadBe16(buffer.data() + 2));
  Sender& sender = FindOrTake(ssrc);
  if (!sender.rtp.MayPass(index)) {
    return ErrorCode::kAlreadyExists;
  }
  sender.rtp.Add(index);
  rtp_.cipher.Xor(CounterOf(rtp_, ssrc, index), buffer.subspan(header, size - header));
  uint8_t roll_over[4];
  StoreBe32(roll_over, static_cast<uint32_t>(index >> 16));
  const auto tag = rtp_.mac.Of(buffer.first(size), roll_over);
  std::memcpy(buffer.data() + size, tag.data(), tag_size_);
  return size + tag_size_;
}

Result<uint32_t> SrtpContext::Unprotect(std::span<uint8_t> buffer, uint32_t size) {
  if (size < kFixedHeader + tag_size_) {
    return ErrorCode::kMalformed;
  }
  const uint32_t plain_size = size - tag_size_;
  const uint32_t header = RtpHeaderSize(buffer.first(plain_size));
  if (header == 0) {
    return ErrorCode::kMalformed;
  }
  const uint32_t ssrc = LoadBe32(buffer.data() + 8);
  const Sender* known = Find(ssrc);
  const uint64_t index = IndexOf(known, LoadBe16(buffer.data() + 2));
  if (known != nullptr && !known->rtp.MayPass(index)) {
    return ErrorCode::kAlreadyExists;
  }
  uint8_t roll_over[4];
  StoreBe32(roll_over, static_cast<uint32_t>(index >> 16));
  const auto tag = rtp_.mac.Of(buffer.first(plain_size), roll_over);
  if (!ConstantTimeEqual(std::span(tag).first(tag_size_), buffer.subspan(plain_size, tag_size_))) {
    return ErrorCode::kUnauthentic;
  }
  FindOrTake(ssrc).rtp.Add(index);
  rtp_.cipher.Xor(CounterOf(rtp_, ssrc, index), buffer.subspan(header, plain_size - header));
  return plain_size;
}

// --- RTCP (RFC 3711 3.4) ------------------------------------------------------------------------

Result<uint32_t> SrtpContext::ProtectRtcp(std::span<uint8_t> buffer, uint32_t size) {
  if (size < kRtcpHeader || buffer[0] >> 6 != 2 || size + 4 + kRtcpTag > buffer.size()) {
    return ErrorCode::kMalformed;
  }
  const uint32_t ssrc = LoadBe32(buffer.data() + 4);
  Sender& sender = FindOrTake(ssrc);
  if (sender.rtcp_next > kRtcpIndexMax) {
    return ErrorCode::kExhausted;  // the key is used up
  }
  const uint32_t index = sender.rtcp_next++;
  rtcp_.cipher.Xor(CounterOf(rtcp_, ssrc, index), buffer.subspan(kRtcpHeader, size - kRtcpHeader));
  StoreBe32(buffer.data() + size, index | 0x80000000u);
  const auto tag = rtcp_.mac.Of(buffer.first(size + 4), {});
  std::memcpy(buffer.data() + size + 4, tag.data(), kRtcpTag);
  return size + 4 + kRtcpTag;
}

Result<uint32_t> SrtpContext::UnprotectRtcp(std::span<uint8_t> buffer, uint32_t size) {
  if (size < kRtcpHeader + 4 + kRtcpTag || buffer[0] >> 6 != 2) {
    return ErrorCode::kMalformed;
  }
  const uint32_t plain_size = size - 4 - kRtcpTag;
  const uint32_t ssrc = LoadBe32(buffer.data() + 4);
  const uint32_t word = LoadBe32(buffer.data() + plain_size);
  const uint32_t index = word & kRtcpIndexMax;
  const Sender* known = Find(ssrc);
  if (known != nullptr && !known->rtcp.MayPass(index)) {
    return ErrorCode::kAlreadyExists;
  }
  const auto tag = rtcp_.mac.Of(buffer.first(plain_size + 4), {});
  if (!ConstantTimeEqual(std::span(tag).first(kRtcpTag),
                         buffer.subspan(plain_size + 4, kRtcpTag))) {
    return ErrorCode::kUnauthentic;
  }
  FindOrTake(ssrc).rtcp.Add(index);
  if ((word & 0x80000000u) != 0) {
    rtcp_.cipher.Xor(CounterOf(rtcp_, ssrc, index),
                     buffer.subspan(kRtcpHeader, plain_size - kRtcpHeader));
  }
  return plain_size;
}

}  // namespace gh::rtp
