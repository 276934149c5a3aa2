// Addresses are hints: a member that returns at another one, speaks IPv6, hides
// behind a name or advertises something else than it listens on is found by the
// other members and by clients.

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clients/cpp/client.h"
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

namespace cairn {
namespace testing {
namespace {

class AddressTest : public ::testing::Test {
 protected:
  void Start(bool proxies = false) {
    auto cluster =
        MiniCluster::Start({.storages = 2, .members = 2, .proxies = proxies});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    auto client =
        client::Client::Connect({.trackers = cluster_->tracker_addresses(),
                                 .connect_timeout = kProcessDeadline,
                                 .timeout = kProcessDeadline});
    ASSERT_THAT(client, IsOk());
    client_ = *std::move(client);
  }

  // Waits until the client's view has member 1 at this address.
  void AwaitAddress(const std::string& address) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    std::string seen;
    while (seen != address && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(20));
      for (const auto& node : client_->cluster()->nodes()) {
        if (node.name == "storage1") seen = node.address;
      }
    }
    EXPECT_EQ(seen, address);
  }

  // What is put at each member arrives at the other one, small and large, and
  // the client uses both.
  void ExpectBothServe() {
    for (int from = 0; from < 2; ++from) {
      StorageStub source(cluster_->storage(from)->address());
      StorageStub target(cluster_->storage(1 - from)->address());
      for (const int64_t size : {int64_t{1000}, int64_t{2 << 20}}) {
        const std::string content = ContentOf(++seed_, size);
        const auto stored =
            source.Put(Uuid::Random(), content, {.replicas = 1});
        ASSERT_THAT(stored, IsOk());
        AwaitOwnCopy(&target, ++files_);
        EXPECT_THAT(GetOwnCopy(&target, stored->file_id),
                    IsOkAndHolds(content));
      }
    }
    // In turn, so at both.
    for (int i = 0; i < 4; ++i) {
      const auto put = client_->Put("through the library");
      ASSERT_THAT(put, IsOk());
      ++files_;
      EXPECT_THAT(client_->Get(put->info.file_id), IsOk());
    }
  }

  void AwaitOwnCopy(StorageStub* stub, int64_t files) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (absl::Now() < deadline) {
      const auto state = stub->State();
      if (state.ok() && state->store_paths(0).files() == files &&
          state->store_paths(0).replication().missing_contents() == 0) {
        return;
      }
      absl::SleepFor(absl::Milliseconds(20));
    }
    ADD_FAILURE() << "the member never had " << files << " files";
  }

  // What a member says of itself is a moment old.
  absl::StatusOr<std::string> GetOwnCopy(StorageStub* stub,
                                         const std::string& file_id) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::StatusOr<std::string> content;
    do {
      content = stub->Get(file_id);
    } while (ReasonOf(content.status()) == ErrorReason::kContentNotHere &&
             absl::Now() < deadline);
    return content;
  }

  std::string PortOf(int member) {
    const std::vector<std::string> parts =
        absl::StrSplit(cluster_->storage(member)->address(), ':');
    return parts.back();
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::unique_ptr<client::Client> client_;
  uint64_t seed_ = 0;
  int64_t files_ = 0;
};

TEST_F(AddressTest, AMemberReturnsAtAnotherPort) {
  Start();
  ExpectBothServe();
  Daemon* const storage = cluster_->storage(1);
  const std::string before = storage->address();
  storage->Kill();
  storage->SetListen("127.0.0.1:0");
  ASSERT_THAT(storage->Start(), IsOk());
  EXPECT_NE(storage->address(), before);
  AwaitAddress(storage->address());
  ExpectBothServe();
}

TEST_F(AddressTest, AMemberSpeaksIpv6) {
  Start();
  Daemon* const storage = cluster_->storage(1);
  storage->Kill();
  storage->SetListen("[::1]:0");
  const absl::Status started = storage->Start();
  if (!started.ok()) GTEST_SKIP() << "no IPv6 here: " << started;
  AwaitAddress(storage->address());
  ExpectBothServe();
}

TEST_F(AddressTest, AMemberIsAdvertisedByName) {
  Start();
  const std::string name = absl::StrCat("localhost:", PortOf(1));
  ASSERT_THAT(cluster_->storage(1)->KillAndRestart(
                  {absl::StrCat("--set=advertise=", name)}),
              IsOk());
  AwaitAddress(name);
  ExpectBothServe();
}

TEST_F(AddressTest, WhatIsAdvertisedNeedNotBeListenedOn) {
  Start(/*proxies=*/true);
  AwaitAddress(cluster_->link(1)->address());
  ExpectBothServe();
  // The large file of member 1, at least once: who reads it before it has come
  // is passed on.
  EXPECT_GT(cluster_->link(1)->counts().bytes, 2 << 20);
}

TEST_F(AddressTest, ANameIsLookedUpAgain) {
  const std::string hosts = MakeTempFolder("hosts") + "/hosts";
  const std::string common = "127.0.0.1 localhost\n";
  std::ofstream(hosts) << common << "127.0.0.1 member.test\n";
  const absl::Status mounted = MountFile(hosts, "/etc/hosts");
  if (!mounted.ok()) GTEST_SKIP() << mounted;
  Start();
  Daemon* const storage = cluster_->storage(1);
  const std::string port = PortOf(1);
  const std::string flag = absl::StrCat("--set=advertise=member.test:", port);
  ASSERT_THAT(storage->KillAndRestart({flag}), IsOk());
  AwaitAddress(absl::StrCat("member.test:", port));
  ExpectBothServe();
  // The same name and port, on another host.
  storage->Kill();
  std::ofstream(hosts) << common << "127.0.0.2 member.test\n";
  storage->SetListen(absl::StrCat("127.0.0.2:", port));
  const absl::Time moved = absl::Now();
  ASSERT_THAT(storage->Start({flag}), IsOk());
  ExpectBothServe();
  // gRPC would not look for half a minute.
  EXPECT_LT(absl::Now() - moved, absl::Seconds(25));
}

}  // namespace
}  // namespace testing
}  // namespace cairn
