// An index made from segments alone says what the old one said.

#include "services/storage/store/rebuild.h"

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

constexpr const char* kDirectory = "/disk/path";

class RebuildTest : public ::testing::Test {
 protected:
  RebuildTest() : fs_(1), options_(TestPathOptions(kDirectory)) {
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
  }

  void OpenPath() {
    path_.reset();
    auto opened = OpenStorePath(options_, &fs_, &clock_);
    ASSERT_THAT(opened, IsOk());
    path_ = *std::move(opened);
  }

  // Files of every shape, some of them deleted, some moved by compaction.
  void Fill() {
    for (int i = 0; i < 40; ++i) {
      ASSERT_THAT(PutFile(path_.get(), Name(i), Content(i)), IsOk());
    }
    for (int i = 0; i < 40; i += 2) {
      ASSERT_THAT(DeleteFile(path_.get(), Name(i)), IsOk());
    }
    ASSERT_THAT(path_->Compact(0.2, nullptr), IsOk());
    for (int i = 40; i < 50; ++i) {
      ASSERT_THAT(PutFile(path_.get(), Name(i), Content(i)), IsOk());
    }
  }

  void ExpectFilled() {
    for (int i = 0; i < 50; ++i) {
      if (i < 40 && i % 2 == 0) {
        EXPECT_EQ(ReasonOf(path_->Stat(Name(i)).status()),
                  ErrorReason::kFileDeleted);
      } else {
        EXPECT_THAT(ReadFile(path_.get(), Name(i)), IsOkAndHolds(Content(i)));
      }
    }
  }

  static std::string Name(int i) { return absl::StrCat("file-", i); }
  static std::string Content(int i) {
    return TestContent(i, i % 7 == 0 ? 600000 : 3000 * i);
  }

  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  std::unique_ptr<Engine> path_;
};

TEST_F(RebuildTest, GivesBackEveryFileAndForgetsNoDeletion) {
  OpenPath();
  Fill();
  const auto before = path_->Stat(Name(41));
  const StorePathStatus status = path_->Status();
  path_.reset();
  int64_t reported = 0;
  const auto report =
      RebuildIndex(options_, &fs_, &clock_, [&](const JobProgress& progress) {
        EXPECT_LE(progress.done_bytes, progress.total_bytes);
        EXPECT_GE(progress.done_bytes, reported);
        reported = progress.done_bytes;
      });
  ASSERT_THAT(report, IsOk());
  EXPECT_GT(reported, 0);
  EXPECT_EQ(report->files, 30);
  EXPECT_EQ(report->tombstones, 20);
  EXPECT_EQ(report->damaged_records, 0);
  EXPECT_EQ(report->missing_content, 0);
  OpenPath();
  ExpectFilled();
  EXPECT_EQ(path_->Status().incarnation, report->incarnation);
  EXPECT_NE(path_->Status().incarnation, status.incarnation);
  EXPECT_EQ(path_->Status().live_bytes, status.live_bytes);
  const auto after = path_->Stat(Name(41));
  ASSERT_THAT(after, IsOk());
  EXPECT_TRUE(before->version == after->version);
  EXPECT_EQ(before->create_unix_seconds, after->create_unix_seconds);
  // And it goes on from there.
  const auto next = PutFile(path_.get(), "next", "1");
  ASSERT_THAT(next, IsOk());
  EXPECT_TRUE(after->version < next->file.version);
  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  ExpectFilled();
}

TEST_F(RebuildTest, WorksWithoutAnyIndex) {
  OpenPath();
  Fill();
  path_.reset();
  for (const std::string& name :
       fs_.FilesUnder(absl::StrCat(kDirectory, "/index"))) {
    ASSERT_THAT(fs_.Remove(name), IsOk());
  }
  const auto opened = OpenStorePath(options_, &fs_, &clock_);
  EXPECT_THAT(opened, StatusIs(absl::StatusCode::kDataLoss,
                               ::testing::HasSubstr("rebuild-index")));
  ASSERT_THAT(RebuildIndex(options_, &fs_, &clock_), IsOk());
  OpenPath();
  ExpectFilled();
}

TEST_F(RebuildTest, NamesWhatIsDamagedAndKeepsTheRest) {
  OpenPath();
  ASSERT_THAT(PutFile(path_.get(), "one", "1"), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "two", TestContent(2, 1000)), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "three", "3"), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "large", TestContent(4, 600000)), IsOk());
  path_.reset();
  std::string shared;
  for (const std::string& name :
       fs_.FilesUnder(absl::StrCat(kDirectory, "/segments"))) {
    if (fs_.Stat(name)->size_bytes < 600000) {
      shared = name;
    } else {
      fs_.TruncateOnDisk(name, 300000);
    }
  }
  const auto content = ReadWholeFile(&fs_, shared, 1 << 20);
  ASSERT_THAT(content, IsOk());
  const size_t at = content->find("two");
  ASSERT_NE(at, std::string::npos);
  fs_.FlipBit(shared, static_cast<int64_t>(at), 0);

  const auto report = RebuildIndex(options_, &fs_, &clock_);
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->files, 3);
  EXPECT_EQ(report->damaged_records, 1);
  EXPECT_EQ(report->missing_content, 1);
  ASSERT_EQ(report->damage.size(), 1u);
  EXPECT_THAT(report->damage[0], ::testing::HasSubstr("segment 1 offset"));
  OpenPath();
  EXPECT_THAT(ReadFile(path_.get(), "one"), IsOkAndHolds("1"));
  EXPECT_THAT(ReadFile(path_.get(), "three"), IsOkAndHolds("3"));
  EXPECT_THAT(path_->Stat("two"), StatusIs(absl::StatusCode::kNotFound));
  // Where it is not, nobody was told that it is gone.
  EXPECT_THAT(path_->Stat("large"), IsOk());
  EXPECT_EQ(ReasonOf(path_->Open("large").status()),
            ErrorReason::kContentNotHere);
}

TEST_F(RebuildTest, KnowsAFileWhoseContentAPowerCutTookAsAnOpeningDoes) {
  OpenPath();
  ASSERT_THAT(PutFile(path_.get(), "large", TestContent(1, 600000),
                      Durability::kCached),
              IsOk());
  ASSERT_THAT(PutFile(path_.get(), "small", "2"), IsOk());
  // The record is durable with what was synced behind it, the content is not.
  fs_.StopAfter(0);
  path_.reset();
  fs_.Crash();
  options_.boot_id = "boot-2";
  OpenPath();
  ASSERT_EQ(ReasonOf(path_->Open("large").status()),
            ErrorReason::kContentNotHere);
  const StorePathStatus before = path_->Status();
  EXPECT_EQ(before.files, 2);
  path_.reset();
  const auto report = RebuildIndex(options_, &fs_, &clock_);
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->files, 2);
  EXPECT_EQ(report->missing_content, 1);
  OpenPath();
  EXPECT_EQ(ReasonOf(path_->Open("large").status()),
            ErrorReason::kContentNotHere);
  EXPECT_THAT(path_->replica()->ListMissing("", 10),
              ::testing::ElementsAre("large"));
  EXPECT_EQ(path_->Status().live_bytes, before.live_bytes);
  EXPECT_EQ(path_->Status().files, 2);
  // It can be moved, counted again and deleted like any other.
  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "small"), IsOkAndHolds("2"));
  EXPECT_THAT(path_->Stat("large"), IsOk());
  ASSERT_THAT(DeleteFile(path_.get(), "large"), IsOk());
}

TEST_F(RebuildTest, RefusesAPathThatIsOpen) {
  OpenPath();
  EXPECT_THAT(RebuildIndex(options_, &fs_, &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(RebuildTest, ACrashAtAnyStepLeavesTheOldIndexOrTheNew) {
  OpenPath();
  Fill();
  path_.reset();
  for (uint64_t steps = 0;; steps += 7) {
    SCOPED_TRACE(absl::StrCat("stopped after ", steps, " changes"));
    fs_.StopAfter(steps);
    const bool stopped =
        !RebuildIndex(options_, &fs_, &clock_).ok() && fs_.stopped();
    fs_.Crash();
    OpenPath();
    ExpectFilled();
    path_.reset();
    if (!stopped || ::testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
