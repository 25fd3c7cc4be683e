// A key list instead of an update: told by its first bytes from any source, collected to its edge,
// given to the ledger; the record's part of putting it in force, with one root signer and with two;
// and a source that pushes.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "board/sim/disk.h"
#include "firmware/upgrade/boot_record.h"
#include "firmware/upgrade/push_source.h"
#include "firmware/upgrade/upgrade.h"
#include "image/key_list.h"
#include "tests/unit/image/sample.h"
#include "tests/unit/rt/memory.h"

namespace gh::upgrade {
namespace {

using image::test::Bytes;
using image::test::MakeKey;

constexpr Instant kStart = {1'000'000'000};

class KeyListTest : public testing::Test, public Observer, public KeyLedger, public Intake {
 protected:
  KeyListTest() {
    root_->trusted.role = gatehouse_image_KeyRole_KEY_ROOT;
    root_two_->trusted.role = gatehouse_image_KeyRole_KEY_ROOT;
    built_in_ = {root_->trusted, root_two_->trusted, release_->trusted};
    image::BootState state;
    state.sequence = 1;
    state.started = 0;
    state.slots[0].state = image::SlotState::kConfirmed;
    for (uint32_t i = 0; i < image::kBootStateCopyCount; ++i) {
      std::array<uint8_t, image::kBootStateCopySize> bytes;
      image::EncodeBootState(state, i, bytes);
      EXPECT_TRUE(
          hal::WriteBlocks(state_, i * image::kBootStateCopyStride / state_.block_size(), bytes)
              .ok());
    }
    EXPECT_TRUE(record_->Load().ok());
  }
  Bytes List(uint64_t sequence, std::vector<const image::tool::SigningKey*> roots) const {
    return image::tool::BuildKeyList(
        sequence, 1, std::vector<image::tool::KeyListEntry>{{next_->trusted, false}}, roots);
  }
  void OnUpgradeStarted(std::string_view, char slot) override {
    said_ += std::string("started ") + slot + " ";
  }
  void OnUpgradeInstalled(const image::Manifest&, char, uint64_t, Duration, uint32_t) override {
    said_ += "installed an image ";
  }
  void OnUpgradeFailed(std::string_view, image::UpdateFault fault,
                       std::string_view reason) override {
    said_ += std::string(image::UpdateFaultName(fault)) + ": " + std::string(reason);
  }
  Result<uint64_t> TakeKeyList(std::span<const uint8_t> list, std::span<uint8_t> scratch) override {
    EXPECT_GE(scratch.size(), image::kMetadataSizeMax);
    GH_TRY_ASSIGN(const image::KeyListParts parts, image::ParseKeyList(list));
    image::KeyRing ring;
    GH_TRY(image::VerifyKeyList(parts, built_in_, root_signers_, ring));
    GH_TRY(record_->PutKeyList(built_in_, root_signers_, scratch, list, ring.sequence));
    said_ += "taken ";
    return ring.sequence;
  }
  Result<void> MayUpgrade() const override { return may_; }
  Result<void> BeginUpgrade(std::string_view source, uint64_t announced, Instant now) override {
    return upgrade_->Begin(source, announced, *policy_, &slot_, 1, now);
  }
  std::string Send(const Bytes& bytes, size_t piece) {
    said_.clear();
    EXPECT_TRUE(BeginUpgrade("test", bytes.size(), kStart).ok());
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const auto rest = std::span(bytes).subspan(at);
      EXPECT_EQ(upgrade_->Offer(rest.first(std::min(piece, rest.size())), kStart),
                std::min(piece, rest.size()));
    }
    upgrade_->End(kStart);
    for (int turn = 0; turn < 4; ++turn) {
      (void)upgrade_->Poll(kStart);
    }
    EXPECT_FALSE(upgrade_->active());
    return said_;
  }
  image::KeyRing Ring(uint32_t root_signers) {
    image::KeyRing ring;
    record_->LoadKeyRing(built_in_, root_signers, scratch_, ring);
    return ring;
  }

  std::unique_ptr<image::tool::SigningKey> root_ = MakeKey(1);
  std::unique_ptr<image::tool::SigningKey> root_two_ = MakeKey(2);
  std::unique_ptr<image::tool::SigningKey> release_ = MakeKey(3);
  std::unique_ptr<image::tool::SigningKey> next_ = MakeKey(4);
  std::vector<image::TrustedKey> built_in_;
  image::test::Policy policy_{{release_.get()}};
  gh::test::Memory memory_{8 << 20};
  Arena arena_{memory_};
  sim::SimDisk slot_{"slot-b", sim::Random(7, "slot"), 256 * 1024};
  sim::SimDisk state_{"bootstate", sim::Random(8, "state"), 1 << 20};
  BootRecord* record_ = arena_.New<BootRecord>(&state_);
  Upgrade* upgrade_ = arena_.New<Upgrade>(Upgrade::Parts{arena_, *record_, *this, this});
  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(image::kKeyListSizeMax);
  uint32_t root_signers_ = 1;
  Result<void> may_;
  std::string said_;
};

TEST_F(KeyListTest, ComesIntoForceInPiecesOfAnySize) {
  for (size_t piece : {size_t{1}, size_t{7}, size_t{8}, size_t{9}, size_t{23}, size_t{10000}}) {
    const uint64_t sequence = record_->state().key_list_sequence + 1;
    EXPECT_EQ(Send(List(sequence, {root_.get()}), piece), "started - taken ") << piece;
    EXPECT_EQ(record_->state().key_list_sequence, sequence);
    EXPECT_EQ(Ring(1).sequence, sequence);
    const Status status = upgrade_->status(kStart);
    EXPECT_EQ(status.version.view(), "key list " + std::to_string(sequence));
    EXPECT_EQ(status.slot, '-');
  }
  EXPECT_EQ(Ring(1).count, 1u);
  EXPECT_EQ(record_->state().slots[1].state, image::SlotState::kEmpty);
}

TEST_F(KeyListTest, OldCutLongAndForeignListsAreRefusedAndTheOldOneStays) {
  ASSERT_EQ(Send(List(5, {root_.get()}), 100), "started - taken ");
  EXPECT_EQ(Send(List(5, {root_.get()}), 100),
            "started - rollback: this key list is in force already");
  EXPECT_EQ(Send(List(4, {root_.get()}), 100),
            "started - rollback: key list is older than the one in force");
  EXPECT_EQ(Send(List(6, {release_.get()}), 100),
            "started - untrusted: key list is not signed by enough trusted root keys");
  Bytes list = List(6, {root_.get()});
  list.pop_back();
  EXPECT_EQ(Send(list, 100), "started - truncated: the key list ended too early");
  list = List(6, {root_.get()});
  list.push_back(0);
  EXPECT_EQ(Send(list, 100), "started - too-long: there are bytes behind the end of the key list");
  list = List(6, {root_.get()});
  list[14] = 0xff;
  EXPECT_EQ(Send(list, 100), "started - damaged: key list: a size is out of range");
  EXPECT_EQ(Ring(1).sequence, 5u);
}

TEST_F(KeyListTest, TwoRootSignersRefuseOneSignature) {
  root_signers_ = 2;
  EXPECT_EQ(Send(List(1, {root_.get()}), 100),
            "started - untrusted: key list is not signed by enough trusted root keys");
  EXPECT_EQ(Ring(2).sequence, 0u);
  EXPECT_EQ(Send(List(1, {root_.get(), root_two_.get()}), 100), "started - taken ");
  EXPECT_EQ(Ring(2).sequence, 1u);
  // A list that one root key put there behind our back is not read either.
  root_signers_ = 1;
  ASSERT_EQ(Send(List(2, {root_.get()}), 100), "started - taken ");
  EXPECT_EQ(Ring(1).sequence, 2u);
  EXPECT_EQ(Ring(2).sequence, 1u);
}

// Any cut leaves the list before or the new one, never none.
TEST_F(KeyListTest, EveryCutLeavesAList) {
  ASSERT_EQ(Send(List(1, {root_.get()}), 100), "started - taken ");
  uint64_t cuts = 0;
  for (uint64_t n = 1;; ++n, ++cuts) {
    const uint64_t sequence = record_->state().key_list_sequence + 1;
    state_.PlanCut(state_.io_count() + n, {});
    (void)Send(List(sequence, {root_.get()}), 1000);
    const bool was_cut = state_.cut_happened();
    if (was_cut) {
      state_.PowerOn();
    }
    state_.PlanCut(0, {});
    BootRecord* again = arena_.New<BootRecord>(&state_);
    ASSERT_TRUE(again->Load().ok());
    record_ = again;
    const uint64_t now = Ring(1).sequence;
    EXPECT_EQ(now, record_->state().key_list_sequence) << "cut " << n;
    EXPECT_TRUE(now == sequence || now + 1 == sequence) << "cut " << n;
    if (!was_cut) {
      EXPECT_EQ(now, sequence);
      break;
    }
  }
  EXPECT_GE(cuts, 5u);
}

TEST_F(KeyListTest, APushSourceSaysWhatBecameOfIt) {
  PushSource source(*upgrade_, *this);
  may_ = Error(ErrorCode::kWrongState, "not now");
  EXPECT_STREQ(source.Open("sftp", 0, kStart).error().what, "not now");
  may_ = Ok();
  const Bytes list = List(1, {root_.get()});
  ASSERT_TRUE(source.Open("sftp", 0, kStart).ok());
  EXPECT_EQ(*source.Write(list, kStart), list.size());
  EXPECT_EQ(source.Close(kStart), PushSource::End::kPending);
  (void)upgrade_->Poll(kStart);
  EXPECT_EQ(source.Close(kStart), PushSource::End::kInstalled);
  EXPECT_TRUE(source.outcome().ok());
  EXPECT_FALSE(source.is_open());
  // Refused: the next bytes say so.
  ASSERT_TRUE(source.Open("sftp", 0, kStart).ok());
  const auto refused = source.Write(Bytes(9000, 'x'), kStart);
  ASSERT_FALSE(refused.ok());
  EXPECT_STREQ(refused.error().what, "this is not an update");
  EXPECT_EQ(source.Close(kStart), PushSource::End::kFailed);
  // The client goes away; and what ends by another's hand is noticed.
  ASSERT_TRUE(source.Open("sftp", 0, kStart).ok());
  source.Abort("the connection was lost", kStart);
  EXPECT_EQ(upgrade_->status(kStart).reason.view(), "the connection was lost");
  ASSERT_TRUE(source.Open("sftp", 0, kStart).ok());
  upgrade_->Cancel("cancelled", kStart);
  ASSERT_TRUE(BeginUpgrade("console", 0, kStart).ok());
  EXPECT_FALSE(source.Write(list, kStart).ok());
  EXPECT_TRUE(upgrade_->active()) << "the other's upgrade is not touched";
}

}  // namespace
}  // namespace gh::upgrade
