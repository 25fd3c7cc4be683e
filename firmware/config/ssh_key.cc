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

bool IsSshKey(std::string_view text) {
  uint8_t bytes[kSshKeyBlobMax];
  ByteWriter blob(bytes);
  return ReadSshKey(text, blob);
}

}  // namespace gh::config
