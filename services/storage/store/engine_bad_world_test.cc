// What a store path does on a disk that is full, failing, taken, or somebody
// else's.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/options.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/expected_files.h"
#include "services/storage/store/testing/store_path_test.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::HasSubstr;

constexpr Durability kCached = Durability::kCached;
constexpr Durability kSynced = Durability::kSynced;

class EngineBadWorldTest : public StorePathTest {
 protected:
  // The path refuses to be opened with these options, and the disk is as it
  // was.
  void ExpectRefused(const std::function<void(StorePathOptions*)>& change,
                     absl::StatusCode code, absl::string_view message) {
    StorePathOptions options = options_;
    change(&options);
    const DiskImage before = TakeImage(&fs_);
    EXPECT_THAT(OpenStorePath(options, &fs_, &clock_),
                StatusIs(code, HasSubstr(std::string(message))));
    EXPECT_TRUE(TakeImage(&fs_) == before);
  }
};

TEST_F(EngineBadWorldTest, AFailedSyncOfTheJournalIsFinal) {
  Open();
  ASSERT_THAT(PutAndWait(engine_.get(), "a", "before", kSynced), IsOk());
  Fail("sync:segments/=EIO");
  EXPECT_THAT(PutAndWait(engine_.get(), "b", "lost?", kSynced),
              HasReason(ErrorReason::kWriteFailed));

  // The disk is well again, but what it lost cannot be known.
  for (const Durability durability : {kCached, kSynced}) {
    EXPECT_THAT(PutAndWait(engine_.get(), "c", "x", durability),
                HasReason(ErrorReason::kStorePathReadOnly));
    EXPECT_THAT(DeleteAndWait(engine_.get(), "a", durability),
                HasReason(ErrorReason::kStorePathReadOnly));
  }
  EXPECT_THAT(UploadAndWait(engine_.get(), "d", "x", kCached),
              HasReason(ErrorReason::kStorePathReadOnly));
  EXPECT_THAT(engine_->Writable(1), HasReason(ErrorReason::kStorePathReadOnly));
  const StorePathStatus status = engine_->Status();
  EXPECT_TRUE(status.state == StorePathState::kReadOnly);
  EXPECT_THAT(status.detail, HasSubstr("sync"));
  EXPECT_FALSE(engine_->Numbers().writable);
  EXPECT_EQ(engine_->Numbers().sync_failures, 1u);
  EXPECT_THAT(ReadAll(engine_.get(), "a"), IsOkAndHolds("before"));

  // The next process reads what is really there and works.
  engine_.reset();
  fs_.Crash();
  options_.boot_id = "boot-2";
  Open();
  EXPECT_THAT(ReadAll(engine_.get(), "a"), IsOkAndHolds("before"));
  EXPECT_THAT(PutAndWait(engine_.get(), "c", "x", kSynced), IsOk());
}

// What could not be written still reads back, and no later sync writes it,
// unless it is written again. Nor may its numbers be given to other changes.
TEST_F(EngineBadWorldTest, AfterAFailedSyncARestartTrustsTheDiskAlone) {
  Open();
  const std::string large = MakeContent(1, 2000000);
  ASSERT_THAT(PutAndWait(engine_.get(), "a", "cached", kCached), IsOk());
  ASSERT_THAT(UploadAndWait(engine_.get(), "large", large, kCached), IsOk());
  const uint32_t epoch = engine_->Status().epoch;
  Fail("sync:segments/=EIO");
  EXPECT_THAT(PutAndWait(engine_.get(), "b", "lost?", kSynced),
              HasReason(ErrorReason::kWriteFailed));
  engine_.reset();
  fs_.KillProcess();
  EXPECT_THAT(fs_.Stat(options_.directory + "/SUSPECT"), IsOk());

  Open();
  EXPECT_EQ(engine_->Status().epoch, epoch + 1);
  EXPECT_THAT(fs_.Stat(options_.directory + "/SUSPECT"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadAll(engine_.get(), "a"), IsOkAndHolds("cached"));
  EXPECT_THAT(ReadAll(engine_.get(), "large"), IsOkAndHolds(large));
  ASSERT_THAT(PutAndWait(engine_.get(), "c", "synced", kSynced), IsOk());
  ASSERT_THAT(engine_->replica()->Sync(), IsOk());
  engine_.reset();
  fs_.Crash();

  options_.boot_id = "boot-2";
  Open();
  EXPECT_EQ(engine_->Status().damaged_records, 0);
  EXPECT_THAT(ReadAll(engine_.get(), "a"), IsOkAndHolds("cached"));
  EXPECT_THAT(ReadAll(engine_.get(), "large"), IsOkAndHolds(large));
  EXPECT_THAT(ReadAll(engine_.get(), "c"), IsOkAndHolds("synced"));
}

TEST_F(EngineBadWorldTest, AFailedSyncOfALargeFileIsFinal) {
  Open();
  const std::string content = MakeContent(1, 2000000);
  Fail("sync:seg=EIO");
  EXPECT_FALSE(UploadAndWait(engine_.get(), "a", content, kSynced).ok());
  EXPECT_FALSE(ReadAll(engine_.get(), "a").ok());
  EXPECT_THAT(PutAndWait(engine_.get(), "b", "x", kCached),
              HasReason(ErrorReason::kStorePathReadOnly));
}

TEST_F(EngineBadWorldTest, AFailedWriteOfTheJournalIsFinal) {
  Open();
  Fail("write:segments/=EIO");
  EXPECT_THAT(PutAndWait(engine_.get(), "a", "x", kCached),
              HasReason(ErrorReason::kWriteFailed));
  EXPECT_THAT(PutAndWait(engine_.get(), "b", "x", kCached),
              HasReason(ErrorReason::kStorePathReadOnly));
}

TEST_F(EngineBadWorldTest, AFullDiskRefusesWritesAndTakesThemBackByItself) {
  fs_.SetCapacity(int64_t{12} << 20);
  Open();
  std::map<std::string, std::string> stored;
  // Smaller and smaller ones, so that there is no room for any.
  for (const int64_t bytes : {100000, 8000, 100}) {
    absl::Status full;
    for (int i = 0; full.ok() && i < 1000; ++i) {
      const std::string name = absl::StrCat("file-", bytes, "-", i);
      const std::string content = MakeContent(i + 1, bytes);
      full = PutAndWait(engine_.get(), name, content, kSynced).status();
      if (full.ok()) stored[name] = content;
    }
    EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(full, HasReason(ErrorReason::kDiskFull));
  }
  ASSERT_GT(stored.size(), 20u);
  EXPECT_THAT(
      UploadAndWait(engine_.get(), "large", MakeContent(1, 3000000), kSynced),
      HasReason(ErrorReason::kDiskFull));
  EXPECT_FALSE(ReadAll(engine_.get(), "large").ok());
  // A compaction of the index may give some room back at any moment.
  bool said_to_be_full = engine_->Status().state == StorePathState::kFull;
  for (int i = 0; !said_to_be_full && i < 1000; ++i) {
    const std::string name = absl::StrCat("filler-", i);
    const std::string content = MakeContent(i + 1, 8000);
    if (PutAndWait(engine_.get(), name, content, kSynced).ok()) {
      stored[name] = content;
    }
    said_to_be_full = engine_->Status().state == StorePathState::kFull;
  }
  EXPECT_TRUE(said_to_be_full);

  // Reads and deletes go on.
  const std::string victim = stored.begin()->first;
  EXPECT_THAT(DeleteAndWait(engine_.get(), victim, kSynced), IsOk());
  stored.erase(victim);
  for (const auto& [name, content] : stored) {
    ASSERT_THAT(ReadAll(engine_.get(), name), IsOkAndHolds(content));
  }

  // Room comes back, and writes with it.
  fs_.SetCapacity(int64_t{40} << 20);
  clock_.Advance(absl::Seconds(30));
  EXPECT_THAT(PutAndWait(engine_.get(), "again", "x", kSynced), IsOk());
  EXPECT_THAT(UploadAndWait(engine_.get(), "large again",
                            MakeContent(1, 3000000), kSynced),
              IsOk());
  EXPECT_TRUE(engine_->Status().state == StorePathState::kActive);
  Reopen();
  for (const auto& [name, content] : stored) {
    ASSERT_THAT(ReadAll(engine_.get(), name), IsOkAndHolds(content));
  }
  EXPECT_THAT(ReadAll(engine_.get(), "again"), IsOkAndHolds("x"));
  EXPECT_THAT(engine_->Stat(victim), HasReason(ErrorReason::kFileDeleted));
}

TEST_F(EngineBadWorldTest, DeletesMakeRoomOnAFullDisk) {
  fs_.SetCapacity(int64_t{24} << 20);
  Open();
  int stored = 0;
  while (UploadAndWait(engine_.get(), absl::StrCat("file-", stored),
                       MakeContent(stored + 1, 2000000), kSynced)
             .ok()) {
    ++stored;
  }
  ASSERT_GT(stored, 4);
  for (int i = 0; i < stored; ++i) {
    ASSERT_THAT(DeleteAndWait(engine_.get(), absl::StrCat("file-", i), kSynced),
                IsOk());
  }
  // The background thread removes the files; that takes real time.
  absl::Status written;
  for (int i = 0; i < 1000; ++i) {
    clock_.Advance(absl::Seconds(10));
    written = UploadAndWait(engine_.get(), absl::StrCat("again-", i),
                            MakeContent(1, 2000000), kSynced)
                  .status();
    if (written.ok()) break;
    ASSERT_THAT(written, HasReason(ErrorReason::kDiskFull));
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_THAT(written, IsOk());
}

TEST_F(EngineBadWorldTest, NoSpaceAtAnyWriteOfTheJournalChangesNothing) {
  for (int nth = 1; nth <= 12; ++nth) {
    SCOPED_TRACE(nth);
    engine_.reset();
    options_.directory = absl::StrCat("/disk", nth);
    Open();
    Fail(absl::StrCat("write|create|allocate:segments/=ENOSPC@", nth));
    std::map<std::string, std::string> stored;
    int refused = 0;
    for (int i = 0; i < 20; ++i) {
      const std::string name = absl::StrCat("file-", i);
      const std::string content = MakeContent(i + 1, 120000);
      const absl::Status put =
          PutAndWait(engine_.get(), name, content, i % 2 ? kSynced : kCached)
              .status();
      if (put.ok()) {
        stored[name] = content;
      } else {
        ++refused;
        EXPECT_THAT(put, HasReason(ErrorReason::kDiskFull));
        EXPECT_THAT(engine_->Stat(name), HasReason(ErrorReason::kFileNotFound));
      }
      clock_.Advance(absl::Seconds(5));
    }
    EXPECT_LE(refused, 2);
    engine_->Stop();
    Reopen();
    EXPECT_EQ(engine_->Numbers().files, static_cast<int64_t>(stored.size()));
    for (const auto& [name, content] : stored) {
      ASSERT_THAT(ReadAll(engine_.get(), name), IsOkAndHolds(content));
    }
    fs_.faults().Clear();
  }
}

TEST_F(EngineBadWorldTest, NoRoomForTheNextSegmentIsAnsweredAndPasses) {
  Open();
  Fail("create:segments/=ENOSPC@1+");
  absl::Status full;
  for (int i = 0; full.ok() && i < 20; ++i) {
    full = PutAndWait(engine_.get(), absl::StrCat("file-", i),
                      MakeContent(i + 1, 120000), kCached)
               .status();
  }
  EXPECT_THAT(full, HasReason(ErrorReason::kDiskFull));
  EXPECT_THAT(DeleteAndWait(engine_.get(), "file-0", kSynced),
              HasReason(ErrorReason::kDiskFull));
  EXPECT_THAT(engine_->Stat("file-0"), IsOk());

  fs_.faults().Clear();
  clock_.Advance(absl::Seconds(5));
  EXPECT_THAT(DeleteAndWait(engine_.get(), "file-0", kSynced), IsOk());
  EXPECT_THAT(PutAndWait(engine_.get(), "again", "x", kSynced), IsOk());
}

TEST_F(EngineBadWorldTest, AReadThatTheDiskRefusesIsNamedAndHurtsNoOther) {
  Open();
  ASSERT_THAT(PutAndWait(engine_.get(), "small", "x", kSynced), IsOk());
  const std::string content = MakeContent(1, 2000000);
  ASSERT_THAT(UploadAndWait(engine_.get(), "large", content, kSynced), IsOk());
  Fail("read:.seg=EIO");
  EXPECT_THAT(ReadAll(engine_.get(), "large"),
              HasReason(ErrorReason::kReadFailed));
  EXPECT_THAT(ReadAll(engine_.get(), "large"), IsOkAndHolds(content));
  EXPECT_THAT(ReadAll(engine_.get(), "small"), IsOkAndHolds("x"));
  EXPECT_THAT(PutAndWait(engine_.get(), "b", "y", kSynced), IsOk());
  EXPECT_EQ(engine_->Numbers().read_failures, 1u);
}

TEST_F(EngineBadWorldTest, ARetryThatIsSyncedSyncsALargeContentToo) {
  for (int seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    CrashableFileSystem fs(seed);
    auto opened = OpenStorePath(options_, &fs, &clock_);
    ASSERT_THAT(opened, IsOk());
    // Longer than what is kept in memory, so in a segment of its own, although
    // it is a small file.
    const std::string content = MakeContent(seed, 400000);
    const Uuid request_id = Uuid::Random();
    ASSERT_THAT(UploadAndWait(opened->get(), "a", content, kCached, request_id),
                IsOk());
    const auto known = (*opened)->FindRequest(request_id, kCached);
    ASSERT_THAT(known, IsOk());
    ASSERT_TRUE(known->has_value());
    EXPECT_TRUE((*known)->reached == kCached);

    PutRequest retry = MakePut("b", content, kSynced);
    retry.request_id = request_id;
    const auto replayed = PutAndWait(opened->get(), std::move(retry));
    ASSERT_THAT(replayed, IsOk());
    EXPECT_TRUE(replayed->replayed);
    EXPECT_TRUE(replayed->reached == kSynced);

    fs.StopAfter(0);
    opened->reset();
    fs.Crash();
    StorePathOptions options = options_;
    options.boot_id = "boot-2";
    opened = OpenStorePath(options, &fs, &clock_);
    ASSERT_THAT(opened, IsOk());
    EXPECT_THAT(ReadAll(opened->get(), "a"), IsOkAndHolds(content));
  }
}

TEST_F(EngineBadWorldTest, APathOfSomebodyElseIsRefused) {
  Open();
  ASSERT_THAT(PutAndWait(engine_.get(), "a", "x", kSynced), IsOk());
  engine_->Stop();
  engine_.reset();
  using absl::StatusCode;
  ExpectRefused([](auto* options) { options->cluster_id = Uuid::Random(); },
                StatusCode::kFailedPrecondition, "cluster");
  ExpectRefused([](auto* options) { options->group = "group2"; },
                StatusCode::kFailedPrecondition, "group2");
  ExpectRefused([](auto* options) { options->node_uuid = Uuid::Random(); },
                StatusCode::kFailedPrecondition, "node");
  ExpectRefused([](auto* options) { options->node_number = 4; },
                StatusCode::kFailedPrecondition, "node");
  ExpectRefused([](auto* options) { options->path_index = 1; },
                StatusCode::kFailedPrecondition, "path");
  Open();
  EXPECT_THAT(ReadAll(engine_.get(), "a"), IsOkAndHolds("x"));
}

TEST_F(EngineBadWorldTest, ASecondOpenIsRefusedAndHarmsNothing) {
  Open();
  ASSERT_THAT(PutAndWait(engine_.get(), "a", "x", kSynced), IsOk());
  EXPECT_THAT(OpenStorePath(options_, &fs_, &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(RebuildIndex(options_, &fs_, &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(PutAndWait(engine_.get(), "b", "y", kSynced), IsOk());
  Reopen();
  EXPECT_THAT(ReadAll(engine_.get(), "a"), IsOkAndHolds("x"));
  EXPECT_THAT(ReadAll(engine_.get(), "b"), IsOkAndHolds("y"));
}

TEST_F(EngineBadWorldTest, AFolderWithOtherThingsIsRefused) {
  ASSERT_THAT(fs_.CreateDirectory("/disk"), IsOk());
  ASSERT_THAT(ReplaceFile(&fs_, "/disk/holiday.jpg", "x"), IsOk());
  ExpectRefused([](auto*) {}, absl::StatusCode::kFailedPrecondition, "/disk");
}

TEST_F(EngineBadWorldTest, AfterStopEverythingIsRefused) {
  Open();
  ASSERT_THAT(PutAndWait(engine_.get(), "a", "x", kSynced), IsOk());
  engine_->Stop();
  EXPECT_THAT(PutAndWait(engine_.get(), "b", "x", kSynced),
              HasReason(ErrorReason::kShuttingDown));
  EXPECT_THAT(DeleteAndWait(engine_.get(), "a", kSynced),
              HasReason(ErrorReason::kShuttingDown));
  EXPECT_THAT(engine_->StartUpload(1), HasReason(ErrorReason::kShuttingDown));
  EXPECT_THAT(engine_->Stat("a"), HasReason(ErrorReason::kShuttingDown));
  EXPECT_THAT(engine_->Open("a"), HasReason(ErrorReason::kShuttingDown));
  EXPECT_THAT(engine_->FindRequest(Uuid::Random(), kCached),
              HasReason(ErrorReason::kShuttingDown));
  engine_->Stop();
}

}  // namespace
}  // namespace storage
}  // namespace cairn
