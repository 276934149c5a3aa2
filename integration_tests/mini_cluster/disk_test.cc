// Bad disks under a real storage: full, failing and rotting ones. What is wrong
// is said by name, what is damaged is never served, and the rest goes on.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/disks.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "integration_tests/mini_cluster/workload.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr int64_t kKiB = 1 << 10;
constexpr int64_t kMiB = 1 << 20;

// Stores files of `size_bytes` until one is refused, and returns the IDs.
std::vector<std::string> FillUp(StorageStub* stub, int64_t size_bytes,
                                absl::Status* refusal) {
  std::vector<std::string> ids;
  for (int i = 0; i < 10000; ++i) {
    auto stored = stub->Put(Uuid::Random(), ContentOf(i, size_bytes));
    if (!stored.ok()) {
      *refusal = stored.status();
      return ids;
    }
    ids.push_back(stored->file_id);
  }
  ADD_FAILURE() << "the disk never got full";
  return ids;
}

// Waits until the node says of its path that it is in `state`; returns what it
// says besides.
std::string AwaitPathState(StorageStub* stub,
                           cairn::storage::v1::StorePathState state) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (true) {
    auto now = stub->State();
    EXPECT_THAT(now, IsOk());
    if (!now.ok()) return "";
    if (now->store_paths(0).state() == state) {
      return now->store_paths(0).detail();
    }
    if (absl::Now() > deadline) {
      ADD_FAILURE() << "the path never was "
                    << cairn::storage::v1::StorePathState_Name(state) << ": "
                    << now->store_paths(0).ShortDebugString();
      return "";
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}

// A disk without room for large files may have some for small ones. When there
// is none for these either, the node says that the disk is full.
void ExpectFullState(StorageStub* stub) {
  absl::Status refusal;
  FillUp(stub, 4 * kKiB, &refusal);
  EXPECT_EQ(ReasonOf(refusal), ErrorReason::kDiskFull) << refusal;
  EXPECT_THAT(AwaitPathState(stub, cairn::storage::v1::STORE_PATH_STATE_FULL),
              HasSubstr("writes return by themselves"));
}

// A node on a full disk: says so, reads and deletes, and takes writes again by
// itself once there is room.
void ExpectAFullDiskIsBorne(StorageStub* stub, int64_t size_bytes) {
  absl::Status refusal;
  const std::vector<std::string> ids = FillUp(stub, size_bytes, &refusal);
  ASSERT_THAT(ids, SizeIs(::testing::Ge(4)));
  EXPECT_THAT(refusal, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refusal), ErrorReason::kDiskFull) << refusal;

  auto files = stub->Files();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(*files, static_cast<int64_t>(ids.size()));

  ExpectFullState(stub);

  for (size_t i = 0; i < ids.size(); ++i) {
    auto content = stub->Get(ids[i]);
    ASSERT_THAT(content, IsOk());
    EXPECT_EQ(*content, ContentOf(i, size_bytes));
  }
  for (size_t i = 0; i < ids.size() / 2; ++i) {
    ASSERT_THAT(stub->Delete(Uuid::Random(), ids[i]), IsOk());
  }
}

// Puts one file, again and again until the node has room for it.
absl::StatusOr<StoredFile> PutWhenThereIsRoom(StorageStub* stub,
                                              absl::string_view content) {
  const Uuid request = Uuid::Random();
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (true) {
    auto stored = stub->Put(request, content);
    if (stored.ok() || !absl::IsResourceExhausted(stored.status()) ||
        absl::Now() > deadline) {
      return stored;
    }
  }
}

TEST(DiskTest, AFullDiskRefusesWritesServesAndRecovers) {
  // The folder must exist before the node does, so the node is started by hand.
  auto cluster = MiniCluster::Start({.storages = 0});
  ASSERT_THAT(cluster, IsOk());
  const std::string folder = MakeTempFolder("small_disk");
  const absl::Status mounted = MountSmallDisk(folder, 48 * kMiB);
  if (!mounted.ok()) GTEST_SKIP() << mounted;
  auto storage = (*cluster)->AddStorage({folder},
                                        "engine { segment_bytes: 4194304 "
                                        "undelete_window { seconds: 0 } }\n");
  ASSERT_THAT(storage, IsOk());
  StorageStub stub((*storage)->address());
  ExpectAFullDiskIsBorne(&stub, 2 * kMiB);

  const std::string content = ContentOf(99, 2 * kMiB);
  auto stored = PutWhenThereIsRoom(&stub, content);
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(AwaitPathState(&stub, cairn::storage::v1::STORE_PATH_STATE_ACTIVE),
            "");
  auto read = stub.Get(stored->file_id);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, content);

  // And over a restart on the disk that was full.
  ASSERT_THAT((*storage)->KillAndRestart(), IsOk());
  StorageStub again((*storage)->address());
  read = again.Get(stored->file_id);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, content);
}

TEST(DiskTest, ADiskThatFillsInTheMiddleOfAWriteLosesNothing) {
  auto cluster = MiniCluster::Start({});
  ASSERT_THAT(cluster, IsOk());
  auto oracle = Oracle::Open(absl::StrCat((*cluster)->folder(), "/oracle"));
  ASSERT_THAT(oracle, IsOk());
  Daemon* const storage = (*cluster)->storage();
  storage->Kill();
  ASSERT_THAT(
      storage->Start({"--fault_file_system=write:segments/=ENOSPC@40+"}),
      IsOk());
  Workload workload({.callers = 4, .seed = 3}, storage->address(),
                    oracle->get());
  workload.Start();
  workload.AwaitRefused(20);
  EXPECT_THAT(workload.Stop(), IsOk());

  // With room again, everything that was acknowledged is there and no more.
  ASSERT_THAT(storage->KillAndRestart(), IsOk());
  EXPECT_THAT(Verify(oracle->get(), storage->address()), IsOk());
}

TEST(DiskTest, AFailedSyncMakesThePathReadOnlyForGood) {
  auto cluster = MiniCluster::Start({});
  ASSERT_THAT(cluster, IsOk());
  Daemon* const storage = (*cluster)->storage();
  StorageStub before(storage->address());
  auto stored = before.Put(Uuid::Random(), "kept");
  ASSERT_THAT(stored, IsOk());
  storage->Kill();
  ASSERT_THAT(storage->Start({"--fault_file_system=sync:segments/=EIO@3"}),
              IsOk());
  StorageStub stub(storage->address());
  absl::Status failed;
  for (int i = 0; i < 100 && failed.ok(); ++i) {
    failed = stub.Put(Uuid::Random(), ContentOf(i, 10 * kKiB)).status();
  }
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(ReasonOf(failed), ErrorReason::kWriteFailed) << failed;

  const absl::Status refused = stub.Put(Uuid::Random(), "more").status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kStorePathReadOnly) << refused;
  auto state = stub.State();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->store_paths(0).state(),
            cairn::storage::v1::STORE_PATH_STATE_READ_ONLY);
  EXPECT_THAT(state->store_paths(0).detail(), Not(IsEmpty()));
  auto content = stub.Get(stored->file_id);
  ASSERT_THAT(content, IsOk());
  EXPECT_EQ(*content, "kept");
}

// One node with a few files on it, stopped, so that its disk can be damaged.
class RotTest : public ::testing::Test {
 protected:
  static constexpr int kFiles = 6;

  void SetUp() override {
    auto cluster = MiniCluster::Start({});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    StorageStub stub(cluster_->storage()->address());
    for (int i = 0; i < kFiles; ++i) {
      // Of both kinds of segments.
      const int64_t size = i % 2 == 0 ? 300 * kKiB : 3 * kMiB;
      contents_.push_back(ContentOf(1000 + i, size));
      auto stored = stub.Put(Uuid::Random(), contents_.back());
      ASSERT_THAT(stored, IsOk());
      ids_.push_back(stored->file_id);
    }
    ASSERT_THAT(cluster_->storage()->Terminate(), IsOk());
  }

  std::string path() const { return cluster_->path_folder(); }

  // Damages one bit of a file's content, `at` bytes into it.
  void DamageContent(int file, int64_t at) {
    int found = 0;
    for (const std::string& segment : FilesBelow(path(), ".seg")) {
      for (const int64_t offset : FindInFile(
               segment, absl::string_view(contents_[file]).substr(0, 64))) {
        FlipBit(segment, offset + at, 3);
        ++found;
      }
    }
    ASSERT_EQ(found, 1);
  }

  // The node does not open the path, and says which and why.
  void ExpectRefusal(const std::string& why) {
    const absl::Status opened = cluster_->storage()->Start();
    ASSERT_THAT(opened, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(std::string(opened.message()), HasSubstr(path()));
    EXPECT_THAT(std::string(opened.message()), HasSubstr(why));
  }

  void ExpectReadable(StorageStub* stub, int file) {
    auto content = stub->Get(ids_[file]);
    ASSERT_THAT(content, IsOk());
    EXPECT_EQ(*content, contents_[file]);
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::vector<std::string> ids_;
  std::vector<std::string> contents_;
};

TEST_F(RotTest, AFlippedBitInContentIsNamedAndNeverServed) {
  DamageContent(0, 290 * kKiB);
  DamageContent(1, 2 * kMiB + 5);
  ASSERT_THAT(cluster_->storage()->Start(), IsOk());
  StorageStub stub(cluster_->storage()->address());
  for (const int file : {0, 1}) {
    const absl::Status status = stub.Get(ids_[file]).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_EQ(ReasonOf(status), ErrorReason::kContentDamaged) << status;
    // What lies in other blocks is still good.
    auto start = stub.Get(ids_[file], 10, 100 * kKiB);
    ASSERT_THAT(start, IsOk());
    EXPECT_EQ(*start, contents_[file].substr(10, 100 * kKiB));
  }
  for (int file = 2; file < kFiles; ++file) ExpectReadable(&stub, file);
}

TEST_F(RotTest, ALostIndexIsMadeAgainFromTheSegments) {
  int damaged = 0;
  for (const std::string& table : FilesBelow(path(), ".sst")) {
    const int64_t size = static_cast<int64_t>(ReadFile(table).size());
    for (int64_t at = 0; at < size; at += 50) FlipBit(table, at, 1);
    ++damaged;
  }
  ASSERT_GT(damaged, 0);
  const absl::Status opened = cluster_->storage()->Start();
  if (opened.ok()) {
    StorageStub stub(cluster_->storage()->address());
    // Damage may be found when it is opened or when it is read; it is never
    // taken for "no such file".
    for (int file = 0; file < kFiles; ++file) {
      const auto content = stub.Get(ids_[file]);
      if (content.ok()) {
        EXPECT_EQ(*content, contents_[file]);
      } else {
        EXPECT_THAT(content.status().code(),
                    AnyOf(Eq(absl::StatusCode::kDataLoss),
                          Eq(absl::StatusCode::kUnavailable)))
            << content.status();
      }
    }
    ASSERT_THAT(stub.RebuildIndex(0), IsOk());
  } else {
    EXPECT_THAT(std::string(opened.message()), HasSubstr("rebuild-index"));
    auto rebuild = Process::Start(
        {cluster_->storage()->program(),
         {absl::StrCat("--config=", cluster_->storage()->config_file()),
          "rebuild-index", "--path=0"},
         absl::StrCat(cluster_->folder(), "/rebuild_log")});
    ASSERT_THAT(rebuild, IsOk());
    auto ended = (*rebuild)->Wait();
    ASSERT_THAT(ended, IsOk());
    ASSERT_EQ(ended->ToString(), "exit 0") << (*rebuild)->Log();
    ASSERT_THAT(cluster_->storage()->Start(), IsOk());
  }
  StorageStub stub(cluster_->storage()->address());
  for (int file = 0; file < kFiles; ++file) ExpectReadable(&stub, file);
  auto files = stub.Files();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(*files, kFiles);
}

TEST_F(RotTest, ADamagedOrForeignIdentityIsRefusedByName) {
  const std::string identity = absl::StrCat(path(), "/IDENTITY");
  const std::string good = ReadFile(identity);
  std::string bad = good;
  bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
  OverwriteFile(identity, bad);
  ExpectRefusal("IDENTITY");
  OverwriteFile(identity, good);
  ASSERT_THAT(cluster_->storage()->Start(), IsOk());
  StorageStub stub(cluster_->storage()->address());
  for (int file = 0; file < kFiles; ++file) ExpectReadable(&stub, file);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
