// The seam to whoever decides about calls and registrations outside of this machine. The engine
// asks and goes on with other things; the request waits, its repetitions are absorbed.
#pragma once

#include <string_view>

#include "firmware/sip/config.h"
#include "firmware/sip/flow.h"

namespace gh::sip {

enum class PolicySubject : uint8_t { kCall, kRegistration };

// Views are valid during the question.
struct PolicyQuestion {
  PolicySubject subject = PolicySubject::kCall;
  std::string_view source;       // user@host of From
  std::string_view destination;  // user@host called, or registered
  std::string_view user;         // who proved himself; may be empty
  std::string_view zone;         // where it comes from
  std::string_view call_id;
  net::Endpoint address;
  TransportKind transport = TransportKind::kUdp;
};

struct PolicyVerdict {
  bool allows = false;
  uint16_t status = 403;  // of a refusal
  std::string_view phrase = {};
};

class PolicyPort {
 public:
  virtual bool Asks(PolicySubject subject) const = 0;
  // Engine::OnPolicy(ticket, verdict) follows exactly once, never from inside.
  virtual void Ask(const PolicyQuestion& question, uint64_t ticket) = 0;

 protected:
  ~PolicyPort() = default;
};

}  // namespace gh::sip
