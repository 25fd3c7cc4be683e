#include "board/host/module_calls.h"

#include <dlfcn.h>
#include <p11-kit-1/p11-kit/pkcs11.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace gh::board {
namespace {

namespace p11 = crypto::pkcs11;
using Function = p11::Function;

constexpr CK_ULONG kWantedBytes = 600;  // room for one attribute: RSA 4096's modulus

// A call's templates and buffers in Cryptoki's shapes; everything points into `call`.
class Arguments {
 public:
  explicit Arguments(const WireCall& call) : call_(call) {
    const uint64_t count = uint64_t{call.first_count} + call.second_count;
    is_valid_ = count <= kModuleAttributesMax && call.first_count <= kModuleAttributesMax;
    if (!is_valid_) {
      return;
    }
    TakeMechanism();
    for (uint32_t i = 0; i < count && is_valid_; ++i) {
      const WireAttribute& from = call.attributes[i];
      CK_ATTRIBUTE& to = attributes_[i];
      to.type = from.type;
      switch (from.kind) {
        case p11::Attribute::Kind::kFlag:
          flags_[i] = from.number != 0 ? CK_TRUE : CK_FALSE;
          to.pValue = &flags_[i];
          to.ulValueLen = sizeof(CK_BBOOL);
          break;
        case p11::Attribute::Kind::kNumber:
          numbers_[i] = from.number;
          to.pValue = &numbers_[i];
          to.ulValueLen = sizeof(CK_ULONG);
          break;
        case p11::Attribute::Kind::kBytes:
          to.pValue = Take(from.size);
          to.ulValueLen = from.size;
          break;
      }
    }
    input_ = Take(call.input_size);
  }

  bool is_valid() const { return is_valid_; }
  CK_MECHANISM* mechanism() { return &mechanism_; }
  CK_ATTRIBUTE* first() { return attributes_; }
  CK_ATTRIBUTE* second() { return attributes_ + call_.first_count; }
  CK_BYTE* input() { return input_; }

 private:
  CK_BYTE* Take(uint32_t size) {
    is_valid_ = is_valid_ && size <= kModuleBlobMax - at_;
    auto* bytes = const_cast<CK_BYTE*>(call_.blob + (is_valid_ ? at_ : 0));
    at_ += is_valid_ ? size : 0;
    return bytes;
  }
  void TakeMechanism() {
    mechanism_.mechanism = call_.mechanism;
    CK_BYTE* bytes = Take(call_.mechanism_size);
    switch (call_.mechanism_kind) {
      case p11::Mechanism::Kind::kNone:
        break;
      case p11::Mechanism::Kind::kBytes:
        mechanism_.pParameter = bytes;
        mechanism_.ulParameterLen = call_.mechanism_size;
        break;
      case p11::Mechanism::Kind::kPss:
        pss_ = {call_.hash, call_.mgf, call_.salt_size};
        mechanism_.pParameter = &pss_;
        mechanism_.ulParameterLen = sizeof(pss_);
        break;
      case p11::Mechanism::Kind::kOaep:
        oaep_ = {call_.hash, call_.mgf, CKZ_DATA_SPECIFIED, nullptr, 0};
        mechanism_.pParameter = &oaep_;
        mechanism_.ulParameterLen = sizeof(oaep_);
        break;
    }
  }

  const WireCall& call_;
  bool is_valid_ = true;
  uint32_t at_ = 0;
  CK_MECHANISM mechanism_ = {};
  CK_RSA_PKCS_PSS_PARAMS pss_ = {};
  CK_RSA_PKCS_OAEP_PARAMS oaep_ = {};
  CK_ATTRIBUTE attributes_[kModuleAttributesMax] = {};
  CK_BBOOL flags_[kModuleAttributesMax] = {};
  CK_ULONG numbers_[kModuleAttributesMax] = {};
  CK_BYTE* input_ = nullptr;
};

CK_RV ListSlots(CK_FUNCTION_LIST* f, WireAnswer& answer) {
  CK_SLOT_ID slots[p11::kHandlesMax];
  CK_ULONG count = p11::kHandlesMax;
  const CK_RV value = f->C_GetSlotList(CK_TRUE, slots, &count);
  if (value == CKR_OK) {
    answer.handle_count = static_cast<uint32_t>(std::min<CK_ULONG>(count, p11::kHandlesMax));
    std::copy_n(slots, answer.handle_count, answer.handles);
  }
  return value;
}

CK_RV DescribeToken(CK_FUNCTION_LIST* f, CK_SLOT_ID slot, WireAnswer& answer) {
  CK_TOKEN_INFO info = {};
  const CK_RV value = f->C_GetTokenInfo(slot, &info);
  std::memcpy(answer.token.label.data(), info.label, 32);
  std::memcpy(answer.token.manufacturer.data(), info.manufacturerID, 32);
  std::memcpy(answer.token.model.data(), info.model, 16);
  std::memcpy(answer.token.serial.data(), info.serialNumber, 16);
  answer.token.flags = info.flags;
  answer.token.firmware_major = info.firmwareVersion.major;
  answer.token.firmware_minor = info.firmwareVersion.minor;
  return value;
}

CK_RV FindObjects(CK_FUNCTION_LIST* f, CK_SESSION_HANDLE session, WireAnswer& answer) {
  CK_OBJECT_HANDLE found[p11::kHandlesMax];
  CK_ULONG count = 0;
  const CK_RV value = f->C_FindObjects(session, found, p11::kHandlesMax, &count);
  if (value == CKR_OK) {
    answer.handle_count = static_cast<uint32_t>(std::min<CK_ULONG>(count, p11::kHandlesMax));
    std::copy_n(found, answer.handle_count, answer.handles);
  }
  return value;
}

CK_RV ReadAttributes(CK_FUNCTION_LIST* f, const WireCall& call, WireAnswer& answer) {
  static CK_BYTE room[p11::kAttributesMax][kWantedBytes];
  CK_ATTRIBUTE wanted[p11::kAttributesMax];
  const uint32_t count = std::min(call.first_count, p11::kAttributesMax);
  for (uint32_t i = 0; i < count; ++i) {
    std::memset(room[i], 0, kWantedBytes);
    const auto kind = call.attributes[i].kind;
    wanted[i] = {call.attributes[i].type, room[i],
                 kind == p11::Attribute::Kind::kBytes    ? kWantedBytes
                 : kind == p11::Attribute::Kind::kNumber ? sizeof(CK_ULONG)
                                                         : sizeof(CK_BBOOL)};
  }
  const CK_RV value = f->C_GetAttributeValue(call.numbers[0], call.numbers[1], wanted, count);
  answer.found_count = count;
  for (uint32_t i = 0; i < count; ++i) {
    WireFound& found = answer.found[i];
    found.type = call.attributes[i].type;
    const CK_ULONG size = wanted[i].ulValueLen;
    found.is_valid = size <= kWantedBytes && size <= p11::kOutputMax - answer.output_size;
    if (!found.is_valid) {
      continue;
    }
    CK_ULONG number = 0;
    switch (call.attributes[i].kind) {
      case p11::Attribute::Kind::kFlag:
        found.number = room[i][0];
        break;
      case p11::Attribute::Kind::kNumber:
        std::memcpy(&number, room[i], sizeof(number));
        found.number = number;
        break;
      case p11::Attribute::Kind::kBytes:
        found.size = static_cast<uint32_t>(size);
        std::memcpy(answer.output + answer.output_size, room[i], size);
        answer.output_size += found.size;
        break;
    }
  }
  return value;
}

template <typename Operation>
CK_RV Produce(WireAnswer& answer, Operation operation) {
  CK_ULONG size = p11::kOutputMax;
  const CK_RV value = operation(answer.output, &size);
  answer.output_size = value == CKR_OK && size <= p11::kOutputMax ? static_cast<uint32_t>(size) : 0;
  return value;
}

template <typename Operation>
CK_RV Make(WireAnswer& answer, uint32_t count, Operation operation) {
  CK_OBJECT_HANDLE made[2] = {};
  const CK_RV value = operation(made);
  answer.handle_count = value == CKR_OK ? count : 0;
  std::copy_n(made, 2, answer.handles);
  return value;
}

CK_RV ServeKeys(CK_FUNCTION_LIST* f, const WireCall& call, Arguments& a, WireAnswer& answer) {
  const auto& n = call.numbers;
  switch (call.function) {
    case Function::kCreateObject:
      return Make(answer, 1, [&](CK_OBJECT_HANDLE* made) {
        return f->C_CreateObject(n[0], a.first(), call.first_count, made);
      });
    case Function::kGenerateKey:
      return Make(answer, 1, [&](CK_OBJECT_HANDLE* made) {
        return f->C_GenerateKey(n[0], a.mechanism(), a.first(), call.first_count, made);
      });
    case Function::kGenerateKeyPair:
      return Make(answer, 2, [&](CK_OBJECT_HANDLE* made) {
        return f->C_GenerateKeyPair(n[0], a.mechanism(), a.first(), call.first_count, a.second(),
                                    call.second_count, &made[0], &made[1]);
      });
    case Function::kUnwrapKey:
      return Make(answer, 1, [&](CK_OBJECT_HANDLE* made) {
        return f->C_UnwrapKey(n[0], a.mechanism(), n[1], a.input(), call.input_size, a.first(),
                              call.first_count, made);
      });
    case Function::kWrapKey:
      return Produce(answer, [&](CK_BYTE* out, CK_ULONG* size) {
        return f->C_WrapKey(n[0], a.mechanism(), n[1], n[2], out, size);
      });
    default:
      return CKR_FUNCTION_NOT_SUPPORTED;
  }
}

CK_RV ServeData(CK_FUNCTION_LIST* f, const WireCall& call, Arguments& a, WireAnswer& answer) {
  const auto& n = call.numbers;
  switch (call.function) {
    case Function::kEncryptInit:
      return f->C_EncryptInit(n[0], a.mechanism(), n[1]);
    case Function::kDecryptInit:
      return f->C_DecryptInit(n[0], a.mechanism(), n[1]);
    case Function::kSignInit:
      return f->C_SignInit(n[0], a.mechanism(), n[1]);
    case Function::kEncrypt:
      return Produce(answer, [&](CK_BYTE* out, CK_ULONG* size) {
        return f->C_Encrypt(n[0], a.input(), call.input_size, out, size);
      });
    case Function::kDecrypt:
      return Produce(answer, [&](CK_BYTE* out, CK_ULONG* size) {
        return f->C_Decrypt(n[0], a.input(), call.input_size, out, size);
      });
    case Function::kSign:
      return Produce(answer, [&](CK_BYTE* out, CK_ULONG* size) {
        return f->C_Sign(n[0], a.input(), call.input_size, out, size);
      });
    default:
      return ServeKeys(f, call, a, answer);
  }
}

CK_RV ServeOne(CK_FUNCTION_LIST* f, const WireCall& call, Arguments& a, WireAnswer& answer) {
  const auto& n = call.numbers;
  switch (call.function) {
    case Function::kInitialize:
      return f->C_Initialize(nullptr);
    case Function::kGetSlotList:
      return ListSlots(f, answer);
    case Function::kGetTokenInfo:
      return DescribeToken(f, n[0], answer);
    case Function::kOpenSession:
      return Make(answer, 1, [&](CK_OBJECT_HANDLE* made) {
        return f->C_OpenSession(n[0], n[1], nullptr, nullptr, made);
      });
    case Function::kLogin:
      return f->C_Login(n[0], n[1], a.input(), call.input_size);
    case Function::kDestroyObject:
      return f->C_DestroyObject(n[0], n[1]);
    case Function::kGetAttributeValue:
      return ReadAttributes(f, call, answer);
    case Function::kFindObjectsInit:
      return f->C_FindObjectsInit(n[0], a.first(), call.first_count);
    case Function::kFindObjects:
      return FindObjects(f, n[0], answer);
    case Function::kFindObjectsFinal:
      return f->C_FindObjectsFinal(n[0]);
    default:
      return ServeData(f, call, a, answer);
  }
}

}  // namespace

const char* LoadedModule::Load(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return dlerror();
  }
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get == nullptr || get(&functions) != CKR_OK || functions == nullptr) {
    return "it is no PKCS #11 module (C_GetFunctionList)";
  }
  functions_ = functions;
  return nullptr;
}

void LoadedModule::Serve(const WireCall& call, WireAnswer& answer) {
  Arguments arguments(call);
  answer.code = call.code;
  answer.value = !arguments.is_valid() ? CKR_ARGUMENTS_BAD
                                       : ServeOne(static_cast<CK_FUNCTION_LIST*>(functions_), call,
                                                  arguments, answer);
}

}  // namespace gh::board
