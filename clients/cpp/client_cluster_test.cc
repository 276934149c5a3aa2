// The client in a cluster that changes: trackers that die, members that die,
// nodes that come, go and move.

#include <string>
#include <thread>
#include <vector>

#include "clients/cpp/client.h"
#include "clients/cpp/testing/fake_storage.h"
#include "clients/cpp/testing/fake_tracker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace client {
namespace {

using ::testing::HasSubstr;

FakeStorage::Options Member(uint32_t number, const std::string& group) {
  FakeStorage::Options options;
  options.group = group;
  options.node_number = number;
  options.name = absl::StrCat("node", number);
  return options;
}

ClientOptions Fast(std::vector<std::string> trackers) {
  ClientOptions options;
  options.trackers = std::move(trackers);
  options.backoff = absl::Milliseconds(5);
  options.backoff_max = absl::Milliseconds(50);
  return options;
}

std::unique_ptr<Client> Connect(const ClientOptions& options) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(options);
  EXPECT_THAT(client, IsOk());
  return *std::move(client);
}

// Until the client has heard of it; the test's own time limit ends it.
void AwaitNodes(const Client& client, size_t nodes) {
  while (client.cluster()->nodes().size() != nodes) {
    std::this_thread::yield();
  }
}

TEST(ClientClusterTest, SpreadsUploadsOverGroupsAndFindsThemAgain) {
  FakeStorage a(Member(1, "group1"));
  FakeStorage b(Member(2, "group2"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(a), NodeOf(b)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  for (int i = 0; i < 10; ++i) {
    const absl::StatusOr<PutResult> put = client->Put(absl::StrCat("file ", i));
    ASSERT_THAT(put, IsOk());
    const absl::StatusOr<GetResult> get = client->Get(put->info.file_id);
    ASSERT_THAT(get, IsOk());
    EXPECT_EQ(std::string(get->content), absl::StrCat("file ", i));
    ASSERT_THAT(client->Stat(put->info.file_id), IsOk());
  }
  EXPECT_EQ(a.files(), 5);
  EXPECT_EQ(b.files(), 5);
  ASSERT_THAT(client->Put("x", {.group = "group2"}), IsOk());
  EXPECT_EQ(b.files(), 6);
  EXPECT_THAT(client->Put("x", {.group = "group3"}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(ClientClusterTest, AttributesAreChangedWhereTheFileWasTaken) {
  FakeStorage a(Member(1, "group1"));
  FakeStorage b(Member(2, "group1"));
  FakeStorage c(Member(3, "group1"));
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(b.Add(absl::StrCat(i)));
  a.CopyFilesFrom(b);
  c.CopyFilesFrom(b);
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(a), NodeOf(b), NodeOf(c)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  AttributeChange change;
  change.set = {{"k", "v"}};
  for (const std::string& id : ids) {
    ASSERT_THAT(client->SetAttributes(id, change), IsOk());
  }
  EXPECT_EQ(b.attribute_changes(), 12);
  b.Kill();
  for (const std::string& id : ids) {
    ASSERT_THAT(client->SetAttributes(id, change), IsOk());
  }
  EXPECT_EQ(a.attribute_changes() + c.attribute_changes(), 12);
}

TEST(ClientClusterTest, DerivedFilesAreStoredWhereTheMasterWasTaken) {
  FakeStorage a(Member(1, "group1"));
  FakeStorage b(Member(2, "group1"));
  FakeStorage c(Member(3, "group1"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(a), NodeOf(b), NodeOf(c)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(b.Add(absl::StrCat(i)));
  const std::string large(1 << 20, 'l');
  for (const std::string& id : ids) {
    ASSERT_THAT(client->Put("s", {.derived_from = id, .prefix = "_small"}),
                IsOk());
    ASSERT_THAT(client->Put(large, {.derived_from = id, .prefix = "_large"}),
                IsOk());
  }
  EXPECT_EQ(b.files(), 36);
  for (const std::string& id : ids) {
    ASSERT_THAT(client->Delete(*DerivedFileId(id, "_large", "")), IsOk());
  }
  b.Kill();
  for (const std::string& id : ids) {
    ASSERT_THAT(client->Put("s", {.derived_from = id, .prefix = "_other"}),
                IsOk());
  }
  EXPECT_EQ(a.files() + c.files(), 12);
}

TEST(ClientClusterTest, AnyTrackerIsEnough) {
  FakeStorage storage;
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(storage)});
  // Nothing listens on the first two.
  const std::unique_ptr<Client> client =
      Connect(Fast({"127.0.0.1:1", "127.0.0.1:2", tracker.address()}));
  EXPECT_THAT(client->Put("x"), IsOk());
}

TEST(ClientClusterTest, NoTrackerAtAllIsUnavailableAndNamesThem) {
  ClientOptions options = Fast({"127.0.0.1:1", "127.0.0.1:2"});
  options.connect_timeout = absl::Milliseconds(300);
  EXPECT_THAT(Client::Connect(options), StatusIs(absl::StatusCode::kUnavailable,
                                                 HasSubstr("127.0.0.1:1")));
}

TEST(ClientClusterTest, GoesOnWithTheLastViewWhenAllTrackersAreGone) {
  FakeStorage storage;
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(storage)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  tracker.Kill();
  const absl::StatusOr<PutResult> put = client->Put("without trackers");
  ASSERT_THAT(put, IsOk());
  EXPECT_THAT(client->Get(put->info.file_id), IsOk());
  EXPECT_THAT(client->Put(std::string(700000, 'x')), IsOk());
}

TEST(ClientClusterTest, FollowsATrackerThatTheViewNames) {
  FakeStorage first(Member(1, "group1"));
  FakeStorage second(Member(2, "group2"));
  FakeTracker given;
  FakeTracker other;
  given.AddTracker(other.address());
  given.SetNodes({NodeOf(first)});
  other.SetNodes({NodeOf(first), NodeOf(second)});
  const std::unique_ptr<Client> client = Connect(Fast({given.address()}));
  given.Kill();
  AwaitNodes(*client, 2);
  EXPECT_THAT(client->Put("x", {.group = "group2"}), IsOk());
}

TEST(ClientClusterTest, ATrackerThatRestartsIsFollowedAgain) {
  FakeStorage first(Member(1, "group1"));
  FakeStorage second(Member(2, "group2"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(first)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  tracker.Kill();
  tracker.SetNodes({NodeOf(first), NodeOf(second)});
  tracker.Restart();
  AwaitNodes(*client, 2);
}

TEST(ClientClusterTest, HearsOfNodesThatComeAndGo) {
  FakeStorage first(Member(1, "group1"));
  FakeStorage second(Member(2, "group2"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(first)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  tracker.SetNodes({NodeOf(first), NodeOf(second)});
  AwaitNodes(*client, 2);
  EXPECT_THAT(client->Put("x", {.group = "group2"}), IsOk());
  tracker.SetNodes({NodeOf(second)});
  AwaitNodes(*client, 1);
  for (int i = 0; i < 4; ++i) ASSERT_THAT(client->Put("y"), IsOk());
  EXPECT_EQ(first.files(), 0);
  EXPECT_EQ(tracker.watches(), 1);
}

TEST(ClientClusterTest, AnotherMemberAnswersWhenOneIsDead) {
  FakeStorage a(Member(1, "group1"));
  FakeStorage b(Member(2, "group1"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(a), NodeOf(b)});
  const std::string small = a.Add("small");
  const std::string large = a.Add(std::string(3000000, 'l'));
  b.CopyFilesFrom(a);
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  a.Kill();
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(client->Get(small), IsOk());
    ASSERT_THAT(client->Stat(small), IsOk());
    ASSERT_THAT(client->Get(large), IsOk());
    ASSERT_THAT(client->Put("x"), IsOk());
    ASSERT_THAT(client->Put(std::string(700000, 'y')), IsOk());
  }
  EXPECT_EQ(b.files(), 2 + 20);
}

TEST(ClientClusterTest, AFullNodeSendsTheUploadToAnother) {
  FakeStorage a(Member(1, "group1"));
  FakeStorage b(Member(2, "group2"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(a), NodeOf(b)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  a.FailNext(1000, ErrorWithReason(absl::StatusCode::kResourceExhausted,
                                   ErrorReason::kDiskFull, "full"));
  for (int i = 0; i < 4; ++i) {
    ASSERT_THAT(client->Put("x"), IsOk());
    ASSERT_THAT(client->Put(std::string(700000, 'y')), IsOk());
  }
  EXPECT_EQ(b.files(), 8);
  b.FailNext(1000, ErrorWithReason(absl::StatusCode::kResourceExhausted,
                                   ErrorReason::kDiskFull, "full too"));
  EXPECT_THAT(client->Put("x"), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(ClientClusterTest, ADamagedFileIsReadFromAnotherMember) {
  FakeStorage a(Member(1, "group1"));
  FakeStorage b(Member(2, "group1"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(a), NodeOf(b)});
  const std::string id = a.Add("precious");
  b.CopyFilesFrom(a);
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  for (int i = 0; i < 10; ++i) {
    a.FailNext(1, ErrorWithReason(absl::StatusCode::kDataLoss,
                                  ErrorReason::kContentDamaged, "damaged"));
    const absl::StatusOr<GetResult> get = client->Get(id);
    ASSERT_THAT(get, IsOk());
    EXPECT_EQ(std::string(get->content), "precious");
  }
}

TEST(ClientClusterTest, WhatWasOpenAtAnOldAddressGoesToTheNew) {
  FakeStorage old_place(Member(1, "group1"));
  FakeStorage new_place(Member(1, "group1"));
  FakeTracker tracker;
  tracker.SetNodes({NodeOf(old_place)});
  const std::unique_ptr<Client> client = Connect(Fast({tracker.address()}));
  old_place.Hold();
  absl::StatusOr<PutResult> put;
  std::thread caller([&] { put = client->Put("on its way"); });
  old_place.AwaitItems(1);
  tracker.SetNodes({NodeOf(new_place)});
  caller.join();
  EXPECT_THAT(put, IsOk());
  EXPECT_EQ(new_place.files(), 1);
  old_place.Release();
}

TEST(ClientClusterTest, AClusterWithoutNodesIsWaitedForAndThenUnavailable) {
  FakeTracker tracker;
  ClientOptions options = Fast({tracker.address()});
  options.attempts_max = 3;
  const std::unique_ptr<Client> client = Connect(options);
  EXPECT_THAT(client->Put("x"), StatusIs(absl::StatusCode::kUnavailable));

  FakeStorage storage;
  ClientOptions patient = Fast({tracker.address()});
  patient.attempts_max = 1000;
  const std::unique_ptr<Client> waiter = Connect(patient);
  absl::StatusOr<PutResult> put;
  std::thread caller([&] { put = waiter->Put("x"); });
  tracker.SetNodes({NodeOf(storage)});
  caller.join();
  EXPECT_THAT(put, IsOk());
}

}  // namespace
}  // namespace client
}  // namespace cairn
