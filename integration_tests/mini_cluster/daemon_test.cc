// What every daemon does for whoever runs it: says when it is ready, says
// whether it is well, names what is wrong with its configuration, stops when it
// is told to, and comes back at the same place.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/disks.h"
#include "integration_tests/mini_cluster/health.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/uuid.h"
#include "lib/rpc/channel.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// Runs the daemon's program until it ends by itself; returns what it printed.
std::string Output(Daemon* daemon, const std::string& flag,
                   const std::string& expected_end) {
  EXPECT_THAT(daemon->Launch({flag}), IsOk());
  auto ended = daemon->process()->Wait();
  EXPECT_THAT(ended, IsOk());
  if (ended.ok()) {
    EXPECT_EQ(ended->ToString(), expected_end) << daemon->process()->Log();
  }
  return daemon->process()->Log();
}

class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = MiniCluster::Start({});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
  }

  std::vector<Daemon*> daemons() {
    return {cluster_->tracker(), cluster_->storage()};
  }

  std::unique_ptr<MiniCluster> cluster_;
};

TEST_F(DaemonTest, IsHealthyOnceItIsReady) {
  for (Daemon* daemon : daemons()) {
    SCOPED_TRACE(daemon->program());
    const auto channel = rpc::MakeChannel(daemon->address());
    for (const char* service : {"", "liveness", "readiness"}) {
      EXPECT_THAT(CheckHealth(channel, service, kProcessDeadline),
                  IsOkAndHolds(true))
          << service;
    }
    EXPECT_THAT(CheckHealth(channel, "no.such.Service", kProcessDeadline),
                StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_F(DaemonTest, StopsOnSigtermAndComesBackAtTheSamePlace) {
  for (Daemon* daemon : daemons()) {
    SCOPED_TRACE(daemon->program());
    const std::string address = daemon->address();
    auto ended = daemon->Terminate();
    ASSERT_THAT(ended, IsOk());
    EXPECT_EQ(ended->ToString(), "exit 0");
    ASSERT_THAT(daemon->Start(), IsOk());
    EXPECT_EQ(daemon->address(), address);
  }
}

TEST_F(DaemonTest, ShowsItsConfigurationWithoutTheSecret) {
  for (Daemon* daemon : daemons()) {
    SCOPED_TRACE(daemon->program());
    daemon->Kill();
    const std::string shown = Output(daemon, "--print_config", "exit 0");
    EXPECT_THAT(shown, HasSubstr("cluster_secret"));
    EXPECT_THAT(shown, Not(HasSubstr("a secret for tests alone")));
    EXPECT_THAT(Output(daemon, "--check_config", "exit 0"), HasSubstr("good"));
  }
}

TEST_F(DaemonTest, NamesTheFieldThatIsWrong) {
  for (Daemon* daemon : daemons()) {
    SCOPED_TRACE(daemon->program());
    daemon->Kill();
    EXPECT_THAT(Output(daemon, "--set=cluster_id=7", "exit 1"),
                HasSubstr("cluster_id: "));
    EXPECT_THAT(Output(daemon, "--set=no_such_field=7", "exit 1"),
                HasSubstr("no_such_field"));
  }
}

TEST_F(DaemonTest, ShowsWhatIsInASegmentWithoutAConfiguration) {
  StorageStub stub(cluster_->storage()->address());
  ASSERT_THAT(stub.Put(Uuid::Random(), "kept"), IsOk());
  const std::vector<std::string> segments =
      FilesBelow(cluster_->path_folder(), ".seg");
  ASSERT_THAT(segments, SizeIs(1));
  const auto run = [this](const std::vector<std::string>& files,
                          const std::string& expected_end) {
    const std::string log = absl::StrCat(MakeTempFolder("dump"), "/log");
    std::vector<std::string> arguments = {"dump-segment"};
    arguments.insert(arguments.end(), files.begin(), files.end());
    auto dump =
        Process::Start({cluster_->storage()->program(), arguments, log});
    EXPECT_THAT(dump, IsOk());
    if (!dump.ok()) return std::string();
    auto ended = (*dump)->Wait();
    EXPECT_THAT(ended, IsOk());
    if (ended.ok()) {
      EXPECT_EQ(ended->ToString(), expected_end);
    }
    return (*dump)->Log();
  };
  // While the node has the path open.
  EXPECT_THAT(run(segments, "exit 0"),
              AllOf(HasSubstr("kind=SHARED"), HasSubstr("OPENED"),
                    HasSubstr(" PUT "), HasSubstr("damaged places: 0")));
  // One that is none does not hide the others.
  EXPECT_THAT(
      run({cluster_->storage()->config_file(), segments[0]}, "exit 1"),
      AllOf(HasSubstr("the .seg files below segments/"), HasSubstr(" PUT ")));
  cluster_->storage()->Kill();
  FlipBit(segments[0], 4200, 0);
  EXPECT_THAT(run(segments, "exit 1"), HasSubstr("DAMAGED"));
  EXPECT_THAT(run({"--help"}, "exit 0"), HasSubstr("files"));
}

}  // namespace
}  // namespace testing
}  // namespace cairn
