// An SSH client with known keys: messages of any kind and content, first of log-in, then of the
// channels behind it. The input is a list of messages, each with a size of two bytes before it; an
// odd first byte logs in properly before they are sent.
#include <cstdint>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "tests/unit/ssh/client.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::ssh;
  if (size < 1) {
    return 0;
  }
  static test::World world;
  world.sessions.clear();
  world.Open();
  test::Client client(world);
  GH_ASSERT(client.Handshake());
  const bool logs_in = (data[0] & 1) != 0;
  GH_ASSERT(client.StartService());
  if (logs_in) {
    client.SendPassword("admin", "right");
    GH_ASSERT(world.connection->is_logged_in());
  }
  gh::ByteReader in({data + 1, size - 1});
  for (int count = 0; count < 200 && !in.at_end() && !world.connection->is_over(); ++count) {
    const auto payload = in.Take(std::min<size_t>(in.U16Be() % 4096, in.remaining()));
    if (!payload.empty() && payload[0] != kMsgKexInit && payload[0] != kMsgNewKeys) {
      client.Send(payload);
    }
    world.clock.now = world.clock.now + gh::Duration::Seconds(1);
    world.connection->Tick(world.clock.now);
  }
  GH_ASSERT_LE(world.connection->channel_count(), kChannelsPerConnection);
  world.connection.reset();
  GH_ASSERT_EQ(world.channels.used_count(), 0u);
  return 0;
}
