// The HSM as the appliance uses it: up to four modules by priority, keys that sign wherever a
// module holds them, and the operator's chores.
//
// A signature goes to the first usable module that holds its key. A module that fails or does not
// answer in time passes it to the next; a failing one rests behind its breaker. Coming back is a
// check that succeeds: the next signature goes to the better module again. Nothing waits: the
// queue is bounded, each signature has a deadline.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/hsm/keys.h"
#include "firmware/hsm/module.h"
#include "hal/rt/bytes.h"
#include "hal/rt/event_loop.h"

namespace gh::hsm {

// What is kept of a key.
struct KeyRecord {
  FixedString<p11::kLabelMax> label;
  crypto::KeyType type = crypto::KeyType::kEcP256;
  uint32_t bits = 0;
  uint32_t public_key_size = 0;
  std::array<uint8_t, p11::kPublicKeyMax> public_key = {};
};
inline constexpr size_t kKeyRecordMax = p11::kPublicKeyMax + 16;
void EncodeKey(const KeyRecord& key, ByteWriter& out);
Result<void> DecodeKey(std::string_view label, std::span<const uint8_t> bytes, KeyRecord& key);

class Observer {
 public:
  virtual void OnModuleUp(const Module& module) = 0;
  virtual void OnModuleDown(const Module& module, const Error& why) = 0;
  // Signatures go there from now on; null: nowhere.
  virtual void OnActive(const Module* module) = 0;

 protected:
  ~Observer() = default;
};

class Service;

class HsmKey final : public crypto::SigningKey {
 public:
  crypto::KeyType type() const override { return record.type; }
  uint32_t bits() const override { return record.bits; }
  std::span<const uint8_t> public_key() const override {
    return std::span(record.public_key).first(record.public_key_size);
  }
  bool is_available() const override;
  void Start(crypto::SignRequest& request) override;
  void Cancel(crypto::SignRequest& request) override;

  KeyRecord record;
  bool is_known = false;
  uint64_t signature_count = 0;
  uint64_t failure_count = 0;

 private:
  friend class Service;
  Service* service_ = nullptr;
  uint32_t index_ = 0;
};

inline constexpr uint32_t kStoreRsaBits = 3072;
inline constexpr Error kKeyNotProtected = {ErrorCode::kRefused,
                                           "the key can be taken out of the HSM: it is not used"};

// What an operator asks for, one at a time.
struct Chore {
  enum class Kind : uint8_t { kNone, kGenerate, kAdopt, kDelete, kWrap };
  Kind kind = Kind::kNone;
  FixedString<p11::kLabelMax> label;
  crypto::KeyType type = crypto::KeyType::kEcP256;
  uint32_t bits = 256;
  // kWrap: what is encrypted and checked by decrypting; `output` is the cipher text.
  std::array<uint8_t, 64> plain = {};
  uint32_t plain_size = 0;
  std::array<uint8_t, 16> vector = {};
  std::array<uint8_t, p11::kInputMax> output = {};
  uint32_t output_size = 0;
  bool by_rsa = false;  // the token does not encrypt by AES: RSA-OAEP
  // Answered.
  bool is_done = false;
  Error error = ErrorCode::kOk;
  KeyRecord record;     // kGenerate, kAdopt
  uint64_t handle = 0;  // of the private key in `module`
  int32_t module = -1;
};

class Service final : public Keys, public Pollable, public p11::TokenListener {
 public:
  Service(Arena& arena, EventLoop& loop, Observer& observer);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  void Configure(bool mode_on, std::span<const ModuleConfig, kModulesMax> modules);
  bool mode_on() const { return mode_on_; }
  std::span<Module* const> modules() const { return modules_; }
  // The best usable module; null: none.
  const Module* active() const { return active_; }
  bool is_running() const { return mode_on_ && active_ != nullptr; }

  // Keys kept from an earlier run, or new ones. kExhausted: there is no place.
  Result<void> AddKey(const KeyRecord& record);
  void RemoveKey(std::string_view label);
  std::span<const HsmKey> keys() const { return keys_; }
  const HsmKey* Find(std::string_view label) const;
  std::string_view certificate_key() const { return certificate_key_.view(); }
  bool certificate_used() const;

  // False: another chore is under way, or no module is there (chore.error).
  bool StartChore(Chore& chore);

  uint32_t job_count() const { return jobs_used_; }

  crypto::SigningKey* FindKey(std::string_view label) override;
  void SetCertificateKey(std::string_view label) override { certificate_key_.Assign(label); }
  bool Poll(Instant now) override;
  void OnTokenDone(p11::TokenRequest& request) override;

 private:
  friend class HsmKey;
  struct Job {
    p11::TokenRequest token;  // first: from there to the job
    crypto::SignRequest* request = nullptr;
    uint32_t key = 0;
    uint32_t tried = 0;  // modules, by bit
    uint32_t module = 0;
    bool is_used = false;
  };

  bool CanSign(uint32_t key) const;
  void Sign(HsmKey& key, crypto::SignRequest& request);
  void Cancel(crypto::SignRequest& request);
  bool Send(Job& job, Instant now);
  void OnJob(Job& job);
  void Free(Job& job);
  void ShareLabels();
  void WatchModules();
  void StepChore();
  void StepDeletion(uint8_t step);
  void StepWrap(uint8_t step);
  void BeginWrapByRsa();
  void StepWrapByRsa(uint8_t step);
  bool TakeCipher();
  void CompareWrapped();
  void StepKey(uint8_t step);
  void EndChore(const Error& error);
  void AskChore(p11::TokenWork work);
  void NextModuleOfDeletion();

  EventLoop& loop_;
  Observer& observer_;
  bool mode_on_ = false;
  std::array<Module*, kModulesMax> modules_ = {};
  std::array<bool, kModulesMax> was_up_ = {};
  const Module* active_ = nullptr;
  std::array<HsmKey, kKeysMax> keys_;
  FixedString<p11::kLabelMax> certificate_key_;
  std::span<Job> jobs_;
  uint32_t jobs_used_ = 0;
  Chore* chore_ = nullptr;
  uint8_t chore_step_ = 0;
  p11::TokenRequest chore_request_;
};

}  // namespace gh::hsm
