// Keep-alives by STUN at the SIP port (RFC 5626 4.4.2, RFC 8489): a binding request is answered
// with where it came from, so that a phone behind NAT keeps its way open and sees when it has
// changed. Anything else that looks like STUN is dropped. The answer is no more than twice what was
// asked, so nobody can aim it at others to gain by it.
#include "firmware/sip/transport.h"

namespace gh::sip {
namespace {

constexpr size_t kHeaderBytes = 20;
constexpr uint32_t kCookie = 0x2112a442;
constexpr uint16_t kBindingRequest = 0x0001;
constexpr uint16_t kBindingSuccess = 0x0101;
constexpr uint16_t kXorMappedAddress = 0x0020;

}  // namespace

bool SipTransport::TakeStun(const Flow& flow, std::span<const uint8_t> data) {
  // SIP begins with a letter; the two highest bits of STUN's first byte are zero.
  if (data.size() < kHeaderBytes || data[0] > 3) {
    return false;
  }
  ByteReader in(data);
  const uint16_t type = in.U16Be();
  const uint16_t length = in.U16Be();
  const bool is_stun = in.U32Be() == kCookie && length + kHeaderBytes == data.size();
  const auto id = in.Take(12);
  ++core_.statistics.keep_alives;
  if (!is_stun || type != kBindingRequest) {
    return true;
  }
  const net::Endpoint& from = flow.remote;
  const size_t address_bytes = from.address.byte_count();
  uint8_t bytes[64];
  ByteWriter out(bytes);
  out.U16Be(kBindingSuccess);
  out.U16Be(static_cast<uint16_t>(8 + address_bytes));
  out.U32Be(kCookie);
  out.Bytes(id);
  out.U16Be(kXorMappedAddress);
  out.U16Be(static_cast<uint16_t>(4 + address_bytes));
  out.U16Be(from.address.is_v6() ? 2 : 1);
  out.U16Be(static_cast<uint16_t>(from.port ^ (kCookie >> 16)));
  for (size_t i = 0; i < address_bytes; ++i) {
    out.U8(from.address.bytes[i] ^ bytes[4 + i]);  // cookie, then the transaction's number
  }
  GH_ASSERT(out.ok());
  SendByUdp(flow, out.written()).ignore("it asks again");
  return true;
}

}  // namespace gh::sip
