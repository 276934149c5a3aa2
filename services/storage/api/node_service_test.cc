// An operator sees what the node is, starts work on its disks and watches it.

#include "services/storage/api/node_service.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/grpc_status.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/file_use.h"
#include "services/storage/core/job_list.h"
#include "services/storage/core/quotas.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/testing/fake_store_path.h"
#include "services/storage/core/upkeep.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::HasSubstr;

class NodeServiceTest : public ::testing::Test {
 protected:
  NodeServiceTest() {
    NodeIdentity identity;
    identity.name = "node-a";
    identity.node_number = 7;
    identity.group = "group1";
    node_ = std::make_unique<StorageNode>(identity, PathPolicy::kRoundRobin,
                                          &codec_, &clock_);
    StorePathHooks hooks;
    hooks.open = [this]() -> absl::StatusOr<std::unique_ptr<StorePath>> {
      auto path = std::make_unique<FakeStorePath>();
      fake_ = path.get();
      return std::unique_ptr<StorePath>(std::move(path));
    };
    hooks.rebuild = [](const std::function<void(const JobProgress&)>& report) {
      report({10, 10});
      return absl::OkStatus();
    };
    EXPECT_THAT(node_->AddPath("/disk0", hooks), IsOk());
    StorePathHooks broken;
    broken.open = []() -> absl::StatusOr<std::unique_ptr<StorePath>> {
      return absl::NotFoundError("no disk there");
    };
    EXPECT_THAT(node_->AddPath("/disk1", broken),
                StatusIs(absl::StatusCode::kNotFound));

    jobs_pool_ = std::make_unique<ThreadPool>("jobs", 1, 10);
    jobs_ = std::make_unique<JobList>(jobs_pool_.get(), &clock_);
    NodeServiceOptions options;
    options.version = "1.2.3";
    options.start_time = clock_.Now();
    options.quotas = &quotas_;
    UpkeepOptions upkeep;
    upkeep.jobs = jobs_.get();
    upkeep_ = std::make_unique<Upkeep>(upkeep, 0, nullptr, &clock_, [] {});
    options.upkeep = [this](uint8_t) { return upkeep_.get(); };
    service_ = std::make_unique<NodeServiceImpl>(options, node_.get(),
                                                 jobs_.get(), &background_);
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::NodeService::NewStub(
        server_->InProcessChannel(grpc::ChannelArguments()));
  }
  ~NodeServiceTest() override {
    server_->Shutdown();
    jobs_pool_.reset();
  }

  absl::StatusOr<v1::GetStateResponse> GetState() {
    grpc::ClientContext context;
    v1::GetStateResponse response;
    const grpc::Status status = stub_->GetState(&context, {}, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response;
  }
  absl::StatusOr<v1::Job> Compact(uint32_t store_path, double dead_share_min,
                                  bool drop_deleted = false) {
    grpc::ClientContext context;
    v1::CompactRequest request;
    request.set_drop_deleted(drop_deleted);
    request.set_store_path(store_path);
    request.set_dead_share_min(dead_share_min);
    v1::CompactResponse response;
    const grpc::Status status = stub_->Compact(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response.job();
  }
  absl::StatusOr<v1::Job> Scrub(uint32_t store_path, int64_t rate) {
    grpc::ClientContext context;
    v1::ScrubRequest request;
    request.set_store_path(store_path);
    request.set_bytes_per_second(rate);
    v1::ScrubResponse response;
    const grpc::Status status = stub_->Scrub(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response.job();
  }
  absl::StatusOr<v1::Job> Rebuild(uint32_t store_path) {
    grpc::ClientContext context;
    v1::RebuildIndexRequest request;
    request.set_store_path(store_path);
    v1::RebuildIndexResponse response;
    const grpc::Status status =
        stub_->RebuildIndex(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpcStatus(status);
    return response.job();
  }
  // The newest job, once it has ended.
  v1::Job EndedJob() {
    jobs_pool_.reset();  // Runs what is queued, then joins.
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    EXPECT_TRUE(stub_->ListJobs(&context, {}, &response).ok());
    return response.jobs(0);
  }

  FakeClock clock_;
  Quotas quotas_{"group1"};
  FileIdCodec codec_{"secret"};
  std::unique_ptr<StorageNode> node_;
  FakeStorePath* fake_ = nullptr;
  ThreadPool background_{"background", 1, 10};
  std::unique_ptr<ThreadPool> jobs_pool_;
  std::unique_ptr<JobList> jobs_;
  std::unique_ptr<Upkeep> upkeep_;  // Nobody ticks it.
  std::unique_ptr<NodeServiceImpl> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::NodeService::Stub> stub_;
};

TEST_F(NodeServiceTest, StateTellsWhatTheNodeIsAndHowItsPathsAre) {
  const auto state = GetState();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->name(), "node-a");
  EXPECT_EQ(state->node_number(), 7u);
  EXPECT_EQ(state->group(), "group1");
  EXPECT_EQ(state->version(), "1.2.3");
  EXPECT_EQ(state->start_time().seconds(), absl::ToUnixSeconds(clock_.Now()));
  EXPECT_GT(state->resident_bytes(), 0);
  EXPECT_GT(state->cpu_time().seconds() + state->cpu_time().nanos(), 0);
  ASSERT_EQ(state->store_paths_size(), 2);
  EXPECT_EQ(state->store_paths(0).state(), v1::STORE_PATH_STATE_ACTIVE);
  EXPECT_EQ(state->store_paths(1).index(), 1u);
  EXPECT_EQ(state->store_paths(1).directory(), "/disk1");
  EXPECT_EQ(state->store_paths(1).state(), v1::STORE_PATH_STATE_OFFLINE);
  EXPECT_THAT(state->store_paths(1).detail(), HasSubstr("no disk there"));
}

TEST_F(NodeServiceTest, TellsWhatTheGroupAndItsClientsHoldAndMay) {
  UseTotals held;
  held.Add("", {1, 100});
  held.Add("alice", {2, 20});
  held.Add("carol", {3, 30});
  quotas_.CountIn(held);
  quotas_.SetLimits({{10, 1000}, {{"alice", {5, 0}}, {"bob", {0, 7}}}});
  const auto state = GetState();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->quota().files(), 6);
  EXPECT_EQ(state->quota().bytes(), 150);
  EXPECT_EQ(state->quota().quota_files(), 10u);
  EXPECT_EQ(state->quota().quota_bytes(), 1000u);

  const auto list = [this](const std::string& after, uint32_t limit) {
    grpc::ClientContext context;
    v1::ListClientsRequest request;
    request.set_after(after);
    request.set_limit(limit);
    v1::ListClientsResponse response;
    EXPECT_TRUE(stub_->ListClients(&context, request, &response).ok());
    return response;
  };
  const v1::ListClientsResponse all = list("", 0);
  ASSERT_EQ(all.clients_size(), 3);
  EXPECT_EQ(all.clients(0).identity(), "alice");
  EXPECT_EQ(all.clients(0).use().files(), 2);
  EXPECT_EQ(all.clients(0).use().bytes(), 20);
  EXPECT_EQ(all.clients(0).use().quota_files(), 5u);
  EXPECT_EQ(all.clients(1).identity(), "bob");
  EXPECT_EQ(all.clients(1).use().files(), 0);
  EXPECT_EQ(all.clients(1).use().quota_bytes(), 7u);
  EXPECT_EQ(all.clients(2).use().quota_bytes(), 0u);
  EXPECT_EQ(list("", 2).clients_size(), 2);
  ASSERT_EQ(list("bob", 2).clients_size(), 1);
  EXPECT_EQ(list("bob", 2).clients(0).identity(), "carol");
  EXPECT_EQ(list("carol", 0).clients_size(), 0);
}

TEST_F(NodeServiceTest, CompactionIsAJobThatCanBeWatched) {
  const auto job = Compact(0, 0.25);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->kind(), v1::JOB_KIND_COMPACTION);
  const v1::Job ended = EndedJob();
  EXPECT_EQ(ended.job_id(), job->job_id());
  EXPECT_EQ(ended.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(ended.done_bytes(), 1);
  EXPECT_TRUE(ended.has_end_time());
  EXPECT_EQ(fake_->dropped_deleted(), 0);
}

TEST_F(NodeServiceTest, CompactionGivesUpWhatIsKeptOfDeletedFilesIfToldSo) {
  ASSERT_THAT(Compact(0, 0.25, /*drop_deleted=*/true), IsOk());
  EXPECT_EQ(EndedJob().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(fake_->dropped_deleted(), 1);
}

TEST_F(NodeServiceTest, ARebuildPutsThePathBackIntoService) {
  const auto job = Rebuild(0);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(EndedJob().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(node_->Path(0), IsOk());
}

TEST_F(NodeServiceTest, WhatCannotBeStartedSaysWhy) {
  EXPECT_EQ(ReasonOf(Compact(0, 1.5).status()), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(Compact(9, 0.5).status()), ErrorReason::kUnknownStorePath);
  EXPECT_EQ(ReasonOf(Compact(1, 0.5).status()), ErrorReason::kStorePathOffline);
  EXPECT_EQ(ReasonOf(Rebuild(9).status()), ErrorReason::kUnknownStorePath);
  EXPECT_EQ(ReasonOf(Scrub(9, 0).status()), ErrorReason::kUnknownStorePath);
  EXPECT_EQ(ReasonOf(Scrub(1, 0).status()), ErrorReason::kStorePathOffline);
  EXPECT_EQ(ReasonOf(Scrub(0, -1).status()), ErrorReason::kInvalidField);
}

TEST_F(NodeServiceTest, AScrubIsAJobWhoseRateCanBeChanged) {
  const auto job = Scrub(0, 1000);
  ASSERT_THAT(job, IsOk());
  EXPECT_EQ(job->kind(), v1::JOB_KIND_SCRUB);
  EXPECT_EQ(job->state(), v1::JOB_STATE_RUNNING);
  const auto again = Scrub(0, 2000);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->job_id(), job->job_id());
}

TEST_F(NodeServiceTest, DamagedFilesAreListedWithoutTheirTags) {
  const std::string name =
      node_->MakeName(0, FileKind::kNormal, 5, 7, "jpg").name;
  FileInfo file;
  file.name = name;
  file.size_bytes = 5;
  upkeep_->repairs()->Report(file);
  const auto state = GetState();
  ASSERT_THAT(state, IsOk());
  const v1::UpkeepState& upkeep = state->store_paths(0).upkeep();
  EXPECT_EQ(upkeep.damaged_files(), 1u);
  EXPECT_EQ(upkeep.unmendable_files(), 0u);
  ASSERT_EQ(upkeep.damaged_size(), 1);
  // The first 32 of the 40 characters stay, and the extension.
  const size_t end = name.size() - 4;
  EXPECT_EQ(upkeep.damaged(0).masked_file_id(),
            "group1/M00/" + name.substr(0, end - 8) + "********.jpg");
  EXPECT_EQ(upkeep.damaged(0).size_bytes(), 5);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
