// One HSM: the way to it, its token, whether it is well, and which of our keys it holds.
#pragma once

#include <array>
#include <cstdint>

#include "crypto/pkcs11_rpc.h"
#include "crypto/pkcs11_token.h"
#include "firmware/hsm/limits.h"
#include "hal/rt/arena.h"
#include "hal/rt/fixed_string.h"
#include "hal/token_link.h"

namespace gh::hsm {

namespace p11 = crypto::pkcs11;

struct ModuleConfig {
  bool is_set = false;
  FixedString<32> name;
  uint32_t priority = 1;  // lower goes first
  // How to reach it: by a wire, or what the board has loaded; both null: it is away.
  hal::TokenLink* link = nullptr;
  p11::Provider* provider = nullptr;
  p11::TokenSettings token;
};

// A link that is chosen by settings.
class SwitchedLink final : public hal::TokenLink {
 public:
  void Set(hal::TokenLink* link) { link_ = link; }
  bool connected() const override { return link_ != nullptr && link_->connected(); }
  uint32_t Read(std::span<uint8_t> out) override { return link_ == nullptr ? 0 : link_->Read(out); }
  uint32_t Write(std::span<const uint8_t> data) override {
    return link_ == nullptr ? 0 : link_->Write(data);
  }

 private:
  hal::TokenLink* link_ = nullptr;
};

// A provider that is chosen by settings: p11-kit's protocol over the link, or the board's.
class SwitchedProvider final : public p11::Provider {
 public:
  explicit SwitchedProvider(p11::Provider& by_link) : by_link_(by_link), now_(&by_link) {}
  void Set(p11::Provider* provider) { now_ = provider == nullptr ? &by_link_ : provider; }
  bool Start(p11::Call& call, Instant now) override { return now_->Start(call, now); }
  void Forget(p11::Call& call) override { now_->Forget(call); }
  bool Poll(Instant now) override { return now_->Poll(now); }
  bool is_connected() const override { return now_->is_connected(); }
  Instant waiting_since() const override { return now_->waiting_since(); }
  void Reset(const Error& why) override { now_->Reset(why); }

 private:
  p11::Provider& by_link_;
  p11::Provider* now_;
};

struct ModuleCounters {
  uint64_t signatures = 0;
  uint64_t failures = 0;
  uint64_t breaker_trips = 0;
  uint64_t opened = 0;
};

class Module final : public p11::TokenListener {
 public:
  explicit Module(Arena& arena) : client_(link_), provider_(client_), token_(arena, provider_) {
    check_.listener = this;
    find_.listener = this;
  }
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  void Configure(const ModuleConfig& config, bool mode_on);
  bool Poll(Instant now);

  const ModuleConfig& config() const { return config_; }
  bool is_set() const { return config_.is_set; }
  p11::Token& token() { return token_; }
  const p11::Token& token() const { return token_; }
  const ModuleCounters& counters() const { return counters_; }

  // Signatures may go there.
  bool is_usable() const { return is_ready() && !is_tripped_; }
  bool is_ready() const { return is_on_ && token_.state() == p11::TokenState::kReady; }
  bool is_tripped() const { return is_tripped_; }
  bool hardware_ok() const { return !token_.hardware_failed() && !token_.pin_refused(); }
  const Error& error() const { return token_.error(); }

  // How a request that went there ended: for the breaker.
  void Note(bool ok, const Error& error, Instant now);

  // Handles of the keys, by the service's index; 0: not there, or not known yet.
  uint64_t handle(uint32_t key) const { return handles_[key]; }
  // The keys are looked for again.
  void SetKeyLabels(std::span<const FixedString<p11::kLabelMax>> labels);
  void ForgetKey(uint32_t key) { handles_[key] = 0; }
  void LearnKey(uint32_t key, uint64_t handle) { handles_[key] = handle; }

  void OnTokenDone(p11::TokenRequest& request) override;

 private:
  void LookForKeys(Instant now);

  ModuleConfig config_;
  bool is_on_ = false;
  SwitchedLink link_;
  p11::RpcClient client_;
  SwitchedProvider provider_;
  p11::Token token_;
  Instant now_;
  uint64_t opened_seen_ = 0;
  Instant next_check_;
  p11::TokenRequest check_;
  p11::TokenRequest find_;
  std::array<FixedString<p11::kLabelMax>, kKeysMax> labels_;
  std::array<uint64_t, kKeysMax> handles_ = {};
  uint32_t next_key_ = 0;  // to be looked for
  uint32_t failures_in_row_ = 0;
  bool is_tripped_ = false;
  Instant rest_until_;
  ModuleCounters counters_;
};

}  // namespace gh::hsm
