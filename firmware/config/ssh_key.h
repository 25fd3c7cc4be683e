// Public keys for SSH as operators have them: one line of an OpenSSH .pub file, "type base64
// comment". Pure; the text is outside data.
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::config {

// The wire form (RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4) of the two kinds that are taken.
inline constexpr size_t kSshKeyBlobMax = 4 + 19 + 4 + 8 + 4 + 65;

// What stands for a key too long for a line, RSA's above all: "SHA256:" and the digest of its wire
// form in base64 without padding, as ssh-keygen -l shows it; a comment may follow.
inline constexpr std::string_view kSshKeyDigestMark = "SHA256:";
inline constexpr size_t kSshKeyDigestSize = 32;
// False: not that form.
bool ReadSshKeyDigest(std::string_view text, ByteWriter& digest);

// ssh-ed25519 or ecdsa-sha2-nistp256, well formed, of the type that its name says; or a digest.
bool IsSshKey(std::string_view text);
// Writes the wire form. False: not a key (or empty).
bool ReadSshKey(std::string_view text, ByteWriter& blob);

}  // namespace gh::config
