// An ACME authority that says anything: the input is cut at 0xff into answers, each with a status
// and a body. Whatever it says, an order ends once or waits, offers nothing after its end, and
// sends only to https URLs.
#include <cstdlib>
#include <string_view>
#include <vector>

#include "firmware/acme/order.h"
#include "tests/unit/crypto/doubles.h"

namespace {

using namespace gh;

struct Port final : acme::OrderPort {
  Result<void> Send(const acme::Ask& ask) override {
    if (!ask.url.starts_with("https://") && !ask.url.starts_with("HTTPS://") &&
        ask.url.substr(0, 5).size() == 5 && (ask.url[4] | 0x20) != 's') {
      std::abort();
    }
    return Ok();
  }
  Result<void> Offer(const acme::Proof&) override {
    is_offered = true;
    return Ok();
  }
  void Withdraw() override { is_offered = false; }
  void OnOrderEnd(Result<std::string_view>) override {
    if (++ends > 1 || is_offered) {
      std::abort();
    }
  }
  bool is_offered = false;
  int ends = 0;
};

struct World {
  World() : bytes(4 << 20), arena(bytes), heap(arena, 1 << 20), room(acme::kRequestBytesMax) {
    if (!key.GenerateEc(crypto::KeyType::kEcP256).ok()) {
      std::abort();
    }
  }
  std::vector<uint8_t> bytes;
  Arena arena;
  Heap heap;
  std::vector<uint8_t> room;
  crypto::FixedClock clock;
  crypto::SeededEntropy entropy;
  crypto::Random random{entropy};
  crypto::TlsEnvironment environment{heap, random, clock};
  crypto::SoftwareKey key{environment};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  Port port;
  static acme::Order* order = nullptr;
  delete order;
  order = new acme::Order(port, world.key, world.room);
  crypto::AlternativeName name;
  name.dns = "a.example";
  const acme::Wanted wanted = {.directory = "https://ca/dir",
                               .contact = {},
                               .terms_agreed = true,
                               .binding = {},
                               .names = {&name, 1},
                               .request = {}};
  Instant now;
  if (!order->Start(wanted, now).ok()) {
    std::abort();
  }
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (!rest.empty() && order->is_active()) {
    const size_t end = std::min(rest.find('\xff'), rest.size());
    std::string_view body = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const bool is_bad = body.starts_with('!');
    body.remove_prefix(is_bad ? 1 : 0);
    order->OnAnswer({is_bad ? 400u : 200u, "nonce", "https://ca/x", 0, body}, now);
    now = now + Duration::Seconds(4);
    order->OnTimer(now);
  }
  order->Cancel();
  if (port.is_offered) {
    std::abort();
  }
  delete order;
  order = nullptr;
  return 0;
}
