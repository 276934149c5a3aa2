// Appenders in a store path: what their callers see of appends, modifications
// and truncations, and that the pieces which these leave are read, moved,
// merged and found again. What a crash does to them is in engine_crash_test.cc.

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
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
constexpr int64_t kMiB = 1 << 20;

class EngineAppenderTest : public ::testing::Test {
 protected:
  EngineAppenderTest() : fs_(1), options_(TestPathOptions(kDirectory)) {
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
    Open();
  }

  void Open() {
    path_.reset();
    absl::StatusOr<std::unique_ptr<Engine>> opened =
        OpenStorePath(options_, &fs_, &clock_);
    CAIRN_CHECK_OK(opened.status());
    path_ = *std::move(opened);
  }

  void PowerCut() {
    fs_.Crash();
    path_.reset();
    options_.boot_id += "+";
    Open();
  }

  void Rebuild() {
    path_.reset();
    const auto report = RebuildIndex(options_, &fs_, &clock_);
    ASSERT_THAT(report, IsOk());
    EXPECT_EQ(report->damaged_records, 0);
    EXPECT_EQ(report->missing_content, 0);
    Open();
  }

  // Does the update, which must succeed, and the same to `content`.
  void Do(UpdateRequest request, std::string* content) {
    const std::string data(request.content);
    switch (request.kind) {
      case UpdateRequest::Kind::kAppend:
        *content += data;
        break;
      case UpdateRequest::Kind::kModify:
        content->replace(static_cast<size_t>(request.offset), data.size(),
                         data);
        break;
      case UpdateRequest::Kind::kTruncate:
        content->resize(static_cast<size_t>(request.offset), '\0');
        break;
    }
    const std::string name = request.name;
    const auto done = UpdateFile(path_.get(), std::move(request));
    ASSERT_THAT(done, IsOk());
    EXPECT_EQ(done->file.size_bytes, static_cast<int64_t>(content->size()));
    EXPECT_EQ(done->file.crc32c, Crc32c(*content));
    ExpectContent(name, *content);
  }

  void ExpectContent(absl::string_view name, const std::string& content) {
    const auto info = path_->Stat(name);
    ASSERT_THAT(info, IsOk());
    EXPECT_EQ(info->size_bytes, static_cast<int64_t>(content.size()));
    EXPECT_EQ(info->crc32c, Crc32c(content));
    EXPECT_TRUE(info->kind == FileKind::kAppender);
    const auto read = ReadFile(path_.get(), name);
    ASSERT_THAT(read, IsOk());
    EXPECT_TRUE(*read == content) << name << " has other bytes";
  }

  // Waits until nothing is merged any more.
  void WaitForMerges() {
    uint64_t before = 0;
    uint64_t after = path_->Numbers().piece_merges;
    do {
      before = after;
      // A merge that is under way holds the pool's only thread, or is a member
      // of a group that is answered before this one.
      for (int i = 0; i < 2; ++i) {
        Notification ran;
        while (!path_->io()->TrySubmit([&ran] { ran.Notify(); })) {
          std::this_thread::yield();
        }
        ran.WaitForNotification();
        ASSERT_THAT(path_->replica()->Sync(), IsOk());
      }
      after = path_->Numbers().piece_merges;
    } while (after != before);
  }

  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  std::unique_ptr<Engine> path_;
};

TEST_F(EngineAppenderTest, AppendsModifiesAndTruncates) {
  std::string content = "one ";
  const auto created = CreateAppender(path_.get(), "a", content);
  ASSERT_THAT(created, IsOk());
  EXPECT_TRUE(created->file.kind == FileKind::kAppender);
  Do(Append("a", "two "), &content);
  Do(Append("a", ""), &content);
  Do(Modify("a", 0, "ONE"), &content);
  Do(Modify("a", 4, "2"), &content);
  Do(Modify("a", 7, " three"), &content);
  Do(Modify("a", static_cast<int64_t>(content.size()), " four"), &content);
  Do(Truncate("a", 9), &content);
  Do(Truncate("a", 30), &content);
  Do(Truncate("a", 300000), &content);
  Do(Append("a", "behind zeros"), &content);
  Do(Modify("a", 100000, "inside"), &content);
  Do(Truncate("a", 100002), &content);
  Do(Truncate("a", 0), &content);
  Do(Append("a", "again"), &content);
  EXPECT_EQ(path_->Status().files, 1);
  Open();
  ExpectContent("a", content);
  ASSERT_NO_FATAL_FAILURE(Rebuild());
  ExpectContent("a", content);
}

TEST_F(EngineAppenderTest, BeginsEmptyOrLarge) {
  std::string empty;
  ASSERT_THAT(CreateAppender(path_.get(), "empty", empty), IsOk());
  Do(Append("empty", "x"), &empty);
  std::string large = TestContent(1, 3 * kMiB + 5);
  ASSERT_THAT(CreateAppender(path_.get(), "large", large), IsOk());
  Do(Append("large", TestContent(2, 1000)), &large);
  EXPECT_EQ(path_->Numbers().uploads, 0);
}

// Only the blocks that a change cuts are written anew, however large the piece.
TEST_F(EngineAppenderTest, CutsLargePiecesAtBlocks) {
  std::string content = TestContent(1, 3 * kMiB + 5);
  ASSERT_THAT(CreateAppender(path_.get(), "a", content), IsOk());
  const auto journal = [this] { return path_->Numbers().journal_bytes; };
  uint64_t before = journal();
  Do(Modify("a", kMiB + 77, "here"), &content);
  Do(Modify("a", 2 * kMiB, TestContent(2, 1000)), &content);
  Do(Modify("a", 0, "begin"), &content);
  Do(Modify("a", 3 * kMiB + 1, "end and more"), &content);
  EXPECT_LT(journal() - before, 4 * (2 * kBlockBytes + 2000));
  // A whole block needs nothing of the old one.
  before = journal();
  Do(Modify("a", 2 * kBlockBytes, TestContent(3, kBlockBytes)), &content);
  EXPECT_LT(journal() - before, uint64_t{kBlockBytes} + 2000);
  // A cut between two blocks writes no content at all.
  before = journal();
  Do(Truncate("a", 3 * kBlockBytes), &content);
  EXPECT_LT(journal() - before, 2000u);
  Do(Truncate("a", kBlockBytes + 1), &content);
  ASSERT_NO_FATAL_FAILURE(Rebuild());
  ExpectContent("a", content);
}

TEST_F(EngineAppenderTest, RefusesWhatIsNotMeant) {
  ASSERT_THAT(PutFile(path_.get(), "normal", "content"), IsOk());
  ASSERT_THAT(CreateAppender(path_.get(), "a", "content"), IsOk());
  ASSERT_THAT(CreateAppender(path_.get(), "gone", "content"), IsOk());
  ASSERT_THAT(DeleteFile(path_.get(), "gone"), IsOk());

  auto refused = UpdateFile(path_.get(), Append("normal", "more"));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kNotAnAppender);
  EXPECT_EQ(MetadataOf(refused.status())["kind"], "NORMAL");
  refused = UpdateFile(path_.get(), Truncate("gone", 1));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kFileDeleted);
  refused = UpdateFile(path_.get(), Modify("never", 0, "x"));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kFileNotFound);
  refused = UpdateFile(path_.get(), Modify("a", 8, "x"));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(MetadataOf(refused.status())["size_bytes"], "7");
  refused = UpdateFile(path_.get(),
                       Append("a", std::string(kAppenderCallBytes + 1, 'x')));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(refused.status())["limit_bytes"],
            absl::StrCat(kAppenderCallBytes));
  ExpectContent("a", "content");
}

TEST_F(EngineAppenderTest, TakesAMebibyteACallWhateverASmallFileIs) {
  for (const int64_t small : {int64_t{0}, int64_t{4096}}) {
    options_.small_file_bytes_max = small;
    Open();
    const std::string name = absl::StrCat("a-", small);
    std::string content(kAppenderCallBytes, 'a');
    ASSERT_THAT(PutAppender(path_.get(), name, content), IsOk());
    Do(Append(name, std::string(kAppenderCallBytes, 'b')), &content);
    Do(Modify(name, 100, std::string(kAppenderCallBytes, 'c')), &content);
    const auto refused = PutAppender(path_.get(), "too-large",
                                     std::string(kAppenderCallBytes + 1, 'x'));
    EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kTooLarge);
    EXPECT_EQ(MetadataOf(refused.status())["limit_bytes"],
              absl::StrCat(kAppenderCallBytes));
    PowerCut();
    ExpectContent(name, content);
    Rebuild();
    ExpectContent(name, content);
  }
}

TEST_F(EngineAppenderTest, ChangesOnlyWhatItsConditionsSay) {
  const auto created = CreateAppender(path_.get(), "a", "0123");
  ASSERT_THAT(created, IsOk());
  UpdateRequest request = Append("a", "45");
  request.if_size_bytes = 4;
  request.if_version = created->file.version;
  ASSERT_THAT(UpdateFile(path_.get(), request), IsOk());
  const auto stale = UpdateFile(path_.get(), request);
  EXPECT_THAT(stale, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(stale.status()), ErrorReason::kConditionFailed);
  EXPECT_EQ(MetadataOf(stale.status())["size_bytes"], "6");
  request.if_size_bytes = 6;
  EXPECT_EQ(ReasonOf(UpdateFile(path_.get(), request).status()),
            ErrorReason::kConditionFailed);
  UpdateRequest cut = Modify("a", 1, "x");
  cut.if_size_bytes = 5;
  EXPECT_EQ(ReasonOf(UpdateFile(path_.get(), cut).status()),
            ErrorReason::kConditionFailed);
  ExpectContent("a", "012345");
}

TEST_F(EngineAppenderTest, AnswersARepeatedCallAsTheFirstTime) {
  ASSERT_THAT(CreateAppender(path_.get(), "a", "0"), IsOk());
  UpdateRequest first = Append("a", "123");
  first.request_id = Uuid::Random();
  const auto appended = UpdateFile(path_.get(), first);
  ASSERT_THAT(appended, IsOk());
  UpdateRequest cut = Truncate("a", 2);
  cut.request_id = Uuid::Random();
  const auto truncated = UpdateFile(path_.get(), cut);
  ASSERT_THAT(truncated, IsOk());
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    const auto again = UpdateFile(path_.get(), first);
    ASSERT_THAT(again, IsOk());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->file.size_bytes, 4);
    EXPECT_EQ(again->file.crc32c, Crc32c("0123"));
    EXPECT_TRUE(again->file.version == appended->file.version);
    // The cut was inside a piece, and is not any more.
    const auto cut_again = UpdateFile(path_.get(), cut);
    ASSERT_THAT(cut_again, IsOk());
    EXPECT_TRUE(cut_again->replayed);
    EXPECT_EQ(cut_again->file.size_bytes, 2);
    ExpectContent("a", "01");
    Open();  // The second time from the disk.
  }
  // That of the creation, too, says what was created.
  const Uuid create = Uuid::Random();
  ASSERT_THAT(
      CreateAppender(path_.get(), "c", "first", Durability::kSynced, create),
      IsOk());
  ASSERT_THAT(UpdateFile(path_.get(), Append("c", "more")), IsOk());
  const auto created =
      CreateAppender(path_.get(), "d", "first", Durability::kSynced, create);
  ASSERT_THAT(created, IsOk());
  EXPECT_TRUE(created->replayed);
  EXPECT_EQ(created->file.name, "c");
  EXPECT_EQ(created->file.size_bytes, 5);
  EXPECT_EQ(created->file.crc32c, Crc32c("first"));

  UpdateRequest other = Append("b", "123");
  other.request_id = first.request_id;
  EXPECT_EQ(ReasonOf(UpdateFile(path_.get(), other).status()),
            ErrorReason::kRequestIdReused);
}

// Whoever has a file open goes on with what was there then.
TEST_F(EngineAppenderTest, AnOpenFileStaysAsItWas) {
  const std::string before = TestContent(1, 700000);
  ASSERT_THAT(CreateAppender(path_.get(), "a", before), IsOk());
  const auto open = path_->Open("a");
  ASSERT_THAT(open, IsOk());
  std::string content = before;
  Do(Modify("a", 5, "other bytes"), &content);
  Do(Truncate("a", 100), &content);
  for (int i = 0; i < 40; ++i) Do(Append("a", TestContent(i, 3000)), &content);
  WaitForMerges();
  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  ExpectContent("a", content);
  EXPECT_EQ((*open)->info().size_bytes, static_cast<int64_t>(before.size()));
  const auto read = (*open)->Read(0, static_cast<int64_t>(before.size()));
  ASSERT_THAT(read, IsOk());
  EXPECT_TRUE(*read == before);
}

TEST_F(EngineAppenderTest, ManyWritersDoNotInterleave) {
  ASSERT_THAT(CreateAppender(path_.get(), "log", ""), IsOk());
  constexpr int kWriters = 4;
  constexpr int kAppends = 60;
  constexpr int64_t kLine = 700;
  std::vector<std::thread> writers;
  std::atomic<int> failures{0};
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kAppends; ++i) {
        UpdateRequest request =
            Append("log", std::string(kLine, static_cast<char>('a' + w)));
        request.durability = Durability::kCached;
        if (!UpdateFile(path_.get(), std::move(request)).ok()) ++failures;
        // Cuts a piece that others add to or merge meanwhile.
        if (i % 10 == 9 &&
            !UpdateFile(path_.get(), Modify("log", 0, std::string(1, '!')))
                 .ok()) {
          ++failures;
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(failures.load(), 0);
  const auto content = ReadFile(path_.get(), "log");
  ASSERT_THAT(content, IsOk());
  ASSERT_EQ(content->size(), size_t{kWriters * kAppends * kLine});
  std::vector<int> lines(kWriters);
  for (size_t at = 0; at < content->size(); at += kLine) {
    const char letter = (*content)[at + 1];
    ASSERT_TRUE(letter >= 'a' && letter < 'a' + kWriters);
    EXPECT_EQ(content->substr(at + 1, kLine - 1),
              std::string(kLine - 1, letter));
    ++lines[letter - 'a'];
  }
  EXPECT_THAT(lines, ::testing::Each(kAppends));
}

TEST_F(EngineAppenderTest, MergesManySmallAppends) {
  std::string content;
  ASSERT_THAT(CreateAppender(path_.get(), "log", ""), IsOk());
  constexpr int kAppends = 3000;
  Mutex mu;
  CondVar answered;
  int waiting = 0;
  int failed = 0;
  for (int i = 0; i < kAppends; ++i) {
    const std::string line = TestContent(static_cast<uint64_t>(i), 1024);
    content += line;
    UpdateRequest request = Append("log", line);
    request.crc32c = Crc32c(line);
    request.durability = Durability::kCached;
    {
      MutexLock lock(&mu);
      while (waiting >= 64) answered.Wait(&mu);
      ++waiting;
    }
    path_->Update(std::move(request), [&](absl::StatusOr<Committed> done) {
      MutexLock lock(&mu);
      failed += done.ok() ? 0 : 1;
      --waiting;
      answered.SignalAll();
    });
  }
  {
    MutexLock lock(&mu);
    while (waiting > 0) answered.Wait(&mu);
    EXPECT_EQ(failed, 0);
  }
  WaitForMerges();
  EXPECT_GT(path_->Numbers().piece_merges, 10u);
  ExpectContent("log", content);
  // What is left is a handful of pieces, so one more append says little: unless
  // it is the one that makes enough of them for the next merge, which the
  // append after it is not.
  const auto append_one = [&] {
    const uint64_t before = path_->Numbers().journal_bytes;
    Do(Append("log", "x"), &content);
    WaitForMerges();
    return path_->Numbers().journal_bytes - before;
  };
  const uint64_t merges = path_->Numbers().piece_merges;
  uint64_t written = append_one();
  if (path_->Numbers().piece_merges != merges) written = append_one();
  EXPECT_LT(written, 2000u);

  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  ExpectContent("log", content);
  // 3 MB of content: the rest is dead and gone.
  EXPECT_LT(path_->Status().live_bytes, 4 * kMiB);
  ASSERT_NO_FATAL_FAILURE(Rebuild());
  ExpectContent("log", content);
  ASSERT_THAT(DeleteFile(path_.get(), "log"), IsOk());
  ASSERT_THAT(path_->Compact(0, nullptr), IsOk());
  EXPECT_LT(path_->Status().live_bytes, 4096);
}

// Compaction moves the pieces that are in other segments than the newest
// record, each by itself.
TEST_F(EngineAppenderTest, CompactionMovesPieces) {
  std::string content = TestContent(1, 400000);
  ASSERT_THAT(CreateAppender(path_.get(), "a", content), IsOk());
  for (int i = 0; i < 6; ++i) {
    // In a segment of its own each, with something that will be dead.
    const std::string name = absl::StrCat("other", i);
    ASSERT_THAT(PutFile(path_.get(), name, TestContent(9, 500000)), IsOk());
    Do(Append("a", TestContent(10 + i, 300000 + i)), &content);
    ASSERT_THAT(DeleteFile(path_.get(), name), IsOk());
  }
  // Two runs of one record, when it moves.
  Do(Modify("a", 400000 + kBlockBytes, "in the middle"), &content);
  const uint64_t before = path_->Numbers().compacted_segments;
  // What is moved first may leave what is dead where the rest is moved to.
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(path_->Compact(0.01, nullptr), IsOk());
  }
  EXPECT_GT(path_->Numbers().compacted_segments, before + 3);
  ExpectContent("a", content);
  EXPECT_LT(path_->Status().dead_bytes, 100000);
  const int64_t live = path_->Status().live_bytes;
  PowerCut();
  ExpectContent("a", content);
  EXPECT_EQ(path_->Status().live_bytes, live);
  ASSERT_NO_FATAL_FAILURE(Rebuild());
  ExpectContent("a", content);
  EXPECT_EQ(path_->Status().live_bytes, live);
  Do(Append("a", "goes on"), &content);
}

// A synced append to a large file that was not synced makes all of it durable.
TEST_F(EngineAppenderTest, ASyncedAppendSyncsWhatItIsAppendedTo) {
  std::string content = TestContent(1, 2 * kMiB);
  ASSERT_THAT(CreateAppender(path_.get(), "a", content, Durability::kCached),
              IsOk());
  UpdateRequest cached = Append("a", "one");
  cached.durability = Durability::kCached;
  const auto first = UpdateFile(path_.get(), cached);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(first->reached, Durability::kCached);
  const auto second = UpdateFile(path_.get(), Append("a", "two"));
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->reached, Durability::kSynced);
  PowerCut();
  ExpectContent("a", content + "onetwo");
}

}  // namespace
}  // namespace storage
}  // namespace cairn
