// The federation under whatever other servers send: the input is cut into pieces, each for one of
// seven streams: one proved by its certificate, one with TLS and one without that have proved
// nothing, one of ours, on which the other side answers, a component that has proved nothing and
// one that has, and one at the door for devices inside. Our user goes by an e-mail address, and
// lets everybody see what he has published. Nothing may fall, nobody who has proved nothing reaches
// a user, and nothing is left when all are gone.
#include <cstdint>
#include <cstdlib>

#include "crypto/legacy.h"
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

constexpr char kComponent[] =
    "<stream:stream xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams' to='bot.example.com'>";

gh::net::StreamId ProvedComponent(Site& site) {
  const auto stream = site.OpenRaw(true, {}, gh::s2s::Door::kComponents);
  const std::string said = site.Say(stream, kComponent);
  const size_t at = said.find(" id='") + 5;
  gh::crypto::Sha1 digest;
  digest.Update(said.substr(at, said.find('\'', at) - at) + "hush");
  uint8_t bytes[40];
  gh::ByteWriter hex(bytes);
  hex.HexBytes(digest.Finish());
  site.Say(stream, "<handshake>" + std::string(hex.text()) + "</handshake>");
  return stream;
}

void AddPartners(Site& site) {
  site.config.partners[0].domain.Assign("bot.example.com");
  site.config.partners[0].secret.Assign("hush");
  site.config.partners[1].domain.Assign("*.inside.net");
  site.config.partners[1].peer.Assign("core.inside.net");
  site.config.partner_count = 2;
  site.config.emails = true;
  site.config.resume = gh::Duration::Seconds(30);
  site.Apply();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gh::test::Memory::keeps = true;
  Net net;
  const gh::s2s::Capacity few{16, 3, 4, 4, 1500};
  Site site(net, "example.com", "192.0.2.1", few, gh::xmpp::test::World::FewestCapacity());
  net.hosts["other.org"] = "192.0.2.2";
  site.speaks_for_others = true;
  gh::xmpp::Engine& engine = site.world().engine();
  gh::xmpp::Account& account = *site.world().AddUser("alice");
  Require(engine.directory().SetEmail(account, "alice@mail.example").ok());
  Require(engine.SetPolicy(account, gh::xmpp::UserPolicy::kAllow).ok());
  AddPartners(site);
  const uint32_t free = site.federation().chains().free_count();
  gh::xmpp::test::Client alice(site.world(), 1);
  alice.LogIn("alice", "a");
  alice.Say("<presence/><message to='bob@other.org'><body>x</body></message>");
  alice.Say(
      "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
      "<publish node='tune'><item id='1'><t xmlns='urn:t'/></item></publish></pubsub></iq>");
  net.Run();
  const auto proved = site.OpenRaw(true, {"other.org"});
  site.Say(proved, kHeader);
  site.Say(proved, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  site.Say(proved, kHeader);
  const auto secure = site.OpenRaw(true);
  const auto plain = site.OpenRaw(false);
  site.Say(plain, kHeader);
  const auto stranger = site.OpenRaw(true, {}, gh::s2s::Door::kComponents);
  const auto component = ProvedComponent(site);
  const auto device = site.OpenRaw(true, {}, gh::s2s::Door::kRelay);
  const uint64_t before = site.counters().stanzas_in;
  bool only_strangers = true;
  while (size > 2) {
    const gh::net::StreamId streams[] = {proved,   secure,    plain,  site.outgoing,
                                         stranger, component, device, proved};
    const gh::net::StreamId stream = streams[data[0] % 8];
    const bool is_strange =
        stream == secure || stream == plain || stream == stranger || stream == device;
    only_strangers = only_strangers && is_strange;
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
