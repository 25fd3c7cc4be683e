// An SSH client before log-in: any bytes, in any pieces, with time passing. The server may end the
// connection; it never logs anybody in and never says more than it has room for.
#include <cstdint>

#include "hal/rt/assert.h"
#include "tests/unit/ssh/client.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::ssh;
  static test::World world;
  world.Open();
  std::span<const uint8_t> bytes(data, size);
  while (!bytes.empty() && !world.connection->is_over()) {
    const size_t piece = std::min<size_t>(bytes.size(), 1 + (bytes[0] & 0x7f) * size_t{9});
    const size_t taken = world.connection->Receive(bytes.first(piece), world.clock.now);
    GH_ASSERT_LE(taken, piece);
    bytes = bytes.subspan(piece);
    Transport& transport = world.connection->transport();
    transport.ConsumeOutput(transport.output().size());
    if (!world.connection->is_over()) {
      world.connection->Pump(world.clock.now);
    }
    world.clock.now = world.clock.now + gh::Duration::Milliseconds(10);
  }
  GH_ASSERT(!world.connection->is_logged_in());
  GH_ASSERT(!world.connection->transport().is_open() || size > 64);
  return 0;
}
