#include "services/storage/api/node_service.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/metrics/process_stats.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace storage {
namespace {

void SetTimestamp(absl::Time time, google::protobuf::Timestamp* out) {
  out->set_seconds(absl::ToUnixSeconds(time));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(
      time - absl::FromUnixSeconds(absl::ToUnixSeconds(time)))));
}

v1::StorePathState ToProto(StorePathState state) {
  switch (state) {
    case StorePathState::kActive:
      return v1::STORE_PATH_STATE_ACTIVE;
    case StorePathState::kFull:
      return v1::STORE_PATH_STATE_FULL;
    case StorePathState::kReadOnly:
      return v1::STORE_PATH_STATE_READ_ONLY;
    case StorePathState::kOffline:
      return v1::STORE_PATH_STATE_OFFLINE;
  }
  return v1::STORE_PATH_STATE_UNSPECIFIED;
}

void ToProto(const StorePathStatus& status, v1::StorePathStatus* out) {
  out->set_directory(status.directory);
  out->set_state(ToProto(status.state));
  out->set_detail(status.detail);
  out->set_read_only_by_configuration(status.read_only_by_configuration);
  if (!status.incarnation.is_nil()) {
    out->set_incarnation(status.incarnation.ToString());
  }
  out->set_epoch(status.epoch);
  out->set_last_sequence(status.last_sequence);
  out->set_total_bytes(status.total_bytes);
  out->set_free_bytes(status.free_bytes);
  out->set_reserve_bytes(status.reserve_bytes);
  out->set_files(status.files);
  out->set_live_bytes(status.live_bytes);
  out->set_undelete_bytes(status.undelete_bytes);
  out->set_file_bytes(status.file_bytes);
  out->set_dead_bytes(status.dead_bytes);
  out->set_segments(status.segments);
  out->set_index_bytes(status.index_bytes);
  out->set_damaged_records(status.damaged_records);
}

constexpr uint32_t kClientsPerAnswerMax = 1000;

void ToProto(const FileUse& use, const Quota& quota, v1::QuotaUse* out) {
  out->set_files(use.files);
  out->set_bytes(use.bytes);
  out->set_quota_files(quota.files);
  out->set_quota_bytes(quota.bytes);
}

v1::JobKind ToProto(JobKind kind) {
  switch (kind) {
    case JobKind::kCompaction:
      return v1::JOB_KIND_COMPACTION;
    case JobKind::kRebuildIndex:
      return v1::JOB_KIND_REBUILD_INDEX;
    case JobKind::kScrub:
      return v1::JOB_KIND_SCRUB;
    case JobKind::kCompare:
      return v1::JOB_KIND_COMPARE;
  }
  return v1::JOB_KIND_UNSPECIFIED;
}

v1::JobState ToProto(JobState state) {
  switch (state) {
    case JobState::kRunning:
      return v1::JOB_STATE_RUNNING;
    case JobState::kSucceeded:
      return v1::JOB_STATE_SUCCEEDED;
    case JobState::kFailed:
      return v1::JOB_STATE_FAILED;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

void ToProto(const ScrubReport& report, v1::ScrubReport* out) {
  out->set_files(report.files);
  out->set_bytes(report.bytes);
  out->set_damaged(report.damaged);
  out->set_mended(report.mended);
  out->set_unmendable(report.unmendable);
  out->set_bytes_per_second(report.bytes_per_second);
}

void ToProto(const ComparisonReport& report, v1::ComparisonReport* out) {
  out->set_peers(report.peers);
  out->set_failed_peers(report.failed_peers);
  out->set_ranges(report.ranges);
  out->set_names(report.names);
  out->set_differing(report.differing);
  out->set_mended(report.mended);
  out->set_lacking_there(report.lacking_there);
  out->set_unmendable(report.unmendable);
  out->set_conflicts(report.conflicts);
  out->set_under_way(report.under_way);
}

// The tag is what makes an ID a credential: it is the end of the 40 characters
// of a name.
std::string MaskTag(std::string file_id) {
  constexpr size_t kTagEnd = 40;
  constexpr size_t kTagBegin = 32;
  const size_t slash = file_id.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  for (size_t i = begin + kTagBegin;
       i < std::min(begin + kTagEnd, file_id.size()); ++i) {
    file_id[i] = '*';
  }
  return file_id;
}

void ToProto(const Job& job, v1::Job* out) {
  out->set_job_id(job.id);
  out->set_kind(ToProto(job.kind));
  out->set_store_path(job.store_path);
  out->set_state(ToProto(job.state));
  out->set_detail(job.detail);
  out->set_done_bytes(job.progress.done_bytes);
  out->set_total_bytes(job.progress.total_bytes);
  if (job.findings.scrub.has_value()) {
    ToProto(*job.findings.scrub, out->mutable_scrub());
  }
  if (job.findings.comparison.has_value()) {
    ToProto(*job.findings.comparison, out->mutable_comparison());
  }
  SetTimestamp(job.start_time, out->mutable_start_time());
  if (job.state != JobState::kRunning) {
    SetTimestamp(job.end_time, out->mutable_end_time());
  }
}

// Whoever knows the name of a file on its path may read it: of the last part,
// which has the tag, only the beginning is shown.
std::string MaskName(absl::string_view name) {
  constexpr size_t kShown = 16;
  const size_t slash = name.rfind('/');
  const size_t begin = slash == absl::string_view::npos ? 0 : slash + 1;
  return absl::StrCat(name.substr(0, begin + kShown), "*");
}

void ToProto(const SetAsideInfo& info, v1::SetAsideChange* out) {
  out->set_masked_name(MaskName(info.change.file.name));
  if (!info.change.change.log.is_nil()) {
    out->set_incarnation(info.change.change.log.incarnation.ToString());
  }
  out->set_sequence(info.change.change.sequence);
  out->set_deleted(info.change.kind == ChangeKind::kDelete);
  out->set_attempts(info.attempts);
  if (!info.error.ok()) out->set_error(info.error.ToString());
}

void ToProto(const LogRange& log, v1::LogState* out) {
  out->set_incarnation(log.log.incarnation.ToString());
  out->set_epoch(log.log.epoch);
  out->set_own(log.own);
  out->set_cut_sequence(log.cut);
  out->set_applied_sequence(log.applied);
  out->set_synced_sequence(log.synced);
}

void ToProto(const ReplicationProgress& progress, v1::ReplicationState* out) {
  for (const PeerProgress& progress_of : progress.peers) {
    v1::PeerState* const peer = out->add_peers();
    peer->set_node_uuid(progress_of.peer.node_uuid.ToString());
    peer->set_name(progress_of.peer.name);
    peer->set_address(progress_of.peer.address);
    peer->set_pulling(progress_of.pulling);
    if (!progress_of.last_error.ok()) {
      peer->set_last_error(progress_of.last_error.ToString());
    }
    peer->set_behind_changes(progress_of.behind_changes);
    peer->set_peer_behind_changes(progress_of.lag.behind_changes);
    peer->set_peer_unsynced_changes(progress_of.lag.unsynced_changes);
    peer->set_peer_missing_contents(progress_of.lag.missing_contents);
    peer->set_behind_seconds(absl::ToDoubleSeconds(progress_of.behind));
    peer->set_needs_snapshot(progress_of.needs_snapshot);
  }
  out->set_applied_changes(progress.applied_changes);
  out->set_missing_contents(progress.missing_contents);
  out->set_snapshot_running(progress.snapshot_running);
  out->set_snapshot_files(progress.snapshot_files);
  out->set_caught_up(progress.caught_up);
  out->set_syncing(progress.syncing);
  out->set_changes_only_here(progress.changes_only_here);
  out->set_under_replicated_changes(progress.under_replicated_changes);
  out->set_snapshot_files_total(progress.snapshot_files_total);
  out->set_snapshot_bytes(progress.snapshot_bytes);
  out->set_changes_per_second(progress.changes_per_second);
  out->set_bytes_per_second(progress.bytes_per_second);
  if (progress.time_left.has_value()) {
    out->set_estimated_seconds_left(absl::ToDoubleSeconds(*progress.time_left));
  }
  out->set_set_aside_changes(progress.set_aside_changes);
  for (const SetAsideInfo& info : progress.set_aside) {
    ToProto(info, out->add_set_aside());
  }
  for (const LogRange& log : progress.logs) ToProto(log, out->add_logs());
}

// Runs `handler` on `background` and finishes the call with what it returns.
template <typename Handler>
grpc::ServerUnaryReactor* HandOver(grpc::CallbackServerContext* context,
                                   Executor* background, Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const bool queued =
      background->TrySubmit([reactor, handler = std::move(handler)] {
        reactor->Finish(rpc::ToGrpcStatus(handler()));
      });
  if (!queued) {
    reactor->Finish(rpc::ToGrpcStatus(ErrorWithReason(
        absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
        "too many administrative calls wait")));
  }
  return reactor;
}

}  // namespace

NodeServiceImpl::NodeServiceImpl(NodeServiceOptions options, StorageNode* node,
                                 JobList* jobs, Executor* background)
    : options_(std::move(options)),
      node_(node),
      jobs_(jobs),
      background_(background) {}

grpc::ServerUnaryReactor* NodeServiceImpl::GetState(
    grpc::CallbackServerContext* context,
    const v1::GetStateRequest* /*request*/, v1::GetStateResponse* response) {
  return HandOver(context, background_, [this, response] {
    FillState(response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* NodeServiceImpl::Compact(
    grpc::CallbackServerContext* context, const v1::CompactRequest* request,
    v1::CompactResponse* response) {
  return HandOver(context, background_, [this, request, response] {
    return StartCompaction(*request, response->mutable_job());
  });
}

grpc::ServerUnaryReactor* NodeServiceImpl::RebuildIndex(
    grpc::CallbackServerContext* context,
    const v1::RebuildIndexRequest* request,
    v1::RebuildIndexResponse* response) {
  return HandOver(context, background_, [this, request, response] {
    return StartRebuild(*request, response->mutable_job());
  });
}

grpc::ServerUnaryReactor* NodeServiceImpl::Scrub(
    grpc::CallbackServerContext* context, const v1::ScrubRequest* request,
    v1::ScrubResponse* response) {
  return HandOver(
      context, background_, [this, request, response]() -> absl::Status {
        CAIRN_ASSIGN_OR_RETURN(Upkeep* const upkeep,
                               UpkeepOf(request->store_path()));
        absl::optional<int64_t> rate;
        if (request->has_bytes_per_second()) rate = request->bytes_per_second();
        CAIRN_ASSIGN_OR_RETURN(const Job job, upkeep->scrubber()->Start(rate));
        ToProto(job, response->mutable_job());
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* NodeServiceImpl::Compare(
    grpc::CallbackServerContext* context, const v1::CompareRequest* request,
    v1::CompareResponse* response) {
  return HandOver(
      context, background_, [this, request, response]() -> absl::Status {
        CAIRN_ASSIGN_OR_RETURN(Upkeep* const upkeep,
                               UpkeepOf(request->store_path()));
        CAIRN_ASSIGN_OR_RETURN(const Job job, upkeep->comparer()->Start());
        ToProto(job, response->mutable_job());
        return absl::OkStatus();
      });
}

absl::StatusOr<Upkeep*> NodeServiceImpl::UpkeepOf(uint32_t store_path) const {
  CAIRN_RETURN_IF_ERROR(node_->Path(store_path).status());
  if (!options_.upkeep) {
    return ErrorWithReason(absl::StatusCode::kUnimplemented,
                           ErrorReason::kNotSupported,
                           "nothing looks after the store paths of this node");
  }
  return options_.upkeep(static_cast<uint8_t>(store_path));
}

void NodeServiceImpl::FillUpkeep(uint8_t store_path,
                                 v1::UpkeepState* out) const {
  const UpkeepProgress progress = options_.upkeep(store_path)->Progress();
  out->set_damaged_files(progress.repairs.damaged);
  out->set_unmendable_files(progress.repairs.unmendable);
  out->set_mended_files(progress.repairs.mended);
  for (const DamagedFile& file : progress.damaged) {
    v1::DamagedFile* const to = out->add_damaged();
    to->set_masked_file_id(MaskTag(node_->FileId(store_path, file.name)));
    to->set_size_bytes(file.size_bytes);
    to->set_attempts(file.attempts);
    to->set_unmendable(file.unmendable);
    to->set_detail(file.detail);
  }
  if (progress.last_scrub.has_value()) {
    ToProto(*progress.last_scrub, out->mutable_last_scrub());
    SetTimestamp(progress.last_scrub_time, out->mutable_last_scrub_time());
  }
  if (progress.last_comparison.has_value()) {
    ToProto(*progress.last_comparison, out->mutable_last_comparison());
    SetTimestamp(progress.last_comparison_time,
                 out->mutable_last_comparison_time());
  }
}

grpc::ServerUnaryReactor* NodeServiceImpl::ListJobs(
    grpc::CallbackServerContext* context,
    const v1::ListJobsRequest* /*request*/, v1::ListJobsResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  for (const Job& job : jobs_->List()) ToProto(job, response->add_jobs());
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* NodeServiceImpl::ListClients(
    grpc::CallbackServerContext* context, const v1::ListClientsRequest* request,
    v1::ListClientsResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const uint32_t limit = request->limit() == 0
                             ? kClientsPerAnswerMax
                             : std::min(request->limit(), kClientsPerAnswerMax);
  if (options_.quotas != nullptr) {
    for (const Quotas::ClientUse& client :
         options_.quotas->ListClients(request->after(), limit)) {
      v1::ClientQuota* const out = response->add_clients();
      out->set_identity(client.client);
      ToProto(client.use, client.quota, out->mutable_use());
    }
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

void NodeServiceImpl::FillState(v1::GetStateResponse* response) const {
  const NodeIdentity& identity = node_->identity();
  response->set_name(identity.name);
  response->set_node_uuid(identity.node_uuid.ToString());
  response->set_node_number(identity.node_number);
  response->set_group(identity.group);
  response->set_cluster_id(identity.cluster_id.ToString());
  response->set_version(options_.version);
  SetTimestamp(options_.start_time, response->mutable_start_time());
  if (options_.clock != nullptr) {
    SetTimestamp(options_.clock->Now(), response->mutable_current_time());
  }
  if (options_.quotas != nullptr) {
    ToProto(options_.quotas->Use(), options_.quotas->Limit(),
            response->mutable_quota());
  }
  const ProcessStats process = ReadProcessStats();
  const int64_t cpu_seconds = absl::ToInt64Seconds(process.cpu_time);
  response->mutable_cpu_time()->set_seconds(cpu_seconds);
  response->mutable_cpu_time()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(process.cpu_time - absl::Seconds(cpu_seconds))));
  response->set_resident_bytes(process.resident_bytes);
  uint32_t index = 0;
  for (const StorePathStatus& status : node_->Status()) {
    v1::StorePathStatus* const path = response->add_store_paths();
    ToProto(status, path);
    path->set_index(index);
    if (options_.replication) {
      ToProto(options_.replication(static_cast<uint8_t>(index)),
              path->mutable_replication());
    }
    if (options_.upkeep) {
      FillUpkeep(static_cast<uint8_t>(index), path->mutable_upkeep());
    }
    ++index;
  }
}

absl::Status NodeServiceImpl::StartCompaction(const v1::CompactRequest& request,
                                              v1::Job* job) {
  const double dead_share_min = request.has_dead_share_min()
                                    ? request.dead_share_min()
                                    : options_.dead_share_min;
  if (!(dead_share_min >= 0 && dead_share_min <= 1)) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("dead_share_min must be 0 to 1, not ", dead_share_min),
        {{"field", "dead_share_min"}});
  }
  CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<StorePath> path,
                         node_->Path(request.store_path()));
  const StorePathStatus status = path->Status();
  if (status.state == StorePathState::kReadOnly) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kStorePathReadOnly,
        absl::StrCat("the store path is read-only: ", status.detail),
        {{"path", absl::StrCat(request.store_path())}});
  }
  CAIRN_ASSIGN_OR_RETURN(
      const Job started,
      jobs_->Start(JobKind::kCompaction, request.store_path(),
                   [path, dead_share_min, drop = request.drop_deleted()](
                       const JobList::Report& report) -> absl::Status {
                     if (drop) CAIRN_RETURN_IF_ERROR(path->DropDeleted());
                     return path->Compact(dead_share_min, report);
                   }));
  ToProto(started, job);
  return absl::OkStatus();
}

absl::Status NodeServiceImpl::StartRebuild(
    const v1::RebuildIndexRequest& request, v1::Job* job) {
  const uint32_t index = request.store_path();
  if (index >= node_->path_count()) return node_->Path(index).status();
  CAIRN_ASSIGN_OR_RETURN(
      const Job started,
      jobs_->Start(JobKind::kRebuildIndex, index,
                   [this, index](const JobList::Report& report) {
                     return node_->RebuildIndex(index, report);
                   }));
  ToProto(started, job);
  return absl::OkStatus();
}

}  // namespace storage
}  // namespace cairn
