// The YMODEM receiver against a sender that behaves, and against lines and senders that do not.
//
// `Line` plays a sender byte by byte with a clock of its own; each fault is one that a serial line
// or a stopped program really makes. The real sender (lrzsz's sb) is run against the same engine in
// the last test, over a pseudo terminal.
#include "image/ymodem.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace gh::image {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kSoh = 1;
constexpr uint8_t kStx = 2;
constexpr uint8_t kEot = 4;
constexpr uint8_t kAck = 6;
constexpr uint8_t kNak = 0x15;
constexpr uint8_t kCan = 0x18;

Bytes Block(uint8_t sequence, Bytes content, uint32_t size) {
  content.resize(size, 0x1a);
  const uint16_t crc = YmodemCrc(content);
  Bytes block = {size == 128 ? kSoh : kStx, sequence, static_cast<uint8_t>(~sequence)};
  block.insert(block.end(), content.begin(), content.end());
  block.push_back(static_cast<uint8_t>(crc >> 8));
  block.push_back(static_cast<uint8_t>(crc));
  return block;
}

Bytes Header(const std::string& name, const std::string& rest, uint32_t size = 128) {
  Bytes content(name.begin(), name.end());
  content.push_back(0);
  content.insert(content.end(), rest.begin(), rest.end());
  content.resize(size, 0);
  return Block(0, content, size);
}

Bytes Sample(size_t size, uint32_t seed = 1) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<uint8_t>(random()); });
  return bytes;
}

// The receiver, what it answered and what came out.
class Line {
 public:
  Line() { receiver.Start(now); }

  // All of `bytes` at once; events are dealt with as a patient caller does.
  void Send(const Bytes& bytes) {
    std::span<const uint8_t> rest(bytes);
    for (;;) {
      rest = rest.subspan(receiver.Receive(rest, now));
      if (!Handle() && (rest.empty() || receiver.event() != YmodemEvent::kNone)) {
        break;
      }
    }
  }
  void Pass(Duration time) {
    const Instant end = now + time;
    while (now < end) {
      now = std::min(end, std::max(now, receiver.deadline()));
      receiver.Tick(now);
      Handle();
    }
  }
  // What was answered since the last call.
  Bytes Answer() {
    const Bytes answer(receiver.reply().begin(), receiver.reply().end());
    receiver.ClearReply();
    return answer;
  }
  void Begin(const std::string& name, const std::string& rest) {
    EXPECT_EQ(Answer(), Bytes{'C'});
    Send(Header(name, rest));
    Pass(Duration::Milliseconds(200));
    EXPECT_EQ(Answer(), (Bytes{kAck, 'C'}));
  }
  void End() {
    Send({kEot});
    EXPECT_EQ(Answer(), Bytes{kNak});
    Send({kEot});
    EXPECT_EQ(Answer(), (Bytes{kAck, 'C'}));
    Send(Header("", ""));
    EXPECT_EQ(Answer(), Bytes{kAck});
    EXPECT_EQ(receiver.event(), YmodemEvent::kDone);
  }
  bool failed() const { return receiver.event() == YmodemEvent::kFailed; }

  YmodemReceiver receiver;
  Instant now = {1'000'000};
  Bytes file;
  std::vector<std::string> names;
  uint32_t files_ended = 0;

 private:
  bool Handle() {
    switch (receiver.event()) {
      case YmodemEvent::kFile:
        names.emplace_back(receiver.name());
        break;
      case YmodemEvent::kData:
        file.insert(file.end(), receiver.data().begin(), receiver.data().end());
        EXPECT_EQ(receiver.received(), file.size());
        break;
      case YmodemEvent::kFileEnd:
        ++files_ended;
        break;
      default:
        return false;
    }
    receiver.Continue(now);
    return true;
  }
};

const Bytes kCancelled = {kCan, kCan, kCan, kCan, kCan, kCan, kCan, kCan, 8, 8, 8, 8, 8, 8, 8, 8};

TEST(YmodemTest, CrcIsThatOfXmodem) {
  const std::string text = "123456789";
  EXPECT_EQ(YmodemCrc({reinterpret_cast<const uint8_t*>(text.data()), text.size()}), 0x31c3);
}

TEST(YmodemTest, TakesAFileOfLongAndShortBlocksAndCutsThePadding) {
  Line line;
  const Bytes sample = Sample(1024 + 100);
  line.Begin("gatehouse.update", "1124 14000000000 100644");
  EXPECT_EQ(line.receiver.name(), "gatehouse.update");
  EXPECT_EQ(line.receiver.size(), 1124u);
  line.Send(Block(1, {sample.begin(), sample.begin() + 1024}, 1024));
  EXPECT_EQ(line.Answer(), Bytes{kAck});
  line.Send(Block(2, {sample.begin() + 1024, sample.end()}, 128));
  EXPECT_EQ(line.Answer(), Bytes{kAck});
  line.End();
  EXPECT_EQ(line.file, sample);
  EXPECT_EQ(line.receiver.fault_count(), 0u);
}

TEST(YmodemTest, SequenceNumbersWrap) {
  Line line;
  const Bytes sample = Sample(600 * 128);
  line.Begin("x", std::to_string(sample.size()));
  for (uint32_t i = 0; i < 600; ++i) {
    line.Send(Block(static_cast<uint8_t>(i + 1),
                    {sample.begin() + i * 128, sample.begin() + (i + 1) * 128}, 128));
    ASSERT_EQ(line.Answer(), Bytes{kAck});
  }
  line.End();
  EXPECT_EQ(line.file, sample);
}

TEST(YmodemTest, AFileOfUnknownSizeKeepsItsPadding) {
  Line line;
  line.Begin("x", "");
  EXPECT_FALSE(line.receiver.size().has_value());
  line.Send(Block(1, {7, 8, 9}, 128));
  line.Answer();
  line.End();
  ASSERT_EQ(line.file.size(), 128u);
  EXPECT_EQ(line.file[2], 9);
  EXPECT_EQ(line.file[3], 0x1a);
}

TEST(YmodemTest, AnEmptyFileAndTwoFilesInABatch) {
  Line line;
  line.Begin("empty", "0");
  line.Send({kEot});
  line.Send({kEot});
  line.Answer();
  line.Send(Header("second", "3"));
  line.Pass(Duration::Milliseconds(200));
  EXPECT_EQ(line.Answer(), (Bytes{kAck, 'C'}));
  line.Send(Block(1, {1, 2, 3}, 128));
  line.Answer();
  line.End();
  EXPECT_EQ(line.names, (std::vector<std::string>{"empty", "second"}));
  EXPECT_EQ(line.files_ended, 2u);
  EXPECT_EQ(line.file, (Bytes{1, 2, 3}));
}

TEST(YmodemTest, InvitesUntilASenderBeginsAndThenGivesUp) {
  Line line;
  line.Pass(Duration::Seconds(31));
  EXPECT_EQ(line.Answer(), Bytes(11, 'C'));
  line.Pass(Duration::Minutes(2));
  ASSERT_TRUE(line.failed());
  EXPECT_EQ(line.receiver.failure().code(), ErrorCode::kTimeout);
  EXPECT_EQ(line.Answer(), kCancelled);
  EXPECT_EQ(line.receiver.deadline(), Instant::Max());
}

// A sender that starts late finds several invitations and repeats the header for each. One answer
// to each of them would shift all that follow by one.
TEST(YmodemTest, ARepeatedHeaderIsAnsweredOnce) {
  Line line;
  line.Pass(Duration::Seconds(10));
  line.Answer();
  for (int i = 0; i < 3; ++i) {
    line.Send(Header("x", "3"));
    line.Pass(Duration::Milliseconds(50));
  }
  EXPECT_EQ(line.Answer(), Bytes{});
  line.Pass(Duration::Milliseconds(200));
  EXPECT_EQ(line.Answer(), (Bytes{kAck, 'C'}));
  line.Send(Header("x", "3"));  // the answer was lost
  line.Pass(Duration::Milliseconds(200));
  EXPECT_EQ(line.Answer(), (Bytes{kAck, 'C'}));
  line.Send(Block(1, {1, 2, 3}, 128));
  EXPECT_EQ(line.Answer(), Bytes{kAck});
  line.End();
  EXPECT_EQ(line.names.size(), 1u);
}

TEST(YmodemTest, AChangedByteAnywhereInABlockIsAskedForAgain) {
  const Bytes good = Block(1, {1, 2, 3}, 128);
  for (size_t i = 0; i < good.size(); ++i) {
    Line line;
    line.Begin("x", "3");
    Bytes bad = good;
    bad[i] ^= 0x40;
    line.Send(bad);
    EXPECT_EQ(line.Answer(), Bytes{}) << i;  // not while the line is busy
    line.Pass(Duration::Seconds(2));
    EXPECT_EQ(line.Answer(), Bytes{'C'}) << i;
    line.Send(good);
    EXPECT_EQ(line.Answer(), Bytes{kAck}) << i;
    line.End();
    EXPECT_EQ(line.file, (Bytes{1, 2, 3})) << i;
    EXPECT_GE(line.receiver.fault_count(), 1u);
  }
}

TEST(YmodemTest, ALostOrAddedByteAnywhereIsAskedForAgain) {
  const Bytes first = Block(1, {1}, 128);
  const Bytes good = Block(2, {2, 2}, 128);
  for (size_t i = 0; i < good.size(); ++i) {
    for (const bool is_lost : {true, false}) {
      Line line;
      line.Begin("x", "130");
      line.Send(first);
      line.Answer();
      Bytes bad = good;
      if (is_lost) {
        bad.erase(bad.begin() + static_cast<ptrdiff_t>(i));
      } else {
        bad.insert(bad.begin() + static_cast<ptrdiff_t>(i), 0x55);
      }
      line.Send(bad);
      line.Pass(Duration::Seconds(2));
      const Bytes answer = line.Answer();
      ASSERT_EQ(answer, Bytes{kNak}) << i << (is_lost ? " lost" : " added");
      line.Send(good);
      EXPECT_EQ(line.Answer(), Bytes{kAck}) << i;
      line.End();
      EXPECT_EQ(line.file.size(), 130u);
      EXPECT_EQ(line.file[128], 2);
    }
  }
}

TEST(YmodemTest, ARepeatedBlockIsAcknowledgedAndDropped) {
  Line line;
  line.Begin("x", "256");
  line.Send(Block(1, Bytes(128, 1), 128));
  line.Send(Block(1, Bytes(128, 1), 128));
  EXPECT_EQ(line.Answer(), (Bytes{kAck, kAck}));
  line.Send(Block(2, Bytes(128, 2), 128));
  line.Answer();
  line.End();
  EXPECT_EQ(line.file.size(), 256u);
  EXPECT_EQ(line.receiver.fault_count(), 1u);
}

TEST(YmodemTest, ASkippedBlockEndsTheTransfer) {
  Line line;
  line.Begin("x", "400");
  line.Send(Block(1, {}, 128));
  line.Answer();
  line.Send(Block(3, {}, 128));
  ASSERT_TRUE(line.failed());
  EXPECT_STREQ(line.receiver.failure().error().what, "a block is missing");
  EXPECT_EQ(line.Answer(), kCancelled);
}

TEST(YmodemTest, ASenderThatGoesAwayIsGivenUp) {
  Line line;
  line.Begin("x", "400");
  line.Send(Block(1, {}, 128));
  line.Answer();
  line.Pass(Duration::Seconds(105));
  EXPECT_FALSE(line.failed());
  EXPECT_EQ(line.Answer(), Bytes(10, kNak));
  line.Pass(Duration::Seconds(10));
  ASSERT_TRUE(line.failed());
  EXPECT_STREQ(line.receiver.failure().error().what, "the sender is gone");
}

TEST(YmodemTest, ALineOfNoiseIsGivenUp) {
  Line line;
  line.Begin("x", "400");
  for (int i = 0; i < 5000 && !line.failed(); ++i) {
    line.Send({0x55, 0xaa});
    line.Pass(Duration::Milliseconds(50));
  }
  EXPECT_TRUE(line.failed());
  EXPECT_EQ(line.receiver.failure().code(), ErrorCode::kIoError);
}

TEST(YmodemTest, TheSenderCancelsBetweenBlocksAndWithinOne) {
  Line between;
  between.Begin("x", "400");
  between.Send({kCan, 'x'});
  EXPECT_FALSE(between.failed());  // one alone may be noise
  between.Pass(Duration::Seconds(1));
  between.Send({kCan, kCan});
  ASSERT_TRUE(between.failed());
  EXPECT_EQ(between.receiver.failure().code(), ErrorCode::kCancelled);

  Line within;
  within.Begin("x", "400");
  Bytes half = Block(1, {}, 1024);
  half.resize(500);
  within.Send(half);
  within.Pass(Duration::Milliseconds(500));
  within.Send({kCan, kCan, kCan, kCan, kCan, kCan, kCan, kCan, kCan, kCan, 8, 8, 8, 8, 8, 8, 8, 8});
  within.Pass(Duration::Milliseconds(1500));
  within.Send({kCan, kCan});  // it goes on when asked again
  ASSERT_TRUE(within.failed());
}

TEST(YmodemTest, ControlCCancelsBeforeASenderBeginsOnly) {
  Line line;
  line.Send({'h', 'i', 3});
  ASSERT_TRUE(line.failed());
  EXPECT_STREQ(line.receiver.failure().error().what, "cancelled at the console");

  Line busy;
  busy.Begin("x", "400");
  busy.Send({3});
  EXPECT_FALSE(busy.failed());
}

TEST(YmodemTest, MoreAndLessThanTheHeaderPromisedAreRefused) {
  Line more;
  more.Begin("x", "128");
  more.Send(Block(1, {}, 128));
  more.Send(Block(2, {}, 128));
  ASSERT_TRUE(more.failed());
  EXPECT_EQ(more.receiver.failure().code(), ErrorCode::kTooLarge);

  Line less;
  less.Begin("x", "129");
  less.Send(Block(1, {}, 128));
  less.Send({kEot});
  less.Send({kEot});
  ASSERT_TRUE(less.failed());
  EXPECT_EQ(less.receiver.failure().code(), ErrorCode::kTruncated);
}

TEST(YmodemTest, AnEotInTheMiddleIsNoiseWhenABlockFollows) {
  Line line;
  line.Begin("x", "256");
  line.Send(Block(1, {}, 128));
  line.Send({kEot});
  line.Send(Block(2, {}, 128));
  EXPECT_EQ(line.Answer(), (Bytes{kAck, kNak, kAck}));
  line.End();
}

TEST(YmodemTest, HeadersThatMakeNoSenseAreRefused) {
  Line huge;
  huge.Send(Header("x", "99999999999999999999999"));
  EXPECT_TRUE(huge.failed());
  Line endless;
  endless.Send(Block(0, Bytes(128, 'a'), 128));
  EXPECT_TRUE(endless.failed());
  Line xmodem;
  xmodem.Send(Block(1, {}, 128));
  EXPECT_TRUE(xmodem.failed());
  Line odd;
  odd.Send(Header(std::string(100, 'n') + "\x1b[2J", "5"));
  odd.Pass(Duration::Seconds(1));
  EXPECT_EQ(odd.names, std::vector<std::string>{std::string(kYmodemNameSizeMax, 'n')});
}

TEST(YmodemTest, TheCallerCancelsWithItsReason) {
  Line line;
  line.Begin("x", "400");
  line.receiver.Cancel(ErrorCode::kUnauthentic, "not signed");
  ASSERT_TRUE(line.failed());
  EXPECT_STREQ(line.receiver.failure().error().what, "not signed");
  EXPECT_EQ(line.Answer(), kCancelled);
  EXPECT_EQ(line.receiver.Receive(Block(1, {}, 128), line.now), 0u);
}

TEST(YmodemTest, AFileIsKeptWhenOnlyTheBatchsEndIsMissing) {
  Line line;
  line.Begin("x", "3");
  line.Send(Block(1, {1, 2, 3}, 128));
  line.Send({kEot});
  line.Send({kEot});
  line.Pass(Duration::Minutes(1));
  EXPECT_EQ(line.receiver.event(), YmodemEvent::kDone);
  EXPECT_EQ(line.file, (Bytes{1, 2, 3}));
}

// --- The real sender -----------------------------------------------------------------------------

// Runs `sb FILE` on a pseudo terminal and the receiver at its other end; every byte that passes to
// the receiver goes through `damage` first.
template <typename Damage>
Bytes FromSb(const Bytes& content, Damage damage, uint32_t* faults) {
  const std::string path = testing::TempDir() + "/ymodem_sample." + std::to_string(getpid());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(content.data()),
             static_cast<std::streamsize>(content.size()));
  int master = -1;
  const pid_t child = forkpty(&master, nullptr, nullptr, nullptr);
  if (child == 0) {
    termios raw = {};
    tcgetattr(0, &raw);
    cfmakeraw(&raw);
    tcsetattr(0, TCSANOW, &raw);
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    execlp("sb", "sb", "-k", path.c_str(), nullptr);
    _exit(127);
  }
  const auto now = [] {
    return Instant{std::chrono::steady_clock::now().time_since_epoch().count()};
  };
  YmodemReceiver receiver;
  usleep(200'000);  // raw mode first
  receiver.Start(now());
  Bytes file;
  bool is_over = false;
  while (!is_over) {
    (void)!write(master, receiver.reply().data(), receiver.reply().size());
    receiver.ClearReply();
    pollfd wait = {master, POLLIN, 0};
    poll(&wait, 1, 20);
    uint8_t buffer[700];
    const ssize_t count = (wait.revents & POLLIN) != 0 ? read(master, buffer, sizeof(buffer)) : 0;
    if (count < 0 || (wait.revents & (POLLHUP | POLLIN)) == POLLHUP) {
      break;
    }
    const Bytes damaged = damage(Bytes(buffer, buffer + count));
    std::span<const uint8_t> rest(damaged);
    do {
      rest = rest.subspan(receiver.Receive(rest, now()));
      receiver.Tick(now());
      const YmodemEvent event = receiver.event();
      is_over = event == YmodemEvent::kDone || event == YmodemEvent::kFailed;
      if (event == YmodemEvent::kData) {
        file.insert(file.end(), receiver.data().begin(), receiver.data().end());
      }
      if (event != YmodemEvent::kNone && !is_over) {
        receiver.Continue(now());
      }
    } while (!rest.empty() && !is_over);
  }
  (void)!write(master, receiver.reply().data(), receiver.reply().size());
  int status = 0;
  waitpid(child, &status, 0);
  close(master);
  unlink(path.c_str());
  EXPECT_EQ(receiver.event(), YmodemEvent::kDone) << receiver.failure().error().what;
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  *faults = receiver.fault_count();
  return file;
}

TEST(YmodemTest, TheRealSenderOverAGoodLine) {
  const Bytes sample = Sample(100'000);
  uint32_t faults = 0;
  EXPECT_EQ(FromSb(
                sample, [](Bytes bytes) { return bytes; }, &faults),
            sample);
  EXPECT_EQ(faults, 0u);
}

TEST(YmodemTest, TheRealSenderOverABadLine) {
  const Bytes sample = Sample(30'000);
  uint32_t faults = 0;
  size_t passed = 0;
  std::mt19937 random(3);
  const auto damage = [&](Bytes bytes) {
    Bytes out;
    for (uint8_t byte : bytes) {
      ++passed;
      if (passed % 4999 == 2500) {
        continue;  // lost
      }
      out.push_back(passed % 7001 == 3000 ? static_cast<uint8_t>(byte ^ 0x10) : byte);
    }
    return out;
  };
  EXPECT_EQ(FromSb(sample, damage, &faults), sample);
  EXPECT_GE(faults, 5u);
}

}  // namespace
}  // namespace gh::image
