#include "crypto/tpm_seal.h"

#include <algorithm>
#include <array>

#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::crypto {
namespace {

constexpr uint16_t kTagPlain = 0x8001;
constexpr uint16_t kTagSessions = 0x8002;
constexpr uint32_t kCreatePrimary = 0x131;
constexpr uint32_t kCreate = 0x153;
constexpr uint32_t kLoad = 0x157;
constexpr uint32_t kUnseal = 0x15e;
constexpr uint32_t kFlush = 0x165;
constexpr uint32_t kOwner = 0x40000001;
constexpr uint32_t kPasswordSession = 0x40000009;
constexpr uint16_t kSha256 = 0x000b;
constexpr uint16_t kNull = 0x0010;
constexpr uint16_t kAes = 0x0006;
constexpr uint16_t kCfb = 0x0043;
constexpr uint16_t kKeyedHash = 0x0008;
constexpr uint16_t kEcc = 0x0023;
constexpr uint16_t kP256 = 0x0003;
// fixedTPM, fixedParent, userWithAuth, noDA; and of a storage key sensitiveDataOrigin, restricted,
// decrypt.
constexpr uint32_t kDataAttributes = 0x00000452;
constexpr uint32_t kStorageAttributes = 0x00030472;
constexpr uint32_t kHeaderSize = 10;

constexpr Error kMalformed = {ErrorCode::kMalformed, "the TPM's answer is malformed"};

// A command being written: header, handle, the empty password.
class Command {
 public:
  Command(uint32_t code, uint32_t handle) {
    writer_.U16Be(kTagSessions);
    writer_.U32Be(0);
    writer_.U32Be(code);
    writer_.U32Be(handle);
    writer_.U32Be(9);
    writer_.U32Be(kPasswordSession);
    writer_.U16Be(0);
    writer_.U8(0);
    writer_.U16Be(0);
  }
  ~Command() { SecureZero(bytes_); }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  ByteWriter& out() { return writer_; }
  // The parameters of the answer; `handle`: what it begins with, if it is asked for.
  Result<ByteReader> Run(hal::Tpm& tpm, uint32_t* handle) {
    GH_ASSERT(writer_.ok());
    const auto command = writer_.written();
    ByteWriter(command.subspan(2)).U32Be(static_cast<uint32_t>(command.size()));
    GH_TRY_ASSIGN(const auto answer, tpm.Run(command));
    ByteReader reader(answer);
    const uint16_t tag = reader.U16Be();
    const uint32_t size = reader.U32Be();
    const uint32_t code = reader.U32Be();
    if (!reader.ok() || size != answer.size()) {
      return kMalformed;
    }
    if (code != 0) {
      return Error{ErrorCode::kRefused, "the TPM refuses a command"};
    }
    if (handle != nullptr) {
      *handle = reader.U32Be();
    }
    const uint32_t parameters = reader.U32Be();
    if (!reader.ok() || tag != kTagSessions || parameters > reader.remaining()) {
      return kMalformed;
    }
    return ByteReader(reader.Take(parameters));
  }

 private:
  std::array<uint8_t, 768> bytes_ = {};
  ByteWriter writer_{bytes_};
};

// An object in the TPM's memory, which has room for few.
class Loaded {
 public:
  explicit Loaded(hal::Tpm& tpm) : tpm_(tpm) {}
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  ~Loaded() {
    if (handle != 0) {
      std::array<uint8_t, kHeaderSize + 4> bytes;
      ByteWriter writer(bytes);
      writer.U16Be(kTagPlain);
      writer.U32Be(static_cast<uint32_t>(bytes.size()));
      writer.U32Be(kFlush);
      writer.U32Be(handle);
      (void)tpm_.Run(writer.written());
    }
  }
  uint32_t handle = 0;

 private:
  hal::Tpm& tpm_;
};

void WriteNothingMore(ByteWriter& out) {
  out.U16Be(0);  // outside info
  out.U32Be(0);  // no registers
}

Result<void> MakeStorageKey(hal::Tpm& tpm, Loaded& key) {
  Command command(kCreatePrimary, kOwner);
  ByteWriter& out = command.out();
  out.U16Be(4);
  out.U32Be(0);   // no authorization, no data
  out.U16Be(26);  // the public area
  out.U16Be(kEcc);
  out.U16Be(kSha256);
  out.U32Be(kStorageAttributes);
  out.U16Be(0);  // no policy
  out.U16Be(kAes);
  out.U16Be(128);
  out.U16Be(kCfb);
  out.U16Be(kNull);  // scheme
  out.U16Be(kP256);
  out.U16Be(kNull);  // derivation
  out.U32Be(0);      // x, y: the TPM's
  WriteNothingMore(out);
  const auto made = command.Run(tpm, &key.handle);
  return made.ok() ? Ok() : Result<void>(made.error());
}

}  // namespace

Result<size_t> TpmSeal(hal::Tpm& tpm, std::span<const uint8_t> secret, std::span<uint8_t> out) {
  GH_ASSERT_LE(secret.size(), kTpmSecretMax);
  Loaded storage(tpm);
  GH_TRY(MakeStorageKey(tpm, storage));
  Command command(kCreate, storage.handle);
  ByteWriter& writer = command.out();
  writer.U16Be(static_cast<uint16_t>(4 + secret.size()));
  writer.U16Be(0);  // authorization
  writer.U16Be(static_cast<uint16_t>(secret.size()));
  writer.Bytes(secret);
  writer.U16Be(14);  // the public area
  writer.U16Be(kKeyedHash);
  writer.U16Be(kSha256);
  writer.U32Be(kDataAttributes);
  writer.U16Be(0);  // no policy
  writer.U16Be(kNull);
  writer.U16Be(0);
  WriteNothingMore(writer);
  GH_TRY_ASSIGN(ByteReader answer, command.Run(tpm, nullptr));
  ByteWriter sealed(out);
  for (int part = 0; part < 2; ++part) {  // private, public
    const uint16_t size = answer.U16Be();
    sealed.U16Be(size);
    sealed.Bytes(answer.Take(size));
  }
  if (!answer.ok()) {
    return kMalformed;
  }
  return sealed.ok() ? Result<size_t>(sealed.size())
                     : Result<size_t>(Error{ErrorCode::kTooLarge, "the TPM seals too long"});
}

Result<void> TpmUnseal(hal::Tpm& tpm, std::span<const uint8_t> sealed, std::span<uint8_t> secret) {
  if (sealed.size() > kTpmSealedMax) {
    return Error{ErrorCode::kUnauthentic, "what the TPM sealed is damaged"};
  }
  Loaded storage(tpm);
  GH_TRY(MakeStorageKey(tpm, storage));
  Loaded item(tpm);
  Command load(kLoad, storage.handle);
  load.out().Bytes(sealed);
  if (const auto loaded = load.Run(tpm, &item.handle); !loaded.ok()) {
    return loaded.error().code == ErrorCode::kRefused
               ? Error{ErrorCode::kUnauthentic, "it was sealed by another TPM, or is damaged"}
               : loaded.error();
  }
  Command unseal(kUnseal, item.handle);
  GH_TRY_ASSIGN(ByteReader answer, unseal.Run(tpm, nullptr));
  const uint16_t size = answer.U16Be();
  if (size != secret.size() || answer.remaining() != size) {
    return kMalformed;
  }
  answer.Copy(secret);
  return answer.ok() ? Ok() : Result<void>(kMalformed);
}

}  // namespace gh::crypto
