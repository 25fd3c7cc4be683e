// The limits of administration at their edges: feedback expressions, tables of intruders and of
// log-ins, names of files. Fault model: whoever fills a table gains nothing by it.
#include "firmware/admin/limits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "firmware/admin/cli/feedback.h"
#include "firmware/admin/file_service.h"
#include "firmware/admin/intrusion.h"
#include "firmware/admin/login.h"
#include "tests/unit/crypto/doubles.h"

namespace gh::admin {
namespace {

constexpr Instant kNow{1'000'000'000};

struct Blocks final : AddressBlocker {
  void Block(const net::IpPrefix& source, Instant) override { now.push_back(source.address); }
  void Unblock(const net::IpPrefix& source) override { std::erase(now, source.address); }
  std::vector<net::IpAddress> now;
};

net::IpAddress Address(uint32_t number) {
  return net::IpAddress::V4(198, 18, static_cast<uint8_t>(number >> 8),
                            static_cast<uint8_t>(number));
}

TEST(AdminLimits, FeedbackExpressions) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  crypto::FixedClock clock;
  log::Log log(arena, clock, 64);
  StatusTree status;
  config::Message why;
  Feedback feedback;
  const auto text = [](uint32_t i) { return "/Configuration/Word" + std::to_string(i); };
  for (uint32_t i = 0; i < kFeedbackMax; ++i) {
    ASSERT_TRUE(feedback.Register(text(i), status, log, why).ok()) << i;
  }
  EXPECT_EQ(feedback.Register(text(kFeedbackMax), status, log, why).code(), ErrorCode::kExhausted);
  EXPECT_NE(why.view().find(std::to_string(kFeedbackMax)), std::string_view::npos);
  EXPECT_EQ(feedback.Register(text(0), status, log, why).code(), ErrorCode::kAlreadyExists);
  ASSERT_TRUE(feedback.Deregister(text(0)));
  EXPECT_TRUE(feedback.Register(text(kFeedbackMax), status, log, why).ok());
}

TEST(AdminLimits, LengthOfAFeedbackExpression) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  crypto::FixedClock clock;
  log::Log log(arena, clock, 64);
  StatusTree status;
  config::Message why;
  Feedback feedback;
  const std::string begin = "/Configuration/";
  std::string longest = begin + std::string(kFeedbackTextMax - begin.size(), 'x');
  EXPECT_TRUE(feedback.Register(longest, status, log, why).ok());
  EXPECT_EQ(feedback.TextOf(0), longest);
  EXPECT_EQ(feedback.Register(longest + "x", status, log, why).code(), ErrorCode::kMalformed);
}

TEST(AdminLimits, IntrudersUpToTheTableAndWhatAFullOneForgets) {
  Blocks blocks;
  Intrusion intrusion;
  intrusion.SetBlocker(&blocks);
  IntrusionSettings settings;
  settings.failures_max = 2;
  // Single failures of any number of addresses do not push a block out.
  intrusion.Failed(Address(0), settings, kNow);
  ASSERT_TRUE(intrusion.Failed(Address(0), settings, kNow));
  for (uint32_t i = 1; i < 4 * kIntrusionEntryMax; ++i) {
    EXPECT_FALSE(intrusion.Failed(Address(i), settings, kNow + Duration::Milliseconds(i)));
  }
  EXPECT_TRUE(intrusion.IsBlocked(Address(0), kNow + Duration::Seconds(2)));
  // As many blocks as the table holds; one more lifts the one that would end first, and no other.
  for (uint32_t i = 1; i <= kIntrusionEntryMax; ++i) {
    const Instant at = kNow + Duration::Seconds(10 + i);
    intrusion.Failed(Address(2000 + i), settings, at);
    ASSERT_TRUE(intrusion.Failed(Address(2000 + i), settings, at));
    EXPECT_EQ(blocks.now.size(), std::min(i + 1, kIntrusionEntryMax));
  }
  const Instant later = kNow + Duration::Minutes(5);
  EXPECT_EQ(intrusion.BlockedCount(later), kIntrusionEntryMax);
  EXPECT_FALSE(intrusion.IsBlocked(Address(0), later));
  for (uint32_t i = 1; i <= kIntrusionEntryMax; ++i) {
    EXPECT_TRUE(intrusion.IsBlocked(Address(2000 + i), later)) << i;
  }
}

TEST(AdminLimits, NamesThatFailedUpToTheTable) {
  LoginGuard guard;
  for (uint32_t i = 0; i < kLoginEntryMax; ++i) {
    EXPECT_EQ(guard.Failed("user" + std::to_string(i), kNow), 1u);
  }
  for (uint32_t i = 0; i < kLoginEntryMax; ++i) {
    EXPECT_EQ(guard.FailuresOf("user" + std::to_string(i)), 1u) << i;
  }
  EXPECT_EQ(guard.WaitFor("unknown", kNow).ns, 0);
  // One more than it holds: everybody who is not in it waits.
  guard.Failed("another", kNow);
  EXPECT_GT(guard.WaitFor("unknown", kNow).seconds(), 0);
}

// A folder that takes anything and says what it was called.
struct Taker final : FileProvider {
  bool takes_files() const override { return true; }
  bool List(uint32_t, FileInfo&) override { return false; }
  Result<void> OpenWrite(std::string_view name, uint64_t, Instant) override {
    last = name;
    return Ok();
  }
  Result<size_t> Write(std::span<const uint8_t> bytes, Instant) override { return bytes.size(); }
  Result<void> FinishWrite(Instant) override { return Ok(); }
  void AbortWrite(const char*, Instant) override {}
  std::string last;
};

TEST(AdminLimits, LengthOfAFilesName) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  crypto::FixedClock clock;
  log::Log log(arena, clock, 64);
  FileService files(log, clock);
  Taker taker;
  files.Add("drop", taker);
  FileUser user;
  user.identity.user.Assign("admin");
  user.identity.role = config::Role::kAdministrator;
  const std::string longest(kFileNameMax, 'n');
  EXPECT_FALSE(files.OpenWrite("/drop/" + longest + "n", 1, user).ok());
  EXPECT_EQ(taker.last, "");
  const auto opened = files.OpenWrite("/drop/" + longest, 1, user);
  ASSERT_TRUE(opened.ok()) << opened.error().what;
  EXPECT_EQ(taker.last, longest);
}

}  // namespace
}  // namespace gh::admin
