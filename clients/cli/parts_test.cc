// The parts that need no cluster: manifest, ranges, sizes, histogram, content,
// verdict, progress.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/bench/content.h"
#include "clients/cli/bench/histogram.h"
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/size_distribution.h"
#include "clients/cli/diagnosis.h"
#include "clients/cli/drain_progress.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/format.h"
#include "clients/cli/local_files.h"
#include "clients/cli/manifest.h"
#include "clients/cli/progress.h"
#include "clients/cli/testing/cli_harness.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/checksum/crc32c.h"
#include "lib/io/file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ---- Manifest.

TEST(ManifestTest, EntriesComeBackAsTheyWentInAndMoreCanBeAdded) {
  CliHarness cli;
  const std::string path = cli.Path("list");
  const ManifestEntry first = {"group1/M00/a", 12, 0xdeadbeef, "a b\t\n\\c"};
  const ManifestEntry second = {"group1/M00/b", 0, 0, "ü"};
  for (const ManifestEntry& entry : {first, second}) {
    const auto writer = ManifestWriter::Open(FileSystem::Real(), path);
    ASSERT_THAT(writer, IsOk());
    (*writer)->Add(entry);
    ASSERT_THAT((*writer)->Sync(), IsOk());
  }
  EXPECT_THAT(ReadManifest(FileSystem::Real(), path),
              IsOkAndHolds(ElementsAre(first, second)));
}

TEST(ManifestTest, ALineThatACrashCutOffDoesNotCount) {
  CliHarness cli;
  const std::string path = cli.Path("list");
  cli.WriteFile("list", "# cairn manifest 1\nid\t1\t00000002\tx\nid2\t1\t0");
  EXPECT_THAT(ReadManifest(FileSystem::Real(), path), IsOkAndHolds(SizeIs(1)));
  const auto writer = ManifestWriter::Open(FileSystem::Real(), path);
  ASSERT_THAT(writer, IsOk());
  (*writer)->Add({"id3", 3, 3, "y"});
  ASSERT_THAT((*writer)->Sync(), IsOk());
  const auto entries = ReadManifest(FileSystem::Real(), path);
  ASSERT_THAT(entries, IsOkAndHolds(SizeIs(2)));
  EXPECT_EQ((*entries)[1].file_id, "id3");
}

TEST(ManifestTest, OtherFilesAreRefused) {
  CliHarness cli;
  const std::string path = cli.Path("list");
  for (const char* content :
       {"hello\n", "# cairn manifest 1\nid\t-1\t00000002\tx\n",
        "# cairn manifest 1\nid\t1\t00000002\n",
        "# cairn manifest 1\nid\t1\txyz\tx\n"}) {
    cli.WriteFile("list", content);
    EXPECT_THAT(ReadManifest(FileSystem::Real(), path),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << content;
  }
}

TEST(ManifestTest, PathsStayBelowTheFolder) {
  EXPECT_EQ(SafePath("/a//b/./c"), "a/b/c");
  EXPECT_EQ(SafePath("../../a"), "a");
  EXPECT_EQ(SafePath("a/../b"), "b");
  EXPECT_EQ(SafePath("a/.."), "");
}

// ---- Numbers.

TEST(FormatTest, SizesAreReadAsPeopleWriteThem) {
  EXPECT_THAT(ParseBytes("4096"), IsOkAndHolds(4096));
  EXPECT_THAT(ParseBytes("4k"), IsOkAndHolds(4096));
  EXPECT_THAT(ParseBytes("4KiB"), IsOkAndHolds(4096));
  EXPECT_THAT(ParseBytes("1.5 MB"), IsOkAndHolds(1536 << 10));
  EXPECT_THAT(ParseBytes("0"), IsOkAndHolds(0));
  for (const char* text : {"", "k", "-1", "4x", "4kk", "1e30", "4i", "."}) {
    EXPECT_THAT(ParseBytes(text), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(FormatTest, RangesAreThoseOfHttp) {
  const auto middle = ParseRange("3-7");
  ASSERT_THAT(middle, IsOk());
  EXPECT_EQ(*middle->offset, 3);
  EXPECT_EQ(*middle->length, 5);
  EXPECT_FALSE(ParseRange("3-")->length.has_value());
  EXPECT_FALSE(ParseRange("-3")->offset.has_value());
  for (const char* text : {"", "-", "3", "7-3", "a-b", "1--2", "-+3"}) {
    EXPECT_THAT(ParseRange(text), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(FormatTest, NumbersAreShownAsPeopleReadThem) {
  EXPECT_EQ(FormatBytes(817), "817 B");
  EXPECT_EQ(FormatBytes(4096), "4.0 KiB");
  EXPECT_EQ(FormatBytes((int64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatSpan(absl::Seconds(7)), "0:07");
  EXPECT_EQ(FormatSpan(absl::Hours(3) + absl::Seconds(131)), "3:02:11");
  Table table("lr");
  table.AddRow({"A", "B"});
  table.AddRow({"long", "1"});
  EXPECT_EQ(table.ToString(), "A     B\nlong  1\n");
}

TEST(FormatTest, ExtensionsAreThoseThatAnIdCanCarry) {
  EXPECT_EQ(ExtensionOf("a/b.jpg"), "jpg");
  EXPECT_EQ(ExtensionOf("a.b/c"), "");
  EXPECT_EQ(ExtensionOf("x.tar.gz"), "tar.gz");
  EXPECT_EQ(ExtensionOf(".bashrc"), "");
  EXPECT_EQ(ExtensionOf("a.b c"), "");
  EXPECT_EQ(ExtensionOf("a.averyveryverylongone"), "");
}

TEST(ExitCodeTest, WhatFailsAlikeKeepsItsCode) {
  EXPECT_EQ(Combine(kExitOk, kExitNotFound), kExitNotFound);
  EXPECT_EQ(Combine(kExitNotFound, kExitNotFound), kExitNotFound);
  EXPECT_EQ(Combine(kExitNotFound, kExitDamaged), kExitFailed);
  EXPECT_EQ(Combine(kExitNotFound, kExitInterrupted), kExitInterrupted);
}

// ---- Benchmark.

TEST(HistogramTest, PercentilesAreRightToTwoPercent) {
  Histogram histogram;
  std::vector<int64_t> values;
  for (uint64_t i = 0; i < 20000; ++i) {
    // From nanoseconds to minutes.
    values.push_back(
        static_cast<int64_t>(Mix64(i) >> (25 + Mix64(i + 1) % 38)));
    histogram.Record(values.back());
  }
  std::sort(values.begin(), values.end());
  EXPECT_EQ(histogram.count(), 20000);
  for (const double percent : {0.1, 1.0, 50.0, 95.0, 99.0, 99.9, 100.0}) {
    const auto rank = static_cast<size_t>(percent / 100 * 20000 + 0.5);
    const auto exact = static_cast<double>(values[rank - 1]);
    const auto shown = static_cast<double>(histogram.Percentile(percent));
    EXPECT_GE(shown, exact) << percent;
    EXPECT_LE(shown, exact * 1.016 + 1) << percent;
  }
}

TEST(HistogramTest, ExtremesAndNothing) {
  Histogram histogram;
  EXPECT_EQ(histogram.Percentile(50), 0);
  histogram.Record(-5);
  EXPECT_EQ(histogram.Max(), 0);
  histogram.Record(INT64_MAX);
  EXPECT_GE(histogram.Max(), int64_t{1} << 43);
  Histogram other;
  other.Add(histogram);
  EXPECT_EQ(other.count(), 2);
}

TEST(SizeDistributionTest, SizesAreWhereTheyShouldBe) {
  const auto uniform = SizeDistribution::Parse("uniform:1KiB-2KiB");
  const auto lognormal = SizeDistribution::Parse("lognormal:16KiB,1.5,1MiB");
  ASSERT_THAT(uniform, IsOk());
  ASSERT_THAT(lognormal, IsOk());
  int below_median = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const int64_t size = uniform->SizeOf(1, i);
    EXPECT_GE(size, 1024);
    EXPECT_LE(size, 2048);
    below_median += lognormal->SizeOf(1, i) < 16384 ? 1 : 0;
    EXPECT_LE(lognormal->SizeOf(1, i), 1 << 20);
  }
  EXPECT_NEAR(below_median, 5000, 250);
  EXPECT_EQ(SizeDistribution::Parse("4KiB")->SizeOf(1, 1), 4096);
  for (const char* text : {"", "uniform:1", "uniform:2-1", "lognormal:1",
                           "lognormal:1,x", "normal:1,2"}) {
    EXPECT_THAT(SizeDistribution::Parse(text),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(ContentTest, TheChecksumIsThatOfTheContent) {
  const Content content;
  for (const int64_t size : {0, 1, 4096, 8 << 20, (20 << 20) + 3}) {
    const absl::Cord made = content.Make(1, 7, size);
    EXPECT_EQ(static_cast<int64_t>(made.size()), size);
    EXPECT_EQ(content.Crc(1, 7, size), Crc32c(made)) << size;
  }
  EXPECT_NE(content.Crc(1, 7, 4096), content.Crc(1, 8, 4096));
  EXPECT_NE(content.Crc(1, 7, 4096), content.Crc(2, 7, 4096));
}

TEST(LoadTest, MixesAreReadAsSharesOfOperations) {
  EXPECT_THAT(ParseMix("get=3,put=1"), IsOkAndHolds(ElementsAre(1, 3, 0, 0)));
  for (const char* text : {"", "put", "put=x", "put=0", "mixed=1", "put=-1"}) {
    EXPECT_THAT(ParseMix(text), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

// ---- Status.

class DiagnosisTest : public ::testing::Test {
 protected:
  DiagnosisTest() {
    seen_.trackers["t1:1"] = absl::OkStatus();
    AddNode("a:1", "group1");
  }

  tracker::v1::Node* AddNode(const std::string& address,
                             const std::string& group) {
    seen_.nodes.emplace_back();
    tracker::v1::Node* const node = &seen_.nodes.back();
    node->mutable_identity()->set_name(address);
    node->mutable_identity()->set_address(address);
    node->mutable_identity()->set_group(group);
    node->set_state(tracker::v1::NODE_STATE_ACTIVE);
    auto* const report = node->mutable_report()->add_store_paths();
    report->set_writable(true);
    report->set_readable(true);
    report->set_total_bytes(1000);
    report->set_free_bytes(600);
    report->set_reserve_bytes(100);
    report->set_files(5);
    storage::v1::GetStateResponse state;
    auto* const path = state.add_store_paths();
    path->set_state(storage::v1::STORE_PATH_STATE_ACTIVE);
    path->set_total_bytes(1000);
    path->set_free_bytes(600);
    path->set_reserve_bytes(100);
    path->set_files(5);
    seen_.states.emplace(address, state);
    return node;
  }

  Observations seen_;
};

TEST_F(DiagnosisTest, AllIsWell) {
  AddNode("b:1", "group1");
  const Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kHealthy);
  EXPECT_THAT(diagnosis.findings, IsEmpty());
  EXPECT_EQ(diagnosis.active_nodes, 2);
  // Members hold the same files.
  EXPECT_EQ(diagnosis.files, 5);
  EXPECT_EQ(diagnosis.free_bytes, 500);
}

TEST_F(DiagnosisTest, FilesAreCountedByTheNodeThatHasThem) {
  // The trackers' last report of it says 5.
  auto& state = seen_.states.find("a:1")->second;
  state.value().mutable_store_paths(0)->set_files(7);
  EXPECT_EQ(Diagnose(seen_).files, 7);
  state = absl::UnavailableError("refused");
  EXPECT_EQ(Diagnose(seen_).files, 5);
}

TEST_F(DiagnosisTest, OneMemberOfThreeThatIsGoneDegrades) {
  AddNode("b:1", "group1");
  AddNode("c:1", "group1")->set_state(tracker::v1::NODE_STATE_OFFLINE);
  const Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kDegraded);
  ASSERT_THAT(diagnosis.findings, SizeIs(1));
  EXPECT_THAT(diagnosis.findings[0].what, HasSubstr("c:1"));
}

TEST_F(DiagnosisTest, FilesThatHaveOneCopyLeftAreAtRisk) {
  tracker::v1::Node* const other = AddNode("b:1", "group1");
  other->set_state(tracker::v1::NODE_STATE_OFFLINE);
  Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kAtRisk);
  ASSERT_THAT(diagnosis.findings, SizeIs(2));
  EXPECT_EQ(diagnosis.findings[0].what,
            "of 2 members of group1, only one is there that has all files of "
            "store path 0: a:1");
  EXPECT_EQ(VerdictTitle(diagnosis.verdict), "AT RISK");
  // Who is being filled holds nothing for certain.
  seen_.nodes[1].set_state(tracker::v1::NODE_STATE_ACTIVE);
  seen_.nodes[1].mutable_report()->mutable_store_paths(0)->set_syncing(true);
  auto* const replication = seen_.states.find("b:1")
                                ->second.value()
                                .mutable_store_paths(0)
                                ->mutable_replication();
  replication->set_syncing(true);
  replication->set_snapshot_running(true);
  replication->set_snapshot_files(17);
  diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kAtRisk);
  ASSERT_THAT(diagnosis.findings, SizeIs(2));
  EXPECT_THAT(diagnosis.findings[1].what,
              HasSubstr("is syncing, and passes on what it lacks: a snapshot "
                        "is being taken, 17 files so far"));
  // It is listed like a job, with what is known of its end.
  replication->set_snapshot_files_total(68);
  replication->set_snapshot_bytes(4096);
  replication->set_bytes_per_second(1024);
  replication->set_estimated_seconds_left(30);
  diagnosis = Diagnose(seen_);
  EXPECT_THAT(diagnosis.findings[1].what, HasSubstr("17 files of 68"));
  ASSERT_THAT(diagnosis.jobs, SizeIs(1));
  EXPECT_EQ(diagnosis.jobs[0].node, "b:1");
  EXPECT_EQ(diagnosis.jobs[0].kind, "snapshot");
  EXPECT_EQ(diagnosis.jobs[0].detail, "17 of 68 files");
  EXPECT_EQ(diagnosis.jobs[0].done_bytes, 4096);
  EXPECT_EQ(diagnosis.jobs[0].bytes_per_second, 1024);
  EXPECT_EQ(diagnosis.jobs[0].left, absl::Seconds(30));
  // Then the logs.
  replication->set_snapshot_running(false);
  replication->clear_estimated_seconds_left();
  replication->add_peers()->set_behind_changes(5);
  diagnosis = Diagnose(seen_);
  ASSERT_THAT(diagnosis.jobs, SizeIs(1));
  EXPECT_EQ(diagnosis.jobs[0].kind, "catch_up");
  EXPECT_EQ(diagnosis.jobs[0].detail, "5 changes, 0 contents left");
  EXPECT_EQ(diagnosis.jobs[0].left, absl::nullopt);
}

TEST_F(DiagnosisTest, WhatCannotBeAppliedOrMendedIsToldWithWhy) {
  auto* const path =
      seen_.states.find("a:1")->second.value().mutable_store_paths(0);
  auto* const replication = path->mutable_replication();
  replication->set_set_aside_changes(3);
  replication->add_set_aside();
  replication->add_set_aside()->set_error("DATA_LOSS: the index is damaged");
  Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kDegraded);
  EXPECT_EQ(diagnosis.set_aside_changes, 3u);
  ASSERT_THAT(diagnosis.findings, SizeIs(1));
  EXPECT_THAT(diagnosis.findings[0].what,
              AllOf(HasSubstr("3 changes"),
                    HasSubstr("DATA_LOSS: the index is damaged")));
  EXPECT_EQ(diagnosis.findings[0].next_command,
            "cairn verify --cluster --group group1");

  replication->Clear();
  path->mutable_upkeep()->set_damaged_files(2);
  diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kDegraded);
  EXPECT_EQ(diagnosis.damaged_files, 2u);
  ASSERT_THAT(diagnosis.findings, SizeIs(1));
  EXPECT_THAT(diagnosis.findings[0].what, HasSubstr("on their way"));
  path->mutable_upkeep()->set_unmendable_files(1);
  diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kAtRisk);
  EXPECT_EQ(diagnosis.unmendable_files, 1u);
  EXPECT_THAT(diagnosis.findings[0].what,
              HasSubstr("of 1 no member that could be asked has a good copy"));
}

TEST_F(DiagnosisTest, EachPairsLagIsThereAndWhoCannotCopyIsNamed) {
  AddNode("b:1", "group1")->mutable_identity()->set_node_uuid("uuid-of-b");
  auto* const replication = seen_.states.find("a:1")
                                ->second.value()
                                .mutable_store_paths(0)
                                ->mutable_replication();
  replication->set_under_replicated_changes(4);
  replication->set_missing_contents(2);
  auto* const peer = replication->add_peers();
  peer->set_node_uuid("uuid-of-b");
  peer->set_name("b:1");
  peer->set_pulling(true);
  peer->set_behind_changes(12);
  peer->set_behind_seconds(1.5);
  peer->set_needs_snapshot(true);
  Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kHealthy);
  EXPECT_EQ(diagnosis.under_replicated_changes, 4u);
  EXPECT_EQ(diagnosis.missing_contents, 2u);
  ASSERT_THAT(diagnosis.lags, SizeIs(1));
  EXPECT_EQ(diagnosis.lags[0].node, "a:1");
  EXPECT_EQ(diagnosis.lags[0].peer, "b:1");
  EXPECT_EQ(diagnosis.lags[0].changes, 12u);
  EXPECT_EQ(diagnosis.lags[0].seconds, 1.5);
  EXPECT_EQ(diagnosis.lags[0].estimated_bytes, absl::nullopt);
  EXPECT_TRUE(diagnosis.lags[0].needs_snapshot);
  // As large as the other's files are.
  auto& other = seen_.states.find("b:1")->second.value();
  other.set_node_uuid("uuid-of-b");
  other.mutable_store_paths(0)->set_files(4);
  other.mutable_store_paths(0)->set_live_bytes(4000);
  diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.lags[0].estimated_bytes, 12000);
  peer->set_pulling(false);
  peer->set_last_error("UNAVAILABLE: refused");
  diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kDegraded);
  ASSERT_THAT(diagnosis.findings, SizeIs(1));
  EXPECT_THAT(diagnosis.findings[0].what, HasSubstr("cannot copy from"));
}

TEST_F(DiagnosisTest, JobsThatRunSayHowLongTheyWillTake) {
  // The node's clock is years behind, and so are its times.
  seen_.states.find("a:1")->second->mutable_current_time()->set_seconds(110);
  auto* const job = seen_.jobs["a:1"].add_jobs();
  job->set_kind(storage::v1::JOB_KIND_COMPACTION);
  job->set_state(storage::v1::JOB_STATE_RUNNING);
  job->mutable_start_time()->set_seconds(100);
  job->set_done_bytes(1000);
  job->set_total_bytes(3000);
  *seen_.jobs["a:1"].add_jobs() = *job;
  seen_.jobs["a:1"].mutable_jobs(1)->set_state(
      storage::v1::JOB_STATE_SUCCEEDED);
  const Diagnosis diagnosis = Diagnose(seen_);
  ASSERT_THAT(diagnosis.jobs, SizeIs(1));
  EXPECT_EQ(diagnosis.jobs[0].kind, "compaction");
  EXPECT_EQ(diagnosis.jobs[0].node, "a:1");
  EXPECT_EQ(diagnosis.jobs[0].bytes_per_second, 100.0);
  EXPECT_EQ(diagnosis.jobs[0].left, absl::Seconds(20));
}

TEST_F(DiagnosisTest, DecisionsAreToldAndAreNothingToMend) {
  AddNode("b:1", "group1")->mutable_identity()->set_node_uuid("uuid-of-b");
  auto* const role = seen_.decisions.add_decisions();
  role->set_field(tracker::v1::DECISION_FIELD_NODE_ROLE);
  role->set_subject("uuid-of-b");
  role->set_value(tracker::v1::NODE_ROLE_DRAINING);
  role->set_reason("old disks");
  role->mutable_time()->set_unix_ms(1767225600123);
  auto* const removed = seen_.decisions.add_decisions();
  removed->set_field(tracker::v1::DECISION_FIELD_NODE_REMOVED);
  removed->set_subject("uuid-of-c");
  removed->set_value(1);
  const Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kHealthy);
  ASSERT_THAT(diagnosis.findings, SizeIs(2));
  EXPECT_EQ(diagnosis.findings[0].what,
            "node b:1 (b:1) is draining by decision of 2026-01-01T00:00:00Z: "
            "old disks");
  EXPECT_THAT(diagnosis.findings[1].what, HasSubstr("uuid-of-c is removed"));
  EXPECT_THAT(diagnosis.findings[1].next_command,
              HasSubstr("cairn node restore uuid-of-c"));
}

TEST_F(DiagnosisTest, AGroupWhoseMembersAllDrainTakesNoUploads) {
  seen_.nodes[0].mutable_effective()->set_role(tracker::v1::NODE_ROLE_DRAINING);
  EXPECT_EQ(Diagnose(seen_).verdict, Verdict::kReadOnly);
}

TEST_F(DiagnosisTest, OnlyWhatChangesIsToldToWhoWatches) {
  const Diagnosis well = Diagnose(seen_);
  EXPECT_THAT(ChangesBetween(nullptr, well),
              ElementsAre("the cluster is HEALTHY"));
  EXPECT_THAT(ChangesBetween(&well, well), IsEmpty());
  seen_.trackers["t2:1"] = absl::UnavailableError("refused");
  const Diagnosis worse = Diagnose(seen_);
  EXPECT_THAT(ChangesBetween(&well, worse),
              ElementsAre("the cluster is DEGRADED", HasSubstr("t2:1")));
  EXPECT_THAT(
      ChangesBetween(&worse, well),
      ElementsAre("the cluster is HEALTHY", HasSubstr("over: degraded:")));
}

TEST_F(DiagnosisTest, AGroupWithoutMembersIsDownAndComesFirst) {
  AddNode("b:1", "group2")->set_state(tracker::v1::NODE_STATE_OFFLINE);
  const Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kDown);
  EXPECT_THAT(diagnosis.findings[0].what, HasSubstr("group2"));
}

TEST_F(DiagnosisTest, AReadOnlyDiskIsNamedWithItsReason) {
  auto* const path =
      seen_.states.find("a:1")->second.value().mutable_store_paths(0);
  path->set_state(storage::v1::STORE_PATH_STATE_READ_ONLY);
  path->set_detail("a sync failed");
  seen_.nodes[0].mutable_report()->mutable_store_paths(0)->set_writable(false);
  const Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kReadOnly);
  std::string all;
  for (const Finding& finding : diagnosis.findings) all += finding.what;
  EXPECT_THAT(all, HasSubstr("a sync failed"));
}

TEST_F(DiagnosisTest, ADiskThatIsMeantToBeReadOnlyIsNoFault) {
  AddNode("b:1", "group1");  // Takes the uploads.
  auto* const path =
      seen_.states.find("a:1")->second.value().mutable_store_paths(0);
  path->set_state(storage::v1::STORE_PATH_STATE_READ_ONLY);
  path->set_read_only_by_configuration(true);
  path->set_detail("its configuration says so");
  seen_.nodes[0].mutable_report()->mutable_store_paths(0)->set_writable(false);
  const Diagnosis diagnosis = Diagnose(seen_);
  EXPECT_EQ(diagnosis.verdict, Verdict::kHealthy);
  ASSERT_THAT(diagnosis.findings, SizeIs(1));
  EXPECT_THAT(diagnosis.findings[0].what,
              HasSubstr("its configuration says so"));
}

TEST_F(DiagnosisTest, NoNodesAndNoTrackersAreDown) {
  Observations nothing;
  nothing.trackers["t1:1"] = absl::OkStatus();
  EXPECT_EQ(Diagnose(nothing).verdict, Verdict::kDown);
  nothing.trackers["t1:1"] = absl::UnavailableError("refused");
  EXPECT_EQ(Diagnose(nothing).verdict, Verdict::kDown);
}

// ---- Draining.

class DrainTest : public ::testing::Test {
 protected:
  // `a` drains; `b` has all that it has, and says so as `a` does.
  DrainTest() {
    AddNode("a").mutable_effective()->set_role(tracker::v1::NODE_ROLE_DRAINING);
    AddNode("b");
    Level("a", "b");
  }

  tracker::v1::Node& AddNode(const std::string& name) {
    nodes_.emplace_back();
    tracker::v1::Node& node = nodes_.back();
    node.mutable_identity()->set_name(name);
    node.mutable_identity()->set_node_uuid("uuid-" + name);
    node.mutable_identity()->set_address(name + ":1");
    node.mutable_identity()->set_group("group1");
    node.set_state(tracker::v1::NODE_STATE_ACTIVE);
    storage::v1::GetStateResponse state;
    state.add_store_paths()->set_state(storage::v1::STORE_PATH_STATE_ACTIVE);
    states_.emplace(name + ":1", state);
    return node;
  }

  storage::v1::StorePathStatus* Path(const std::string& name) {
    return states_.find(name + ":1")->second.value().mutable_store_paths(0);
  }

  // Each knows the other, and lacks nothing of it.
  void Level(const std::string& one, const std::string& other) {
    for (const auto& [self, peer] :
         {std::make_pair(one, other), std::make_pair(other, one)}) {
      auto* const state = Path(self)->mutable_replication()->add_peers();
      state->set_node_uuid("uuid-" + peer);
      state->set_pulling(true);
    }
  }

  DrainProgress Judge() { return JudgeDrain(nodes_[0], nodes_, states_); }

  std::vector<tracker::v1::Node> nodes_;
  std::map<std::string, absl::StatusOr<storage::v1::GetStateResponse>> states_;
};

TEST_F(DrainTest, IsSafeWhenAllMembersHaveEverything) {
  const DrainProgress progress = Judge();
  EXPECT_TRUE(progress.safe_to_remove);
  EXPECT_TRUE(progress.draining);
  EXPECT_FALSE(progress.alone);
  EXPECT_EQ(progress.complete_members, 1);
  EXPECT_THAT(progress.waits_for, IsEmpty());
}

TEST_F(DrainTest, WaitsForWhatEitherSideSaysIsLacking) {
  auto* const told = Path("a")->mutable_replication()->mutable_peers(0);
  auto* const known = Path("b")->mutable_replication()->mutable_peers(0);
  told->set_peer_unsynced_changes(3);
  DrainProgress progress = Judge();
  EXPECT_FALSE(progress.safe_to_remove);
  EXPECT_EQ(progress.changes_left, 3u);
  ASSERT_THAT(progress.waits_for, SizeIs(1));
  EXPECT_EQ(progress.waits_for[0],
            "b store path 0 lacks 3 changes and 0 contents");
  told->set_peer_unsynced_changes(0);
  // Of a log that somebody else took, who is gone.
  known->set_behind_changes(2);
  EXPECT_FALSE(Judge().safe_to_remove);
  known->set_behind_changes(0);
  Path("b")->mutable_replication()->set_missing_contents(1);
  progress = Judge();
  EXPECT_FALSE(progress.safe_to_remove);
  EXPECT_EQ(progress.contents_left, 1u);
  // What nobody has is not waited for.
  Path("a")->mutable_replication()->set_missing_contents(1);
  EXPECT_TRUE(Judge().safe_to_remove);
  Path("b")->mutable_replication()->set_syncing(true);
  EXPECT_FALSE(Judge().safe_to_remove);
}

TEST_F(DrainTest, EveryMemberThatIsThereCounts) {
  AddNode("c");
  DrainProgress progress = Judge();
  EXPECT_FALSE(progress.safe_to_remove);
  EXPECT_EQ(progress.complete_members, 1);
  EXPECT_EQ(progress.members, 2);
  EXPECT_EQ(progress.waits_for[0], "c store path 0 has not heard of the node");
  Level("a", "c");
  EXPECT_TRUE(Judge().safe_to_remove);
  // One that is away is named.
  nodes_[2].set_state(tracker::v1::NODE_STATE_OFFLINE);
  states_.erase("c:1");
  progress = Judge();
  EXPECT_TRUE(progress.safe_to_remove);
  EXPECT_THAT(progress.away, ElementsAre("c"));
  // Nobody else is there: nothing is elsewhere for certain.
  nodes_[1].set_state(tracker::v1::NODE_STATE_SUSPECT);
  progress = Judge();
  EXPECT_FALSE(progress.safe_to_remove);
  EXPECT_FALSE(progress.alone);
  EXPECT_THAT(progress.waits_for, SizeIs(1));
}

// Or the removal that follows would be refused.
TEST_F(DrainTest, TheTrackersHaveToKnowIt) {
  auto* const report = nodes_[0].mutable_report()->add_store_paths();
  report->set_changes_only_here(1);
  EXPECT_FALSE(Judge().safe_to_remove);
  EXPECT_THAT(Judge().waits_for, SizeIs(1));
  report->set_changes_only_here(0);
  EXPECT_TRUE(Judge().safe_to_remove);
  nodes_[1].mutable_report()->add_store_paths()->set_syncing(true);
  EXPECT_FALSE(Judge().safe_to_remove);
}

TEST_F(DrainTest, ThereIsNoElsewhereForANodeThatIsAlone) {
  nodes_[1].mutable_identity()->set_group("group2");
  const DrainProgress progress = Judge();
  EXPECT_TRUE(progress.alone);
  EXPECT_FALSE(progress.safe_to_remove);
}

TEST_F(DrainTest, WhoCannotBeAskedIsWaitedFor) {
  states_.find("a:1")->second = absl::UnavailableError("refused");
  EXPECT_FALSE(Judge().safe_to_remove);
  EXPECT_THAT(Judge().waits_for[0], HasSubstr("does not answer: refused"));
}

// ---- Progress.

TEST(ProgressTest, TheLineSaysHowFarHowFastAndHowLong) {
  FakeClock clock;
  Progress progress(ProgressStyle::kBar, "storing", 100, stderr, &clock);
  progress.SetTotal(3, 100 << 20);
  progress.AddBytes(25 << 20);
  progress.AddFile();
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(progress.Line(100),
            "storing 1/3 files  █████░░░░░░░░░░░░░░░  25%  25.0 MiB / 100.0 "
            "MiB  5.0 MiB/s  0:15 left");
  EXPECT_EQ(progress.Line(40),
            "storing 1/3 files  25%  25.0 MiB / 100.0 MiB  5.0 MiB/s  0:15 "
            "left");
}

}  // namespace
}  // namespace cli
}  // namespace cairn
