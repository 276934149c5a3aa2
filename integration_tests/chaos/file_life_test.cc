#include "integration_tests/chaos/file_life.h"

#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using Kind = FileChange::Kind;

FileChange Make(client::FileKind kind, const char* content) {
  FileChange change;
  change.made.standing = FileState::Standing::kThere;
  change.made.kind = kind;
  change.made.content = absl::Cord(content);
  change.made.attributes = {{"a", "1"}};
  return change;
}

FileChange Of(Kind kind) {
  FileChange change;
  change.kind = kind;
  return change;
}

FileChange Append(const char* content) {
  FileChange change = Of(Kind::kAppend);
  change.appended = absl::Cord(content);
  return change;
}

FileState Made(client::FileKind kind = client::FileKind::kNormal) {
  return After(FileState(), Make(kind, "content"));
}

// A change that is answered by so many members, between these lines.
void Do(FileLife* life, const FileChange& change, uint32_t replicas,
        int64_t line) {
  life->Ask(change, line);
  life->Answer({.replicas = replicas, .taken_by = 0, .line = line + 1});
}

std::vector<std::string> Descriptions(const std::vector<FileState>& states) {
  std::vector<std::string> descriptions;
  for (const FileState& state : states) {
    descriptions.push_back(Describe(state));
  }
  return descriptions;
}

bool Never(const FileLife::Stage&) { return false; }
bool IfOneHasIt(const FileLife::Stage& stage) { return stage.replicas < 2; }

constexpr char kThere[] = "there, 7 bytes, {a=1}";

TEST(FileStateTest, WhatIsDeletedIsAsItWasWhenItIsBack) {
  FileState state = Made();
  state.expire_time = absl::FromUnixSeconds(4000000000);
  const FileState deleted = After(state, Of(Kind::kDelete));
  EXPECT_EQ(Refusal(deleted, Of(Kind::kDescribe)), ErrorReason::kFileDeleted);
  EXPECT_EQ(Refusal(deleted, Of(Kind::kUndelete)), ErrorReason::kUnspecified);

  const FileState back = After(deleted, Of(Kind::kUndelete));
  EXPECT_EQ(Describe(back), Describe(state));
  EXPECT_EQ(back.content, state.content);
  EXPECT_EQ(Refusal(back, Of(Kind::kUndelete)), ErrorReason::kFileExists);
}

TEST(FileStateTest, WhatIsPurgedStaysAway) {
  const FileState kept = After(Made(), Of(Kind::kDelete));
  EXPECT_EQ(Refusal(kept, Of(Kind::kDelete)), ErrorReason::kFileDeleted);
  EXPECT_EQ(Refusal(kept, Of(Kind::kPurge)), ErrorReason::kUnspecified);

  const FileState purged = After(kept, Of(Kind::kPurge));
  EXPECT_EQ(Refusal(purged, Of(Kind::kPurge)), ErrorReason::kFileDeleted);
  EXPECT_EQ(Refusal(purged, Of(Kind::kUndelete)), ErrorReason::kFileDeleted);
}

TEST(FileStateTest, ANameThatIsTakenIsRefusedToOtherContent) {
  const auto derived = client::FileKind::kDerived;
  const FileState state = Made(derived);
  EXPECT_EQ(Refusal(state, Make(derived, "other")), ErrorReason::kFileExists);
  EXPECT_EQ(Refusal(state, Make(derived, "content")),
            ErrorReason::kUnspecified);

  const FileState deleted = After(state, Of(Kind::kDelete));
  EXPECT_EQ(Refusal(deleted, Make(derived, "other")),
            ErrorReason::kUnspecified);
  EXPECT_EQ(After(deleted, Make(derived, "other")).content, "other");
}

TEST(FileStateTest, AnAppenderGrowsUntilItIsSealed) {
  const FileState state = Made(client::FileKind::kAppender);
  EXPECT_EQ(After(state, Append(", more")).content, "content, more");
  EXPECT_EQ(Refusal(Made(), Append("more")), ErrorReason::kNotAnAppender);

  const FileState sealed = After(state, Of(Kind::kSeal));
  for (const Kind kind : {Kind::kAppend, Kind::kSeal, Kind::kDelete,
                          Kind::kUndelete, Kind::kPurge}) {
    EXPECT_EQ(Refusal(sealed, Of(kind)), ErrorReason::kFileSealed);
  }
}

TEST(FileLifeTest, WhatIsAnsweredIsCertain) {
  FileLife life;
  Do(&life, Make(client::FileKind::kNormal, "content"), 1, 10);
  EXPECT_THAT(Descriptions(life.MayBe(Never)), ElementsAre(kThere));
  Do(&life, Of(Kind::kDelete), 1, 20);
  EXPECT_THAT(Descriptions(life.MayBe(Never)), ElementsAre("deleted, kept"));
}

TEST(FileLifeTest, WhatIsNotAnsweredMayHaveBeenDone) {
  FileLife life;
  Do(&life, Make(client::FileKind::kNormal, "content"), 2, 10);
  life.Ask(Of(Kind::kDelete), 20);
  EXPECT_THAT(Descriptions(life.MayBe(Never)),
              ElementsAre(kThere, "deleted, kept"));
  life.Refuse();
  EXPECT_THAT(Descriptions(life.MayBe(Never)), ElementsAre(kThere));
}

TEST(FileLifeTest, WhatOneMemberHadMayBeLostBackToWhatTwoHad) {
  FileLife life;
  Do(&life, Make(client::FileKind::kNormal, "content"), 1, 10);
  EXPECT_THAT(Descriptions(life.MayBe(IfOneHasIt)),
              ElementsAre(kThere, "none"));
  Do(&life, Of(Kind::kDelete), 2, 20);
  EXPECT_THAT(Descriptions(life.MayBe(IfOneHasIt)),
              ElementsAre("deleted, kept"));
  Do(&life, Of(Kind::kUndelete), 1, 30);
  EXPECT_THAT(Descriptions(life.MayBe(IfOneHasIt)),
              ElementsAre(kThere, "deleted, kept"));
}

TEST(FileLifeTest, AChangeMayHaveBeenMadeToWhatTheFileWasBefore) {
  FileLife life;
  Do(&life, Make(client::FileKind::kNormal, "content"), 2, 10);
  FileChange description = Of(Kind::kDescribe);
  description.description.set = {{"b", "2"}};
  Do(&life, description, 2, 20);
  life.Ask(Of(Kind::kDelete), 30);
  life.Cloud();
  EXPECT_THAT(Descriptions(life.MayBe(Never)),
              ElementsAre("there, 7 bytes, {a=1,b=2}", kThere, "none",
                          "deleted, kept", "deleted, kept"));
}

TEST(FileLifeTest, WhatAllMembersHaveIsCertain) {
  FileLife life;
  Do(&life, Make(client::FileKind::kNormal, "content"), 1, 10);
  life.Ask(Of(Kind::kDelete), 20);
  life.Cloud();
  life.Settle(Made());
  EXPECT_FALSE(life.is_open());
  EXPECT_THAT(Descriptions(life.MayBe(IfOneHasIt)), ElementsAre(Eq(kThere)));
}

}  // namespace
}  // namespace testing
}  // namespace cairn
