// When a store path is SYNCING, by example.

#include "services/storage/core/catch_up.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace storage {
namespace {

class CatchUpTest : public ::testing::Test {
 protected:
  // Two other members that are reached and have nothing that this has not.
  CatchUpTest() {
    view_.incarnation = Uuid::Random();
    view_.peers_known = true;
    view_.peers = 2;
    view_.peers_reached = 2;
  }

  bool Syncing() { return catch_up_.Update(view_, now_); }

  CatchUpView view_;
  absl::Duration now_ = absl::Hours(1);
  CatchUp catch_up_;
};

TEST_F(CatchUpTest, IsOverAtTheEndOfAllLogsWithTheirContents) {
  view_.behind_changes = 1;
  EXPECT_TRUE(Syncing());
  view_.behind_changes = 0;
  view_.missing_contents = CatchUp::kMissingMax + 1;
  EXPECT_TRUE(Syncing());
  view_.missing_contents = CatchUp::kMissingMax;
  EXPECT_FALSE(Syncing());
  // Being behind a little is nothing.
  view_.behind_changes = CatchUp::kFarBehind;
  view_.missing_contents = 100;
  EXPECT_FALSE(Syncing());
}

TEST_F(CatchUpTest, AMemberThatIsAloneIsNotStuck) {
  view_.peers_known = false;
  view_.peers = 0;
  view_.peers_reached = 0;
  EXPECT_TRUE(Syncing());  // Nobody has said that it is alone.
  view_.peers_known = true;
  EXPECT_FALSE(Syncing());
}

TEST_F(CatchUpTest, WhoCannotBeReachedIsWaitedForForAWhile) {
  view_.peers_reached = 1;
  EXPECT_TRUE(Syncing());
  now_ += CatchUp::kPatience - absl::Milliseconds(1);
  EXPECT_TRUE(Syncing());
  now_ += absl::Milliseconds(1);
  EXPECT_FALSE(Syncing());
  // Whoever is back may be far ahead.
  view_.peers_reached = 2;
  view_.behind_changes = CatchUp::kFarBehind + 1;
  EXPECT_TRUE(Syncing());
  view_.behind_changes = 1;
  EXPECT_TRUE(Syncing());
  view_.behind_changes = 0;
  EXPECT_FALSE(Syncing());
}

TEST_F(CatchUpTest, AwaitsWhoKnowsMoreUntilItIsLeftAlone) {
  EXPECT_TRUE(catch_up_.AwaitsOthers());
  view_.peers_known = false;
  view_.peers = 0;
  view_.peers_reached = 0;
  Syncing();
  now_ += CatchUp::kPatience - absl::Milliseconds(1);
  view_.peers_known = true;
  view_.peers = 2;
  Syncing();
  EXPECT_TRUE(catch_up_.AwaitsOthers());
  now_ += absl::Milliseconds(1);
  Syncing();
  EXPECT_FALSE(catch_up_.AwaitsOthers());
  // One is back, and has more.
  view_.peers_reached = 1;
  view_.behind_changes = 1;
  EXPECT_TRUE(Syncing());
  EXPECT_TRUE(catch_up_.AwaitsOthers());
  now_ += absl::Hours(1);
  EXPECT_TRUE(Syncing());
  EXPECT_TRUE(catch_up_.AwaitsOthers());
  view_.behind_changes = 0;
  EXPECT_FALSE(Syncing());
  EXPECT_FALSE(catch_up_.AwaitsOthers());
  // A new path awaits them anew, however long nobody was reached.
  view_.peers_reached = 0;
  Syncing();
  now_ += absl::Hours(1);
  view_.incarnation = Uuid::Random();
  EXPECT_TRUE(Syncing());
  EXPECT_TRUE(catch_up_.AwaitsOthers());
}

TEST_F(CatchUpTest, StaysAsItIsWhileNobodyCanBeReached) {
  view_.peers_reached = 0;
  EXPECT_TRUE(Syncing());
  now_ += absl::Hours(10);
  EXPECT_TRUE(Syncing());
  view_.peers_reached = 2;
  EXPECT_FALSE(Syncing());
  view_.peers_reached = 0;
  now_ += absl::Hours(10);
  EXPECT_FALSE(Syncing());
}

TEST_F(CatchUpTest, BeginsAnewWithASnapshotAndWithAnotherDisk) {
  EXPECT_FALSE(Syncing());
  view_.snapshot = true;
  EXPECT_TRUE(Syncing());
  view_.snapshot = false;
  EXPECT_FALSE(Syncing());
  view_.incarnation = Uuid::Random();
  view_.behind_changes = 1;
  EXPECT_TRUE(Syncing());
}

TEST_F(CatchUpTest, ARestartAsksEverybodyAnew) {
  EXPECT_FALSE(Syncing());
  catch_up_.Restart();
  EXPECT_TRUE(catch_up_.syncing());
  view_.peers_reached = 1;
  EXPECT_TRUE(Syncing());
  view_.peers_reached = 2;
  EXPECT_FALSE(Syncing());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
