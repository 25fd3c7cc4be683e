// What the appliance and the process that holds a PKCS #11 module say to each other: one datagram
// (SOCK_SEQPACKET) a call, one an answer. Both ends are of one build, so it is plain memory; sizes
// in an answer are checked all the same, for a module may do anything to its process.
//
// A generation is one life of that process: what belongs to another one is dropped on both sides.
#pragma once

#include <cstdint>
#include <type_traits>

#include "crypto/cryptoki.h"

namespace gh::board {

inline constexpr uint32_t kModuleBlobMax = 2048;
inline constexpr uint32_t kModuleAttributesMax = 2 * crypto::pkcs11::kAttributesMax;

struct WireAttribute {
  uint32_t type = 0;
  crypto::pkcs11::Attribute::Kind kind = crypto::pkcs11::Attribute::Kind::kBytes;
  uint64_t number = 0;
  uint32_t size = 0;  // of its bytes in the blob
};

struct WireCall {
  uint32_t generation = 0;
  uint32_t code = 0;
  crypto::pkcs11::Function function = crypto::pkcs11::Function::kInitialize;
  uint64_t numbers[3] = {};
  uint32_t mechanism = 0;
  crypto::pkcs11::Mechanism::Kind mechanism_kind = crypto::pkcs11::Mechanism::Kind::kNone;
  uint64_t hash = 0;
  uint64_t mgf = 0;
  uint64_t salt_size = 0;
  uint32_t first_count = 0;
  uint32_t second_count = 0;
  WireAttribute attributes[kModuleAttributesMax];
  // In the blob, in this order: the mechanism's bytes, the attributes', the input.
  uint32_t mechanism_size = 0;
  uint32_t input_size = 0;
  uint8_t blob[kModuleBlobMax] = {};
};

struct WireFound {
  uint32_t type = 0;
  uint8_t is_valid = 0;  // a bool would have to be one
  uint64_t number = 0;
  uint32_t size = 0;  // of its bytes in the output, one after the other
};

struct WireAnswer {
  enum class Kind : uint8_t { kUp, kGone, kAnswer };  // the process is there; it has ended
  Kind kind = Kind::kUp;
  uint32_t generation = 0;
  uint32_t code = 0;
  uint64_t value = 0;
  uint64_t handles[crypto::pkcs11::kHandlesMax] = {};
  uint32_t handle_count = 0;
  uint32_t found_count = 0;
  WireFound found[crypto::pkcs11::kAttributesMax];
  crypto::pkcs11::TokenInfo token;
  uint32_t output_size = 0;
  uint8_t output[crypto::pkcs11::kOutputMax] = {};
};

// Pure. False: the call does not fit.
bool PackCall(const crypto::pkcs11::Call& call, WireCall& out);
// kUnauthentic: sizes that cannot be. Whatever the bytes of the answer are.
Result<void> UnpackAnswer(const WireAnswer& answer, crypto::pkcs11::Call& call);

static_assert(std::is_trivially_copyable_v<WireCall> && std::is_trivially_copyable_v<WireAnswer>);

}  // namespace gh::board
