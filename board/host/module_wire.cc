#include "board/host/module_wire.h"

#include <algorithm>
#include <span>

#include "hal/rt/assert.h"

namespace gh::board {

namespace p11 = crypto::pkcs11;

namespace {

class Blob {
 public:
  explicit Blob(WireCall& call) : call_(call) {}
  bool Add(std::span<const uint8_t> bytes) {
    if (bytes.size() > kModuleBlobMax - size_) {
      return false;
    }
    std::ranges::copy(bytes, call_.blob + size_);
    size_ += static_cast<uint32_t>(bytes.size());
    return true;
  }

 private:
  WireCall& call_;
  uint32_t size_ = 0;
};

}  // namespace

bool PackCall(const p11::Call& call, WireCall& out) {
  out.function = call.function;
  std::ranges::copy(call.numbers, out.numbers);
  out.mechanism = call.mechanism.type;
  out.mechanism_kind = call.mechanism.kind;
  out.hash = call.mechanism.hash;
  out.mgf = call.mechanism.mgf;
  out.salt_size = call.mechanism.salt_size;
  out.first_count = static_cast<uint32_t>(call.first.size());
  out.second_count = static_cast<uint32_t>(call.second.size());
  GH_ASSERT_LE(out.first_count + out.second_count, kModuleAttributesMax);
  Blob blob(out);
  bool fits = blob.Add(call.mechanism.bytes);
  out.mechanism_size = static_cast<uint32_t>(call.mechanism.bytes.size());
  uint32_t count = 0;
  for (const auto& attributes : {call.first, call.second}) {
    for (const p11::Attribute& attribute : attributes) {
      out.attributes[count++] = {attribute.type, attribute.kind, attribute.number,
                                 static_cast<uint32_t>(attribute.bytes.size())};
      fits = fits && blob.Add(attribute.bytes);
    }
  }
  out.input_size = static_cast<uint32_t>(call.input.size());
  return fits && blob.Add(call.input);
}

Result<void> UnpackAnswer(const WireAnswer& answer, p11::Call& call) {
  static constexpr Error kNonsense = {ErrorCode::kUnauthentic,
                                      "the PKCS #11 module's answer is nonsense"};
  if (answer.handle_count > p11::kHandlesMax || answer.output_size > p11::kOutputMax ||
      answer.found_count > p11::kAttributesMax) {
    return kNonsense;
  }
  call.value = answer.value;
  std::ranges::copy(answer.handles, call.handles.begin());
  call.handle_count = answer.handle_count;
  std::copy_n(answer.output, answer.output_size, call.output.begin());
  call.output_size = answer.output_size;
  call.token = answer.token;
  call.found_count = answer.found_count;
  uint32_t at = 0;
  for (uint32_t i = 0; i < answer.found_count; ++i) {
    const WireFound& found = answer.found[i];
    if (found.size > answer.output_size - at) {
      return kNonsense;
    }
    call.found[i] = {found.type, found.is_valid != 0, found.number,
                     std::span<const uint8_t>(call.output).subspan(at, found.size)};
    at += found.size;
  }
  const bool has_handle = call.function == p11::Function::kOpenSession ||
                          call.function == p11::Function::kGenerateKey ||
                          call.function == p11::Function::kGenerateKeyPair ||
                          call.function == p11::Function::kUnwrapKey ||
                          call.function == p11::Function::kCreateObject;
  const bool has_found = call.function == p11::Function::kGetAttributeValue;
  if (call.value == p11::kOk && ((has_handle && call.handle_count == 0) ||
                                 (has_found && call.found_count != call.first.size()))) {
    return kNonsense;
  }
  return Ok();
}

}  // namespace gh::board
