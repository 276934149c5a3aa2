#include "integration_tests/mini_cluster/storage_stub.h"

#include <grpcpp/grpcpp.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/batch_service.grpc.pb.h"
#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "google/rpc/status.pb.h"
#include "integration_tests/mini_cluster/health.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace testing {
namespace {

namespace common = ::cairn::common::v1;
namespace wire = ::cairn::storage::v1;

// Long enough for a large file on a slow machine under a sanitizer.
constexpr absl::Duration kCallTimeout = absl::Minutes(3);

absl::Status Breach(absl::string_view what) {
  return absl::InternalError(absl::StrCat("the server broke its word: ", what));
}

common::DurabilityLevel Level(bool synced) {
  return synced ? common::DURABILITY_LEVEL_SYNCED
                : common::DURABILITY_LEVEL_CACHED;
}

// Checks an acknowledged put against what was sent.
absl::StatusOr<StoredFile> CheckStored(const common::FileInfo& info,
                                       const common::DurabilityReached& reached,
                                       bool replayed, absl::string_view content,
                                       bool synced) {
  if (info.size_bytes() != static_cast<int64_t>(content.size()) ||
      info.crc32c() != Crc32c(content)) {
    return Breach(absl::StrCat(info.file_id(), ": size or CRC of a put"));
  }
  if (reached.level() < Level(synced) || reached.replicas() < 1) {
    return Breach(absl::StrCat(info.file_id(), ": less than was asked for"));
  }
  return StoredFile{info.file_id(), replayed,
                    reached.level() == common::DURABILITY_LEVEL_SYNCED,
                    reached.replicas()};
}

}  // namespace

struct StorageStub::Stubs {
  explicit Stubs(const std::string& address)
      : channel(rpc::MakeChannel(address, {.own_connection = true})),
        files(wire::FileService::NewStub(channel)),
        batch(wire::BatchService::NewStub(channel)),
        node(wire::NodeService::NewStub(channel)) {}

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<wire::FileService::Stub> files;
  std::unique_ptr<wire::BatchService::Stub> batch;
  std::unique_ptr<wire::NodeService::Stub> node;
};

StorageStub::StorageStub(const std::string& address)
    : stubs_(std::make_unique<Stubs>(address)) {}

StorageStub::~StorageStub() = default;

absl::StatusOr<StoredFile> StorageStub::Put(const Uuid& request,
                                            absl::string_view content,
                                            const PutWishes& wishes) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::UploadResponse response;
  auto stream = stubs_->files->Upload(&context, &response);

  wire::UploadRequest first;
  wire::UploadSpec* const spec = first.mutable_spec();
  spec->set_request_id(request.ToString());
  if (wishes.store_path.has_value()) spec->set_store_path(*wishes.store_path);
  if (wishes.declare_size) {
    spec->set_size_bytes(static_cast<int64_t>(content.size()));
  }
  spec->mutable_durability()->set_level(Level(wishes.synced));
  spec->mutable_durability()->set_replicas(wishes.replicas);
  if (wishes.replicas_required) {
    spec->mutable_durability()->set_policy(common::REPLICA_POLICY_REQUIRED);
  }
  if (!wishes.attributes.empty()) {
    spec->mutable_attributes()->ParseFromString(
        EncodeAttributes(wishes.attributes));
  }
  bool open = stream->Write(first);
  for (size_t at = 0; open && at < content.size();) {
    const absl::string_view piece =
        content.substr(at, static_cast<size_t>(wishes.chunk_bytes));
    wire::UploadRequest next;
    next.mutable_chunk()->set_offset(static_cast<int64_t>(at));
    next.mutable_chunk()->set_data(piece.data(), piece.size());
    next.mutable_chunk()->set_crc32c(Crc32c(piece));
    open = stream->Write(next);
    at += piece.size();
  }
  if (open) {
    wire::UploadRequest last;
    last.mutable_finish()->set_crc32c(Crc32c(content));
    stream->Write(last);
    stream->WritesDone();
  }
  CAIRN_RETURN_IF_ERROR(rpc::FromGrpcStatus(stream->Finish()));
  return CheckStored(response.info(), response.reached(), response.replayed(),
                     content, wishes.synced);
}

std::vector<absl::StatusOr<StoredFile>> StorageStub::PutBatch(
    const std::vector<BatchPut>& files) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  auto stream = stubs_->batch->Run(&context);
  wire::RunRequest message;
  for (size_t i = 0; i < files.size(); ++i) {
    wire::BatchItem* const item = message.add_items();
    item->set_item_id(i + 1);
    wire::PutOperation* const put = item->mutable_put();
    const absl::string_view request = files[i].request.bytes();
    put->set_request_id(request.data(), request.size());
    put->mutable_durability()->set_level(Level(files[i].synced));
    put->set_crc32c(Crc32c(files[i].content));
    put->set_content(files[i].content);
  }
  stream->Write(message);
  stream->WritesDone();

  std::vector<absl::optional<absl::StatusOr<StoredFile>>> answers(files.size());
  wire::RunResponse response;
  while (stream->Read(&response)) {
    for (const wire::BatchAnswer& answer : response.answers()) {
      const size_t index = answer.item_id() - 1;
      if (index >= files.size() || answers[index].has_value()) continue;
      if (answer.has_error()) {
        answers[index] = rpc::FromRpcStatus(answer.error());
      } else {
        answers[index] = CheckStored(
            answer.put().info(), answer.put().reached(),
            answer.put().replayed(), files[index].content, files[index].synced);
      }
    }
  }
  absl::Status ended = rpc::FromGrpcStatus(stream->Finish());
  if (ended.ok()) ended = Breach("a batch stream ended well without an answer");
  std::vector<absl::StatusOr<StoredFile>> result;
  result.reserve(answers.size());
  for (auto& answer : answers) {
    result.push_back(answer.has_value() ? *std::move(answer)
                                        : absl::StatusOr<StoredFile>(ended));
  }
  return result;
}

absl::StatusOr<std::string> StorageStub::Get(absl::string_view file_id,
                                             int64_t offset,
                                             absl::optional<int64_t> length) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::DownloadRequest request;
  request.set_file_id(std::string(file_id));
  request.set_offset(offset);
  if (length.has_value()) request.set_length(*length);
  auto stream = stubs_->files->Download(&context, request);

  absl::optional<common::FileInfo> info;
  std::string content;
  absl::Status breach;
  wire::DownloadResponse response;
  while (stream->Read(&response)) {
    if (response.has_info()) {
      if (info.has_value()) breach.Update(Breach("info twice"));
      info = response.info();
      continue;
    }
    const common::Chunk& chunk = response.chunk();
    if (!info.has_value()) breach.Update(Breach("a chunk before the info"));
    if (chunk.offset() != offset + static_cast<int64_t>(content.size())) {
      breach.Update(Breach("a chunk out of order"));
    }
    if (chunk.crc32c() != Crc32c(chunk.data())) {
      breach.Update(Breach("a chunk that does not match its CRC"));
    }
    content += chunk.data();
  }
  CAIRN_RETURN_IF_ERROR(rpc::FromGrpcStatus(stream->Finish()));
  CAIRN_RETURN_IF_ERROR(breach);
  if (!info.has_value()) return Breach("a download without info");
  const int64_t rest = info->size_bytes() - offset;
  if (static_cast<int64_t>(content.size()) !=
      std::min(rest, length.value_or(rest))) {
    return Breach("a download of the wrong length that ended well");
  }
  if (offset == 0 && !length.has_value() && Crc32c(content) != info->crc32c()) {
    return Breach("content that does not match the file's CRC");
  }
  return content;
}

absl::StatusOr<int64_t> StorageStub::Stat(absl::string_view file_id) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::StatRequest request;
  request.set_file_id(std::string(file_id));
  wire::StatResponse response;
  CAIRN_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stubs_->files->Stat(&context, request, &response)));
  return response.info().size_bytes();
}

absl::StatusOr<bool> StorageStub::Delete(const Uuid& request_id,
                                         absl::string_view file_id,
                                         bool synced) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::DeleteRequest request;
  request.set_request_id(request_id.ToString());
  request.set_file_id(std::string(file_id));
  request.mutable_durability()->set_level(Level(synced));
  wire::DeleteResponse response;
  CAIRN_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stubs_->files->Delete(&context, request, &response)));
  if (response.reached().level() < Level(synced)) {
    return Breach("a delete at less than was asked for");
  }
  return response.replayed();
}

absl::StatusOr<SeenAttributes> StorageStub::GetAttributes(
    absl::string_view file_id) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::GetAttributesRequest request;
  request.set_file_id(std::string(file_id));
  wire::GetAttributesResponse response;
  CAIRN_RETURN_IF_ERROR(rpc::FromGrpcStatus(
      stubs_->files->GetAttributes(&context, request, &response)));
  SeenAttributes seen;
  CAIRN_ASSIGN_OR_RETURN(
      seen.attributes,
      DecodeAttributes(response.attributes().SerializeAsString()));
  seen.version_clock = response.version().clock();
  seen.version_node = response.version().node();
  return seen;
}

absl::StatusOr<uint64_t> StorageStub::SetAttributes(
    const Uuid& request_id, absl::string_view file_id,
    const AttributeChange& change, uint32_t replicas) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::SetAttributesRequest request;
  request.set_request_id(request_id.ToString());
  request.set_file_id(std::string(file_id));
  request.set_mode(change.overwrite ? common::ATTRIBUTES_MODE_OVERWRITE
                                    : common::ATTRIBUTES_MODE_MERGE);
  request.mutable_attributes()->ParseFromString(EncodeAttributes(change.set));
  for (const std::string& key : change.remove) request.add_remove(key);
  request.mutable_durability()->set_replicas(replicas);
  request.mutable_durability()->set_policy(common::REPLICA_POLICY_REQUIRED);
  wire::SetAttributesResponse response;
  CAIRN_RETURN_IF_ERROR(rpc::FromGrpcStatus(
      stubs_->files->SetAttributes(&context, request, &response)));
  if (response.info().file_id() != file_id ||
      response.reached().level() != common::DURABILITY_LEVEL_SYNCED ||
      response.reached().replicas() < replicas) {
    return Breach("a change of attributes at less than was asked for");
  }
  return response.info().version().clock();
}

absl::StatusOr<wire::GetStateResponse> StorageStub::State() {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::GetStateResponse response;
  CAIRN_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stubs_->node->GetState(&context, {}, &response)));
  return response;
}

absl::StatusOr<int64_t> StorageStub::Files() {
  CAIRN_ASSIGN_OR_RETURN(const auto state, State());
  int64_t files = 0;
  for (const auto& path : state.store_paths()) files += path.files();
  return files;
}

absl::Status StorageStub::Compact(uint32_t store_path, double dead_share_min) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::CompactRequest request;
  request.set_store_path(store_path);
  request.set_dead_share_min(dead_share_min);
  wire::CompactResponse response;
  CAIRN_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stubs_->node->Compact(&context, request, &response)));
  return AwaitJob(response.job().job_id()).status();
}

absl::Status StorageStub::RebuildIndex(uint32_t store_path) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::RebuildIndexRequest request;
  request.set_store_path(store_path);
  wire::RebuildIndexResponse response;
  CAIRN_RETURN_IF_ERROR(rpc::FromGrpcStatus(
      stubs_->node->RebuildIndex(&context, request, &response)));
  return AwaitJob(response.job().job_id()).status();
}

absl::StatusOr<wire::ScrubReport> StorageStub::Scrub(uint32_t store_path,
                                                     int64_t bytes_per_second) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::ScrubRequest request;
  request.set_store_path(store_path);
  request.set_bytes_per_second(bytes_per_second);
  wire::ScrubResponse response;
  CAIRN_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stubs_->node->Scrub(&context, request, &response)));
  CAIRN_ASSIGN_OR_RETURN(const wire::Job job,
                         AwaitJob(response.job().job_id()));
  return job.scrub();
}

absl::StatusOr<wire::ComparisonReport> StorageStub::Compare(
    uint32_t store_path) {
  grpc::ClientContext context;
  rpc::SetTimeout(&context, kCallTimeout);
  wire::CompareRequest request;
  request.set_store_path(store_path);
  wire::CompareResponse response;
  CAIRN_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stubs_->node->Compare(&context, request, &response)));
  CAIRN_ASSIGN_OR_RETURN(const wire::Job job,
                         AwaitJob(response.job().job_id()));
  return job.comparison();
}

absl::StatusOr<wire::Job> StorageStub::AwaitJob(const std::string& job_id) {
  const absl::Time deadline = absl::Now() + kCallTimeout;
  while (absl::Now() < deadline) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, deadline);
    wire::ListJobsResponse response;
    CAIRN_RETURN_IF_ERROR(
        rpc::FromGrpcStatus(stubs_->node->ListJobs(&context, {}, &response)));
    for (const wire::Job& job : response.jobs()) {
      if (job.job_id() != job_id) continue;
      if (job.state() == wire::JOB_STATE_SUCCEEDED) return job;
      if (job.state() == wire::JOB_STATE_FAILED) {
        return absl::AbortedError(job.detail());
      }
    }
    // Asking is the only way to know; not too often.
    poll(nullptr, 0, 10);
  }
  return absl::DeadlineExceededError(absl::StrCat("job ", job_id, " goes on"));
}

absl::StatusOr<bool> StorageStub::Healthy(absl::string_view service) {
  return CheckHealth(stubs_->channel, service, kCallTimeout);
}

}  // namespace testing
}  // namespace cairn
