// The backup file. See backup_file.h.
#include "firmware/admin/backup_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "crypto/aead.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"

namespace gh::admin {
namespace {

constexpr std::string_view kMagic = "GHBACKUP";
constexpr Error kDamaged = {ErrorCode::kCorrupt, "the backup is damaged"};

std::array<uint8_t, crypto::kAeadNonceSize> NonceOf(std::span<const uint8_t, 16> prefix,
                                                    uint64_t index) {
  std::array<uint8_t, crypto::kAeadNonceSize> nonce;
  std::copy(prefix.begin(), prefix.end(), nonce.begin());
  ByteWriter number{std::span<uint8_t>(nonce).subspan(16)};
  number.U64Le(index);
  return nonce;
}

// The rows in clear, each chunk in its place behind the header. Returns where they end.
Result<size_t> PackRows(BackupSource& source, std::span<uint8_t> out, uint32_t& rows) {
  rows = 0;
  size_t at = kBackupHeaderSize;
  size_t used = 0;  // of the chunk at `at`
  const auto begin_chunk = [&]() {
    const bool fits = out.size() - at >= kBackupSealedSize;
    if (fits) {
      SecureZero(out.subspan(at, kBackupSealedSize));
    }
    used = 2;
    return fits;
  };
  const auto end_chunk = [&]() {
    ByteWriter size(out.subspan(at, 2));
    size.U16Le(static_cast<uint16_t>(used));
    at += kBackupSealedSize;
  };
  bool fits = begin_chunk();
  while (fits) {
    uint8_t path_bytes[kBackupPathMax];
    uint8_t value_bytes[kBackupValueMax];
    ByteWriter path(path_bytes);
    ByteWriter value(value_bytes);
    GH_TRY_ASSIGN(const bool has_row, source.NextRow(path, value));
    if (!has_row) {
      break;
    }
    GH_ASSERT(path.ok() && value.ok());
    const size_t size = 4 + path.size() + value.size();
    if (used + size > kBackupChunkSize) {
      end_chunk();
      fits = begin_chunk();
    }
    if (fits) {
      ByteWriter row(out.subspan(at + used, size));
      row.U16Le(static_cast<uint16_t>(path.size()));
      row.Bytes(path.written());
      row.U16Le(static_cast<uint16_t>(value.size()));
      row.Bytes(value.written());
      used += size;
      ++rows;
    }
    SecureZero(value_bytes);
  }
  if (!fits) {
    SecureZero(out.first(at));
    return Error{ErrorCode::kTooLarge, "there is no room for a backup"};
  }
  end_chunk();
  return at;
}

}  // namespace

struct BackupCodec::Header {
  crypto::PasswordCost cost;
  uint32_t rows = 0;
  uint64_t chunks = 0;
  int64_t made_at_s = 0;
  std::array<uint8_t, 16> salt = {};
  std::array<uint8_t, 16> prefix = {};
  std::array<uint8_t, 16> check = {};
};

void BackupCodec::Wipe() {
  key_.Zero();
  check_.Zero();
  chunk_.Zero();
}

Result<void> BackupCodec::DeriveKey(std::string_view password, std::span<const uint8_t, 16> salt,
                                    crypto::PasswordCost cost) {
  SecretBytes<48> derived;
  GH_TRY(hasher_.Derive(password, salt, cost, derived.Expose()));
  key_.Set(std::span<const uint8_t, 48>(derived.Expose()).first<32>());
  check_.Set(std::span<const uint8_t, 48>(derived.Expose()).last<16>());
  return Ok();
}

// --- Writing ------------------------------------------------------------------------------------

Result<size_t> BackupCodec::Write(std::string_view password, int64_t now_s, BackupSource& source,
                                  std::span<uint8_t> out, uint32_t& rows) {
  if (password.size() < kBackupPasswordMin) {
    return Error{ErrorCode::kInvalidArgument, "expected a password of at least 8 characters"};
  }
  if (out.size() < kBackupHeaderSize) {
    return Error{ErrorCode::kTooLarge, "there is no room for a backup"};
  }
  // The rows first; then the header, which counts them.
  GH_TRY_ASSIGN(const size_t at, PackRows(source, out, rows));
  const uint64_t chunks = (at - kBackupHeaderSize) / kBackupSealedSize;
  std::array<uint8_t, 32> fresh;
  random_.Fill(fresh);
  const auto salt = std::span<const uint8_t, 32>(fresh).first<16>();
  const auto prefix = std::span<const uint8_t, 32>(fresh).last<16>();
  const crypto::PasswordCost cost = hasher_.cost();
  if (const auto derived = DeriveKey(password, salt, cost); !derived.ok()) {
    SecureZero(out.first(at));
    return derived.error();
  }
  ByteWriter header(out.first(kBackupHeaderSize));
  header.Text(kMagic);
  header.U16Le(kBackupVersion);
  header.U16Le(kBackupHeaderSize);
  header.U32Le(cost.memory_kib);
  header.U32Le(cost.passes);
  header.U32Le(rows);
  header.U64Le(chunks);
  header.U64Le(static_cast<uint64_t>(now_s));
  header.Bytes(fresh);
  header.Bytes(check_.Expose());
  header.U32Le(0);
  header.U32Le(Crc32(header.written()));
  GH_ASSERT(header.ok() && header.size() == kBackupHeaderSize);
  for (uint64_t i = 0; i < chunks; ++i) {
    const auto chunk = out.subspan(kBackupHeaderSize + i * kBackupSealedSize, kBackupSealedSize);
    crypto::AeadSeal(key_.Expose(), NonceOf(prefix, i), header.written(),
                     chunk.first(kBackupChunkSize), chunk.last<crypto::kAeadTagSize>());
  }
  Wipe();
  return at;
}

// --- Reading ------------------------------------------------------------------------------------

Result<BackupCodec::Header> BackupCodec::ParseHeader(std::span<const uint8_t> file) {
  const bool has_magic =
      file.size() >= kMagic.size() && AsText(file.first(kMagic.size())) == kMagic;
  if (!has_magic) {
    return Error{ErrorCode::kUnsupported, "this is not a backup of this product"};
  }
  if (file.size() < kBackupHeaderSize) {
    return Error{ErrorCode::kTruncated, "the backup is cut short"};
  }
  ByteReader reader(file.first(kBackupHeaderSize));
  reader.Skip(kMagic.size());
  const uint16_t version = reader.U16Le();
  if (version > kBackupVersion) {
    return Error{ErrorCode::kIncompatible,
                 "the backup was made by a newer version: upgrade this system first"};
  }
  const uint16_t header_size = reader.U16Le();
  Header header;
  header.cost.memory_kib = reader.U32Le();
  header.cost.passes = reader.U32Le();
  header.rows = reader.U32Le();
  header.chunks = reader.U64Le();
  header.made_at_s = static_cast<int64_t>(reader.U64Le());
  reader.Copy(header.salt);
  reader.Copy(header.prefix);
  reader.Copy(header.check);
  const uint32_t zero = reader.U32Le();
  const uint32_t crc = reader.U32Le();
  GH_ASSERT(reader.ok() && reader.at_end());
  if (crc != Crc32(file.first(kBackupHeaderSize - 4)) || version == 0 || zero != 0 ||
      header_size != kBackupHeaderSize || header.chunks == 0 ||
      header.chunks > SIZE_MAX / (2 * kBackupSealedSize)) {
    return kDamaged;
  }
  const size_t size = kBackupHeaderSize + header.chunks * kBackupSealedSize;
  if (file.size() != size) {
    return file.size() < size ? Error{ErrorCode::kTruncated, "the backup is cut short"} : kDamaged;
  }
  return header;
}

Result<void> BackupCodec::OpenChunk(std::span<const uint8_t> file, uint64_t index,
                                    std::span<const uint8_t, 16> prefix) {
  const auto sealed =
      file.subspan(kBackupHeaderSize + index * kBackupSealedSize, kBackupSealedSize);
  chunk_.Set(sealed.first<kBackupChunkSize>());
  if (!crypto::AeadOpen(key_.Expose(), NonceOf(prefix, index), file.first(kBackupHeaderSize),
                        chunk_.Expose(), sealed.last<crypto::kAeadTagSize>())
           .ok()) {
    return kDamaged;
  }
  return Ok();
}

// Authentic bytes, yet of an author we need not trust.
Result<void> BackupCodec::VisitChunk(BackupVisitor& visitor, uint32_t& rows) {
  ByteReader size(chunk_.Expose());
  const uint16_t used = size.U16Le();
  if (used < 2 || used > kBackupChunkSize) {
    return kDamaged;
  }
  ByteReader reader(std::span<const uint8_t>(chunk_.Expose()).subspan(2, used - 2u));
  while (!reader.at_end()) {
    const uint16_t path_size = reader.U16Le();
    const std::string_view path = AsText(reader.Take(path_size));
    const uint16_t value_size = reader.U16Le();
    const auto value = reader.Take(value_size);
    if (!reader.ok()) {
      return kDamaged;
    }
    GH_TRY(visitor.OnRow(path, value));
    ++rows;
  }
  return Ok();
}

Result<BackupInfo> BackupCodec::Read(std::string_view password, std::span<const uint8_t> file,
                                     BackupVisitor& visitor) {
  GH_TRY_ASSIGN(const Header header, ParseHeader(file));
  if (!DeriveKey(password, header.salt, header.cost).ok()) {
    Wipe();
    return Error{ErrorCode::kUnsupported, "the backup's password needs more memory than there is"};
  }
  Result<void> outcome;
  if (!check_.Equals(header.check)) {
    outcome = Error{ErrorCode::kUnauthentic, "wrong password for this backup"};
  }
  for (uint64_t i = 0; outcome.ok() && i < header.chunks; ++i) {
    outcome = OpenChunk(file, i, header.prefix);
  }
  uint32_t rows = 0;
  for (uint64_t i = 0; outcome.ok() && i < header.chunks; ++i) {
    outcome = OpenChunk(file, i, header.prefix);
    outcome = outcome.ok() ? VisitChunk(visitor, rows) : outcome;
  }
  Wipe();
  if (!outcome.ok()) {
    return outcome.error();
  }
  if (rows != header.rows) {
    return kDamaged;
  }
  return BackupInfo{rows, header.made_at_s};
}

}  // namespace gh::admin
