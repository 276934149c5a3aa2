// What a filter lets through, found with all its skipping and seeking, is what
// one finds who looks at every file.

#include "services/storage/core/file_filter.h"

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/seed_run.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/file_key.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/testing/scan_file_map.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kFirst = 1767225600;
constexpr int64_t kNow = kFirst + 1000000;

using Files = std::map<std::string, KnownFile>;

void Add(Files* files, const KnownFile& known) {
  std::string key;
  AppendFileKey(known.file.name, &key);
  (*files)[key] = known;
}

class Names {
 public:
  std::string Make(uint32_t node, int64_t created, const char* extension) {
    FileIdFields fields;
    fields.node_number = node;
    fields.create_unix_seconds = static_cast<uint32_t>(created);
    fields.counter = ++counter_;
    return codec_.MakeName("group1", 0, fields, extension);
  }

 private:
  const FileIdCodec codec_{"secret"};
  uint32_t counter_ = 0;
};

// Collects the names that a filter lets through, and counts the keys and the
// records that were looked at.
class Lister : public FileVisitor {
 public:
  explicit Lister(FileFilter* filter) : filter_(filter) {}
  Step OnKey(absl::string_view key, std::string* seek) override {
    ++keys;
    return filter_->CheckKey(key, seek);
  }
  bool OnFile(absl::string_view /*key*/, const KnownFile& known) override {
    ++records;
    if (filter_->CheckFile(known, kNow)) names.insert(known.file.name);
    return true;
  }

  std::set<std::string> names;
  int keys = 0;
  int records = 0;

 private:
  FileFilter* const filter_;
};

Lister List(const Files& files, const FileConditions& conditions) {
  FileFilter filter(conditions);
  Lister lister(&filter);
  FileRange rest = filter.range();
  do {
    rest.from = ScanFileMap(files, rest, &lister);
  } while (!rest.from.empty());
  return lister;
}

// The rules, without any short cut.
bool Wanted(const KnownFile& known, const FileConditions& conditions) {
  const FileInfo& file = known.file;
  const size_t slash = file.name.rfind('/');
  const std::string last =
      slash == std::string::npos ? file.name : file.name.substr(slash + 1);
  const auto attributes = DecodeAttributes(file.attributes);
  for (const auto& [key, value] : conditions.attributes) {
    const auto it = attributes->find(key);
    if (it == attributes->end() || (!value.empty() && it->second != value)) {
      return false;
    }
  }
  const bool expired = known.file.expire_unix_seconds != 0 &&
                       known.file.expire_unix_seconds <= kNow;
  return !known.deleted && !expired &&
         (absl::StartsWith(file.name, conditions.prefix) ||
          absl::StartsWith(last, conditions.prefix)) &&
         file.create_unix_seconds >=
             conditions.created_from.value_or(INT64_MIN) &&
         (!conditions.created_before.has_value() ||
          file.create_unix_seconds < *conditions.created_before) &&
         (!conditions.kind.has_value() || file.kind == *conditions.kind);
}

TEST(FileFilterTest, FindsWhatOneFindsWhoLooksAtEveryFile) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/40);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    Names names;
    Files files;
    std::vector<std::string> all;
    for (int i = 0; i < 300; ++i) {
      KnownFile known;
      const uint32_t nodes[] = {0, 1, 7, 8, 0xffffffff};
      FileInfo& file = known.file;
      file.create_unix_seconds = kFirst + static_cast<int64_t>(random() % 40);
      file.name = names.Make(nodes[random() % 5], file.create_unix_seconds,
                             random() % 2 == 0 ? "jpg" : "");
      const uint64_t kind = random() % 10;
      if (kind == 0) {
        file.kind = FileKind::kAppender;
      } else if (kind < 3) {
        // Younger than the master that its name says.
        file.kind = FileKind::kDerived;
        file.name = file.name.substr(0, 46) + "_small" + file.name.substr(46);
        file.create_unix_seconds += static_cast<int64_t>(random() % 30);
      }
      if (random() % 3 == 0) {
        file.attributes =
            EncodeAttributes({{"a", absl::StrCat(random() % 2)}, {"b", "x"}});
      }
      known.deleted = random() % 8 == 0;
      if (random() % 4 == 0) {
        // Just before, just now, and just after.
        file.expire_unix_seconds =
            kNow + static_cast<int64_t>(random() % 3) - 1;
      }
      all.push_back(file.name);
      Add(&files, known);
    }
    for (int i = 0; i < 60; ++i) {
      FileConditions conditions;
      if (random() % 3 == 0) {
        const std::string& name = all[random() % all.size()];
        conditions.prefix = random() % 2 == 0
                                ? name.substr(0, random() % name.size())
                                : name.substr(6, random() % 40);
      }
      if (random() % 2 == 0) {
        conditions.created_from =
            random() % 20 == 0 ? int64_t{1} << 33
                               : kFirst + static_cast<int64_t>(random() % 60);
      }
      if (random() % 2 == 0) {
        conditions.created_before =
            kFirst + static_cast<int64_t>(random() % 60);
      }
      if (random() % 2 == 0) {
        conditions.kind = static_cast<FileKind>(1 + random() % 3);
      }
      if (random() % 3 == 0) conditions.attributes["a"] = "1";
      if (random() % 4 == 0) conditions.attributes["b"] = "";
      std::set<std::string> expected;
      for (const auto& [key, known] : files) {
        if (Wanted(known, conditions)) expected.insert(known.file.name);
      }
      EXPECT_EQ(List(files, conditions).names, expected);
    }
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(FileFilterTest, PassesOverWhatIsTooOldOrTooNewAtOnce) {
  Names names;
  Files files;
  for (int64_t second = 0; second < 1000; ++second) {
    for (const uint32_t node : {3u, 9u}) {
      KnownFile known;
      known.file.create_unix_seconds = kFirst + second;
      known.file.name = names.Make(node, kFirst + second, "");
      Add(&files, known);
    }
  }
  FileConditions conditions;
  conditions.created_from = kFirst + 500;
  conditions.created_before = kFirst + 510;
  conditions.kind = FileKind::kNormal;
  const Lister lister = List(files, conditions);
  EXPECT_EQ(lister.names.size(), 20u);
  EXPECT_EQ(lister.records, 20);
  EXPECT_EQ(lister.keys, 24);  // And one in front and one behind, of each node.
}

TEST(FileFilterTest, OfNamesWithAPrefixLooksAtNoOthers) {
  Names names;
  Files files;
  std::string wanted;
  for (int64_t second = 0; second < 1000; ++second) {
    KnownFile known;
    known.file.name = names.Make(3, kFirst + second, "");
    wanted = known.file.name;
    Add(&files, known);
  }
  FileConditions conditions;
  conditions.prefix = wanted.substr(6);
  EXPECT_EQ(List(files, conditions).keys, 1);
  conditions.prefix = wanted;
  EXPECT_EQ(List(files, conditions).keys, 1);
  EXPECT_EQ(List(files, conditions).names, std::set<std::string>{wanted});
}

}  // namespace
}  // namespace storage
}  // namespace cairn
