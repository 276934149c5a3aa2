// A store path in a file system in memory: what its callers see. What a crash
// does to it is in engine_crash_test.cc.

#include "services/storage/store/engine.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/checksum/crc32c.h"
#include "lib/io/fault_rules.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kDirectory = "/disk/path";

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() : fs_(1), options_(TestPathOptions(kDirectory)) {
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
  }

  absl::Status OpenPath() {
    path_.reset();
    absl::StatusOr<std::unique_ptr<Engine>> opened =
        OpenStorePath(options_, &fs_, &clock_);
    if (opened.ok()) path_ = *std::move(opened);
    return opened.status();
  }

  // As kill -9 does: the threads end without writing anything.
  void Kill() {
    fs_.StopAfter(0);
    path_.reset();
    fs_.KillProcess();
  }

  void PowerCut() {
    fs_.StopAfter(0);
    path_.reset();
    fs_.Crash();
    options_.boot_id += "+";
  }

  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  std::unique_ptr<Engine> path_;
};

TEST_F(EngineTest, GivesBackWhatWasPut) {
  ASSERT_THAT(OpenPath(), IsOk());
  // Around one block, and more than one in a record.
  const std::vector<size_t> sizes = {0,      1,      1000,  262143,
                                     262144, 262145, 524288};
  for (const size_t size : sizes) {
    const std::string name = absl::StrCat("file-", size);
    const std::string content = TestContent(size, size);
    const auto put = PutFile(path_.get(), name, content);
    ASSERT_THAT(put, IsOk());
    EXPECT_EQ(put->reached, Durability::kSynced);
    EXPECT_EQ(put->file.size_bytes, static_cast<int64_t>(size));
    EXPECT_FALSE(put->replayed);
    EXPECT_THAT(ReadFile(path_.get(), name), IsOkAndHolds(content));
    const auto stat = path_->Stat(name);
    ASSERT_THAT(stat, IsOk());
    EXPECT_EQ(stat->crc32c, Crc32c(content));
    EXPECT_TRUE(stat->version == put->file.version);
    EXPECT_EQ(stat->origin_node, 7u);
  }
  EXPECT_EQ(path_->Status().files, static_cast<int64_t>(sizes.size()));
}

// The record is moved, and the journal synced for another file's sake, while
// the content is not.
TEST(EnginePowerCutTest, AMovedRecordDoesNotVouchForAnUnsyncedContent) {
  const std::string content = TestContent(1, 3 << 20);
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    CrashableFileSystem fs(seed);
    FakeClock clock;
    StorePathOptions options = TestPathOptions(kDirectory);
    ASSERT_THAT(fs.CreateDirectory("/disk"), IsOk());
    ASSERT_THAT(fs.SyncDirectory("/"), IsOk());
    auto path = OpenStorePath(options, &fs, &clock);
    ASSERT_THAT(path, IsOk());
    ASSERT_THAT(PutFile(path->get(), "dead", "x"), IsOk());
    ASSERT_THAT(UploadFile(path->get(), "large", content, Durability::kCached),
                IsOk());
    ASSERT_THAT(DeleteFile(path->get(), "dead", Durability::kCached), IsOk());
    bool moved = false;
    const absl::Status compacted =
        (*path)->Compact(0, [&](const JobProgress& progress) {
          if (moved || progress.done_bytes < progress.total_bytes) return;
          moved = true;
          EXPECT_THAT(PutFile(path->get(), "synced", "x"), IsOk());
          fs.Crash();
        });
    EXPECT_TRUE(moved);
    EXPECT_FALSE(compacted.ok());
    path->reset();
    options.boot_id = "boot-2";
    path = OpenStorePath(options, &fs, &clock);
    ASSERT_THAT(path, IsOk());
    EXPECT_THAT(ReadFile(path->get(), "synced"), IsOk());
    const auto stat = (*path)->Stat("large");
    if (absl::IsNotFound(stat.status())) continue;
    ASSERT_THAT(stat, IsOk());
    if (!(*path)->replica()->ListMissing("", 1).empty()) {
      EXPECT_EQ(ReasonOf(ReadFile(path->get(), "large").status()),
                ErrorReason::kContentNotHere);
      continue;
    }
    EXPECT_THAT(ReadFile(path->get(), "large"), IsOkAndHolds(content));
  }
}

TEST_F(EngineTest, GivesBackWhatWasUploaded) {
  ASSERT_THAT(OpenPath(), IsOk());
  for (const Durability level : {Durability::kCached, Durability::kSynced}) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{262144},
                              size_t{262145}, size_t{1000000}}) {
      const std::string name =
          absl::StrCat("upload-", size, "-", static_cast<int>(level));
      const std::string content = TestContent(size, size);
      const auto put = UploadFile(path_.get(), name, content, level);
      ASSERT_THAT(put, IsOk());
      EXPECT_EQ(put->file.crc32c, Crc32c(content));
      EXPECT_THAT(ReadFile(path_.get(), name), IsOkAndHolds(content));
    }
  }
}

TEST_F(EngineTest, ReadsAnyRange) {
  ASSERT_THAT(OpenPath(), IsOk());
  const std::string content = TestContent(1, 900000);
  ASSERT_THAT(PutFile(path_.get(), "large", content), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "medium", content.substr(0, 400000)),
              IsOk());
  for (const char* name : {"large", "medium"}) {
    const auto file = path_->Open(name);
    ASSERT_THAT(file, IsOk());
    const int64_t size = (*file)->info().size_bytes;
    for (int64_t offset : {int64_t{0}, int64_t{1}, int64_t{262143},
                           int64_t{262144}, int64_t{262145}, size - 1, size}) {
      for (int64_t length :
           {int64_t{0}, int64_t{1}, int64_t{262144}, int64_t{300000}, size}) {
        length = std::min(length, size - offset);
        const auto read = (*file)->Read(offset, length);
        ASSERT_THAT(read, IsOk());
        EXPECT_EQ(std::string(*read), content.substr(offset, length));
      }
    }
  }
}

TEST_F(EngineTest, KeepsEverythingOverACleanRestart) {
  ASSERT_THAT(OpenPath(), IsOk());
  const std::string large = TestContent(2, 700000);
  ASSERT_THAT(PutFile(path_.get(), "small", "hello", Durability::kCached),
              IsOk());
  ASSERT_THAT(PutFile(path_.get(), "large", large, Durability::kCached),
              IsOk());
  ASSERT_THAT(PutFile(path_.get(), "gone", "bye"), IsOk());
  ASSERT_THAT(DeleteFile(path_.get(), "gone"), IsOk());
  const StorePathStatus before = path_->Status();
  path_->Stop();
  PowerCut();  // A clean end leaves nothing that a power cut could take.
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "small"), IsOkAndHolds("hello"));
  EXPECT_THAT(ReadFile(path_.get(), "large"), IsOkAndHolds(large));
  EXPECT_EQ(ReasonOf(path_->Stat("gone").status()), ErrorReason::kFileDeleted);
  const StorePathStatus after = path_->Status();
  EXPECT_EQ(after.files, 2);
  EXPECT_EQ(after.live_bytes, before.live_bytes);
  EXPECT_EQ(after.epoch, before.epoch);
  EXPECT_EQ(after.last_sequence, before.last_sequence);
  EXPECT_EQ(after.incarnation, before.incarnation);
  EXPECT_EQ(path_->Numbers().replayed_records, 0u);
}

TEST_F(EngineTest, ReplaysWhatAKilledProcessLeft) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "a", "hello", Durability::kCached), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "b", "there", Durability::kCached), IsOk());
  ASSERT_THAT(DeleteFile(path_.get(), "a", Durability::kCached), IsOk());
  const StorePathStatus before = path_->Status();
  Kill();
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_EQ(ReasonOf(path_->Stat("a").status()), ErrorReason::kFileDeleted);
  EXPECT_THAT(ReadFile(path_.get(), "b"), IsOkAndHolds("there"));
  const StorePathStatus after = path_->Status();
  EXPECT_EQ(after.epoch, before.epoch);
  EXPECT_EQ(after.last_sequence, before.last_sequence);
  EXPECT_EQ(after.live_bytes, before.live_bytes);
  EXPECT_GE(path_->Numbers().replayed_records, 3u);
}

TEST_F(EngineTest, KeepsSyncedChangesOverAPowerCutAndBeginsANewEpoch) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "a", "hello"), IsOk());
  const std::string large = TestContent(3, 700000);
  ASSERT_THAT(PutFile(path_.get(), "b", large), IsOk());
  const StorePathStatus before = path_->Status();
  PowerCut();
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "a"), IsOkAndHolds("hello"));
  EXPECT_THAT(ReadFile(path_.get(), "b"), IsOkAndHolds(large));
  EXPECT_EQ(path_->Status().epoch, before.epoch + 1);
  EXPECT_EQ(path_->Status().incarnation, before.incarnation);
}

TEST_F(EngineTest, DeletedNamesStayTaken) {
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_EQ(ReasonOf(DeleteFile(path_.get(), "x").status()),
            ErrorReason::kFileNotFound);
  ASSERT_THAT(PutFile(path_.get(), "x", "1"), IsOk());
  EXPECT_THAT(PutFile(path_.get(), "x", "2"),
              StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_THAT(DeleteFile(path_.get(), "x"), IsOk());
  EXPECT_EQ(ReasonOf(DeleteFile(path_.get(), "x").status()),
            ErrorReason::kFileDeleted);
  EXPECT_THAT(PutFile(path_.get(), "x", "3"),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(path_->Open("x"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(EngineTest, RepeatsTheAnswerToARequestId) {
  ASSERT_THAT(OpenPath(), IsOk());
  const Uuid put_id = Uuid::Random();
  const Uuid delete_id = Uuid::Random();
  const auto first =
      PutFile(path_.get(), "n1", "same", Durability::kSynced, put_id);
  ASSERT_THAT(first, IsOk());
  for (int restart = 0; restart < 2; ++restart) {
    const auto again =
        PutFile(path_.get(), "n2", "same", Durability::kSynced, put_id);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->file.name, "n1");
    EXPECT_EQ(again->file.crc32c, first->file.crc32c);
    EXPECT_TRUE(again->file.version == first->file.version);
    EXPECT_EQ(ReasonOf(PutFile(path_.get(), "n3", "other", Durability::kSynced,
                               put_id)
                           .status()),
              ErrorReason::kRequestIdReused);
    EXPECT_THAT(path_->Stat("n2"), StatusIs(absl::StatusCode::kNotFound));
    Kill();
    ASSERT_THAT(OpenPath(), IsOk());
  }
  ASSERT_THAT(DeleteFile(path_.get(), "n1", Durability::kSynced, delete_id),
              IsOk());
  const auto again =
      DeleteFile(path_.get(), "n1", Durability::kSynced, delete_id);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  const auto found = path_->FindRequest(delete_id, Durability::kSynced);
  ASSERT_THAT(found, IsOk());
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->file.name, "n1");

  clock_.Advance(absl::Hours(25));
  const auto expired = path_->FindRequest(delete_id, Durability::kSynced);
  ASSERT_THAT(expired, IsOk());
  EXPECT_FALSE(expired->has_value());
}

TEST_F(EngineTest, OneGroupWithTheSameRequestIdTwiceStoresOnce) {
  ASSERT_THAT(OpenPath(), IsOk());
  const Uuid id = Uuid::Random();
  struct Slot {
    Notification done;
    absl::StatusOr<Committed> result;
  };
  Slot slots[8];
  for (int i = 0; i < 8; ++i) {
    PutRequest put;
    put.request_id = id;
    put.name = absl::StrCat("copy-", i);
    put.content = absl::Cord("content");
    put.crc32c = Crc32c("content");
    path_->Put(std::move(put), [slot = &slots[i]](auto result) {
      slot->result = std::move(result);
      slot->done.Notify();
    });
  }
  for (Slot& slot : slots) {
    slot.done.WaitForNotification();
    ASSERT_THAT(slot.result, IsOk());
    EXPECT_EQ(slot.result->file.name, "copy-0");
  }
  EXPECT_EQ(path_->Status().files, 1);
}

TEST_F(EngineTest, AReaderKeepsADeletedFile) {
  ASSERT_THAT(OpenPath(), IsOk());
  const std::string content = TestContent(4, 700000);
  ASSERT_THAT(PutFile(path_.get(), "large", content), IsOk());
  const auto file = path_->Open("large");
  ASSERT_THAT(file, IsOk());
  ASSERT_THAT(DeleteFile(path_.get(), "large"), IsOk());
  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  const auto read = (*file)->Read(0, 700000);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(std::string(*read), content);
  // And the disk has its room again.
  for (const std::string& name : fs_.FilesUnder(kDirectory)) {
    if (!absl::StrContains(name, ".seg")) continue;
    const auto stat = fs_.Stat(name);
    ASSERT_THAT(stat, IsOk());
    EXPECT_LT(stat->size_bytes, 700000) << name;
  }
}

TEST_F(EngineTest, AnAbandonedUploadLeavesNothing) {
  ASSERT_THAT(OpenPath(), IsOk());
  {
    auto upload = path_->StartUpload(absl::nullopt);
    ASSERT_THAT(upload, IsOk());
    ASSERT_THAT((*upload)->Write(absl::Cord(TestContent(5, 600000))), IsOk());
    EXPECT_EQ(path_->Numbers().uploads, 1);
  }
  EXPECT_EQ(path_->Numbers().uploads, 0);
  EXPECT_TRUE(fs_.FilesUnder(absl::StrCat(kDirectory, "/uploads")).empty());
}

TEST_F(EngineTest, UnfinishedUploadsAreGoneAfterARestart) {
  ASSERT_THAT(OpenPath(), IsOk());
  auto upload = path_->StartUpload(absl::nullopt);
  ASSERT_THAT(upload, IsOk());
  ASSERT_THAT((*upload)->Write(absl::Cord(TestContent(5, 600000))), IsOk());
  fs_.StopAfter(0);
  upload->reset();
  Kill();
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_TRUE(fs_.FilesUnder(absl::StrCat(kDirectory, "/uploads")).empty());
}

TEST_F(EngineTest, FlippedBitsAreNeverServed) {
  ASSERT_THAT(OpenPath(), IsOk());
  const std::string large = TestContent(6, 700000);
  const std::string medium = TestContent(7, 400000);
  ASSERT_THAT(PutFile(path_.get(), "small", "hello"), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "medium", medium), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "large", large), IsOk());
  path_->Stop();
  path_.reset();
  // In every file of content, somewhere behind the header.
  for (const std::string& name :
       fs_.FilesUnder(absl::StrCat(kDirectory, "/segments"))) {
    const auto stat = fs_.Stat(name);
    ASSERT_THAT(stat, IsOk());
    for (int64_t at = 4096; at < stat->size_bytes; at += 4) {
      fs_.FlipBit(name, at, 3);
    }
  }
  ASSERT_THAT(OpenPath(), IsOk());
  for (const char* name : {"small", "medium", "large"}) {
    const auto read = ReadFile(path_.get(), name);
    EXPECT_THAT(read, StatusIs(absl::StatusCode::kDataLoss)) << name;
    EXPECT_EQ(ReasonOf(read.status()), ErrorReason::kContentDamaged);
  }
  EXPECT_GE(path_->Numbers().content_damaged, 3u);
}

TEST_F(EngineTest, RefusesADirectoryOfOthers) {
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_THAT(OpenStorePath(options_, &fs_, &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("another process")));
  path_.reset();
  StorePathOptions other = options_;
  other.path_index = 1;
  EXPECT_THAT(OpenStorePath(other, &fs_, &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("path 0"), HasSubstr("path 1"))));
  other = options_;
  other.cluster_id = Uuid::Random();
  EXPECT_THAT(OpenStorePath(other, &fs_, &clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(other.cluster_id.ToString()),
                             HasSubstr(options_.cluster_id.ToString()))));

  ASSERT_THAT(fs_.CreateDirectory("/disk/photos"), IsOk());
  ASSERT_THAT(fs_.Open("/disk/photos/cat.jpg", OpenMode::kCreate), IsOk());
  other = TestPathOptions("/disk/photos");
  EXPECT_THAT(
      OpenStorePath(other, &fs_, &clock_),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cat.jpg")));
  EXPECT_EQ(fs_.FilesUnder("/disk/photos").size(), 1u);
}

// A repeated upload is answered before its body is read, and may ask for more
// than the first call did.
TEST_F(EngineTest, AnEarlierAnswerIsMadeAsDurableAsItIsWanted) {
  ASSERT_THAT(OpenPath(), IsOk());
  const std::string content = TestContent(1, 3000000);
  const Uuid small = Uuid::Random();
  const Uuid large = Uuid::Random();
  ASSERT_THAT(PutFile(path_.get(), "a", "1", Durability::kCached, small),
              IsOk());
  ASSERT_THAT(UploadFile(path_.get(), "b", content, Durability::kCached, large),
              IsOk());
  // To sync it would have to wait.
  EXPECT_FALSE(path_->TryFindRequest(large, Durability::kSynced).has_value());
  const auto as_it_is = path_->FindRequest(large, Durability::kCached);
  ASSERT_THAT(as_it_is, IsOk());
  EXPECT_EQ(as_it_is->value().reached, Durability::kCached);
  const auto synced = path_->FindRequest(large, Durability::kSynced);
  ASSERT_THAT(synced, IsOk());
  EXPECT_TRUE(synced->value().replayed);
  EXPECT_EQ(synced->value().reached, Durability::kSynced);
  PowerCut();
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "b"), IsOkAndHolds(content));
  EXPECT_THAT(ReadFile(path_.get(), "a"), IsOkAndHolds("1"));

  ASSERT_THAT(PutFile(path_.get(), "c", "2", Durability::kCached), IsOk());
  fs_.FailNextSync(EIO);
  const auto failed = path_->FindRequest(large, Durability::kSynced);
  EXPECT_EQ(ReasonOf(failed.status()), ErrorReason::kWriteFailed);
}

TEST_F(EngineTest, AFailedSyncMakesThePathReadOnlyForGood) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "before", "1"), IsOk());
  FaultRule rule;  // The journal's; RocksDB may sync something just then.
  rule.operations = static_cast<FileOperations>(FileOperation::kSync);
  rule.path_part = "/segments/";
  rule.error = EIO;
  fs_.faults().Add(rule);
  const auto lost = PutFile(path_.get(), "lost", "2");
  EXPECT_THAT(lost, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(lost.status()), ErrorReason::kWriteFailed);
  const auto refused = PutFile(path_.get(), "later", "3");
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kStorePathReadOnly);
  EXPECT_EQ(ReasonOf(path_->Writable(1)), ErrorReason::kStorePathReadOnly);
  EXPECT_EQ(path_->Status().state, StorePathState::kReadOnly);
  EXPECT_FALSE(path_->Status().detail.empty());
  EXPECT_THAT(ReadFile(path_.get(), "before"), IsOkAndHolds("1"));
  EXPECT_THAT(path_->Stat("lost"), StatusIs(absl::StatusCode::kNotFound));
  PowerCut();
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "before"), IsOkAndHolds("1"));
  EXPECT_EQ(path_->Status().state, StorePathState::kActive);
}

TEST_F(EngineTest, APathThatIsMeantToBeReadOnlyServesReadsAndChangesNothing) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "small", "1"), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "large", TestContent(1, 3000000)), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "gone", TestContent(2, 100000)), IsOk());
  ASSERT_THAT(DeleteFile(path_.get(), "gone"), IsOk());
  options_.read_only = true;
  Kill();
  ASSERT_THAT(OpenPath(), IsOk());  // Replays what was not in the index yet.
  const StorePathStatus before = path_->Status();
  EXPECT_EQ(before.state, StorePathState::kReadOnly);
  EXPECT_TRUE(before.read_only_by_configuration);
  EXPECT_THAT(before.detail, HasSubstr("configuration"));

  for (const absl::Status& refused :
       {PutFile(path_.get(), "new", "2").status(),
        DeleteFile(path_.get(), "small").status(), path_->Writable(0),
        path_->StartUpload(absl::nullopt).status(),
        path_->Compact(0, nullptr)}) {
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("configuration")));
    EXPECT_EQ(ReasonOf(refused), ErrorReason::kStorePathReadOnly);
  }
  EXPECT_THAT(ReadFile(path_.get(), "small"), IsOkAndHolds("1"));
  EXPECT_THAT(ReadFile(path_.get(), "large"),
              IsOkAndHolds(TestContent(1, 3000000)));
  EXPECT_EQ(path_->Status().files, 2);
  EXPECT_EQ(path_->Status().last_sequence, before.last_sequence);
  EXPECT_EQ(path_->Status().dead_bytes, before.dead_bytes);

  options_.read_only = false;
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_EQ(path_->Status().state, StorePathState::kActive);
  EXPECT_THAT(DeleteFile(path_.get(), "small"), IsOk());
}

TEST_F(EngineTest, AFullDiskRefusesWritesAndServesTheRest) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "a", TestContent(1, 100000)), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "big", TestContent(2, 3000000)), IsOk());
  const auto space = fs_.Space("/disk");
  ASSERT_THAT(space, IsOk());
  const int64_t used = space->total_bytes - space->available_bytes;
  fs_.SetCapacity(used + 64 * 1024);
  const auto refused = PutFile(path_.get(), "b", TestContent(3, 200000));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kDiskFull);
  const auto upload = UploadFile(path_.get(), "c", TestContent(4, 2000000),
                                 Durability::kCached);
  EXPECT_EQ(ReasonOf(upload.status()), ErrorReason::kDiskFull);
  EXPECT_EQ(path_->Status().state, StorePathState::kFull);
  EXPECT_THAT(ReadFile(path_.get(), "a"), IsOkAndHolds(TestContent(1, 100000)));
  EXPECT_THAT(path_->Stat("b"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(DeleteFile(path_.get(), "big"), IsOk());
  ASSERT_THAT(path_->Compact(0.1, nullptr), IsOk());
  clock_.Advance(absl::Seconds(5));
  EXPECT_THAT(PutFile(path_.get(), "b", TestContent(3, 200000)), IsOk());
  EXPECT_EQ(path_->Status().state, StorePathState::kActive);
}

TEST_F(EngineTest, KeepsTheReserveFree) {
  fs_.SetCapacity(64 << 20);
  options_.reserve_bytes = 60 << 20;
  ASSERT_THAT(OpenPath(), IsOk());
  EXPECT_THAT(PutFile(path_.get(), "small", "1"), IsOk());
  EXPECT_EQ(ReasonOf(path_->Writable(8 << 20)), ErrorReason::kDiskFull);
  EXPECT_EQ(ReasonOf(path_->StartUpload(8 << 20).status()),
            ErrorReason::kDiskFull);
  // An upload of unknown size meets it on its way.
  auto upload = path_->StartUpload(absl::nullopt);
  ASSERT_THAT(upload, IsOk());
  absl::Status status;
  for (int i = 0; i < 32 && status.ok(); ++i) {
    status = (*upload)->Write(absl::Cord(TestContent(1, 1 << 20)));
  }
  EXPECT_EQ(ReasonOf(status), ErrorReason::kDiskFull);
}

TEST_F(EngineTest, AnswersShuttingDownAfterStop) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "a", "1"), IsOk());
  path_->Stop();
  EXPECT_EQ(ReasonOf(PutFile(path_.get(), "b", "2").status()),
            ErrorReason::kShuttingDown);
  EXPECT_EQ(ReasonOf(path_->Stat("a").status()), ErrorReason::kShuttingDown);
  EXPECT_EQ(ReasonOf(path_->Writable(1)), ErrorReason::kShuttingDown);
  EXPECT_EQ(ReasonOf(path_->Compact(0, nullptr)), ErrorReason::kShuttingDown);
}

TEST_F(EngineTest, CompactionKeepsWhatLivesAndGivesBackTheRest) {
  ASSERT_THAT(OpenPath(), IsOk());
  for (int i = 0; i < 60; ++i) {
    ASSERT_THAT(PutFile(path_.get(), absl::StrCat("f", i),
                        TestContent(i, 50000 + i), Durability::kCached),
                IsOk());
  }
  const int64_t dead_at_first = path_->Status().dead_bytes;
  for (int i = 0; i < 60; ++i) {
    if (i % 5 == 0) continue;
    ASSERT_THAT(
        DeleteFile(path_.get(), absl::StrCat("f", i), Durability::kCached),
        IsOk());
  }
  ASSERT_THAT(path_->Compact(0.3, nullptr), IsOk());
  const StorePathStatus status = path_->Status();
  EXPECT_EQ(status.files, 12);
  EXPECT_LT(status.dead_bytes, dead_at_first + 50000 * 10);
  for (int restart = 0; restart < 2; ++restart) {
    for (int i = 0; i < 60; ++i) {
      const std::string name = absl::StrCat("f", i);
      if (i % 5 == 0) {
        EXPECT_THAT(ReadFile(path_.get(), name),
                    IsOkAndHolds(TestContent(i, 50000 + i)));
      } else {
        EXPECT_EQ(ReasonOf(path_->Stat(name).status()),
                  ErrorReason::kFileDeleted);
      }
    }
    EXPECT_EQ(path_->Status().live_bytes, status.live_bytes);
    PowerCut();
    ASSERT_THAT(OpenPath(), IsOk());
  }
}

TEST_F(EngineTest, ForgetsTombstonesWhenNothingCanBringTheFileBack) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "gone", TestContent(1, 1000)), IsOk());
  ASSERT_THAT(DeleteFile(path_.get(), "gone"), IsOk());
  clock_.Advance(absl::Hours(23));
  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  EXPECT_EQ(path_->Numbers().tombstones, 1);
  clock_.Advance(absl::Hours(3));
  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  EXPECT_EQ(path_->Numbers().tombstones, 0);
  EXPECT_EQ(ReasonOf(path_->Stat("gone").status()), ErrorReason::kFileNotFound);
}

TEST_F(EngineTest, VersionsAndCreateTimesNeverGoBack) {
  ASSERT_THAT(OpenPath(), IsOk());
  const auto first = PutFile(path_.get(), "a", "1");
  ASSERT_THAT(first, IsOk());
  clock_.JumpTo(absl::FromUnixSeconds(1000));
  const auto second = PutFile(path_.get(), "b", "2");
  ASSERT_THAT(second, IsOk());
  EXPECT_TRUE(first->file.version < second->file.version);
  Kill();
  ASSERT_THAT(OpenPath(), IsOk());
  const auto third = PutFile(path_.get(), "c", "3");
  ASSERT_THAT(third, IsOk());
  EXPECT_TRUE(second->file.version < third->file.version);
  EXPECT_EQ(path_->newest_create_unix_seconds(), 1767225600);
}

TEST_F(EngineTest, AFullQueueRefusesAtOnce) {
  options_.queue_entries_max = 4;
  ASSERT_THAT(OpenPath(), IsOk());
  Mutex mu;
  int answered = 0;
  int refused = 0;
  CondVar changed;
  constexpr int kPuts = 2000;
  for (int i = 0; i < kPuts; ++i) {
    PutRequest put;
    put.name = absl::StrCat("n", i);
    path_->Put(std::move(put), [&](absl::StatusOr<Committed> result) {
      MutexLock lock(&mu);
      ++answered;
      if (ReasonOf(result.status()) == ErrorReason::kOverloaded) ++refused;
      changed.SignalAll();
    });
  }
  MutexLock lock(&mu);
  while (answered < kPuts) changed.Wait(&mu);
  EXPECT_EQ(path_->Status().files, kPuts - refused);
}

TEST_F(EngineTest, TryCallsAnswerFromMemory) {
  ASSERT_THAT(OpenPath(), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "a", "hello"), IsOk());
  const auto stat = path_->TryStat("a");
  ASSERT_TRUE(stat.has_value());
  EXPECT_THAT(*stat, IsOk());
  auto file = path_->TryOpen("a");
  ASSERT_TRUE(file.has_value());
  ASSERT_THAT(*file, IsOk());
  const auto missing = path_->TryStat("b");
  ASSERT_TRUE(missing.has_value());
  EXPECT_THAT(*missing, StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace storage
}  // namespace cairn
