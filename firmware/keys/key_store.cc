#include "firmware/keys/key_store.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "crypto/path_check.h"
#include "firmware/keys/x509_text.h"
#include "firmware/store/transaction.h"
#include "hal/rt/ascii.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::keys {
namespace {

using store::Table;
using namespace gh::log::event;

constexpr uint8_t kKeyInMemory = 1;
constexpr uint8_t kKeyInToken = 2;
constexpr std::string_view kInfo = "info";
constexpr uint8_t kFlagTemporary = 1;
constexpr uint8_t kFlagAcme = 2;

// "03", "03/1", "03/info".
struct RowKey {
  explicit RowKey(uint32_t slot, std::string_view rest = {}) {
    text.Append(static_cast<char>('0' + slot / 10));
    text.Append(static_cast<char>('0' + slot % 10));
    if (!rest.empty()) {
      text.Append('/');
      text.Append(rest);
    }
  }
  RowKey(uint32_t slot, uint32_t index) : RowKey(slot) {
    text.Append('/');
    text.Append(static_cast<char>('0' + index));
  }
  FixedString<16> text;
};

// The slot a row's key begins with; kSlotMax: none.
uint32_t SlotOf(std::string_view key) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (key.size() < 2 || !is_digit(key[0]) || !is_digit(key[1])) {
    return kSlotMax;
  }
  const auto slot = static_cast<uint32_t>((key[0] - '0') * 10 + (key[1] - '0'));
  return std::min(slot, kSlotMax);
}

const Error kTooManyReplaced(
    ErrorCode::kExhausted,
    "sessions still use too many certificates that were replaced; try again later");

}  // namespace

KeyStore::KeyStore(Arena& arena, crypto::TlsEnvironment& environment, store::Store& store,
                   log::Log& log)
    : environment_(environment), store_(store), log_(log) {
  static_assert(kChainMax < 10 && kSlotMax < 100);
  for (Held*& held : held_) {
    held = arena.New<Held>(environment);
    mbedtls_x509_crt_init(&held->certificates);
  }
}

KeyStore::~KeyStore() {
  challenge_ = nullptr;
  for (Held* held : held_) {
    FreeHeld(*held);
  }
}

// --- From the store -----------------------------------------------------------------------------

// Rows come in the order of their keys: "00/0", "00/1", "00/info", "01/0" ...
class KeyStore::RowLoader final : public store::EntryVisitor {
 public:
  explicit RowLoader(KeyStore& keys) : keys_(keys) {}
  uint32_t no_room = 0;  // bit of a slot: sessions hold what was replaced

  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    const uint32_t slot = SlotOf(key);
    if (slot == kSlotMax) {
      return;  // of another kind
    }
    if (key.size() == 2) {
      OnKey(slot, value);
    } else if (key.substr(3) == kInfo) {
      OnInfo(slot, value);
    } else {
      OnCertificate(slot, value);
    }
  }

 private:
  Held* HeldOf(uint32_t slot) {
    Slot& at = keys_.slots_[slot];
    if (at.identity == kNone) {
      Held* held = keys_.TakeHeld();
      if (held == nullptr) {
        no_room |= 1u << slot;
        return nullptr;
      }
      at.identity =
          static_cast<uint8_t>(std::ranges::find(keys_.held_, held) - keys_.held_.begin());
    }
    return keys_.held_[at.identity];
  }
  void OnCertificate(uint32_t slot, std::span<const uint8_t> der) {
    if (Held* held = HeldOf(slot); held != nullptr) {
      const crypto::TlsScope scope(keys_.environment_);
      // One that cannot be read leaves a chain that its key does not fit, or none.
      (void)mbedtls_x509_crt_parse_der(&held->certificates, der.data(), der.size());
    }
  }
  void OnInfo(uint32_t slot, std::span<const uint8_t> value) {
    ByteReader in(value);
    SlotInfo& info = keys_.slots_[slot].info;
    (void)in.U8();  // version
    const uint8_t flags = in.U8();
    info.is_temporary = (flags & kFlagTemporary) != 0;
    info.is_acme = (flags & kFlagAcme) != 0;
    info.domain.Assign(AsText(in.Take(in.remaining())));
  }
  void OnKey(uint32_t slot, std::span<const uint8_t> value) {
    Held* held = HeldOf(slot);
    if (held == nullptr || value.size() < 2) {
      return;
    }
    if (value[0] == kKeyInToken) {
      held->label.Assign(AsText(value.subspan(1)));
    } else if (value[0] == kKeyInMemory) {
      held->software.Load(value.subspan(1)).ignore("no key, no certificate: counted by Load");
    }
  }

  KeyStore& keys_;
};

Result<uint32_t> KeyStore::Load() {
  for (uint32_t i = 0; i < kSlotMax; ++i) {
    Retire(i);
    slots_[i] = {};
  }
  RowLoader loader(*this);
  GH_TRY(store_.ForEachIn(Table::kCertificates, "", UINT32_MAX, loader));
  GH_TRY(store_.ForEachIn(Table::kKeys, "", UINT32_MAX, loader));
  auto refused = static_cast<uint32_t>(std::popcount(loader.no_room));
  for (uint32_t i = 0; i < kSlotMax; ++i) {
    Slot& slot = slots_[i];
    if (slot.identity == kNone) {
      continue;
    }
    Held& held = *held_[slot.identity];
    const bool has_key =
        held.software.is_set() && PublicKeyIs(held.certificates, held.software.public_key());
    const bool names_itself = (i == 0) == slot.info.domain.empty();
    if (held.certificates.raw.p == nullptr || !names_itself || (!has_key && held.label.empty())) {
      ++refused;
      slot.identity = kNone;
      slot.info = {};
      FreeHeld(held);
      continue;
    }
    held.key = has_key ? &held.software : nullptr;
  }
  FindTokenKeys();
  ++generation_;
  return refused;
}

void KeyStore::FindTokenKeys() {
  for (const Slot& slot : slots_) {
    if (slot.identity == kNone || held_[slot.identity]->label.empty()) {
      continue;
    }
    Held& held = *held_[slot.identity];
    crypto::SigningKey* key =
        token_keys_ == nullptr ? nullptr : token_keys_->FindKey(held.label.view());
    held.key = key != nullptr && PublicKeyIs(held.certificates, key->public_key()) ? key : nullptr;
  }
}

// --- Changes ------------------------------------------------------------------------------------

Result<void> KeyStore::Install(const SlotInfo& info,
                               std::span<const std::span<const uint8_t>> chain,
                               crypto::SoftwareKey& key, std::string_view by) {
  GH_TRY_ASSIGN(const uint32_t slot, SlotFor(info.domain.view()));
  Held* held = TakeHeld();
  if (held == nullptr) {
    return kTooManyReplaced;
  }
  Result<void> done = Parse(chain, *held);
  if (done.ok() && !PublicKeyIs(held->certificates, key.public_key())) {
    done = Error(ErrorCode::kInvalidArgument, "the private key is not that of the certificate");
  }
  if (done.ok()) {
    held->software.TakeFrom(key);
    held->key = &held->software;
    done = Commit(slot, info, *held, by);
  }
  if (!done.ok()) {
    if (held->software.is_set()) {
      key.TakeFrom(held->software);
    }
    FreeHeld(*held);
  }
  return done;
}

Result<void> KeyStore::InstallToken(const SlotInfo& info,
                                    std::span<const std::span<const uint8_t>> chain,
                                    std::string_view label, std::string_view by) {
  GH_TRY_ASSIGN(const uint32_t slot, SlotFor(info.domain.view()));
  crypto::SigningKey* key = token_keys_ == nullptr ? nullptr : token_keys_->FindKey(label);
  if (key == nullptr) {
    return Error(ErrorCode::kNotFound, "the token has no key of this label");
  }
  Held* held = TakeHeld();
  if (held == nullptr) {
    return kTooManyReplaced;
  }
  Result<void> done = Parse(chain, *held);
  if (done.ok() && !PublicKeyIs(held->certificates, key->public_key())) {
    done = Error(ErrorCode::kInvalidArgument, "the token's key is not that of the certificate");
  }
  if (done.ok()) {
    held->key = key;
    held->label.Assign(label);
    done = Commit(slot, info, *held, by);
  }
  if (!done.ok()) {
    FreeHeld(*held);
  }
  return done;
}

Result<void> KeyStore::Parse(std::span<const std::span<const uint8_t>> chain, Held& held) {
  if (chain.empty() || chain.size() > kChainMax) {
    return Error(ErrorCode::kTooLarge, "a chain is of 1 to 6 certificates");
  }
  const crypto::TlsScope scope(environment_);
  for (const auto der : chain) {
    if (der.size() > kCertificateBytesMax) {
      return Error(ErrorCode::kTooLarge, "a certificate is larger than 3840 bytes");
    }
    const int status = mbedtls_x509_crt_parse_der(&held.certificates, der.data(), der.size());
    if (status != 0) {
      return status == MBEDTLS_ERR_X509_ALLOC_FAILED
                 ? Error(ErrorCode::kExhausted, "no memory for the certificate")
                 : Error(ErrorCode::kMalformed, "expected X.509 certificates");
    }
  }
  return Ok();
}

// Stored first: what is shown to peers is what the next start shows.
Result<void> KeyStore::Commit(uint32_t slot, const SlotInfo& info, Held& held,
                              std::string_view by) {
  const auto stored = InTransaction(store_, [&]() -> Result<void> {
    GH_TRY(RemoveRows(slot));
    GH_TRY(StoreRows(slot, info, held));
    return StoreKey(slot, held);
  });
  if (!stored.ok()) {
    return stored.error();
  }
  Retire(slot);
  slots_[slot].info = info;
  slots_[slot].identity = static_cast<uint8_t>(std::ranges::find(held_, &held) - held_.begin());
  ++generation_;
  uint8_t bytes[255];
  ByteWriter subject(bytes);
  DescribeCertificate(held.certificates, subject);
  const Fingerprint fingerprint = FingerprintOf(held.certificates);
  log_.Emit(CertificateInstalled{
      .domain = info.domain.empty() ? std::string_view("server") : info.domain.view(),
      .subject = subject.text(),
      .fingerprint = fingerprint.view(),
      .key = crypto::KeyTypeText(held.key->type(), held.key->bits()),
      .place = held.label.empty() ? "memory" : "token",
      .by = by});
  return Ok();
}

Result<void> KeyStore::StoreRows(uint32_t slot, const SlotInfo& info, const Held& held) {
  uint32_t index = 0;
  for (const mbedtls_x509_crt* at = &held.certificates; at != nullptr; at = at->next) {
    GH_TRY(store_.PutIn(Table::kCertificates, RowKey(slot, index++).text.view(),
                        {at->raw.p, at->raw.len}));
  }
  uint8_t bytes[2 + kDomainNameMax];
  ByteWriter row(bytes);
  row.U8(1);
  row.U8(static_cast<uint8_t>((info.is_temporary ? kFlagTemporary : 0) |
                              (info.is_acme ? kFlagAcme : 0)));
  row.Text(info.domain.view());
  return store_.PutIn(Table::kCertificates, RowKey(slot, kInfo).text.view(), row.written());
}

Result<void> KeyStore::StoreKey(uint32_t slot, const Held& held) {
  SecretBytes<1 + crypto::kPrivateKeyDerMax> row;
  std::span<uint8_t> bytes = row.Expose();
  size_t size = 0;
  if (!held.label.empty()) {
    bytes[0] = kKeyInToken;
    const auto label = AsBytes(held.label.view());
    std::ranges::copy(label, bytes.begin() + 1);
    size = label.size();
  } else {
    bytes[0] = kKeyInMemory;
    GH_TRY_ASSIGN(size, held.software.Save(bytes.subspan(1)));
  }
  return store_.PutIn(Table::kKeys, RowKey(slot).text.view(), bytes.first(1 + size));
}

Result<void> KeyStore::RemoveRows(uint32_t slot) {
  for (uint32_t i = 0; i < kChainMax; ++i) {
    GH_TRY(store_.RemoveIn(Table::kCertificates, RowKey(slot, i).text.view()));
  }
  GH_TRY(store_.RemoveIn(Table::kCertificates, RowKey(slot, kInfo).text.view()));
  return store_.RemoveIn(Table::kKeys, RowKey(slot).text.view());
}

Result<void> KeyStore::Remove(std::string_view domain, std::string_view by) {
  const uint32_t slot = FindSlot(domain);
  if (domain.empty() || slot == kSlotMax) {
    return Error(ErrorCode::kNotFound, "there is no certificate of this domain");
  }
  GH_TRY(InTransaction(store_, [&] { return RemoveRows(slot); }));
  log_.Emit(CertificateRemoved{.domain = slots_[slot].info.domain.view(), .by = by});
  Retire(slot);
  slots_[slot] = {};
  ++generation_;
  return Ok();
}

Result<void> KeyStore::CopyKey(std::string_view domain, crypto::SoftwareKey& out) {
  const uint32_t slot = FindSlot(domain);
  if (slot == kSlotMax) {
    return Error(ErrorCode::kNotFound, "there is no certificate yet");
  }
  const Held& held = *held_[slots_[slot].identity];
  if (!held.software.is_set()) {
    return Error(ErrorCode::kUnsupported, "the key is in the token");
  }
  SecretBytes<crypto::kPrivateKeyDerMax> der;
  GH_TRY_ASSIGN(const size_t size, held.software.Save(der.Expose()));
  return out.Load(std::span<const uint8_t>(der.Expose()).first(size));
}

// --- What is in force ---------------------------------------------------------------------------

uint32_t KeyStore::FindSlot(std::string_view domain) const {
  for (uint32_t i = 0; i < kSlotMax; ++i) {
    if (slots_[i].identity != kNone && EqualsIgnoringCase(slots_[i].info.domain.view(), domain)) {
      return i;
    }
  }
  return kSlotMax;
}

Result<uint32_t> KeyStore::SlotFor(std::string_view domain) const {
  if (domain.empty()) {
    return 0u;
  }
  if (const uint32_t slot = FindSlot(domain); slot != kSlotMax) {
    return slot;
  }
  for (uint32_t i = 1; i < kSlotMax; ++i) {
    if (slots_[i].identity == kNone) {
      return i;
    }
  }
  return Error(ErrorCode::kNoSpace, "16 domains have certificates already");
}

bool KeyStore::At(uint32_t index, Installed& out) const {
  for (const Slot& slot : slots_) {
    if (slot.identity != kNone && index-- == 0) {
      const Held& held = *held_[slot.identity];
      out = {&slot.info, &held, held.label.view()};
      return true;
    }
  }
  return false;
}

bool KeyStore::Find(std::string_view domain, Installed& out) const {
  const uint32_t slot = FindSlot(domain);
  if (slot == kSlotMax) {
    return false;
  }
  const Held& held = *held_[slots_[slot].identity];
  out = {&slots_[slot].info, &held, held.label.view()};
  return true;
}

uint32_t KeyStore::SlotNamed(std::string_view name, bool exactly) const {
  // Domains first, the server certificate behind them: with a wildcard it is what is left anyway.
  for (uint32_t i = 1; i <= kSlotMax; ++i) {
    const Slot& slot = slots_[i % kSlotMax];
    if (slot.identity == kNone || held_[slot.identity]->key == nullptr) {
      continue;
    }
    const mbedtls_x509_crt& leaf = held_[slot.identity]->certificates;
    if (exactly ? crypto::NamesHostExactly(leaf, name) : crypto::NamesHost(leaf, name)) {
      return i % kSlotMax;
    }
  }
  return kSlotMax;
}

const crypto::Identity* KeyStore::Acquire(std::string_view server_name) {
  uint32_t slot = kSlotMax;
  if (!server_name.empty()) {
    slot = SlotNamed(server_name, true);
    slot = slot == kSlotMax ? SlotNamed(server_name, false) : slot;
  }
  slot = slot == kSlotMax ? 0 : slot;
  if (slots_[slot].identity == kNone) {
    return nullptr;
  }
  Held& held = *held_[slots_[slot].identity];
  if (held.key == nullptr) {
    return nullptr;
  }
  ++held.user_count;
  return &held;
}

void KeyStore::Release(const crypto::Identity& identity) {
  GH_ASSERT(identity.user_count > 0);
  if (--identity.user_count > 0) {
    return;
  }
  for (Held* held : held_) {
    if (held == &identity && held->is_retired) {
      FreeHeld(*held);
    }
  }
}

void KeyStore::SetStaple(std::string_view domain, std::span<const uint8_t> response) {
  if (const uint32_t slot = FindSlot(domain); slot != kSlotMax) {
    held_[slots_[slot].identity]->staple = response;
  }
}

// --- Challenges ---------------------------------------------------------------------------------

// The extension that holds the challenge is critical and mbedTLS does not know it.
Result<void> KeyStore::SetChallenge(std::string_view name, std::span<const uint8_t> der,
                                    crypto::SoftwareKey& key) {
  ClearChallenge();
  Held* held = TakeHeld();
  if (held == nullptr) {
    return kTooManyReplaced;
  }
  const crypto::TlsScope scope(environment_);
  const int status = mbedtls_x509_crt_parse_der_with_ext_cb(
      &held->certificates, der.data(), der.size(), 1,
      [](void*, const mbedtls_x509_crt*, const mbedtls_x509_buf*, int, const unsigned char*,
         const unsigned char*) { return 0; },
      nullptr);
  if (status != 0 || !challenge_name_.Assign(name)) {
    FreeHeld(*held);
    return Error(ErrorCode::kExhausted, "no memory for the challenge's certificate");
  }
  held->software.TakeFrom(key);
  held->key = &held->software;
  challenge_ = held;
  return Ok();
}

void KeyStore::ClearChallenge() {
  if (challenge_ == nullptr) {
    return;
  }
  Held& held = *challenge_;
  challenge_ = nullptr;
  held.is_retired = true;
  if (held.user_count == 0) {
    FreeHeld(held);
  }
}

// Addresses are asked for by the names they have in in-addr.arpa and ip6.arpa (RFC 8738 section 6):
// the only challenge there is answers those.
const crypto::Identity* KeyStore::AcquireChallenge(std::string_view server_name) {
  const bool is_reverse =
      server_name.ends_with(".in-addr.arpa") || server_name.ends_with(".ip6.arpa");
  if (challenge_ == nullptr ||
      (!is_reverse && !EqualsIgnoringCase(server_name, challenge_name_.view()))) {
    return nullptr;
  }
  ++challenge_->user_count;
  return challenge_;
}

uint32_t KeyStore::identity_count() const {
  return static_cast<uint32_t>(
      std::ranges::count_if(held_, [](const Held* held) { return held->is_used; }));
}

KeyStore::Held* KeyStore::TakeHeld() {
  for (Held* held : held_) {
    if (!held->is_used) {
      held->is_used = true;
      held->chain = &held->certificates;
      return held;
    }
  }
  return nullptr;
}

void KeyStore::FreeHeld(Held& held) {
  GH_ASSERT_EQ(held.user_count, 0u);
  const crypto::TlsScope scope(environment_);
  mbedtls_x509_crt_free(&held.certificates);
  mbedtls_x509_crt_init(&held.certificates);
  held.software.Clear();
  held.key = nullptr;
  held.staple = {};
  held.chain = nullptr;
  held.label.Clear();
  held.is_used = false;
  held.is_retired = false;
}

void KeyStore::Retire(uint32_t slot) {
  if (slots_[slot].identity == kNone) {
    return;
  }
  Held& held = *held_[slots_[slot].identity];
  slots_[slot].identity = kNone;
  held.is_retired = true;
  held.staple = {};
  if (held.user_count == 0) {
    FreeHeld(held);
  }
}

}  // namespace gh::keys
