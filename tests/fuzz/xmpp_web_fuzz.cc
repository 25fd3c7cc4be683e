// Whatever browsers send: the input is cut into pieces, each for one of three connections, one of
// which is a WebSocket, and one in the middle of a file. Nothing may fall, and nothing may be left
// when all are gone.
#include <cstdint>
#include <cstdlib>

#include "tests/unit/xmpp/web_world.h"

using gh::xmpp::test::WebWorld;
using gh::xmpp::test::World;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gh::test::Memory::keeps = true;
  World world(World::FewestCapacity(), World::FewBytes());
  const bool with_files = size > 0 && data[0] % 4 == 3;  // they cost time
  WebWorld web(world, with_files, 2, {4, 2, 1024});
  gh::xmpp::Uploads::Slot slot;
  if (with_files) {
    (void)web.uploads->Ask({"a@example.com", "example.com", "f", "", 300}, 1, slot);
  }
  gh::net::StreamId ids[] = {web.Open(), web.Open(), web.Open()};
  web.Say(ids[0],
          "GET /xmpp-websocket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
          "Sec-WebSocket-Protocol: xmpp\r\n\r\n");
  const std::string_view put = slot.put.view();
  if (with_files) {
    web.Say(ids[1], "PUT " + std::string(put.substr(put.find("/upload"))) +
                        " HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n");
  }
  while (size > 2) {
    const gh::net::StreamId id = ids[data[0] % 3];
    const size_t count = std::min<size_t>(size - 2, data[1] * 4u + 1);
    const std::string_view piece(reinterpret_cast<const char*>(data + 2), count);
    // Half of what goes to the WebSocket is framed for it.
    web.Say(id, data[0] >= 128 && data[0] % 3 == 0
                    ? gh::net::test::ClientFrame(0x81, std::string(piece))
                    : std::string(piece));
    data += 2 + count;
    size -= 2 + count;
  }
  for (const gh::net::StreamId id : ids) {
    web.Cut(id);
  }
  web.Turn(gh::Duration::Seconds(gh::xmpp::kUnprovenSeconds + 1));
  web.Turn(gh::Duration::Seconds(gh::xmpp::kBoshInactivitySeconds + 1));
  if (web.web().connection_count() != 0 || web.web().bosh_count() != 0 ||
      world.engine().session_count() != 0 || world.engine().reader_count() != 0) {
    std::abort();
  }
  return 0;
}
