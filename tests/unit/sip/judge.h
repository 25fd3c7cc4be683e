// A policy service for tests: it keeps what it is asked; the test says the word.
#pragma once

#include <string>
#include <vector>

#include "firmware/sip/policy.h"

namespace gh::sip::test {

class Judge final : public PolicyPort {
 public:
  struct Asked {
    PolicySubject subject;
    std::string source, destination, user, zone;
    uint64_t ticket;
  };
  bool Asks(PolicySubject subject) const override {
    return subject == PolicySubject::kCall ? about_calls : about_registrations;
  }
  void Ask(const PolicyQuestion& q, uint64_t ticket) override {
    asked.push_back({q.subject, std::string(q.source), std::string(q.destination),
                     std::string(q.user), std::string(q.zone), ticket});
  }
  bool about_calls = true;
  bool about_registrations = false;
  std::vector<Asked> asked;
};

}  // namespace gh::sip::test
