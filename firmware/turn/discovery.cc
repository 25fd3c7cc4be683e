// Behaviour discovery (RFC 5780): what a NAT does to a client's datagrams, told by answering from
// another address or port. On only where the operator wants it; the buckets for strangers hold.
//
// Fault model: anybody may ask. Of what is sent by a stranger's word only the port of the answer is
// his choice (RESPONSE-PORT), never its address; the answer is padded only up to the request.
#include "firmware/turn/engine.h"

namespace gh::turn {
namespace {

constexpr uint32_t kChangeAddress = 4;
constexpr uint32_t kChangePort = 2;
constexpr size_t kAttributeHeader = 4;

}  // namespace

void Engine::AnswerDiscovery(const ClientPath& path, const Message& message) {
  const bool has_two = config_.discovery.address.is_v4() && path.local.address.is_v4();
  const net::IpAddress& second = config_.discovery.address;
  const bool is_second = has_two && path.local.address == second;
  const net::IpAddress& first = config_.relay[kIpv4Index];
  net::Endpoint other{path.local.address, config_.discovery.port};
  if (path.local.port == config_.discovery.port) {
    other.port = config_.discovery_first_port;
  }
  if (has_two) {
    other.address = is_second ? first : second;
  }
  const auto change = message.U32(kChangeRequest);
  const auto response = message.U32(kResponsePort);
  const bool is_valid_port = response.ok() && *response >> 16 >= 1024;
  const bool changes_address = change.ok() && (*change & kChangeAddress) != 0;
  // RFC 5780 6.1: what cannot be done is a 420, not another answer; ports of the system are no
  // target for a stranger's word.
  Builder builder(out_, Class::kSuccess, message.method(), message.transaction());
  if ((message.Has(kResponsePort) && (!is_valid_port || message.Has(kPadding))) ||
      (message.Has(kChangeRequest) && !change.ok()) || (changes_address && !has_two)) {
    return;
  }
  net::Endpoint from = path.local;
  from.address = changes_address ? other.address : from.address;
  from.port = change.ok() && (*change & kChangePort) != 0 ? other.port : from.port;
  builder.XorAddress(kXorMappedAddress, path.remote);
  builder.PlainAddress(kMappedAddress, path.remote);
  builder.PlainAddress(kResponseOrigin, from);
  if (has_two) {
    builder.PlainAddress(kOtherAddress, other);
  }
  if (message.Has(kPadding)) {
    const size_t written = builder.Finish().size() + kAttributeHeader;
    const size_t size = message.Value(kPadding).size();
    if (written + size <= message.size() + 64 && size <= kMessageMax) {
      static constexpr std::array<uint8_t, kMessageMax> kZeros = {};
      builder.Bytes(kPadding, std::span(kZeros).first(size));
    }
  }
  net::Endpoint to = path.remote;
  to.port = is_valid_port ? static_cast<uint16_t>(*response >> 16) : to.port;
  ++counters_.sent_to_clients;
  const auto bytes = builder.Finish();
  if (!bytes.empty()) {
    ports_.relay.Send(from, to, bytes, false).ignore("datagrams may be lost");
  }
}

}  // namespace gh::turn
