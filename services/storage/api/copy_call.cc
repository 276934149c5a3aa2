#include "services/storage/api/copy_call.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"
#include "services/storage/api/change_answer.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/api/translate.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {
namespace {

// Read and written at once of a content that is copied by value.
constexpr int64_t kPieceBytes = 1 << 20;

// Whether a path that cannot share a content may still read it, here or at
// another member.
bool MayBeRead(const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  return reason == ErrorReason::kNotSupported ||
         reason == ErrorReason::kContentNotHere ||
         reason == ErrorReason::kFileNotFound;
}

// Held by whoever goes on with it. One step at a time.
class CopyCall : public std::enable_shared_from_this<CopyCall> {
 public:
  CopyCall(const CallContext& context, std::string owner,
           v1::CopyResponse* response, const UnaryEnd& end)
      : context_(context),
        owner_(std::move(owner)),
        response_(response),
        end_(end) {}
  ~CopyCall() { context_.budget->Return(budget_bytes_); }

  CopyCall(const CopyCall&) = delete;
  CopyCall& operator=(const CopyCall&) = delete;

  // Nothing is begun unless it is OK.
  absl::Status Parse(const v1::CopyRequest& request) {
    CAIRN_RETURN_IF_ERROR(context_.CheckServing());
    CAIRN_ASSIGN_OR_RETURN(
        request_id_, ParseRequestId(request.request_id(), /*required=*/true));
    CAIRN_ASSIGN_OR_RETURN(wish_, ParseDurability(request.durability()));
    if (request.has_extension()) {
      CAIRN_RETURN_IF_ERROR(ValidateExtension(request.extension()));
    }
    if (request.has_attributes()) {
      CAIRN_ASSIGN_OR_RETURN(attributes_,
                             ParseAttributes(request.attributes()));
    }
    CAIRN_ASSIGN_OR_RETURN(
        expire_unix_seconds_,
        ParseLifetime(request.lifetime(), context_.clock->Now()));
    CAIRN_ASSIGN_OR_RETURN(from_, context_.node->Locate(request.file_id()));
    extension_ = request.has_extension()
                     ? request.extension()
                     : std::string(ExtensionOfName(from_.id.name));
    // A path that takes no files takes no copies.
    CAIRN_RETURN_IF_ERROR(
        context_.node->Place("", from_.id.store_path, 0).status());
    CAIRN_ASSIGN_OR_RETURN(
        interest_, context_.replicas->Admit(from_.id.store_path, &wish_));
    return absl::OkStatus();
  }

  void Begin() {
    context_.node->ClaimRequest(
        request_id_, wish_.level, from_.id.store_path,
        [self = shared_from_this()](absl::StatusOr<StorageNode::Claim> claim) {
          self->OnClaimed(std::move(claim));
        });
  }

 private:
  void OnClaimed(absl::StatusOr<StorageNode::Claim> claim) {
    if (!claim.ok()) {
      Done(from_.id.store_path, claim.status());
      return;
    }
    if (claim->replay().has_value()) {
      const StorageNode::Replay replay = *claim->replay();
      *claim = StorageNode::Claim();
      Repeat(replay.path_index, replay.committed);
      return;
    }
    claim_ = *std::move(claim);
    OnIo(&CopyCall::Look);
  }

  // Has `step` run on the path's io().
  void OnIo(void (CopyCall::*step)()) {
    if (from_.path->io()->TrySubmit(
            [self = shared_from_this(), step] { (self.get()->*step)(); })) {
      return;
    }
    Fail(QueueFull());
  }

  void Look() {
    // First what was answered before: the file may have been deleted since.
    absl::StatusOr<absl::optional<Committed>> earlier =
        from_.path->FindRequest(request_id_, wish_.level);
    if (!earlier.ok()) {
      Fail(earlier.status());
      return;
    }
    if (earlier->has_value()) {
      Repeat(from_.id.store_path, **earlier);
      return;
    }
    absl::StatusOr<FileInfo> source = from_.path->Stat(from_.id.name);
    absl::Status status = source.status();
    if (status.ok()) status = CheckCopy(*source);
    if (!status.ok()) {
      Fail(status);
      return;
    }
    source_ = *std::move(source);
    if (!attributes_.has_value()) attributes_ = source_.attributes;
    if (source_.size_bytes <= from_.path->small_file_bytes_max()) {
      TakeBudget();
      return;
    }
    CopyRequest copy;
    copy.request_id = request_id_;
    copy.from = from_.id.name;
    copy.size_bytes = source_.size_bytes;
    copy.crc32c = source_.crc32c;
    FillNew(&copy);
    from_.path->Copy(std::move(copy), [self = shared_from_this()](
                                          absl::StatusOr<Committed> committed) {
      if (MayBeRead(committed.status())) {
        self->TakeBudget();
      } else {
        self->Done(self->from_.id.store_path, std::move(committed));
      }
    });
  }

  // What the new file is called, and what is said of it.
  template <typename Request>
  void FillNew(Request* request) const {
    StorageNode::NewFile file =
        context_.node->MakeName(from_.id.store_path, FileKind::kNormal,
                                source_.size_bytes, source_.crc32c, extension_);
    request->request_id = request_id_;
    request->name = std::move(file.name);
    request->create_unix_seconds = file.create_unix_seconds;
    request->origin_node = context_.node->identity().node_number;
    request->attributes = attributes_.value_or("");
    request->expire_unix_seconds = expire_unix_seconds_;
    request->owner = owner_;
    request->durability = wish_.level;
  }

  // A small file is read as a whole, any other in pieces.
  void TakeBudget() {
    const int64_t bytes =
        source_.size_bytes <= from_.path->small_file_bytes_max()
            ? source_.size_bytes
            : kPieceBytes;
    context_.budget->Take(bytes, [self = shared_from_this(), bytes] {
      self->budget_bytes_ = bytes;
      self->OnIo(&CopyCall::Open);
    });
  }

  void Open() {
    absl::Status status;
    absl::StatusOr<std::unique_ptr<OpenFile>> file =
        from_.path->Open(from_.id.name);
    status.Update(file.status());
    if (status.ok()) {
      file_ = *std::move(file);
      status = CheckSame(file_->info().size_bytes, file_->info().crc32c);
    }
    if (!status.ok()) {
      Fail(status);
      return;
    }
    if (source_.size_bytes <= from_.path->small_file_bytes_max()) {
      PutWhole();
      return;
    }
    status = context_.CheckNewFile(owner_, source_.size_bytes);
    if (!status.ok()) {
      Fail(status);
      return;
    }
    absl::StatusOr<std::unique_ptr<Upload>> upload =
        from_.path->StartUpload(source_.size_bytes);
    if (!upload.ok()) {
      Fail(upload.status());
      return;
    }
    upload_ = *std::move(upload);
    OnIo(&CopyCall::PassPiece);
  }

  void PutWhole() {
    PutRequest put;
    if (source_.size_bytes > 0) {
      absl::StatusOr<absl::Cord> content = file_->Read(0, source_.size_bytes);
      if (!content.ok()) {
        Fail(content.status());
        return;
      }
      put.content = *std::move(content);
    }
    put.crc32c = source_.crc32c;
    FillNew(&put);
    from_.path->Put(std::move(put), Answer());
  }

  // Others have the path's threads between two of them.
  void PassPiece() {
    const int64_t at = upload_->size_bytes();
    absl::StatusOr<absl::Cord> piece =
        file_->Read(at, std::min(kPieceBytes, source_.size_bytes - at));
    absl::Status status = piece.status();
    if (status.ok()) status = upload_->Write(*piece);
    if (!status.ok()) {
      Fail(status);
      return;
    }
    if (upload_->size_bytes() < source_.size_bytes) {
      OnIo(&CopyCall::PassPiece);
      return;
    }
    status = CheckSame(upload_->size_bytes(), upload_->crc32c());
    if (!status.ok()) {
      Fail(status);
      return;
    }
    Upload::FinishRequest finish;
    FillNew(&finish);
    upload_->Finish(std::move(finish), Answer());
  }

  absl::Status CheckSame(int64_t size_bytes, uint32_t crc32c) const {
    if (size_bytes == source_.size_bytes && crc32c == source_.crc32c) {
      return absl::OkStatus();
    }
    return ErrorWithReason(
        absl::StatusCode::kAborted, ErrorReason::kConditionFailed,
        absl::StrCat("file ", from_.id.name,
                     " was stored with another content meanwhile"));
  }

  CommitDone Answer() {
    return [self = shared_from_this()](absl::StatusOr<Committed> committed) {
      self->Done(self->from_.id.store_path, std::move(committed));
    };
  }

  // An earlier call used the request_id.
  void Repeat(uint8_t index, Committed earlier) {
    const absl::StatusOr<FileIdFields> fields = DecodeFileName(from_.id.name);
    const bool is_normal =
        fields.ok() && DerivedPrefixOf(from_.id.name).empty();
    if (earlier.file.kind != FileKind::kNormal ||
        (is_normal && (earlier.file.size_bytes != fields->size_bytes ||
                       earlier.file.crc32c != fields->crc32c))) {
      Fail(ErrorWithReason(
          absl::StatusCode::kAlreadyExists, ErrorReason::kRequestIdReused,
          "request_id was used before for another change; make a new one"));
      return;
    }
    Done(index, std::move(earlier));
  }

  void Fail(const absl::Status& status) { Done(from_.id.store_path, status); }

  void Done(uint8_t index, absl::StatusOr<Committed> committed) {
    // Before the answer, or a quick retry would be told that this still runs.
    claim_ = StorageNode::Claim();
    file_.reset();
    // What was not finished is removed; after Finish() nothing is to be done.
    if (!committed.ok()) upload_.reset();
    context_.replicas->Confirm(
        index, wish_, std::move(committed),
        [self = shared_from_this(),
         index](const absl::StatusOr<Committed>& confirmed) {
          if (confirmed.ok()) {
            FillChanged(*self->context_.node, index, *confirmed,
                        self->response_);
            self->response_->set_shared(!confirmed->file.copied_from.empty());
          }
          self->end_(confirmed.status());
        });
  }

  const CallContext context_;
  const std::string owner_;  // Of the copy.
  v1::CopyResponse* const response_;
  const UnaryEnd end_;

  Uuid request_id_;
  ReplicaWish wish_;
  std::string extension_;
  absl::optional<std::string> attributes_;  // Unset: the source's.
  int64_t expire_unix_seconds_ = 0;
  StorageNode::Located from_;
  Replicator::AckInterest interest_;
  StorageNode::Claim claim_;

  FileInfo source_;
  int64_t budget_bytes_ = 0;
  std::unique_ptr<OpenFile> file_;
  std::unique_ptr<Upload> upload_;
};

}  // namespace

void StartCopy(const CallContext& context, std::string owner,
               const v1::CopyRequest& request, v1::CopyResponse* response,
               const UnaryEnd& end) {
  const auto call =
      std::make_shared<CopyCall>(context, std::move(owner), response, end);
  const absl::Status parsed = call->Parse(request);
  if (!parsed.ok()) {
    end(parsed);
    return;
  }
  call->Begin();
}

}  // namespace storage
}  // namespace cairn
