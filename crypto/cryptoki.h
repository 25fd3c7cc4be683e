// The Cryptoki seam: one call of PKCS #11 (OASIS, v2.40) as a request that completes later.
//
// A Provider carries calls to a token, in the order they are started, one after the other: over
// p11-kit's remoting protocol (crypto/pkcs11_rpc.h). A Call belongs to whoever starts it and stays
// in place until OnCall, which comes from Provider::Poll, never from inside Start.
//
// Everything that comes back is the token's: sizes are limits of this header, and what does not fit
// is kUnauthentic, never cut.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/list.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::crypto::pkcs11 {

inline constexpr uint32_t kAttributesMax = 16;  // of one template
inline constexpr uint32_t kOutputMax = 1200;    // bytes of one answer: RSA 4096 with its parts
inline constexpr uint32_t kHandlesMax = 32;     // slots, or objects found at once
inline constexpr uint32_t kInputMax = 512;      // bytes to sign, decrypt, wrap
inline constexpr uint32_t kPinMax = 64;
inline constexpr uint32_t kLabelMax = 64;

// Which function of Cryptoki; the numbers are those of p11-kit's protocol.
enum class Function : uint8_t {
  kInitialize = 1,
  kGetSlotList = 4,
  kGetTokenInfo = 6,
  kOpenSession = 10,
  kLogin = 18,
  kCreateObject = 20,
  kDestroyObject = 22,
  kGetAttributeValue = 24,
  kFindObjectsInit = 26,
  kFindObjects = 27,
  kFindObjectsFinal = 28,
  kEncryptInit = 29,
  kEncrypt = 30,
  kDecryptInit = 33,
  kDecrypt = 34,
  kSignInit = 42,
  kSign = 43,
  kGenerateKey = 58,
  kGenerateKeyPair = 59,
  kWrapKey = 60,
  kUnwrapKey = 61,
};

// Return values that are told apart.
inline constexpr uint64_t kOk = 0x00;
inline constexpr uint64_t kDeviceError = 0x30;
inline constexpr uint64_t kDeviceRemoved = 0x32;
inline constexpr uint64_t kKeyHandleInvalid = 0x60;
inline constexpr uint64_t kObjectHandleInvalid = 0x82;
inline constexpr uint64_t kPinIncorrect = 0xa0;
inline constexpr uint64_t kPinLocked = 0xa4;
inline constexpr uint64_t kSessionClosed = 0xb0;
inline constexpr uint64_t kSessionHandleInvalid = 0xb3;
inline constexpr uint64_t kTokenNotPresent = 0xe0;
inline constexpr uint64_t kUserAlreadyLoggedIn = 0x100;
inline constexpr uint64_t kUserNotLoggedIn = 0x101;
inline constexpr uint64_t kAlreadyInitialized = 0x191;

// Attributes.
inline constexpr uint32_t kClass = 0x00;
inline constexpr uint32_t kToken = 0x01;
inline constexpr uint32_t kPrivate = 0x02;
inline constexpr uint32_t kLabel = 0x03;
inline constexpr uint32_t kValue = 0x11;
inline constexpr uint32_t kKeyType = 0x100;
inline constexpr uint32_t kId = 0x102;
inline constexpr uint32_t kSensitive = 0x103;
inline constexpr uint32_t kEncryptUse = 0x104;
inline constexpr uint32_t kDecryptUse = 0x105;
inline constexpr uint32_t kWrapUse = 0x106;
inline constexpr uint32_t kUnwrapUse = 0x107;
inline constexpr uint32_t kSignUse = 0x108;
inline constexpr uint32_t kVerifyUse = 0x10a;
inline constexpr uint32_t kModulus = 0x120;
inline constexpr uint32_t kModulusBits = 0x121;
inline constexpr uint32_t kPublicExponent = 0x122;
inline constexpr uint32_t kValueLength = 0x161;
inline constexpr uint32_t kExtractable = 0x162;
inline constexpr uint32_t kEcParameters = 0x180;
inline constexpr uint32_t kEcPoint = 0x181;

// Object classes and key types.
inline constexpr uint64_t kPublicKey = 2;
inline constexpr uint64_t kPrivateKey = 3;
inline constexpr uint64_t kSecretKey = 4;
inline constexpr uint64_t kTypeRsa = 0;
inline constexpr uint64_t kTypeEc = 3;
inline constexpr uint64_t kTypeAes = 0x1f;

// Mechanisms.
inline constexpr uint32_t kRsaKeyPairGen = 0x0000;
inline constexpr uint32_t kRsaPkcs = 0x0001;
inline constexpr uint32_t kRsaPkcsOaep = 0x0009;
inline constexpr uint32_t kRsaPkcsPss = 0x000d;
inline constexpr uint32_t kSha1 = 0x0220;
inline constexpr uint32_t kSha256 = 0x0250;
inline constexpr uint32_t kSha384 = 0x0260;
inline constexpr uint32_t kSha512 = 0x0270;
inline constexpr uint32_t kEcKeyPairGen = 0x1040;
inline constexpr uint32_t kEcdsa = 0x1041;
inline constexpr uint32_t kAesKeyGen = 0x1080;
inline constexpr uint32_t kAesCbcPad = 0x1085;
inline constexpr uint32_t kAesKeyWrapPad = 0x210a;

// Session flags, user types, token flags.
inline constexpr uint64_t kSerialSession = 4;
inline constexpr uint64_t kReadWriteSession = 2;
inline constexpr uint64_t kUser = 1;
inline constexpr uint64_t kTokenUserPinLocked = 0x00040000;
inline constexpr uint64_t kTokenErrorState = 0x01000000;

struct Attribute {
  enum class Kind : uint8_t { kFlag, kNumber, kBytes };
  uint32_t type = 0;
  Kind kind = Kind::kBytes;
  uint64_t number = 0;  // kFlag: 0 or 1
  std::span<const uint8_t> bytes = {};

  static Attribute Flag(uint32_t type, bool on) { return {type, Kind::kFlag, on ? 1u : 0u, {}}; }
  static Attribute Number(uint32_t type, uint64_t value) {
    return {type, Kind::kNumber, value, {}};
  }
  static Attribute Bytes(uint32_t type, std::span<const uint8_t> bytes) {
    return {type, Kind::kBytes, 0, bytes};
  }
};
Attribute::Kind KindOf(uint32_t attribute_type);

class Template {
 public:
  void Clear() { count_ = 0; }
  void Add(const Attribute& attribute) {
    GH_ASSERT_LT(count_, kAttributesMax);
    attributes_[count_++] = attribute;
  }
  std::span<const Attribute> attributes() const { return {attributes_.data(), count_}; }

 private:
  std::array<Attribute, kAttributesMax> attributes_ = {};
  uint32_t count_ = 0;
};

struct Mechanism {
  enum class Kind : uint8_t { kNone, kBytes, kPss, kOaep };
  uint32_t type = 0;
  Kind kind = Kind::kNone;
  std::span<const uint8_t> bytes = {};  // kBytes: an initialisation vector
  uint64_t hash = 0;                    // kPss, kOaep: mechanism of the hash
  uint64_t mgf = 0;
  uint64_t salt_size = 0;
};
// RSA-OAEP as every token knows it (PKCS #1: SHA-1 and its mask; what it needs of the hash is not
// what SHA-1 has lost).
inline constexpr Mechanism kOaepBySha1 = {
    .type = kRsaPkcsOaep, .kind = Mechanism::Kind::kOaep, .hash = kSha1, .mgf = 1};

// What C_GetAttributeValue found; `bytes` is in the call's output.
struct FoundAttribute {
  uint32_t type = 0;
  bool is_valid = false;
  uint64_t number = 0;
  std::span<const uint8_t> bytes = {};
};

struct TokenInfo {
  std::array<uint8_t, 32> label = {};
  std::array<uint8_t, 32> manufacturer = {};
  std::array<uint8_t, 16> model = {};
  std::array<uint8_t, 16> serial = {};
  uint64_t flags = 0;
  uint8_t firmware_major = 0;
  uint8_t firmware_minor = 0;
};

class Call;
class CallListener {
 public:
  virtual void OnCall(Call& call) = 0;

 protected:
  ~CallListener() = default;
};

class Call {
 public:
  // Asked. Numbers in the order of the function's arguments: slot or session first, then flags,
  // user type, key, object.
  Function function = Function::kInitialize;
  std::array<uint64_t, 3> numbers = {};
  Mechanism mechanism;
  std::span<const Attribute> first;   // template; GetAttributeValue: types wanted
  std::span<const Attribute> second;  // of the private key
  std::span<const uint8_t> input;     // data, PIN
  CallListener* listener = nullptr;

  // Answered. `error`: the call never came to an answer; else `value` is what Cryptoki returned.
  Error error = ErrorCode::kOk;
  uint64_t value = kOk;
  std::array<uint64_t, kHandlesMax> handles = {};
  uint32_t handle_count = 0;
  std::array<uint8_t, kOutputMax> output = {};
  uint32_t output_size = 0;
  std::array<FoundAttribute, kAttributesMax> found = {};
  uint32_t found_count = 0;
  TokenInfo token;

  bool ok() const { return error.code == ErrorCode::kOk && value == kOk; }
  std::span<const uint8_t> out() const { return {output.data(), output_size}; }

  ListNode node;      // the provider's
  uint32_t code = 0;  // the provider's
  Instant started;    // the provider's
  bool is_pending = false;
};

class Provider {
 public:
  // False: not connected, or as many calls are under way as it takes. Templates, PIN and data are
  // not needed after it returns.
  virtual bool Start(Call& call, Instant now) = 0;
  // The call will not be told; its answer is dropped when it comes.
  virtual void Forget(Call& call) = 0;
  // Moves bytes; answers calls. True: more is waiting.
  virtual bool Poll(Instant now) = 0;
  // Calls can be started.
  virtual bool is_connected() const = 0;
  // Since when the oldest call under way waits for its answer; Instant::Max(): none does.
  virtual Instant waiting_since() const = 0;
  // Gives the connection up: every call under way fails, and it begins anew.
  virtual void Reset(const Error& why) = 0;

 protected:
  ~Provider() = default;
};

}  // namespace gh::crypto::pkcs11
