// The SIP engine's own CPU cost, in one process over a network that only counts: parsing, REGISTER
// with and without digest, a proxied call (INVITE 100 180 200 ACK BYE 200), and bytes per
// registration.
#include <time.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

constexpr char kInvite[] =
    "INVITE sip:bob@example.com SIP/2.0\n"
    "Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK776asdhds;rport\n"
    "Max-Forwards: 70\n"
    "To: Bob <sip:bob@example.com>\n"
    "From: Alice <sip:alice@example.com>;tag=1928301774\n"
    "Call-ID: a84b4c76e66710@pc33.example.com\n"
    "CSeq: 314159 INVITE\n"
    "Contact: <sip:alice@192.0.2.20:5060>\n"
    "Allow: INVITE,ACK,BYE,CANCEL,OPTIONS,NOTIFY,SUBSCRIBE,INFO,MESSAGE,UPDATE,REFER\n"
    "Supported: gruu,outbound,replaces\n"
    "User-Agent: bench\n"
    "Content-Type: application/sdp\n"
    "Content-Length: 142\n\n"
    "v=0\no=alice 2890844526 2890844526 IN IP4 192.0.2.20\ns=-\nc=IN IP4 192.0.2.20\nt=0 0\n"
    "m=audio 49172 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=sendrecv\n";

std::string FixLength(std::string wire) {
  const size_t body = wire.find("\r\n\r\n") + 4;
  const size_t at = wire.find("Content-Length: ") + 16;
  wire.replace(at, wire.find("\r\n", at) - at, std::to_string(wire.size() - body));
  return wire;
}

Config BenchConfig(bool digest) {
  Config config = World::DefaultConfig();
  config.authenticate_register = digest;
  return config;
}

Capacity BenchCapacity() {
  Capacity c = Capacity::For(200'000, 16, 20'000, 500);
  return c;
}

void BenchParser(Bench& bench) {
  const std::string invite = FixLength(Crlf(kInvite));
  bench.Run("parse INVITE (" + std::to_string(invite.size()) + " bytes): index", 200'000,
            [&](uint64_t count) {
              Message message;
              for (uint64_t i = 0; i < count; ++i) {
                KeepAlive(message.Index(AsBytes(invite)).ok());
              }
            });
  bench.Run("parse INVITE: index and check", 200'000, [&](uint64_t count) {
    Message message;
    for (uint64_t i = 0; i < count; ++i) {
      KeepAlive(message.Index(AsBytes(invite)).ok());
      KeepAlive(message.Check(true).status);
    }
  });
}

// Texts are made beforehand: only the engine is timed.
void BenchRegister(Bench& bench, bool digest, bool sha256) {
  World world(BenchConfig(digest), BenchCapacity(), size_t{1} << 30);
  world.record = false;
  constexpr int kUsers = 20'000;
  std::vector<std::string> texts;
  std::vector<net::Endpoint> from;
  int cseq = 0;
  const auto prepare = [&] {
    texts.clear();
    from.clear();
    ++cseq;
    world.record = digest;
    for (int i = 0; i < kUsers; ++i) {
      const std::string user = "user" + std::to_string(i);
      world.users[user] = "secret";
      Phone phone(world, user, "192.0.2.20:5060");
      Phone::Spec spec{.method = "REGISTER", .uri = "sip:example.com", .to = phone.uri()};
      spec.call_id = user + "@192.0.2.20";
      spec.cseq = 2 * cseq;
      spec.branch = "z9hG4bK" + std::to_string(cseq) + user;
      if (digest) {
        phone.Send(spec);
        spec.headers = phone.Authorization(world.Take(), "REGISTER", spec.uri, "secret", sha256);
        spec.cseq = 2 * cseq + 1;
        world.events.clear();
        world.Clear();
      }
      texts.push_back(phone.Build(spec));
      from.push_back(phone.at());
    }
    world.record = false;
  };
  const char* name = !digest  ? "REGISTER, no digest"
                     : sha256 ? "REGISTER with SHA-256 credentials"
                              : "REGISTER with MD5 credentials";
  bench.Run(
      name, kUsers,
      [&](uint64_t count) {
        for (uint64_t i = 0; i < count; ++i) {
          world.Deliver(from[i], texts[i]);
        }
      },
      prepare);
  if (bench.Wants(name) && world.engine().registration_count() != kUsers) {
    std::fprintf(stderr, "only %u registered\n", world.engine().registration_count());
    std::exit(1);
  }
}

void BenchChallenge(Bench& bench) {
  World world(BenchConfig(true), BenchCapacity(), size_t{1} << 30);
  world.record = false;
  Phone phone(world, "alice", "192.0.2.20:5060");
  const std::string text =
      phone.Build({.method = "REGISTER", .uri = "sip:example.com", .to = phone.uri()});
  bench.Run("REGISTER without credentials (401)", 50'000, [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      world.Deliver(phone.at(), text);
    }
  });
}

uint64_t CpuTime() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

// Whole calls, one after the other; CPU time inside the engine only, not of the phones' own work.
void BenchCall(Bench& bench) {
  World world(BenchConfig(false), BenchCapacity(), size_t{1} << 30);
  Phone alice(world, "alice", "192.0.2.20:5060");
  Phone bob(world, "bob", "192.0.2.30:5060");
  alice.Register();
  bob.Register();
  constexpr int kCalls = 2'000;
  uint64_t inside = 0;
  uint64_t done = 0;
  const auto time = [&](const net::Endpoint& from, const std::string& text) {
    const uint64_t before = CpuTime();
    world.Deliver(from, text);
    inside += CpuTime() - before;
  };
  int number = 0;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < kCalls; ++i) {
      const std::string id = "call" + std::to_string(++number);
      Phone::Spec spec{.method = "INVITE", .uri = bob.uri(), .call_id = id};
      spec.headers = "Content-Type: application/sdp\n";
      spec.body = FixLength(Crlf(kInvite)).substr(FixLength(Crlf(kInvite)).find("v=0"));
      time(alice.at(), alice.Build(spec));
      alice.Take();
      const Sent invite = bob.Take();
      time(bob.at(), bob.Response(invite, 180));
      alice.Take();
      time(bob.at(), bob.Response(invite, 200, "tt", {}, spec.body));
      const Sent answer = alice.Take();
      Phone::Spec next{.method = "ACK",
                       .uri = "sip:bob@192.0.2.30:5060",
                       .to = bob.uri(),
                       .to_tag = "tt",
                       .call_id = id};
      next.headers = RouteSet(answer, true);
      time(alice.at(), alice.Build(next));
      bob.Take();
      next.method = "BYE";
      next.cseq = 2;
      time(alice.at(), alice.Build(next));
      time(bob.at(), bob.Response(bob.Take(), 200));
      done += alice.Take().Status() == 200 ? 1 : 0;
      world.events.clear();
    }
    const uint64_t before = CpuTime();
    world.Advance(Duration::Seconds(70));  // the timers of all these calls are part of their cost
    inside += CpuTime() - before;
    world.Clear();
  }
  if (done != 5u * kCalls) {
    std::fprintf(stderr, "only %lu calls went well\n", done);
    std::exit(1);
  }
  bench.Report("proxied call, six messages in, timers", static_cast<double>(inside) / 5 / kCalls,
               "ns/call");
}

void ReportMemory(Bench& bench) {
  bench.Report("memory per registration", static_cast<double>(Registrar::bytes_per_registration()),
               "bytes");
  bench.Report("memory per idle stream", static_cast<double>(SipTransport::bytes_per_stream()),
               "bytes");
  bench.Report("memory per server transaction",
               static_cast<double>(TransactionLayer::bytes_per_server()), "bytes and its buffers");
  bench.Report("memory per client transaction",
               static_cast<double>(TransactionLayer::bytes_per_client()), "bytes and its buffers");
}

}  // namespace
}  // namespace gh::sip::test

int main(int argc, char** argv) {
  gh::Bench bench(argc, argv);
  gh::sip::test::BenchParser(bench);
  gh::sip::test::BenchChallenge(bench);
  gh::sip::test::BenchRegister(bench, false, false);
  gh::sip::test::BenchRegister(bench, true, true);
  gh::sip::test::BenchRegister(bench, true, false);
  gh::sip::test::BenchCall(bench);
  gh::sip::test::ReportMemory(bench);
  return bench.Finish();
}
