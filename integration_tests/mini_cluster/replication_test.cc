// A group of several members, real processes: what one of them took is read
// back from each of the others, byte for byte, whatever happened meanwhile.

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
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

struct Stored {
  std::string file_id;
  std::string content;
};

// Around what is inline in a message, in a segment of its own, and empty.
const std::vector<int64_t> kSizes = {0, 1, 4096, 300000, 1 << 20, 5 << 20};

class ReplicationTest : public ::testing::Test {
 protected:
  void Start(ClusterOptions options) {
    auto cluster = MiniCluster::Start(options);
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    for (int i = 0; i < options.storages; ++i) {
      stubs_.push_back(
          std::make_unique<StorageStub>(cluster_->storage(i)->address()));
    }
  }

  void Put(int member, const std::vector<int64_t>& sizes) {
    for (const int64_t size : sizes) {
      Stored file;
      file.content = ContentOf(++seed_, size);
      auto stored = stubs_[member]->Put(Uuid::Random(), file.content);
      ASSERT_THAT(stored, IsOk());
      file.file_id = stored->file_id;
      files_.push_back(std::move(file));
    }
  }

  // Waits until the member itself has every file, as its own count says, and
  // reads them.
  void ExpectAllAt(int member) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::StatusOr<int64_t> files;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      files = stubs_[member]->Files();
    } while ((!files.ok() || *files != static_cast<int64_t>(files_.size())) &&
             absl::Now() < deadline);
    ASSERT_THAT(files, IsOkAndHolds(static_cast<int64_t>(files_.size())))
        << "at member " << member;
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

  void AwaitGone(int member, const std::string& file_id) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::Status status;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      status = stubs_[member]->Stat(file_id).status();
    } while (ReasonOf(status) != ErrorReason::kFileDeleted &&
             absl::Now() < deadline);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kFileDeleted) << status;
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::vector<std::unique_ptr<StorageStub>> stubs_;
  std::vector<Stored> files_;
  uint64_t seed_ = 0;
};

TEST_F(ReplicationTest, MembersHaveWhatAnyOfThemTook) {
  Start({.storages = 3, .members = 3, .paths = 2});
  for (int member = 0; member < 3; ++member) Put(member, kSizes);
  for (int member = 0; member < 3; ++member) ExpectAllAt(member);
}

TEST_F(ReplicationTest, ADeletionAtAnyMemberHoldsAtAll) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  const std::string deleted = files_[2].file_id;
  ASSERT_THAT(stubs_[1]->Delete(Uuid::Random(), deleted), IsOk());
  files_.erase(files_.begin() + 2);
  AwaitGone(0, deleted);
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
}

TEST_F(ReplicationTest, AMemberThatWasAwayCatchesUp) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  cluster_->storage(1)->Kill();
  Put(0, kSizes);
  ASSERT_THAT(cluster_->storage(1)->Start(), IsOk());
  Put(1, kSizes);
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
}

TEST_F(ReplicationTest, SurvivorsCompleteTheLogOfADeadMember) {
  Start({.storages = 3, .members = 3});
  Put(0, kSizes);
  ExpectAllAt(1);
  // The third one has nothing that came after; the first never comes back.
  cluster_->storage(2)->Kill();
  Put(0, kSizes);
  ExpectAllAt(1);
  cluster_->storage(0)->Kill();
  ASSERT_THAT(cluster_->storage(2)->Start(), IsOk());
  ExpectAllAt(2);
}

TEST_F(ReplicationTest, AWipedMemberIsFilledAgain) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  Put(1, kSizes);
  ExpectAllAt(0);
  cluster_->storage(1)->Kill();
  std::filesystem::remove_all(cluster_->path_folder(1));
  ASSERT_THAT(cluster_->storage(1)->Start(), IsOk());
  ExpectAllAt(1);
  Put(1, kSizes);
  ExpectAllAt(0);
}

TEST_F(ReplicationTest, AReplacedDiskIsFilledWhileTheOtherServes) {
  Start({.storages = 2, .members = 2, .paths = 2});
  Put(0, kSizes);
  Put(1, kSizes);
  ExpectAllAt(0);
  cluster_->storage(1)->Kill();
  std::filesystem::remove_all(cluster_->path_folder(1, 0));
  ASSERT_THAT(cluster_->storage(1)->Start(), IsOk());
  ExpectAllAt(1);
}

TEST_F(ReplicationTest, ARebuiltIndexIsTakenAsASnapshot) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  cluster_->storage(1)->Kill();
  Put(0, kSizes);
  // The log that tells of these is gone with the index.
  ASSERT_THAT(stubs_[0]->RebuildIndex(0), IsOk());
  Put(0, kSizes);
  ASSERT_THAT(cluster_->storage(1)->Start(), IsOk());
  Put(1, kSizes);
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
