// The policy service: an HTTPS server that is asked whether a call or a registration may be
// (settings CallPolicy Service; the wire is in firmware/dialplan/README.md).
//
// Questions wait in a table as long as the engine's own; kWorkers of them are asked at a time, each
// over a connection of its own. Servers are asked in their order; one that fails is left out until
// its status page is fetched well again. Each question has one deadline, after which, or when no
// server is left, the default action is the answer.
#pragma once

#include <array>

#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/dialplan/policy_answer.h"
#include "firmware/log/log.h"
#include "firmware/sip/engine.h"
#include "firmware/sip/policy.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/timer_wheel.h"
#include "net/dns_resolver.h"
#include "net/http_exchange.h"
#include "net/stack.h"

namespace gh {

struct PolicyParts {
  Arena& arena;
  EventLoop& loop;
  hal::Clock& clock;
  crypto::Random& random;
  net::Stack& stack;
  net::DnsResolver& resolver;
  crypto::PeerCheck& trust;
  sip::Engine& sip;
  log::Log& log;
  alarm::Alarms& alarms;
  const config::Configuration& configuration;
};

class PolicyService final : public sip::PolicyPort {
 public:
  static constexpr uint32_t kWorkers = 2;

  // What is made at the start, in the arena.
  explicit PolicyService(const PolicyParts& parts);
  PolicyService(const PolicyService&) = delete;
  PolicyService& operator=(const PolicyService&) = delete;

  void Apply();  // settings have changed
  void Watch(Instant now);
  void AddTo(admin::StatusTree& status);

  bool Asks(sip::PolicySubject subject) const override;
  void Ask(const sip::PolicyQuestion& question, uint64_t ticket) override;

 private:
  static constexpr size_t kServers = 3;
  static constexpr size_t kQuestionBytes = 1536;
  static constexpr size_t kAnswerBytes = 512;

  struct Job {
    bool is_used = false;
    bool is_asked = false;  // by a worker, now
    uint8_t tried = 0;      // servers, a bit each
    uint64_t ticket = 0;
    Instant deadline;      // of all servers together
    Instant try_deadline;  // of the one that is asked now
    sip::PolicySubject subject = sip::PolicySubject::kCall;
    const char* fault = "no server is left";
    FixedString<dialplan::kAliasBytesMax> source;
    FixedString<dialplan::kAliasBytesMax> destination;
    std::array<uint8_t, kQuestionBytes> body;
    uint32_t body_size = 0;
  };
  struct Worker final : net::HttpExchangeListener {
    void OnHttpEnd(Result<uint32_t> status, std::span<const uint8_t> body) override;
    PolicyService* owner = nullptr;
    net::HttpExchange* exchange = nullptr;
    Job* job = nullptr;  // null: the status page
    uint8_t server = 0;
    Instant look_deadline;
  };
  struct Server {
    FixedString<127> address;
    bool is_down = false;
    const char* fault = "";
    uint64_t answers = 0;
    uint64_t faults = 0;
    Instant next_look;
  };

  const config::CallPolicyService& settings() const;
  bool is_on() const;
  void Pump();
  void Arm();
  void OnTime();
  bool StartJob(Worker& worker, Job& job);
  bool StartLook(Worker& worker);
  Result<void> Start(Worker& worker, std::string_view path, bool is_question);
  void OnEnd(Worker& worker, Result<uint32_t> status, std::span<const uint8_t> body);
  void OnAnswer(Job& job, Server& server, uint32_t status, std::span<const uint8_t> body);
  void SetDown(Server& server, const char* fault);
  void SetUp(Server& server);
  void Decide(Job& job, const dialplan::PolicyAnswer& answer);
  void DecideByDefault(Job& job);
  void UpdateAlarm();
  bool NextLine(uint64_t& cursor, ByteWriter& out);

  PolicyParts parts_;
  std::array<Job, sip::kPolicyWaitMax> jobs_;
  std::array<Worker, kWorkers> workers_;
  std::array<Server, kServers> servers_;
  FixedString<200> authorization_;  // the field's value; empty: none
  Timer timer_;
  uint64_t asked_ = 0;
  uint64_t allowed_ = 0;
  uint64_t rejected_ = 0;
  uint64_t defaulted_ = 0;
};

}  // namespace gh
