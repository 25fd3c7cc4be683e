#include "firmware/hsm/service.h"

#include <algorithm>

#include "hal/rt/bytes.h"

namespace gh::hsm {

using crypto::SignRequest;
using p11::TokenWork;

// --- Records ------------------------------------------------------------------------------------

void EncodeKey(const KeyRecord& key, ByteWriter& out) {
  out.U8(1);  // version
  out.U8(static_cast<uint8_t>(key.type));
  out.U16Be(static_cast<uint16_t>(key.bits));
  out.U16Be(static_cast<uint16_t>(key.public_key_size));
  out.Bytes(std::span(key.public_key).first(key.public_key_size));
}

Result<void> DecodeKey(std::string_view label, std::span<const uint8_t> bytes, KeyRecord& key) {
  ByteReader in(bytes);
  const uint8_t version = in.U8();
  const uint8_t type = in.U8();
  key.bits = in.U16Be();
  key.public_key_size = in.U16Be();
  if (!in.ok() || version != 1 || type > static_cast<uint8_t>(crypto::KeyType::kRsa) ||
      key.public_key_size > p11::kPublicKeyMax || key.public_key_size != in.remaining() ||
      !key.label.Assign(label)) {
    return Error{ErrorCode::kCorrupt, "the record of an HSM key is damaged"};
  }
  key.type = static_cast<crypto::KeyType>(type);
  in.Copy(std::span(key.public_key).first(key.public_key_size));
  return Ok();
}

// --- Keys ---------------------------------------------------------------------------------------

bool HsmKey::is_available() const {
  return is_known && service_->mode_on_ && service_->CanSign(index_);
}

void HsmKey::Start(SignRequest& request) {
  if (!is_known) {
    request.Fail(Error{ErrorCode::kNotFound, "the key of the HSM was deleted"}, false);
    return;
  }
  service_->Sign(*this, request);
}

void HsmKey::Cancel(SignRequest& request) { service_->Cancel(request); }

Service::Service(Arena& arena, EventLoop& loop, Observer& observer)
    : loop_(loop), observer_(observer), jobs_(arena.NewArray<Job>(kJobsMax)) {
  for (Module*& module : modules_) {
    module = arena.New<Module>(arena);
  }
  for (uint32_t i = 0; i < kKeysMax; ++i) {
    keys_[i].service_ = this;
    keys_[i].index_ = i;
  }
  for (Job& job : jobs_) {
    job.token.listener = this;
  }
  chore_request_.listener = this;
}

void Service::Configure(bool mode_on, std::span<const ModuleConfig, kModulesMax> modules) {
  mode_on_ = mode_on;
  for (uint32_t i = 0; i < kModulesMax; ++i) {
    modules_[i]->Configure(modules[i], mode_on);
  }
  WatchModules();
}

Result<void> Service::AddKey(const KeyRecord& record) {
  auto place = std::ranges::find_if(
      keys_, [&](const HsmKey& key) { return key.is_known && key.record.label == record.label; });
  if (place == keys_.end()) {
    place = std::ranges::find_if(keys_, [](const HsmKey& key) { return !key.is_known; });
  }
  if (place == keys_.end()) {
    return Error{ErrorCode::kExhausted, "no more keys of the HSM can be kept: delete one"};
  }
  place->record = record;
  place->is_known = true;
  place->signature_count = place->failure_count = 0;
  ShareLabels();
  return Ok();
}

void Service::RemoveKey(std::string_view label) {
  for (HsmKey& key : keys_) {
    if (key.is_known && key.record.label == label) {
      key.is_known = false;
    }
  }
  ShareLabels();
}

void Service::ShareLabels() {
  std::array<FixedString<p11::kLabelMax>, kKeysMax> labels;
  for (uint32_t i = 0; i < kKeysMax; ++i) {
    if (keys_[i].is_known) {
      labels[i] = keys_[i].record.label;
    }
  }
  for (Module* module : modules_) {
    module->SetKeyLabels(labels);
  }
}

const HsmKey* Service::Find(std::string_view label) const {
  const auto found = std::ranges::find_if(
      keys_, [&](const HsmKey& key) { return key.is_known && key.record.label == label; });
  return found == keys_.end() ? nullptr : &*found;
}

crypto::SigningKey* Service::FindKey(std::string_view label) {
  return const_cast<HsmKey*>(Find(label));
}

bool Service::certificate_used() const {
  return mode_on_ && !certificate_key_.empty() && Find(certificate_key_.view()) != nullptr;
}

// --- Signatures ---------------------------------------------------------------------------------

bool Service::CanSign(uint32_t key) const {
  return std::ranges::any_of(
      modules_, [&](const Module* m) { return m->is_usable() && m->handle(key) != 0; });
}

void Service::Sign(HsmKey& key, SignRequest& request) {
  const auto free = std::ranges::find_if(jobs_, [](const Job& job) { return !job.is_used; });
  if (free == jobs_.end()) {
    request.Fail(Error{ErrorCode::kExhausted, "the HSM's queue is full"}, false);
    return;
  }
  Job& job = *free;
  if (const auto prepared =
          p11::PrepareSignature(key.record.type, request.scheme(), request.digest(), job.token);
      !prepared.ok()) {
    request.Fail(prepared.error(), false);
    return;
  }
  job.is_used = true;
  ++jobs_used_;
  job.key = key.index_;
  job.request = &request;
  job.tried = 0;
  job.token.work = TokenWork::kSign;
  request.SetPending();
  if (!Send(job, loop_.now())) {
    ++key.failure_count;
    Free(job);
    request.Fail(Error{ErrorCode::kUnreachable, "no HSM that holds the key is there"}, false);
  }
}

// To the best module that has not been tried; false: there is none.
bool Service::Send(Job& job, Instant now) {
  while (true) {
    Module* best = nullptr;
    uint32_t best_index = 0;
    uint32_t others = 0;
    for (uint32_t i = 0; i < kModulesMax; ++i) {
      Module* module = modules_[i];
      if ((job.tried & 1u << i) != 0 || !module->is_usable() || module->handle(job.key) == 0) {
        continue;
      }
      ++others;
      if (best == nullptr || module->config().priority < best->config().priority) {
        best = module;
        best_index = i;
      }
    }
    if (best == nullptr || now >= job.request->deadline()) {
      return false;
    }
    job.tried |= 1u << best_index;
    job.module = best_index;
    job.token.handle = best->handle(job.key);
    job.token.deadline =
        others > 1 ? std::min(job.request->deadline(), now + kAttemptMax) : job.request->deadline();
    if (best->token().Start(job.token, now)) {
      return true;
    }
    best->Note(false, job.token.error, now);
  }
}

void Service::Cancel(SignRequest& request) {
  for (Job& job : jobs_) {
    if (job.is_used && job.request == &request) {
      modules_[job.module]->token().Cancel(job.token);
      Free(job);
    }
  }
}

void Service::Free(Job& job) {
  SecureZero(job.token.output);
  job.is_used = false;
  job.request = nullptr;
  --jobs_used_;
}

void Service::OnJob(Job& job) {
  Module& module = *modules_[job.module];
  HsmKey& key = keys_[job.key];
  SignRequest& request = *job.request;
  std::array<uint8_t, crypto::kSignatureMax> place;
  Error error = job.token.error;
  if (job.token.ok) {
    const auto size =
        p11::FinishSignature(key.record.type, key.record.bits, job.token.out(), place);
    module.Note(size.ok(), size.ok() ? Error(ErrorCode::kOk) : size.error(), loop_.now());
    if (size.ok()) {
      ++key.signature_count;
      Free(job);
      request.Complete(std::span<const uint8_t>(place).first(*size), true);
      return;
    }
    error = size.error();
  } else {
    module.Note(false, error, loop_.now());
    if (job.token.value == p11::kKeyHandleInvalid || job.token.value == p11::kObjectHandleInvalid) {
      module.ForgetKey(job.key);
    }
  }
  if (Send(job, loop_.now())) {
    return;
  }
  ++key.failure_count;
  Free(job);
  request.Fail(error, true);
}

void Service::OnTokenDone(p11::TokenRequest& request) {
  if (&request == &chore_request_) {
    StepChore();
    return;
  }
  for (Job& job : jobs_) {
    if (&job.token == &request) {
      OnJob(job);
      return;
    }
  }
}

// --- Modules ------------------------------------------------------------------------------------

bool Service::Poll(Instant now) {
  bool more = false;
  for (Module* module : modules_) {
    if (module->is_set()) {
      more = module->Poll(now) || more;
    }
  }
  WatchModules();
  return more;
}

void Service::WatchModules() {
  const Module* best = nullptr;
  for (uint32_t i = 0; i < kModulesMax; ++i) {
    const Module& module = *modules_[i];
    const bool is_up = mode_on_ && module.is_set() && module.is_usable();
    if (is_up != was_up_[i]) {
      was_up_[i] = is_up;
      if (is_up) {
        observer_.OnModuleUp(module);
      } else if (mode_on_ && module.is_set()) {
        observer_.OnModuleDown(module, module.is_tripped()
                                           ? Error{ErrorCode::kTimeout, "it fails too often"}
                                           : module.error());
      }
    }
    if (is_up && (best == nullptr || module.config().priority < best->config().priority)) {
      best = &module;
    }
  }
  if (best != active_) {
    active_ = best;
    observer_.OnActive(best);
  }
}

// --- Chores -------------------------------------------------------------------------------------

bool Service::StartChore(Chore& chore) {
  chore.is_done = false;
  chore.error = ErrorCode::kOk;
  chore.by_rsa = false;
  if (chore_ != nullptr) {
    chore.error = Error{ErrorCode::kExhausted, "the HSM is busy with another command"};
    return false;
  }
  chore.module = -1;
  for (uint32_t i = 0; i < kModulesMax; ++i) {
    chore.module =
        modules_[i] == active_ && active_ != nullptr ? static_cast<int32_t>(i) : chore.module;
  }
  if (chore.kind == Chore::Kind::kDelete) {  // everywhere, beginning with the first
    const auto first =
        std::ranges::find_if(modules_, [](const Module* m) { return m->is_ready(); });
    chore.module = first == modules_.end() ? -1 : static_cast<int32_t>(first - modules_.begin());
  }
  if (chore.module < 0) {
    chore.error =
        Error{ErrorCode::kUnreachable,
              mode_on_ ? "no module of the HSM is there (xStatus HSM)" : "HSM Mode is Off"};
    return false;
  }
  if (chore.kind == Chore::Kind::kGenerate && Find(chore.label.view()) != nullptr) {
    chore.error = Error{ErrorCode::kAlreadyExists, "there is a key of that label"};
    return false;
  }
  chore_ = &chore;
  chore_step_ = 0;
  AskChore(chore.kind == Chore::Kind::kWrap ? TokenWork::kFindSecret : TokenWork::kFindPrivate);
  return chore_ != nullptr || chore.error.code == ErrorCode::kOk;
}

void Service::EndChore(const Error& error) {
  Chore* chore = chore_;
  chore_ = nullptr;
  chore->error = error;
  chore->is_done = true;
  SecureZero(chore_request_.input);
  SecureZero(chore_request_.output);
}

void Service::AskChore(TokenWork work) {
  chore_request_.work = work;
  chore_request_.label = chore_->label;
  chore_request_.key_type = chore_->type;
  chore_request_.bits = chore_->bits;
  chore_request_.deadline = loop_.now() + kChoreWait;
  Module& module = *modules_[static_cast<uint32_t>(chore_->module)];
  if (!module.token().Start(chore_request_, loop_.now())) {
    EndChore(chore_request_.error);
  }
}

// On to the next module that is there, or to the end.
void Service::NextModuleOfDeletion() {
  for (auto i = static_cast<uint32_t>(chore_->module) + 1; i < kModulesMax; ++i) {
    if (modules_[i]->is_ready()) {
      chore_->module = static_cast<int32_t>(i);
      chore_step_ = 0;
      AskChore(TokenWork::kFindPrivate);
      return;
    }
  }
  EndChore(ErrorCode::kOk);
}

namespace {

bool IsAbsent(const p11::TokenRequest& request) {
  return !request.ok && request.error.code == ErrorCode::kNotFound;
}

}  // namespace

void Service::StepDeletion(uint8_t step) {
  const p11::TokenRequest& request = chore_request_;
  const bool absent = IsAbsent(request);
  // 0 find private, 1 destroy, 2 find public, 3 destroy; of each module.
  if (!request.ok && !absent) {
    EndChore(request.error);
  } else if (step == 0) {
    chore_step_ = absent ? 2 : 1;
    AskChore(absent ? TokenWork::kReadPublic : TokenWork::kDestroy);
  } else if (step == 1) {
    AskChore(TokenWork::kReadPublic);
  } else if (step == 2 && !absent) {
    AskChore(TokenWork::kDestroy);
  } else {
    NextModuleOfDeletion();
  }
}

void Service::StepChore() {
  p11::TokenRequest& request = chore_request_;
  Chore& chore = *chore_;
  const uint8_t step = chore_step_++;
  const bool absent = IsAbsent(request);
  using Kind = Chore::Kind;
  if (chore.kind == Kind::kDelete) {
    StepDeletion(step);
    return;
  }
  if (step == 0) {
    if (chore.kind == Kind::kGenerate && request.ok) {
      EndChore(Error{ErrorCode::kAlreadyExists,
                     "the HSM holds a key of that label (HSM Key Add takes it)"});
    } else if (absent && chore.kind != Kind::kAdopt) {
      const bool is_aes = chore.kind == Kind::kWrap && !chore.by_rsa;
      AskChore(is_aes ? TokenWork::kGenerateAes : TokenWork::kGeneratePair);
    } else if (!request.ok) {
      EndChore(request.error);
    } else {
      StepChore();  // as if it had just been made
    }
    return;
  }
  if (!request.ok) {
    // Neither generated nor, by the key that is there, encrypted.
    const bool has_no_aes = chore.kind == Kind::kWrap && !chore.by_rsa &&
                            (step == 1 || step == 3) && request.error.code == ErrorCode::kRefused;
    has_no_aes ? BeginWrapByRsa() : EndChore(request.error);
    return;
  }
  chore.kind != Kind::kWrap ? StepKey(step) : chore.by_rsa ? StepWrapByRsa(step) : StepWrap(step);
}

// kGenerate, kAdopt: 1 find, 2 read the public key, 3 keep.
void Service::StepKey(uint8_t step) {
  p11::TokenRequest& request = chore_request_;
  Chore& chore = *chore_;
  switch (step) {  // kGenerate, kAdopt
    case 1:
      AskChore(TokenWork::kFindPrivate);
      return;
    case 2:
      if (!request.is_protected) {
        EndChore(kKeyNotProtected);
        return;
      }
      chore.handle = request.handle;
      AskChore(TokenWork::kReadPublic);
      return;
    default:
      chore.record.label = chore.label;
      chore.record.type = request.key_type;
      chore.record.bits = request.bits;
      chore.record.public_key_size = request.output_size;
      chore.record.public_key = request.output;
      const auto added = AddKey(chore.record);
      if (added.ok()) {  // it signs from now on, without being looked for first
        const auto index = static_cast<uint32_t>(Find(chore.label.view()) - keys_.data());
        modules_[static_cast<uint32_t>(chore.module)]->LearnKey(index, chore.handle);
      }
      EndChore(added.ok() ? Error(ErrorCode::kOk) : added.error());
  }
}

}  // namespace gh::hsm
