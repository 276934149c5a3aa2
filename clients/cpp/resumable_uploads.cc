#include "clients/cpp/resumable_uploads.h"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cairn/storage/v1/upload_service.pb.h"
#include "clients/cpp/file_info_codec.h"
#include "clients/cpp/retry.h"
#include "clients/cpp/timer.h"
#include "clients/cpp/transfer_codec.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace client {
namespace {

namespace wire = ::cairn::storage::v1;

constexpr char kCreate[] = "/cairn.storage.v1.UploadService/CreateUpload";
constexpr char kWrite[] = "/cairn.storage.v1.UploadService/WriteUpload";
constexpr char kQuery[] = "/cairn.storage.v1.UploadService/QueryUpload";
constexpr char kFinish[] = "/cairn.storage.v1.UploadService/FinishUpload";
constexpr char kAbort[] = "/cairn.storage.v1.UploadService/AbortUpload";

// A node that has not answered a small call by then is asked again.
constexpr absl::Duration kCallPatience = absl::Seconds(30);

// An earlier call of ours may still be writing there, until the node has seen
// that its connection is gone.
constexpr int kBusyAttempts = 60;

absl::Status Cancelled() {
  return absl::CancelledError("the client was stopped");
}

absl::Status Malformed() {
  return absl::InternalError("the node's answer is malformed");
}

absl::Status SourceChanged(absl::string_view what) {
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, ErrorReason::kUploadContentDiffers,
      absl::StrCat(what, ": the file has changed since its upload was begun"));
}

// The number of the node that an upload is at, which its ID begins with.
absl::StatusOr<uint32_t> NodeNumberOf(absl::string_view upload_id) {
  uint32_t number = 0;
  if (upload_id.size() < 8 ||
      !absl::SimpleHexAtoi(upload_id.substr(0, 8), &number)) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("`", upload_id, "` is not the ID of an upload"),
        {{"field", "upload_id"}});
  }
  return number;
}

}  // namespace

// Lets Stop() find a call while it runs.
class ResumableUploads::Registered {
 public:
  Registered(ResumableUploads* owner, RawCall* call)
      : owner_(owner), call_(call) {
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
  ResumableUploads* const owner_;
  RawCall* const call_;
};

// One file.
class ResumableUploads::Run {
 public:
  Run(ResumableUploads* owner, const ResumableOptions& options,
      std::unique_ptr<File> file, int64_t size)
      : owner_(owner),
        options_(options),
        file_(std::move(file)),
        size_(size),
        deadline_(options.put.timeout ? MonotonicNow() + *options.put.timeout
                                      : absl::InfiniteDuration()),
        upload_id_(options.resume.upload_id) {}

  // Of an upload alone: there is no file.
  absl::Status Abort() {
    wire::AbortUploadRequest request;
    request.set_upload_id(upload_id_);
    wire::AbortUploadResponse response;
    return Call(kAbort, request, &response);
  }

  absl::StatusOr<PutResult> Go() {
    wire::UploadStatus there;
    if (upload_id_.empty()) {
      CAIRN_RETURN_IF_ERROR(Create());
    } else {
      wire::QueryUploadRequest request;
      request.set_upload_id(upload_id_);
      wire::QueryUploadResponse response;
      const absl::Status asked = Call(kQuery, request, &response);
      if (absl::IsNotFound(asked)) {
        // Perhaps it is finished, and we were not told. Then what else keeps
        // the answer back, a member that is behind, has nothing to do with the
        // upload, and the next call may have it.
        absl::StatusOr<PutResult> finished = Finish(absl::nullopt);
        if (absl::IsNotFound(finished.status())) return asked;
        return finished;
      }
      CAIRN_RETURN_IF_ERROR(asked);
      there = std::move(*response.mutable_upload());
      if (there.has_size_bytes() && there.size_bytes() != size_) {
        return SourceChanged(absl::StrCat("it has ", size_, " bytes, and had ",
                                          there.size_bytes()));
      }
    }
    Plan(there);
    CAIRN_RETURN_IF_ERROR(SendAll());
    uint32_t crc = 0;
    for (const Piece& piece : pieces_) {
      crc =
          CombineCrc32c(crc, piece.crc32c, static_cast<uint64_t>(piece.length));
    }
    absl::StatusOr<PutResult> result = Finish(crc);
    if (ReasonOf(result.status()) == ErrorReason::kChecksumMismatch) {
      return SourceChanged("the node has other bytes");
    }
    if (result.ok() &&
        (result->info.crc32c != crc || result->info.size_bytes != size_)) {
      return ErrorWithReason(absl::StatusCode::kDataLoss,
                             ErrorReason::kChecksumMismatch,
                             "the node stored something else than was sent");
    }
    return result;
  }

 private:
  // A run of the file that is sent at once, or that the node has.
  struct Piece {
    int64_t offset = 0;
    int64_t length = 0;
    bool there = false;
    uint32_t crc32c = 0;
  };

  // Attempts at one thing.
  struct Attempts {
    explicit Attempts(const RetryOptions& options)
        : backoff(options.backoff, options.backoff_max) {}
    Backoff backoff;
    int failed = 0;
    int busy = 0;
    bool had_its_once = false;
  };

  // Whether to try again at the same node, after a wait: the upload is there
  // and nowhere else.
  bool Again(const absl::Status& failure, Attempts* attempts) {
    if (owner_->stopping()) return false;
    RetryAdvice advice = AdviceFor(failure, Intent::kChange);
    if (ReasonOf(failure) == ErrorReason::kUploadRangeBusy) {
      if (++attempts->busy > kBusyAttempts) return false;
    } else {
      if (absl::IsDeadlineExceeded(failure) && MonotonicNow() < deadline_) {
        advice.repeat = true;  // The limit of one call.
      }
      if (!advice.repeat || advice.only_elsewhere) return false;
      if (advice.once && std::exchange(attempts->had_its_once, true)) {
        return false;
      }
      if (!advice.patient) ++attempts->failed;
      if (attempts->failed >= owner_->options_.retry.attempts_max) return false;
    }
    const absl::Duration wait = attempts->backoff.Next();
    return MonotonicNow() + wait < deadline_ && owner_->Sleep(wait);
  }

  absl::StatusOr<std::shared_ptr<Node>> FindNode() const {
    CAIRN_ASSIGN_OR_RETURN(const uint32_t number, NodeNumberOf(upload_id_));
    return owner_->router_->ForNodeNumber(number);
  }

  // One message there and one back.
  absl::Status CallOnce(const std::shared_ptr<Node>& node, const char* method,
                        const google::protobuf::MessageLite& request,
                        google::protobuf::MessageLite* response) {
    RawCallOptions call_options;
    call_options.deadline = std::min(deadline_, MonotonicNow() + kCallPatience);
    // Making a file of what is there takes as long as it takes to sync it.
    if (method == kFinish) call_options.deadline = deadline_;
    call_options.stall_timeout = owner_->options_.stall_timeout;
    RawCall call(node->channel(), method, call_options);
    const Registered registered(owner_, &call);
    call.Write(absl::Cord(request.SerializeAsString()), /*last=*/true);
    const absl::optional<absl::Cord> answer = call.ReadPatiently();
    if (answer) {
      while (call.ReadPatiently()) {
      }
    }
    const absl::Status status = call.Finish();
    if (owner_->stopping()) return Cancelled();
    if (!status.ok()) {
      return WithContext(status, absl::StrCat("node ", node->address()));
    }
    if (!answer || !response->ParseFromString(std::string(*answer))) {
      return Malformed();
    }
    return absl::OkStatus();
  }

  // At the upload's node, until it answers.
  absl::Status Call(const char* method,
                    const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite* response) {
    Attempts attempts(owner_->options_.retry);
    for (;;) {
      const absl::StatusOr<std::shared_ptr<Node>> node = FindNode();
      const absl::Status status =
          node.ok() ? CallOnce(*node, method, request, response)
                    : node.status();
      if (status.ok() || !Again(status, &attempts)) {
        return owner_->stopping() ? Cancelled() : status;
      }
    }
  }

  absl::Status Create() {
    RetryState retry(owner_->options_.retry);
    for (;;) {
      const PutOptions& put = options_.put;
      absl::StatusOr<Router::UploadTarget> target =
          put.derived_from.empty()
              ? owner_->router_->ForUpload(put.group, size_, retry.tried())
              : owner_->router_->ForDerived(put.derived_from, retry.tried());
      if (!target.ok()) {
        const absl::optional<absl::Duration> wait =
            retry.AfterNoRoute(target.status());
        if (!wait || MonotonicNow() + *wait >= deadline_) {
          return retry.failure();
        }
        if (!owner_->Sleep(*wait)) return Cancelled();
        continue;
      }
      wire::CreateUploadRequest request;
      request.set_group(put.group);
      if (put.store_path) target->store_path = put.store_path;
      if (target->store_path) request.set_store_path(*target->store_path);
      request.set_extension(put.extension);
      if (!put.derived_from.empty()) {
        request.mutable_derived()->set_master_id(put.derived_from);
        request.mutable_derived()->set_prefix(put.prefix);
      }
      request.set_size_bytes(size_);
      wire::CreateUploadResponse response;
      const absl::Status created =
          CallOnce(target->node, kCreate, request, &response);
      if (created.ok()) {
        target->node->MarkThere();
        upload_id_ = response.upload().upload_id();
        return options_.begun ? options_.begun(upload_id_) : absl::OkStatus();
      }
      if (owner_->stopping()) return Cancelled();
      const RetryAdvice advice = AdviceFor(created, Intent::kCreate);
      if (advice.node_is_gone) target->node->MarkGone();
      if (!retry.AfterFailure(created, advice, target->node->uuid())) {
        return retry.failure();
      }
    }
  }

  // Cuts the file at multiples of `part_bytes`, and where the node has it.
  void Plan(const wire::UploadStatus& there) {
    int64_t at = 0;
    int range = 0;
    while (at < size_) {
      while (range < there.durable_size() &&
             there.durable(range).offset() + there.durable(range).length() <=
                 at) {
        ++range;
      }
      int64_t end =
          std::min(size_, (at / options_.part_bytes + 1) * options_.part_bytes);
      Piece piece;
      piece.offset = at;
      if (range < there.durable_size()) {
        const int64_t begin = there.durable(range).offset();
        piece.there = begin <= at;
        end = std::min(
            end, piece.there ? begin + there.durable(range).length() : begin);
      }
      piece.length = end - at;
      pieces_.push_back(piece);
      at = end;
    }
  }

  absl::Status SendAll() {
    const auto count = static_cast<size_t>(std::max(options_.streams, 1));
    std::vector<std::thread> others;
    for (size_t i = 1; i < std::min(count, pieces_.size()); ++i) {
      others.emplace_back([this] { SendSome(); });
    }
    SendSome();
    for (std::thread& other : others) other.join();
    MutexLock lock(&mu_);
    return failed_;
  }

  // What one stream does.
  void SendSome() {
    for (;;) {
      Piece* piece = nullptr;
      {
        MutexLock lock(&mu_);
        if (!failed_.ok() || next_ == pieces_.size()) return;
        piece = &pieces_[next_++];
      }
      const absl::Status status = piece->there ? Compare(piece) : Send(piece);
      if (!status.ok()) {
        MutexLock lock(&mu_);
        failed_.Update(status);
        return;
      }
    }
  }

  absl::StatusOr<absl::Cord> ReadFile(int64_t offset, int64_t length) {
    std::string bytes(static_cast<size_t>(length), '\0');
    CAIRN_ASSIGN_OR_RETURN(const size_t got,
                           file_->ReadAt(offset, bytes.data(), bytes.size()));
    if (got != bytes.size()) {
      return SourceChanged(absl::StrCat("it ends at ", offset + got));
    }
    return absl::Cord(std::move(bytes));
  }

  // What the node has is not sent again; it must be what is in the file.
  absl::Status Compare(Piece* piece) {
    for (int64_t done = 0; done < piece->length;) {
      if (owner_->stopping()) return Cancelled();
      const int64_t size =
          std::min<int64_t>(owner_->options_.chunk_bytes, piece->length - done);
      CAIRN_ASSIGN_OR_RETURN(const absl::Cord data,
                             ReadFile(piece->offset + done, size));
      piece->crc32c = CombineCrc32c(piece->crc32c, Crc32c(data), data.size());
      done += size;
      AddProgress(size);
    }
    for (const SentPart& sent : options_.resume.parts) {
      if (sent.offset == piece->offset && sent.length == piece->length &&
          sent.crc32c != piece->crc32c) {
        return SourceChanged(absl::StrCat("the ", sent.length, " bytes at ",
                                          sent.offset, " are others"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Send(Piece* piece) {
    Attempts attempts(owner_->options_.retry);
    for (;;) {
      const absl::StatusOr<std::shared_ptr<Node>> node = FindNode();
      int64_t counted = 0;
      absl::Status status = node.status();
      if (node.ok()) status = SendOnce(*node, piece, &counted);
      if (status.ok()) break;
      AddProgress(-counted);
      if (owner_->stopping()) return Cancelled();
      if (node.ok()) {
        status = WithContext(status, absl::StrCat("node ", (*node)->address()));
      }
      if (!Again(status, &attempts)) {
        return owner_->stopping() ? Cancelled() : status;
      }
    }
    if (!options_.part_sent) return absl::OkStatus();
    MutexLock lock(&mu_);
    return options_.part_sent({piece->offset, piece->length, piece->crc32c});
  }

  absl::Status SendOnce(const std::shared_ptr<Node>& node, Piece* piece,
                        int64_t* counted) {
    const std::unique_ptr<Node::BulkLease> lease = node->LeaseBulk();
    RawCallOptions call_options;
    call_options.deadline = deadline_;
    call_options.stall_timeout = owner_->options_.stall_timeout;
    RawCall call(lease->channel(), kWrite, call_options);
    const Registered registered(owner_, &call);

    wire::WriteUploadRequest first;
    first.mutable_spec()->set_upload_id(upload_id_);
    first.mutable_spec()->set_offset(piece->offset);
    first.mutable_spec()->set_length(piece->length);
    bool open =
        call.Write(absl::Cord(first.SerializeAsString()), /*last=*/false);
    uint32_t crc = 0;
    for (int64_t done = 0; open && done < piece->length;) {
      ChunkPart chunk;
      chunk.offset = piece->offset + done;
      const int64_t size =
          std::min<int64_t>(owner_->options_.chunk_bytes, piece->length - done);
      CAIRN_ASSIGN_OR_RETURN(chunk.data, ReadFile(chunk.offset, size));
      chunk.crc32c = Crc32c(chunk.data);
      crc = CombineCrc32c(crc, chunk.crc32c, chunk.data.size());
      done += size;
      const bool last = done == piece->length;
      // The messages of an upload in parts look like those of one in a piece.
      open = call.Write(
          EncodeUploadChunk(chunk, last ? absl::optional<uint32_t>(crc)
                                        : absl::optional<uint32_t>()),
          last);
      if (open) {
        *counted += size;
        AddProgress(size);
      }
    }
    // Even when writing broke off: the answer says why.
    const absl::optional<absl::Cord> answer = call.ReadPatiently();
    if (answer) {
      while (call.ReadPatiently()) {
      }
    }
    CAIRN_RETURN_IF_ERROR(call.Finish());
    wire::WriteUploadResponse response;
    if (!answer || !response.ParseFromString(std::string(*answer)) ||
        response.received_bytes() != piece->length) {
      return Malformed();
    }
    piece->crc32c = crc;
    return absl::OkStatus();
  }

  absl::StatusOr<PutResult> Finish(absl::optional<uint32_t> crc) {
    wire::FinishUploadRequest request;
    request.set_upload_id(upload_id_);
    if (!options_.put.request_id.is_nil()) {
      request.set_request_id(options_.put.request_id.ToString());
    }
    if (crc.has_value()) request.set_crc32c(*crc);
    if (!request.mutable_attributes()->ParseFromString(
            EncodeAttributes(options_.put.attributes)) ||
        !request.mutable_lifetime()->ParseFromString(
            EncodeLifetime(options_.put.lifetime))) {
      return Malformed();
    }
    if (options_.put.dedup) request.set_dedup(*options_.put.dedup);
    const Durability& durability = options_.put.durability;
    request.mutable_durability()->set_level(
        static_cast<common::v1::DurabilityLevel>(durability.level));
    request.mutable_durability()->set_replicas(durability.replicas);
    request.mutable_durability()->set_policy(
        static_cast<common::v1::ReplicaPolicy>(durability.policy));
    wire::FinishUploadResponse response;
    CAIRN_RETURN_IF_ERROR(Call(kFinish, request, &response));
    // It has the fields of an UploadResponse.
    PutResult result;
    if (!ParseUploadResponse(absl::Cord(response.SerializeAsString()),
                             &result)) {
      return Malformed();
    }
    return result;
  }

  void AddProgress(int64_t bytes) {
    if (!options_.put.progress) return;
    MutexLock lock(&mu_);
    done_bytes_ += bytes;
    options_.put.progress(done_bytes_, size_);
  }

  ResumableUploads* const owner_;
  const ResumableOptions& options_;
  const std::unique_ptr<File> file_;
  const int64_t size_;
  const absl::Duration deadline_;  // As MonotonicNow().
  std::string upload_id_;
  std::vector<Piece> pieces_;  // Each one of the stream that took it.

  Mutex mu_;  // Also held while the caller's functions run.
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t done_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
};

ResumableUploads::ResumableUploads(const TransferOptions& options,
                                   Router* router)
    : options_(options), router_(router) {}

bool ResumableUploads::stopping() const {
  MutexLock lock(&mu_);
  return stopping_;
}

void ResumableUploads::Stop() {
  MutexLock lock(&mu_);
  stopping_ = true;
  for (RawCall* call : calls_) call->Cancel();
  stopped_.SignalAll();
}

bool ResumableUploads::Sleep(absl::Duration duration) {
  const absl::Duration until = MonotonicNow() + duration;
  MutexLock lock(&mu_);
  while (!stopping_) {
    const absl::Duration left = until - MonotonicNow();
    if (left <= absl::ZeroDuration()) return true;
    stopped_.WaitWithTimeout(&mu_, left);
  }
  return false;
}

absl::StatusOr<PutResult> ResumableUploads::PutFile(
    absl::string_view path, const ResumableOptions& options) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                         FileSystem::Real()->Open(path, OpenMode::kRead));
  CAIRN_ASSIGN_OR_RETURN(const int64_t size, file->Size());
  Run run(this, options, std::move(file), size);
  return run.Go();
}

absl::Status ResumableUploads::Abort(absl::string_view upload_id,
                                     absl::optional<absl::Duration> timeout) {
  ResumableOptions options;
  options.put.timeout = timeout;
  options.resume.upload_id = std::string(upload_id);
  return Run(this, options, /*file=*/nullptr, /*size=*/0).Abort();
}

}  // namespace client
}  // namespace cairn
