#include "services/storage/api/sync_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/rpc/chunk_wire.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/wire.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/download_call.h"
#include "services/storage/sync/sync_wire.h"

namespace cairn {
namespace storage {
namespace {

constexpr absl::string_view kService = "cairn.storage.v1.SyncService";

}  // namespace

SyncMetrics::SyncMetrics(MetricsRegistry* registry)
    : sync(registry, "SyncService.Sync"),
      ack(registry, "SyncService.AckSync"),
      snapshot(registry, "SyncService.Snapshot"),
      fetch(registry, "SyncService.Fetch"),
      digest(registry, "SyncService.Digest") {}

absl::StatusOr<MemberCall> SyncServiceImpl::Admit(
    grpc::CallbackServerContext* context, absl::string_view method,
    const std::string& node_uuid, const std::string& group,
    uint32_t store_path) {
  CAIRN_RETURN_IF_ERROR(context_.CheckServing());
  CAIRN_ASSIGN_OR_RETURN(
      const std::string caller,
      auth_->Check(*context, absl::StrCat("/", kService, "/", method)));
  if (caller != node_uuid) {
    return ErrorWithReason(absl::StatusCode::kUnauthenticated,
                           ErrorReason::kNotAMember,
                           "the call says that it comes from another node than "
                           "the one that signed it");
  }
  const NodeIdentity& identity = context_.node->identity();
  if (group != identity.group) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongGroup,
        absl::StrCat("this node is in group ", identity.group),
        {{"group", identity.group}});
  }
  CAIRN_RETURN_IF_ERROR(check_member_(caller));
  MemberCall call;
  call.still_member = [this, caller] { return check_member_(caller); };
  CAIRN_ASSIGN_OR_RETURN(call.caller, Uuid::Parse(caller));
  CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<StorePath> path,
                         context_.node->Path(store_path));
  // Nothing is passed on from one member to another.
  call.path = std::shared_ptr<StorePath>(path, path->local());
  call.replicator = replicator_of_(static_cast<uint8_t>(store_path));
  return call;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* SyncServiceImpl::Sync(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  v1::SyncRequest request;
  const absl::StatusOr<MemberCall> call =
      rpc::FromByteBuffer(*buffer, &request)
          ? Admit(context, "Sync", request.node_uuid(), request.group(),
                  request.store_path())
          : InvalidField("request", "the bytes are no SyncRequest message");
  return new SyncStream(context_, &metrics_->sync, call, request);
}

grpc::ServerUnaryReactor* SyncServiceImpl::AckSync(
    grpc::CallbackServerContext* context, const v1::AckSyncRequest* request,
    v1::AckSyncResponse*) {
  const absl::Duration begin = context_.clock->Monotonic();
  metrics_->ack.Begin();
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const auto take = [&]() -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(const MemberCall call,
                           Admit(context, "AckSync", request->node_uuid(),
                                 request->group(), request->store_path()));
    Acknowledgement said;
    for (const v1::LogRange& range : request->logs()) {
      CAIRN_ASSIGN_OR_RETURN(const LogRange log, FromProto(range));
      said.logs.push_back(log);
    }
    for (const v1::LogChange& missing : request->missing()) {
      CAIRN_ASSIGN_OR_RETURN(const LogId log, FromProto(missing.log()));
      said.missing.push_back({log, missing.sequence()});
    }
    call.replicator->OnAck(call.caller, said);
    return absl::OkStatus();
  };
  const absl::Status status = take();
  metrics_->ack.End(status, context_.clock->Monotonic() - begin);
  TsanRelease(reactor);
  reactor->Finish(rpc::ToGrpcStatus(status));
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* SyncServiceImpl::Snapshot(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  v1::SnapshotRequest request;
  const absl::StatusOr<MemberCall> call =
      rpc::FromByteBuffer(*buffer, &request)
          ? Admit(context, "Snapshot", request.node_uuid(), request.group(),
                  request.store_path())
          : InvalidField("request", "the bytes are no SnapshotRequest message");
  return new SnapshotStream(context_, &metrics_->snapshot, call, request);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* SyncServiceImpl::Fetch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  const auto parse = [&]() -> absl::StatusOr<DownloadTarget> {
    v1::FetchRequest request;
    if (!rpc::FromByteBuffer(*buffer, &request)) {
      return InvalidField("request", "the bytes are no FetchRequest message");
    }
    CAIRN_ASSIGN_OR_RETURN(MemberCall call,
                           Admit(context, "Fetch", request.node_uuid(),
                                 request.group(), request.store_path()));
    DownloadTarget target;
    target.path = std::move(call.path);
    target.store_path = static_cast<uint8_t>(request.store_path());
    target.name = request.name();
    if (request.has_version()) {
      target.version =
          Version{request.version().clock(), request.version().node()};
    }
    if (request.has_size_bytes() && target.version.has_value()) {
      target.state =
          FileState{*target.version, request.size_bytes(), request.crc32c()};
    }
    target.offset = request.offset();
    if (request.has_length()) target.length = request.length();
    target.chunk_bytes = rpc::kChunkBytesDefault;
    target.with_attributes = true;
    target.is_fetch = true;
    target.info_only = request.info_only();
    return target;
  };
  return new DownloadCall(context_, &metrics_->fetch, parse());
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* SyncServiceImpl::Digest(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  v1::DigestRequest request;
  absl::StatusOr<MemberCall> call =
      rpc::FromByteBuffer(*buffer, &request)
          ? Admit(context, "Digest", request.node_uuid(), request.group(),
                  request.store_path())
          : InvalidField("request", "the bytes are no DigestRequest message");
  return new DigestStream(context_, &metrics_->digest, call, request);
}

}  // namespace storage
}  // namespace cairn
