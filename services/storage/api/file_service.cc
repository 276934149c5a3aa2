#include "services/storage/api/file_service.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/attributes/attributes.h"
#include "lib/base/status_macros.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/batch_wire.h"
#include "lib/rpc/chunk_wire.h"
#include "lib/rpc/grpc_status.h"
#include "lib/rpc/peer_identity.h"
#include "services/storage/api/change_answer.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/copy_call.h"
#include "services/storage/api/download_call.h"
#include "services/storage/api/translate.h"
#include "services/storage/api/unary_end.h"
#include "services/storage/api/upload_call.h"
#include "services/storage/core/derived_files.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/replica_survey.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kDerivedPage = 100;
constexpr size_t kDerivedPageMax = 1000;

// Has what is known of a file put into a response by `fill`, now or on the
// path's io(), and ends the call.
template <typename Fill>
void LookUp(const CallContext& context, const std::string& file_id,
            const UnaryEnd& end, Fill fill) {
  if (const absl::Status serving = context.CheckServing(); !serving.ok()) {
    end(serving);
    return;
  }
  absl::StatusOr<StorageNode::Located> located = context.node->Locate(file_id);
  if (!located.ok()) {
    end(located.status());
    return;
  }
  const auto answer =
      [end, fill = std::move(fill),
       index = located->id.store_path](const absl::StatusOr<FileInfo>& info) {
        if (info.ok()) fill(index, *info);
        end(info.status());
      };
  if (const absl::optional<absl::StatusOr<FileInfo>> info =
          located->path->TryStat(located->id.name)) {
    answer(*info);
    return;
  }
  Executor* const io = located->path->io();
  if (!io->TrySubmit([located = *std::move(located), answer] {
        answer(located.path->Stat(located.id.name));
      })) {
    end(QueueFull());
  }
}

// What the path has of the file itself, next to what `info` says. Blocks.
ReplicaState StateHere(StorePath* path, const FileInfo& info) {
  ReplicaStore* const store = path->local()->replica();
  if (store == nullptr) return ReplicaState::kCurrent;  // Nobody copies it.
  const absl::StatusOr<absl::optional<KnownFile>> known =
      store->Find(info.name);
  if (!known.ok()) return ReplicaState::kUnreachable;
  if (!known->has_value() || (*known)->deleted) return ReplicaState::kAbsent;
  return StateOfKnown((*known)->file.version, (*known)->content_missing,
                      info.version);
}

void ToProto(const Replica& replica, v1::Replica* out) {
  out->set_node_uuid(replica.peer.node_uuid.ToString());
  out->set_node_name(replica.peer.name);
  out->set_node_number(replica.peer.node_number);
  // The numbers are the same.
  out->set_state(static_cast<v1::ReplicaState>(replica.state));
}

// The end of a Stat that asks for replicas. On the path's io().
void TellReplicas(const CallContext& context, const StorageNode::Located& file,
                  const FileInfo& info, v1::StatResponse* response,
                  const UnaryEnd& end) {
  const NodeIdentity& identity = context.node->identity();
  Replica here;
  here.peer.node_uuid = identity.node_uuid;
  here.peer.node_number = identity.node_number;
  here.peer.name = identity.name;
  here.state = StateHere(file.path.get(), info);
  ToProto(here, response->add_replicas());
  const absl::Status asked = context.replicas->AskReplicas(
      file.id.store_path, info, [response, end](std::vector<Replica> replicas) {
        for (const Replica& replica : replicas) {
          ToProto(replica, response->add_replicas());
        }
        end(absl::OkStatus());
      });
  if (!asked.ok()) end(asked);
}

// Starts a change of a file that leaves its content as it is. `fill` adds to it
// what is of its kind alone; `run` is the path's call.
template <typename Change, typename Request, typename Response, typename Fill>
void Describe(const CallContext& context, const Request& request,
              Response* response, const UnaryEnd& end,
              void (StorePath::*run)(Change, CommitDone), const Fill& fill) {
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context.CheckServing());
    Change change;
    CAIRN_ASSIGN_OR_RETURN(
        change.request_id,
        ParseRequestId(request.request_id(), /*required=*/false));
    CAIRN_ASSIGN_OR_RETURN(ReplicaWish wish,
                           ParseDurability(request.durability()));
    change.durability = wish.level;
    CAIRN_RETURN_IF_ERROR(fill(&change));
    CAIRN_ASSIGN_OR_RETURN(StorageNode::Located located,
                           context.node->Locate(request.file_id()));
    const uint8_t index = located.id.store_path;
    CAIRN_RETURN_IF_ERROR(
        context.replicas->AdmitUpdate(index, located.id.name));
    CAIRN_ASSIGN_OR_RETURN(Replicator::AckInterest interest,
                           context.replicas->Admit(index, &wish));
    change.name = std::move(located.id.name);
    StorePath* const path = located.path.get();
    (path->*run)(std::move(change),
                 AnswerWithFile(context, index, wish, std::move(located.path),
                                std::move(interest), response, end));
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
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
  const auto fill = [node = context_.node, response,
                     with_attributes = request->include_attributes()](
                        uint8_t path_index, const FileInfo& info) {
    ToProto(*node, path_index, info, response->mutable_info());
    if (with_attributes) AttributesToProto(info, response->mutable_info());
  };
  if (!request->include_replicas()) {
    LookUp(context_, request->file_id(), end, fill);
    return end.reactor;
  }
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    CAIRN_ASSIGN_OR_RETURN(StorageNode::Located located,
                           context_.node->Locate(request->file_id()));
    Executor* const io = located.path->io();
    const bool queued = io->TrySubmit([located = std::move(located),
                                       context = context_, response, fill,
                                       end] {
      const absl::StatusOr<FileInfo> info = located.path->Stat(located.id.name);
      if (!info.ok()) {
        end(info.status());
        return;
      }
      fill(located.id.store_path, *info);
      TellReplicas(context, located, *info, response, end);
    });
    return queued ? absl::OkStatus() : QueueFull();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::GetAttributes(
    grpc::CallbackServerContext* context,
    const v1::GetAttributesRequest* request,
    v1::GetAttributesResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->get_attributes);
  LookUp(context_, request->file_id(), end,
         [response](uint8_t /*path_index*/, const FileInfo& info) {
           common::v1::FileInfo out;
           AttributesToProto(info, &out);
           response->mutable_attributes()->Swap(out.mutable_attributes());
           response->mutable_version()->set_clock(info.version.clock);
           response->mutable_version()->set_node(info.version.node);
         });
  return end.reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::ListDerived(
    grpc::CallbackServerContext* context, const v1::ListDerivedRequest* request,
    v1::ListDerivedResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->list_derived);
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    CAIRN_ASSIGN_OR_RETURN(StorageNode::Located located,
                           context_.node->Locate(request->file_id()));
    CAIRN_RETURN_IF_ERROR(CheckIsMaster(located.id.name));
    if (request->page_size() > kDerivedPageMax) {
      return InvalidField("page_size",
                          absl::StrCat("at most ", kDerivedPageMax));
    }
    const size_t limit =
        request->page_size() == 0 ? kDerivedPage : request->page_size();
    Executor* const io = located.path->io();
    const bool queued = io->TrySubmit([located = std::move(located),
                                       token = request->page_token(), limit,
                                       node = context_.node,
                                       clock = context_.clock, response, end] {
      absl::StatusOr<DerivedPage> page = cairn::storage::ListDerived(
          located.path.get(), located.id.name, token, limit,
          absl::ToUnixSeconds(clock->Now()));
      if (page.ok()) {
        for (const FileInfo& file : page->files) {
          ToProto(*node, located.id.store_path, file, response->add_files());
        }
        response->set_next_page_token(page->next);
      }
      end(page.status());
    });
    return queued ? absl::OkStatus() : QueueFull();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::Copy(
    grpc::CallbackServerContext* context, const v1::CopyRequest* request,
    v1::CopyResponse* response) {
  const UnaryEnd end = BeginUnary(context_, context, &context_.metrics->copy);
  StartCopy(context_, rpc::PeerIdentity(*context), *request, response, end);
  return end.reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::GetCapabilities(
    grpc::CallbackServerContext* context,
    const v1::GetCapabilitiesRequest* /*request*/,
    v1::GetCapabilitiesResponse* response) {
  response->set_version(version_);
  for (const std::string& service : services_) response->add_services(service);
  response->add_features("attributes");
  response->add_features("copies");
  response->add_features("dedup");
  response->add_features("expiry");
  response->add_features("undelete");
  response->set_attributes_max(kAttributesMax);
  response->set_attribute_key_bytes_max(kAttributeKeyBytesMax);
  response->set_attribute_value_bytes_max(kAttributeValueBytesMax);
  response->set_batch_content_bytes_max(rpc::kBatchContentBytesMax);
  response->set_batch_message_bytes_max(rpc::kBatchMessageBytesMax);
  response->set_chunk_bytes_default(rpc::kChunkBytesDefault);
  response->set_chunk_bytes_max(rpc::kChunkBytesMax);
  response->set_file_bytes_max(kFileSizeMax);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  TsanRelease(reactor);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::SetAttributes(
    grpc::CallbackServerContext* context,
    const v1::SetAttributesRequest* request,
    v1::SetAttributesResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->set_attributes);
  Describe(context_, *request, response, end, &StorePath::SetAttributes,
           [request](SetAttributesRequest* change) -> absl::Status {
             CAIRN_ASSIGN_OR_RETURN(
                 change->change,
                 ParseAttributeChange(request->mode(), request->attributes(),
                                      request->remove()));
             if (request->has_if_version_match()) {
               change->if_version_match =
                   Version{request->if_version_match().clock(),
                           request->if_version_match().node()};
             }
             return absl::OkStatus();
           });
  return end.reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::SetExpiry(
    grpc::CallbackServerContext* context, const v1::SetExpiryRequest* request,
    v1::SetExpiryResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->set_expiry);
  Describe(context_, *request, response, end, &StorePath::SetExpiry,
           [request, clock = context_.clock](SetExpiryRequest* change) {
             const absl::StatusOr<int64_t> expire =
                 ParseLifetime(request->lifetime(), clock->Now());
             if (expire.ok()) change->expire_unix_seconds = *expire;
             return expire.status();
           });
  return end.reactor;
}

grpc::ServerUnaryReactor* FileServiceImpl::Undelete(
    grpc::CallbackServerContext* context, const v1::UndeleteRequest* request,
    v1::UndeleteResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->undelete);
  Describe(context_, *request, response, end, &StorePath::Undelete,
           [](UndeleteRequest* /*change*/) { return absl::OkStatus(); });
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
    change.purge = request->purge();
    CAIRN_ASSIGN_OR_RETURN(StorageNode::Located located,
                           context_.node->Locate(request->file_id()));
    const uint8_t index = located.id.store_path;
    if (request->with_derived()) {
      CAIRN_RETURN_IF_ERROR(CheckIsMaster(located.id.name));
    }
    CAIRN_ASSIGN_OR_RETURN(Replicator::AckInterest interest,
                           context_.replicas->Admit(index, &wish));
    std::string master = located.id.name;
    change.name = std::move(located.id.name);
    CommitDone answer = [interest = std::move(interest), response,
                         end](const absl::StatusOr<Committed>& committed) {
      if (committed.ok()) {
        FillReached(*committed, response);
        const int64_t until = committed->file.undelete_until_unix_seconds;
        if (until != 0) response->mutable_undelete_until()->set_seconds(until);
      }
      end(committed.status());
    };
    // The deletion of the master comes last in the log: who has it has the
    // others, too.
    auto last = [path = located.path.get(), change = std::move(change),
                 done = ConfirmThen(context_, index, wish, located.path,
                                    std::move(answer))]() mutable {
      path->Delete(std::move(change), std::move(done));
    };
    if (!request->with_derived()) {
      last();
      return absl::OkStatus();
    }
    DeleteDerived(std::move(located.path), std::move(master), wish.level,
                  request->purge(), absl::ToUnixSeconds(context_.clock->Now()),
                  [last = std::move(last), response,
                   end](const absl::StatusOr<uint32_t>& deleted) mutable {
                    if (!deleted.ok()) {
                      end(deleted.status());
                      return;
                    }
                    response->set_derived_deleted(*deleted);
                    last();
                  });
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

}  // namespace storage
}  // namespace cairn
