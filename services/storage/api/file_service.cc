#include "services/storage/api/file_service.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/grpc_status.h"
#include "services/storage/api/download_call.h"
#include "services/storage/api/translate.h"
#include "services/storage/api/upload_call.h"

namespace cairn {
namespace storage {
namespace {

// Ends a unary call and counts it. Copied into whatever answers later; called
// once.
struct UnaryEnd {
  grpc::ServerUnaryReactor* reactor;
  rpc::MethodMetrics* metrics;
  Clock* clock;
  absl::Duration begin;

  void operator()(const absl::Status& status) const {
    metrics->End(status, clock->Monotonic() - begin);
    TsanRelease(reactor);
    reactor->Finish(rpc::ToGrpcStatus(status));
  }
};

UnaryEnd BeginUnary(const CallContext& context,
                    grpc::CallbackServerContext* call,
                    rpc::MethodMetrics* metrics) {
  metrics->Begin();
  return UnaryEnd{call->DefaultReactor(), metrics, context.clock,
                  context.clock->Monotonic()};
}

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* FileServiceImpl::Upload(
    grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  return new UploadCall(context_, context, response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* FileServiceImpl::Download(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return new DownloadCall(context_, &context_.metrics->download,
                          ParseDownloadRequest(*context_.node, *request));
}

grpc::ServerUnaryReactor* FileServiceImpl::Stat(
    grpc::CallbackServerContext* context, const v1::StatRequest* request,
    v1::StatResponse* response) {
  const UnaryEnd end = BeginUnary(context_, context, &context_.metrics->stat);
  if (const absl::Status serving = context_.CheckServing(); !serving.ok()) {
    end(serving);
    return end.reactor;
  }
  absl::StatusOr<StorageNode::Located> located =
      context_.node->Locate(request->file_id());
  if (!located.ok()) {
    end(located.status());
    return end.reactor;
  }
  const auto answer = [node = context_.node, response, end,
                       index = located->id.store_path,
                       with_attributes = request->include_attributes()](
                          const absl::StatusOr<FileInfo>& info) {
    if (info.ok()) {
      ToProto(*node, index, *info, response->mutable_info());
      if (with_attributes) {
        AttributesToProto(*info, response->mutable_info());
      }
    }
    end(info.status());
  };
  if (const absl::optional<absl::StatusOr<FileInfo>> info =
          located->path->TryStat(located->id.name)) {
    answer(*info);
    return end.reactor;
  }
  Executor* const io = located->path->io();
  if (!io->TrySubmit([located = *std::move(located), answer] {
        answer(located.path->Stat(located.id.name));
      })) {
    end(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                        ErrorReason::kOverloaded, "the disk's queue is full"));
  }
  return end.reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::Delete(
    grpc::CallbackServerContext* context, const v1::DeleteRequest* request,
    v1::DeleteResponse* response) {
  const UnaryEnd end = BeginUnary(context_, context, &context_.metrics->remove);
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    DeleteRequest change;
    CAIRN_ASSIGN_OR_RETURN(
        change.request_id,
        ParseRequestId(request->request_id(), /*required=*/false));
    CAIRN_ASSIGN_OR_RETURN(ReplicaWish wish,
                           ParseDurability(request->durability()));
    change.durability = wish.level;
    CAIRN_ASSIGN_OR_RETURN(StorageNode::Located located,
                           context_.node->Locate(request->file_id()));
    const uint8_t index = located.id.store_path;
    CAIRN_ASSIGN_OR_RETURN(Replicator::AckInterest interest,
                           context_.replicas->Admit(index, &wish));
    change.name = std::move(located.id.name);
    StorePath* const path = located.path.get();
    CommitDone answer = [interest = std::move(interest), response,
                         end](const absl::StatusOr<Committed>& committed) {
      if (committed.ok()) {
        response->mutable_reached()->set_level(ToProto(committed->reached));
        response->mutable_reached()->set_replicas(committed->replicas);
        response->set_replayed(committed->replayed);
      }
      end(committed.status());
    };
    path->Delete(
        std::move(change),
        [path = std::move(located.path), index, wish, gate = context_.replicas,
         answer =
             std::move(answer)](absl::StatusOr<Committed> committed) mutable {
          gate->Confirm(index, wish, std::move(committed), std::move(answer));
        });
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

}  // namespace storage
}  // namespace cairn
