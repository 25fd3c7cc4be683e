#include "firmware/rtp/mux.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "hal/rt/siphash.h"

namespace gh::rtp {
namespace {

constexpr std::string_view kVersion = "1";

std::string_view TakeWord(std::string_view& text) {
  const size_t end = text.find(' ');
  const std::string_view word = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return word;
}

bool TakeNumber(std::string_view& text, uint32_t first, uint32_t last, uint16_t& out) {
  const std::string_view word = TakeWord(text);
  uint32_t number = 0;
  const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || stop != word.data() + word.size() || number < first ||
      number > last) {
    return false;
  }
  out = static_cast<uint16_t>(number);
  return true;
}

}  // namespace

uint16_t UsualMuxPort(uint32_t calls) { return calls < kMuxLargeCalls ? 2776 : 36000; }

std::optional<MuxOffer> ParseMux(std::string_view value) {
  MuxOffer out;
  if (value.ends_with(' ') || TakeWord(value) != kVersion) {
    return std::nullopt;
  }
  if (value.empty()) {
    return out;
  }
  const bool has_numbers = TakeNumber(value, 1, UINT16_MAX, out.port) &&
                           TakeNumber(value, kMuxChannelFirst, kMuxChannelLast, out.channel);
  out.user = TakeWord(value);
  out.password = TakeWord(value);
  const bool is_good = has_numbers && value.empty() && out.user.size() == kIceUserSize &&
                       out.password.size() == kIcePasswordSize;
  return is_good ? std::optional(out) : std::nullopt;
}

void WriteMux(const MuxOffer& offer, ByteWriter& out) {
  out.Text(kVersion);
  if (offer.port != 0) {
    out.Char(' ');
    out.Decimal(offer.port);
    out.Char(' ');
    out.Decimal(offer.channel);
    out.Char(' ');
    out.Text(offer.user);
    out.Char(' ');
    out.Text(offer.password);
  }
}

uint64_t MuxTraits::HashOf(const SipKey& key, const Key& k) {
  std::array<uint8_t, 20> bytes;
  std::copy(k.remote.address.bytes.begin(), k.remote.address.bytes.end(), bytes.begin());
  bytes[16] = static_cast<uint8_t>(k.remote.port >> 8);
  bytes[17] = static_cast<uint8_t>(k.remote.port);
  bytes[18] = static_cast<uint8_t>(k.channel >> 8);
  bytes[19] = static_cast<uint8_t>(k.channel);
  return SipHash13(key, bytes);
}

}  // namespace gh::rtp
