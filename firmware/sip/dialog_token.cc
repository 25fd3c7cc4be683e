#include "firmware/sip/dialog_token.h"

namespace gh::sip {
namespace {

// 'd', caller tag, two sides, tag. A side: '0', or hexadecimal digit 1 + 5 * (IPv6) + transport,
// address, port. 'f' and four digits before a side: its zone.
constexpr uint64_t kZoneSide = 15;
static_assert(2 * kTransportCount < kZoneSide);
constexpr size_t kTokenBytesMax = 1 + 8 + 2 * (5 + 1 + 32 + 4) + 16;

void WriteSide(ByteWriter& out, const DialogSide& side) {
  if (side.zone != 0) {
    out.Hex(kZoneSide);
    out.Hex(side.zone, 4);
  }
  if (!side.adjacent) {
    out.Char('0');
    return;
  }
  const net::IpAddress& address = side.remote.address;
  out.Hex(1u + (address.is_v6() ? kTransportCount : 0u) + static_cast<uint32_t>(side.transport));
  out.HexBytes({address.bytes.data(), address.byte_count()});
  out.Hex(side.remote.port, 4);
}

bool TakeHex(std::string_view& text, size_t digits, uint64_t& out) {
  if (text.size() < digits) {
    return false;
  }
  out = 0;
  for (size_t i = 0; i < digits; ++i) {
    const int digit = HexValue(text[i]);
    if (digit < 0) {
      return false;
    }
    out = out << 4 | static_cast<uint64_t>(digit);
  }
  text.remove_prefix(digits);
  return true;
}

bool TakeSide(std::string_view& text, DialogSide& side) {
  uint64_t kind = 0;
  if (!TakeHex(text, 1, kind) || (kind > 2 * kTransportCount && kind != kZoneSide)) {
    return false;
  }
  if (kind == kZoneSide) {
    uint64_t zone = 0;
    if (!TakeHex(text, 4, zone) || zone == 0 || !TakeHex(text, 1, kind) ||
        kind > 2 * kTransportCount) {
      return false;
    }
    side.zone = static_cast<uint16_t>(zone);
  }
  if (kind == 0) {
    return true;
  }
  side.adjacent = true;
  side.transport = static_cast<TransportKind>((kind - 1) % kTransportCount);
  side.remote.address.family = kind > kTransportCount ? net::IpFamily::kIpv6 : net::IpFamily::kIpv4;
  for (size_t i = 0; i < side.remote.address.byte_count(); ++i) {
    uint64_t byte = 0;
    if (!TakeHex(text, 2, byte)) {
      return false;
    }
    side.remote.address.bytes[i] = static_cast<uint8_t>(byte);
  }
  uint64_t port = 0;
  if (!TakeHex(text, 4, port)) {
    return false;
  }
  side.remote.port = static_cast<uint16_t>(port);
  return true;
}

uint64_t TagOf(const Core& core, std::string_view text, std::string_view call_id) {
  return core.Hash(kHashToken).Add(text).Add(call_id).Value();
}

}  // namespace

uint32_t CallerTagHash(const Core& core, std::string_view tag) {
  return static_cast<uint32_t>(core.Hash(kHashToken).Add(tag).Value());
}

void WriteDialogToken(ByteWriter& out, const Core& core, const DialogToken& token,
                      std::string_view call_id) {
  uint8_t text[kTokenBytesMax];
  ByteWriter body(text);
  body.Char('d');
  body.Hex(token.caller_tag, 8);
  WriteSide(body, token.caller);
  WriteSide(body, token.callee);
  const uint64_t tag = TagOf(core, body.text(), call_id);
  body.Hex(tag, 16);
  GH_ASSERT(body.ok());
  out.Text(body.text());
}

std::optional<DialogToken> ReadDialogToken(const Core& core, std::string_view text,
                                           std::string_view call_id) {
  if (text.size() < 1 + 8 + 2 + 16 || text.size() > kTokenBytesMax || text[0] != 'd') {
    return std::nullopt;
  }
  std::string_view tag_text = text.substr(text.size() - 16);
  uint64_t tag = 0;
  std::string_view body = text.substr(0, text.size() - 16);
  if (!TakeHex(tag_text, 16, tag) || tag != TagOf(core, body, call_id)) {
    return std::nullopt;
  }
  body.remove_prefix(1);
  DialogToken token;
  uint64_t caller_tag = 0;
  if (!TakeHex(body, 8, caller_tag) || !TakeSide(body, token.caller) ||
      !TakeSide(body, token.callee) || !body.empty()) {
    return std::nullopt;
  }
  token.caller_tag = static_cast<uint32_t>(caller_tag);
  return token;
}

void WritePathToken(ByteWriter& out, const Core& core, const DialogSide& side) {
  uint8_t text[kTokenBytesMax];
  ByteWriter body(text);
  body.Char('p');
  WriteSide(body, side);
  const uint64_t tag = TagOf(core, body.text(), {});
  body.Hex(tag, 16);
  GH_ASSERT(body.ok());
  out.Text(body.text());
}

std::optional<DialogSide> ReadPathToken(const Core& core, std::string_view text) {
  if (text.size() < 1 + 1 + 16 || text.size() > kTokenBytesMax || text[0] != 'p') {
    return std::nullopt;
  }
  std::string_view tag_text = text.substr(text.size() - 16);
  std::string_view body = text.substr(0, text.size() - 16);
  uint64_t tag = 0;
  if (!TakeHex(tag_text, 16, tag) || tag != TagOf(core, body, {})) {
    return std::nullopt;
  }
  body.remove_prefix(1);
  DialogSide side;
  const bool is_good = TakeSide(body, side) && body.empty() && side.adjacent;
  return is_good ? std::optional(side) : std::nullopt;
}

}  // namespace gh::sip
