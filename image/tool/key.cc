#include "image/tool/key.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "image/tool/file.h"

namespace gh::image::tool {

namespace {

struct KeyLine {
  gatehouse_image_KeyRole role;
  bool is_development;
  std::array<uint8_t, 32> bytes;
};

KeyLine ReadKeyLine(const std::string& path, const std::string& magic) {
  Bytes file = ReadFile(path);
  std::string text(file.begin(), file.end());
  SecureZero(file);
  std::istringstream words(text);
  std::string first, role, kind, hex;
  words >> first >> role >> kind >> hex;
  KeyLine line = {};
  line.role =
      role == "root" ? gatehouse_image_KeyRole_KEY_ROOT : gatehouse_image_KeyRole_KEY_RELEASE;
  line.is_development = kind == "development";
  if (first != magic || (role != "root" && role != "release") ||
      (kind != "development" && kind != "production") || !ParseHexText(hex, line.bytes)) {
    Die(path + ": not a " + magic + " file");
  }
  return line;
}

std::string KeyLineText(const std::string& magic, const TrustedKey& key,
                        std::span<const uint8_t> bytes) {
  return magic + (key.role == gatehouse_image_KeyRole_KEY_ROOT ? " root" : " release") +
         (key.is_development ? " development " : " production ") + HexText(bytes) + "\n";
}

}  // namespace

void KeyFromSeed(std::span<const uint8_t, crypto::kSigningSeedSize> seed, bool is_development,
                 SigningKey& out) {
  crypto::MakeSigningKey(seed, out.secret.Expose(), out.trusted.key);
  out.trusted.role = gatehouse_image_KeyRole_KEY_RELEASE;
  out.trusted.is_development = is_development;
}

bool MakeKey(const std::string& folder, const std::string& name, gatehouse_image_KeyRole role,
             bool is_development) {
  const std::string base = folder + "/" + name;
  if (FileExists(base + ".key")) {
    return false;
  }
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    Die("cannot create " + folder + ": " + std::strerror(errno));
  }
  SecretBytes<crypto::kSigningSeedSize> seed;
  if (getrandom(seed.Expose().data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) {
    Die("no randomness from the system");
  }
  SigningKey key;
  KeyFromSeed(seed.Expose(), is_development, key);
  key.trusted.role = role;
  std::string secret = KeyLineText("gatehouse-secret-key", key.trusted, seed.Expose());
  const std::string open = KeyLineText("gatehouse-public-key", key.trusted, key.trusted.key);
  WriteFile(base + ".pub", {reinterpret_cast<const uint8_t*>(open.data()), open.size()});
  WriteFile(base + ".key", {reinterpret_cast<const uint8_t*>(secret.data()), secret.size()}, 0600);
  SecureZero({reinterpret_cast<uint8_t*>(secret.data()), secret.size()});
  return true;
}

void LoadSigningKey(const std::string& path, SigningKey& out) {
  KeyLine line = ReadKeyLine(path, "gatehouse-secret-key");
  KeyFromSeed(line.bytes, line.is_development, out);
  out.trusted.role = line.role;
  SecureZero(line.bytes);
}

TrustedKey LoadPublicKey(const std::string& path) {
  const KeyLine line = ReadKeyLine(path, "gatehouse-public-key");
  return {line.bytes, line.role, line.is_development};
}

}  // namespace gh::image::tool
