#include "clients/cpp/transfers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cpp/copy_codec.h"
#include "clients/cpp/derived_codec.h"
#include "clients/cpp/replica_codec.h"
#include "clients/cpp/request_ids.h"
#include "clients/cpp/timer.h"
#include "clients/cpp/transfer_codec.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace client {
namespace {

constexpr char kUpload[] = "/cairn.storage.v1.FileService/Upload";
constexpr char kDownload[] = "/cairn.storage.v1.FileService/Download";
constexpr char kStat[] = "/cairn.storage.v1.FileService/Stat";
constexpr char kListDerived[] = "/cairn.storage.v1.FileService/ListDerived";
constexpr char kDelete[] = "/cairn.storage.v1.FileService/Delete";
constexpr char kUndelete[] = "/cairn.storage.v1.FileService/Undelete";
constexpr char kCopy[] = "/cairn.storage.v1.FileService/Copy";
constexpr char kSetExpiry[] = "/cairn.storage.v1.FileService/SetExpiry";
constexpr char kCreateAppender[] =
    "/cairn.storage.v1.AppenderService/CreateAppender";
constexpr char kModify[] = "/cairn.storage.v1.AppenderService/Modify";
constexpr char kTruncate[] = "/cairn.storage.v1.AppenderService/Truncate";
constexpr char kSeal[] = "/cairn.storage.v1.AppenderService/Seal";

const char* MethodOf(UpdateKind kind) {
  switch (kind) {
    case UpdateKind::kModify:
      return kModify;
    case UpdateKind::kTruncate:
      return kTruncate;
    case UpdateKind::kSeal:
      break;
  }
  return kSeal;
}

absl::Status Cancelled() {
  return absl::CancelledError("the client was stopped");
}

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kChecksumMismatch, what);
}

absl::Status Malformed() {
  return absl::InternalError("the node's answer is malformed");
}

// The caller's, or a new one.
template <typename Options>
std::string RequestIdOf(const Options& options) {
  return (options.request_id.is_nil() ? NewRequestId() : options.request_id)
      .ToString();
}

absl::Duration DeadlineOf(const absl::optional<absl::Duration>& timeout) {
  return timeout ? MonotonicNow() + *timeout : absl::InfiniteDuration();
}

}  // namespace

// Lets Stop() find a call while it runs.
class Transfers::Registered {
 public:
  Registered(Transfers* owner, RawCall* call) : owner_(owner), call_(call) {
    MutexLock lock(&owner_->mu_);
    owner_->calls_.insert(call_);
    if (owner_->stopping_) call_->Cancel();
  }
  ~Registered() {
    MutexLock lock(&owner_->mu_);
    owner_->calls_.erase(call_);
  }
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;

 private:
  Transfers* const owner_;
  RawCall* const call_;
};

struct Transfers::UploadAttempt {
  ChunkSource* source;
  const PutOptions* options;
  std::string request_id;
  absl::Duration deadline;
  bool source_failed = false;  // The failure is ours: final.
};

struct Transfers::DownloadState {
  std::string file_id;
  ContentSink* sink;
  const GetOptions* options;
  absl::Duration deadline;
  int64_t done_bytes = 0;
  uint32_t crc32c = 0;  // Of what the sink has.
  absl::optional<FileInfo> info;
  bool sink_failed = false;  // The failure is ours: final.
  bool moved = false;        // In the newest attempt.
};

Transfers::Transfers(const TransferOptions& options, Router* router)
    : options_(options), router_(router) {}

bool Transfers::stopping() const {
  MutexLock lock(&mu_);
  return stopping_;
}

void Transfers::Stop() {
  MutexLock lock(&mu_);
  stopping_ = true;
  for (RawCall* call : calls_) call->Cancel();
  stopped_.SignalAll();
}

absl::Status Transfers::WaitForRoute(const absl::Status& status,
                                     RetryState* retry,
                                     absl::Duration deadline) {
  absl::optional<absl::Duration> wait = retry->AfterNoRoute(status);
  if (!wait) return retry->failure();
  *wait = std::max(
      *wait,
      rpc::RetryDelayOf(retry->failure()).value_or(absl::ZeroDuration()));
  const absl::Duration until = MonotonicNow() + *wait;
  if (until >= deadline) return retry->failure();
  MutexLock lock(&mu_);
  while (!stopping_) {
    const absl::Duration left = until - MonotonicNow();
    if (left <= absl::ZeroDuration()) return absl::OkStatus();
    stopped_.WaitWithTimeout(&mu_, left);
  }
  return Cancelled();
}

absl::StatusOr<PutResult> Transfers::Upload(ChunkSource* source,
                                            const PutOptions& options) {
  UploadAttempt attempt;
  attempt.source = source;
  attempt.options = &options;
  attempt.request_id =
      (options.request_id.is_nil() ? NewRequestId() : options.request_id)
          .ToString();
  attempt.deadline = DeadlineOf(options.timeout);
  RetryState retry(options_.retry);
  bool begun = false;
  for (;;) {
    absl::StatusOr<Router::UploadTarget> target =
        options.derived_from.empty()
            ? router_->ForUpload(options.group, source->size_bytes(),
                                 retry.tried())
            : router_->ForDerived(options.derived_from, retry.tried());
    if (!target.ok()) {
      CAIRN_RETURN_IF_ERROR(
          WaitForRoute(target.status(), &retry, attempt.deadline));
      continue;
    }
    if (begun && !source->Rewind()) {
      return WithContext(retry.failure(),
                         "the upload broke off and its source cannot be read "
                         "a second time");
    }
    begun = true;
    if (options.store_path) target->store_path = options.store_path;
    absl::StatusOr<PutResult> result = UploadOnce(*target, &attempt);
    if (result.ok()) {
      target->node->MarkThere();
      return result;
    }
    if (stopping()) return Cancelled();
    if (attempt.source_failed) return result.status();
    const RetryAdvice advice = AdviceFor(result.status(), Intent::kCreate);
    if (advice.node_is_gone) target->node->MarkGone();
    if (!retry.AfterFailure(
            WithContext(result.status(),
                        absl::StrCat("node ", target->node->address())),
            advice, target->node->uuid())) {
      return retry.failure();
    }
  }
}

absl::StatusOr<PutResult> Transfers::UploadOnce(
    const Router::UploadTarget& target, UploadAttempt* attempt) {
  ChunkSource* const source = attempt->source;
  const absl::optional<int64_t> size = source->size_bytes();
  const std::unique_ptr<Node::BulkLease> lease = target.node->LeaseBulk();
  RawCallOptions call_options;
  call_options.deadline = attempt->deadline;
  call_options.stall_timeout = options_.stall_timeout;
  RawCall call(lease->channel(), kUpload, call_options);
  const Registered registered(this, &call);

  bool open =
      call.Write(EncodeUploadSpec(attempt->request_id, *attempt->options,
                                  target.store_path, size),
                 /*last=*/false);
  int64_t sent = 0;
  uint32_t crc = 0;
  bool last = false;
  const auto chunk_bytes = static_cast<size_t>(options_.chunk_bytes);
  while (open && !last) {
    absl::StatusOr<absl::Cord> data = source->Next(chunk_bytes);
    if (!data.ok()) {
      attempt->source_failed = true;
      return data.status();
    }
    ChunkPart chunk;
    chunk.offset = sent;
    chunk.data = *std::move(data);
    chunk.crc32c = Crc32c(chunk.data);
    crc = CombineCrc32c(crc, chunk.crc32c, chunk.data.size());
    sent += static_cast<int64_t>(chunk.data.size());
    last = chunk.data.size() < chunk_bytes || (size && sent == *size);
    absl::optional<uint32_t> finish;
    if (last) finish = crc;
    if (last && size && sent != *size) {
      attempt->source_failed = true;
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kSizeMismatch,
          absl::StrCat("the source has ", sent, " bytes instead of ", *size,
                       ": did it change meanwhile?"));
    }
    open = call.Write(EncodeUploadChunk(chunk, finish), last);
    if (open && attempt->options->progress) {
      attempt->options->progress(sent, size);
    }
  }
  // Even when writing broke off: the answer says why.
  const absl::optional<absl::Cord> response = call.ReadPatiently();
  if (response) {
    while (call.ReadPatiently()) {
    }
  }
  CAIRN_RETURN_IF_ERROR(call.Finish());
  PutResult result;
  if (!response || !ParseUploadResponse(*response, &result)) {
    return Malformed();
  }
  // A repetition may be answered before all was sent.
  const bool sent_all = last && open;
  if (sent_all &&
      (result.info.crc32c != crc || result.info.size_bytes != sent)) {
    return Damaged("the node stored something else than was sent");
  }
  return result;
}

absl::StatusOr<absl::Cord> Transfers::CallOnce(
    const std::shared_ptr<Node>& node, const char* method,
    const absl::Cord& message, absl::Duration deadline) {
  RawCallOptions call_options;
  call_options.deadline = deadline;
  call_options.stall_timeout = options_.stall_timeout;
  RawCall call(node->channel(), method, call_options);
  const Registered registered(this, &call);
  call.Write(message, /*last=*/true);
  absl::optional<absl::Cord> response = call.ReadPatiently();
  if (response) {
    while (call.ReadPatiently()) {
    }
  }
  CAIRN_RETURN_IF_ERROR(call.Finish());
  if (!response) return Malformed();
  return *std::move(response);
}

absl::StatusOr<PutResult> Transfers::AskOnce(const std::shared_ptr<Node>& node,
                                             const char* method,
                                             absl::Cord message,
                                             absl::Duration deadline) {
  CAIRN_ASSIGN_OR_RETURN(const absl::Cord response,
                         CallOnce(node, method, message, deadline));
  PutResult result;
  if (!ParseUpdateResponse(response, &result)) return Malformed();
  return result;
}

absl::Status Transfers::CallAlong(absl::string_view file_id, Route route,
                                  Intent intent, const char* method,
                                  const absl::Cord& message,
                                  absl::Duration timeout, Take take) {
  const absl::Duration deadline = MonotonicNow() + timeout;
  RetryState retry(options_.retry);
  for (;;) {
    const absl::StatusOr<std::shared_ptr<Node>> node = route(retry.tried());
    if (!node.ok()) {
      CAIRN_RETURN_IF_ERROR(WaitForRoute(node.status(), &retry, deadline));
      continue;
    }
    const absl::StatusOr<absl::Cord> response =
        CallOnce(*node, method, message, deadline);
    const absl::Status status =
        response.ok() && !take(*response)
            ? Malformed()
            : router_->NoteRefusal(file_id, response.status());
    if (status.ok()) {
      (*node)->MarkThere();
      return status;
    }
    if (stopping()) return Cancelled();
    const RetryAdvice advice = AdviceFor(status, intent);
    if (advice.node_is_gone) (*node)->MarkGone();
    if (!retry.AfterFailure(
            WithContext(status, absl::StrCat("node ", (*node)->address())),
            advice, (*node)->uuid())) {
      return retry.failure();
    }
  }
}

absl::StatusOr<absl::Cord> Transfers::CallMember(absl::string_view file_id,
                                                 Intent intent,
                                                 const char* method,
                                                 const absl::Cord& message,
                                                 absl::Duration timeout) {
  absl::Cord response;
  CAIRN_RETURN_IF_ERROR(CallAlong(
      file_id,
      [&](const Tried& tried) {
        return router_->ForFile(file_id, tried, /*origin_first=*/true);
      },
      intent, method, message, timeout,
      [&](const absl::Cord& answer) {
        response = answer;
        return true;
      }));
  return response;
}

absl::StatusOr<FileInfo> Transfers::StatReplicas(absl::string_view file_id,
                                                 const StatOptions& options,
                                                 absl::Duration timeout) {
  CAIRN_ASSIGN_OR_RETURN(
      const absl::Cord response,
      CallMember(file_id, Intent::kRead, kStat,
                 EncodeStatReplicas(file_id, options), timeout));
  FileInfo info;
  if (!ParseStatResponse(response, &info)) return Malformed();
  return info;
}

absl::StatusOr<ListDerivedResult> Transfers::ListDerived(
    absl::string_view file_id, const ListDerivedOptions& options,
    absl::Duration timeout) {
  CAIRN_ASSIGN_OR_RETURN(
      const absl::Cord response,
      CallMember(file_id, Intent::kRead, kListDerived,
                 EncodeListDerived(file_id, options), timeout));
  ListDerivedResult result;
  if (!ParseListDerivedResponse(response, &result)) return Malformed();
  return result;
}

absl::StatusOr<DeleteResult> Transfers::DeleteWithDerived(
    absl::string_view file_id, const DeleteOptions& options,
    absl::Duration timeout) {
  const std::string request_id = RequestIdOf(options);
  CAIRN_ASSIGN_OR_RETURN(
      const absl::Cord response,
      CallMember(file_id, Intent::kChange, kDelete,
                 EncodeDeleteWithDerived(file_id, request_id, options),
                 timeout));
  DeleteResult result;
  if (!ParseDeleteResponse(response, &result)) return Malformed();
  return result;
}

absl::StatusOr<PutResult> Transfers::CreateAppender(absl::string_view content,
                                                    const PutOptions& options,
                                                    absl::Duration timeout) {
  const absl::Duration deadline = MonotonicNow() + timeout;
  const std::string request_id = RequestIdOf(options);
  const uint32_t crc32c = Crc32c(content);
  const absl::Cord data(content);
  RetryState retry(options_.retry);
  for (;;) {
    absl::StatusOr<Router::UploadTarget> target = router_->ForUpload(
        options.group, static_cast<int64_t>(content.size()), retry.tried());
    if (!target.ok()) {
      CAIRN_RETURN_IF_ERROR(WaitForRoute(target.status(), &retry, deadline));
      continue;
    }
    if (options.store_path) target->store_path = options.store_path;
    absl::StatusOr<PutResult> result =
        AskOnce(target->node, kCreateAppender,
                EncodeCreateAppender(request_id, options, target->store_path,
                                     data, crc32c),
                deadline);
    if (result.ok()) {
      target->node->MarkThere();
      if (!result->replayed && result->info.crc32c != crc32c) {
        return Damaged("the node stored something else than was sent");
      }
      return result;
    }
    if (stopping()) return Cancelled();
    const RetryAdvice advice = AdviceFor(result.status(), Intent::kCreate);
    if (advice.node_is_gone) target->node->MarkGone();
    if (!retry.AfterFailure(
            WithContext(result.status(),
                        absl::StrCat("node ", target->node->address())),
            advice, target->node->uuid())) {
      return retry.failure();
    }
  }
}

absl::StatusOr<UpdateResult> Transfers::Update(UpdateKind kind,
                                               absl::string_view file_id,
                                               int64_t offset,
                                               absl::string_view content,
                                               const UpdateOptions& options,
                                               absl::Duration timeout) {
  const std::string request_id = RequestIdOf(options);
  const absl::Cord message =
      EncodeUpdate(kind, request_id, std::string(file_id), options, offset,
                   absl::Cord(content), Crc32c(content));
  UpdateResult result;
  CAIRN_RETURN_IF_ERROR(OriginFailed(CallAlong(
      file_id,
      [&](const Tried& tried) { return router_->ForOrigin(file_id, tried); },
      Intent::kChange, MethodOf(kind), message, timeout,
      [&](const absl::Cord& answer) {
        result = UpdateResult();
        return ParseUpdateResponse(answer, &result);
      })));
  return result;
}

absl::StatusOr<PutResult> Transfers::Describe(absl::string_view file_id,
                                              const char* method,
                                              const absl::Cord& message,
                                              absl::Duration timeout) {
  PutResult result;
  CAIRN_RETURN_IF_ERROR(CallAlong(
      file_id,
      [&](const Tried& tried) {
        return router_->ForDescription(file_id, tried);
      },
      Intent::kChange, method, message, timeout,
      [&](const absl::Cord& answer) {
        result = PutResult();
        return ParseUpdateResponse(answer, &result);
      }));
  return result;
}

absl::StatusOr<SetExpiryResult> Transfers::SetExpiry(
    absl::string_view file_id, const Lifetime& lifetime,
    const SetExpiryOptions& options, absl::Duration timeout) {
  return Describe(file_id, kSetExpiry,
                  EncodeSetExpiry(RequestIdOf(options), std::string(file_id),
                                  lifetime, options),
                  timeout);
}

absl::StatusOr<UndeleteResult> Transfers::Undelete(
    absl::string_view file_id, const UndeleteOptions& options,
    absl::Duration timeout) {
  return Describe(
      file_id, kUndelete,
      EncodeUndelete(RequestIdOf(options), std::string(file_id), options),
      timeout);
}

absl::StatusOr<CopyResult> Transfers::Copy(absl::string_view file_id,
                                           const CopyOptions& options,
                                           absl::Duration timeout) {
  const std::string request_id = RequestIdOf(options);
  CAIRN_ASSIGN_OR_RETURN(
      const absl::Cord response,
      CallMember(file_id, Intent::kChange, kCopy,
                 EncodeCopy(request_id, file_id, options), timeout));
  CopyResult result;
  if (!ParseCopyResponse(response, &result)) return Malformed();
  return result;
}

absl::StatusOr<FileInfo> Transfers::Download(absl::string_view file_id,
                                             ContentSink* sink,
                                             const GetOptions& options) {
  DownloadState state;
  state.file_id = std::string(file_id);
  state.sink = sink;
  state.options = &options;
  state.deadline = DeadlineOf(options.timeout);
  RetryState retry(options_.retry);
  for (;;) {
    absl::StatusOr<std::shared_ptr<Node>> node =
        router_->ForFile(file_id, retry.tried());
    if (!node.ok()) {
      CAIRN_RETURN_IF_ERROR(
          WaitForRoute(node.status(), &retry, state.deadline));
      continue;
    }
    state.moved = false;
    const absl::Status status = DownloadOnce(*node, &state);
    if (status.ok()) {
      (*node)->MarkThere();
      break;
    }
    if (stopping()) return Cancelled();
    if (state.sink_failed) return status;
    if (state.moved) retry.MovedOn();
    const RetryAdvice advice = AdviceFor(status, Intent::kRead);
    if (advice.node_is_gone) (*node)->MarkGone();
    if (!retry.AfterFailure(
            WithContext(status, absl::StrCat("node ", (*node)->address())),
            advice, (*node)->uuid())) {
      return retry.failure();
    }
  }
  if (state.done_bytes == state.info->size_bytes &&
      state.crc32c != state.info->crc32c) {
    // Every chunk was right, and the file is not: it was stored wrongly, or
    // the node put it together wrongly. Asking again would not help.
    return Damaged("the content is not what was stored");
  }
  return *std::move(state.info);
}

absl::Status Transfers::DownloadOnce(const std::shared_ptr<Node>& node,
                                     DownloadState* state) {
  const GetOptions& options = *state->options;
  const std::unique_ptr<Node::BulkLease> lease = node->LeaseBulk();
  RawCallOptions call_options;
  call_options.deadline = state->deadline;
  call_options.stall_timeout = options_.stall_timeout;
  RawCall call(lease->channel(), kDownload, call_options);
  const Registered registered(this, &call);

  absl::optional<int64_t> length = options.length;
  if (length) *length -= state->done_bytes;
  call.Write(EncodeDownloadRequest(
                 state->file_id, options.offset + state->done_bytes, length,
                 options_.chunk_bytes, options.include_attributes),
             /*last=*/true);

  absl::optional<absl::Cord> message = call.Read();
  if (!message) {
    CAIRN_RETURN_IF_ERROR(call.Finish());
    return Malformed();
  }
  DownloadPart first;
  if (!ParseDownloadResponse(*message, &first) || !first.info) {
    return Malformed();
  }
  if (state->info && (first.info->version_clock != state->info->version_clock ||
                      first.info->version_node != state->info->version_node)) {
    state->sink_failed = true;
    return absl::AbortedError(
        "the file was changed while it was read: read it again");
  }
  state->info = std::move(first.info);
  const int64_t rest =
      std::max<int64_t>(state->info->size_bytes - options.offset, 0);
  const int64_t total = std::min(rest, options.length.value_or(rest));

  while ((message = call.Read())) {
    DownloadPart part;
    if (!ParseDownloadResponse(*message, &part) || !part.chunk) {
      return Malformed();
    }
    const auto size = static_cast<int64_t>(part.chunk->data.size());
    if (part.chunk->offset != options.offset + state->done_bytes ||
        size > total - state->done_bytes) {
      return Malformed();
    }
    if (Crc32c(part.chunk->data) != part.chunk->crc32c) {
      return Damaged("the content was damaged on its way from the node");
    }
    const absl::Status written = state->sink->Write(part.chunk->data);
    if (!written.ok()) {
      state->sink_failed = true;
      return written;
    }
    state->crc32c = CombineCrc32c(state->crc32c, part.chunk->crc32c,
                                  part.chunk->data.size());
    state->done_bytes += size;
    state->moved = true;
    if (options.progress) options.progress(state->done_bytes, total);
  }
  CAIRN_RETURN_IF_ERROR(call.Finish());
  if (state->done_bytes != total) {
    return absl::UnavailableError(absl::StrCat(
        "the node sent ", state->done_bytes, " of ", total, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace client
}  // namespace cairn
