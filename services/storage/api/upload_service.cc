#include "services/storage/api/upload_service.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/peer_identity.h"
#include "services/storage/api/change_answer.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/locate_upload.h"
#include "services/storage/api/translate.h"
#include "services/storage/api/unary_end.h"
#include "services/storage/api/upload_status.h"
#include "services/storage/api/write_upload_call.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/upload_id.h"
#include "services/storage/core/upload_sessions.h"

namespace cairn {
namespace storage {
namespace {

// Runs `work` on the path's io(), and ends the call with what it returns.
void EndOnIo(const std::shared_ptr<StorePath>& path, const UnaryEnd& end,
             std::function<absl::Status()> work) {
  const bool queued = path->io()->TrySubmit(
      [path, end, work = std::move(work)] { end(work()); });
  if (!queued) {
    end(QueueFull());
  }
}

// A FinishUpload on its way.
struct Finishing {
  CallContext context;
  LocatedUpload located;
  Uuid request_id;
  absl::optional<uint32_t> crc32c;
  std::string attributes;
  int64_t expire_unix_seconds = 0;
  bool dedup = false;
  ReplicaWish wish;
  Replicator::AckInterest interest;
  v1::FinishUploadResponse* response = nullptr;
  std::unique_ptr<UnaryEnd> end;
  std::unique_ptr<CompleteUpload> complete;
};

void Answer(const std::shared_ptr<Finishing>& call,
            absl::StatusOr<Committed> committed) {
  call->context.replicas->Confirm(
      call->located.id.store_path, call->wish, std::move(committed),
      [call](const absl::StatusOr<Committed>& confirmed) {
        if (confirmed.ok()) {
          FillChanged(*call->context.node, call->located.id.store_path,
                      *confirmed, call->response);
          call->response->set_shared(confirmed->file.deduplicated);
        }
        (*call->end)(confirmed.status());
      });
}

// What an earlier call with the request_id answered; nullopt if there was none.
absl::StatusOr<absl::optional<Committed>> FindEarlier(const Finishing& call) {
  absl::StatusOr<absl::optional<Committed>> earlier =
      call.located.path->FindRequest(call.request_id, call.wish.level);
  if (earlier.ok() && earlier->has_value()) {
    // A crash may have left it behind.
    call.located.path->uploads()->Abort(call.located.id.secret).IgnoreError();
  }
  return earlier;
}

// On io().
absl::Status Commit(const std::shared_ptr<Finishing>& call) {
  UploadSessions* const uploads = call->located.path->uploads();
  CAIRN_ASSIGN_OR_RETURN(const UploadSessionInfo info,
                         uploads->Query(call->located.id.secret));
  const bool derived = !info.spec.derived_name.empty();
  if (derived) {
    CAIRN_RETURN_IF_ERROR(
        call->context.replicas->AdmitDerived(call->located.id.store_path));
  }
  CAIRN_ASSIGN_OR_RETURN(
      call->complete,
      uploads->OpenFinish(call->located.id.secret, call->crc32c));
  StorageNode::NewFile file =
      derived ? call->context.node->MakeDerived(info.spec.derived_name)
              : call->context.node->MakeName(
                    call->located.id.store_path, FileKind::kNormal,
                    call->complete->size_bytes(), call->complete->crc32c(),
                    info.spec.extension);
  Upload::FinishRequest request;
  request.kind = derived ? FileKind::kDerived : FileKind::kNormal;
  request.request_id = call->request_id;
  request.name = std::move(file.name);
  request.create_unix_seconds = file.create_unix_seconds;
  request.origin_node = call->context.node->identity().node_number;
  request.attributes = std::move(call->attributes);
  request.expire_unix_seconds = call->expire_unix_seconds;
  request.owner = info.spec.owner;
  request.dedup = call->dedup;
  request.durability = call->wish.level;
  call->complete->Commit(std::move(request),
                         [call](absl::StatusOr<Committed> committed) {
                           Answer(call, std::move(committed));
                         });
  return absl::OkStatus();
}

void RunFinish(const std::shared_ptr<Finishing>& call) {
  absl::StatusOr<absl::optional<Committed>> earlier = FindEarlier(*call);
  absl::Status status = earlier.status();
  if (earlier.ok() && !earlier->has_value()) {
    status = Commit(call);
    if (status.ok()) return;
    // Another call with the request_id may have come first.
    if (absl::IsNotFound(status)) earlier = FindEarlier(*call);
  }
  if (earlier.ok() && earlier->has_value()) {
    Answer(call, **std::move(earlier));
  } else {
    (*call->end)(status);
  }
}

}  // namespace

grpc::ServerUnaryReactor* UploadServiceImpl::CreateUpload(
    grpc::CallbackServerContext* context,
    const v1::CreateUploadRequest* request,
    v1::CreateUploadResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->upload_create);
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    CAIRN_RETURN_IF_ERROR(ValidateExtension(request->extension()));
    UploadSessionSpec spec;
    spec.extension = request->extension();
    spec.owner = rpc::PeerIdentity(*context);
    if (request->has_size_bytes()) {
      if (request->size_bytes() < 0) {
        return InvalidField("size_bytes", "must not be negative");
      }
      spec.size_bytes = request->size_bytes();
    }
    if (request->has_crc32c()) spec.crc32c = request->crc32c();
    absl::optional<uint32_t> store_path;
    if (request->has_store_path()) store_path = request->store_path();
    if (request->has_derived()) {
      CAIRN_ASSIGN_OR_RETURN(spec.derived_name,
                             ParseDerived(*context_.node, request->derived(),
                                          spec.extension, &store_path));
    }
    CAIRN_ASSIGN_OR_RETURN(const StorageNode::Placed placed,
                           context_.node->Place(request->group(), store_path,
                                                spec.size_bytes.value_or(0)));
    // Again when it is finished. What a derived file adds depends on what is
    // there by its name then.
    if (spec.derived_name.empty()) {
      CAIRN_RETURN_IF_ERROR(
          context_.CheckNewFile(spec.owner, spec.size_bytes.value_or(0)));
    } else {
      CAIRN_RETURN_IF_ERROR(context_.replicas->AdmitDerived(placed.index));
    }
    UploadId id;
    id.node_number = context_.node->identity().node_number;
    id.store_path = placed.index;
    id.secret = Uuid::Random();
    // Also says whether the path takes any.
    CAIRN_RETURN_IF_ERROR(LocateUpload(*context_.node, id.ToString()).status());
    EndOnIo(placed.path, end,
            [path = placed.path, id, spec, response]() -> absl::Status {
              CAIRN_RETURN_IF_ERROR(path->uploads()->Create(id.secret, spec));
              CAIRN_ASSIGN_OR_RETURN(const UploadSessionInfo info,
                                     path->uploads()->Query(id.secret));
              ToProto(id, info, response->mutable_upload());
              return absl::OkStatus();
            });
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

grpc::ServerReadReactor<v1::WriteUploadRequest>* UploadServiceImpl::WriteUpload(
    grpc::CallbackServerContext* context, v1::WriteUploadResponse* response) {
  return new WriteUploadCall(context_, context, response);
}

grpc::ServerUnaryReactor* UploadServiceImpl::QueryUpload(
    grpc::CallbackServerContext* context, const v1::QueryUploadRequest* request,
    v1::QueryUploadResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->upload_query);
  const auto query = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    CAIRN_ASSIGN_OR_RETURN(const LocatedUpload located,
                           LocateUpload(*context_.node, request->upload_id()));
    CAIRN_ASSIGN_OR_RETURN(const UploadSessionInfo info,
                           located.path->uploads()->Query(located.id.secret));
    ToProto(located.id, info, response->mutable_upload());
    return absl::OkStatus();
  };
  end(query());
  return end.reactor;
}

grpc::ServerUnaryReactor* UploadServiceImpl::FinishUpload(
    grpc::CallbackServerContext* context,
    const v1::FinishUploadRequest* request,
    v1::FinishUploadResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->upload_finish);
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    auto call = std::make_shared<Finishing>();
    call->context = context_;
    CAIRN_ASSIGN_OR_RETURN(call->located,
                           LocateUpload(*context_.node, request->upload_id()));
    CAIRN_ASSIGN_OR_RETURN(
        call->request_id,
        ParseRequestId(request->request_id(), /*required=*/false));
    if (call->request_id.is_nil()) call->request_id = call->located.id.secret;
    if (request->has_crc32c()) call->crc32c = request->crc32c();
    CAIRN_ASSIGN_OR_RETURN(call->attributes,
                           ParseAttributes(request->attributes()));
    CAIRN_ASSIGN_OR_RETURN(
        call->expire_unix_seconds,
        ParseLifetime(request->lifetime(), context_.clock->Now()));
    call->dedup =
        request->has_dedup() ? request->dedup() : context_.default_dedup;
    CAIRN_ASSIGN_OR_RETURN(call->wish, ParseDurability(request->durability()));
    CAIRN_ASSIGN_OR_RETURN(
        call->interest,
        context_.replicas->Admit(call->located.id.store_path, &call->wish));
    call->response = response;
    call->end = std::make_unique<UnaryEnd>(end);
    Executor* const io = call->located.path->io();
    if (!io->TrySubmit([call] { RunFinish(call); })) {
      return QueueFull();
    }
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

grpc::ServerUnaryReactor* UploadServiceImpl::AbortUpload(
    grpc::CallbackServerContext* context, const v1::AbortUploadRequest* request,
    v1::AbortUploadResponse* response) {
  static_cast<void>(response);
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->upload_abort);
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    CAIRN_ASSIGN_OR_RETURN(const LocatedUpload located,
                           LocateUpload(*context_.node, request->upload_id()));
    EndOnIo(located.path, end, [path = located.path, id = located.id] {
      return path->uploads()->Abort(id.secret);
    });
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

}  // namespace storage
}  // namespace cairn
