// A profile's XMPP sessions at rest: a user to each, lists of 50 with names and a group, everybody
// seen by all of his list. The keeper keeps nothing: what rows take is the store's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {

class NoKeeper final : public Keeper {
 public:
  uint64_t Put(std::string_view, std::span<const uint8_t>) override { return 1; }
  uint64_t Remove(std::string_view) override { return 1; }
  uint64_t durable() const override { return 1; }
  void Flush() override {}
  size_t Read(std::string_view, std::span<uint8_t>) override { return 0; }
};

// Users in groups of 51, in which everybody has everybody.
class Crowd {
 public:
  static constexpr uint32_t kContacts = 50;
  static constexpr uint32_t kGroup = kContacts + 1;
  static constexpr uint64_t kBlockBytes = 128;

  Crowd(const Capacity& capacity, uint32_t users)
      : world_(capacity, capacity.ArenaBytes() + (1 << 20), kDomain, &keeper_), users_(users) {
    GH_ASSERT_EQ(users % kGroup, 0u);
    Config config = World::MakeConfig();
    config.auto_authorization = true;
    world_.engine().Apply(config);
  }

  // False: somebody's list is not taken.
  bool BringLists() {
    for (uint32_t user = 0; user < users_; ++user) {
      world_.AddUser(NameOf(user));
    }
    ContactLine line;
    line.group.Assign("Colleagues");
    for (uint32_t user = 0; user < users_; ++user) {
      line.user.Assign(NameOf(user) + "@" + kDomain);
      const uint32_t first = FirstOf(user);
      for (uint32_t other = first; other < first + kGroup; ++other) {
        line.contact.Assign(NameOf(other) + "@" + kDomain);
        line.nickname.Assign("Person called " + NameOf(other));
        if (other != user && world_.engine().ImportContact(line) != ContactFault::kNone) {
          return false;
        }
      }
    }
    return true;
  }

  // The next user, with stream management and carbons; he fetches his list and says that he is
  // there. False: it is not whole, or his group does not acknowledge what it has seen.
  bool LogInNext() {
    const auto user = static_cast<uint32_t>(clients_.size());
    clients_.push_back(std::make_unique<Client>(world_, user));
    Client& client = *clients_.back();
    client.LogIn(NameOf(user), "desk");
    client.Say(
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
        "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    const auto list = client.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    seen_ += CountOf("<presence", client.Say("<presence><status>at my desk</status></presence>"));
    for (uint32_t other = FirstOf(user); other < user; ++other) {
      seen_ += CountOf("<presence", clients_[other]->Take());
    }
    const bool is_whole = CountOf("subscription='both'", list) == kContacts;
    return is_whole && (user % kGroup != kContacts || Acknowledge(FirstOf(user)));
  }

  uint64_t block_bytes() {
    const ChainPool& chains = world_.engine().chains();
    return uint64_t{chains.capacity() - chains.free_count()} * kBlockBytes;
  }
  World& world() { return world_; }
  uint64_t seen() const { return seen_; }

 private:
  static std::string NameOf(uint32_t user) { return "u" + std::to_string(user); }
  static uint32_t FirstOf(uint32_t user) { return user / kGroup * kGroup; }
  static uint32_t CountOf(std::string_view what, std::string_view text) {
    uint32_t count = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string_view::npos; ++at) {
      ++count;
    }
    return count;
  }
  bool Acknowledge(uint32_t first) {
    bool all_answered = true;
    for (uint32_t user = first; user < first + kGroup; ++user) {
      const std::string told = clients_[user]->Say("<r xmlns='urn:xmpp:sm:3'/>");
      all_answered = all_answered && told.find("<a ") != std::string::npos;
      // The answer about carbons, the list, and a presence from each of the group.
      clients_[user]->Say("<a xmlns='urn:xmpp:sm:3' h='" + std::to_string(2 + kGroup) + "'/>");
    }
    return all_answered;
  }

  NoKeeper keeper_;
  World world_;
  uint32_t users_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint64_t seen_ = 0;
};

}  // namespace gh::xmpp::test
