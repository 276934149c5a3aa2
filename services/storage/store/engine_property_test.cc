// A store path against a std::map: any order of puts, uploads, copies, deletes,
// undeletes, changes of appenders, compactions, kills, power cuts and rebuilds
// leaves what the map says. Every change is synced here; what unsynced ones may
// do is in the crash tests.

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cairn/disk/v1/index.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/index.h"
#include "services/storage/store/index_delta.h"
#include "services/storage/store/path_layout.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"

namespace cairn {
namespace storage {
namespace {

constexpr const char* kDirectory = "/disk/path";

class Model {
 public:
  explicit Model(uint64_t seed)
      : random_(seed), fs_(seed), options_(TestPathOptions(kDirectory)) {
    // A long run is days long by the clock, and every change is looked for in
    // the log at its end.
    options_.log_retention = absl::Hours(24 * 365);
    options_.log_retention_longest = options_.log_retention;
    if (seed % 2 == 0) options_.undelete_window = absl::Hours(20);
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
    Open();
  }

  void Step() {
    const uint64_t kind = random_() % 100;
    if (kind < 22) {
      Put();
    } else if (kind < 30) {
      Copy();
    } else if (kind < 68) {
      Update();
    } else if (kind < 76) {
      Delete();
    } else if (kind < 80) {
      Undelete();
    } else if (kind < 86) {
      ASSERT_THAT(
          path_->Compact(0.1 * static_cast<double>(random_() % 6), nullptr),
          IsOk());
    } else if (kind < 90) {
      clock_.Advance(absl::Hours(random_() % 10));
    } else {
      Restart(kind);
    }
  }

  // Everything that the path says is what the map says.
  void Check() {
    int64_t files = 0;
    for (const auto& [name, file] : files_) {
      SCOPED_TRACE(name);
      if (file.deleted) {
        EXPECT_THAT(path_->Stat(name), StatusIs(absl::StatusCode::kNotFound));
        continue;
      }
      ++files;
      const auto stat = path_->Stat(name);
      ASSERT_THAT(stat, IsOk());
      EXPECT_TRUE(stat->version == file.version);
      EXPECT_EQ(stat->size_bytes, static_cast<int64_t>(file.content.size()));
      EXPECT_EQ(stat->crc32c, Crc32c(file.content));
      const auto content = ReadFile(path_.get(), name);
      ASSERT_THAT(content, IsOk());
      ASSERT_TRUE(*content == file.content);
    }
    const StorePathStatus status = path_->Status();
    EXPECT_EQ(status.files, files);
    EXPECT_EQ(status.state, StorePathState::kActive);
    EXPECT_EQ(status.damaged_records, 0);
    EXPECT_GE(status.dead_bytes, 0);
    if (log_is_whole_) {
      EXPECT_EQ(status.last_sequence, changes_);
    }
  }

  // The state that is counted along is the state that a rebuild counts anew.
  void CheckCounts() {
    // Tombstones that were dropped are still in the segments, so a rebuild
    // finds them and drops them again; no segment is this dead.
    // Nothing is merged in a path that was just opened.
    Open();
    ASSERT_THAT(path_->Compact(/*dead_share_min=*/2, nullptr), IsOk());
    const StorePathStatus before = path_->Status();
    const EngineNumbers numbers = path_->Numbers();
    path_.reset();
    ASSERT_THAT(RebuildIndex(options_, &fs_, &clock_), IsOk());
    log_is_whole_ = false;
    log_.clear();
    Open();
    ASSERT_THAT(path_->Compact(/*dead_share_min=*/2, nullptr), IsOk());
    EXPECT_EQ(path_->Status().files, before.files);
    EXPECT_EQ(path_->Status().file_bytes, before.file_bytes);
    EXPECT_EQ(path_->Numbers().tombstones, numbers.tombstones);
    EXPECT_EQ(path_->Status().live_bytes, before.live_bytes);
    EXPECT_EQ(path_->Status().undelete_bytes, before.undelete_bytes);
    Check();
  }

  // Closes the path and reads its log: in each epoch the numbers go 1, 2, 3, …
  // without a gap, and the epochs together have every change once, in order.
  void CheckLog() {
    path_.reset();
    ASSERT_NO_FATAL_FAILURE(ReadLog());
    Open();
  }

 private:
  struct ModelFile {
    std::string content;
    bool appender = false;
    bool deleted = false;
    int64_t kept_until_unix_seconds = 0;  // While it is deleted.
    Version version;
  };

  // One change of the log.
  struct Logged {
    uint32_t operation = 0;
    std::string name;
    Version version;
  };

  void ReadLog() {
    const auto index = Index::Open(IndexOptionsOf(options_), &fs_, &clock_);
    ASSERT_THAT(index, IsOk());
    disk::v1::IndexState state;
    ASSERT_THAT((*index)->GetState(&state), IsOkAndHolds(true));
    const auto heads = (*index)->ListOrigins();
    ASSERT_THAT(heads, IsOk());
    size_t at = 0;
    for (uint32_t origin = 0; origin <= state.log_origin() + 1; ++origin) {
      SCOPED_TRACE(absl::StrCat("origin ", origin));
      uint64_t last = 0;
      for (const LogHead& head : *heads) {
        if (head.origin == origin) last = head.cut;
      }
      // A gap would show as a number behind the first one that is missing.
      for (uint64_t number = last; number <= last + 20; ++number) {
        disk::v1::LogEntry entry;
        const auto found =
            (*index)->GetLog(origin, number, /*may_block=*/true, &entry);
        ASSERT_THAT(found, IsOk());
        if (*found == Lookup::kMissing) continue;
        ASSERT_EQ(number, last + 1);
        last = number;
        ASSERT_LT(at, log_.size()) << entry.ShortDebugString();
        const Logged& expected = log_[at++];
        EXPECT_EQ(entry.operation(), expected.operation);
        EXPECT_EQ(entry.name(), expected.name);
        EXPECT_EQ(entry.version_clock(), expected.version.clock);
        EXPECT_EQ(entry.version_node(), expected.version.node);
      }
      if (origin == state.log_origin()) {
        EXPECT_EQ(last, state.last_sequence());
      }
    }
    EXPECT_EQ(at, log_.size());
  }

  void Open() {
    path_.reset();
    auto opened = OpenStorePath(options_, &fs_, &clock_);
    ASSERT_THAT(opened, IsOk());
    path_ = *std::move(opened);
  }

  void Put() {
    const std::string name = absl::StrCat("f", files_.size());
    ModelFile file;
    file.content = DrawContent(900000);
    file.appender = random_() % 3 == 0;
    const std::string& content = file.content;
    const auto put =
        file.appender ? CreateAppender(path_.get(), name, content)
        : random_() % 2 == 0
            ? PutFile(path_.get(), name, content)
            : UploadFile(path_.get(), name, content, Durability::kSynced);
    ASSERT_THAT(put, IsOk());
    EXPECT_EQ(put->reached, Durability::kSynced);
    EXPECT_TRUE(last_version_ < put->file.version);
    last_version_ = file.version = put->file.version;
    log_.push_back({kLogPut, name, file.version});
    files_[name] = std::move(file);
    ++changes_;
  }

  // One of the files, unless its content has no segment of its own.
  void Copy() {
    std::vector<std::string> normal;
    for (const auto& [name, file] : files_) {
      if (!file.appender && !file.deleted) normal.push_back(name);
    }
    if (normal.empty()) return Put();
    const std::string from = normal[random_() % normal.size()];
    const std::string name = absl::StrCat("f", files_.size());
    ModelFile file;
    file.content = files_[from].content;
    CopyRequest copy;
    copy.from = from;
    copy.size_bytes = static_cast<int64_t>(file.content.size());
    copy.crc32c = Crc32c(file.content);
    copy.name = name;
    const auto copied = AwaitCommitted([&](CommitDone done) {
      path_->Copy(std::move(copy), std::move(done));
    });
    if (ReasonOf(copied.status()) == ErrorReason::kNotSupported) {
      EXPECT_LE(file.content.size(),
                static_cast<size_t>(options_.small_file_bytes_max));
      return;
    }
    ASSERT_THAT(copied, IsOk());
    EXPECT_EQ(copied->reached, Durability::kSynced);
    EXPECT_TRUE(last_version_ < copied->file.version);
    last_version_ = file.version = copied->file.version;
    log_.push_back({kLogPut, name, file.version});
    files_[name] = std::move(file);
    ++changes_;
  }

  std::string DrawContent(uint64_t size_max) {
    const uint64_t limits[] = {20, 5000, 300000, size_max};
    return TestContent(random_(), random_() % limits[random_() % 4]);
  }

  // One of the appenders is changed a few times.
  void Update() {
    std::vector<std::pair<const std::string, ModelFile>*> appenders;
    for (auto& entry : files_) {
      if (entry.second.appender && !entry.second.deleted) {
        appenders.push_back(&entry);
      }
    }
    if (appenders.empty()) return Put();
    auto& [name, file] = *appenders[random_() % appenders.size()];
    for (uint64_t changes = random_() % 12; changes > 0; --changes) {
      std::string after = file.content;
      UpdateRequest request;
      switch (random_() % 4) {
        case 0:
        case 1: {
          const std::string data = DrawContent(400000);
          request = Append(name, data);
          after += data;
          break;
        }
        case 2: {
          const std::string data = DrawContent(400000);
          const size_t offset = random_() % (after.size() + 1);
          request = Modify(name, static_cast<int64_t>(offset), data);
          after.replace(offset, data.size(), data);
          break;
        }
        case 3: {
          const size_t size = random_() % 3 == 0
                                  ? random_() % 1000000
                                  : random_() % (after.size() + 1);
          request = Truncate(name, static_cast<int64_t>(size));
          after.resize(size, '\0');
          break;
        }
      }
      const auto updated = UpdateFile(path_.get(), std::move(request));
      ASSERT_THAT(updated, IsOk());
      EXPECT_EQ(updated->reached, Durability::kSynced);
      EXPECT_EQ(updated->file.size_bytes, static_cast<int64_t>(after.size()));
      EXPECT_EQ(updated->file.crc32c, Crc32c(after));
      EXPECT_TRUE(last_version_ < updated->file.version);
      last_version_ = file.version = updated->file.version;
      file.content = std::move(after);
      log_.push_back({kLogChange, name, file.version});
      ++changes_;
    }
  }

  std::pair<const std::string, ModelFile>* DrawFile() {
    if (files_.empty()) return nullptr;
    auto it = files_.begin();
    std::advance(it, random_() % files_.size());
    return &*it;
  }

  bool IsKept(const ModelFile& file) {
    return file.deleted &&
           file.kept_until_unix_seconds > absl::ToUnixSeconds(clock_.Now());
  }

  void Delete() {
    auto* const drawn = DrawFile();
    if (drawn == nullptr) return;
    auto& [name, file] = *drawn;
    DeleteRequest request;
    request.name = name;
    request.purge = random_() % 4 == 0;
    const bool purge = request.purge;
    const auto deleted = AwaitCommitted([&](CommitDone done) {
      path_->Delete(std::move(request), std::move(done));
    });
    if (file.deleted && !(purge && IsKept(file))) {
      EXPECT_THAT(deleted, StatusIs(absl::StatusCode::kNotFound));
      return;
    }
    ASSERT_THAT(deleted, IsOk());
    EXPECT_TRUE(last_version_ < deleted->file.version);
    last_version_ = deleted->file.version;
    file.deleted = true;
    file.kept_until_unix_seconds =
        purge || options_.undelete_window == absl::ZeroDuration()
            ? 0
            : absl::ToUnixSeconds(clock_.Now() + options_.undelete_window);
    EXPECT_EQ(deleted->file.undelete_until_unix_seconds,
              file.kept_until_unix_seconds);
    log_.push_back({kLogDelete, name, last_version_});
    ++changes_;
  }

  void Undelete() {
    auto* const drawn = DrawFile();
    if (drawn == nullptr) return;
    auto& [name, file] = *drawn;
    UndeleteRequest request;
    request.name = name;
    const auto undeleted = AwaitCommitted([&](CommitDone done) {
      path_->Undelete(std::move(request), std::move(done));
    });
    if (!file.deleted) {
      EXPECT_EQ(ReasonOf(undeleted.status()), ErrorReason::kFileExists);
      return;
    }
    if (!IsKept(file)) {
      // Its tombstone may be gone as well.
      EXPECT_THAT(undeleted, StatusIs(absl::StatusCode::kNotFound));
      return;
    }
    ASSERT_THAT(undeleted, IsOk());
    EXPECT_TRUE(last_version_ < undeleted->file.version);
    last_version_ = file.version = undeleted->file.version;
    file.deleted = false;
    log_.push_back({kLogPut, name, file.version});
    ++changes_;
  }

  void Restart(uint64_t kind) {
    if (kind < 93) {
      path_.reset();
      ASSERT_NO_FATAL_FAILURE(ReadLog());
    } else if (kind < 96) {
      fs_.StopAfter(0);
      path_.reset();
      fs_.KillProcess();
    } else if (kind < 99) {
      fs_.StopAfter(0);
      path_.reset();
      fs_.Crash();
      options_.boot_id += "+";
      log_is_whole_ = false;
    } else {
      path_.reset();
      ASSERT_THAT(RebuildIndex(options_, &fs_, &clock_), IsOk());
      log_is_whole_ = false;
      log_.clear();
    }
    Open();
    Check();
  }

  std::mt19937_64 random_;
  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  std::unique_ptr<Engine> path_;
  std::map<std::string, ModelFile> files_;
  Version last_version_;
  std::vector<Logged> log_;  // Since the last rebuild, which begins a new log.
  uint64_t changes_ = 0;
  bool log_is_whole_ = true;  // Of one epoch and incarnation.
};

TEST(EnginePropertyTest, DoesWhatAMapDoes) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/4);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    Model model(run.seed());
    for (int step = 0; step < 80 && !::testing::Test::HasFailure(); ++step) {
      model.Step();
    }
    if (::testing::Test::HasFailure()) return;
    model.Check();
    model.CheckLog();
    model.CheckCounts();
    model.CheckLog();
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
