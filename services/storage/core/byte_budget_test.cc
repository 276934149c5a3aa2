// Bodies in flight never exceed the budget, and whoever waits gets a turn.

#include "services/storage/core/byte_budget.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;

TEST(ByteBudgetTest, GivesWhatIsThereAndRefusesTheRest) {
  ByteBudget budget(100);
  EXPECT_TRUE(budget.TryTake(60));
  EXPECT_FALSE(budget.TryTake(41));
  EXPECT_TRUE(budget.TryTake(40));
  EXPECT_EQ(budget.taken_bytes(), 100);
  budget.Return(60);
  EXPECT_TRUE(budget.TryTake(41));
  budget.Return(81);
  EXPECT_EQ(budget.taken_bytes(), 0);
}

TEST(ByteBudgetTest, WaitersAreServedInOrderAndNobodyOvertakes) {
  ByteBudget budget(100);
  ASSERT_TRUE(budget.TryTake(100));
  std::vector<int> served;
  budget.Take(80, [&] { served.push_back(1); });
  budget.Take(10, [&] { served.push_back(2); });
  EXPECT_EQ(budget.waiting(), 2);
  budget.Return(50);
  EXPECT_THAT(served, ElementsAre());
  EXPECT_FALSE(budget.TryTake(1));  // Behind those who wait.
  budget.Return(50);
  EXPECT_THAT(served, ElementsAre(1, 2));
  EXPECT_EQ(budget.taken_bytes(), 90);
  budget.Return(90);
}

TEST(ByteBudgetTest, ABodyLargerThanTheBudgetWaitsUntilItIsAlone) {
  ByteBudget budget(100);
  ASSERT_TRUE(budget.TryTake(1));
  bool served = false;
  budget.Take(1000, [&] { served = true; });
  EXPECT_FALSE(served);
  budget.Return(1);
  EXPECT_TRUE(served);
  EXPECT_FALSE(budget.TryTake(1));
  budget.Return(1000);
  EXPECT_TRUE(budget.TryTake(100));
  budget.Return(100);
}

TEST(ByteBudgetTest, AWaiterMayTakeMoreFromInsideItsTurn) {
  ByteBudget budget(10);
  ASSERT_TRUE(budget.TryTake(10));
  bool inner = false;
  budget.Take(5, [&] { budget.Take(5, [&] { inner = true; }); });
  budget.Return(10);
  EXPECT_TRUE(inner);
  budget.Return(10);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
