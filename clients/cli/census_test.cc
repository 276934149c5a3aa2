// `cairn verify --cluster` against nodes that are made up: what they say
// decides what it prints, what it asks next, and how it ends.

#include <cstdint>
#include <cstdio>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clients/cli/cli.h"
#include "clients/cli/environment.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/node_queries.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using Json = nlohmann::json;

// A member of one path, and what its jobs find, one after the other.
struct FakeMember {
  bool active = true;
  bool answers = true;
  storage::v1::StorePathStatus path;
  std::deque<storage::v1::ComparisonReport> comparisons;
  storage::v1::ScrubReport scrub;
  std::string compare_error;
  std::vector<storage::v1::Job> jobs;
  int64_t rate = -1;  // That a scrub was asked for at.
};

class FakeQueries : public NodeQueries {
 public:
  std::map<std::string, FakeMember> members;  // By address.

  void UseTls(const rpc::TlsOptions&) override {}

  absl::StatusOr<storage::v1::GetStateResponse> GetState(
      const std::string& address, absl::Duration) override {
    if (!members[address].answers) return absl::UnavailableError("gone");
    storage::v1::GetStateResponse state;
    *state.add_store_paths() = members[address].path;
    return state;
  }
  absl::StatusOr<storage::v1::Job> StartScrub(
      const std::string& address, const storage::v1::ScrubRequest& request,
      absl::Duration) override {
    FakeMember& member = members[address];
    member.rate = request.bytes_per_second();
    storage::v1::Job job;
    *job.mutable_scrub() = member.scrub;
    return Add(&member, job);
  }
  absl::StatusOr<storage::v1::Job> StartCompare(
      const std::string& address, const storage::v1::CompareRequest&,
      absl::Duration) override {
    FakeMember& member = members[address];
    if (!member.answers) return absl::UnavailableError("gone");
    storage::v1::Job job;
    CAIRN_CHECK(!member.comparisons.empty());
    *job.mutable_comparison() = member.comparisons.front();
    if (member.comparisons.size() > 1) member.comparisons.pop_front();
    job.set_detail(member.compare_error);
    return Add(&member, job);
  }
  absl::StatusOr<storage::v1::ListJobsResponse> ListJobs(
      const std::string& address, absl::Duration) override {
    storage::v1::ListJobsResponse response;
    for (storage::v1::Job& job : members[address].jobs) {
      *response.add_jobs() = job;
      // Done by the next time that somebody asks.
      job.set_state(job.detail().empty() ? storage::v1::JOB_STATE_SUCCEEDED
                                         : storage::v1::JOB_STATE_FAILED);
    }
    return response;
  }
  absl::StatusOr<tracker::v1::ListNodesResponse> ListNodes(
      const std::string&, const std::string& group, absl::Duration) override {
    tracker::v1::ListNodesResponse nodes;
    for (const auto& [address, member] : members) {
      tracker::v1::Node node;
      node.mutable_identity()->set_name(absl::StrCat("node-", address));
      node.mutable_identity()->set_address(address);
      node.mutable_identity()->set_group("group1");
      node.set_state(member.active ? tracker::v1::NODE_STATE_ACTIVE
                                   : tracker::v1::NODE_STATE_OFFLINE);
      node.mutable_report()->add_store_paths()->set_index(0);
      if (group.empty() || group == "group1") *nodes.add_nodes() = node;
    }
    return nodes;
  }

  // ---- Of no use here.
  absl::StatusOr<storage::v1::Job> StartCompaction(
      const std::string&, const storage::v1::CompactRequest&,
      absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<storage::v1::GetCapabilitiesResponse> GetCapabilities(
      const std::string&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<tracker::v1::ListGroupsResponse> ListGroups(
      const std::string&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<tracker::v1::ListDecisionsResponse> ListDecisions(
      const std::string&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<tracker::v1::Account> SetNode(
      const std::string&, const std::string&,
      const tracker::v1::SetNodeRequest&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<tracker::v1::Account> RemoveNode(
      const std::string&, const std::string&,
      const tracker::v1::RemoveNodeRequest&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<tracker::v1::Account> RestoreNode(
      const std::string&, const std::string&,
      const tracker::v1::RestoreNodeRequest&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<tracker::v1::Account> SetGroup(
      const std::string&, const std::string&,
      const tracker::v1::SetGroupRequest&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<tracker::v1::Account> SetClient(
      const std::string&, const std::string&,
      const tracker::v1::SetClientRequest&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<storage::v1::ListClientsResponse> ListClients(
      const std::string&, const storage::v1::ListClientsRequest&,
      absl::Duration) override {
    return absl::UnimplementedError("");
  }

 private:
  storage::v1::Job Add(FakeMember* member, storage::v1::Job job) {
    job.set_job_id(absl::StrCat(++last_job_));
    job.set_state(storage::v1::JOB_STATE_RUNNING);
    member->jobs.insert(member->jobs.begin(), job);
    return job;
  }

  int last_job_ = 0;
};

class CensusTest : public ::testing::Test {
 protected:
  CensusTest() {
    for (const char* address : {"a:1", "b:1", "c:1"}) {
      FakeMember member;
      member.path.set_files(10);
      member.comparisons = {Compared(0, 0)};
      member.scrub.set_files(10);
      member.scrub.set_bytes(1000);
      queries_.members[address] = member;
    }
  }

  static storage::v1::ComparisonReport Compared(int64_t differing,
                                                int64_t mended) {
    storage::v1::ComparisonReport report;
    report.set_peers(2);
    report.set_names(20);
    report.set_differing(differing);
    report.set_mended(mended);
    return report;
  }

  int Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "verify");
    arguments.insert(arguments.end(), {"--tracker", "t:1"});
    Environment environment;
    environment.in = std::tmpfile();
    environment.out = std::tmpfile();
    environment.err = std::tmpfile();
    environment.variable = [](const char*) { return std::string(); };
    environment.queries = &queries_;
    environment.interrupt = &interrupt_;
    environment.clock = Clock::Real();
    const int exit = RunCairn(arguments, environment);
    out_ = ReadAll(environment.out);
    err_ = ReadAll(environment.err);
    std::fclose(environment.in);
    return exit;
  }

  static std::string ReadAll(std::FILE* file) {
    std::rewind(file);
    std::string content;
    char buffer[4096];
    for (size_t got; (got = std::fread(buffer, 1, sizeof(buffer), file)) > 0;) {
      content.append(buffer, got);
    }
    std::fclose(file);
    return content;
  }

  FakeQueries queries_;
  Interrupt interrupt_;
  std::string out_;
  std::string err_;
};

TEST_F(CensusTest, MembersThatAgreeEndWell) {
  EXPECT_EQ(Run({"--cluster"}), 0) << err_;
  EXPECT_THAT(err_, HasSubstr("all members agree"));
  EXPECT_THAT(err_, Not(HasSubstr("every content")));
  EXPECT_THAT(out_, HasSubstr("node-b:1"));
  EXPECT_THAT(out_, Not(HasSubstr("BAD")));
  EXPECT_EQ(queries_.members["a:1"].rate, -1);
}

TEST_F(CensusTest, WhatWasMendedIsComparedAgain) {
  queries_.members["b:1"].comparisons = {Compared(3, 3), Compared(0, 0)};
  queries_.members["c:1"].comparisons = {Compared(3, 0), Compared(0, 0)};
  EXPECT_EQ(Run({"--cluster", "--json"}), 0) << err_;
  EXPECT_THAT(err_, HasSubstr("3 files mended"));
  const std::vector<std::string> lines =
      absl::StrSplit(out_, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(3));
  const Json row = Json::parse(lines[1]);
  EXPECT_EQ(row["node"], "node-b:1");
  EXPECT_EQ(row["files"], 10);
  EXPECT_EQ(row["compared"], 20);
  EXPECT_EQ(row["differing"], 3);
  EXPECT_EQ(row["mended"], 3);
  EXPECT_EQ(row["still_differing"], 0);
  EXPECT_EQ(row["good"], true);
}

TEST_F(CensusTest, WhatStaysDifferentIsDamage) {
  queries_.members["b:1"].comparisons = {Compared(2, 0)};
  EXPECT_EQ(Run({"--cluster"}), 5);
  EXPECT_THAT(err_, HasSubstr("node-b:1 M00"));
  EXPECT_THAT(err_, HasSubstr("differing 2"));
  EXPECT_THAT(err_, HasSubstr("next: run this again"));
  EXPECT_THAT(out_, HasSubstr("BAD"));
  // Three passes at most.
  EXPECT_THAT(queries_.members["a:1"].jobs, SizeIs(3));
}

TEST_F(CensusTest, AConflictIsSaidToBeOne) {
  queries_.members["b:1"].comparisons = {Compared(1, 0)};
  queries_.members["b:1"].comparisons[0].set_conflicts(1);
  EXPECT_EQ(Run({"--cluster"}), 5);
  EXPECT_THAT(err_, HasSubstr("different files under one version"));
}

TEST_F(CensusTest, AMemberThatIsNotThereIsNoAgreement) {
  queries_.members["b:1"].active = false;
  EXPECT_EQ(Run({"--cluster"}), 4);
  EXPECT_THAT(err_, HasSubstr("the node is offline"));
  EXPECT_THAT(err_, HasSubstr("bring all members up"));
  queries_.members["b:1"].active = true;
  queries_.members["b:1"].answers = false;
  EXPECT_EQ(Run({"--cluster"}), 4);
  EXPECT_THAT(err_, HasSubstr("gone"));
}

TEST_F(CensusTest, AComparisonWithFewerThanAllIsNoAgreement) {
  queries_.members["c:1"].comparisons[0].set_peers(1);
  EXPECT_EQ(Run({"--cluster"}), 4);
  EXPECT_THAT(err_, HasSubstr("1 of 2 members compared"));
  queries_.members["c:1"].compare_error = "could not compare with node-a:1";
  EXPECT_EQ(Run({"--cluster"}), 4);
  EXPECT_THAT(err_, HasSubstr("could not compare with node-a:1"));
}

TEST_F(CensusTest, DeepReadsEverythingAtTheRate) {
  queries_.members["b:1"].scrub.set_damaged(1);
  queries_.members["b:1"].scrub.set_mended(1);
  EXPECT_EQ(Run({"--cluster", "--deep", "--rate", "2MiB", "--json"}), 0)
      << err_;
  EXPECT_THAT(err_, HasSubstr("every content is what it was; 1 file mended"));
  EXPECT_EQ(queries_.members["c:1"].rate, 2 << 20);
  const std::vector<std::string> lines =
      absl::StrSplit(out_, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(3));
  const Json row = Json::parse(lines[1]);
  EXPECT_EQ(row["read_files"], 10);
  EXPECT_EQ(row["read_bytes"], 1000);
  EXPECT_EQ(row["damaged"], 1);
  EXPECT_EQ(row["damaged_mended"], 1);
}

TEST_F(CensusTest, WhatCannotBeMendedIsDamage) {
  queries_.members["c:1"].path.mutable_upkeep()->set_damaged_files(2);
  queries_.members["c:1"].path.mutable_upkeep()->set_unmendable_files(2);
  EXPECT_EQ(Run({"--cluster", "--deep"}), 5);
  EXPECT_THAT(err_, HasSubstr("no member has a good copy"));
  EXPECT_THAT(err_, HasSubstr("node-c:1"));
}

TEST_F(CensusTest, AnInterruptLeavesTheJobsToTheNodes) {
  interrupt_.Raise();
  EXPECT_EQ(Run({"--cluster"}), 130);
  EXPECT_THAT(err_, HasSubstr("the jobs go on"));
}

TEST_F(CensusTest, FlagsThatDoNotGoTogetherAreRefused) {
  EXPECT_EQ(Run({"--deep"}), 2);
  EXPECT_EQ(Run({"--cluster", "--rate", "fast"}), 2);
  EXPECT_EQ(Run({"--cluster", "--manifest", "list"}), 2);
  EXPECT_EQ(Run({"--cluster", "--group", "nobody"}), 3);
}

}  // namespace
}  // namespace cli
}  // namespace cairn
