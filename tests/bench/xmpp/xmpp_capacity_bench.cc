// The large profile's 100,000 XMPP sessions, opened: the engine with the pools of that profile, a
// user to each session, lists of 50 with names and a group, everybody seen by all of his list. No
// TLS, no sockets, no disk: what those take of a session is added by what they reserve for one, and
// tests/unit hold real streams to that (TlsClientAuth.AnIdleStreamIsCheap). Closes with an error
// when a session is refused, somebody's presence is missing or a session is beyond the goal.
//
//   xmpp_capacity_bench [USERS]
#include <cstdio>
#include <cstdlib>

#include "net/limits.h"
#include "net/tls_streams.h"
#include "tests/bench/bench.h"
#include "tests/unit/xmpp/crowd.h"

namespace gh::xmpp {
namespace {

using test::Crowd;

constexpr uint32_t kUsers = 100'000;
constexpr uint64_t kGoalBytes = 20 * 1024;
// firmware/capacity.cc: kBytesPerNetConnection, and a place. At rest it has nothing in a buffer.
constexpr uint64_t kTcpBytes = 1024 + 16;

[[noreturn]] void Die(const char* why) {
  std::printf("xmpp_capacity: %s\n", why);
  std::exit(1);
}

void Tell(const char* what, double value, const char* unit) {
  std::printf("%-56s %12.0f %s\n", what, value, unit);
}

int Run(uint32_t wanted) {
  const uint32_t users = wanted / Crowd::kGroup * Crowd::kGroup;
  Crowd crowd(Capacity::For(wanted, wanted), users);
  const ChainPool& chains = crowd.world().engine().chains();
  double begun = CpuNanoseconds();
  if (!crowd.BringLists()) {
    Die("a list is not taken");
  }
  const double contacts = double{Crowd::kContacts} * users;
  Tell("contacts brought, both ways", contacts, "");
  Tell("  each", (CpuNanoseconds() - begun) / contacts, "ns");
  const uint64_t listed = crowd.block_bytes();
  begun = CpuNanoseconds();
  for (uint32_t user = 0; user < users; ++user) {
    if (!crowd.LogInNext()) {
      Die("a list is not whole, or an acknowledgement is missing");
    }
  }
  Tell("log-ins, with list, presence to and of all in it", users, "");
  Tell("  each, both sides, without TLS", (CpuNanoseconds() - begun) / users / 1e3, "us");
  const uint64_t of_session = (crowd.block_bytes() - listed) / users + Engine::bytes_per_session() +
                              net::kTlsIdleHeap + net::TlsStreams::bytes_per_session() + kTcpBytes;
  const uint64_t of_user =
      listed / users + sizeof(Account) + Crowd::kContacts * Pool<Contact>::bytes_per_item();
  Tell("sessions open", crowd.world().engine().session_count(), "");
  Tell("presences seen", static_cast<double>(crowd.seen()), "");
  Tell("of a session, TLS and TCP as reserved", static_cast<double>(of_session), "bytes");
  Tell("of its user with a list of 50", static_cast<double>(of_user), "bytes");
  Tell("all in (goal 20,480)", static_cast<double>(of_session + of_user), "bytes");
  Tell("blocks left of the profile's", 100.0 * chains.free_count() / chains.capacity(), "%");
  if (crowd.seen() != uint64_t{users} * Crowd::kGroup ||
      crowd.world().engine().session_count() != users) {
    Die("not all are there");
  }
  return of_session + of_user <= kGoalBytes ? 0 : 1;
}

}  // namespace
}  // namespace gh::xmpp

int main(int argc, char** argv) {
  return gh::xmpp::Run(argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : gh::xmpp::kUsers);
}
