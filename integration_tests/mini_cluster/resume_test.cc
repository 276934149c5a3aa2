// `cairn put --resume` against a real storage, with each of the two killed with
// -9 in the middle: it goes on where it was, and there is one file in the end.
//
// The storage waits a little whenever it has made parts durable, and longer
// before it makes a file of them, so that there is a middle.

#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/check.h"
#include "lib/io/file_system.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kSourceBytes = (70 << 20) + 12345;
constexpr int64_t kFileBytesMax = 256 << 20;
constexpr char kSlow[] =
    "--enable_fault_points=upload.before_record=delay:2s@1+;"
    "upload.before_publish_session=delay:60s@1+";

std::string RandomContent(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string content(kSourceBytes, '\0');
  for (size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>(i % 8 == 0 ? random() : i);
  }
  return content;
}

class ResumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = MiniCluster::Start({});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    ASSERT_THAT(cluster_->storage()->KillAndRestart({kSlow}), IsOk());
  }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(cluster_->folder(), "/", name);
  }
  std::string journal() const { return Path("journal"); }

  void WriteSource(const std::string& content) {
    CAIRN_CHECK_OK(
        ReplaceFile(FileSystem::Real(), Path("source.bin"), content));
  }

  std::unique_ptr<Process> StartPut(int streams) {
    auto process = Process::Start(
        {Runfile("clients/cli/cairn"),
         {"put", Path("source.bin"), "--resume", "--journal", journal(),
          "--streams", absl::StrCat(streams), "--attribute", "k=v",
          "--no-progress", "--storage", cluster_->storage()->address()},
         Path(absl::StrCat("put", ++runs_, ".log"))});
    CAIRN_CHECK_OK(process.status());
    return *std::move(process);
  }

  // Until the journal tells of `parts` of them.
  void AwaitParts(Process* process, size_t parts) {
    const absl::Time limit = absl::Now() + kProcessDeadline;
    size_t found = 0;
    do {
      ASSERT_FALSE(process->ended().has_value()) << process->Log();
      ASSERT_LT(absl::Now(), limit) << process->Log();
      absl::SleepFor(absl::Milliseconds(5));
      const auto text =
          ReadWholeFile(FileSystem::Real(), journal(), kFileBytesMax);
      found = 0;
      if (!text.ok()) continue;
      for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
        if (absl::StartsWith(line, "part\t")) ++found;
      }
    } while (found < parts);
  }

  // The ID that a put printed, once it has ended well.
  std::string AwaitId(Process* process) {
    const auto ended = process->Wait();
    EXPECT_THAT(ended, IsOk());
    if (!ended.ok()) return "";
    EXPECT_EQ(ended->ToString(), "exit 0") << process->Log();
    for (const absl::string_view line : absl::StrSplit(process->Log(), '\n')) {
      if (absl::StartsWith(line, "group1/")) return std::string(line);
    }
    ADD_FAILURE() << process->Log();
    return "";
  }

  void ExpectStored(const std::string& id, const std::string& content) {
    auto get = Process::Start({Runfile("clients/cli/cairn"),
                               {"get", id, "-o", Path("copy"), "--no-progress",
                                "--storage", cluster_->storage()->address()},
                               Path(absl::StrCat("get", ++runs_, ".log"))});
    ASSERT_THAT(get, IsOk());
    const auto ended = (*get)->Wait();
    ASSERT_THAT(ended, IsOk());
    ASSERT_EQ(ended->ToString(), "exit 0") << (*get)->Log();
    const auto copy =
        ReadWholeFile(FileSystem::Real(), Path("copy"), kFileBytesMax);
    ASSERT_THAT(copy, IsOk());
    EXPECT_TRUE(*copy == content);
    auto attributes = Process::Start(
        {Runfile("clients/cli/cairn"),
         {"attributes", "get", id, "--storage", cluster_->storage()->address()},
         Path(absl::StrCat("attributes", ++runs_, ".log"))});
    ASSERT_THAT(attributes, IsOk());
    ASSERT_THAT((*attributes)->Wait(), IsOk());
    EXPECT_THAT((*attributes)->Log(), ::testing::HasSubstr("k=v"));
  }

  // Segments of large files, and what is in uploads/.
  int CountLarge() const {
    int count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(
             cluster_->path_folder() + "/segments")) {
      if (entry.is_regular_file() && entry.file_size() > kSourceBytes) ++count;
    }
    return count;
  }
  int CountUploads() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(
             cluster_->path_folder() + "/uploads")) {
      static_cast<void>(entry);
      ++count;
    }
    return count;
  }

  std::unique_ptr<MiniCluster> cluster_;
  int runs_ = 0;
};

TEST_F(ResumeTest, GoesOnAfterEitherSideWasKilled) {
  const std::string content = RandomContent(1);
  WriteSource(content);
  auto first = StartPut(/*streams=*/1);
  AwaitParts(first.get(), 1);
  first->Kill();

  // The next one finds a part there, and loses its storage.
  ASSERT_THAT(cluster_->storage()->KillAndRestart({kSlow}), IsOk());
  auto second = StartPut(/*streams=*/1);
  AwaitParts(second.get(), 2);
  cluster_->storage()->Kill();
  ASSERT_THAT(cluster_->storage()->Start(), IsOk());
  const std::string id = AwaitId(second.get());
  EXPECT_THAT(second->Log(), HasSubstr("going on with the upload"));
  EXPECT_THAT(second->Log(), Not(HasSubstr("beginning anew")));
  ExpectStored(id, content);
  EXPECT_EQ(CountLarge(), 1);
  EXPECT_EQ(CountUploads(), 0);
  EXPECT_FALSE(std::filesystem::exists(journal()));
}

TEST_F(ResumeTest, WhatNobodyFinishesIsListedAndAborted) {
  const std::string content = RandomContent(5);
  WriteSource(content);
  auto first = StartPut(/*streams=*/1);
  AwaitParts(first.get(), 1);
  first->Kill();
  ASSERT_THAT(cluster_->storage()->KillAndRestart(), IsOk());

  const auto run = [this](std::vector<std::string> arguments, int code) {
    arguments.insert(arguments.end(),
                     {"--storage", cluster_->storage()->address()});
    auto process = Process::Start({Runfile("clients/cli/cairn"), arguments,
                                   Path(absl::StrCat("run", ++runs_, ".log"))});
    CAIRN_CHECK_OK(process.status());
    const auto ended = (*process)->Wait();
    EXPECT_THAT(ended, IsOk());
    if (ended.ok()) {
      EXPECT_EQ(ended->code, code) << (*process)->Log();
    }
    return (*process)->Log();
  };
  const std::string listed =
      run({"uploads", "--json", "--secret-file", cluster_->secret_file()}, 0);
  EXPECT_THAT(listed, HasSubstr(absl::StrCat("\"size_bytes\":", kSourceBytes)));
  EXPECT_THAT(listed, HasSubstr("\"received_bytes\":"));
  const std::string before = "\"upload_id\":\"";
  const size_t at = listed.find(before);
  ASSERT_NE(at, std::string::npos) << listed;
  const size_t begin = at + before.size();
  const std::string id = listed.substr(begin, listed.find('"', begin) - begin);
  EXPECT_THAT(run({"uploads", "--secret-file", cluster_->secret_file()}, 0),
              HasSubstr(id));
  EXPECT_THAT(run({"uploads"}, 2), HasSubstr("--secret-file"));
  // Nobody can be asked.
  EXPECT_THAT(run({"uploads", "abort", id}, 2), HasSubstr("--yes"));
  EXPECT_GT(CountUploads(), 0);
  run({"uploads", "abort", id, "--yes"}, 0);
  EXPECT_EQ(CountUploads(), 0);
  EXPECT_THAT(run({"uploads", "abort", id, "--yes"}, 3),
              HasSubstr("not known here"));
  EXPECT_THAT(run({"uploads", "--secret-file", cluster_->secret_file()}, 0),
              Not(HasSubstr(id)));

  auto second = StartPut(/*streams=*/1);
  ExpectStored(AwaitId(second.get()), content);
  EXPECT_EQ(CountLarge(), 1);
}

TEST_F(ResumeTest, SendsPartsSideBySide) {
  const std::string content = RandomContent(2);
  WriteSource(content);
  auto first = StartPut(/*streams=*/3);
  AwaitParts(first.get(), 1);
  first->Kill();
  ASSERT_THAT(cluster_->storage()->KillAndRestart(), IsOk());
  auto second = StartPut(/*streams=*/3);
  const std::string id = AwaitId(second.get());
  ExpectStored(id, content);
  EXPECT_EQ(CountLarge(), 1);
  EXPECT_EQ(CountUploads(), 0);
}

TEST_F(ResumeTest, BeginsAnewWhenTheSourceHasChanged) {
  WriteSource(RandomContent(3));
  auto first = StartPut(/*streams=*/1);
  AwaitParts(first.get(), 1);
  first->Kill();
  const std::string content = RandomContent(4);
  WriteSource(content);
  ASSERT_THAT(cluster_->storage()->KillAndRestart(), IsOk());
  auto second = StartPut(/*streams=*/1);
  const std::string id = AwaitId(second.get());
  EXPECT_THAT(second->Log(), HasSubstr("has changed"));
  ExpectStored(id, content);
  EXPECT_EQ(CountLarge(), 1);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
