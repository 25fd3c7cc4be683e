// NTP replies: whatever is accepted is a time the product can have lived in.
#include <cstdint>

#include "hal/rt/assert.h"
#include "net/packet.h"
#include "net/sntp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> packet(data, size);
  uint64_t nonce = 0;
  if (size >= 32) {
    nonce =
        static_cast<uint64_t>(gh::net::LoadBe32(data + 24)) << 32 | gh::net::LoadBe32(data + 28);
  }
  const auto reply = gh::net::ParseNtpReply(packet, nonce);
  if (reply.ok() && !reply->kiss_of_death) {
    GH_ASSERT_GE(reply->server_unix_ns, int64_t{1'704'067'200} * 1'000'000'000);
    GH_ASSERT_GE(reply->server_time.ns, 0);
    GH_ASSERT_GE(reply->stratum, 1);
  }
  GH_ASSERT(size < 48 ? !reply.ok() : true);
  return 0;
}
