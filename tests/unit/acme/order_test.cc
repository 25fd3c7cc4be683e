// Orders against an authority that is a script here: the way to a certificate, and every way in
// which an authority may fail. What is signed, and that a real authority takes it, is shown with
// Pebble (tests/system/test_acme.py); here the form of it, with RFC 7515's key.
#include "firmware/acme/order.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "firmware/acme/renewal.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::acme {
namespace {

constexpr const char* kDirectory =
    R"({"newNonce":"https://ca/nonce","newAccount":"https://ca/account",
        "newOrder":"https://ca/order","meta":{"termsOfService":"https://ca/terms"}})";
constexpr const char* kOrderText =
    R"({"status":"pending","finalize":"https://ca/finalize","authorizations":["https://ca/a1"]})";
constexpr const char* kPending =
    R"({"status":"pending","identifier":{"type":"dns","value":"edge.example.com"},"challenges":[
        {"type":"dns-01","url":"https://ca/c0","token":"t0"},
        {"type":"http-01","url":"https://ca/c1","token":"tok-1_A"}]})";

struct Memory {
  Memory() : bytes(4 << 20), arena(bytes) {}
  std::vector<uint8_t> bytes;
  Arena arena;
};

class OrderTest : public ::testing::Test, public OrderPort {
 protected:
  struct Sent {
    std::string method;
    std::string url;
    std::string body;
  };

  OrderTest() : room_(kRequestBytesMax), order_(*this, key_, room_) {
    EXPECT_TRUE(key_.GenerateEc(crypto::KeyType::kEcP256).ok());
    name_.dns = "Edge.Example.COM";
    wanted_ = {.directory = "https://ca/dir",
               .contact = "me@example.com",
               .terms_agreed = true,
               .binding = {},
               .names = {&name_, 1},
               .request = AsBytes("a request")};
  }

  Result<void> Send(const Ask& ask) override {
    sent.push_back({ask.method, std::string(ask.url), std::string(AsText(ask.body))});
    return Ok();
  }
  Result<void> Offer(const Proof& proof) override {
    offered = std::string(proof.name) + " " + std::string(proof.token) + " " +
              std::string(proof.key_authorization);
    is_offered = true;
    return Ok();
  }
  void Withdraw() override { is_offered = false; }
  void OnOrderEnd(Result<std::string_view> chain) override {
    ++ends;
    ended = chain.ok() ? std::string(*chain) : std::string("!") + chain.error().what;
  }

  void Start() { ASSERT_TRUE(order_.Start(wanted_, Instant{}).ok()); }
  void Answer(uint32_t status, std::string_view body, std::string_view location = {},
              std::string_view nonce = "n", int64_t retry = 0) {
    now_ = now_ + Duration::Milliseconds(10);
    order_.OnAnswer({status, nonce, location, retry, body}, now_);
  }
  // The decoded payload of the last request.
  std::string Payload() const {
    static Json json;
    EXPECT_TRUE(json.Parse(sent.back().body).ok()) << sent.back().body;
    FixedString<8000> text;
    json.Text(json.Find(json.root(), "payload"), text);
    std::vector<uint8_t> bytes(8000);
    ByteWriter out(bytes);
    EXPECT_TRUE(ReadBase64Url(text.view(), out));
    return std::string(out.text());
  }
  void ToOrder() {
    Start();
    Answer(200, kDirectory, {}, "");
    EXPECT_EQ(sent.back().method, "HEAD");
    Answer(200, "", {}, "first");
    Answer(201, R"({"status":"valid"})", "https://ca/acct/1");
  }
  void ToProving() {
    ToOrder();
    Answer(201, kOrderText, "https://ca/order/1");
    Answer(200, kPending);
    Answer(200, R"({"status":"pending"})");
  }
  void Later(int64_t seconds) {
    now_ = now_ + Duration::Seconds(seconds);
    order_.OnTimer(now_);
  }

  Memory memory_;
  crypto::WallClock clock_;
  crypto::SystemEntropy entropy_;
  crypto::Random random_{entropy_};
  Heap heap_{memory_.arena, 1 << 20};
  crypto::TlsEnvironment environment_{heap_, random_, clock_};
  crypto::SoftwareKey key_{environment_};
  std::vector<uint8_t> room_;
  Order order_;
  Wanted wanted_;
  crypto::AlternativeName name_;
  Instant now_;
  std::deque<Sent> sent;
  std::string offered;
  bool is_offered = false;
  int ends = 0;
  std::string ended;
};

TEST_F(OrderTest, GoesFromTheDirectoryToTheChain) {
  ToOrder();
  EXPECT_EQ(Payload(), R"({"identifiers":[{"type":"dns","value":"edge.example.com"}]})");
  Answer(201, kOrderText, "https://ca/order/1");
  EXPECT_EQ(sent.back().url, "https://ca/a1");
  EXPECT_EQ(Payload(), "");  // POST-as-GET
  Answer(200, kPending);
  FixedString<43> thumbprint;
  ASSERT_TRUE(WriteThumbprint(key_, thumbprint).ok());
  EXPECT_EQ(offered, "edge.example.com tok-1_A tok-1_A." + std::string(thumbprint.view()));
  EXPECT_EQ(sent.back().url, "https://ca/c1");
  EXPECT_EQ(Payload(), "{}");
  Answer(200, R"({"status":"pending"})");
  const size_t before = sent.size();
  order_.OnTimer(now_);
  EXPECT_EQ(sent.size(), before);  // not yet
  Later(1);
  EXPECT_EQ(sent.back().url, "https://ca/a1");
  EXPECT_TRUE(is_offered);
  Answer(200, R"({"status":"valid"})");
  EXPECT_FALSE(is_offered);
  EXPECT_EQ(sent.back().url, "https://ca/finalize");
  EXPECT_EQ(Payload(), R"({"csr":"YSByZXF1ZXN0"})");
  Answer(200, R"({"status":"processing"})", {}, "n", 2);
  Later(1);
  EXPECT_EQ(sent.back().url, "https://ca/finalize");  // asked to wait for two seconds
  Later(1);
  EXPECT_EQ(sent.back().url, "https://ca/order/1");
  Answer(200, R"({"status":"valid","certificate":"https://ca/cert"})");
  Answer(200, "-----BEGIN", {}, "");
  EXPECT_EQ(ended, "-----BEGIN");
  EXPECT_EQ(ends, 1);
  EXPECT_FALSE(order_.is_active());
}

TEST_F(OrderTest, TriesAnotherNonceAFewTimes) {
  ToOrder();
  const char* bad = R"({"type":"urn:ietf:params:acme:error:badNonce","detail":"old"})";
  const std::string first = sent.back().body;
  for (uint32_t i = 0; i < kNonceRetriesMax; ++i) {
    Answer(400, bad, {}, "other");
    EXPECT_EQ(sent.back().url, "https://ca/order");
    EXPECT_NE(sent.back().body, first);
    EXPECT_EQ(ends, 0);
  }
  Answer(400, bad, {}, "other");
  EXPECT_EQ(ends, 1);
}

TEST_F(OrderTest, ARequestWithoutAnAnswerIsMadeAgainAFewTimes) {
  const Error broken(ErrorCode::kTimeout, "nobody there");
  Start();
  order_.OnNoAnswer(broken, now_);
  EXPECT_EQ(sent.size(), 1u);
  Later(kNoAnswerSeconds - 1);
  EXPECT_EQ(sent.size(), 1u);
  Later(1);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent.back().url, "https://ca/dir");
  Answer(200, kDirectory, {}, "");
  Answer(200, "", {}, "first");
  const Sent account = sent.back();
  EXPECT_EQ(account.url, "https://ca/account");
  order_.OnNoAnswer(broken, now_);
  Later(kNoAnswerSeconds);
  EXPECT_EQ(sent.back().method, "HEAD");  // the nonce may be used up
  Answer(200, "", {}, "second");
  EXPECT_EQ(sent.back().url, account.url);
  EXPECT_NE(sent.back().body, account.body);
  Answer(201, R"({"status":"valid"})", "https://ca/acct/1");
  EXPECT_EQ(sent.back().url, "https://ca/order");
  EXPECT_EQ(ends, 0);
  order_.OnNoAnswer(broken, now_);
  EXPECT_EQ(ended, "!nobody there");
  EXPECT_EQ(ends, 1);
}

TEST_F(OrderTest, TellsTheAuthoritysWords) {
  ToOrder();
  Answer(429, R"({"type":"urn:ietf:params:acme:error:rateLimited","detail":"too\nmany"})", {}, "n",
         7200);
  EXPECT_EQ(order_.fault(), "the authority refuses: too?many");
  EXPECT_EQ(order_.retry_after_s(), 7200);
  EXPECT_EQ(ends, 1);
  ToProving();
  Later(1);
  Answer(200, R"({"status":"invalid","challenges":[{"type":"http-01","error":
              {"type":"urn:ietf:params:acme:error:connection","detail":"nobody there"}}]})");
  EXPECT_EQ(order_.fault(), "the authority could not verify edge.example.com: nobody there");
  EXPECT_FALSE(is_offered);
  EXPECT_EQ(ends, 2);
}

TEST_F(OrderTest, EndsWhereTheAuthorityMakesNoSense) {
  const struct {
    const char* body;
    const char* location;
  } orders[] = {
      {kOrderText, "http://ca/order/1"},  // not https
      {kOrderText, ""},
      {R"({"finalize":"ftp://x","authorizations":[]})", "https://ca/order/1"},
      {R"({"finalize":"https://ca/f","authorizations":[7]})", "https://ca/order/1"},
      {"not json", "https://ca/order/1"},
      {"", "https://ca/order/1"},
  };
  for (const auto& one : orders) {
    ends = 0;
    ToOrder();
    Answer(201, one.body, one.location);
    EXPECT_EQ(ends, 1) << one.body;
  }
  const char* authorizations[] = {
      R"({"status":"deactivated"})",
      R"({"status":"pending","identifier":{"value":"other.example.com"},"challenges":[]})",
      R"({"status":"pending","identifier":{"value":"edge.example.com"},"challenges":[]})",
      R"({"status":"pending","identifier":{"value":"edge.example.com"},"challenges":[
          {"type":"http-01","url":"https://ca/c","token":"../x"}]})",
  };
  for (const char* one : authorizations) {
    ends = 0;
    ToOrder();
    Answer(201, kOrderText, "https://ca/order/1");
    Answer(200, one);
    EXPECT_EQ(ends, 1) << one;
    EXPECT_FALSE(is_offered);
  }
}

TEST_F(OrderTest, MoreAuthorisationsThanNamesAreRefused) {
  for (const uint32_t count : {kNamesMax, kNamesMax + 1}) {
    ends = 0;
    ToOrder();
    std::string body = R"({"finalize":"https://ca/f","authorizations":[)";
    for (uint32_t i = 0; i < count; ++i) {
      body += std::string(i == 0 ? "" : ",") + R"("https://ca/a)" + std::to_string(i) + "\"";
    }
    Answer(201, body + "]}", "https://ca/order/1");
    EXPECT_EQ(ends, count > kNamesMax ? 1 : 0);
    order_.Cancel();
  }
}

TEST_F(OrderTest, PollsAndTimeAreBounded) {
  ToProving();
  uint32_t polls = 0;
  while (ends == 0 && polls < 2 * kPollsMax) {
    Later(kPollSeconds);
    Answer(200, R"({"status":"pending"})");
    ++polls;
  }
  EXPECT_EQ(polls, kPollsMax);
  EXPECT_EQ(ends, 1);
  now_ = Instant{};
  Start();
  Later(kOrderSeconds - 1);
  EXPECT_EQ(ends, 1);
  Later(2);
  EXPECT_EQ(ends, 2);
  EXPECT_EQ(ended, "!the authority is too slow");
}

// A URL, a nonce and a token as long as may be are used as they are; one byte more is refused, or
// (a nonce) counts for none.
TEST_F(OrderTest, UrlsNoncesAndTokensHoldAtTheirEdges) {
  for (const size_t size : {kUrlMax, kUrlMax + 1}) {
    ends = 0;
    ToOrder();
    const std::string url = "https://ca/" + std::string(size - 11, 'u');
    Answer(201, R"({"finalize":"https://ca/f","authorizations":[")" + url + R"("]})", url);
    EXPECT_EQ(ends, size > kUrlMax ? 1 : 0);
    EXPECT_EQ(sent.back().url == url, size == kUrlMax);
    order_.Cancel();
  }
  for (const size_t size : {kNonceMax, kNonceMax + 1}) {
    ends = 0;
    Start();
    Answer(200, kDirectory, {}, "");
    Answer(200, "", {}, std::string(size, 'n'));
    EXPECT_EQ(ends, size > kNonceMax ? 1 : 0);
    order_.Cancel();
  }
  for (const size_t size : {kTokenMax, kTokenMax + 1}) {
    ends = 0;
    ToOrder();
    Answer(201, kOrderText, "https://ca/order/1");
    const std::string token(size, 't');
    Answer(200, R"({"status":"pending","identifier":{"value":"edge.example.com"},"challenges":[
        {"type":"http-01","url":"https://ca/c","token":")" +
                    token + R"("}]})");
    EXPECT_EQ(ends, size > kTokenMax ? 1 : 0);
    EXPECT_EQ(is_offered, size == kTokenMax);
    if (is_offered) {
      EXPECT_EQ(offered.size(),
                std::string("edge.example.com ").size() + kTokenMax + 1 + kKeyAuthorizationMax);
    }
    order_.Cancel();
  }
}

TEST_F(OrderTest, NamesAndRequestsHoldAtTheirEdges) {
  std::vector<crypto::AlternativeName> names(kNamesMax + 1);
  std::vector<std::string> texts;
  for (uint32_t i = 0; i <= kNamesMax; ++i) {
    texts.push_back("n" + std::to_string(i) + ".example.com");
  }
  for (uint32_t i = 0; i <= kNamesMax; ++i) {
    names[i].dns = texts[i];
  }
  wanted_.names = names;
  EXPECT_EQ(order_.Start(wanted_, Instant{}).code(), ErrorCode::kInvalidArgument);
  wanted_.names = {};
  EXPECT_EQ(order_.Start(wanted_, Instant{}).code(), ErrorCode::kInvalidArgument);
  wanted_.names = std::span(names).first(kNamesMax);
  ToOrder();
  EXPECT_NE(Payload().find(texts[kNamesMax - 1]), std::string::npos);
  order_.Cancel();
  // {"csr":"..."} in base64: what fits into kPayloadBytesMax, and three bytes more.
  constexpr size_t kRequestMax = (kPayloadBytesMax - 10) / 4 * 3;
  for (const size_t size : {kRequestMax, kRequestMax + 3}) {
    const std::vector<uint8_t> request(size, 7);
    wanted_.request = request;
    ends = 0;
    ToOrder();
    Answer(201, kOrderText, "https://ca/order/1");
    Answer(200, R"({"status":"valid"})");
    EXPECT_EQ(ends, size > kRequestMax ? 1 : 0) << ended;
    order_.Cancel();
  }
}

TEST_F(OrderTest, AWaitIsNeverLongerThanTheAuthorityMayAskFor) {
  for (const int64_t wanted : {kRetryAfterMax, kRetryAfterMax + 1}) {
    ToOrder();
    Answer(503, "{}", {}, "n", wanted);
    EXPECT_EQ(order_.retry_after_s(), kRetryAfterMax);
    EXPECT_EQ(order_.fault(), "the authority refuses with HTTP status 503");
  }
  // Words of the authority are cut.
  ToOrder();
  Answer(403, R"({"detail":")" + std::string(kFaultMax, 'w') + R"("})");
  EXPECT_EQ(order_.fault().size(), kFaultMax);
}

TEST_F(OrderTest, TermsBindingAndWildcardsAreTheOperatorsMatter) {
  wanted_.terms_agreed = false;
  Start();
  Answer(200, kDirectory);
  EXPECT_NE(ended.find("TermsAgreed"), std::string::npos);
  Start();
  Answer(200, R"({"newNonce":"https://ca/nonce","newAccount":"https://ca/account",
        "newOrder":"https://ca/order","meta":{"externalAccountRequired":true}})");
  EXPECT_NE(ended.find("BindingName"), std::string::npos);
  wanted_.binding = {"kid-1", AsBytes("secret")};
  Start();
  Answer(200, kDirectory);
  EXPECT_NE(ended.find("TermsAgreed"), std::string::npos);
  wanted_.terms_agreed = true;
  Start();
  Answer(200, kDirectory);
  EXPECT_NE(Payload().find(R"("externalAccountBinding":{"protected":")"), std::string::npos);
  EXPECT_NE(Payload().find(R"("contact":["mailto:me@example.com"])"), std::string::npos);
  order_.Cancel();
  name_.dns = "*.example.com";
  EXPECT_EQ(order_.Start(wanted_, Instant{}).code(), ErrorCode::kUnsupported);
}

TEST(Jws, Base64UrlIsStrict) {
  uint8_t bytes[8];
  for (const auto& [text, good] : {std::pair{"", true},
                                   {"QQ", true},
                                   {"QUI", true},
                                   {"_-8", true},
                                   {"Q", false},
                                   {"QR", false},
                                   {"QQ==", false},
                                   {"Q+", false},
                                   {"QUJDREVGR0hJ", false}}) {
    ByteWriter out(bytes);
    EXPECT_EQ(ReadBase64Url(text, out), good) << text;
  }
}

// RFC 7515 appendix A.3's key; the thumbprint was computed by Python's hashlib.
struct FixedKey final : crypto::SigningKey {
  FixedKey() {
    ByteWriter out(bytes);
    out.U8(4);
    EXPECT_TRUE(ReadBase64Url("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", out));
    EXPECT_TRUE(ReadBase64Url("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", out));
  }
  crypto::KeyType type() const override { return crypto::KeyType::kEcP256; }
  uint32_t bits() const override { return 256; }
  std::span<const uint8_t> public_key() const override { return bytes; }
  bool is_available() const override { return false; }
  void Start(crypto::SignRequest&) override {}
  void Cancel(crypto::SignRequest&) override {}
  std::array<uint8_t, 65> bytes = {};
};

TEST(Jws, TheThumbprintIsThatOfRfc7638) {
  FixedKey key;
  FixedString<43> thumbprint;
  ASSERT_TRUE(WriteThumbprint(key, thumbprint).ok());
  EXPECT_EQ(thumbprint.view(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

TEST(Jws, SignaturesAreSplitExactly) {
  std::array<uint8_t, 64> out;
  const uint8_t good[] = {0x30, 8, 2, 2, 0, 0x80, 2, 2, 1, 2};
  ASSERT_TRUE(SplitSignature(good, out).ok());
  EXPECT_EQ(out[31], 0x80);
  EXPECT_EQ(out[62], 1);
  EXPECT_EQ(out[63], 2);
  const uint8_t behind[] = {0x30, 6, 2, 1, 1, 2, 1, 2, 0};
  EXPECT_FALSE(SplitSignature(behind, out).ok());
  const uint8_t cut[] = {0x30, 6, 2, 1, 1, 2, 4, 2};
  EXPECT_FALSE(SplitSignature(cut, out).ok());
  std::vector<uint8_t> large = {0x30, 38, 2, 33};
  large.insert(large.end(), 33, 0x11);
  large.insert(large.end(), {2, 1, 1});
  EXPECT_FALSE(SplitSignature(large, out).ok());
}

TEST(Renewal, IsDueWhenAThirdIsLeft) {
  EXPECT_FALSE(IsRenewalDue(1000, 4000, 2999));
  EXPECT_FALSE(IsRenewalDue(1000, 4000, 3000));
  EXPECT_TRUE(IsRenewalDue(1000, 4000, 3001));
  EXPECT_TRUE(IsRenewalDue(1000, 4000, 9000));
  EXPECT_EQ(BackOffSeconds(0, 0), 300);
  EXPECT_EQ(BackOffSeconds(1, 0), 900);
  EXPECT_EQ(BackOffSeconds(5, 0), 12 * 3600);
  EXPECT_EQ(BackOffSeconds(500, 0), 12 * 3600);
  EXPECT_EQ(BackOffSeconds(0, 7200), 7200);
}

}  // namespace
}  // namespace gh::acme
