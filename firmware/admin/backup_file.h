// The backup file: rows (path and stored value) under a password. Pure but for the hasher's memory.
//
//   header, 96 bytes, all numbers little-endian
//     0  "GHBACKUP"      8  version (1)      10  header size     12  Argon2id memory, KiB
//    16  Argon2id passes 20  row count       24  chunk count     32  made at, seconds since 1970
//    40  salt, 16        56  nonce prefix, 16                    72  check of the key, 16
//    88  zero, 4         92  CRC-32 of the bytes before
//   chunks, 4096 + 16 bytes each: XChaCha20-Poly1305, nonce = prefix and the chunk's number, the
//   header is authenticated with each. Inside: bytes used (2), rows, zeros. A row does not cross
//   chunks: path size (2), path, value size (2), value.
//
// The header's check tells a wrong password from damage; the CRC tells damage from a file of
// another kind; the chunk count tells a cut. Everything authenticates before any of it is used.
// Fault model: the file is outside data, and its author may know the password.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/password.h"
#include "crypto/random.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh::admin {

inline constexpr uint32_t kBackupVersion = 1;
inline constexpr size_t kBackupHeaderSize = 96;
inline constexpr size_t kBackupChunkSize = 4096;
inline constexpr size_t kBackupSealedSize = kBackupChunkSize + 16;
inline constexpr size_t kBackupPasswordMin = 8;

inline constexpr size_t kBackupPathMax = 192;
inline constexpr size_t kBackupValueMax = 3840;
static_assert(2 + 4 + kBackupPathMax + kBackupValueMax <= kBackupChunkSize);

// Reads rows for the backup, first to last.
class BackupSource {
 public:
  // Writes the next row, of at most kBackupPathMax and kBackupValueMax; false: there are no more.
  virtual Result<bool> NextRow(ByteWriter& path, ByteWriter& value) = 0;

 protected:
  ~BackupSource() = default;
};

class BackupVisitor {
 public:
  virtual Result<void> OnRow(std::string_view path, std::span<const uint8_t> value) = 0;

 protected:
  ~BackupVisitor() = default;
};

struct BackupInfo {
  uint32_t rows = 0;
  int64_t made_at_s = 0;
};

class BackupCodec {
 public:
  BackupCodec(crypto::PasswordHasher& hasher, crypto::Random& random)
      : hasher_(hasher), random_(random) {}
  BackupCodec(const BackupCodec&) = delete;
  BackupCodec& operator=(const BackupCodec&) = delete;

  // Writes a backup to `out`; returns its size. kTooLarge: it does not fit. kInvalidArgument: the
  // password is too short. Takes tens of milliseconds.
  Result<size_t> Write(std::string_view password, int64_t now_s, BackupSource& source,
                       std::span<uint8_t> out, uint32_t& rows);
  // Checks the whole file, then gives its rows. Errors, each with words for an operator:
  // kUnsupported (not a backup), kIncompatible (newer version), kTruncated, kCorrupt (damaged),
  // kUnauthentic (wrong password); or what the visitor returned. Tens of milliseconds.
  Result<BackupInfo> Read(std::string_view password, std::span<const uint8_t> file,
                          BackupVisitor& visitor);

 private:
  struct Header;
  static Result<Header> ParseHeader(std::span<const uint8_t> file);
  Result<void> DeriveKey(std::string_view password, std::span<const uint8_t, 16> salt,
                         crypto::PasswordCost cost);
  Result<void> OpenChunk(std::span<const uint8_t> file, uint64_t index,
                         std::span<const uint8_t, 16> prefix);
  Result<void> VisitChunk(BackupVisitor& visitor, uint32_t& rows);
  void Wipe();

  crypto::PasswordHasher& hasher_;
  crypto::Random& random_;
  SecretBytes<32> key_;
  SecretBytes<16> check_;
  SecretBytes<kBackupChunkSize> chunk_;
};

}  // namespace gh::admin
