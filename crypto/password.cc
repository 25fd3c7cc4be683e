#include "crypto/password.h"

#include <sodium/crypto_pwhash_argon2id.h>
#include <sodium/utils.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::crypto {

namespace {

// The working memory of the derivation that is running, if one is.
struct Workspace {
  std::span<uint8_t> memory;
  size_t used = 0;
};
Workspace* g_workspace = nullptr;

constexpr size_t kWorkspaceAlignment = 64;

}  // namespace

// libsodium is compiled with malloc and free renamed to these (image/deps/libsodium.mk).
extern "C" void* gh_sodium_malloc(size_t size) {
  if (g_workspace == nullptr) {
    return nullptr;
  }
  Workspace& workspace = *g_workspace;
  const size_t start = (workspace.used + kWorkspaceAlignment - 1) & ~(kWorkspaceAlignment - 1);
  if (start > workspace.memory.size() || size > workspace.memory.size() - start) {
    return nullptr;
  }
  workspace.used = start + size;
  return workspace.memory.data() + start;
}

extern "C" void gh_sodium_free(void* /*memory*/) {}  // all at once, after the derivation

namespace {

// Argon2's blocks, its table of pseudo-random values (a quarter of the blocks, 8 bytes each), and
// what it allocates besides: a descriptor, the output, and alignment.
constexpr size_t WorkspaceSize(uint32_t memory_kib) {
  return size_t{memory_kib} * 1024 + size_t{memory_kib} / 4 * 8 + 4096;
}

constexpr std::string_view kPrefix = "$argon2id$v=19$m=";
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Base64 without padding, as the PHC string format has it.
void WriteBase64(ByteWriter& out, std::span<const uint8_t> bytes) {
  uint32_t bits = 0;
  uint32_t bit_count = 0;
  for (uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      out.Char(kBase64[bits >> bit_count & 0x3f]);
    }
  }
  if (bit_count > 0) {
    out.Char(kBase64[bits << (6 - bit_count) & 0x3f]);
  }
}

// Exactly `out.size()` bytes, canonical: unused bits are zero.
bool ReadBase64(std::string_view text, std::span<uint8_t> out) {
  if (text.size() != (out.size() * 8 + 5) / 6) {
    return false;
  }
  uint32_t bits = 0;
  uint32_t bit_count = 0;
  size_t at = 0;
  for (char c : text) {
    const size_t value = std::string_view(kBase64).find(c);
    if (value == std::string_view::npos) {
      return false;
    }
    bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xffffff;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      out[at++] = static_cast<uint8_t>(bits >> bit_count);
    }
  }
  return (bits & ((1u << bit_count) - 1)) == 0;
}

struct ParsedRecord {
  PasswordCost cost;
  std::array<uint8_t, PasswordHasher::kSaltSize> salt;
  std::array<uint8_t, PasswordHasher::kHashSize> hash;
};

// Takes digits and `end` from the front of `text`.
bool TakeNumber(std::string_view& text, std::string_view end, uint32_t& value) {
  const char* const last = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc()) {
    return false;
  }
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  if (!text.starts_with(end)) {
    return false;
  }
  text.remove_prefix(end.size());
  return true;
}

Result<ParsedRecord> ParseRecord(std::string_view text) {
  const Error malformed(ErrorCode::kMalformed, "not an Argon2id record");
  if (text.size() > kPasswordRecordSizeMax || !text.starts_with(kPrefix)) {
    return malformed;
  }
  text.remove_prefix(kPrefix.size());
  ParsedRecord record;
  uint32_t lanes = 0;
  if (!TakeNumber(text, ",t=", record.cost.memory_kib) ||
      !TakeNumber(text, ",p=", record.cost.passes) || !TakeNumber(text, "$", lanes)) {
    return malformed;
  }
  if (lanes != 1) {
    return Error(ErrorCode::kUnsupported, "Argon2id with more than one lane");
  }
  const size_t separator = text.find('$');
  if (separator == std::string_view::npos || !ReadBase64(text.substr(0, separator), record.salt) ||
      !ReadBase64(text.substr(separator + 1), record.hash)) {
    return malformed;
  }
  return record;
}

bool IsSensible(PasswordCost cost) {
  return cost.memory_kib >= kPasswordMemoryKibMin && cost.memory_kib <= kPasswordMemoryKibMax &&
         cost.passes >= 1 && cost.passes <= kPasswordPassesMax;
}

}  // namespace

PasswordHasher::PasswordHasher(Arena& arena, PasswordCost cost) : cost_(cost) {
  GH_ASSERT(IsSensible(cost));
  const size_t size = WorkspaceSize(cost.memory_kib);
  memory_ = {static_cast<uint8_t*>(arena.Allocate(size, kWorkspaceAlignment)), size};
}

Result<void> PasswordHasher::Derive(std::string_view password,
                                    std::span<const uint8_t, kSaltSize> salt, PasswordCost cost,
                                    std::span<uint8_t> out) {
  if (password.size() > kPasswordSizeMax) {
    return Error(ErrorCode::kTooLarge, "password is too long");
  }
  if (!IsSensible(cost) || WorkspaceSize(cost.memory_kib) > memory_.size()) {
    return Error(ErrorCode::kTooLarge, "Argon2id cost is outside this machine's limits");
  }
  GH_ASSERT(g_workspace == nullptr);
  Workspace workspace{memory_};
  g_workspace = &workspace;
  const int result = crypto_pwhash_argon2id(
      out.data(), out.size(), password.data(), password.size(), salt.data(), cost.passes,
      size_t{cost.memory_kib} * 1024, crypto_pwhash_argon2id_ALG_ARGON2ID13);
  g_workspace = nullptr;
  sodium_memzero(memory_.data(), workspace.used);
  GH_ASSERT_EQ(result, 0);  // every cause of failure was excluded above
  return Ok();
}

Result<PasswordRecord> PasswordHasher::Hash(std::string_view password, Random& random) {
  std::array<uint8_t, kSaltSize> salt;
  random.Fill(salt);
  std::array<uint8_t, kHashSize> hash;
  GH_TRY(Derive(password, salt, cost_, hash));
  PasswordRecord record;
  ByteWriter out({reinterpret_cast<uint8_t*>(record.bytes_.data()), record.bytes_.size()});
  out.Text(kPrefix);
  out.Decimal(cost_.memory_kib);
  out.Text(",t=");
  out.Decimal(cost_.passes);
  out.Text(",p=1$");
  WriteBase64(out, salt);
  out.Char('$');
  WriteBase64(out, hash);
  GH_ASSERT(out.ok());
  record.size_ = out.size();
  return record;
}

Result<void> PasswordHasher::Verify(std::string_view password, std::string_view record) {
  GH_TRY_ASSIGN(const ParsedRecord parsed, ParseRecord(record));
  std::array<uint8_t, kHashSize> hash;
  GH_TRY(Derive(password, parsed.salt, parsed.cost, hash));
  const bool equal = ConstantTimeEqual(hash, parsed.hash);
  SecureZero(hash);
  if (!equal) {
    return Error(ErrorCode::kUnauthentic, "wrong password");
  }
  return Ok();
}

bool PasswordHasher::IsWeak(std::string_view record) const {
  const auto parsed = ParseRecord(record);
  return parsed.ok() &&
         (parsed->cost.memory_kib < cost_.memory_kib || parsed->cost.passes < cost_.passes);
}

}  // namespace gh::crypto
