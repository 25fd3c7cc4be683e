// The update on its way into a slot: what is written in which order, each refusal, a failing disk,
// and that after a power cut at every single request the slot is either whole or no slot, and the
// next attempt succeeds and keeps what was there. And the health check's verdict.
#include "firmware/upgrade/upgrade.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "firmware/upgrade/boot_record.h"
#include "firmware/upgrade/trial.h"
#include "tests/unit/image/sample.h"
#include "tests/unit/rt/memory.h"

namespace gh::upgrade {
namespace {

using image::test::Build;
using image::test::Bytes;
using image::test::MakeKey;
using image::test::Policy;
using image::test::SamplePackage;

constexpr Instant kStart = {1'000'000'000};

class Listener final : public Observer {
 public:
  void OnUpgradeStarted(std::string_view source, char slot) override {
    said += "started " + std::string(source) + " " + slot + "\n";
  }
  void OnUpgradeInstalled(const image::Manifest& manifest, char slot, uint64_t, Duration,
                          uint32_t kept) override {
    said += std::string("installed ") + manifest.version + " " + slot + " kept " +
            std::to_string(kept) + "\n";
  }
  void OnUpgradeFailed(std::string_view, image::UpdateFault fault,
                       std::string_view reason) override {
    said +=
        std::string("failed ") + image::UpdateFaultName(fault) + ": " + std::string(reason) + "\n";
  }
  std::string said;
};

class UpgradeTest : public testing::Test {
 protected:
  static constexpr uint64_t kSlotBytes = 256 * 1024;
  std::unique_ptr<image::tool::SigningKey> key_ = MakeKey(1);
  Policy policy_{{key_.get()}};
  Bytes update_ = Build(SamplePackage(), {key_.get()});
  gh::test::Memory memory_{8 << 20};
  Arena arena_{memory_};
  sim::SimDisk slot_{"slot-b", sim::Random(7, "slot"), kSlotBytes};
  sim::SimDisk state_{"bootstate", sim::Random(8, "state"), 1 << 20};
  Listener listener_;
  BootRecord* record_ = nullptr;
  Upgrade* upgrade_ = nullptr;
  Instant now_ = kStart;

  void SetUp() override {
    image::BootState state;
    state.sequence = 1;
    state.security_version = 5;
    state.slots[0].state = image::SlotState::kConfirmed;
    state.slots[0].security_version = 5;
    state.slots[0].install_sequence = 1;
    state.started = 0;
    for (uint32_t i = 0; i < image::kBootStateCopyCount; ++i) {
      std::array<uint8_t, image::kBootStateCopySize> bytes;
      image::EncodeBootState(state, i, bytes);
      ASSERT_TRUE(
          hal::WriteBlocks(state_, i * image::kBootStateCopyStride / state_.block_size(), bytes)
              .ok());
    }
    ASSERT_TRUE(hal::FlushBlocks(state_).ok());
    Restart();
  }
  // A new run of the firmware on the same disks.
  void Restart() {
    arena_.~Arena();
    new (&arena_) Arena(memory_);
    record_ = arena_.New<BootRecord>(&state_);
    ASSERT_TRUE(record_->Load().ok());
    upgrade_ = arena_.New<Upgrade>(Upgrade::Parts{arena_, *record_, listener_});
  }
  Result<void> Begin(uint64_t announced = 0) {
    return upgrade_->Begin("test", announced, *policy_, &slot_, 1, now_);
  }
  void Turn() {
    now_ = now_ + Duration::Milliseconds(1);
    (void)upgrade_->Poll(now_);
  }
  // Everything, as fast as it is taken; what the listener was told.
  std::string Send(const Bytes& update, size_t piece = 1024) {
    listener_.said.clear();
    if (auto begun = Begin(update.size()); !begun.ok()) {
      return begun.error().what;
    }
    std::span<const uint8_t> rest(update);
    for (uint32_t turn = 0; turn < 100000 && upgrade_->active(); ++turn) {
      const size_t taken = upgrade_->Offer(rest.first(std::min(piece, rest.size())), now_);
      rest = rest.subspan(taken);
      if (rest.empty()) {
        upgrade_->End(now_);
      }
      Turn();
    }
    EXPECT_FALSE(upgrade_->active());
    return listener_.said;
  }
  bool SlotIsWhole() {
    image::VerifiedSlot verified;
    return image::test::Check(slot_.durable(), *policy_, verified).ok();
  }
  bool SlotHasHeader() {
    return image::ParseSlotHeader(slot_.durable(), slot_.durable().size()).ok();
  }
};

TEST_F(UpgradeTest, InstallsAndOffersATrial) {
  EXPECT_EQ(Send(update_), "started test B\ninstalled 1.2.3 B kept 0\n");
  EXPECT_TRUE(SlotIsWhole());
  EXPECT_EQ(record_->state().slots[1].state, image::SlotState::kTrial);
  EXPECT_EQ(record_->state().slots[1].security_version, 5u);
  EXPECT_EQ(record_->state().slots[0].state, image::SlotState::kConfirmed);
  EXPECT_EQ(record_->state().security_version, 5u);  // not before it is confirmed
  const Status status = upgrade_->status(now_);
  EXPECT_EQ(status.phase, Phase::kInstalled);
  EXPECT_EQ(status.received, update_.size());
  EXPECT_EQ(status.blocks_written, 3u);
  EXPECT_EQ(slot_.unstable_buffer_count(), 0u);
}

TEST_F(UpgradeTest, PieceSizesDoNotMatter) {
  for (size_t piece : {size_t{1}, size_t{13}, size_t{128}, size_t{4096}, size_t{1} << 20}) {
    Restart();
    EXPECT_NE(Send(update_, piece).find("installed"), std::string::npos) << piece;
    EXPECT_TRUE(SlotIsWhole());
  }
}

TEST_F(UpgradeTest, AnUpdateThatIsRefusedTouchesNothing) {
  ASSERT_NE(Send(update_).find("installed"), std::string::npos);
  const std::vector<uint8_t> before(slot_.durable().begin(), slot_.durable().end());
  const image::BootState state = record_->state();
  auto package = SamplePackage();
  package.security_version = 4;
  EXPECT_EQ(Send(Build(package, {key_.get()})),
            "started test B\nfailed rollback: image's security version is older than this "
            "machine's (4 < 5)\n");
  package = SamplePackage();
  package.product = "other";
  EXPECT_EQ(Send(Build(package, {key_.get()})),
            "started test B\nfailed wrong-product: image is of another product\n");
  const auto stranger = MakeKey(9);
  EXPECT_EQ(Send(Build(SamplePackage(), {stranger.get()})),
            "started test B\nfailed untrusted: manifest is not signed by a key this machine "
            "trusts\n");
  EXPECT_EQ(Send(Bytes(9000, 'x')),
            "started test B\nfailed not-an-update: this is not an update\n");
  EXPECT_EQ(Send(Bytes(update_.begin(), update_.begin() + 9000)),
            "started test B\nfailed truncated: the update ended too early: the file has 9000 of " +
                std::to_string(update_.size()) + " bytes\n");
  Bytes longer = update_;
  longer.resize(longer.size() + 5);
  EXPECT_EQ(Send(longer),
            "started test B\nfailed too-long: there are bytes behind the end of the update\n");
  EXPECT_TRUE(std::equal(before.begin(), before.end(), slot_.durable().begin()));
  EXPECT_EQ(record_->state(), state);
}

TEST_F(UpgradeTest, ADamagedBlockLeavesNoSlot) {
  Bytes bad = update_;
  bad[bad.size() - 9] ^= 4;
  EXPECT_EQ(Send(bad),
            "started test B\nfailed block-damaged: block 2 of 3, in segment sbom, is damaged\n");
  EXPECT_FALSE(SlotHasHeader());
  EXPECT_EQ(record_->state().slots[1].state, image::SlotState::kEmpty);
  EXPECT_NE(Send(update_).find("installed 1.2.3 B kept 2"), std::string::npos);
}

TEST_F(UpgradeTest, OneAtATime) {
  ASSERT_TRUE(Begin().ok());
  EXPECT_EQ(Begin().code(), ErrorCode::kWrongState);
  upgrade_->Cancel("enough", now_);
  EXPECT_EQ(upgrade_->status(now_).reason.view(), "enough");
  EXPECT_TRUE(Begin().ok());
  EXPECT_EQ(upgrade_->Begin("test", 0, *policy_, nullptr, 1, now_).code(), ErrorCode::kWrongState);
}

TEST_F(UpgradeTest, ASilentSourceIsGivenUp) {
  ASSERT_TRUE(Begin().ok());
  (void)upgrade_->Offer(std::span(update_).first(100), now_);
  now_ = now_ + kSourceSilenceMax;
  Turn();
  EXPECT_EQ(upgrade_->status(now_).reason.view(), "the source fell silent");
}

// The Nth request fails, for every N there is: the upgrade fails and says so, and a second attempt
// with a good disk succeeds.
TEST_F(UpgradeTest, EveryFailingRequestIsToldAndMended) {
  const std::vector<uint8_t> empty(slot_.durable().begin(), slot_.durable().end());
  uint64_t before = slot_.io_count();
  ASSERT_NE(Send(update_).find("installed"), std::string::npos);
  const uint64_t count = slot_.io_count() - before;
  EXPECT_GT(count, 8u);
  for (uint64_t n = 1; n <= count; ++n) {
    slot_.Restore(empty);
    Restart();
    slot_.PlanFault({.fault = sim::Fault::kFail, .first = slot_.io_count() + n});
    EXPECT_EQ(Send(update_), "started test B\nfailed none: the slot's disk failed\n") << n;
    EXPECT_FALSE(SlotIsWhole() && record_->state().slots[1].state == image::SlotState::kTrial);
    slot_.PlanFault({});
    for (int i = 0; i < 5; ++i) {
      Turn();
    }
    EXPECT_NE(Send(update_).find("installed"), std::string::npos) << n;
    EXPECT_TRUE(SlotIsWhole());
  }
}

// A power cut at every request to the slot, three kinds of loss: never a header over half a slot.
TEST_F(UpgradeTest, EveryPowerCutLeavesAWholeSlotOrNone) {
  const std::vector<uint8_t> empty(slot_.durable().begin(), slot_.durable().end());
  ASSERT_NE(Send(update_).find("installed"), std::string::npos);
  uint32_t cuts = 0;
  for (sim::Keep keep : {sim::Keep::kNone, sim::Keep::kSubset, sim::Keep::kAll}) {
    for (uint64_t n = 1;; ++n) {
      slot_.Restore(empty);
      Restart();
      slot_.PlanCut(slot_.io_count() + n, {.keep = keep, .tear = sim::Tear::kAnyOf});
      const std::string said = Send(update_);
      if (!slot_.cut_happened()) {
        EXPECT_NE(said.find("installed"), std::string::npos);
        slot_.PlanCut(0, {});
        break;
      }
      ++cuts;
      slot_.PowerOn();
      Restart();
      if (SlotHasHeader()) {
        EXPECT_TRUE(SlotIsWhole()) << "cut at " << n;
      }
      EXPECT_NE(record_->state().slots[1].state, image::SlotState::kConfirmed);
      EXPECT_NE(Send(update_).find("installed"), std::string::npos);
      EXPECT_TRUE(SlotIsWhole());
    }
  }
  EXPECT_GT(cuts, 24u);
  std::printf("%u cuts\n", cuts);
}

TEST(ProgressTest, BarRateAndTime) {
  Status status;
  status.received = 750;
  status.total = 1000;
  status.bytes_per_s = 3 * 1024;
  status.seconds_left = 125;
  uint8_t bytes[100];
  ByteWriter out(bytes);
  FormatProgress(status, out);
  EXPECT_EQ(out.text(), "[######################........] 75 %, 3 KiB/s, 2:05 left");
}

class TrialTest : public testing::Test {
 protected:
  static constexpr Duration kLimit = Duration::Seconds(30);
  Trial trial_;
  Health good_{true, true, true};
  Verdict At(int64_t seconds, const Health& health, bool automatic = true) {
    return trial_.Judge(health, automatic, kLimit, kStart + Duration::Seconds(seconds));
  }
};

TEST_F(TrialTest, ConfirmsAfterAHealthySpanOnce) {
  trial_.Start(true, kStart);
  EXPECT_EQ(At(1, good_), Verdict::kWait);
  EXPECT_EQ(At(5, good_), Verdict::kWait);
  EXPECT_EQ(At(6, good_), Verdict::kConfirm);
  EXPECT_EQ(At(40, good_), Verdict::kWait);
}

TEST_F(TrialTest, ABreakStartsTheSpanAnew) {
  trial_.Start(true, kStart);
  EXPECT_EQ(At(1, good_), Verdict::kWait);
  EXPECT_EQ(At(4, {true, false, true}), Verdict::kWait);
  EXPECT_EQ(At(7, good_), Verdict::kWait);
  EXPECT_EQ(At(11, good_), Verdict::kWait);
  EXPECT_EQ(At(12, good_), Verdict::kConfirm);
}

TEST_F(TrialTest, GivesUpInTime) {
  for (const Health& bad :
       {Health{false, true, true}, Health{true, false, true}, Health{true, true, false}}) {
    trial_.Start(true, kStart);
    EXPECT_EQ(At(29, bad), Verdict::kWait);
    EXPECT_EQ(At(30, bad), Verdict::kGiveUp);
    EXPECT_NE(std::string(trial_.health().complaint()), "");
  }
}

TEST_F(TrialTest, ManualWaitsForTheOperatorAndNoLonger) {
  trial_.Start(true, kStart);
  EXPECT_EQ(At(20, good_, false), Verdict::kWait);
  EXPECT_EQ(At(30, good_, false), Verdict::kGiveUp);
  trial_.Start(true, kStart);
  trial_.Close();
  EXPECT_EQ(At(31, good_, false), Verdict::kWait);
}

TEST_F(TrialTest, AConfirmedImageIsNeverGivenUp) {
  trial_.Start(false, kStart);
  EXPECT_EQ(At(300, {}), Verdict::kWait);
  EXPECT_EQ(At(301, good_, false), Verdict::kWait);
  EXPECT_EQ(At(306, good_, false), Verdict::kConfirm);
}

}  // namespace
}  // namespace gh::upgrade
