// Result: values, errors, moves, and the stable error codes.
#include "hal/rt/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace gh {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) {
    return Error(ErrorCode::kInvalidArgument, "odd");
  }
  return n / 2;
}
Result<int> Quarter(int n) {
  GH_TRY_ASSIGN(int half, Half(n));
  GH_TRY_ASSIGN(const int quarter, Half(half));
  return quarter;
}
Result<void> CheckEven(int n) {
  GH_TRY(Half(n));
  return Ok();
}

TEST(ResultTest, CarriesValueOrError) {
  EXPECT_EQ(Half(4).value(), 2);
  EXPECT_TRUE(Half(4).ok());
  EXPECT_EQ(Half(4).code(), ErrorCode::kOk);
  EXPECT_EQ(Half(3).code(), ErrorCode::kInvalidArgument);
  EXPECT_STREQ(Half(3).error().what, "odd");
  EXPECT_EQ(Half(3).value_or(9), 9);
}

TEST(ResultTest, TryPassesErrorsOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(CheckEven(2).ok());
  EXPECT_STREQ(CheckEven(1).error().what, "odd");
}

TEST(ResultTest, MovesOwnershipAndDestroysOnce) {
  auto counter = std::make_shared<int>(1);
  {
    Result<std::shared_ptr<int>> first(counter);
    Result<std::shared_ptr<int>> second(std::move(first));
    EXPECT_EQ(counter.use_count(), 3 - 1);  // the moved-from value is empty
    second = Result<std::shared_ptr<int>>(ErrorCode::kTimeout);
    EXPECT_EQ(counter.use_count(), 1);
    second = Result<std::shared_ptr<int>>(counter);
    EXPECT_EQ(*std::move(second).value(), 1);
  }
  EXPECT_EQ(counter.use_count(), 1);
}

TEST(ResultDeathTest, AskingForTheOtherOnePanics) {
  EXPECT_DEATH((void)Half(3).value(), "ok_");
  EXPECT_DEATH((void)Half(4).error(), "ok_");
  EXPECT_DEATH((void)Ok().error(), "ok");
}

TEST(ResultTest, EveryCodeHasItsOwnName) {
  std::set<std::string> names;
  int named = 0;
  for (uint16_t i = 0; i < 1000; ++i) {
    const std::string name = ErrorCodeName(static_cast<ErrorCode>(i));
    if (name != "unknown") {
      EXPECT_TRUE(names.insert(name).second) << name;
      ++named;
    }
  }
  EXPECT_EQ(named, 25);
  EXPECT_STREQ(ErrorCodeName(ErrorCode::kNotFound), "not-found");
}

// Stored in logs and crash records: these numbers must not move.
static_assert(static_cast<int>(ErrorCode::kPermissionDenied) == 7);
static_assert(static_cast<int>(ErrorCode::kCancelled) == 24);
static_assert(static_cast<int>(ErrorCode::kIncompatible) == 45);
static_assert(static_cast<int>(ErrorCode::kNoSpace) == 65);

}  // namespace
}  // namespace gh
