// The token against stock parts: SoftHSM behind `p11-kit remote`, keys looked at with OpenSC's
// pkcs11-tool, signatures verified by the openssl program.
#include "tests/unit/pkcs11/softhsm.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "crypto/pkcs11_rpc.h"
#include "crypto/pkcs11_token.h"

namespace gh::crypto::pkcs11 {
namespace {

Instant Now() { return {std::chrono::steady_clock::now().time_since_epoch().count()}; }

class SoftHsmTest : public testing::Test, public TokenListener {
 protected:
  SoftHsmTest()
      : memory_(1 << 20),
        arena_(std::span<uint8_t>(memory_)),
        client_(hsm_),
        token_(arena_, client_) {}

  void SetUp() override {
    ASSERT_TRUE(hsm_.is_set_up()) << "softhsm2-util is missing";
    settings_.pin.Assign("1234");
    hsm_.Start();
    token_.Configure(settings_);
  }
  void OnTokenDone(TokenRequest&) override { ++done_; }

  bool RunUntil(const std::function<bool()>& condition, int seconds = 10) {
    const Instant end = Now() + Duration::Seconds(seconds);
    while (!condition()) {
      if (Now() > end) {
        return false;
      }
      if (!token_.Poll(Now())) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    }
    return true;
  }
  bool WaitReady() {
    return RunUntil([&] { return token_.state() == TokenState::kReady; });
  }
  TokenRequest& Do(TokenRequest& request, int seconds = 20) {
    request.listener = this;
    request.deadline = Now() + Duration::Seconds(seconds);
    if (token_.Start(request, Now())) {
      RunUntil([&] { return !request.is_pending; }, seconds + 1);
    }
    return request;
  }
  uint64_t Generate(const char* label, KeyType type, uint32_t bits) {
    auto request = std::make_unique<TokenRequest>();
    request->work = TokenWork::kGeneratePair;
    request->label.Assign(label);
    request->key_type = type;
    request->bits = bits;
    EXPECT_TRUE(Do(*request, 100).ok) << request->error.what;
    return request->handle;
  }

  std::vector<uint8_t> memory_;
  Arena arena_;
  test::SoftHsm hsm_;
  RpcClient client_;
  Token token_;
  TokenSettings settings_;
  int done_ = 0;
};

TEST_F(SoftHsmTest, OpensAndSaysWhatTokenItIs) {
  ASSERT_TRUE(WaitReady()) << token_.error().what;
  EXPECT_EQ(std::string(token_.info().label.begin(), token_.info().label.begin() + 9), "gatehouse");
  EXPECT_FALSE(token_.hardware_failed());
}

TEST_F(SoftHsmTest, ARefusedPinIsNotTriedAgain) {
  ASSERT_TRUE(WaitReady());
  settings_.pin.Assign("9999");
  token_.Configure(settings_);
  ASSERT_TRUE(RunUntil([&] { return !hsm_.connected(); }));  // log-in ends with the connection
  hsm_.Start();
  ASSERT_TRUE(RunUntil([&] { return token_.state() == TokenState::kFailed; }));
  EXPECT_TRUE(token_.pin_refused());
  EXPECT_FALSE(RunUntil([&] { return token_.state() != TokenState::kFailed; }, 3));
  settings_.pin.Assign("1234");
  token_.Configure(settings_);
  ASSERT_TRUE(RunUntil([&] { return !hsm_.connected(); }));
  hsm_.Start();
  EXPECT_TRUE(WaitReady());
}

TEST_F(SoftHsmTest, KeysAreMadeInTheTokenAndDoNotLeaveIt) {
  ASSERT_TRUE(WaitReady());
  (void)Generate("server", KeyType::kEcP256, 256);
  auto found = std::make_unique<TokenRequest>();
  found->work = TokenWork::kFindPrivate;
  found->label.Assign("server");
  ASSERT_TRUE(Do(*found).ok) << found->error.what;
  EXPECT_TRUE(found->is_protected);
  const std::string seen = hsm_.Tool("--list-objects --type privkey");
  EXPECT_NE(seen.find("server"), std::string::npos) << seen;
  EXPECT_NE(seen.find("sensitive, always sensitive, never extractable, local"), std::string::npos)
      << seen;
  found->label.Assign("other");
  EXPECT_FALSE(Do(*found).ok);
  EXPECT_EQ(found->error.code, ErrorCode::kNotFound);
}

struct SignCase {
  const char* name;
  KeyType type;
  uint32_t bits;
  SignatureScheme scheme;
};
class SoftHsmSign : public SoftHsmTest, public testing::WithParamInterface<SignCase> {};

TEST_P(SoftHsmSign, VerifiesWithThePublicKeyOfTheToken) {
  const SignCase& c = GetParam();
  ASSERT_TRUE(WaitReady());
  const uint64_t handle = Generate("k", c.type, c.bits);
  auto read = std::make_unique<TokenRequest>();
  read->work = TokenWork::kReadPublic;
  read->label.Assign("k");
  ASSERT_TRUE(Do(*read).ok) << read->error.what;
  EXPECT_EQ(read->key_type, c.type);
  EXPECT_EQ(read->bits, c.bits);

  std::array<uint8_t, 64> digest;
  digest.fill(0x5a);
  const bool is_384 = c.scheme == SignatureScheme::kEcdsaSecp384r1Sha384 ||
                      c.scheme == SignatureScheme::kRsaPssSha384;
  const bool is_512 = c.scheme == SignatureScheme::kRsaPkcs1Sha512;
  const auto hash = std::span<const uint8_t>(digest).first(is_512 ? 64 : is_384 ? 48 : 32);
  auto sign = std::make_unique<TokenRequest>();
  sign->work = TokenWork::kSign;
  sign->handle = handle;
  ASSERT_TRUE(PrepareSignature(c.type, c.scheme, hash, *sign).ok());
  ASSERT_TRUE(Do(*sign).ok) << sign->error.what << std::hex << sign->value;
  std::array<uint8_t, kSignatureMax> signature;
  const auto size = FinishSignature(c.type, c.bits, sign->out(), signature);
  ASSERT_TRUE(size.ok()) << size.error().what;

  const bool is_pss = static_cast<uint16_t>(c.scheme) >= 0x0800;
  const std::string said = hsm_.Verify(
      read->out(), hash, std::span<const uint8_t>(signature).first(*size),
      std::string("-pkeyopt digest:sha") +
          (is_512   ? "512"
           : is_384 ? "384"
                    : "256") +
          (is_pss ? " -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest" : ""));
  EXPECT_NE(said.find("Signature Verified Successfully"), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(
    Schemes, SoftHsmSign,
    testing::Values(
        SignCase{"EcP256", KeyType::kEcP256, 256, SignatureScheme::kEcdsaSecp256r1Sha256},
        SignCase{"EcP384", KeyType::kEcP384, 384, SignatureScheme::kEcdsaSecp384r1Sha384},
        SignCase{"Rsa2048", KeyType::kRsa, 2048, SignatureScheme::kRsaPkcs1Sha256},
        SignCase{"Rsa2048Sha512", KeyType::kRsa, 2048, SignatureScheme::kRsaPkcs1Sha512},
        SignCase{"Rsa3072Pss", KeyType::kRsa, 3072, SignatureScheme::kRsaPssSha256},
        SignCase{"Rsa4096Pss384", KeyType::kRsa, 4096, SignatureScheme::kRsaPssSha384}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(SoftHsmTest, AesWrapsAndUnwraps) {
  ASSERT_TRUE(WaitReady());
  auto request = std::make_unique<TokenRequest>();
  request->work = TokenWork::kGenerateAes;
  request->label.Assign("wrap");
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  request->work = TokenWork::kEncrypt;
  request->mechanism = {.type = kAesCbcPad, .kind = Mechanism::Kind::kBytes};
  request->vector.fill(7);
  request->input.fill(0x33);
  request->input_size = 48;
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  ASSERT_EQ(request->output_size, 64u);
  std::copy_n(request->output.begin(), 64, request->input.begin());
  request->input_size = 64;
  request->work = TokenWork::kDecrypt;
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  ASSERT_EQ(request->output_size, 48u);
  EXPECT_EQ(request->output[0], 0x33);
  EXPECT_EQ(request->output[47], 0x33);
}

// Whoever has the public key encrypts for the token; nobody else decrypts.
TEST_F(SoftHsmTest, RsaDecryptsWhatIsMeantForIt) {
  ASSERT_TRUE(WaitReady());
  auto request = std::make_unique<TokenRequest>();
  const uint64_t private_key = Generate("box", KeyType::kRsa, 3072);
  request->label.Assign("box");
  request->work = TokenWork::kReadPublic;
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  ASSERT_NE(request->handle, private_key);
  request->work = TokenWork::kEncrypt;
  request->mechanism = kOaepBySha1;
  request->input.fill(0x33);
  request->input_size = 48;
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  ASSERT_EQ(request->output_size, 384u);
  const std::vector<uint8_t> cipher(request->out().begin(), request->out().end());
  const auto decrypt = [&] {
    std::ranges::copy(cipher, request->input.begin());
    request->input_size = 384;
    request->handle = private_key;
    request->work = TokenWork::kDecrypt;
    return Do(*request).ok;
  };
  ASSERT_TRUE(decrypt()) << request->error.what;
  EXPECT_EQ(std::vector<uint8_t>(request->out().begin(), request->out().end()),
            std::vector<uint8_t>(48, 0x33));
  request->mechanism.mgf = 2;  // not what it was encrypted with
  EXPECT_FALSE(decrypt());
}

// A key that its owner lets leave a token leaves it wrapped (RFC 5649), comes in again, signs as
// before, and stays there.
TEST_F(SoftHsmTest, AKeyIsWrappedUnwrappedAndStays) {
  ASSERT_TRUE(WaitReady());
  auto request = std::make_unique<TokenRequest>();
  request->work = TokenWork::kGenerateAes;
  request->label.Assign("wrap");
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  const uint64_t wrapping = request->handle;
  const std::string made =
      hsm_.Tool("--keypairgen --key-type EC:prime256v1 --label loose --extractable");
  request->label.Assign("loose");
  request->work = TokenWork::kReadPublic;
  ASSERT_TRUE(Do(*request).ok) << request->error.what << made;
  const std::vector<uint8_t> shown(request->out().begin(), request->out().end());
  request->work = TokenWork::kFindPrivate;
  ASSERT_TRUE(Do(*request).ok) << request->error.what << made;
  EXPECT_FALSE(request->is_protected);
  request->wrapped_key = request->handle;
  request->handle = wrapping;
  request->work = TokenWork::kWrap;
  request->mechanism = {.type = kAesKeyWrapPad};
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  std::ranges::copy(request->out(), request->input.begin());
  request->input_size = request->output_size;
  request->work = TokenWork::kUnwrap;
  request->key_type = KeyType::kEcP256;
  request->label.Assign("moved");
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  const uint64_t moved = request->handle;
  std::array<uint8_t, 32> digest;
  digest.fill(0x5a);
  ASSERT_TRUE(
      PrepareSignature(KeyType::kEcP256, SignatureScheme::kEcdsaSecp256r1Sha256, digest, *request)
          .ok());
  request->work = TokenWork::kSign;
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  std::array<uint8_t, 80> signature;
  const auto size = FinishSignature(KeyType::kEcP256, 256, request->out(), signature);
  ASSERT_TRUE(size.ok());
  const std::string said = hsm_.Verify(shown, digest, std::span(signature).first(*size), "");
  EXPECT_NE(said.find("Verified Successfully"), std::string::npos) << said;
  request->work = TokenWork::kFindPrivate;
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  EXPECT_TRUE(request->is_protected);
  request->handle = wrapping;
  request->wrapped_key = moved;
  request->work = TokenWork::kWrap;
  request->mechanism = {.type = kAesKeyWrapPad};
  EXPECT_FALSE(Do(*request).ok);
  EXPECT_EQ(request->error.code, ErrorCode::kRefused);
}

TEST_F(SoftHsmTest, ADestroyedKeyIsGone) {
  ASSERT_TRUE(WaitReady());
  auto request = std::make_unique<TokenRequest>();
  request->handle = Generate("old", KeyType::kEcP256, 256);
  request->work = TokenWork::kDestroy;
  ASSERT_TRUE(Do(*request).ok) << request->error.what;
  request->work = TokenWork::kFindPrivate;
  request->label.Assign("old");
  EXPECT_FALSE(Do(*request).ok);
}

TEST_F(SoftHsmTest, RecoversWhenItIsKilledAndStartedAgain) {
  ASSERT_TRUE(WaitReady());
  (void)Generate("server", KeyType::kEcP256, 256);
  auto waiting = std::make_unique<TokenRequest>();
  waiting->work = TokenWork::kCheck;
  waiting->listener = this;
  waiting->deadline = Now() + Duration::Seconds(5);
  hsm_.Pause(true);
  ASSERT_TRUE(token_.Start(*waiting, Now()));
  (void)token_.Poll(Now());
  hsm_.Stop();
  ASSERT_TRUE(RunUntil([&] { return token_.state() == TokenState::kAway; }));
  EXPECT_EQ(waiting->error.code, ErrorCode::kUnreachable);
  hsm_.Start();
  const Instant from = Now();
  ASSERT_TRUE(WaitReady());
  EXPECT_LT((Now() - from).milliseconds(), 5000);
  auto found = std::make_unique<TokenRequest>();
  found->work = TokenWork::kFindPrivate;
  found->label.Assign("server");
  EXPECT_TRUE(Do(*found).ok) << found->error.what;
}

// A machine that restarts finds the far end in a session with its former life.
TEST_F(SoftHsmTest, ASessionOfAFormerLifeIsEnded) {
  ASSERT_TRUE(WaitReady());
  RpcClient reborn(hsm_);
  Token token(arena_, reborn);
  token.Configure(settings_);
  const Instant end = Now() + Duration::Seconds(10);
  while (hsm_.connected() && Now() < end) {
    (void)token.Poll(Now());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_FALSE(hsm_.connected()) << "p11-kit went on";
  hsm_.Start();  // as socat with fork, or QEMU with reconnect, does
  while (token.state() != TokenState::kReady && Now() < end) {
    (void)token.Poll(Now());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(token.state(), TokenState::kReady) << token.error().what;
}

}  // namespace
}  // namespace gh::crypto::pkcs11
