// Going through the files of an index, whether they are in memory, frozen or in
// tables, against a std::map; and while they are written and flushed.

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/file_key.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/index.h"
#include "services/storage/store/options.h"
#include "services/storage/store/path_layout.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

using Step = FileVisitor::Step;

std::string KeyOf(absl::string_view name) {
  std::string key;
  AppendFileKey(name, &key);
  return key;
}

FileRecord RecordOf(uint64_t clock, bool deleted) {
  FileRecord record;
  record.crc32c = static_cast<uint32_t>(clock);
  record.create_unix_seconds = 1767225600;
  record.version = Version{clock, 7};
  record.origin_node = 7;
  record.deleted = deleted;
  record.content_missing = true;
  return record;
}

class OpenIndex {
 public:
  explicit OpenIndex(uint64_t seed) : fs_(seed) {
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    IndexOptions options = IndexOptionsOf(TestPathOptions("/disk"));
    options.create_if_missing = true;
    auto opened = Index::Open(options, &fs_, &clock_);
    CAIRN_CHECK_OK(opened.status());
    index_ = *std::move(opened);
  }

  Index* operator->() { return index_.get(); }

 private:
  CrashableFileSystem fs_;
  FakeClock clock_;
  std::unique_ptr<Index> index_;
};

// What a scan is to find: by key, the version and whether it is a tombstone.
struct Expected {
  std::string name;
  uint64_t clock = 0;
  bool deleted = false;
};
using Files = std::map<std::string, Expected>;

class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed), index_(seed) {}

  void Step() {
    const uint64_t kind = random_() % 100;
    if (kind < 60) {
      Write();
    } else if (kind < 75) {
      index_->Freeze();
    } else if (kind < 85) {
      ASSERT_THAT(index_->Flush(), IsOk());
    } else {
      ASSERT_NO_FATAL_FAILURE(Scan());
    }
  }

 private:
  // One of few names, old ones and new ones, some of them with no form.
  std::string DrawName() {
    if (random_() % 20 == 0) return absl::StrCat("odd/", random_() % 10);
    FileIdFields fields;
    fields.node_number = static_cast<uint32_t>(1 + random_() % 3);
    fields.create_unix_seconds =
        1767225600 + static_cast<uint32_t>(random_() % 20);
    fields.counter = static_cast<uint32_t>(random_() % 10);
    return codec_.MakeName("group1", 0, fields,
                           random_() % 2 == 0 ? "jpg" : "");
  }

  void Write() {
    IndexBatch batch;
    std::vector<std::string> names(1 + random_() % 60);
    for (std::string& name : names) {
      name = DrawName();
      const std::string key = KeyOf(name);
      if (random_() % 5 == 0) {
        batch.DeleteFile(name);
        files_.erase(key);
        continue;
      }
      const Expected file{name, ++clock_, random_() % 4 == 0};
      batch.PutFile(name, RecordOf(file.clock, file.deleted));
      files_[key] = file;
    }
    index_->Write(&batch);
  }

  std::string DrawBound() {
    const uint64_t kind = random_() % 4;
    if (kind == 0) return "";
    const std::string key = KeyOf(DrawName());
    return kind == 1   ? key
           : kind == 2 ? KeyBehind(key)
                       : key.substr(0, random_() % 14);
  }

  // A range, in parts, with names that are skipped, sought and stopped at.
  void Scan() {
    FileRange range;
    range.from = DrawBound();
    range.until = DrawBound();
    range.read_ahead_bytes = random_() % 2 == 0 ? 0 : 64 << 10;
    const uint64_t skip = 2 + random_() % 4;
    const bool seeks = random_() % 3 == 0;
    Files found;
    std::string last;
    std::string skipped_until;  // By a seek.
    Files expected;
    for (const auto& [key, file] : files_) {
      if (key < range.from) continue;
      if (!range.until.empty() && key >= range.until) continue;
      expected[key] = file;
    }
    FileRange rest = range;
    do {
      const uint64_t show_max = 1 + random_() % 50;
      uint64_t shown = 0;
      const auto next = index_->ScanFiles(
          rest,
          [&](absl::string_view key, std::string* seek) {
            EXPECT_GE(key, rest.from);
            EXPECT_GE(key, skipped_until);
            if (key <= last && !last.empty()) {
              ADD_FAILURE() << "out of order";
            }
            if (shown == show_max) return Step::kStop;
            last = std::string(key);
            if (seeks && random_() % 8 == 0) {
              // To the end of its second, say.
              *seek = EndOfPrefix(key.substr(0, 1 + random_() % 20));
              skipped_until = *seek;
              expected.erase(expected.lower_bound(std::string(key)),
                             expected.lower_bound(*seek));
              return Step::kSeek;
            }
            if (Crc32cOf(key) % skip == 0) {
              expected.erase(std::string(key));
              return Step::kSkip;
            }
            return Step::kShow;
          },
          [&](absl::string_view key, absl::string_view name,
              const FileRecord& record) {
            EXPECT_EQ(key, KeyOf(name));
            found[std::string(key)] = Expected{
                std::string(name), record.version.clock, record.deleted};
            return ++shown % 17 != 0;
          });
      ASSERT_THAT(next, IsOk());
      if (!next->empty()) {
        ASSERT_GT(*next, rest.from);
      }
      rest.from = *next;
    } while (!rest.from.empty());
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [key, file] : expected) {
      ASSERT_EQ(found.count(key), 1u) << file.name;
      EXPECT_EQ(found[key].name, file.name);
      EXPECT_EQ(found[key].clock, file.clock);
      EXPECT_EQ(found[key].deleted, file.deleted);
    }
  }

  static uint64_t Crc32cOf(absl::string_view key) {
    uint64_t sum = 0;
    for (const char c : key) sum = sum * 31 + static_cast<unsigned char>(c);
    return sum;
  }

  const FileIdCodec codec_{"secret"};
  std::mt19937_64 random_;
  OpenIndex index_;
  Files files_;
  uint64_t clock_ = 0;
};

TEST(IndexScanTest, FindsWhatAMapHas) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/6);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    Model model(run.seed());
    for (int step = 0; step < 250 && !::testing::Test::HasFailure(); ++step) {
      model.Step();
    }
    if (::testing::Test::HasFailure()) return;
  }
}

// More in memory than a part of a scan takes.
TEST(IndexScanTest, GoesThroughALargeDeltaInParts) {
  OpenIndex index(1);
  std::map<std::string, std::string> names;
  for (int i = 0; i < 5000; ++i) {
    const std::string name = absl::StrCat("3F/A2/", (i * 7919) % 100000);
    names[KeyOf(name)] = name;
    IndexBatch batch;
    batch.PutFile(name, RecordOf(static_cast<uint64_t>(i + 1), false));
    index->Write(&batch);
    if (i == 1500) {
      ASSERT_TRUE(index->Freeze());
      ASSERT_THAT(index->Flush(), IsOk());
    }
    if (i == 3000) {
      ASSERT_TRUE(index->Freeze());
    }
  }
  auto expected = names.begin();
  FileRange rest;
  int parts = 0;
  do {
    const auto next = index->ScanFiles(
        rest, [](absl::string_view, std::string*) { return Step::kShow; },
        [&](absl::string_view key, absl::string_view name, const FileRecord&) {
          EXPECT_NE(expected, names.end());
          EXPECT_EQ(key, expected->first);
          EXPECT_EQ(name, expected->second);
          ++expected;
          return true;
        });
    ASSERT_THAT(next, IsOk());
    rest.from = *next;
    ++parts;
  } while (!rest.from.empty());
  EXPECT_EQ(expected, names.end());
  EXPECT_GT(parts, 2);
}

// While names are put, deleted, frozen and flushed, a scan shows every name
// that is there all the time, once and in order.
TEST(IndexScanTest, ShowsWhatIsThereAllTheTimeWhileItIsFlushed) {
  OpenIndex index(1);
  std::map<std::string, std::string> stays;
  {
    IndexBatch batch;
    std::vector<std::string> names(2000);
    for (size_t i = 0; i < names.size(); ++i) {
      names[i] = absl::StrCat("3F/A2/stays", (i * 7919) % 2000);
      stays[KeyOf(names[i])] = names[i];
      batch.PutFile(names[i], RecordOf(1, false));
    }
    index->Write(&batch);
  }
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    uint64_t clock = 1;
    while (!stop.load()) {
      IndexBatch batch;
      ++clock;
      // Some of those that stay, and others that come and go.
      const std::string changed =
          absl::StrCat("3F/A2/stays", (clock * 31) % 2000);
      const std::string comes = absl::StrCat("3F/A2/goes", clock % 500);
      const std::string goes = absl::StrCat("3F/A2/goes", (clock + 250) % 500);
      batch.PutFile(changed, RecordOf(clock, false));
      batch.PutFile(comes, RecordOf(clock, false));
      batch.DeleteFile(goes);
      index->Write(&batch);
      if (clock % 64 == 0) index->Freeze();
    }
  });
  std::thread flusher([&] {
    while (!stop.load()) {
      EXPECT_THAT(index->Flush(), IsOk());
      std::this_thread::yield();
    }
  });
  for (int round = 0; round < 30 && !::testing::Test::HasFailure(); ++round) {
    auto expected = stays.begin();
    std::string last;
    FileRange rest;
    do {
      const auto next = index->ScanFiles(
          rest, [](absl::string_view, std::string*) { return Step::kShow; },
          [&](absl::string_view key, absl::string_view name,
              const FileRecord&) {
            EXPECT_LT(last, key);
            last = std::string(key);
            if (!absl::StrContains(name, "stays")) return true;
            EXPECT_NE(expected, stays.end());
            EXPECT_EQ(key, expected->first);
            ++expected;
            return true;
          });
      EXPECT_THAT(next, IsOk());
      if (!next.ok()) break;
      rest.from = *next;
    } while (!rest.from.empty() && !::testing::Test::HasFailure());
    EXPECT_EQ(expected, stays.end());
  }
  stop.store(true);
  writer.join();
  flusher.join();
}

}  // namespace
}  // namespace storage
}  // namespace cairn
