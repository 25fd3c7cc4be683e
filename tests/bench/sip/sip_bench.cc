// The SIP engine's CPU cost, in one process over the test network (whose copies and records are
// part of the figure; sip_race.py measures the whole appliance): parsing, REGISTER
// with and without digest, a proxied call (INVITE 100 180 200 ACK BYE 200), bytes per registration
// and call, and the dial plan's search by the number of its rules.
#include <time.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/dialplan/rules.h"
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

// What keeps a way open or asks whether we are there; each with a branch of its own.
void BenchOptions(Bench& bench) {
  const char* name = "OPTIONS for us (200)";
  if (!bench.Wants(name)) {
    return;
  }
  World world(BenchConfig(false), BenchCapacity(), size_t{1} << 30);
  world.record = false;
  Phone phone(world, "alice", "192.0.2.20:5060");
  constexpr int kRequests = 20'000;
  std::vector<std::string> texts;
  int round = 0;
  bench.Run(
      name, kRequests,
      [&](uint64_t count) {
        for (uint64_t i = 0; i < count; ++i) {
          world.Deliver(phone.at(), texts[i]);
        }
      },
      [&] {
        texts.clear();
        world.Advance(Duration::Seconds(40));  // the round's transactions end
        ++round;
        for (int i = 0; i < kRequests; ++i) {
          Phone::Spec spec{.method = "OPTIONS", .uri = "sip:example.com", .to = phone.uri()};
          spec.branch = "z9hG4bK" + std::to_string(round) + "o" + std::to_string(i);
          texts.push_back(phone.Build(spec));
        }
      });
}

// Texts are made beforehand: only the engine is timed.
void BenchRegister(Bench& bench, bool digest, bool sha256) {
  const char* name = !digest  ? "REGISTER, no digest"
                     : sha256 ? "REGISTER with SHA-256 credentials"
                              : "REGISTER with MD5 credentials";
  if (!bench.Wants(name)) {
    return;
  }
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
        spec.headers = phone.Authorization(world.Take(), "REGISTER", spec.uri, "secret",
                                           sha256 ? kSha256 : kMd5);
        spec.cseq = 2 * cseq + 1;
        world.events.clear();
        world.Clear();
      }
      texts.push_back(phone.Build(spec));
      from.push_back(phone.at());
    }
    world.record = false;
  };
  bench.Run(
      name, kUsers,
      [&](uint64_t count) {
        for (uint64_t i = 0; i < count; ++i) {
          world.Deliver(from[i], texts[i]);
        }
      },
      prepare);
  if (world.engine().registration_count() != kUsers) {
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

// Many calls at once, step by step: what all phones send in a step is made beforehand, and only the
// engine's CPU time counts. The timers of all these calls are part of their cost.
class CallBench {
 public:
  CallBench() : world_(BenchConfig(false), BenchCapacity(), size_t{1} << 30) {
    alice_.Register();
    bob_.Register();
    body_ = FixLength(Crlf(kInvite));
    body_ = body_.substr(body_.find("v=0"));
  }
  double NanosecondsPerCall() {
    for (int round = 0; round < kRounds; ++round) {
      Round();
    }
    return static_cast<double>(inside_) / kRounds / kCalls;
  }
  uint64_t done() const { return done_; }
  static constexpr int kCalls = 2'000;
  static constexpr int kRounds = 6;

 private:
  using Texts = std::vector<std::string>;

  std::vector<Sent> Step(Phone& from, Phone& to, const Texts& texts) {
    const uint64_t before = CpuTime();
    for (const std::string& text : texts) {
      world_.Deliver(from.at(), text);
    }
    inside_ += CpuTime() - before;
    std::vector<Sent> got;
    while (!world_.empty()) {
      Sent sent = world_.Take();
      if (sent.to == to.at()) {
        got.push_back(std::move(sent));
      }
    }
    world_.events.clear();
    return got;
  }
  void Round() {
    Texts texts;
    for (int i = 0; i < kCalls; ++i) {
      Phone::Spec spec{.method = "INVITE", .uri = bob_.uri()};
      spec.call_id = "call" + std::to_string(++number_);
      spec.headers = "Content-Type: application/sdp\n";
      spec.body = body_;
      texts.push_back(alice_.Build(spec));
    }
    const auto invites = Step(alice_, bob_, texts);
    texts.clear();
    for (const Sent& invite : invites) {
      texts.push_back(bob_.Response(invite, 180));
    }
    Step(bob_, alice_, texts);
    texts.clear();
    for (const Sent& invite : invites) {
      texts.push_back(bob_.Response(invite, 200, "tt", {}, body_));
    }
    const auto answers = Step(bob_, alice_, texts);
    Step(alice_, bob_, InDialog(answers, "ACK", 1));
    const auto byes = Step(alice_, bob_, InDialog(answers, "BYE", 2));
    texts.clear();
    for (const Sent& bye : byes) {
      texts.push_back(bob_.Response(bye, 200));
    }
    done_ += Step(bob_, alice_, texts).size();
    const uint64_t before = CpuTime();
    world_.Advance(Duration::Seconds(70));
    inside_ += CpuTime() - before;
    world_.Clear();
  }
  Texts InDialog(const std::vector<Sent>& answers, const char* method, int cseq) {
    Texts texts;
    for (const Sent& answer : answers) {
      Phone::Spec spec{.method = method, .uri = "sip:bob@192.0.2.30:5060", .to = bob_.uri()};
      spec.to_tag = "tt";
      spec.call_id = answer.Header("Call-ID");
      spec.cseq = cseq;
      spec.headers = RouteSet(answer, true);
      texts.push_back(alice_.Build(spec));
    }
    return texts;
  }

  World world_;
  Phone alice_{world_, "alice", "192.0.2.20:5060"};
  Phone bob_{world_, "bob", "192.0.2.30:5060"};
  std::string body_;
  int number_ = 0;
  uint64_t inside_ = 0;
  uint64_t done_ = 0;
};

void BenchCall(Bench& bench) {
  constexpr std::string_view kName = "proxied call, six messages, timers, test network";
  if (!bench.Wants(kName)) {
    return;
  }
  CallBench calls;
  const double cost = calls.NanosecondsPerCall();
  if (calls.done() != uint64_t{CallBench::kCalls} * CallBench::kRounds) {
    std::fprintf(stderr, "only %lu calls went well\n", calls.done());
    std::exit(1);
  }
  bench.Report(kName, cost, "ns/call, CPU");
}

// What a call costs that is sent away (INVITE, 503, ACK): a tenth of one that is served may be
// spent on it, or twice the load cannot be borne.
void BenchRefusal(Bench& bench) {
  constexpr uint64_t kCalls = 20'000;
  Config config = BenchConfig(false);
  config.occupancy_max = 900;
  World world(config, BenchCapacity(), size_t{1} << 30);
  for (int i = 0; i < 100; ++i) {
    world.engine().OnOccupancy(1000);
  }
  world.record = false;
  Phone phone(world, "alice", "192.0.2.20:5060");
  const std::string body = FixLength(Crlf(kInvite)).substr(FixLength(Crlf(kInvite)).find("v=0"));
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < kCalls; ++i) {
    Phone::Spec spec{.method = "INVITE", .uri = "sip:bob@example.com"};
    spec.call_id = "refused" + std::to_string(i);
    spec.headers = "Content-Type: application/sdp\n";
    spec.body = body;
    texts.push_back(phone.Build(spec));
    spec = {.method = "ACK", .uri = spec.uri, .to_tag = "x", .call_id = spec.call_id};
    spec.branch = phone.last_branch();
    texts.push_back(phone.Build(spec));
  }
  bench.Run("refused call (INVITE, 503, ACK), overload", kCalls, [&](uint64_t count) {
    for (uint64_t i = 0; i < 2 * count; ++i) {
      world.Deliver(phone.at(), texts[i]);
    }
  });
}

void ReportMemory(Bench& bench) {
  bench.Report("memory per registration", static_cast<double>(Registrar::bytes_per_registration()),
               "bytes");
  bench.Report("memory per call in progress", static_cast<double>(CallTable::bytes_per_call()),
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
  gh::sip::test::BenchOptions(bench);
  gh::sip::test::BenchRegister(bench, false, false);
  gh::sip::test::BenchRegister(bench, true, true);
  gh::sip::test::BenchRegister(bench, true, false);
  gh::sip::test::BenchCall(bench);
  gh::sip::test::BenchRefusal(bench);
  gh::sip::test::ReportMemory(bench);
  gh::dialplan::BenchRules(bench);
  return bench.Finish();
}
