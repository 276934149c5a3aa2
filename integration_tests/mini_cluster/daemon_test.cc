// What every daemon does for whoever runs it: says when it is ready, says
// whether it is well, names what is wrong with its configuration, stops when it
// is told to, and comes back at the same place.

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/health.h"
#include "lib/rpc/channel.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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

}  // namespace
}  // namespace testing
}  // namespace cairn
