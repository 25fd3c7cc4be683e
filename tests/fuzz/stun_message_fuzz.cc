// The STUN codec: any bytes as a message, a stream's head and ChannelData. What parses is walked by
// every accessor; what is written from it parses again, and is authentic under the key it was
// signed with and under no other.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "crypto/init.h"
#include "firmware/turn/stun.h"

namespace {

using gh::turn::Builder;
using gh::turn::Integrity;
using gh::turn::Message;

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void Walk(const Message& message, std::span<const uint8_t> bytes) {
  const uint8_t key[16] = {1, 2, 3};
  for (uint32_t type = 0; type < 0x40; ++type) {
    for (const uint32_t high : {0u, 0x8000u}) {
      const auto attribute = static_cast<uint16_t>(type | high);
      const auto value = message.Value(attribute);
      Require(value.empty() || (value.data() >= bytes.data() &&
                                value.data() + value.size() <= bytes.data() + bytes.size()));
      (void)message.U32(attribute);
      (void)message.Text(attribute);
      for (uint32_t i = 0; i <= message.Count(attribute); ++i) {
        (void)message.XorAddress(attribute, i);
      }
    }
  }
  Require(message.unknown().size() <= gh::turn::kUnknownMax);
  Require(message.integrity() != Integrity::kNone || !message.IsAuthentic(key));
}

void RoundTrip(const Message& message) {
  uint8_t key[32] = {9, 9};
  for (const Integrity integrity : {Integrity::kSha1, Integrity::kSha256}) {
    uint8_t out[gh::turn::kMessageMax];
    Builder builder(out, message.cls(), message.method(), message.transaction());
    builder.Text(gh::turn::kUserName, message.Text(gh::turn::kUserName));
    builder.Bytes(gh::turn::kData, message.Value(gh::turn::kData));
    if (const auto peer = message.XorAddress(gh::turn::kXorPeerAddress); peer.ok()) {
      builder.XorAddress(gh::turn::kXorPeerAddress, *peer);
    }
    builder.Sign(integrity, key);
    builder.Fingerprint();
    const auto bytes = builder.Finish();
    if (bytes.empty()) {
      return;  // the header of the integrity had no room
    }
    const auto again = Message::Parse(bytes);
    Require(again.ok() && again->method() == message.method() && again->cls() == message.cls());
    Require(again->IsAuthentic(key));
    key[0] ^= 1;
    Require(!again->IsAuthentic(key));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool initialised = [] {
    gh::crypto::Initialise();
    return true;
  }();
  Require(initialised);
  const std::vector<uint8_t> copy(data, data + size);
  if (const auto message = Message::Parse(copy); message.ok()) {
    Walk(*message, copy);
    RoundTrip(*message);
  }
  if (const auto frame = gh::turn::FrameSize(copy); frame.ok()) {
    Require(*frame <= gh::turn::kMessageMax);
  }
  if (const auto channel = gh::turn::ParseChannelData(copy); channel.ok()) {
    Require(channel->data.size() + gh::turn::kChannelHeaderSize <= copy.size());
  }
  return 0;
}
