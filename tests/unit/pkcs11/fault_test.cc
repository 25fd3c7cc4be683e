// Faults that a stock token does not show on demand, by a scripted far end: slow, dead in the
// middle of an answer, garbage, answers to what was not asked, full queues, deadlines.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crypto/pkcs11_rpc.h"
#include "crypto/pkcs11_token.h"
#include "hal/rt/bytes.h"

namespace gh::crypto::pkcs11 {
namespace {

using Bytes = std::vector<uint8_t>;

void Put32(Bytes& out, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<uint8_t>(v >> shift));
  }
}
void Put64(Bytes& out, uint64_t v) {
  Put32(out, static_cast<uint32_t>(v >> 32));
  Put32(out, static_cast<uint32_t>(v));
}
void PutText(Bytes& out, const std::string& text) {
  Put32(out, static_cast<uint32_t>(text.size()));
  out.insert(out.end(), text.begin(), text.end());
}

// A far end that answers well, except where the test says otherwise.
class FakeToken final : public hal::TokenLink {
 public:
  bool up = true;
  bool silent = false;  // takes calls, answers nothing
  std::function<bool(uint32_t function, Bytes&)>
      answer;  // true: the bytes are the answer's message
  Bytes output;
  std::vector<uint32_t> functions;
  uint32_t read_max = UINT32_MAX;

  bool connected() const override { return up; }
  uint32_t Read(std::span<uint8_t> out) override {
    const size_t count = std::min({out.size(), output.size(), size_t{read_max}});
    std::copy_n(output.begin(), count, out.begin());
    output.erase(output.begin(), output.begin() + static_cast<ptrdiff_t>(count));
    return static_cast<uint32_t>(count);
  }
  uint32_t Write(std::span<const uint8_t> data) override {
    input_.insert(input_.end(), data.begin(), data.end());
    Serve();
    return static_cast<uint32_t>(data.size());
  }
  void Restart() {
    input_.clear();
    output.clear();
    greeted_ = false;
    up = true;
  }
  void Send(uint32_t code, const Bytes& message) {
    Put32(output, code);
    Put32(output, 0);
    Put32(output, static_cast<uint32_t>(message.size()));
    output.insert(output.end(), message.begin(), message.end());
  }
  uint32_t last_code = 0;

 private:
  void Serve() {
    if (!greeted_ && !input_.empty()) {
      greeted_ = true;
      input_.erase(input_.begin());
      output.push_back(0);
    }
    while (input_.size() >= 12) {
      ByteReader header(input_);
      const uint32_t code = header.U32Be();
      (void)header.U32Be();
      const uint32_t size = header.U32Be();
      if (size == 0) {
        up = false;  // as p11-kit: an empty message ends the session
        return;
      }
      if (input_.size() < 12 + size) {
        return;
      }
      const uint32_t function = header.U32Be();
      input_.erase(input_.begin(), input_.begin() + 12 + size);
      functions.push_back(function);
      last_code = code;
      if (silent) {
        continue;
      }
      Bytes message;
      if (!answer || !answer(function, message)) {
        message = Good(function);
      }
      if (!message.empty()) {
        Send(code, message);
      }
    }
  }

 public:
  static Bytes Good(uint32_t function) {
    Bytes message;
    Put32(message, function);
    switch (function) {
      case 4:  // GetSlotList
      case 27:
        PutText(message, "au");
        message.push_back(1);
        Put32(message, 1);
        Put64(message, 5);
        break;
      case 6:
        PutText(message, "ssssuuuuuuuuuuuvvs");
        PutText(message, std::string("gatehouse").append(23, ' '));
        PutText(message, std::string(32, ' '));
        PutText(message, std::string(16, ' '));
        PutText(message, std::string("0042").append(12, ' '));
        Put64(message, 0x40d);
        message.insert(message.end(), 80 + 4, 0);
        PutText(message, std::string(16, ' '));
        break;
      case 10:
        PutText(message, "u");
        Put64(message, 77);
        break;
      case 43:
        PutText(message, "ay");
        message.push_back(1);
        PutText(message, std::string(64, 's'));
        break;
      case 24:
        PutText(message, "aAu");
        Put32(message, 3);
        for (const auto& [type, value] : {std::pair{0x103, 1}, std::pair{0x162, 0}}) {
          Put32(message, static_cast<uint32_t>(type));
          message.push_back(1);
          Put32(message, 1);
          message.push_back(static_cast<uint8_t>(value));
        }
        Put32(message, 0x100);
        message.push_back(1);
        Put32(message, 8);
        Put64(message, 3);
        Put64(message, 0);
        break;
      default:
        PutText(message, "");
    }
    return message;
  }
  static Bytes Refusal(uint64_t value) {
    Bytes message;
    Put32(message, 0);
    PutText(message, "u");
    Put64(message, value);
    return message;
  }

 private:
  Bytes input_;
  bool greeted_ = false;
};

class FaultTest : public testing::Test, public TokenListener {
 protected:
  FaultTest() : memory_(1 << 20), arena_(std::span<uint8_t>(memory_)) {
    token_ = std::make_unique<Token>(arena_, client_);
    token_->Configure({});
  }
  void OnTokenDone(TokenRequest&) override { ++done_; }
  void Turn(Duration step = Duration::Milliseconds(10), int count = 1) {
    for (int i = 0; i < count; ++i) {
      now_ = now_ + step;
      (void)token_->Poll(now_);
    }
  }
  void OpenIt() {
    Turn(Duration::Milliseconds(1), 40);
    ASSERT_EQ(token_->state(), TokenState::kReady) << token_->error().what;
  }
  bool Ask(TokenRequest& request, TokenWork work, Duration limit = Duration::Seconds(1)) {
    request.work = work;
    request.label.Assign("key");
    request.listener = this;
    request.deadline = now_ + limit;
    return token_->Start(request, now_);
  }

  std::vector<uint8_t> memory_;
  Arena arena_;
  FakeToken fake_;
  RpcClient client_{fake_};
  std::unique_ptr<Token> token_;
  Instant now_{1'000'000'000};
  TokenRequest request_;
  int done_ = 0;
};

TEST_F(FaultTest, OpensAndSigns) {
  OpenIt();
  ASSERT_TRUE(Ask(request_, TokenWork::kSign));
  Turn(Duration::Milliseconds(1), 10);
  EXPECT_TRUE(request_.ok);
  EXPECT_EQ(request_.output_size, 64u);
}

TEST_F(FaultTest, AnswersInSingleBytesAreTheSame) {
  fake_.read_max = 1;
  Turn(Duration::Milliseconds(1), 1500);
  EXPECT_EQ(token_->state(), TokenState::kReady) << token_->error().what;
}

TEST_F(FaultTest, ASlowAnswerFailsItsRequestAtItsDeadlineAndTheSessionComesBack) {
  OpenIt();
  fake_.silent = true;
  ASSERT_TRUE(Ask(request_, TokenWork::kCheck));
  Turn(Duration::Milliseconds(100), 9);
  EXPECT_EQ(done_, 0);
  Turn(Duration::Milliseconds(100), 2);
  EXPECT_EQ(done_, 1);
  EXPECT_EQ(request_.error.code, ErrorCode::kTimeout);
  EXPECT_EQ(token_->busy_count(), 1u);
  fake_.silent = false;
  fake_.Send(fake_.last_code, FakeToken::Good(6));  // late
  Turn();
  EXPECT_EQ(token_->busy_count(), 0u);
  EXPECT_EQ(token_->state(), TokenState::kReady);
  EXPECT_EQ(done_, 1);
}

TEST_F(FaultTest, ATokenThatNeverAnswersLosesItsConnection) {
  OpenIt();
  fake_.silent = true;
  ASSERT_TRUE(Ask(request_, TokenWork::kCheck));
  Turn(Duration::Milliseconds(100), 98);
  EXPECT_EQ(token_->state(), TokenState::kReady);
  Turn(Duration::Milliseconds(100), 5);
  EXPECT_NE(token_->state(), TokenState::kReady);
  // What is asked of it then is the end of its session; a new one is opened.
  Turn(Duration::Seconds(1), 2);
  fake_.silent = false;
  fake_.Restart();
  Turn(Duration::Milliseconds(500), 60);
  EXPECT_EQ(token_->state(), TokenState::kReady) << token_->error().what;
}

TEST_F(FaultTest, DeathInTheMiddleOfAnAnswerFailsWhatWaits) {
  OpenIt();
  fake_.silent = true;
  ASSERT_TRUE(Ask(request_, TokenWork::kSign));
  Turn();
  Bytes part = FakeToken::Good(42);
  Put32(fake_.output, fake_.last_code);
  Put32(fake_.output, 0);
  Put32(fake_.output, 100);
  fake_.output.insert(fake_.output.end(), part.begin(), part.end());
  Turn();
  EXPECT_EQ(done_, 0);
  fake_.up = false;
  Turn();
  EXPECT_EQ(done_, 1);
  EXPECT_EQ(request_.error.code, ErrorCode::kUnreachable);
  EXPECT_EQ(token_->state(), TokenState::kAway);
}

TEST_F(FaultTest, GarbageEndsTheConnection) {
  for (const Bytes& garbage :
       {Bytes(40, 0xff), Bytes(12, 0x01), Bytes{0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4}}) {
    fake_.Restart();
    Turn(Duration::Milliseconds(600), 20);
    ASSERT_EQ(token_->state(), TokenState::kReady) << token_->error().what;
    fake_.output = garbage;
    Turn();
    EXPECT_NE(token_->state(), TokenState::kReady);
    fake_.up = false;
    Turn();
  }
}

TEST_F(FaultTest, AnAnswerToAnotherCallEndsTheConnection) {
  OpenIt();
  fake_.silent = true;
  ASSERT_TRUE(Ask(request_, TokenWork::kCheck));
  Turn();
  fake_.Send(fake_.last_code + 1, FakeToken::Good(6));
  Turn();
  EXPECT_EQ(done_, 1);
  EXPECT_NE(token_->state(), TokenState::kReady);
}

TEST_F(FaultTest, TheLargestFrameIsTakenAndOneByteMoreIsNot) {
  OpenIt();
  for (const uint32_t size : {kRpcMessageMax - 256, kRpcMessageMax - 256 + 1}) {
    fake_.silent = true;
    ASSERT_TRUE(Ask(request_, TokenWork::kSign));
    Turn();
    Put32(fake_.output, fake_.last_code);
    Put32(fake_.output, 256);
    Put32(fake_.output, size);
    Turn();
    EXPECT_EQ(token_->state() == TokenState::kReady, size == kRpcMessageMax - 256) << size;
    Bytes rest(256, 0);
    const Bytes good = FakeToken::Good(42);
    rest.insert(rest.end(), good.begin(), good.end());
    rest.resize(256 + size);
    fake_.silent = false;
    fake_.output.insert(fake_.output.end(), rest.begin(), rest.end());
    Turn(Duration::Milliseconds(1), 5);
  }
  EXPECT_EQ(done_, 2);
}

TEST_F(FaultTest, TheQueueIsBounded) {
  OpenIt();
  fake_.silent = true;
  std::vector<std::unique_ptr<TokenRequest>> requests;
  for (uint32_t i = 0; i < kTokenQueueMax + kSessionsMax; ++i) {
    requests.push_back(std::make_unique<TokenRequest>());
    ASSERT_TRUE(Ask(*requests.back(), TokenWork::kCheck)) << i;
  }
  EXPECT_FALSE(Ask(request_, TokenWork::kCheck));
  EXPECT_EQ(request_.error.code, ErrorCode::kExhausted);
  Turn(Duration::Seconds(1), 2);
  EXPECT_EQ(done_, static_cast<int>(kTokenQueueMax + kSessionsMax));
}

TEST_F(FaultTest, ACancelledRequestIsNotTold) {
  OpenIt();
  fake_.silent = true;
  ASSERT_TRUE(Ask(request_, TokenWork::kCheck));
  Turn();
  token_->Cancel(request_);
  EXPECT_FALSE(request_.is_pending);
  fake_.Send(fake_.last_code, FakeToken::Good(6));
  Turn(Duration::Seconds(1), 3);
  EXPECT_EQ(done_, 0);
}

TEST_F(FaultTest, ALostSessionIsOpenedAnew) {
  OpenIt();
  fake_.answer = [](uint32_t function, Bytes& out) {
    out = FakeToken::Refusal(kSessionHandleInvalid);
    return function == 42;
  };
  ASSERT_TRUE(Ask(request_, TokenWork::kSign));
  Turn(Duration::Milliseconds(1), 5);
  EXPECT_FALSE(request_.ok);
  EXPECT_EQ(request_.value, kSessionHandleInvalid);
  fake_.answer = nullptr;
  Turn(Duration::Milliseconds(500), 3);
  EXPECT_FALSE(fake_.up);  // the session was ended by us
  Turn();
  fake_.Restart();
  Turn(Duration::Milliseconds(500), 20);
  EXPECT_EQ(token_->state(), TokenState::kReady) << token_->error().what;
}

TEST_F(FaultTest, ADeviceErrorIsAFaultOfTheHardware) {
  OpenIt();
  fake_.answer = [](uint32_t function, Bytes& out) {
    out = FakeToken::Refusal(kDeviceError);
    return function == 43;
  };
  ASSERT_TRUE(Ask(request_, TokenWork::kSign));
  Turn(Duration::Milliseconds(1), 5);
  EXPECT_EQ(request_.error.code, ErrorCode::kIoError);
  EXPECT_TRUE(token_->hardware_failed());
  ASSERT_TRUE(Ask(request_, TokenWork::kCheck));
  Turn(Duration::Milliseconds(1), 5);
  EXPECT_FALSE(token_->hardware_failed());
}

TEST_F(FaultTest, AnotherProtocolIsRefused) {
  fake_.output = {2};
  Turn();
  EXPECT_NE(token_->state(), TokenState::kReady);
  EXPECT_EQ(client_.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace gh::crypto::pkcs11
