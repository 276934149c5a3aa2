// What operators decide with the command, at a real tracker in this process
// with nodes that are made up.

#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cairn/tracker/v1/admin_service.pb.h"
#include "clients/cli/testing/cli_harness.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/rpc/cluster_auth.h"
#include "lib/testing/status_matchers.h"
#include "nlohmann/json.hpp"
#include "services/tracker/api/testing/tracker_harness.h"
#include "services/tracker/tracker_server.h"

namespace cairn {
namespace cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Json = nlohmann::json;
using tracker::FakeNode;
using tracker::UuidOf;
namespace v1 = ::cairn::tracker::v1;

class OperatorTest : public ::testing::Test {
 protected:
  OperatorTest() {
    auto server =
        tracker::TrackerServer::Start(tracker::Config(tracker::NewDirectory()));
    EXPECT_THAT(server, IsOk());
    server_ = *std::move(server);
    one_ = Attached(1);
    two_ = Attached(2);
    WriteSecret(tracker::kSecret);
  }

  std::unique_ptr<FakeNode> Attached(int i) {
    auto node = std::make_unique<FakeNode>(server_->addresses().front());
    const v1::AttachResponse challenge = node->Read();
    node->Write(node->Hello(i, challenge.challenge().nonce()));
    EXPECT_TRUE(node->Read().has_welcome());
    return node;
  }

  void WriteSecret(const std::string& secret) {
    cli_.WriteFile("secret", secret + "\n");
    EXPECT_EQ(chmod(cli_.Path("secret").c_str(), 0600), 0);
    cli_.SetVariable("CAIRN_SECRET_FILE", cli_.Path("secret"));
  }

  CliResult Run(std::vector<std::string> arguments,
                const std::string& in = "") {
    arguments.push_back("--tracker");
    arguments.push_back(server_->addresses().front());
    return cli_.Run(arguments, in);
  }

  // The line of `node list --json` about a node.
  Json Listed(int i) {
    const CliResult list = Run({"node", "list", "--json"});
    EXPECT_EQ(list.exit, 0) << list.err;
    for (const std::string& line : list.OutLines()) {
      Json node = Json::parse(line);
      if (node["node_uuid"] == UuidOf(i)) return node;
    }
    ADD_FAILURE() << "node " << i << " is not listed: " << list.out;
    return Json::object();
  }

  CliHarness cli_;
  std::unique_ptr<tracker::TrackerServer> server_;
  std::unique_ptr<FakeNode> one_;
  std::unique_ptr<FakeNode> two_;
};

TEST_F(OperatorTest, ANodeIsDrainedByItsNameAndUsedAgain) {
  const CliResult drain =
      Run({"node", "drain", "n1", "--no-wait", "--reason", "old disks"});
  EXPECT_EQ(drain.exit, 0) << drain.err;
  EXPECT_THAT(drain.out, HasSubstr("is draining, by decision"));
  EXPECT_THAT(drain.out, HasSubstr("keeps 1 member that can take uploads"));
  EXPECT_EQ(Listed(1)["role"], "draining");
  EXPECT_EQ(Listed(1)["own_role"], "read_write");
  EXPECT_EQ(Listed(2)["role"], "read_write");
  EXPECT_THAT(Run({"nodes"}).out, HasSubstr("draining (own: read_write)"));
  EXPECT_THAT(Run({"status"}).out, HasSubstr("old disks"));

  const CliResult again =
      Run({"node", "drain", UuidOf(1), "--no-wait", "--json"});
  EXPECT_EQ(again.exit, 0) << again.err;
  const Json account = Json::parse(again.out);
  EXPECT_EQ(account["applied"], true);
  EXPECT_THAT(account["decisions"], IsEmpty());
  EXPECT_EQ(account["group"], "group1");
  EXPECT_EQ(account["writable_members"], 1);

  EXPECT_EQ(
      Run({"node", "set", "127.0.0.1:20001", "--role", "own", "--weight", "7"})
          .exit,
      0);
  EXPECT_EQ(Listed(1)["role"], "read_write");
  EXPECT_EQ(Listed(1)["weight"], 7);
  EXPECT_EQ(Listed(1)["own_weight"], 100);
}

// Its nodes are made up, and cannot be asked what they lack.
TEST_F(OperatorTest, WhoGivesUpTheWaitLeavesTheDrainInForce) {
  cli_.interrupt()->Raise();
  const CliResult drain = Run({"node", "drain", "n1", "--timeout", "5s"});
  EXPECT_EQ(drain.exit, 130);
  EXPECT_THAT(drain.err, HasSubstr("does not answer"));
  EXPECT_THAT(drain.err, HasSubstr("The drain stays in force"));
  EXPECT_EQ(Listed(1)["role"], "draining");
}

TEST_F(OperatorTest, ADrainThatIsOnlyToldWaitsForNothing) {
  const CliResult drain = Run({"node", "drain", "n1", "--dry-run", "--json"});
  EXPECT_EQ(drain.exit, 0) << drain.err;
  EXPECT_THAT(drain.OutLines(), SizeIs(1));
  EXPECT_EQ(Json::parse(drain.out)["applied"], false);
  EXPECT_EQ(Listed(1)["role"], "read_write");
}

TEST_F(OperatorTest, ThereIsNoElsewhereForTheOnlyMemberOfAGroup) {
  EXPECT_EQ(Run({"node", "remove", "n2", "--force", "--yes"}).exit, 0);
  const CliResult drain = Run({"node", "drain", "n1", "--yes"});
  EXPECT_EQ(drain.exit, 1);
  EXPECT_THAT(drain.err, HasSubstr("there is no elsewhere"));
  EXPECT_THAT(drain.err, HasSubstr("cairn node set n1 --role own"));
  EXPECT_EQ(Listed(1)["role"], "draining");
}

TEST_F(OperatorTest, WhatLeavesAGroupWithoutUploadsWantsAPerson) {
  EXPECT_EQ(Run({"node", "drain", "n1", "--no-wait"}).exit, 0);
  const CliResult unasked = Run({"node", "drain", "n2", "--no-wait"});
  EXPECT_EQ(unasked.exit, 2);
  EXPECT_THAT(unasked.err, HasSubstr("--yes"));
  EXPECT_EQ(Listed(2)["role"], "read_write");

  cli_.SetInputIsTerminal();
  const CliResult no = Run({"node", "drain", "n2", "--no-wait"}, "n\n");
  EXPECT_EQ(no.exit, 1);
  EXPECT_THAT(no.err, HasSubstr("takes no uploads any more"));
  EXPECT_THAT(no.err, HasSubstr("[y/N]"));
  EXPECT_EQ(Run({"node", "drain", "n2", "--no-wait"}, "").exit, 1);
  EXPECT_EQ(Listed(2)["role"], "read_write");
  EXPECT_EQ(Run({"node", "drain", "n2", "--no-wait"}, "yes\n").exit, 0);
  EXPECT_EQ(Listed(2)["role"], "draining");
}

TEST_F(OperatorTest, ANodeIsRemovedListedAndLetBack) {
  const CliResult serving = Run({"node", "remove", "n1", "--yes"});
  EXPECT_EQ(serving.exit, 1);
  EXPECT_THAT(serving.err, HasSubstr("NODE_ACTIVE"));
  EXPECT_EQ(Run({"node", "remove", "n1", "--force"}).exit, 2);
  const CliResult dry =
      Run({"node", "remove", "n1", "--force", "--dry-run", "--json"});
  EXPECT_EQ(dry.exit, 0) << dry.err;
  EXPECT_EQ(Json::parse(dry.out)["applied"], false);
  EXPECT_EQ(Json::parse(dry.out)["members"], 1);
  EXPECT_EQ(Listed(1)["state"], "active");

  EXPECT_EQ(Run({"node", "remove", "n1", "--force", "--yes"}).exit, 0);
  EXPECT_EQ(Listed(1)["state"], "removed");
  EXPECT_THAT(Run({"nodes"}).out, Not(HasSubstr("n1")));
  EXPECT_THAT(Run({"status"}).out, HasSubstr("cairn node restore"));
  EXPECT_EQ(Run({"node", "restore", "n1"}).exit, 0);
  EXPECT_EQ(Listed(1)["state"], "offline");
}

TEST_F(OperatorTest, WhoCannotProveItDecidesNothing) {
  WriteSecret("not the cluster's secret");
  const CliResult wrong = Run({"node", "drain", "n1", "--no-wait"});
  EXPECT_EQ(wrong.exit, 1);
  EXPECT_THAT(wrong.err, HasSubstr("NOT_A_MEMBER"));
  EXPECT_THAT(wrong.err, HasSubstr("--secret-file"));
  EXPECT_EQ(chmod(cli_.Path("secret").c_str(), 0644), 0);
  EXPECT_EQ(Run({"node", "drain", "n1", "--no-wait"}).exit, 2);
  cli_.SetVariable("CAIRN_SECRET_FILE", "");
  EXPECT_EQ(Run({"node", "drain", "n1", "--no-wait"}).exit, 2);
  cli_.WriteFile("right", tracker::kSecret);
  EXPECT_EQ(chmod(cli_.Path("right").c_str(), 0600), 0);
  EXPECT_EQ(Run({"node", "drain", "n1", "--no-wait", "--secret-file",
                 cli_.Path("right")})
                .exit,
            0);
}

TEST_F(OperatorTest, WishesThatMakeNoSenseAreUsageErrors) {
  EXPECT_EQ(Run({"node"}).exit, 2);
  EXPECT_EQ(Run({"node", "set", "n1"}).exit, 2);
  EXPECT_EQ(Run({"node", "set", "n1", "--role", "lazy"}).exit, 2);
  EXPECT_EQ(Run({"node", "set", "n1", "--weight", "much"}).exit, 2);
  EXPECT_EQ(Run({"node", "set", "n1", "--weight", "5000"}).exit, 2);
  EXPECT_EQ(Run({"node", "drain", "n9"}).exit, 3);
  EXPECT_EQ(Run({"node", "drain", UuidOf(9)}).exit, 3);
  EXPECT_EQ(Run({"group", "set", "group9", "--weight", "1"}).exit, 3);
  EXPECT_EQ(cli_.Run({"node", "drain", "n1", "--no-wait"}).exit, 2);
  for (const char* verb : {"list", "set", "drain", "remove", "restore"}) {
    EXPECT_EQ(cli_.Run({"node", verb, "--help"}).exit, 0);
  }
  EXPECT_EQ(cli_.Run({"group", "set", "--help"}).exit, 0);
}

TEST_F(OperatorTest, ZoneAndReserveAreDecidedAndTakenBack) {
  const CliResult set =
      Run({"node", "set", "n1", "--in-zone", "east", "--reserve", "15%"});
  EXPECT_EQ(set.exit, 0) << set.err;
  EXPECT_THAT(set.out, HasSubstr("is in zone east, by decision"));
  EXPECT_THAT(set.out, HasSubstr("leave 15 % of each disk"));
  EXPECT_EQ(Listed(1)["zone"], "east");
  EXPECT_EQ(Listed(1)["own_zone"], "");
  EXPECT_EQ(Listed(1)["reserve_percent"], 15);
  EXPECT_THAT(Run({"status"}).out, HasSubstr("is in zone east by decision"));
  EXPECT_EQ(Run({"node", "set", "n1", "--reserve", "91"}).exit, 2);
  EXPECT_EQ(
      Run({"node", "set", "n1", "--in-zone", "own", "--reserve", "own"}).exit,
      0);
  EXPECT_EQ(Listed(1)["zone"], "");
  EXPECT_FALSE(Listed(1).contains("reserve_percent"));
}

TEST_F(OperatorTest, AGroupsWeightIsDecided) {
  const CliResult set = Run({"group", "set", "group1", "--weight", "7"});
  EXPECT_EQ(set.exit, 0) << set.err;
  EXPECT_THAT(set.out, HasSubstr("Group group1 has weight 7"));
  EXPECT_EQ(Run({"group", "set", "group1", "--weight", "0"}).exit, 2);
  EXPECT_EQ(Run({"group", "set", "group1", "--weight", "0", "-y"}).exit, 0);
  EXPECT_EQ(Run({"group", "set", "group1", "--weight", "own"}).exit, 0);
  EXPECT_THAT(Run({"group", "list"}).out, HasSubstr("group1"));
}

TEST_F(OperatorTest, QuotasAreDecidedToldAndTakenBack) {
  const CliResult dry =
      Run({"group", "quota", "group1", "--files", "100", "--dry-run"});
  EXPECT_EQ(dry.exit, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("Group group1 may hold 100 files."));
  EXPECT_THAT(dry.err, HasSubstr("dry run"));
  const auto group = [this] {
    const CliResult list = Run({"groups", "--json"});
    EXPECT_EQ(list.exit, 0) << list.err;
    return Json::parse(list.out);
  };
  EXPECT_TRUE(group()["quota_files"].is_null());

  const CliResult set =
      Run({"group", "quota", "group1", "--files", "100", "--bytes", "2TiB",
           "--reason", "they share the disks", "--json"});
  EXPECT_EQ(set.exit, 0) << set.err;
  const Json account = Json::parse(set.out);
  EXPECT_EQ(account["applied"], true);
  ASSERT_THAT(account["decisions"], SizeIs(2));
  EXPECT_EQ(account["decisions"][0]["field"], "group_quota_files");
  EXPECT_EQ(account["decisions"][1]["value"], uint64_t{2} << 40);
  EXPECT_EQ(account["decisions"][1]["reason"], "they share the disks");
  EXPECT_EQ(group()["quota_files"], 100);
  EXPECT_EQ(group()["quota_bytes"], uint64_t{2} << 40);
  EXPECT_EQ(group()["file_bytes"], 0);
  EXPECT_THAT(Run({"groups"}).out, HasSubstr("0 of 100"));
  EXPECT_THAT(Run({"groups"}).out, HasSubstr("0 B of 2.0 TiB"));
  EXPECT_THAT(Run({"status"}).out,
              HasSubstr("group group1 holds 0 of 100 files that it may"));
  EXPECT_THAT(Run({"status"}).out,
              HasSubstr("cairn group quota group1 --bytes none"));

  const CliResult client =
      Run({"client", "quota", "alice", "--bytes", "500MiB"});
  EXPECT_EQ(client.exit, 0) << client.err;
  EXPECT_THAT(client.out, HasSubstr("The files of client alice may have, in "
                                    "each group, 524288000 bytes."));
  EXPECT_THAT(Run({"status"}).out, HasSubstr("1 client has a quota"));
  EXPECT_EQ(Run({"client", "quota", "alice", "--bytes", "none"}).exit, 0);
  EXPECT_THAT(Run({"status"}).out, Not(HasSubstr("has a quota")));
  EXPECT_EQ(
      Run({"group", "quota", "group1", "--files", "none", "--bytes", "none"})
          .exit,
      0);
  EXPECT_TRUE(group()["quota_bytes"].is_null());

  EXPECT_EQ(Run({"group", "quota", "group1"}).exit, 2);
  EXPECT_EQ(Run({"group", "quota", "group1", "--files", "0"}).exit, 2);
  EXPECT_EQ(Run({"group", "quota", "group1", "--files", "many"}).exit, 2);
  EXPECT_EQ(Run({"group", "quota", "group1", "--bytes", "-1"}).exit, 2);
  EXPECT_EQ(Run({"group", "quota", "group9", "--files", "1"}).exit, 3);
  EXPECT_EQ(Run({"client", "quota", "--files", "1"}).exit, 2);
  EXPECT_EQ(Run({"client"}).exit, 2);
  const CliResult printed =
      Run({"client", "quota", "alice", "--files", "3", "--print-grpcurl"});
  EXPECT_EQ(printed.exit, 0) << printed.err;
  EXPECT_THAT(printed.out,
              HasSubstr("cairn.tracker.v1.AdminService/SetClient"));
}

TEST_F(OperatorTest, AGroupThatIsFullByItsQuotaNeedsAHand) {
  v1::NodeReport report = tracker::Report();
  report.mutable_store_paths(0)->set_files(7);
  report.mutable_store_paths(0)->set_file_bytes(1000);
  one_->SendReport(report);
  tracker::Watcher watcher(server_->addresses().front());
  ASSERT_TRUE(watcher.UntilNode(1, [](const v1::Node& seen) {
    return seen.report().store_paths(0).file_bytes() == 1000;
  }));
  const CliResult set = Run({"group", "quota", "group1", "--files", "7"});
  EXPECT_EQ(set.exit, 0) << set.err;
  EXPECT_THAT(set.out, HasSubstr("It holds 7 files of 1000 bytes now."));
  EXPECT_THAT(set.out, HasSubstr("uploads there are refused"));
  const CliResult status = Run({"status"});
  EXPECT_THAT(status.out, HasSubstr("group group1 holds 7 of 7 files that it "
                                    "may: it takes no more"));
  EXPECT_THAT(status.out, HasSubstr("cairn group quota group1 --files"));
}

TEST_F(OperatorTest, WatchingEndsWithTheUser) {
  cli_.interrupt()->Raise();
  const CliResult watch = Run({"status", "--watch"});
  EXPECT_EQ(watch.exit, 130);
  EXPECT_THAT(watch.out, HasSubstr("the cluster is "));
}

// The printed lines run in a shell, with the real python3 and a grpcurl that
// writes down its arguments and answers with a challenge.
TEST_F(OperatorTest, ThePrintedCallsCarryTheRightProof) {
  cli_.WriteFile(
      "bin/grpcurl",
      absl::StrCat("#!/bin/bash\nprintf '%s\\n' \"$@\" >> ", cli_.Path("calls"),
                   "\necho '{\"challenge\":\"0123abcd\"}'\n"));
  ASSERT_EQ(chmod(cli_.Path("bin/grpcurl").c_str(), 0755), 0);
  const CliResult printed = Run({"node", "set", UuidOf(1), "--role", "draining",
                                 "--reason", "it's old", "--print-grpcurl"});
  ASSERT_EQ(printed.exit, 0) << printed.err;
  cli_.WriteFile("script", absl::StrCat("set -e -o pipefail\n", printed.out));
  ASSERT_EQ(
      std::system(absl::StrCat("PATH=", cli_.Path("bin"), ":$PATH bash ",
                               cli_.Path("script"), " > ", cli_.Path("out"))
                      .c_str()),
      0)
      << printed.out;
  const std::vector<std::string> arguments =
      absl::StrSplit(cli_.ReadFile("calls"), '\n', absl::SkipEmpty());
  // Five of the first call, nine of the second.
  ASSERT_THAT(arguments, SizeIs(14)) << cli_.ReadFile("calls");
  EXPECT_EQ(arguments[4], "cairn.tracker.v1.AdminService/GetChallenge");
  EXPECT_EQ(arguments[7], "cairn-admin-challenge: 0123abcd");
  v1::SetNodeRequest request;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(arguments[11], &request)
          .ok());
  EXPECT_EQ(request.node_uuid(), UuidOf(1));
  EXPECT_EQ(request.role(), v1::NODE_ROLE_DRAINING);
  EXPECT_EQ(request.reason(), "it's old");
  EXPECT_EQ(arguments[13], "cairn.tracker.v1.AdminService/SetNode");
  EXPECT_EQ(
      arguments[9],
      absl::StrCat("cairn-admin-proof: ",
                   rpc::AdminProof(tracker::kSecret,
                                   "/cairn.tracker.v1.AdminService/SetNode",
                                   "0123abcd", request.SerializeAsString())));
  EXPECT_EQ(Listed(1)["role"], "read_write");
  EXPECT_EQ(Run({"node", "drain", "n1", "--print-grpcurl"}).exit, 2);
}

}  // namespace
}  // namespace cli
}  // namespace cairn
