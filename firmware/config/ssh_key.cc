// Public keys for SSH. See ssh_key.h.
#include "firmware/config/ssh_key.h"

#include <algorithm>

#include "hal/rt/base64.h"

namespace gh::config {
namespace {

std::string_view TakeString(ByteReader& reader) {
  const uint32_t size = reader.U32Be();
  return AsText(reader.Take(size));
}

// The fields behind the type's name are as that type has them, and nothing follows.
bool IsWellFormed(std::string_view type, std::span<const uint8_t> blob) {
  ByteReader reader(blob);
  if (TakeString(reader) != type) {
    return false;
  }
  if (type == "ssh-ed25519") {
    return TakeString(reader).size() == 32 && reader.ok() && reader.at_end();
  }
  if (type != "ecdsa-sha2-nistp256" || TakeString(reader) != "nistp256") {
    return false;
  }
  const std::string_view point = TakeString(reader);
  return reader.ok() && reader.at_end() && point.size() == 65 && point[0] == 4;
}

}  // namespace

bool ReadSshKey(std::string_view text, ByteWriter& blob) {
  const size_t space = text.find(' ');
  if (space == text.npos) {
    return false;
  }
  const std::string_view type = text.substr(0, space);
  const std::string_view rest = text.substr(space + 1);
  const std::string_view encoded = rest.substr(0, std::min(rest.find(' '), rest.size()));
  uint8_t bytes[kSshKeyBlobMax];
  ByteWriter key(bytes);
  if (encoded.empty() || !ReadBase64(encoded, key) || !IsWellFormed(type, key.written())) {
    return false;
  }
  blob.Bytes(key.written());
  return blob.ok();
}

bool ReadSshKeyDigest(std::string_view text, ByteWriter& digest) {
  if (!text.starts_with(kSshKeyDigestMark)) {
    return false;
  }
  text.remove_prefix(kSshKeyDigestMark.size());
  // 43 characters and the padding that ssh-keygen leaves out.
  constexpr size_t kCharacters = (kSshKeyDigestSize * 8 + 5) / 6;
  const std::string_view encoded = text.substr(0, std::min(text.find(' '), text.size()));
  if (encoded.size() != kCharacters) {
    return false;
  }
  char padded[kCharacters + 1];
  std::copy(encoded.begin(), encoded.end(), padded);
  padded[kCharacters] = '=';
  uint8_t bytes[kSshKeyDigestSize];
  ByteWriter out(bytes);
  if (!ReadBase64({padded, sizeof padded}, out) || out.size() != kSshKeyDigestSize) {
    return false;
  }
  digest.Bytes(bytes);
  return digest.ok();
}

bool IsSshKey(std::string_view text) {
  uint8_t bytes[kSshKeyBlobMax];
  ByteWriter blob(bytes);
  ByteWriter digest(bytes);
  return ReadSshKey(text, blob) || ReadSshKeyDigest(text, digest);
}

}  // namespace gh::config
