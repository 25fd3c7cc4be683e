// Crash records, the supervisor's reading of how a child ended, and the wall clock's offset.
#include "board/host/crash.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "board/host/clock.h"
#include "board/host/hardware.h"
#include "board/host/limits.h"
#include "board/host/watchdog.h"
#include "hal/rt/assert.h"
#include "hal/rt/crash_record.h"
#include "version.h"

namespace gh::board {
namespace {

// A file that is deleted already; shared with children through its descriptor.
int NewFile() {
  char name[] = "/tmp/gatehouse-crash-XXXXXX";
  const int fd = mkstemp(name);
  (void)unlink(name);
  return fd;
}

// Runs `fail` in a child with the crash handlers on `fd`; returns its wait status.
int RunChild(int fd, void (*fail)()) {
  const pid_t child = fork();
  if (child == 0) {
    // The record goes to stderr as well: not wanted in the test's output.
    if (dup2(open("/dev/null", O_WRONLY), STDERR_FILENO) < 0) {
      _exit(1);
    }
    InstallCrashHandlers(fd);
    fail();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

// The record as it would be shown; "" for none.
std::string RecordIn(int fd) {
  static uint8_t buffer[kCrashRecordBytesMax];
  static uint8_t text[kCrashTextMax];
  static CrashRecord record;
  if (!DecodeCrashRecord(ReadCrashRecord(fd, buffer).record, record).ok()) {
    return "";
  }
  ByteWriter out(text);
  FormatCrashRecord(record, out);
  return std::string(out.text());
}

class Witness final : public hal::CrashWitness {
 public:
  void Describe(CrashRecord& record) override {
    record.SetEventText("the last event\n");
    if (fails) {
      GH_PANIC("while describing");
    }
  }
  bool fails = false;
};
Witness witness;

TEST(Crash, APanicLeavesItsPlaceAndValues) {
  const int fd = NewFile();
  const int status = RunChild(fd, [] { GH_ASSERT_EQ(20, 22); });
  EXPECT_TRUE(WIFSIGNALED(status));
  const std::string record = RecordIn(fd);
  EXPECT_NE(record.find("crash: assertion: 20 == 22"), std::string::npos) << record;
  EXPECT_NE(record.find("crash_test.cc:"), std::string::npos);
  EXPECT_NE(record.find("(left 20, right 22)"), std::string::npos);
  EXPECT_NE(record.find("backtrace (offsets in the image):\n    0"), std::string::npos) << record;
  EXPECT_NE(record.find(std::string("build ") + kBuildId), std::string::npos);
  EXPECT_NE(record.find("rip="), std::string::npos);
  EXPECT_EQ(Interpret(status).outcome, Outcome::kCrashed);
  EXPECT_EQ(Interpret(status).cause, hal::ResetCause::kPanic);
  ClearCrashRecord(fd);
  EXPECT_EQ(RecordIn(fd), "");
}

TEST(Crash, TheWitnessAddsTheLastEvents) {
  const int fd = NewFile();
  (void)RunChild(fd, [] {
    SetCrashWitness(&witness);
    GH_PANIC("first");
  });
  EXPECT_NE(RecordIn(fd).find("  event the last event\n"), std::string::npos) << RecordIn(fd);
}

TEST(Crash, AWitnessThatFailsCostsItsOwnPartAlone) {
  const int fd = NewFile();
  (void)RunChild(fd, [] {
    witness.fails = true;
    SetCrashWitness(&witness);
    GH_PANIC("first");
  });
  const std::string record = RecordIn(fd);
  EXPECT_NE(record.find("crash: assertion: first"), std::string::npos) << record;
  EXPECT_EQ(record.find("the last event"), std::string::npos);
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(Crash, ASegmentationFaultLeavesAddressAndRegisters) {
  const int fd = NewFile();
  const int status = RunChild(fd, [] {
    volatile int* volatile nowhere = reinterpret_cast<volatile int*>(uintptr_t{48});
    *nowhere = 1;
  });
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  const std::string record = RecordIn(fd);
  EXPECT_NE(record.find("SIGSEGV"), std::string::npos);
  EXPECT_NE(record.find("right 48)"), std::string::npos);
  EXPECT_NE(record.find("rip="), std::string::npos);
}

uint64_t Deep(uint64_t depth) {
  volatile uint8_t room[4096];
  room[depth % sizeof(room)] = static_cast<uint8_t>(depth);
  return depth == 0 ? 0 : Deep(depth - 1) + room[depth % sizeof(room)];
}

TEST(Crash, AnOverflownStackIsRecordedOnTheSignalStack) {
  const int fd = NewFile();
  const int status = RunChild(fd, [] { EXPECT_GT(Deep(uint64_t{1} << 40), 0u); });
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_NE(RecordIn(fd).find("SIGSEGV"), std::string::npos);
}
#endif

TEST(Crash, TheWatchdogEndsAHangWithItsOwnCode) {
  const int fd = NewFile();
  const int status = RunChild(fd, [] {
    HostWatchdog watchdog(true);
    watchdog.Arm(Duration::Milliseconds(100));
    for (volatile bool forever = true; forever;) {
    }
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kExitWatchdog);
  EXPECT_EQ(Interpret(status).cause, hal::ResetCause::kWatchdog);
  static uint8_t buffer[kCrashRecordBytesMax];
  EXPECT_EQ(ReadCrashRecord(fd, buffer).cause, hal::ResetCause::kWatchdog);
  EXPECT_NE(RecordIn(fd).find("crash: watchdog: the loop has not turned"), std::string::npos);
  EXPECT_NE(RecordIn(fd).find("rip="), std::string::npos);
}

TEST(Crash, AWatchdogThatIsPettedOrDisarmedDoesNothing) {
  const int status = RunChild(-1, [] {
    HostWatchdog watchdog(true);
    watchdog.Arm(Duration::Milliseconds(60));
    for (int i = 0; i < 20; ++i) {
      watchdog.Pet();
      (void)usleep(10'000);
    }
    watchdog.Disarm();
    (void)usleep(150'000);
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Crash, ADamagedOrHostileRecordIsNoRecord) {
  const int fd = NewFile();
  static uint8_t buffer[kCrashRecordBytesMax];
  (void)RunChild(fd, [] { GH_PANIC("whole"); });
  ASSERT_NE(RecordIn(fd), "");
  const auto found = ReadCrashRecord(fd, buffer).record;
  const std::vector<uint8_t> whole(found.begin(), found.end());
  for (size_t size = 0; size < whole.size(); size += 7) {
    ASSERT_EQ(ftruncate(fd, 0), 0);
    ASSERT_EQ(pwrite(fd, whole.data(), size, 0), static_cast<ssize_t>(size));
    EXPECT_TRUE(ReadCrashRecord(fd, buffer).record.empty());
  }
  const std::string huge(kCrashRecordBytesMax * 2, 'x');
  ASSERT_EQ(pwrite(fd, huge.data(), huge.size(), 0), static_cast<ssize_t>(huge.size()));
  EXPECT_TRUE(ReadCrashRecord(fd, buffer).record.empty());
  EXPECT_TRUE(ReadCrashRecord(-1, buffer).record.empty());
}

TEST(Supervisor, HowAChildEndsDecidesWhatFollows) {
  const auto exited = [](int code) { return Interpret(code << 8); };
  EXPECT_EQ(exited(0).outcome, Outcome::kEnded);
  EXPECT_EQ(exited(1).outcome, Outcome::kEnded);
  EXPECT_EQ(exited(1).exit_code, 1);
  EXPECT_EQ(exited(kExitRestart).outcome, Outcome::kRestart);
  EXPECT_EQ(exited(kExitRestart).cause, hal::ResetCause::kRestart);
  EXPECT_EQ(exited(kExitWatchdog).outcome, Outcome::kCrashed);
  EXPECT_EQ(Interpret(SIGABRT).outcome, Outcome::kCrashed);
  EXPECT_EQ(Interpret(SIGSEGV).cause, hal::ResetCause::kPanic);
  EXPECT_EQ(Interpret(SIGKILL).outcome, Outcome::kEnded);  // somebody wanted it
}

TEST(Clock, SettingTheWallClockKeepsAnOffsetAndMovesNothingElse) {
  HostClock clock;
  HostClock other;
  const Instant before = clock.Now();
  clock.SetWall(1'000'000'000'000'000'000);
  const int64_t ahead = clock.Wall().unix_ns - 1'000'000'000'000'000'000;
  EXPECT_GE(ahead, 0);
  EXPECT_LT(ahead, Duration::Seconds(5).ns);
  EXPECT_GT(other.Wall().unix_ns, 1'700'000'000'000'000'000);
  EXPECT_LT(clock.Now() - before, Duration::Seconds(5));
}

TEST(Entropy, FillsDifferently) {
  HostEntropy entropy;
  uint8_t a[300] = {};
  uint8_t b[300] = {};
  entropy.Fill(a);
  entropy.Fill(b);
  EXPECT_NE(std::string(a, a + 300), std::string(b, b + 300));
  EXPECT_NE(std::string(a, a + 300), std::string(300, '\0'));
}

}  // namespace
}  // namespace gh::board
