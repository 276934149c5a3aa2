// Uploads in parts, on a store path in a file system in memory: what their
// callers see, and what the next process finds. Crashes at every step are in
// upload_sessions_crash_test.cc.

#include "services/storage/core/upload_sessions.h"

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
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
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kDirectory = "/disk/path";

MATCHER_P2(HasRange, begin, end, "") {
  return arg.begin == begin && arg.end == end;
}

class UploadSessionsTest : public ::testing::Test {
 protected:
  UploadSessionsTest() : fs_(1), options_(TestPathOptions(kDirectory)) {
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
    OpenPath();
  }

  void OpenPath() {
    path_.reset();
    absl::StatusOr<std::unique_ptr<Engine>> opened =
        OpenStorePath(options_, &fs_, &clock_);
    ASSERT_THAT(opened, IsOk());
    path_ = *std::move(opened);
  }
  void Restart() { OpenPath(); }
  void Kill() {
    fs_.KillProcess();
    OpenPath();
  }
  void PowerCut() {
    fs_.Crash();
    path_.reset();
    options_.boot_id += "+";
    OpenPath();
  }

  UploadSessions* uploads() { return path_->uploads(); }

  Uuid Begin(absl::optional<int64_t> size) {
    UploadSessionSpec spec;
    spec.size_bytes = size;
    spec.extension = "bin";
    const Uuid id = Uuid::Random();
    EXPECT_THAT(uploads()->Create(id, spec), IsOk());
    return id;
  }

  absl::Status Write(const Uuid& id, int64_t offset, absl::string_view data) {
    return WriteUploadPart(path_.get(), id, offset, data);
  }

  // A round of the background thread, which removes what has expired.
  void RunBackground() {
    ASSERT_THAT(path_->Compact(2, [](const JobProgress&) {}), IsOk());
  }

  std::vector<std::string> LeftInUploads() {
    return fs_.FilesUnder(absl::StrCat(kDirectory, "/uploads"));
  }

  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  std::unique_ptr<Engine> path_;
};

TEST_F(UploadSessionsTest, MakesAFileOfPartsInAnyOrder) {
  const std::string content = TestContent(1, 5 * kBlockBytes + 1234);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  ASSERT_THAT(Write(id, 4 * kBlockBytes, content.substr(4 * kBlockBytes)),
              IsOk());
  ASSERT_THAT(Write(id, 0, content.substr(0, 2 * kBlockBytes)), IsOk());
  auto info = uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->spec.extension, "bin");
  EXPECT_THAT(info->durable,
              ElementsAre(HasRange(0, 2 * kBlockBytes),
                          HasRange(4 * kBlockBytes,
                                   static_cast<int64_t>(content.size()))));
  EXPECT_THAT(info->written, IsEmpty());

  const absl::Status early =
      FinishUploadSession(path_.get(), id, "file").status();
  EXPECT_THAT(early, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(early), ErrorReason::kUploadIncomplete);
  EXPECT_EQ(MetadataOf(early)["missing_offset"], absl::StrCat(2 * kBlockBytes));

  ASSERT_THAT(Write(id, 2 * kBlockBytes,
                    content.substr(2 * kBlockBytes, 2 * kBlockBytes)),
              IsOk());
  const auto finished = FinishUploadSession(path_.get(), id, "file");
  ASSERT_THAT(finished, IsOk());
  EXPECT_EQ(finished->file.size_bytes, static_cast<int64_t>(content.size()));
  EXPECT_EQ(finished->file.crc32c, Crc32c(content));
  EXPECT_EQ(finished->reached, Durability::kSynced);
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
  EXPECT_THAT(LeftInUploads(), IsEmpty());
  EXPECT_EQ(ReasonOf(uploads()->Query(id).status()),
            ErrorReason::kUploadNotFound);
  EXPECT_EQ(path_->Numbers().open_uploads, 0);
  EXPECT_EQ(path_->Numbers().open_upload_bytes, 0);
  PowerCut();
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, MakesFilesOfAnySize) {
  const std::vector<int64_t> sizes = {0,
                                      1,
                                      kBlockBytes - 1,
                                      kBlockBytes,
                                      kBlockBytes + 1,
                                      2 * kBlockBytes,
                                      3 * kBlockBytes + 7};
  for (const bool known : {true, false}) {
    for (const int64_t size : sizes) {
      const std::string name = absl::StrCat("file-", size, "-", known);
      SCOPED_TRACE(name);
      const std::string content =
          TestContent(static_cast<uint64_t>(size), static_cast<size_t>(size));
      const Uuid id = Begin(known ? absl::optional<int64_t>(size)
                                  : absl::optional<int64_t>());
      ASSERT_THAT(Write(id, 0, content), IsOk());
      Restart();
      ASSERT_THAT(FinishUploadSession(path_.get(), id, name), IsOk());
      EXPECT_THAT(ReadFile(path_.get(), name), IsOkAndHolds(content));
    }
  }
  EXPECT_THAT(LeftInUploads(), IsEmpty());
}

TEST_F(UploadSessionsTest, KeepsWhatItSaidToHaveThroughAPowerCut) {
  const std::string content = TestContent(2, 4 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  ASSERT_THAT(Write(id, kBlockBytes, content.substr(kBlockBytes, kBlockBytes)),
              IsOk());
  PowerCut();
  auto info = uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->spec.size_bytes, static_cast<int64_t>(content.size()));
  EXPECT_THAT(info->durable,
              ElementsAre(HasRange(kBlockBytes, 2 * kBlockBytes)));
  ASSERT_THAT(Write(id, 0, content), IsOk());
  ASSERT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, TellsWhatIsOnlyWritten) {
  const std::string content = TestContent(3, 2 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  auto part = uploads()->OpenPart(id, 0, absl::nullopt);
  ASSERT_THAT(part, IsOk());
  ASSERT_THAT((*part)->Write(absl::Cord(content.substr(0, kBlockBytes + 5))),
              IsOk());
  auto info = uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->durable, IsEmpty());
  EXPECT_THAT(info->written, ElementsAre(HasRange(0, kBlockBytes)));
  // It breaks off: whole blocks stay.
  ASSERT_THAT((*part)->Save(), IsOk());
  part->reset();
  info = uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->durable, ElementsAre(HasRange(0, kBlockBytes)));
  EXPECT_THAT(info->written, IsEmpty());
}

TEST_F(UploadSessionsTest, SkipsWhatIsThereAndRefusesOtherBytes) {
  std::string content = TestContent(4, 2 * kBlockBytes + 10);
  const Uuid id = Begin(absl::nullopt);
  ASSERT_THAT(Write(id, 0, content), IsOk());
  const uint64_t written = path_->Numbers().dedicated_bytes;
  ASSERT_THAT(Write(id, 0, content), IsOk());
  EXPECT_EQ(path_->Numbers().dedicated_bytes, written);

  for (const size_t at :
       {size_t{100}, size_t{kBlockBytes}, content.size() - 1}) {
    std::string other = content;
    other[at] = static_cast<char>(other[at] + 1);
    const absl::Status refused = Write(id, 0, other);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_EQ(ReasonOf(refused), ErrorReason::kUploadContentDiffers);
  }
  // Shorter and longer ones are others, too.
  EXPECT_EQ(ReasonOf(Write(id, 0, content.substr(0, content.size() - 1))),
            ErrorReason::kSizeMismatch);
  EXPECT_EQ(ReasonOf(Write(id, 0, content + "x")), ErrorReason::kSizeMismatch);
  ASSERT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, RefusesPartsThatDoNotFit) {
  const Uuid id = Begin(3 * kBlockBytes + 1);
  EXPECT_EQ(ReasonOf(Write(id, 17, "x")), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(Write(id, -kBlockBytes, "x")), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(Write(id, 4 * kBlockBytes, "x")),
            ErrorReason::kSizeMismatch);
  EXPECT_EQ(ReasonOf(Write(id, 3 * kBlockBytes, "xy")),
            ErrorReason::kSizeMismatch);
  // It ends inside a block, and the file does not end there.
  EXPECT_EQ(ReasonOf(Write(id, kBlockBytes, "x")), ErrorReason::kSizeMismatch);
  auto info = uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->durable, IsEmpty());
  EXPECT_EQ(ReasonOf(uploads()->Query(Uuid::Random()).status()),
            ErrorReason::kUploadNotFound);

  // The end of a file whose size was not known lies behind all that is there.
  const Uuid open = Begin(absl::nullopt);
  ASSERT_THAT(Write(open, 2 * kBlockBytes, TestContent(1, kBlockBytes)),
              IsOk());
  EXPECT_EQ(ReasonOf(Write(open, kBlockBytes, "x")),
            ErrorReason::kSizeMismatch);
  EXPECT_EQ(ReasonOf(Write(open, 0, "")), ErrorReason::kUnspecified);
}

TEST_F(UploadSessionsTest, LetsOneWriteToARangeAtATime) {
  const std::string content = TestContent(5, 4 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  auto first = uploads()->OpenPart(id, 0, 2 * kBlockBytes);
  ASSERT_THAT(first, IsOk());
  for (const int64_t offset : {int64_t{0}, kBlockBytes}) {
    const absl::Status second =
        uploads()->OpenPart(id, offset, kBlockBytes).status();
    EXPECT_THAT(second, StatusIs(absl::StatusCode::kAborted));
    EXPECT_EQ(ReasonOf(second), ErrorReason::kUploadRangeBusy);
  }
  auto beside = uploads()->OpenPart(id, 2 * kBlockBytes, absl::nullopt);
  ASSERT_THAT(beside, IsOk());
  EXPECT_EQ(ReasonOf(uploads()->OpenPart(id, 3 * kBlockBytes, 1).status()),
            ErrorReason::kUploadRangeBusy);
  EXPECT_EQ(ReasonOf(uploads()->OpenFinish(id, absl::nullopt).status()),
            ErrorReason::kUploadRangeBusy);
  // A part keeps to its range.
  EXPECT_EQ(ReasonOf((*first)->Write(
                absl::Cord(content.substr(0, 2 * kBlockBytes + 1)))),
            ErrorReason::kSizeMismatch);
  first->reset();
  beside->reset();
  ASSERT_THAT(Write(id, 0, content), IsOk());

  auto complete = uploads()->OpenFinish(id, absl::nullopt);
  ASSERT_THAT(complete, IsOk());
  EXPECT_EQ(ReasonOf(uploads()->OpenPart(id, 0, 1).status()),
            ErrorReason::kUploadRangeBusy);
  EXPECT_EQ(ReasonOf(uploads()->OpenFinish(id, absl::nullopt).status()),
            ErrorReason::kUploadRangeBusy);
  EXPECT_EQ(ReasonOf(uploads()->Abort(id)), ErrorReason::kUploadRangeBusy);
  complete->reset();
  EXPECT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
}

TEST_F(UploadSessionsTest, TakesPartsFromManyThreads) {
  constexpr int kThreads = 6;
  constexpr int kPartsEach = 3;
  constexpr int64_t kPartBytes = 2 * kBlockBytes;
  const std::string content =
      TestContent(15, kThreads * kPartsEach * kPartBytes);
  const Uuid id = Begin(absl::nullopt);
  std::atomic<int> writing{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPartsEach; ++i) {
        const int64_t offset = (i * kThreads + t) * kPartBytes;
        EXPECT_THAT(Write(id, offset,
                          absl::string_view(content).substr(
                              static_cast<size_t>(offset), kPartBytes)),
                    IsOk());
      }
      --writing;
    });
  }
  while (writing > 0) {
    EXPECT_THAT(uploads()->Query(id), IsOk());
    EXPECT_EQ(uploads()->List().size(), 1u);
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  PowerCut();
  EXPECT_EQ(path_->Numbers().open_upload_bytes,
            static_cast<int64_t>(content.size()));
  ASSERT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, FinishesOnlyWhatHasTheChecksum) {
  const std::string content = TestContent(6, kBlockBytes + 3);
  UploadSessionSpec spec;
  spec.crc32c = Crc32c(content);
  const Uuid right = Uuid::Random();
  ASSERT_THAT(uploads()->Create(right, spec), IsOk());
  ASSERT_THAT(Write(right, 0, content), IsOk());
  EXPECT_EQ(ReasonOf(uploads()->OpenFinish(right, 7).status()),
            ErrorReason::kChecksumMismatch);
  spec.crc32c = 8;
  const Uuid wrong = Uuid::Random();
  ASSERT_THAT(uploads()->Create(wrong, spec), IsOk());
  ASSERT_THAT(Write(wrong, 0, content), IsOk());
  Restart();
  EXPECT_THAT(uploads()->OpenFinish(wrong, absl::nullopt).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(uploads()->OpenFinish(right, Crc32c(content)), IsOk());
}

TEST_F(UploadSessionsTest, FinishesOncePerRequestId) {
  const std::string content = TestContent(7, 2 * kBlockBytes);
  for (const size_t size : {size_t{100}, content.size()}) {
    const Uuid id = Begin(absl::nullopt);
    const Uuid request = Uuid::Random();
    ASSERT_THAT(Write(id, 0, content.substr(0, size)), IsOk());
    const std::string name = absl::StrCat("file-", size);
    const auto first = FinishUploadSession(path_.get(), id, name, request);
    ASSERT_THAT(first, IsOk());
    PowerCut();
    const auto found = path_->FindRequest(request, Durability::kSynced);
    ASSERT_THAT(found, IsOk());
    ASSERT_TRUE(found->has_value());
    EXPECT_EQ((*found)->file.name, name);

    // A second upload under the same request makes no second file.
    const Uuid again = Begin(absl::nullopt);
    ASSERT_THAT(Write(again, 0, content.substr(0, size)), IsOk());
    const auto second =
        FinishUploadSession(path_.get(), again, name + "-again", request);
    ASSERT_THAT(second, IsOk());
    EXPECT_TRUE(second->replayed);
    EXPECT_EQ(second->file.name, name);
    EXPECT_THAT(LeftInUploads(), IsEmpty());
  }
  EXPECT_EQ(path_->Status().files, 2);
}

TEST_F(UploadSessionsTest, AbortLeavesNothing) {
  const std::string content = TestContent(8, 2 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  auto part = uploads()->OpenPart(id, 0, absl::nullopt);
  ASSERT_THAT(part, IsOk());
  ASSERT_THAT((*part)->Write(absl::Cord(content.substr(0, kBlockBytes))),
              IsOk());
  ASSERT_THAT(uploads()->Abort(id), IsOk());
  EXPECT_THAT(LeftInUploads(), IsEmpty());
  EXPECT_EQ(ReasonOf((*part)->Write(absl::Cord(content.substr(kBlockBytes)))),
            ErrorReason::kUploadNotFound);
  part->reset();
  EXPECT_EQ(ReasonOf(uploads()->Abort(id)), ErrorReason::kUploadNotFound);
  EXPECT_EQ(path_->Numbers().open_upload_bytes, 0);
  Restart();
  EXPECT_EQ(ReasonOf(uploads()->Query(id).status()),
            ErrorReason::kUploadNotFound);
}

TEST_F(UploadSessionsTest, ExpiresWhenNobodyWrites) {
  options_.upload_lifetime = absl::Hours(24);
  Restart();
  const Uuid idle = Begin(absl::nullopt);
  const Uuid busy = Begin(absl::nullopt);
  const std::string content = TestContent(9, kBlockBytes);
  clock_.Advance(absl::Hours(20));
  ASSERT_THAT(Write(busy, 0, content), IsOk());
  Kill();
  EXPECT_EQ(uploads()->Query(busy)->expire_time,
            clock_.Now() + absl::Hours(24));
  clock_.Advance(absl::Hours(4) + absl::Seconds(1));
  RunBackground();
  EXPECT_EQ(ReasonOf(uploads()->Query(idle).status()),
            ErrorReason::kUploadNotFound);
  EXPECT_THAT(uploads()->Query(busy), IsOk());
  EXPECT_EQ(LeftInUploads().size(), 2u);

  // Not while somebody is writing.
  auto part = uploads()->OpenPart(busy, kBlockBytes, absl::nullopt);
  ASSERT_THAT(part, IsOk());
  clock_.Advance(absl::Hours(48));
  RunBackground();
  EXPECT_THAT(uploads()->Query(busy), IsOk());
  part->reset();
  RunBackground();
  EXPECT_EQ(ReasonOf(uploads()->Query(busy).status()),
            ErrorReason::kUploadNotFound);
  EXPECT_THAT(LeftInUploads(), IsEmpty());
}

TEST_F(UploadSessionsTest, BoundsWhatIsOpen) {
  options_.uploads_open_max = 3;
  options_.upload_bytes_open_max = 10 * kBlockBytes;
  Restart();
  const Uuid first = Begin(6 * kBlockBytes);
  const Uuid second = Begin(absl::nullopt);
  UploadSessionSpec spec;
  spec.size_bytes = 5 * kBlockBytes;
  absl::Status refused = uploads()->Create(Uuid::Random(), spec);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kTooManyUploads);
  // What grows is bounded as well.
  EXPECT_EQ(ReasonOf(Write(second, 0, TestContent(1, 5 * kBlockBytes))),
            ErrorReason::kTooManyUploads);
  EXPECT_EQ(path_->Numbers().open_upload_bytes, 10 * kBlockBytes);
  spec.size_bytes = 0;
  const Uuid third = Uuid::Random();
  ASSERT_THAT(uploads()->Create(third, spec), IsOk());
  EXPECT_EQ(ReasonOf(uploads()->Create(Uuid::Random(), spec)),
            ErrorReason::kTooManyUploads);
  Kill();
  EXPECT_EQ(path_->Numbers().open_uploads, 3);
  EXPECT_EQ(ReasonOf(uploads()->Create(Uuid::Random(), spec)),
            ErrorReason::kTooManyUploads);
  ASSERT_THAT(uploads()->Abort(first), IsOk());
  EXPECT_THAT(uploads()->Create(Uuid::Random(), spec), IsOk());
  EXPECT_EQ(uploads()->List().size(), 3u);
}

TEST_F(UploadSessionsTest, AFullDiskRefusesAndLetsItGoOn) {
  const std::string content = TestContent(10, 4 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  FaultRule rule;
  rule.operations = static_cast<FileOperations>(FileOperation::kWrite);
  rule.path_part = "/uploads/";
  rule.nth = 2;
  rule.error = ENOSPC;
  fs_.faults().Add(rule);
  const absl::Status refused = Write(id, 0, content);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kDiskFull);
  fs_.faults().Clear();
  clock_.Advance(absl::Minutes(1));
  ASSERT_THAT(Write(id, 0, content), IsOk());
  ASSERT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, GoesOnAfterTheCommitWasRefused) {
  const std::string content = TestContent(11, 4 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  ASSERT_THAT(Write(id, 0, content), IsOk());
  // No room for the record: the segment is in segments/ by then.
  FaultRule rule;
  rule.operations = static_cast<FileOperations>(FileOperation::kWrite);
  rule.path_part = "/segments/";
  rule.times = FaultRule::kForever;
  rule.error = ENOSPC;
  fs_.faults().Add(rule);
  const absl::Status refused =
      FinishUploadSession(path_.get(), id, "file").status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kDiskFull);
  fs_.faults().Clear();
  clock_.Advance(absl::Minutes(1));
  auto info = uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->durable, ElementsAre(HasRange(0, 4 * kBlockBytes)));
  EXPECT_EQ(LeftInUploads().size(), 2u);
  PowerCut();
  EXPECT_THAT(uploads()->Query(id), IsOk());
  ASSERT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, AFailedSyncIsFinalForThePathAndNotForTheUpload) {
  const std::string content = TestContent(12, 4 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  ASSERT_THAT(Write(id, 0, content.substr(0, kBlockBytes)), IsOk());
  fs_.FailNextSync(EIO);
  const absl::Status failed =
      Write(id, kBlockBytes, content.substr(kBlockBytes, kBlockBytes));
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(failed), ErrorReason::kWriteFailed);
  EXPECT_EQ(ReasonOf(Write(id, 2 * kBlockBytes, "x")),
            ErrorReason::kStorePathReadOnly);
  PowerCut();
  auto info = uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->durable, ElementsAre(HasRange(0, kBlockBytes)));
  ASSERT_THAT(Write(id, kBlockBytes, content.substr(kBlockBytes)), IsOk());
  ASSERT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, GoesOnUnderANewIndex) {
  const std::string content = TestContent(13, 4 * kBlockBytes);
  const Uuid id = Begin(static_cast<int64_t>(content.size()));
  ASSERT_THAT(Write(id, 0, content.substr(0, kBlockBytes)), IsOk());
  ASSERT_THAT(PutFile(path_.get(), "small", "content"), IsOk());
  path_.reset();
  ASSERT_THAT(RebuildIndex(options_, &fs_, &clock_), IsOk());
  OpenPath();
  ASSERT_THAT(Write(id, kBlockBytes, content.substr(kBlockBytes)), IsOk());
  ASSERT_THAT(FinishUploadSession(path_.get(), id, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
  EXPECT_THAT(ReadFile(path_.get(), "small"), IsOkAndHolds("content"));
  path_.reset();
  ASSERT_THAT(RebuildIndex(options_, &fs_, &clock_), IsOk());
  OpenPath();
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content));
}

TEST_F(UploadSessionsTest, LosesOnlyWhatIsDamaged) {
  const std::string content = TestContent(14, 3 * kBlockBytes);
  const Uuid damaged = Begin(absl::nullopt);
  const Uuid torn = Begin(absl::nullopt);
  ASSERT_THAT(Write(damaged, 0, content), IsOk());
  ASSERT_THAT(Write(torn, 0, content), IsOk());
  ASSERT_THAT(Write(torn, 3 * kBlockBytes, "end"), IsOk());
  path_.reset();
  std::vector<std::string> journals;
  std::vector<std::string> segments;
  for (const std::string& file : LeftInUploads()) {
    (absl::EndsWith(file, ".upl") ? journals : segments).push_back(file);
  }
  ASSERT_EQ(journals.size(), 2u);
  ASSERT_EQ(segments.size(), 2u);
  // The first record of one; the last record of the other.
  fs_.FlipBit(journals[0], 60, 3);
  const auto size = fs_.Stat(journals[1]);
  ASSERT_THAT(size, IsOk());
  fs_.FlipBit(journals[1], size->size_bytes - 1, 3);
  OpenPath();
  EXPECT_EQ(ReasonOf(uploads()->Query(damaged).status()),
            ErrorReason::kUploadNotFound);
  auto info = uploads()->Query(torn);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->durable, ElementsAre(HasRange(0, 3 * kBlockBytes)));
  EXPECT_EQ(LeftInUploads().size(), 2u);
  ASSERT_THAT(Write(torn, 3 * kBlockBytes, "end"), IsOk());

  // A segment that is shorter than was synced.
  path_.reset();
  fs_.TruncateOnDisk(segments[1], 4096 + 2 * kBlockBytes + 5);
  OpenPath();
  info = uploads()->Query(torn);
  ASSERT_THAT(info, IsOk());
  EXPECT_THAT(info->durable, ElementsAre(HasRange(0, 2 * kBlockBytes)));
  ASSERT_THAT(
      Write(torn, 2 * kBlockBytes, content.substr(2 * kBlockBytes) + "end"),
      IsOk());
  ASSERT_THAT(FinishUploadSession(path_.get(), torn, "file"), IsOk());
  EXPECT_THAT(ReadFile(path_.get(), "file"), IsOkAndHolds(content + "end"));
}

}  // namespace
}  // namespace storage
}  // namespace cairn
