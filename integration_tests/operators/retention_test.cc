// A member that was taken out of its group, and comes back when the others have
// forgotten what they did meanwhile: their logs are cut, the tombstones of what
// they deleted are gone. Real processes; times that are days elsewhere are
// seconds here.

#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

constexpr char kShortRetentions[] =
    "engine { tombstone_retention { seconds: 1 } request_retention { seconds: "
    "1 } log_retention { seconds: 1 } log_retention_longest { seconds: 2 } "
    "undelete_window { seconds: 0 } }\n";

struct Stored {
  std::string file_id;
  std::string content;
};

class RetentionTest : public ::testing::Test {
 protected:
  void Start(int members) {
    auto cluster = MiniCluster::Start({.storages = members,
                                       .members = members,
                                       .storage_config = kShortRetentions});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    for (int i = 0; i < members; ++i) {
      stubs_.push_back(
          std::make_unique<StorageStub>(cluster_->storage(i)->address()));
    }
    std::ifstream config(cluster_->tracker()->config_file());
    std::string secret;
    for (std::string line; std::getline(config, line);) {
      absl::string_view text = line;
      if (absl::ConsumePrefix(&text, "cluster_secret: \"") &&
          absl::ConsumeSuffix(&text, "\"")) {
        secret = std::string(text);
      }
    }
    ASSERT_NE(secret, "");
    std::ofstream(SecretFile()) << secret << "\n";
    ASSERT_EQ(chmod(SecretFile().c_str(), 0600), 0);
  }

  std::string SecretFile() const {
    return absl::StrCat(cluster_->folder(), "/secret");
  }

  // Runs `cairn node …`, again and again until it is done: a tracker may not
  // have heard yet that a node is gone.
  void Decide(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "node");
    arguments.insert(arguments.end(),
                     {"--tracker", cluster_->tracker()->address(), "--timeout",
                      "60s", "--secret-file", SecretFile()});
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    std::string said;
    do {
      auto process = Process::Start(
          {Runfile("clients/cli/cairn"), arguments,
           absl::StrCat(cluster_->folder(), "/cairn", ++commands_)});
      ASSERT_THAT(process, IsOk());
      const auto status = (*process)->Wait();
      ASSERT_THAT(status, IsOk());
      said = (*process)->Log();
      if (status->code.value_or(-1) == 0) return;
    } while (absl::Now() < deadline);
    FAIL() << said;
  }

  void Put(int member, int count) {
    for (int i = 0; i < count; ++i) {
      Stored file;
      file.content = ContentOf(++seed_, i % 3 == 2 ? 300000 : 1000);
      auto stored = stubs_[member]->Put(Uuid::Random(), file.content);
      ASSERT_THAT(stored, IsOk());
      file.file_id = stored->file_id;
      files_.push_back(std::move(file));
    }
  }

  // Waits until the member itself has every file, and no other.
  void ExpectAllAt(int member) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    const auto wanted = static_cast<int64_t>(files_.size());
    absl::StatusOr<int64_t> files;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      files = stubs_[member]->Files();
    } while ((!files.ok() || *files != wanted) && absl::Now() < deadline);
    ASSERT_THAT(files, IsOkAndHolds(wanted)) << "at member " << member;
    for (const Stored& file : files_) {
      absl::StatusOr<std::string> content;
      do {
        content = stubs_[member]->Get(file.file_id);
      } while (ReasonOf(content.status()) == ErrorReason::kContentNotHere &&
               absl::Now() < deadline);
      ASSERT_THAT(content, IsOk()) << file.file_id;
      EXPECT_TRUE(*content == file.content) << file.file_id;
    }
  }

  // Everything that the member's own log tells is cut, and no tombstone is left
  // of `deleted`.
  bool HasForgotten(int member, const std::vector<Stored>& deleted) {
    EXPECT_THAT(stubs_[member]->Compact(0, 0), IsOk());
    const auto state = stubs_[member]->State();
    EXPECT_THAT(state, IsOk());
    if (!state.ok()) return false;
    for (const auto& log : state->store_paths(0).replication().logs()) {
      if (log.own() && log.cut_sequence() != log.applied_sequence()) {
        not_forgotten_ = log.ShortDebugString();
        return false;
      }
    }
    for (const Stored& file : deleted) {
      const absl::Status status = stubs_[member]->Stat(file.file_id).status();
      if (ReasonOf(status) != ErrorReason::kFileNotFound) {
        not_forgotten_ = status.ToString();
        return false;
      }
    }
    return true;
  }

  // The first two have: each asks the other for what it does not know.
  void AwaitForgotten(const std::vector<Stored>& deleted) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (true) {
      const bool first = HasForgotten(0, deleted);
      const bool second = HasForgotten(1, deleted);
      if (first && second) return;
      ASSERT_LT(absl::Now(), deadline) << not_forgotten_;
      absl::SleepFor(absl::Milliseconds(100));
    }
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::vector<std::unique_ptr<StorageStub>> stubs_;
  std::vector<Stored> files_;
  std::string not_forgotten_;
  uint64_t seed_ = 0;
  int commands_ = 0;
};

TEST_F(RetentionTest, AMemberThatComesBackBringsNothingBack) {
  Start(/*members=*/3);
  Put(0, 12);
  Put(2, 6);
  for (int member = 0; member < 3; ++member) ExpectAllAt(member);

  cluster_->storage(2)->Kill();
  Decide({"remove", "storage2", "--force", "--yes"});
  std::vector<Stored> deleted;
  for (int i = 0; i < 8; ++i) {
    deleted.push_back(std::move(files_[2 * i]));
    ASSERT_THAT(stubs_[i % 2]->Delete(Uuid::Random(), deleted.back().file_id),
                IsOk());
  }
  std::vector<Stored> left;
  for (Stored& file : files_) {
    if (!file.file_id.empty()) left.push_back(std::move(file));
  }
  files_ = std::move(left);
  // Fewer than before: what the third one has now is not taken for it.
  Put(0, 3);
  Put(1, 3);
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
  ASSERT_NO_FATAL_FAILURE(AwaitForgotten(deleted));

  Decide({"restore", "storage2"});
  ASSERT_THAT(cluster_->storage(2)->Start(), IsOk());
  ExpectAllAt(2);
  EXPECT_TRUE(absl::StrContains(cluster_->storage(2)->process()->Log(),
                                "snapshot applied"));
  for (const Stored& file : deleted) {
    for (int member = 0; member < 3; ++member) {
      EXPECT_THAT(stubs_[member]->Stat(file.file_id),
                  StatusIs(absl::StatusCode::kNotFound))
          << "at member " << member;
    }
  }
  // And it goes on as before: takes what the others take, and they its.
  Put(2, 3);
  Put(0, 3);
  for (int member = 0; member < 3; ++member) ExpectAllAt(member);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
