// The YMODEM receiver against any bytes in any pieces, with time passing in between.
//
// The input is a row of commands: a low byte sends that many of the bytes that follow, a high one
// lets time pass, and 0x80..0x8f send a well-formed block of the bytes that follow, so that the CRC
// does not keep mutations out. Whatever comes: no more data than the header promised, replies stay
// bounded, a transfer that is over stays over.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "image/ymodem.h"

namespace {

using namespace gh;
using image::YmodemEvent;

void Check(bool ok) {
  if (!ok) {
    std::abort();
  }
}

struct World {
  image::YmodemReceiver receiver;
  Instant now = {1};
  bool is_over = false;

  void Handle() {
    const YmodemEvent event = receiver.event();
    Check(receiver.reply().size() <= image::kYmodemReplySizeMax);
    Check(receiver.name().size() <= image::kYmodemNameSizeMax);
    Check(!receiver.size() || receiver.received() <= *receiver.size());
    if (event == YmodemEvent::kDone || event == YmodemEvent::kFailed) {
      Check((event == YmodemEvent::kFailed) != receiver.failure().ok());
      is_over = true;
    } else {
      Check(!is_over);
      if (event != YmodemEvent::kNone) {
        Check(event != YmodemEvent::kData ||
              (!receiver.data().empty() && receiver.data().size() <= image::kYmodemBlockSizeMax));
        receiver.Continue(now);
      }
    }
    receiver.ClearReply();
  }
  void Send(std::span<const uint8_t> bytes) {
    for (uint32_t turn = 0; !bytes.empty() && !is_over; ++turn) {
      Check(turn < 4096);
      bytes = bytes.subspan(receiver.Receive(bytes, now));
      Handle();
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> input(data, size);
  World world;
  world.receiver.Start(world.now);
  while (!input.empty()) {
    const uint8_t command = input[0];
    input = input.subspan(1);
    if (command < 0x80) {
      const auto bytes = input.first(std::min<size_t>(input.size(), command));
      world.Send(bytes);
      input = input.subspan(bytes.size());
    } else if (command < 0x90) {
      std::array<uint8_t, 133> block = {1, static_cast<uint8_t>(command & 15)};
      block[2] = static_cast<uint8_t>(~block[1]);
      const auto bytes = input.first(std::min<size_t>(input.size(), 128));
      std::copy(bytes.begin(), bytes.end(), block.begin() + 3);
      input = input.subspan(bytes.size());
      const uint16_t crc = image::YmodemCrc(std::span(block).subspan(3, 128));
      block[131] = static_cast<uint8_t>(crc >> 8);
      block[132] = static_cast<uint8_t>(crc);
      world.Send(block);
    } else {
      world.now = world.now + Duration::Milliseconds((command & 0x7f) * 40);
      world.receiver.Tick(world.now);
      world.Handle();
    }
  }
  return 0;
}
