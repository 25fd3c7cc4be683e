// The federation under whatever other servers send: the input is cut into pieces, each for one of
// four streams: one proved by its certificate, one with TLS and one without that have proved
// nothing, and one of ours, on which the other side answers. Nothing may fall, nobody who has
// proved nothing reaches a user, and nothing is left when all are gone.
#include <cstdint>
#include <cstdlib>

#include "tests/unit/s2s/site.h"

namespace {

using gh::s2s::test::Net;
using gh::s2s::test::Site;

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

constexpr char kHeader[] =
    "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' version='1.0' "
    "xmlns:stream='http://etherx.jabber.org/streams' from='other.org' to='example.com' id='1'>";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Net net;
  Site site(net, "example.com", "192.0.2.1");
  net.hosts["other.org"] = "192.0.2.2";
  site.speaks_for_others = true;
  site.world().AddUser("alice");
  const uint32_t free = site.federation().chains().free_count();
  gh::xmpp::test::Client alice(site.world(), 1);
  alice.LogIn("alice", "a");
  alice.Say("<presence/><message to='bob@other.org'><body>x</body></message>");
  net.Run();
  const auto proved = site.OpenRaw(true, {"other.org"});
  site.Say(proved, kHeader);
  site.Say(proved, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  site.Say(proved, kHeader);
  const auto secure = site.OpenRaw(true);
  const auto plain = site.OpenRaw(false);
  site.Say(plain, kHeader);
  const uint64_t before = site.counters().stanzas_in;
  bool only_strangers = true;
  while (size > 2) {
    const gh::net::StreamId streams[] = {proved, secure, plain, site.outgoing};
    const gh::net::StreamId stream = streams[data[0] % 4];
    only_strangers = only_strangers && (data[0] % 4 == 1 || data[0] % 4 == 2);
    const size_t count = std::min<size_t>(size - 2, data[1] * 4u + 1);
    site.Say(stream, {reinterpret_cast<const char*>(data + 2), count});
    data += 2 + count;
    size -= 2 + count;
  }
  Require(!only_strangers || site.counters().stanzas_in == before);
  site.federation().Disconnect("");
  net.Run();
  for (int i = 0; i < 8; ++i) {
    site.Turn(11);
  }
  Require(site.federation().link_count() == 0);
  Require(site.federation().reader_count() == 0);
  Require(site.federation().chains().free_count() == free);
  return 0;
}
