// The rules that are the node's and not one path's: which path, which name, and
// that a retry stores nothing twice whichever path it lands on.

#include "services/storage/core/storage_node.h"

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/name_clock.h"
#include "services/storage/core/testing/fake_store_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StorageNodeTest : public ::testing::Test {
 protected:
  void MakeNode(size_t paths, PathPolicy policy = PathPolicy::kRoundRobin) {
    NodeIdentity identity;
    identity.name = "node-a";
    identity.node_uuid = Uuid::Random();
    identity.node_number = 77;
    identity.group = "group1";
    node_ = std::make_unique<StorageNode>(identity, policy, &codec_, &clock_);
    for (size_t i = 0; i < paths; ++i) AddPath();
  }

  FakeStorePath* AddPath() {
    auto path = std::make_unique<FakeStorePath>();
    FakeStorePath* const fake = path.get();
    auto holder = std::make_shared<std::unique_ptr<StorePath>>(std::move(path));
    StorePathHooks hooks;
    hooks.open = [holder]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
      if (*holder == nullptr) {
        return std::unique_ptr<StorePath>(std::make_unique<FakeStorePath>());
      }
      return std::move(*holder);
    };
    hooks.rebuild = [this](std::function<void(const JobProgress&)> progress) {
      progress({1, 2});
      ++rebuilds_;
      return rebuild_outcome_;
    };
    EXPECT_THAT(node_->AddPath("/disk", std::move(hooks)), IsOk());
    fakes_.push_back(fake);
    return fake;
  }

  // Stores an empty file and returns its ID.
  std::string PutSomething(uint8_t index, const Uuid& request_id = Uuid()) {
    const auto made = node_->MakeName(index, FileKind::kNormal, 0, 0, "txt");
    PutRequest put;
    put.request_id = request_id;
    put.name = made.name;
    put.create_unix_seconds = made.create_unix_seconds;
    fakes_[index]->Put(put, [](absl::StatusOr<Committed> committed) {
      EXPECT_THAT(committed, IsOk());
    });
    return node_->FileId(index, made.name);
  }

  // The claim, or the error; waits for it.
  absl::StatusOr<StorageNode::Claim> Claim(const Uuid& id, uint8_t target) {
    Notification done;
    absl::StatusOr<StorageNode::Claim> result = absl::InternalError("not run");
    node_->ClaimRequest(id, Durability::kSynced, target, [&](auto claim) {
      result = std::move(claim);
      done.Notify();
    });
    done.WaitForNotification();
    return result;
  }

  FakeClock clock_;
  FileIdCodec codec_{"secret"};
  absl::Status rebuild_outcome_;
  int rebuilds_ = 0;
  std::vector<FakeStorePath*> fakes_;
  std::unique_ptr<StorageNode> node_;
};

TEST_F(StorageNodeTest, LocatesWhatItNamed) {
  MakeNode(2);
  const std::string id = PutSomething(1);
  const auto located = node_->Locate(id);
  ASSERT_THAT(located, IsOk());
  EXPECT_EQ(located->id.store_path, 1);
  EXPECT_EQ(located->id.ToString(), id);
  EXPECT_THAT(located->path->Stat(located->id.name), IsOk());
}

TEST_F(StorageNodeTest, RefusesForgedForeignAndUnknownIds) {
  MakeNode(1);
  const auto reason = [this](const FileIdCodec& codec, const std::string& group,
                             uint8_t path) {
    FileIdParts parts{group, path, codec.MakeName(group, path, {}, "")};
    return ReasonOf(node_->Locate(parts.ToString()).status());
  };
  EXPECT_EQ(reason(FileIdCodec("x"), "group1", 0), ErrorReason::kForgedFileId);
  EXPECT_EQ(reason(codec_, "group2", 0), ErrorReason::kWrongGroup);
  EXPECT_EQ(reason(codec_, "group1", 9), ErrorReason::kUnknownStorePath);
}

TEST_F(StorageNodeTest, NamesAreNeverMadeTwice) {
  MakeNode(1);
  std::set<std::string> names;
  for (int i = 0; i < 3000; ++i) {
    names.insert(node_->MakeName(0, FileKind::kNormal, 1, 1, "").name);
    if (i == 1000) clock_.Advance(absl::Seconds(5));
    if (i == 2000) clock_.JumpTo(absl::FromUnixSeconds(1000));
  }
  EXPECT_EQ(names.size(), 3000u);
}

TEST_F(StorageNodeTest, NamesAreYoungerThanWhatThePathsHold) {
  MakeNode(0);
  auto path = std::make_unique<FakeStorePath>();
  const int64_t newest = absl::ToUnixSeconds(clock_.Now()) + 500;
  path->set_newest_create_unix_seconds(newest);
  auto holder = std::make_shared<std::unique_ptr<StorePath>>(std::move(path));
  StorePathHooks hooks;
  hooks.open = [holder]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
    return std::move(*holder);
  };
  ASSERT_THAT(node_->AddPath("/disk", std::move(hooks)), IsOk());
  EXPECT_EQ(node_->MakeName(0, FileKind::kNormal, 0, 0, "").create_unix_seconds,
            newest + 1);
}

TEST(NameClockTest, AUsedUpSecondBorrowsFromTheNext) {
  NameClock names;
  NameClock::Moment last;
  for (int i = 0; i < (1 << 24); ++i) last = names.Next(100);
  EXPECT_EQ(last.unix_seconds, 100u);
  EXPECT_EQ(last.counter, 0xFFFFFFu);
  const NameClock::Moment next = names.Next(100);
  EXPECT_EQ(next.unix_seconds, 101u);
  EXPECT_EQ(next.counter, 0u);
}

TEST_F(StorageNodeTest, UploadsGoRoundThePathsThatTakeThem) {
  MakeNode(3);
  fakes_[1]->set_free_bytes(10);
  std::vector<int> chosen;
  for (int i = 0; i < 6; ++i) {
    const auto placed = node_->Place("", absl::nullopt, 100);
    ASSERT_THAT(placed, IsOk());
    chosen.push_back(placed->index);
  }
  EXPECT_THAT(chosen, ElementsAre(0, 2, 2, 0, 2, 2));
}

TEST_F(StorageNodeTest, MostFreePlacesWhereThereIsMostRoom) {
  MakeNode(3, PathPolicy::kMostFree);
  fakes_[0]->set_free_bytes(1000);
  fakes_[1]->set_free_bytes(3000);
  fakes_[2]->set_free_bytes(2000);
  EXPECT_EQ(node_->Place("", absl::nullopt, 1)->index, 1);
  fakes_[1]->set_free_bytes(1);
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(node_->Place("", absl::nullopt, 1)->index, 2);
}

TEST_F(StorageNodeTest, AnExplicitPathIsTakenOrRefusedWithItsOwnReason) {
  MakeNode(2);
  EXPECT_EQ(node_->Place("group1", 1, 1)->index, 1);
  fakes_[1]->set_free_bytes(0);
  EXPECT_EQ(ReasonOf(node_->Place("", 1, 1).status()), ErrorReason::kDiskFull);
  EXPECT_EQ(ReasonOf(node_->Place("", 7, 1).status()),
            ErrorReason::kUnknownStorePath);
  EXPECT_EQ(ReasonOf(node_->Place("group9", 0, 1).status()),
            ErrorReason::kWrongGroup);
}

TEST_F(StorageNodeTest, WhenNothingTakesItFullIsTheReasonThatIsTold) {
  MakeNode(2);
  fakes_[0]->set_free_bytes(0);
  fakes_[1]->set_refusal(ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                                         ErrorReason::kStorePathReadOnly, ""));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(ReasonOf(node_->Place("", absl::nullopt, 1).status()),
              ErrorReason::kDiskFull);
  }
}

TEST_F(StorageNodeTest, APathThatCannotBeOpenedIsOfflineAndSaysWhy) {
  MakeNode(1);
  StorePathHooks hooks;
  hooks.open = []() -> absl::StatusOr<std::unique_ptr<StorePath>> {
    return absl::NotFoundError("no disk at /disk1");
  };
  EXPECT_THAT(node_->AddPath("/disk1", std::move(hooks)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(node_->Path(1),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no disk")));
  EXPECT_EQ(node_->Status()[1].state, StorePathState::kOffline);
  EXPECT_EQ(node_->Status()[1].detail, "no disk at /disk1");
  EXPECT_EQ(node_->Place("", absl::nullopt, 1)->index, 0);
  EXPECT_EQ(node_->Place("", absl::nullopt, 1)->index, 0);
}

TEST_F(StorageNodeTest, ARetryFindsTheAnswerOnWhicheverPathItWasGiven) {
  MakeNode(3);
  for (const bool cold : {false, true}) {
    for (FakeStorePath* const fake : fakes_) fake->set_cold(cold);
    const Uuid id = Uuid::Random();
    {
      const auto fresh = Claim(id, 0);
      ASSERT_THAT(fresh, IsOk());
      EXPECT_FALSE(fresh->replay().has_value());
    }
    const std::string file_id = PutSomething(2, id);
    const auto retry = Claim(id, 0);
    ASSERT_THAT(retry, IsOk());
    ASSERT_TRUE(retry->replay().has_value());
    EXPECT_EQ(retry->replay()->path_index, 2);
    EXPECT_TRUE(retry->replay()->committed.replayed);
    EXPECT_EQ(node_->FileId(2, retry->replay()->committed.file.name), file_id);
  }
}

TEST_F(StorageNodeTest, OfTwoCallsAtOnceTheSecondIsToldToRetry) {
  MakeNode(2);
  const Uuid id = Uuid::Random();
  {
    const auto first = Claim(id, 0);
    ASSERT_THAT(first, IsOk());
    EXPECT_EQ(ReasonOf(Claim(id, 1).status()), ErrorReason::kRequestInProgress);
    EXPECT_THAT(Claim(Uuid::Random(), 1), IsOk());
  }
  EXPECT_THAT(Claim(id, 1), IsOk());
}

TEST_F(StorageNodeTest, RebuildWaitsForWhoeverUsesThePath) {
  MakeNode(2);
  auto held = node_->Path(0);
  ASSERT_THAT(held, IsOk());
  std::thread rebuild(
      [this] { EXPECT_THAT(node_->RebuildIndex(0, [](auto&) {}), IsOk()); });
  while (node_->Status()[0].state != StorePathState::kOffline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(ReasonOf(node_->Path(0).status()), ErrorReason::kStorePathOffline);
  EXPECT_EQ(ReasonOf(node_->RebuildIndex(0, [](auto&) {})),
            ErrorReason::kJobRunning);
  EXPECT_EQ(rebuilds_, 0);
  held->reset();
  rebuild.join();
  EXPECT_EQ(rebuilds_, 1);
  EXPECT_THAT(node_->Path(0), IsOk());
}

TEST_F(StorageNodeTest, AFailedRebuildLeavesThePathOfflineWithTheReason) {
  MakeNode(1);
  rebuild_outcome_ = absl::DataLossError("segment 3");
  EXPECT_THAT(node_->RebuildIndex(0, [](auto&) {}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(node_->Status()[0].detail, HasSubstr("segment 3"));
  rebuild_outcome_ = absl::OkStatus();
  EXPECT_THAT(node_->RebuildIndex(0, [](auto&) {}), IsOk());
  EXPECT_THAT(node_->Path(0), IsOk());
}

TEST_F(StorageNodeTest, AfterStopEveryCallIsRefused) {
  MakeNode(1);
  node_->Stop();
  EXPECT_EQ(ReasonOf(node_->Place("", absl::nullopt, 1).status()),
            ErrorReason::kShuttingDown);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
