#include "firmware/calls/policy_service.h"

#include <algorithm>
#include <utility>

#include "firmware/admin/status_text.h"
#include "hal/rt/base64.h"
#include "hal/rt/secret.h"

namespace gh {
namespace {

using namespace gh::log::event;
using log::AlarmId;

constexpr Duration kLookPeriod = Duration::Seconds(5);  // between looks at a server that is down
constexpr Duration kLookTime = Duration::Seconds(4);

std::string_view SubjectName(sip::PolicySubject subject) {
  return subject == sip::PolicySubject::kCall ? "call" : "registration";
}

}  // namespace

PolicyService::PolicyService(const PolicyParts& parts) : parts_(parts) {
  Arena& arena = parts.arena;
  auto* heap = arena.New<Heap>(arena, kWorkers * crypto::kTlsClientHeap);
  auto* environment = arena.New<crypto::TlsEnvironment>(*heap, parts.random, parts.clock);
  for (Worker& worker : workers_) {
    worker.owner = this;
    worker.exchange = arena.New<net::HttpExchange>(parts.stack.streams(), parts.resolver,
                                                   parts.loop.timers(), *environment, parts.trust,
                                                   arena.NewArray<uint8_t>(kAnswerBytes));
  }
  timer_.Bind<&PolicyService::OnTime>(this);
}

const config::CallPolicyService& PolicyService::settings() const {
  return parts_.configuration.active().call_policy_service();
}

bool PolicyService::is_on() const {
  return settings().calls == config::OnOff::kOn || settings().registrations == config::OnOff::kOn;
}

// --- Settings -----------------------------------------------------------------------------------

// What is known of servers that stay where they are is kept.
void PolicyService::Apply() {
  const config::CallPolicyService& wanted = settings();
  const std::array<std::string_view, kServers> addresses = {
      wanted.server_1.view(), wanted.server_2.view(), wanted.server_3.view()};
  for (size_t i = 0; i < kServers; ++i) {
    if (servers_[i].address.view() != addresses[i]) {
      servers_[i] = {};
      servers_[i].address.Assign(addresses[i]);
    }
  }
  authorization_.Clear();
  if (!wanted.user.empty()) {
    std::array<uint8_t, 63 + 1 + 64> plain;
    ByteWriter pair(plain);
    pair.Text(wanted.user.view());
    pair.Char(':');
    pair.Text(wanted.password.view());
    std::array<uint8_t, Base64Size(plain.size())> text;
    ByteWriter out(text);
    WriteBase64(pair.written(), out);
    authorization_.Assign("Basic ");
    authorization_.Append(out.text());
    SecureZero(plain);
    SecureZero(text);
  }
  UpdateAlarm();
}

bool PolicyService::Asks(sip::PolicySubject subject) const {
  return (subject == sip::PolicySubject::kCall ? settings().calls : settings().registrations) ==
         config::OnOff::kOn;
}

// --- Questions ----------------------------------------------------------------------------------

void PolicyService::Ask(const sip::PolicyQuestion& question, uint64_t ticket) {
  ++asked_;
  const auto free = std::ranges::find_if(jobs_, [](const Job& one) { return !one.is_used; });
  GH_ASSERT(free != jobs_.end());  // the engine has no more places than we
  Job& job = *free;
  job.is_used = true;
  job.is_asked = false;
  job.tried = 0;
  job.ticket = ticket;
  job.fault = "no server is left";
  job.deadline = parts_.loop.now() + Duration::Seconds(settings().timeout);
  job.subject = question.subject;
  job.source.Assign(question.source);
  job.destination.Assign(question.destination);
  ByteWriter out(job.body);
  dialplan::WriteFormField(out, "service", SubjectName(question.subject));
  dialplan::WriteFormField(out, "source", question.source);
  dialplan::WriteFormField(out, "destination", question.destination);
  dialplan::WriteFormField(out, "user", question.user);
  dialplan::WriteFormField(out, "zone", question.zone);
  dialplan::WriteFormField(out, "address", net::ToText(question.address).view());
  dialplan::WriteFormField(out, "transport", sip::TransportName(question.transport));
  dialplan::WriteFormField(out, "call_id", question.call_id.substr(0, sip::kCallIdShownMax));
  if (!out.ok()) {
    job.fault = "the question is too long";
    job.tried = 0xff;
  }
  job.body_size = static_cast<uint32_t>(out.size());
  // Soon: the engine is never called from inside its own call.
  parts_.loop.timers().Arm(timer_, Duration::Milliseconds(1));
}

// For when the next of those that wait has waited long enough.
void PolicyService::Arm() {
  Instant next = Instant::Max();
  for (const Job& job : jobs_) {
    if (job.is_used) {
      next = std::min(next, job.is_asked ? job.try_deadline : job.deadline);
    }
  }
  if (next != Instant::Max()) {
    parts_.loop.timers().Arm(timer_, std::max(next - parts_.loop.now(), Duration::Milliseconds(1)));
  }
}

void PolicyService::OnTime() {
  for (Worker& worker : workers_) {
    if (worker.job != nullptr && worker.job->try_deadline <= parts_.loop.now()) {
      worker.exchange->Cancel();
      worker.job->is_asked = false;
      worker.job->fault = "no answer in time";
      SetDown(servers_[worker.server], "no answer in time");
      worker.job = nullptr;
    }
  }
  Pump();
}

void PolicyService::Pump() {
  for (Job& job : jobs_) {
    if (!job.is_used || job.is_asked) {
      continue;
    }
    if (job.deadline <= parts_.loop.now()) {
      job.tried = 0xff;
    }
    const auto worker =
        std::ranges::find_if(workers_, [](const Worker& one) { return !one.exchange->active(); });
    if (worker != workers_.end() && StartJob(*worker, job)) {
      continue;
    }
    if (worker != workers_.end() || job.tried == 0xff) {
      DecideByDefault(job);
    }
  }
  for (Worker& worker : workers_) {
    if (!worker.exchange->active()) {
      StartLook(worker);
    }
  }
  UpdateAlarm();
  Arm();
}

// At the next server that lives and was not asked yet; false: there is none.
bool PolicyService::StartJob(Worker& worker, Job& job) {
  for (uint8_t i = 0; i < kServers; ++i) {
    if ((job.tried >> i & 1) != 0 || servers_[i].address.empty() || servers_[i].is_down) {
      continue;
    }
    int64_t left = 0;  // servers that may still be asked share the time that is left
    for (uint8_t k = i; k < kServers; ++k) {
      left += (job.tried >> k & 1) == 0 && !servers_[k].address.empty() ? 1 : 0;
    }
    job.tried = static_cast<uint8_t>(job.tried | 1u << i);
    job.try_deadline =
        parts_.loop.now() + Duration::Nanoseconds((job.deadline - parts_.loop.now()).ns / left);
    worker.job = &job;
    worker.server = i;
    const auto started = Start(worker, settings().path.view(), true);
    if (started.ok()) {
      job.is_asked = true;
      return true;
    }
    worker.job = nullptr;
    job.fault = started.error().what;
    SetDown(servers_[i], started.error().what);
  }
  return false;
}

bool PolicyService::StartLook(Worker& worker) {
  for (uint8_t i = 0; is_on() && i < kServers; ++i) {
    Server& server = servers_[i];
    const bool is_looked_at = std::ranges::any_of(workers_, [i](const Worker& one) {
      return one.exchange->active() && one.job == nullptr && one.server == i;
    });
    if (!server.is_down || server.next_look > parts_.loop.now() || is_looked_at) {
      continue;
    }
    server.next_look = parts_.loop.now() + kLookPeriod;
    worker.job = nullptr;
    worker.server = i;
    worker.look_deadline = parts_.loop.now() + kLookTime;
    if (Start(worker, settings().status_path.view(), false).ok()) {
      return true;
    }
  }
  return false;
}

Result<void> PolicyService::Start(Worker& worker, std::string_view path, bool is_question) {
  net::HttpAsk ask;
  const std::string_view host = servers_[worker.server].address.view();
  GH_TRY_ASSIGN(ask.url, net::HttpsUrl::Parse("https://policy/"));
  ask.url.host.Assign(host);
  ask.url.port = static_cast<uint16_t>(settings().port);
  ask.url.target.Assign(path.starts_with('/') ? "" : "/");
  ask.url.target.Append(path);
  ask.authorization = authorization_.view();
  if (is_question) {
    ask.method = "POST";
    ask.content_type = "application/x-www-form-urlencoded";
    ask.accept = "text/plain";
    ask.body = std::span(worker.job->body).first(worker.job->body_size);
  }
  return worker.exchange->Start(ask, worker);
}

// --- Answers ------------------------------------------------------------------------------------

void PolicyService::Worker::OnHttpEnd(Result<uint32_t> status, std::span<const uint8_t> body) {
  owner->OnEnd(*this, std::move(status), body);
}

void PolicyService::OnEnd(Worker& worker, Result<uint32_t> status, std::span<const uint8_t> body) {
  Server& server = servers_[worker.server];
  Job* job = std::exchange(worker.job, nullptr);
  if (job == nullptr) {
    if (status.ok() && *status == 200) {
      SetUp(server);
    } else {
      server.fault = status.ok() ? "its status page is an HTTP error" : status.error().what;
    }
    Pump();
    return;
  }
  job->is_asked = false;
  if (!status.ok()) {
    job->fault = status.error().what;
    SetDown(server, status.error().what);
  } else {
    OnAnswer(*job, server, *status, body);
  }
  Pump();
}

void PolicyService::OnAnswer(Job& job, Server& server, uint32_t status,
                             std::span<const uint8_t> body) {
  const auto answer = dialplan::ParsePolicyAnswer(AsText(body));
  if (status == 200 && answer.ok()) {
    ++server.answers;
    server.fault = "";
    Decide(job, *answer);
    return;
  }
  job.fault = status != 200 ? "the server answers with an HTTP error" : answer.error().what;
  SetDown(server, job.fault);
}

void PolicyService::SetDown(Server& server, const char* fault) {
  ++server.faults;
  if (!server.is_down) {
    parts_.log.Emit(SipPolicyServer{.server = server.address.view(), .state = fault});
  }
  server.is_down = true;
  server.fault = fault;
  server.next_look = parts_.loop.now() + kLookPeriod;
}

void PolicyService::SetUp(Server& server) {
  if (server.is_down) {
    parts_.log.Emit(SipPolicyServer{.server = server.address.view(), .state = "answers again"});
  }
  server.is_down = false;
  server.fault = "";
}

void PolicyService::Decide(Job& job, const dialplan::PolicyAnswer& answer) {
  ++(answer.allows ? allowed_ : rejected_);
  job.is_used = false;
  parts_.sip.OnPolicy(job.ticket, {answer.allows, answer.status, answer.phrase.view()});
}

void PolicyService::DecideByDefault(Job& job) {
  const bool allows = settings().default_action == config::CallPolicyAction::kAllow;
  ++defaulted_;
  parts_.log.Emit(SipPolicyDefault{.service = SubjectName(job.subject),
                                   .source = job.source.view(),
                                   .destination = job.destination.view(),
                                   .action = allows ? "allowed" : "rejected",
                                   .reason = job.fault});
  job.is_used = false;
  parts_.sip.OnPolicy(job.ticket, {.allows = allows, .status = 403});
}

// --- Watching -----------------------------------------------------------------------------------

void PolicyService::Watch(Instant now) {
  for (Worker& worker : workers_) {
    if (worker.exchange->active() && worker.job == nullptr && worker.look_deadline <= now) {
      worker.exchange->Cancel();
    }
  }
  Pump();
}

void PolicyService::UpdateAlarm() {
  const bool answers = std::ranges::any_of(
      servers_, [](const Server& one) { return !one.address.empty() && !one.is_down; });
  parts_.alarms.Set(AlarmId::kPolicyServiceAway, is_on() && !answers, "");
}

bool PolicyService::NextLine(uint64_t& cursor, ByteWriter& out) {
  if (cursor == 0) {
    ++cursor;
    out.Text("CallPolicy Service:");
    Tell(out, "asked", asked_);
    Tell(out, "allowed", allowed_);
    Tell(out, "rejected", rejected_);
    Tell(out, "by_default", defaulted_);
    Tell(out, "waiting", static_cast<uint64_t>(std::ranges::count_if(jobs_, [](const Job& j) {
           return j.is_used;
         })));
    return true;
  }
  while (cursor <= kServers) {
    const uint64_t number = cursor++;
    const Server& server = servers_[number - 1];
    if (server.address.empty()) {
      continue;
    }
    out.Text("CallPolicy Service Server ");
    out.Decimal(number);
    out.Text(": ");
    out.Text(server.address.view());
    Tell(out, "state", server.is_down ? "down" : "up");
    Tell(out, "answers", server.answers);
    Tell(out, "faults", server.faults);
    if (server.fault[0] != '\0') {
      Tell(out, "reason", server.fault);
    }
    return true;
  }
  return false;
}

void PolicyService::AddTo(admin::StatusTree& status) {
  status.AddMember<&PolicyService::NextLine>(
      "CallPolicy Service", "The policy service: what it was asked, which servers answer", this);
}

}  // namespace gh
