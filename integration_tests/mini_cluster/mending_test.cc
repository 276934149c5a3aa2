// What is damaged or lost at one member of a group of real processes comes back
// from the others: found by a scrub, by a comparison, and by `cairn verify`.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/disks.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace testing {
namespace {

struct Stored {
  std::string file_id;
  std::string content;
};

// In one block, in several, and in a segment of its own.
const std::vector<int64_t> kSizes = {100, 4096, 300000, 5 << 20};

class MendingTest : public ::testing::Test {
 protected:
  void Start(int members, int paths) {
    auto cluster = MiniCluster::Start(
        {.storages = members, .members = members, .paths = paths});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    paths_ = paths;
    for (int i = 0; i < members; ++i) {
      stubs_.push_back(
          std::make_unique<StorageStub>(cluster_->storage(i)->address()));
    }
  }

  void Put(int member) {
    for (const int64_t size : kSizes) {
      Stored file;
      file.content = ContentOf(++seed_, size);
      auto stored = stubs_[member]->Put(Uuid::Random(), file.content);
      ASSERT_THAT(stored, IsOk());
      file.file_id = stored->file_id;
      files_.push_back(std::move(file));
    }
  }

  // Until every member has every file, content and all.
  void AwaitAll() {
    for (const auto& stub : stubs_) {
      Await([&] {
        const auto state = stub->State();
        if (!state.ok()) return false;
        int64_t files = 0;
        uint64_t missing = 0;
        for (const auto& path : state->store_paths()) {
          files += path.files();
          missing += path.replication().missing_contents();
        }
        return files == static_cast<int64_t>(files_.size()) && missing == 0;
      });
    }
  }

  template <typename Condition>
  void Await(Condition condition) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (!condition()) {
      ASSERT_LT(absl::Now(), deadline);
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  // Flips a bit in the middle of every content that the member has.
  void DamageAll(int member) {
    int damaged = 0;
    for (int path = 0; path < paths_; ++path) {
      for (const std::string& segment :
           FilesBelow(cluster_->path_folder(member, path), ".seg")) {
        for (const Stored& file : files_) {
          for (const int64_t at :
               FindInFile(segment, file.content.substr(0, 64))) {
            FlipBit(segment, at + static_cast<int64_t>(file.content.size() / 2),
                    2);
            ++damaged;
          }
        }
      }
    }
    EXPECT_EQ(damaged, static_cast<int>(files_.size()));
  }

  // At that member alone: the others are not there any more.
  void ExpectAllGoodAt(int member) {
    for (size_t i = 0; i < stubs_.size(); ++i) {
      if (static_cast<int>(i) != member) cluster_->storage(i)->Kill();
    }
    for (const Stored& file : files_) {
      const auto content = stubs_[member]->Get(file.file_id);
      ASSERT_THAT(content, IsOk()) << file.file_id;
      EXPECT_TRUE(*content == file.content) << file.file_id;
    }
  }

  struct Finished {
    int exit = -1;
    std::string out;  // Lines that are JSON, or all.
    std::string err;
  };

  // Runs `cairn` with the tracker, to its end.
  Finished Cairn(std::vector<std::string> arguments) {
    const bool json = arguments.back() == "--json";
    arguments.insert(arguments.end(), {"--no-progress", "--tracker",
                                       cluster_->tracker()->address()});
    Finished run;
    auto process = Process::Start(
        {Runfile("clients/cli/cairn"), arguments,
         absl::StrCat(cluster_->folder(), "/cairn", ++runs_, ".log")});
    EXPECT_THAT(process, IsOk());
    if (!process.ok()) return run;
    auto ended = (*process)->Wait();
    EXPECT_THAT(ended, IsOk());
    if (ended.ok()) run.exit = ended->code.value_or(-1);
    const std::string log = (*process)->Log();
    for (const absl::string_view line : absl::StrSplit(log, '\n')) {
      const bool is_json = !line.empty() && line[0] == '{';
      absl::StrAppend(json && is_json ? &run.out : &run.err, line, "\n");
    }
    return run;
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::vector<std::unique_ptr<StorageStub>> stubs_;
  std::vector<Stored> files_;
  int runs_ = 0;
  int paths_ = 1;
  uint64_t seed_ = 0;
};

TEST_F(MendingTest, AScrubMendsWhatRottedAtOneMember) {
  Start(/*members=*/2, /*paths=*/2);
  Put(0);
  Put(1);
  AwaitAll();
  DamageAll(1);
  int64_t files = 0;
  int64_t damaged = 0;
  int64_t mended = 0;
  for (int path = 0; path < paths_; ++path) {
    const auto report = stubs_[1]->Scrub(path);
    ASSERT_THAT(report, IsOk());
    files += report->files();
    damaged += report->damaged();
    mended += report->mended();
    EXPECT_EQ(report->unmendable(), 0);
  }
  EXPECT_EQ(files, static_cast<int64_t>(files_.size()));
  EXPECT_EQ(damaged, static_cast<int64_t>(files_.size()));
  EXPECT_EQ(mended, static_cast<int64_t>(files_.size()));
  ExpectAllGoodAt(1);
}

TEST_F(MendingTest, WhatIsBadEverywhereIsNamedAndStays) {
  Start(/*members=*/2, /*paths=*/1);
  Put(0);
  AwaitAll();
  DamageAll(0);
  DamageAll(1);
  const auto report = stubs_[1]->Scrub(0);
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->damaged(), static_cast<int64_t>(files_.size()));
  EXPECT_EQ(report->mended(), 0);
  EXPECT_EQ(report->unmendable(), static_cast<int64_t>(files_.size()));
  const auto state = stubs_[1]->State();
  ASSERT_THAT(state, IsOk());
  const auto& upkeep = state->store_paths(0).upkeep();
  EXPECT_EQ(upkeep.unmendable_files(), files_.size());
  ASSERT_EQ(upkeep.damaged_size(), static_cast<int>(files_.size()));
  for (const auto& file : upkeep.damaged()) {
    // Nobody learns an ID from it.
    EXPECT_THAT(file.masked_file_id(), ::testing::HasSubstr("********"));
    EXPECT_TRUE(file.unmendable());
    EXPECT_THAT(file.detail(), ::testing::HasSubstr("storage0"));
  }
  EXPECT_EQ(ReasonOf(stubs_[1]->Get(files_[0].file_id).status()),
            ErrorReason::kContentDamaged);
}

TEST_F(MendingTest, ACensusFindsAndMendsWhatRotted) {
  Start(/*members=*/2, /*paths=*/1);
  Put(0);
  Put(1);
  AwaitAll();
  // All trackers know both members by now, or will soon.
  Finished run;
  Await([&] {
    run = Cairn({"verify", "--cluster", "--json"});
    return run.exit == 0;
  });
  for (const absl::string_view line :
       absl::StrSplit(run.out, '\n', absl::SkipEmpty())) {
    const auto row = nlohmann::json::parse(std::string(line));
    EXPECT_EQ(row["good"], true) << line;
    EXPECT_EQ(row["compared"], files_.size()) << line;
    EXPECT_EQ(row["mended"], 0) << line;
  }
  DamageAll(1);
  run = Cairn({"verify", "--cluster", "--deep", "--json"});
  EXPECT_EQ(run.exit, 0) << run.err;
  EXPECT_THAT(run.err, ::testing::HasSubstr("every content is what it was; 8 "
                                            "files mended"));
  int64_t damaged = 0;
  for (const absl::string_view line :
       absl::StrSplit(run.out, '\n', absl::SkipEmpty())) {
    damaged += nlohmann::json::parse(std::string(line))["damaged_mended"]
                   .get<int64_t>();
  }
  EXPECT_EQ(damaged, static_cast<int64_t>(files_.size()));
  // A member that is away cannot agree.
  cluster_->storage(0)->Kill();
  run = Cairn({"verify", "--cluster"});
  EXPECT_EQ(run.exit, 4) << run.out << run.err;
  EXPECT_THAT(run.err, ::testing::HasSubstr("bring all members up"));
  ExpectAllGoodAt(1);
}

TEST_F(MendingTest, MembersThatAgreeSaySo) {
  Start(/*members=*/3, /*paths=*/2);
  for (int member = 0; member < 3; ++member) Put(member);
  AwaitAll();
  ASSERT_THAT(stubs_[1]->Delete(Uuid::Random(), files_[3].file_id), IsOk());
  files_.erase(files_.begin() + 3);
  AwaitAll();
  for (int member = 0; member < 3; ++member) {
    int64_t names = 0;
    for (int path = 0; path < paths_; ++path) {
      // Logs may be under way for a moment, and are not held against anybody.
      const auto report = stubs_[member]->Compare(path);
      ASSERT_THAT(report, IsOk());
      EXPECT_EQ(report->peers(), 2u);
      EXPECT_EQ(report->differing(), 0) << report->ShortDebugString();
      names += report->names();
    }
    EXPECT_EQ(names, 2 * static_cast<int64_t>(files_.size()));
  }
}

}  // namespace
}  // namespace testing
}  // namespace cairn
