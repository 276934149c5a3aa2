#include "clients/cpp/small_calls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace client {
namespace {

Intent IntentOf(SmallKind kind) {
  switch (kind) {
    case SmallKind::kPut:
      return Intent::kCreate;
    case SmallKind::kDelete:
    case SmallKind::kSetAttributes:
    case SmallKind::kAppend:
      return Intent::kChange;
    case SmallKind::kGet:
    case SmallKind::kStat:
      break;
  }
  return Intent::kRead;
}

// Changes of a name that is used again, and of an appender, meet at one member
// and follow on each other there.
bool GoesToOrigin(const SmallRequest& request) {
  if (request.kind != SmallKind::kDelete) return false;
  const absl::StatusOr<FileIdParts> parts = ParseFileId(request.file_id);
  return parts.ok() &&
         (!DerivedPrefixOf(parts->name).empty() || IsAppenderName(parts->name));
}

absl::Status Damaged(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kDataLoss,
                         ErrorReason::kChecksumMismatch, what);
}

absl::Status Cancelled() {
  return absl::CancelledError("the client was stopped");
}

}  // namespace

struct SmallCalls::Call : SmallCall {
  explicit Call(const RetryOptions& options) : retry(options) {}

  std::string group;
  bool path_is_the_callers = false;
  Done done;
  std::shared_ptr<Node> node;  // Of the newest attempt.
  RetryState retry;
};

absl::Status CheckAnswer(const SmallRequest& request,
                         const SmallAnswer& answer) {
  if (answer.kind != request.kind) {
    return absl::InternalError("the node answered another operation");
  }
  if (request.kind == SmallKind::kPut) {
    if (answer.info.crc32c != request.crc32c ||
        answer.info.size_bytes !=
            static_cast<int64_t>(request.content_bytes())) {
      return Damaged("the node stored something else than was sent");
    }
  } else if (request.kind == SmallKind::kGet) {
    const uint32_t crc = Crc32c(answer.content);
    if (answer.offset != request.offset || crc != answer.crc32c) {
      return Damaged("the content was damaged on its way from the node");
    }
    const auto size = static_cast<int64_t>(answer.content.size());
    const int64_t rest =
        std::max<int64_t>(answer.info.size_bytes - request.offset, 0);
    if (size != std::min(rest, request.length.value_or(rest))) {
      return Damaged("the node sent another number of bytes than asked for");
    }
    if (size == answer.info.size_bytes && crc != answer.info.crc32c) {
      return Damaged("the content is not what was stored");
    }
  }
  return absl::OkStatus();
}

SmallCalls::SmallCalls(const RetryOptions& options, Router* router,
                       Timer* timer)
    : options_(options), router_(router), timer_(timer) {}

void SmallCalls::Start(SmallRequest request, std::string group,
                       absl::Duration timeout, Done done) {
  auto call = std::make_unique<Call>(options_);
  call->request = std::move(request);
  call->path_is_the_callers = call->request.store_path.has_value();
  call->group = std::move(group);
  call->deadline = MonotonicNow() + timeout;
  call->done = std::move(done);
  Attempt(std::move(call));
}

absl::StatusOr<std::shared_ptr<Node>> SmallCalls::RouteOf(
    const SmallRequest& request, const Tried& tried) {
  switch (request.kind) {
    case SmallKind::kAppend:
      return router_->ForOrigin(request.file_id, tried);
    case SmallKind::kSetAttributes:
      return router_->ForDescription(request.file_id, tried);
    default:
      return router_->ForFile(request.file_id, tried, GoesToOrigin(request));
  }
}

void SmallCalls::Attempt(std::unique_ptr<Call> call) {
  if (stopping_.load(std::memory_order_relaxed)) {
    return Finish(std::move(call), Cancelled(), SmallAnswer());
  }
  if (call->request.kind == SmallKind::kPut) {
    absl::StatusOr<Router::UploadTarget> target =
        call->request.derived_from.empty()
            ? router_->ForUpload(
                  call->group,
                  static_cast<int64_t>(call->request.content_bytes()),
                  call->retry.tried())
            : router_->ForDerived(call->request.derived_from,
                                  call->retry.tried());
    if (!target.ok()) return NoRoute(std::move(call), target.status());
    call->node = std::move(target->node);
    if (!call->path_is_the_callers) {
      call->request.store_path = target->store_path;
    }
  } else {
    absl::StatusOr<std::shared_ptr<Node>> node =
        RouteOf(call->request, call->retry.tried());
    if (!node.ok()) return NoRoute(std::move(call), node.status());
    call->node = *std::move(node);
  }
  BatchStream* const stream = call->node->batch();
  std::unique_ptr<SmallCall> out = std::move(call);
  if (stream->Submit(&out)) return;
  Finish(std::unique_ptr<Call>(static_cast<Call*>(out.release())),
         ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded,
                         "too many operations wait for one node already: "
                         "start fewer at a time"),
         SmallAnswer());
}

void SmallCalls::OnOutcome(std::unique_ptr<SmallCall> small,
                           absl::Status status, SmallAnswer answer) {
  std::unique_ptr<Call> call(static_cast<Call*>(small.release()));
  if (status.ok()) {
    call->node->MarkThere();
    status = CheckAnswer(call->request, answer);
  }
  if (status.ok()) {
    Finish(std::move(call), absl::OkStatus(), std::move(answer));
  } else {
    const absl::Status failure =
        router_->NoteRefusal(call->request.file_id, status);
    Failed(std::move(call), failure);
  }
}

void SmallCalls::Failed(std::unique_ptr<Call> call,
                        const absl::Status& status) {
  if (stopping_.load(std::memory_order_relaxed)) {
    return Finish(std::move(call), Cancelled(), SmallAnswer());
  }
  const RetryAdvice advice = AdviceFor(status, IntentOf(call->request.kind));
  if (advice.node_is_gone) call->node->MarkGone();
  if (!call->retry.AfterFailure(
          WithContext(status, absl::StrCat("node ", call->node->address())),
          advice, call->node->uuid())) {
    absl::Status last = call->retry.failure();
    return Finish(std::move(call), std::move(last), SmallAnswer());
  }
  Attempt(std::move(call));
}

void SmallCalls::NoRoute(std::unique_ptr<Call> call,
                         const absl::Status& status) {
  absl::optional<absl::Duration> wait = call->retry.AfterNoRoute(status);
  const absl::Status& failure = call->retry.failure();
  if (wait) {
    *wait = std::max(*wait,
                     rpc::RetryDelayOf(failure).value_or(absl::ZeroDuration()));
  }
  if (!wait || MonotonicNow() + *wait >= call->deadline) {
    absl::Status last = failure;
    return Finish(std::move(call), std::move(last), SmallAnswer());
  }
  timer_->At(MonotonicNow() + *wait,
             [this, call = std::move(call)](bool stopped) mutable {
               if (stopped) {
                 Finish(std::move(call), Cancelled(), SmallAnswer());
               } else {
                 Attempt(std::move(call));
               }
             });
}

void SmallCalls::Finish(std::unique_ptr<Call> call, absl::Status status,
                        SmallAnswer answer) {
  call->done(std::move(status), std::move(answer));
}

}  // namespace client
}  // namespace cairn
