#include "services/storage/core/peer_answers.h"

#include "gtest/gtest.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {
namespace {

absl::Status NotFound() {
  return ErrorWithReason(absl::StatusCode::kNotFound,
                         ErrorReason::kFileNotFound, "no");
}
absl::Status Deleted() {
  return ErrorWithReason(absl::StatusCode::kNotFound, ErrorReason::kFileDeleted,
                         "deleted");
}
absl::Status Damaged() {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kContentDamaged, "damaged");
}

TEST(PeerAnswersTest, AFileThatNobodyKnowsIsNotFound) {
  PeerAnswers answers(NotFound());
  EXPECT_FALSE(answers.IsLastWord(NotFound()));
  EXPECT_FALSE(answers.IsLastWord(NotFound()));
  EXPECT_EQ(ReasonOf(answers.Verdict()), ErrorReason::kFileNotFound);
}

TEST(PeerAnswersTest, AFileIsNotSaidToBeUnknownWhileAMemberCannotBeAsked) {
  PeerAnswers answers(NotFound());
  EXPECT_FALSE(answers.IsLastWord(absl::UnavailableError("down")));
  EXPECT_FALSE(answers.IsLastWord(NotFound()));
  EXPECT_EQ(ReasonOf(answers.Verdict()), ErrorReason::kContentNotHere);
  EXPECT_TRUE(absl::IsUnavailable(answers.Verdict()));
}

TEST(PeerAnswersTest, AFileIsNotSaidToBeUnknownBeforeTheOthersAreKnown) {
  PeerAnswers answers(NotFound());
  answers.CannotAsk();
  EXPECT_EQ(ReasonOf(answers.Verdict()), ErrorReason::kContentNotHere);
}

TEST(PeerAnswersTest, WhoHasItOrKnowsOfItsDeletionHasTheLastWord) {
  PeerAnswers answers(NotFound());
  EXPECT_TRUE(answers.IsLastWord(absl::OkStatus()));
  EXPECT_TRUE(answers.IsLastWord(Deleted()));
  EXPECT_TRUE(answers.IsLastWord(ErrorWithReason(
      absl::StatusCode::kNotFound, ErrorReason::kFileExpired, "expired")));
}

TEST(PeerAnswersTest, ADamagedCopyStaysOneIfNobodyHasABetter) {
  PeerAnswers answers(Damaged());
  EXPECT_FALSE(answers.IsLastWord(NotFound()));
  EXPECT_FALSE(answers.IsLastWord(absl::UnavailableError("down")));
  EXPECT_EQ(ReasonOf(answers.Verdict()), ErrorReason::kContentDamaged);
}

TEST(PeerAnswersTest, AFileIsNotSaidToBeUnknownThatAMemberCannotRead) {
  for (const ErrorReason reason :
       {ErrorReason::kContentDamaged, ErrorReason::kReadFailed,
        ErrorReason::kContentNotHere}) {
    PeerAnswers answers(NotFound());
    EXPECT_FALSE(answers.IsLastWord(NotFound()));
    EXPECT_FALSE(answers.IsLastWord(
        ErrorWithReason(absl::StatusCode::kUnavailable, reason, "there")));
    EXPECT_FALSE(answers.IsLastWord(NotFound()));
    EXPECT_EQ(ReasonOf(answers.Verdict()), ErrorReason::kContentNotHere);
    EXPECT_TRUE(absl::IsUnavailable(answers.Verdict()));
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
