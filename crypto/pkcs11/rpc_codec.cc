// Messages of p11-kit's remoting protocol, version 0: calls out, answers in.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "crypto/pkcs11_rpc.h"
#include "hal/rt/bytes.h"

namespace gh::crypto::pkcs11 {
namespace {

constexpr uint32_t kErrorAnswer = 0;
constexpr uint32_t kNullBytes = 0xffffffff;
constexpr std::string_view kHandshake = "PRIVATE-GNOME-KEYRING-PKCS11-PROTOCOL-V-1";
constexpr uint32_t kNumberSize = 8;  // of CK_ULONG, as p11-kit counts it
constexpr uint32_t kSignatureMax = 32;

struct Shape {
  Function function;
  std::string_view request;
  std::string_view answer;
};
// u: number, y: byte, ay/au/aA: arrays, fy/fu/fA: room for them, M: mechanism, s: padded text,
// v: version.
constexpr Shape kShapes[] = {
    {Function::kInitialize, "ayyay", ""},
    {Function::kGetSlotList, "yfu", "au"},
    {Function::kGetTokenInfo, "u", "ssssuuuuuuuuuuuvvs"},
    {Function::kOpenSession, "uu", "u"},
    {Function::kLogin, "uuay", ""},
    {Function::kCreateObject, "uaA", "u"},
    {Function::kDestroyObject, "uu", ""},
    {Function::kGetAttributeValue, "uufA", "aAu"},
    {Function::kFindObjectsInit, "uaA", ""},
    {Function::kFindObjects, "ufu", "au"},
    {Function::kFindObjectsFinal, "u", ""},
    {Function::kEncryptInit, "uMu", ""},
    {Function::kEncrypt, "uayfy", "ay"},
    {Function::kDecryptInit, "uMu", ""},
    {Function::kDecrypt, "uayfy", "ay"},
    {Function::kSignInit, "uMu", ""},
    {Function::kSign, "uayfy", "ay"},
    {Function::kGenerateKey, "uMaA", "u"},
    {Function::kGenerateKeyPair, "uMaAaA", "uu"},
    {Function::kWrapKey, "uMuufy", "ay"},
    {Function::kUnwrapKey, "uMuayaA", "u"},
};

const Shape* ShapeOf(Function function) {
  const auto* shape =
      std::ranges::find_if(kShapes, [&](const Shape& s) { return s.function == function; });
  return shape == std::end(kShapes) ? nullptr : shape;
}

void PutArray(ByteWriter& out, std::span<const uint8_t> bytes) {
  out.U8(1);
  out.U32Be(static_cast<uint32_t>(bytes.size()));
  out.Bytes(bytes);
}

void PutMechanism(ByteWriter& out, const Mechanism& mechanism) {
  out.U32Be(mechanism.type);
  switch (mechanism.kind) {
    case Mechanism::Kind::kNone:
      out.U32Be(kNullBytes);
      break;
    case Mechanism::Kind::kBytes:
      out.U32Be(static_cast<uint32_t>(mechanism.bytes.size()));
      out.Bytes(mechanism.bytes);
      break;
    case Mechanism::Kind::kPss:
      out.U64Be(mechanism.hash);
      out.U64Be(mechanism.mgf);
      out.U64Be(mechanism.salt_size);
      break;
    case Mechanism::Kind::kOaep:
      out.U64Be(mechanism.hash);
      out.U64Be(mechanism.mgf);
      out.U64Be(1);  // CKZ_DATA_SPECIFIED
      out.U32Be(kNullBytes);
      break;
  }
}

void PutTemplate(ByteWriter& out, std::span<const Attribute> attributes) {
  out.U32Be(static_cast<uint32_t>(attributes.size()));
  for (const Attribute& attribute : attributes) {
    out.U32Be(attribute.type);
    out.U8(1);
    switch (attribute.kind) {
      case Attribute::Kind::kFlag:
        out.U32Be(1);
        out.U8(static_cast<uint8_t>(attribute.number));
        break;
      case Attribute::Kind::kNumber:
        out.U32Be(kNumberSize);
        out.U64Be(attribute.number);
        break;
      case Attribute::Kind::kBytes:
        out.U32Be(static_cast<uint32_t>(attribute.bytes.size()));
        out.U32Be(static_cast<uint32_t>(attribute.bytes.size()));
        out.Bytes(attribute.bytes);
        break;
    }
  }
}

// Room for the values that are wanted: enough for any of them.
void PutWanted(ByteWriter& out, std::span<const Attribute> wanted) {
  out.U32Be(static_cast<uint32_t>(wanted.size()));
  for (const Attribute& attribute : wanted) {
    out.U32Be(attribute.type);
    out.U32Be(KindOf(attribute.type) == Attribute::Kind::kBytes    ? 600
              : KindOf(attribute.type) == Attribute::Kind::kNumber ? kNumberSize
                                                                   : 1);
  }
}

// The arguments that are not simply numbers in order.
void PutArguments(ByteWriter& out, const Call& call, std::string_view shape) {
  uint32_t number = 0;
  uint32_t tables = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    const std::string_view pair = shape.substr(i, 2);
    if (pair == "ay" || pair == "aA") {
      pair == "ay" ? PutArray(out, call.input)
                   : PutTemplate(out, tables++ == 0 ? call.first : call.second);
      ++i;
    } else if (pair == "fy" || pair == "fu") {
      out.U32Be(pair == "fy" ? kOutputMax : kHandlesMax);
      ++i;
    } else if (pair == "fA") {
      PutWanted(out, call.first);
      ++i;
    } else if (shape[i] == 'M') {
      PutMechanism(out, call.mechanism);
    } else if (shape[i] == 'u') {
      out.U64Be(call.numbers[number++]);
    } else {
      GH_ASSERT(shape[i] == 'y');
      out.U8(1);  // slots with a token in them
    }
  }
}

Error Malformed() { return {ErrorCode::kMalformed, "the HSM's answer does not parse"}; }

Result<void> TakeBytes(ByteReader& in, Call& call) {
  if (in.U8() == 0) {
    return Error{ErrorCode::kMalformed, "the HSM's answer is larger than asked for"};
  }
  const uint32_t size = in.U32Be();
  const auto bytes = in.Take(size);
  if (!in.ok() || size > kOutputMax) {
    return Malformed();
  }
  std::ranges::copy(bytes, call.output.begin());
  call.output_size = size;
  return Ok();
}

Result<void> TakeHandles(ByteReader& in, Call& call) {
  const bool is_valid = in.U8() != 0;
  const uint32_t count = in.U32Be();
  if (!in.ok() || !is_valid || count > kHandlesMax) {
    return Malformed();
  }
  for (uint32_t i = 0; i < count; ++i) {
    call.handles[i] = in.U64Be();
  }
  call.handle_count = count;
  return Ok();
}

Result<void> TakeAttribute(ByteReader& in, Call& call, FoundAttribute& found, uint32_t wanted) {
  found.type = in.U32Be();
  found.is_valid = in.U8() != 0;
  if (!in.ok() || found.type != wanted) {
    return Malformed();
  }
  if (!found.is_valid) {
    return Ok();
  }
  const uint32_t size = in.U32Be();
  switch (KindOf(found.type)) {
    case Attribute::Kind::kFlag:
      found.number = in.U8();
      return Ok();
    case Attribute::Kind::kNumber:
      found.number = in.U64Be();
      return Ok();
    case Attribute::Kind::kBytes:
      break;
  }
  const uint32_t inner = in.U32Be();
  const uint32_t real = inner == kNullBytes ? 0 : inner;
  const auto bytes = in.Take(real);
  if (!in.ok() || size != real || real > kOutputMax - call.output_size) {
    return Malformed();
  }
  std::ranges::copy(bytes, call.output.begin() + call.output_size);
  found.bytes = std::span<const uint8_t>(call.output).subspan(call.output_size, real);
  call.output_size += real;
  return Ok();
}

Result<void> TakeAttributes(ByteReader& in, Call& call) {
  const uint32_t count = in.U32Be();
  if (!in.ok() || count != call.first.size() || count > kAttributesMax) {
    return Malformed();
  }
  for (uint32_t i = 0; i < count; ++i) {
    GH_TRY(TakeAttribute(in, call, call.found[i], call.first[i].type));
  }
  call.found_count = count;
  call.value = in.U64Be();
  return Ok();
}

template <size_t N>
void TakePadded(ByteReader& in, std::array<uint8_t, N>& out, bool& fits) {
  fits = fits && in.U32Be() == N;
  in.Copy(out);
}

Result<void> TakeTokenInfo(ByteReader& in, TokenInfo& token) {
  bool fits = true;
  TakePadded(in, token.label, fits);
  TakePadded(in, token.manufacturer, fits);
  TakePadded(in, token.model, fits);
  TakePadded(in, token.serial, fits);
  token.flags = in.U64Be();
  in.Skip(10 * kNumberSize);
  in.Skip(2);
  token.firmware_major = in.U8();
  token.firmware_minor = in.U8();
  std::array<uint8_t, 16> time;
  TakePadded(in, time, fits);
  return fits ? Ok() : Result<void>(Malformed());
}

Result<void> TakeValues(ByteReader& in, std::string_view shape, Call& call) {
  if (shape == "ay") {
    return TakeBytes(in, call);
  }
  if (shape == "au") {
    return TakeHandles(in, call);
  }
  if (shape == "aAu") {
    return TakeAttributes(in, call);
  }
  if (shape.starts_with("ssss")) {
    return TakeTokenInfo(in, call.token);
  }
  for (size_t i = 0; i < shape.size(); ++i) {  // handles alone
    call.handles[i] = in.U64Be();
  }
  call.handle_count = static_cast<uint32_t>(shape.size());
  return Ok();
}

}  // namespace

Attribute::Kind KindOf(uint32_t attribute_type) {
  switch (attribute_type) {
    case kToken:
    case kPrivate:
    case kSensitive:
    case kEncryptUse:
    case kDecryptUse:
    case kWrapUse:
    case kUnwrapUse:
    case kSignUse:
    case kVerifyUse:
    case kExtractable:
      return Attribute::Kind::kFlag;
    case kClass:
    case kKeyType:
    case kModulusBits:
    case kValueLength:
      return Attribute::Kind::kNumber;
    default:
      return Attribute::Kind::kBytes;
  }
}

Result<size_t> EncodeCall(const Call& call, std::span<uint8_t> out) {
  const Shape* shape = ShapeOf(call.function);
  GH_ASSERT(shape != nullptr);
  ByteWriter writer(out);
  writer.U32Be(static_cast<uint32_t>(call.function));
  writer.U32Be(static_cast<uint32_t>(shape->request.size()));
  writer.Text(shape->request);
  if (call.function == Function::kInitialize) {
    static constexpr uint8_t kNoReserved[] = {0};
    PutArray(writer, AsBytes(kHandshake));
    writer.U8(0);
    PutArray(writer, kNoReserved);
  } else {
    PutArguments(writer, call, shape->request);
  }
  if (!writer.ok()) {
    return Error{ErrorCode::kTooLarge, "too large for the HSM's protocol"};
  }
  return writer.size();
}

Result<void> DecodeAnswer(std::span<const uint8_t> message, Call& call) {
  const Shape* shape = ShapeOf(call.function);
  GH_ASSERT(shape != nullptr);
  ByteReader in(message);
  const uint32_t function = in.U32Be();
  const uint32_t size = in.U32Be();
  if (!in.ok() || size > kSignatureMax) {
    return Malformed();
  }
  const std::string_view signature = AsText(in.Take(size));
  const bool is_error = function == kErrorAnswer;
  if (!in.ok() || signature != (is_error ? std::string_view("u") : shape->answer) ||
      (!is_error && function != static_cast<uint32_t>(call.function))) {
    return Malformed();
  }
  call.value = kOk;
  call.handle_count = call.output_size = call.found_count = 0;
  if (is_error) {
    call.value = in.U64Be();
    return in.ok() && call.value != kOk ? Ok() : Result<void>(Malformed());
  }
  GH_TRY(TakeValues(in, shape->answer, call));
  return in.ok() ? Ok() : Result<void>(Malformed());
}

}  // namespace gh::crypto::pkcs11
