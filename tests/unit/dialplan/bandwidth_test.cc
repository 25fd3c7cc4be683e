// Bandwidth: limits of nodes and pipes, links, downspeeding; whatever was admitted is given back
// exactly.
#include "firmware/dialplan/bandwidth.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace gh::dialplan {
namespace {

class BandwidthTest : public testing::Test {
 protected:
  std::unique_ptr<uint8_t[]> memory_{new uint8_t[1 << 20]};
  Arena arena_{{memory_.get(), 1 << 20}};
  Bandwidth bandwidth_{arena_};

  uint32_t Admit(uint16_t from, uint16_t to, uint32_t wanted = 0) {
    auto hold = bandwidth_.Admit(from, to, wanted);
    return hold.ok() ? hold->kbps : 0;
  }
  uint8_t AddPipe(const char* name, uint32_t total, uint32_t per_call = kUnlimited) {
    Pipe pipe;
    pipe.name.Assign(name);
    pipe.total_kbps = total;
    pipe.per_call_kbps = per_call;
    return *bandwidth_.AddPipe(pipe);
  }
  void AddLink(uint16_t from, uint16_t to, uint8_t pipe = UINT8_MAX) {
    Link link;
    link.from = from;
    link.to = to;
    link.pipes[0] = pipe;
    ASSERT_TRUE(bandwidth_.AddLink(link).ok());
  }
};

TEST_F(BandwidthTest, DefaultAndPerCallLimits) {
  EXPECT_EQ(Admit(0, 1), 384u);
  bandwidth_.SetNode(1, {kUnlimited, 256, 128});
  EXPECT_EQ(Admit(0, 1), 256u);
  EXPECT_EQ(Admit(1, 1), 128u);
  EXPECT_EQ(Admit(0, 1, 100), 100u);
  EXPECT_EQ(bandwidth_.downspeed_count(), 2u);
  bandwidth_.SetNode(1, {kUnlimited, 0, kUnlimited});
  EXPECT_EQ(Admit(0, 1), 0u);
  bandwidth_.Begin({384, false, true});
  bandwidth_.SetNode(1, {kUnlimited, 256, kUnlimited});
  EXPECT_EQ(Admit(0, 1), 0u);  // slower is not allowed
  EXPECT_EQ(Admit(0, 1, 256), 256u);
}

TEST_F(BandwidthTest, TotalsAndTheFloor) {
  bandwidth_.SetNode(0, {1000, kUnlimited, kUnlimited});
  std::vector<BandwidthHold> holds;
  for (const uint32_t expected : {384u, 384u, 232u}) {
    holds.push_back(*bandwidth_.Admit(0, 5, 384));
    EXPECT_EQ(holds.back().kbps, expected);
  }
  EXPECT_EQ(bandwidth_.Admit(0, 5, 384).code(), ErrorCode::kExhausted);
  EXPECT_EQ(bandwidth_.used_kbps(0), 1000u);
  EXPECT_EQ(bandwidth_.call_count(5), 3u);
  bandwidth_.Release(holds[2]);
  bandwidth_.Release(holds[2]);  // nothing is held any more
  EXPECT_EQ(bandwidth_.used_kbps(0), 768u);
  bandwidth_.SetNode(0, {768 + kBandwidthFloorKbps - 1, kUnlimited, kUnlimited});
  EXPECT_EQ(Admit(0, 5), 0u);
  bandwidth_.SetNode(0, {768 + kBandwidthFloorKbps, kUnlimited, kUnlimited});
  EXPECT_EQ(Admit(0, 5), kBandwidthFloorKbps);
}

TEST_F(BandwidthTest, LinksAndPipesOnTheWay) {
  const uint8_t narrow = AddPipe("narrow", 500);
  const uint8_t wide = AddPipe("wide", 10'000, 300);
  AddLink(0, 1, wide);
  AddLink(1, 2, narrow);
  AddLink(0, 3);
  AddLink(3, 4, narrow);
  AddLink(4, 2, wide);
  EXPECT_EQ(Admit(0, 2), 300u);  // over 1: two links, not three
  EXPECT_EQ(Admit(0, 2), 200u);
  EXPECT_EQ(Admit(0, 2), 0u);
  EXPECT_EQ(Admit(0, 1), 300u);
  EXPECT_EQ(bandwidth_.pipe(narrow).used_kbps, 500u);
  EXPECT_EQ(bandwidth_.pipe(wide).calls, 3u);
  EXPECT_EQ(bandwidth_.Admit(0, 9, 0).code(), ErrorCode::kUnreachable);
  EXPECT_EQ(Admit(9, 9), 384u);
}

TEST_F(BandwidthTest, LimitsAtTheirEdges) {
  for (uint32_t i = 0; i < kPipeMax; ++i) {
    AddPipe("p", 1);
  }
  EXPECT_EQ(bandwidth_.AddPipe({}).code(), ErrorCode::kExhausted);
  Link link;
  link.to = kNodeMax;
  EXPECT_EQ(bandwidth_.AddLink(link).code(), ErrorCode::kNotFound);
  Link most;
  most.to = 1;
  for (uint32_t i = 0; i < kLinkMax; ++i) {
    ASSERT_TRUE(bandwidth_.AddLink(most).ok()) << i;
  }
  EXPECT_EQ(bandwidth_.AddLink(most).code(), ErrorCode::kExhausted);
  bandwidth_.Begin({});
  for (uint32_t i = 0; i < kPipeMax; ++i) {
    AddPipe("p", 1);
  }
  // A chain with a pipe on each link: kPathPipeMax are counted, one more is too many.
  for (uint16_t i = 0; i <= kPathPipeMax; ++i) {
    AddLink(i, static_cast<uint16_t>(i + 1), static_cast<uint8_t>(i));
  }
  bandwidth_.Begin({});
  for (uint16_t i = 0; i <= kPathPipeMax; ++i) {
    AddPipe("p", 100'000);
    AddLink(i, static_cast<uint16_t>(i + 1), static_cast<uint8_t>(i));
  }
  EXPECT_EQ(Admit(0, kPathPipeMax), 384u);
  EXPECT_EQ(bandwidth_.Admit(0, kPathPipeMax + 1, 0).code(), ErrorCode::kTooLarge);
}

TEST_F(BandwidthTest, EverythingIsGivenBack) {
  std::mt19937 random(3);
  for (uint16_t i = 0; i < 20; ++i) {
    bandwidth_.SetNode(i, {static_cast<uint32_t>(2000 + random() % 2000), 500, 700});
    AddLink(i, static_cast<uint16_t>((i + 1) % 20), i < 8 ? AddPipe("p", 3000) : UINT8_MAX);
  }
  std::vector<BandwidthHold> holds;
  for (int round = 0; round < 5000; ++round) {
    if (random() % 2 == 0 && !holds.empty()) {
      const auto at = random() % holds.size();
      bandwidth_.Release(holds[at]);
      holds.erase(holds.begin() + static_cast<std::ptrdiff_t>(at));
    } else if (auto hold = bandwidth_.Admit(static_cast<uint16_t>(random() % 20),
                                            static_cast<uint16_t>(random() % 20),
                                            static_cast<uint32_t>(random() % 600));
               hold.ok()) {
      holds.push_back(*hold);
    }
    for (uint32_t i = 0; i < bandwidth_.pipe_count(); ++i) {
      ASSERT_LE(bandwidth_.pipe(i).used_kbps, 3000u);
    }
  }
  for (BandwidthHold& hold : holds) {
    bandwidth_.Release(hold);
  }
  for (uint16_t i = 0; i < 20; ++i) {
    EXPECT_EQ(bandwidth_.used_kbps(i), 0u);
    EXPECT_EQ(bandwidth_.call_count(i), 0u);
  }
  for (uint32_t i = 0; i < bandwidth_.pipe_count(); ++i) {
    EXPECT_EQ(bandwidth_.pipe(i).used_kbps, 0u);
  }
}

}  // namespace
}  // namespace gh::dialplan
