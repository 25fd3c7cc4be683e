// The far end of an HSM's connection says anything: the bytes are its whole stream, cut by length
// bytes into reads, to a client that opens a token and asks for things; and, beside it, the message
// of one answer to each function. Whatever it says ends in a state that time can go on from.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "crypto/pkcs11_rpc.h"
#include "crypto/pkcs11_token.h"

namespace {

using namespace gh;
using namespace gh::crypto::pkcs11;

// Answers come from the input; what is asked is dropped.
class InputLink final : public hal::TokenLink {
 public:
  explicit InputLink(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool connected() const override { return connected_; }
  uint32_t Read(std::span<uint8_t> out) override {
    if (bytes_.empty()) {
      connected_ = false;
      return 0;
    }
    const size_t count = std::min({size_t{bytes_[0]} + 1, bytes_.size() - 1, out.size()});
    std::copy_n(bytes_.begin() + 1, count, out.begin());
    bytes_ = bytes_.subspan(1 + count);
    return static_cast<uint32_t>(count);
  }
  uint32_t Write(std::span<const uint8_t> data) override {
    return static_cast<uint32_t>(data.size());
  }

 private:
  std::span<const uint8_t> bytes_;
  bool connected_ = true;
};

class Asker final : public TokenListener {
 public:
  void OnTokenDone(TokenRequest& request) override {
    GH_ASSERT_LE(request.output_size, request.output.size());
  }
};

void RunToken(std::span<const uint8_t> stream) {
  static std::array<uint8_t, 1 << 18> memory;
  Arena arena{std::span<uint8_t>(memory)};
  InputLink link(stream);
  auto client = std::make_unique<RpcClient>(link);
  auto token = std::make_unique<Token>(arena, *client);
  Asker asker;
  std::array<TokenRequest, 4> requests;
  static constexpr TokenWork kWorks[] = {TokenWork::kFindPrivate, TokenWork::kReadPublic,
                                         TokenWork::kSign, TokenWork::kCheck};
  token->Configure({});
  Instant now{1'000'000'000};
  for (int turn = 0; turn < 400 && link.connected(); ++turn) {
    now = now + Duration::Milliseconds(10);
    (void)token->Poll(now);
    for (size_t i = 0; i < requests.size(); ++i) {
      TokenRequest& request = requests[i];
      if (token->state() == TokenState::kReady && !request.is_pending) {
        request.work = kWorks[i];
        request.label.Assign("key");
        request.listener = &asker;
        request.deadline = now + Duration::Seconds(1);
        (void)token->Start(request, now);
      }
    }
  }
  token->Disable();
}

void RunAnswer(std::span<const uint8_t> message) {
  static auto call = std::make_unique<Call>();
  static constexpr Function kFunctions[] = {Function::kInitialize,        Function::kGetSlotList,
                                            Function::kGetTokenInfo,      Function::kFindObjects,
                                            Function::kGetAttributeValue, Function::kSign,
                                            Function::kGenerateKeyPair};
  const std::array<Attribute, 4> wanted = {
      Attribute::Number(kKeyType, 0), Attribute::Bytes(kModulus, {}),
      Attribute::Bytes(kPublicExponent, {}), Attribute::Bytes(kEcPoint, {})};
  for (const Function function : kFunctions) {
    call->function = function;
    call->first = wanted;
    if (DecodeAnswer(message, *call).ok()) {
      GH_ASSERT_LE(call->output_size, kOutputMax);
      GH_ASSERT_LE(call->handle_count, kHandlesMax);
      std::array<uint8_t, kPublicKeyMax> der;
      (void)BuildPublicKey(*call, der);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  RunToken({data, size});
  RunAnswer({data, size});
  return 0;
}
