// The store's key wrapped by the HSM: commands of HsmService (firmware/hsm/store_key.h has the
// how).
#include <algorithm>

#include "firmware/trust/hsm_service.h"

namespace gh {
namespace {

using namespace gh::log::event;

}  // namespace

bool HsmService::is_store_wrapped() const {
  return parts_.sealed_store != nullptr && parts_.sealed_store->key().is_loaded() &&
         parts_.sealed_store->key().wrapper_kind() == hsm::kStoreWrapperKind;
}

Result<void> HsmService::StartWrap(std::string_view password, std::string_view by) {
  if (password.size() < hsm::kRecoveryPasswordMin) {
    return Error{ErrorCode::kInvalidArgument,
                 "expected a recovery password of at least 12 characters"};
  }
  if (parts_.sealed_store == nullptr || !parts_.sealed_store->key().is_loaded()) {
    return Error{ErrorCode::kWrongState, "there is no sealed store, or it is not open"};
  }
  const hsm::Module* active = engine_.active();
  const bool is_local =
      active != nullptr && (active->config().provider != nullptr ||
                            (parts_.token != nullptr && active->config().link == parts_.token));
  if (!is_local) {
    return Error{ErrorCode::kWrongState,
                 "the module in use must be one with Transport Virtio or Module: nothing else is "
                 "there at the start"};
  }
  if (is_busy_) {
    return Error{ErrorCode::kExhausted, "the HSM is busy with another command"};
  }
  parts_.random.Fill(envelope_.vector);
  envelope_.token = active->config().token;
  envelope_.label.Assign(hsm::kStoreKeyLabel);
  GH_TRY(
      hsm::PrepareBox(parts_.hasher, parts_.random, password, envelope_.recovery, recovery_key_));
  store::KeyBytes key;
  parts_.sealed_store->key().CopyTo(key);
  hsm::PreparePlain(key, std::span(chore_.plain).first<hsm::kStorePlainBytes>());
  chore_.plain_size = hsm::kStorePlainBytes;
  chore_.vector = envelope_.vector;
  chore_.kind = hsm::Chore::Kind::kWrap;
  chore_.label.Assign(hsm::kStoreKeyLabel);
  chore_by_.Assign(by);
  said_.Clear();
  if (!engine_.StartChore(chore_)) {
    SecureZero(chore_.plain);
    return chore_.error;
  }
  is_busy_ = true;
  return Ok();
}

void HsmService::FinishWrap() {
  SecureZero(chore_.plain);
  Result<void> outcome = chore_.error;
  if (outcome.ok()) {
    envelope_.by_rsa = chore_.by_rsa;
    std::ranges::copy(chore_.output, envelope_.cipher.begin());
    envelope_.cipher_size = chore_.output_size;
    store::KeyBytes key;
    parts_.sealed_store->key().CopyTo(key);
    hsm::SealBox(envelope_.recovery, key, recovery_key_.Expose());
    hsm::PreparedWrapper wrapper(envelope_);
    outcome = parts_.sealed_store->key().Wrap(wrapper);
  }
  recovery_key_.Zero();
  if (!outcome.ok()) {
    said_.Assign("ERROR: ");
    said_.Append(outcome.error().what);
    return;
  }
  parts_.log.Emit(HsmStoreKey{.wrapper = "the HSM", .by = chore_by_.view()});
  said_.Assign("The store's key is wrapped by the HSM");
  said_.Append(chore_.by_rsa ? ", by an RSA key, for it does not encrypt by AES" : "");
  said_.Append(". Keep the recovery password apart from it.");
}

Result<void> HsmService::UnwrapStore(std::string_view by) {
  if (!is_store_wrapped()) {
    return Error{ErrorCode::kWrongState, "the store's key is not wrapped by the HSM"};
  }
  // The TPM takes over, by the same recovery password; without one the key lies bare.
  if (parts_.tpm != nullptr && RewrapByTpm().ok()) {
    parts_.log.Emit(HsmStoreKey{.wrapper = "the TPM", .by = by});
    return Ok();
  }
  store::NoWrapper none;
  GH_TRY(parts_.sealed_store->key().Wrap(none));
  parts_.log.Emit(HsmStoreKey{.wrapper = "nobody", .by = by});
  return Ok();
}

Result<void> HsmService::RewrapByTpm() {
  store::KeyRecord record;
  GH_TRY(parts_.sealed_store->key().ReadRecord(record));
  hsm::StoreEnvelope envelope;
  GH_TRY(
      hsm::DecodeEnvelope(std::span<const uint8_t>(record.wrapped).first(record.size), envelope));
  hsm::TpmWrapper wrapper(*parts_.tpm, envelope.recovery);
  return parts_.sealed_store->key().Wrap(wrapper);
}

Result<void> HsmService::RecoverStore(std::string_view password, std::string_view by,
                                      ByteWriter& out) {
  if (!parts_.is_store_key_away) {
    return Error{ErrorCode::kWrongState, "the store is not waiting for its key"};
  }
  hsm::RecoveryOpener opener(parts_.hasher, password);
  auto recovered = parts_.sealed_store->key().Recover(opener);
  if (recovered.code() == ErrorCode::kWrongState) {
    hsm::TpmRecoveryOpener of_tpm(parts_.hasher, password);
    recovered = parts_.sealed_store->key().Recover(of_tpm);
  }
  GH_TRY(recovered);
  parts_.log.Emit(HsmStoreKey{.wrapper = "nobody (recovered)", .by = by});
  out.Text(
      "The store's key is recovered; nobody wraps it now. xCommand Restart opens the store "
      "with all its configuration.");
  return Ok();
}

void HsmService::AddStoreCommands(admin::CommandTable& commands) {
  using Self = HsmService;
  admin::Command wrap = {"HSM StoreKey Wrap", "Has the store's key wrapped by a key of the HSM"};
  wrap.value_help = "a recovery password, for the day the HSM is gone: 12 characters or more";
  wrap.context = this;
  wrap.administrator_only = true;
  wrap.secret_value = true;
  wrap.slow = true;
  wrap.guest = this;
  wrap.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
    return static_cast<Self*>(self)->StartWrap(value, by);
  };
  commands.Add(wrap);
  admin::Command unwrap = {
      "HSM StoreKey Unwrap",
      "The store's key is not wrapped by the HSM any more: by the TPM, or by nobody"};
  unwrap.context = this;
  unwrap.administrator_only = true;
  unwrap.slow = true;
  unwrap.run = [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
    auto& self = *static_cast<Self*>(context);
    GH_TRY(self.UnwrapStore(by));
    out.Text("The store's key is ");
    out.Text(self.StoreWrapper());
    out.Char('.');
    return Ok();
  };
  commands.Add(unwrap);
  AddTpmCommands(commands);
  admin::Command recover = {"HSM StoreKey Recover",
                            "Opens the store without the HSM or the TPM that wraps its key"};
  recover.value_help = "the recovery password";
  recover.context = this;
  recover.administrator_only = true;
  recover.secret_value = true;
  recover.slow = true;
  recover.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->RecoverStore(value, by, out);
  };
  commands.Add(recover);
}

// --- The TPM ------------------------------------------------------------------------------------

const char* HsmService::StoreWrapper() const {
  if (parts_.is_store_key_away) {
    return "away";
  }
  if (parts_.sealed_store == nullptr || !parts_.sealed_store->key().is_loaded()) {
    return "not wrapped";
  }
  switch (parts_.sealed_store->key().wrapper_kind()) {
    case hsm::kStoreWrapperKind:
      return "wrapped by the HSM";
    case hsm::kTpmWrapperKind:
      return "wrapped by the TPM";
    default:
      return "not wrapped";
  }
}

Result<void> HsmService::WrapByTpm(std::string_view password, std::string_view by,
                                   ByteWriter& out) {
  if (parts_.tpm == nullptr) {
    return Error{ErrorCode::kNotFound, "this machine has no TPM that can be used"};
  }
  if (parts_.sealed_store == nullptr || !parts_.sealed_store->key().is_loaded()) {
    return Error{ErrorCode::kWrongState, "there is no sealed store, or it is not open"};
  }
  if (is_busy_) {
    return Error{ErrorCode::kExhausted, "the HSM is busy with another command"};
  }
  hsm::RecoveryBox box;
  SecretBytes<crypto::kAeadKeySize> by_password;
  GH_TRY(hsm::PrepareBox(parts_.hasher, parts_.random, password, box, by_password));
  store::KeyBytes key;
  parts_.sealed_store->key().CopyTo(key);
  hsm::SealBox(box, key, by_password.Expose());
  hsm::TpmWrapper wrapper(*parts_.tpm, box);
  GH_TRY(parts_.sealed_store->key().Wrap(wrapper));
  parts_.log.Emit(HsmStoreKey{.wrapper = "the TPM", .by = by});
  out.Text("The store's key is wrapped by the TPM. Keep the recovery password apart from it.");
  return Ok();
}

Result<void> HsmService::UnwrapFromTpm(std::string_view by) {
  if (parts_.sealed_store == nullptr || !parts_.sealed_store->key().is_loaded() ||
      parts_.sealed_store->key().wrapper_kind() != hsm::kTpmWrapperKind) {
    return Error{ErrorCode::kWrongState, "the store's key is not wrapped by the TPM"};
  }
  store::NoWrapper none;
  GH_TRY(parts_.sealed_store->key().Wrap(none));
  parts_.log.Emit(HsmStoreKey{.wrapper = "nobody", .by = by});
  return Ok();
}

void HsmService::AddTpmCommands(admin::CommandTable& commands) {
  using Self = HsmService;
  admin::Command wrap = {"TPM StoreKey Wrap", "Has the store's key wrapped by the machine's TPM"};
  wrap.value_help = "a recovery password, for the day the TPM is gone: 12 characters or more";
  wrap.context = this;
  wrap.administrator_only = true;
  wrap.secret_value = true;
  wrap.slow = true;
  wrap.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<Self*>(self)->WrapByTpm(value, by, out);
  };
  commands.Add(wrap);
  admin::Command unwrap = {"TPM StoreKey Unwrap", "The store's key is wrapped by nobody again"};
  unwrap.context = this;
  unwrap.administrator_only = true;
  unwrap.run = [](void* self, std::string_view by, ByteWriter& out) -> Result<void> {
    GH_TRY(static_cast<Self*>(self)->UnwrapFromTpm(by));
    out.Text("The store's key is wrapped by nobody.");
    return Ok();
  };
  commands.Add(unwrap);
}

}  // namespace gh
