#include "services/storage/api/appender_service.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/peer_identity.h"
#include "services/storage/api/change_answer.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/translate.h"
#include "services/storage/api/unary_end.h"

namespace cairn {
namespace storage {
namespace {

// The same in the .proto.
constexpr int64_t kContentBytesMax = 1 << 20;

// The bytes of a request, checked, as what refers to the message, which lives
// until the call has ended.
template <typename Request>
absl::StatusOr<absl::Cord> ContentOf(const Request& request, uint32_t* crc32c) {
  const std::string& content = request.content();
  if (static_cast<int64_t>(content.size()) > kContentBytesMax) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kTooLarge,
                           absl::StrCat("content is limited to ",
                                        kContentBytesMax, " bytes in one call"),
                           {{"limit_bytes", absl::StrCat(kContentBytesMax)}});
  }
  *crc32c = Crc32c(content);
  if (request.has_crc32c() && request.crc32c() != *crc32c) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kChecksumMismatch,
                           "content does not match its CRC-32C");
  }
  if (content.empty()) return absl::Cord();
  return absl::MakeCordFromExternal(content, [] {});
}

// What a change of an appender holds until it is answered.
struct Admitted {
  std::shared_ptr<StorePath> path;
  uint8_t index = 0;
  ReplicaWish wish;
  Replicator::AckInterest interest;
};

// Whether the change may be made here; fills in `change`, an UpdateRequest or a
// SealRequest, but for what is of its kind alone.
template <typename Request, typename Change>
absl::StatusOr<Admitted> AdmitChange(const CallContext& context,
                                     const Request& request, Change* change) {
  CAIRN_RETURN_IF_ERROR(context.CheckServing());
  CAIRN_ASSIGN_OR_RETURN(
      change->request_id,
      ParseRequestId(request.request_id(), /*required=*/true));
  FillCondition(request.condition(), change);
  Admitted admitted;
  CAIRN_ASSIGN_OR_RETURN(admitted.wish, ParseDurability(request.durability()));
  CAIRN_ASSIGN_OR_RETURN(StorageNode::Located located,
                         context.node->Locate(request.file_id()));
  admitted.index = located.id.store_path;
  CAIRN_RETURN_IF_ERROR(
      context.replicas->AdmitUpdate(admitted.index, located.id.name));
  CAIRN_ASSIGN_OR_RETURN(
      admitted.interest,
      context.replicas->Admit(admitted.index, &admitted.wish));
  change->durability = admitted.wish.level;
  change->name = std::move(located.id.name);
  admitted.path = std::move(located.path);
  return admitted;
}

// A change on its way: it holds what it uses until it is answered.
template <typename Request, typename Response>
void Start(const CallContext& context, const Request& request,
           UpdateRequest update, Response* response, const UnaryEnd& end) {
  const auto start = [&]() -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(Admitted admitted,
                           AdmitChange(context, request, &update));
    const uint8_t index = admitted.index;
    const ReplicaWish wish = admitted.wish;
    context.metrics->received_bytes->Add(update.content.size());
    // The message is there already; taking it from the budget makes others
    // wait who have not sent theirs yet.
    const auto bytes = static_cast<int64_t>(update.content.size());
    CommitDone answer = [interest = std::move(admitted.interest), response, end,
                         node = context.node, budget = context.budget, index,
                         bytes](const absl::StatusOr<Committed>& committed) {
      if (committed.ok()) {
        FillChanged(*node, index, *committed, response);
      }
      budget->Return(bytes);
      end(committed.status());
    };
    struct Call {
      std::shared_ptr<StorePath> path;
      UpdateRequest update;
      CommitDone answer;
    };
    auto call = std::make_shared<Call>(
        Call{std::move(admitted.path), std::move(update), std::move(answer)});
    context.budget->Take(bytes, [call, index, wish, gate = context.replicas] {
      StorePath* const path = call->path.get();
      path->Update(std::move(call->update),
                   [call, index, wish,
                    gate](absl::StatusOr<Committed> committed) mutable {
                     gate->Confirm(index, wish, std::move(committed),
                                   std::move(call->answer));
                   });
    });
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
}

}  // namespace

grpc::ServerUnaryReactor* AppenderServiceImpl::CreateAppender(
    grpc::CallbackServerContext* context,
    const v1::CreateAppenderRequest* request,
    v1::CreateAppenderResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->create_appender);
  struct Call {
    StorageNode::Placed placed;
    PutRequest put;
    ReplicaWish wish;
    Replicator::AckInterest interest;
    StorageNode::Claim claim;
    std::string extension;
    int64_t bytes = 0;
  };
  auto call = std::make_shared<Call>();
  const auto start = [&]() -> absl::Status {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    CAIRN_ASSIGN_OR_RETURN(
        call->put.request_id,
        ParseRequestId(request->request_id(), /*required=*/true));
    CAIRN_RETURN_IF_ERROR(ValidateExtension(request->extension()));
    call->extension = request->extension();
    call->put.owner = rpc::PeerIdentity(*context);
    CAIRN_ASSIGN_OR_RETURN(call->wish, ParseDurability(request->durability()));
    CAIRN_ASSIGN_OR_RETURN(call->put.attributes,
                           ParseAttributes(request->attributes()));
    CAIRN_ASSIGN_OR_RETURN(
        call->put.expire_unix_seconds,
        ParseLifetime(request->lifetime(), context_.clock->Now()));
    CAIRN_ASSIGN_OR_RETURN(call->put.content,
                           ContentOf(*request, &call->put.crc32c));
    call->bytes = static_cast<int64_t>(call->put.content.size());
    absl::optional<uint32_t> store_path;
    if (request->has_store_path()) store_path = request->store_path();
    CAIRN_ASSIGN_OR_RETURN(
        call->placed,
        context_.node->Place(request->group(), store_path, call->bytes));
    CAIRN_ASSIGN_OR_RETURN(
        call->interest,
        context_.replicas->Admit(call->placed.index, &call->wish));
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) {
    end(started);
    return end.reactor;
  }
  context_.metrics->received_bytes->Add(call->put.content.size());
  const auto answer =
      [call, response, end, node = context_.node, budget = context_.budget](
          uint8_t index, const absl::StatusOr<Committed>& committed) {
        if (committed.ok()) {
          FillChanged(*node, index, *committed, response);
        }
        budget->Return(call->bytes);
        end(committed.status());
      };
  const auto confirm = [call, answer, gate = context_.replicas](
                           uint8_t index, absl::StatusOr<Committed> committed) {
    // Before the answer, or a quick retry would be told that this still runs.
    call->claim = StorageNode::Claim();
    gate->Confirm(index, call->wish, std::move(committed),
                  [answer, index](const absl::StatusOr<Committed>& confirmed) {
                    answer(index, confirmed);
                  });
  };
  const auto claimed = [call, confirm, node = context_.node](
                           absl::StatusOr<StorageNode::Claim> claim) {
    if (!claim.ok()) {
      confirm(call->placed.index, claim.status());
      return;
    }
    if (claim->replay().has_value()) {
      const StorageNode::Replay replay = *claim->replay();
      *claim = StorageNode::Claim();
      confirm(replay.path_index, replay.committed);
      return;
    }
    call->claim = *std::move(claim);
    const uint8_t index = call->placed.index;
    StorageNode::NewFile file =
        node->MakeName(index, FileKind::kAppender, 0, 0, call->extension);
    call->put.name = std::move(file.name);
    call->put.kind = FileKind::kAppender;
    call->put.create_unix_seconds = file.create_unix_seconds;
    call->put.origin_node = node->identity().node_number;
    call->put.durability = call->wish.level;
    call->placed.path->Put(
        std::move(call->put),
        [call, confirm, index](absl::StatusOr<Committed> committed) {
          confirm(index, std::move(committed));
        });
  };
  context_.budget->Take(call->bytes, [call, claimed, node = context_.node] {
    node->ClaimRequest(call->put.request_id, call->wish.level,
                       call->placed.index, claimed);
  });
  return end.reactor;
}

grpc::ServerUnaryReactor* AppenderServiceImpl::Append(
    grpc::CallbackServerContext* context, const v1::AppendRequest* request,
    v1::AppendResponse* response) {
  const UnaryEnd end = BeginUnary(context_, context, &context_.metrics->append);
  UpdateRequest update;
  update.kind = UpdateRequest::Kind::kAppend;
  absl::StatusOr<absl::Cord> content = ContentOf(*request, &update.crc32c);
  if (!content.ok()) {
    end(content.status());
    return end.reactor;
  }
  update.content = *std::move(content);
  Start(context_, *request, std::move(update), response, end);
  return end.reactor;
}

grpc::ServerUnaryReactor* AppenderServiceImpl::Modify(
    grpc::CallbackServerContext* context, const v1::ModifyRequest* request,
    v1::ModifyResponse* response) {
  const UnaryEnd end = BeginUnary(context_, context, &context_.metrics->modify);
  UpdateRequest update;
  update.kind = UpdateRequest::Kind::kModify;
  update.offset = request->offset();
  absl::StatusOr<absl::Cord> content = ContentOf(*request, &update.crc32c);
  absl::Status status = content.status();
  if (update.offset < 0) {
    status = InvalidField("offset", "must not be negative");
  }
  if (!status.ok()) {
    end(status);
    return end.reactor;
  }
  update.content = *std::move(content);
  Start(context_, *request, std::move(update), response, end);
  return end.reactor;
}

grpc::ServerUnaryReactor* AppenderServiceImpl::Truncate(
    grpc::CallbackServerContext* context, const v1::TruncateRequest* request,
    v1::TruncateResponse* response) {
  const UnaryEnd end =
      BeginUnary(context_, context, &context_.metrics->truncate);
  UpdateRequest update;
  update.kind = UpdateRequest::Kind::kTruncate;
  update.offset = request->size_bytes();
  if (update.offset < 0 || update.offset > kFileSizeMax) {
    end(InvalidField("size_bytes", "must be 0 to 2^56-1"));
    return end.reactor;
  }
  Start(context_, *request, std::move(update), response, end);
  return end.reactor;
}

grpc::ServerUnaryReactor* AppenderServiceImpl::Seal(
    grpc::CallbackServerContext* context, const v1::SealRequest* request,
    v1::SealResponse* response) {
  const UnaryEnd end = BeginUnary(context_, context, &context_.metrics->seal);
  const auto start = [&]() -> absl::Status {
    SealRequest seal;
    CAIRN_ASSIGN_OR_RETURN(Admitted admitted,
                           AdmitChange(context_, *request, &seal));
    const uint8_t index = admitted.index;
    const std::string extension(ExtensionOfName(seal.name));
    seal.make_name = [node = context_.node, index, extension](
                         int64_t size_bytes, uint32_t crc32c) {
      StorageNode::NewFile file = node->MakeName(index, FileKind::kNormal,
                                                 size_bytes, crc32c, extension);
      return SealRequest::NewName{std::move(file.name),
                                  file.create_unix_seconds};
    };
    StorePath* const path = admitted.path.get();
    path->Seal(
        std::move(seal),
        AnswerWithFile(context_, index, admitted.wish, std::move(admitted.path),
                       std::move(admitted.interest), response, end));
    return absl::OkStatus();
  };
  const absl::Status started = start();
  if (!started.ok()) end(started);
  return end.reactor;
}

}  // namespace storage
}  // namespace cairn
