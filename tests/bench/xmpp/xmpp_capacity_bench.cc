// The large profile's 100,000 XMPP sessions, opened: the engine with the pools of that profile, a
// user to each session, lists of 50 with names and a group, everybody seen by all of his list. No
// TLS, no sockets, no disk: what those take of a session is added by what they reserve for one, and
// tests/unit hold real streams to that (TlsClientAuth.AnIdleStreamIsCheap). Closes with an error
// when a session is refused, somebody's presence is missing or a session is beyond the goal.
//
//   xmpp_capacity_bench [USERS]
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "net/limits.h"
#include "net/tls_streams.h"
#include "tests/bench/bench.h"
#include "tests/unit/xmpp/world.h"

namespace gh::xmpp {
namespace {

using test::Client;
using test::World;

constexpr uint32_t kUsers = 100'000;
constexpr uint32_t kContacts = 50;
constexpr uint64_t kGoalBytes = 20 * 1024;
constexpr uint64_t kTcpBytes = 1024 + 16;  // firmware/capacity.cc: kBytesPerNetConnection; places
constexpr uint64_t kBlockBytes = 128;

// Keeps nothing: what rows take is the store's.
class NoKeeper final : public Keeper {
 public:
  uint64_t Put(std::string_view, std::span<const uint8_t>) override { return 1; }
  uint64_t Remove(std::string_view) override { return 1; }
  uint64_t durable() const override { return 1; }
  void Flush() override {}
  size_t Read(std::string_view, std::span<uint8_t>) override { return 0; }
};

[[noreturn]] void Die(const std::string& why) {
  std::printf("xmpp_capacity: %s\n", why.c_str());
  std::exit(1);
}

uint32_t CountOf(std::string_view what, std::string_view text) {
  uint32_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string_view::npos; ++at) {
    ++count;
  }
  return count;
}

std::string NameOf(uint32_t user) { return "u" + std::to_string(user); }

// Users in groups of 51, in which everybody has everybody.
class Crowd {
 public:
  Crowd(const Capacity& capacity, uint32_t users)
      : world_(capacity, capacity.ArenaBytes() + (1 << 20), test::kDomain, &keeper_),
        users_(users) {
    Config config = World::MakeConfig();
    config.auto_authorization = true;
    world_.engine().Apply(config);
  }

  uint64_t BlockBytesUsed() {
    const ChainPool& chains = world_.engine().chains();
    return uint64_t{chains.capacity() - chains.free_count()} * kBlockBytes;
  }

  void Fill() {
    for (uint32_t user = 0; user < users_; ++user) {
      world_.AddUser(NameOf(user));
    }
    ContactLine line;
    line.group.Assign("Colleagues");
    for (uint32_t user = 0; user < users_; ++user) {
      const uint32_t first = user / (kContacts + 1) * (kContacts + 1);
      line.user.Assign(NameOf(user) + "@" + test::kDomain);
      for (uint32_t other = first; other < first + kContacts + 1; ++other) {
        if (other == user) {
          continue;
        }
        line.contact.Assign(NameOf(other) + "@" + test::kDomain);
        line.nickname.Assign("Person called " + NameOf(other));
        if (world_.engine().ImportContact(line) != ContactFault::kNone) {
          Die("a list is not taken: " + NameOf(user));
        }
      }
    }
  }

  // How many are in the list that the client gets.
  uint32_t LogIn(uint32_t user) {
    clients_.push_back(std::make_unique<Client>(world_, user));
    Client& client = *clients_.back();
    client.LogIn(NameOf(user), "desk");
    client.Say(
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
        "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    const std::string list =
        client.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    seen_ += CountOf("<presence", client.Say("<presence><status>at my desk</status></presence>"));
    for (uint32_t other = user / (kContacts + 1) * (kContacts + 1); other < user; ++other) {
      seen_ += CountOf("<presence", clients_[other]->Take());
    }
    return CountOf("subscription='both'", list);
  }

  // A group is there: they acknowledge what they have seen of each other.
  void Acknowledge(uint32_t last) {
    for (uint32_t user = last - kContacts; user <= last; ++user) {
      const std::string told = clients_[user]->Say("<r xmlns='urn:xmpp:sm:3'/>");
      if (told.find("<a ") == std::string::npos) {
        Die("no answer: " + NameOf(user) + ": " + told);
      }
      // Its list, the answer about carbons, and a presence from each of its group.
      constexpr uint32_t kHandled = 2 + kContacts + 1;
      clients_[user]->Say("<a xmlns='urn:xmpp:sm:3' h='" + std::to_string(kHandled) + "'/>");
    }
  }

  World& world() { return world_; }
  uint64_t seen() const { return seen_; }

 private:
  NoKeeper keeper_;
  World world_;
  uint32_t users_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint64_t seen_ = 0;
};

void Tell(const char* what, double value, const char* unit) {
  std::printf("%-56s %12.0f %s\n", what, value, unit);
}

int Run(uint32_t wanted) {
  const uint32_t users = wanted / (kContacts + 1) * (kContacts + 1);
  const Capacity capacity = Capacity::For(wanted, wanted);
  Crowd crowd(capacity, users);
  double begun = CpuNanoseconds();
  crowd.Fill();
  Tell("contacts brought, both ways", double{kContacts} * users, "");
  Tell("  each", (CpuNanoseconds() - begun) / (double{kContacts} * users), "ns");
  const uint64_t listed = crowd.BlockBytesUsed();
  begun = CpuNanoseconds();
  for (uint32_t user = 0; user < users; ++user) {
    if (crowd.LogIn(user) != kContacts) {
      Die("a list is not whole: " + NameOf(user));
    }
    if (user % (kContacts + 1) == kContacts) {
      crowd.Acknowledge(user);
    }
  }
  Tell("log-ins, with list, presence to and of all in it", users, "");
  Tell("  each, both sides, without TLS", (CpuNanoseconds() - begun) / users / 1e3, "us");
  const uint64_t of_session = (crowd.BlockBytesUsed() - listed) / users +
                              Engine::bytes_per_session() + net::kTlsIdleHeap +
                              net::TlsStreams::bytes_per_session() + kTcpBytes;
  const uint64_t of_user = listed / users + sizeof(Account) + kContacts * (sizeof(Contact) + 4);
  Tell("sessions open", crowd.world().engine().session_count(), "");
  Tell("presences seen", static_cast<double>(crowd.seen()), "");
  Tell("of a session, TLS and TCP as reserved", static_cast<double>(of_session), "bytes");
  Tell("of its user with a list of 50", static_cast<double>(of_user), "bytes");
  Tell("all in (goal 20,480)", static_cast<double>(of_session + of_user), "bytes");
  Tell("blocks left of the profile's",
       100.0 * crowd.world().engine().chains().free_count() /
           crowd.world().engine().chains().capacity(),
       "%");
  const bool all_seen = crowd.seen() == uint64_t{users} * (kContacts + 1);
  if (!all_seen || crowd.world().engine().session_count() != users) {
    Die("not all are there");
  }
  return of_session + of_user <= kGoalBytes ? 0 : 1;
}

}  // namespace
}  // namespace gh::xmpp

int main(int argc, char** argv) {
  return gh::xmpp::Run(argc > 1 ? static_cast<uint32_t>(std::atoi(argv[1])) : gh::xmpp::kUsers);
}
