#include "firmware/admin/ssh/algorithms.h"

#include "firmware/admin/ssh/wire.h"

namespace gh::ssh {
namespace {

constexpr std::string_view kKexNames[] = {
    "mlkem768x25519-sha256", "sntrup761x25519-sha512",       "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",     "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"};
constexpr std::string_view kHostKeyNames[] = {"ssh-ed25519", "ecdsa-sha2-nistp256"};
constexpr std::string_view kCipherNames[] = {"chacha20-poly1305@openssh.com",
                                             "aes256-gcm@openssh.com",
                                             "aes128-gcm@openssh.com",
                                             "aes256-ctr",
                                             "aes192-ctr",
                                             "aes128-ctr"};
constexpr std::string_view kMacNames[] = {"hmac-sha2-256-etm@openssh.com",
                                          "hmac-sha2-512-etm@openssh.com"};
static_assert(std::size(kKexNames) <= kAlgorithmsMax && std::size(kCipherNames) <= kAlgorithmsMax);

// Counter mode is there to be named; it is not offered by itself.
bool IsDefault(AlgorithmKind kind, uint8_t index) {
  return kind != AlgorithmKind::kCipher || IsAead(static_cast<Cipher>(index));
}

Error Refuse(AlgorithmKind kind, std::string_view name, ByteWriter& expected) {
  if (name.ends_with("-cbc") || name.ends_with("-cbc@lysator.liu.se")) {
    expected.Text("CBC ciphers are not part of this system; ");
  }
  expected.Text("expected a comma-separated list of: ");
  const auto names = AlgorithmNames(kind);
  for (uint8_t index = 0; index < names.size(); ++index) {
    expected.Text(index == 0 ? "" : ", ");
    expected.Text(names[index]);
  }
  return {ErrorCode::kUnsupported, "unknown algorithm"};
}

}  // namespace

std::span<const std::string_view> AlgorithmNames(AlgorithmKind kind) {
  switch (kind) {
    case AlgorithmKind::kKex:
      return kKexNames;
    case AlgorithmKind::kHostKey:
      return kHostKeyNames;
    case AlgorithmKind::kCipher:
      return kCipherNames;
    case AlgorithmKind::kMac:
      return kMacNames;
  }
  return {};
}

std::string_view AlgorithmName(AlgorithmKind kind, uint8_t index) {
  const auto names = AlgorithmNames(kind);
  return index < names.size() ? names[index] : std::string_view("none");
}

bool AlgorithmList::Has(uint8_t item) const {
  for (const uint8_t have : view()) {
    if (have == item) {
      return true;
    }
  }
  return false;
}

void AlgorithmList::Format(AlgorithmKind kind, ByteWriter& out) const {
  for (uint32_t i = 0; i < count; ++i) {
    out.Text(i == 0 ? "" : ",");
    out.Text(AlgorithmName(kind, items[i]));
  }
}

Result<AlgorithmList> ParseAlgorithms(AlgorithmKind kind, std::string_view text,
                                      ByteWriter& expected) {
  AlgorithmList list;
  const auto names = AlgorithmNames(kind);
  if (text.empty()) {
    return Refuse(kind, text, expected);
  }
  while (!text.empty()) {
    const std::string_view name = TakeName(text);
    uint8_t index = 0;
    while (index < names.size() && names[index] != name) {
      ++index;
    }
    if (index == names.size()) {
      return Refuse(kind, name, expected);
    }
    if (list.Has(index)) {
      expected.Text("expected each algorithm once: ");
      expected.Text(name);
      return Error(ErrorCode::kAlreadyExists, "algorithm named twice");
    }
    list.items[list.count++] = index;
  }
  return list;
}

AlgorithmList DefaultAlgorithms(AlgorithmKind kind) {
  AlgorithmList list;
  const size_t count = AlgorithmNames(kind).size();
  for (uint8_t index = 0; index < count; ++index) {
    if (IsDefault(kind, index)) {
      list.items[list.count++] = index;
    }
  }
  return list;
}

Result<uint8_t> Negotiate(AlgorithmKind kind, const AlgorithmList& ours, std::string_view theirs) {
  while (!theirs.empty()) {
    const std::string_view name = TakeName(theirs);
    for (const uint8_t item : ours.view()) {
      if (AlgorithmName(kind, item) == name) {
        return item;
      }
    }
  }
  return Error(ErrorCode::kNotFound, "nothing in common");
}

}  // namespace gh::ssh
