#include "services/storage/api/batch_stream.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/batch_wire.h"
#include "lib/rpc/grpc_status.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/translate.h"
#include "services/storage/core/derived_files.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upload_end.h"

namespace cairn {
namespace storage {
namespace {

using rpc::BatchItem;
using rpc::BatchOperation;

absl::Status TooLarge() {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
      absl::StrCat("an operation of a batch carries at most ",
                   rpc::kBatchContentBytesMax,
                   " bytes: use FileService for larger ones"),
      {{"limit_bytes", absl::StrCat(rpc::kBatchContentBytesMax)}});
}

absl::Status QueueFull() {
  return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                         ErrorReason::kOverloaded,
                         "the queue of the store path is full");
}

absl::Status ShuttingDown() {
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kShuttingDown,
      "the node is stopping: repeat what is not answered elsewhere, or later");
}

absl::StatusOr<Uuid> ParseRequestId(absl::string_view bytes, bool required) {
  if (bytes.empty() && !required) return Uuid();
  const absl::StatusOr<Uuid> id = Uuid::FromBytes(bytes);
  if (id.ok() && !id->is_nil()) return *id;
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      "request_id must be the 16 bytes of a UUID", {{"field", "request_id"}});
}

// Of a put or an append.
absl::Status CheckContent(const BatchItem& request) {
  if (static_cast<int64_t>(request.content.size()) >
      rpc::kBatchContentBytesMax) {
    return TooLarge();
  }
  if (Crc32c(request.content) == request.crc32c) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kChecksumMismatch,
                         "the content does not match its CRC-32C");
}

// What an item must remember until it is answered.
struct Item {
  uint64_t id = 0;
  BatchOperation operation = BatchOperation::kNone;
  absl::Duration start;
  int64_t bytes_in = 0;
  bool with_attributes = false;  // In the answer.

  // Of a delete: how many derived files went with it.
  absl::optional<uint32_t> derived_deleted;
};

// The bytes of a message, charged until the last of its items is answered.
class Charge {
 public:
  Charge(ByteBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}
  ~Charge() { budget_->Return(bytes_); }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

 private:
  ByteBudget* const budget_;
  const int64_t bytes_;
};

class BatchStream
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public BatchStreams::Stream {
 public:
  BatchStream(const BatchContext* context, std::string owner)
      : context_(*context), owner_(std::move(owner)) {
    if (!context_.streams->Add(this)) {
      MutexLock lock(&mu_);
      stopping_ = true;
    }
    Pump();
  }

  // --- From gRPC.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override {
    {
      // Every reaction ends with this lock. That they have all ended gRPC
      // knows, but TSan does not: see docs/decisions/0002-sanitizers.md.
      MutexLock lock(&mu_);
    }
    context_.streams->Remove(this);
    delete this;
  }

  // --- From the service.
  void BeginStop() override;
  void EndStop() override { PumpAfter(1, 0, /*elsewhere=*/true); }

 private:
  // Does whatever can be done next: write, look at items, read, finish. Called
  // after every change, with no lock held, by any thread. The stream may be
  // gone when it returns.
  void Pump() ABSL_LOCKS_EXCLUDED(mu_) { PumpAfter(0, 0, false); }

  // The same, once `items` that waited for another thread are answered. With
  // `elsewhere`, items are not looked at here: this thread is a committer's or
  // a pool's.
  void PumpAfter(int items, int64_t answer_bytes, bool elsewhere)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Looks at items of the message until there is no room. One thread at a time.
  void LookAtItems() ABSL_LOCKS_EXCLUDED(mu_);

  void LookAt(const BatchItem& request);
  void Stat(const Item& item, absl::string_view file_id);
  void Get(const Item& item, const BatchItem& request);
  void Put(const Item& item, const BatchItem& request);
  void Delete(const Item& item, const BatchItem& request);
  void SetAttributes(const Item& item, const BatchItem& request);
  void Append(const Item& item, const BatchItem& request);

  // Whether an item may change a file in a way that builds on what it is, and
  // what it waits for then; and the end of it, which holds what it uses.
  absl::Status AdmitUpdate(const StorageNode::Located& located,
                           ReplicaWish* wish,
                           Replicator::AckInterest* interest);
  CommitDone EndOfUpdate(const Item& item, StorageNode::Located located,
                         const ReplicaWish& wish,
                         Replicator::AckInterest interest,
                         std::shared_ptr<Charge> charge);

  // One item waits for another thread: `answer_bytes` are what it may add to
  // the answers.
  void Begin(int64_t answer_bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // The reverse, once its answer is added. The stream may be gone afterwards.
  void End(int64_t answer_bytes) { PumpAfter(1, answer_bytes, true); }

  // Add an answer. The stream must be pumped afterwards.
  void AnswerError(const Item& item, const absl::Status& error)
      ABSL_LOCKS_EXCLUDED(mu_);
  void AnswerStat(const Item& item, uint8_t path_index,
                  const absl::StatusOr<FileInfo>& file)
      ABSL_LOCKS_EXCLUDED(mu_);
  void AnswerGet(const Item& item, uint8_t path_index, const FileInfo& file,
                 int64_t offset, const absl::StatusOr<absl::Cord>& content)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Answers a put, an append or a change of attributes, and ends it, when other
  // members have it as was asked for.
  void ConfirmPut(const Item& item, uint8_t path_index, const ReplicaWish& wish,
                  Replicator::AckInterest interest,
                  absl::StatusOr<Committed> committed);
  void AnswerPut(const Item& item, uint8_t path_index,
                 const absl::StatusOr<Committed>& committed)
      ABSL_LOCKS_EXCLUDED(mu_);
  // The end of a delete, as ConfirmPut().
  void ConfirmDelete(const Item& item, uint8_t path_index,
                     const ReplicaWish& wish, Replicator::AckInterest interest,
                     absl::StatusOr<Committed> committed);
  void AnswerDelete(const Item& item,
                    const absl::StatusOr<Committed>& committed)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Observe(const Item& item, const absl::Status& outcome,
               int64_t bytes_out);

  const BatchContext& context_;
  const std::string owner_;  // Of what is stored.

  grpc::ByteBuffer message_in_;   // gRPC's while reading_.
  grpc::ByteBuffer message_out_;  // gRPC's while writing_.

  // Of the message that is looked at; whoever has set looking_ owns them.
  std::unique_ptr<rpc::BatchRequestReader> reader_;
  std::shared_ptr<Charge> charge_;
  absl::Duration message_time_;

  Mutex mu_;
  rpc::BatchResponseWriter answers_ ABSL_GUARDED_BY(mu_);
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool looking_ ABSL_GUARDED_BY(mu_) = false;
  bool has_message_ ABSL_GUARDED_BY(mu_) = false;
  bool arriving_ ABSL_GUARDED_BY(mu_) = false;  // Waits for the budget.
  bool reads_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;  // The service is.
  bool broken_ ABSL_GUARDED_BY(mu_) = false;    // The client is gone.
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status final_status_ ABSL_GUARDED_BY(mu_);
  int in_progress_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t coming_answer_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

void BatchStream::OnReadDone(bool ok) {
  const auto bytes = static_cast<int64_t>(ok ? message_in_.Length() : 0);
  {
    MutexLock lock(&mu_);
    reading_ = false;
    // A stream that stops is finished with a read under way.
    if (finished_) return;
    if (ok) {
      arriving_ = true;
    } else {
      reads_ended_ = true;
    }
  }
  if (!ok) {
    Pump();
    return;
  }
  message_time_ = context_.clock->Monotonic();
  const auto have_message = [this, bytes] {
    {
      MutexLock lock(&mu_);
      charge_ = std::make_shared<Charge>(context_.budget, bytes);
      reader_ = std::make_unique<rpc::BatchRequestReader>(message_in_);
      message_in_.Clear();
      arriving_ = false;
      has_message_ = true;
    }
    Pump();
  };
  if (context_.budget->TryTake(bytes)) {
    have_message();
    return;
  }
  // Not reading on meanwhile is what slows the client down. Whoever gives bytes
  // back may be a committer, so the stream goes on elsewhere.
  context_.budget->Take(bytes, [this, have_message] {
    if (!context_.executor->TrySubmit(have_message)) have_message();
  });
}

void BatchStream::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mu_);
    message_out_.Clear();
    writing_ = false;
    if (!ok) broken_ = true;
  }
  Pump();
}

void BatchStream::OnCancel() {
  {
    MutexLock lock(&mu_);
    broken_ = true;
  }
  Pump();
}

void BatchStream::BeginStop() {
  MutexLock lock(&mu_);
  stopping_ = true;
  // As if an item had waited, so that the stream stays until EndStop().
  ++in_progress_;
}

bool BatchStream::HasRoom() const {
  return in_progress_ < context_.options.items_in_progress_max &&
         static_cast<int64_t>(answers_.size()) + coming_answer_bytes_ <
             context_.options.answer_bytes_max;
}

void BatchStream::PumpAfter(int items, int64_t answer_bytes, bool elsewhere) {
  bool write = false;
  bool read = false;
  bool look = false;
  bool finish = false;
  absl::Status final_status;
  {
    MutexLock lock(&mu_);
    in_progress_ -= items;
    coming_answer_bytes_ -= answer_bytes;
    if (broken_) (void)answers_.Finish();  // Nobody will read them.
    if (!writing_ && !answers_.empty()) {
      message_out_ = answers_.Finish();
      writing_ = write = true;
    }
    if (has_message_) {
      if (!looking_ && (HasRoom() || broken_)) looking_ = look = true;
    } else if (!reading_ && !arriving_ && !reads_ended_ && !broken_ &&
               !stopping_) {
      reading_ = read = true;
      // As if an item waited, until StartRead() has returned: a stream that
      // stops is not finished before that.
      ++in_progress_;
    }
    if (!finished_ && (!reading_ || stopping_) && !arriving_ && !writing_ &&
        !has_message_ && in_progress_ == 0 &&
        (reads_ended_ || broken_ || stopping_)) {
      finished_ = finish = true;
      if (broken_) {
        final_status = absl::CancelledError("the client is gone");
      } else {
        final_status = reads_ended_ ? final_status_ : ShuttingDown();
      }
    }
  }
  // Without the lock, another thread may finish the stream and delete it, but
  // not before each of what was decided above has been done: the flags say so.
  if (write) StartWrite(&message_out_);
  if (read) {
    StartRead(&message_in_);
    PumpAfter(1, 0, false);
    return;
  }
  if (finish) Finish(rpc::ToGrpcStatus(final_status));
  if (!look) return;
  if (elsewhere && context_.executor->TrySubmit([this] { LookAtItems(); })) {
    return;
  }
  LookAtItems();
}

void BatchStream::LookAtItems() {
  bool more = true;
  for (;;) {
    {
      MutexLock lock(&mu_);
      if (broken_) more = false;  // What was begun ends; the rest is not run.
      if (broken_ || !HasRoom()) break;
    }
    BatchItem request;
    more = reader_->Next(&request);
    if (!more) break;
    LookAt(request);
  }
  const absl::Status malformed = reader_->status();
  if (!more) {
    reader_ = nullptr;
    charge_ = nullptr;
  }
  {
    MutexLock lock(&mu_);
    looking_ = false;
    if (!more) {
      has_message_ = false;
      if (!malformed.ok()) {
        final_status_ = malformed;
        reads_ended_ = true;
      }
    }
    // As if one more item had waited, so that the stream stays until the pump.
    ++in_progress_;
  }
  PumpAfter(1, 0, true);
}

void BatchStream::LookAt(const BatchItem& request) {
  Item item;
  item.id = request.item_id;
  item.operation = request.operation;
  item.start = message_time_;
  item.bytes_in = static_cast<int64_t>(request.content.size());
  item.with_attributes = request.include_attributes;
  switch (request.operation) {
    case BatchOperation::kPut:
      Put(item, request);
      break;
    case BatchOperation::kGet:
      Get(item, request);
      break;
    case BatchOperation::kStat:
      Stat(item, request.file_id);
      break;
    case BatchOperation::kDelete:
      Delete(item, request);
      break;
    case BatchOperation::kSetAttributes:
      SetAttributes(item, request);
      break;
    case BatchOperation::kAppend:
      Append(item, request);
      break;
    case BatchOperation::kNone:
      AnswerError(item, ErrorWithReason(absl::StatusCode::kInvalidArgument,
                                        ErrorReason::kInvalidField,
                                        "the item has no operation",
                                        {{"field", "operation"}}));
      break;
  }
}

void BatchStream::Begin(int64_t answer_bytes) {
  MutexLock lock(&mu_);
  ++in_progress_;
  coming_answer_bytes_ += answer_bytes;
}

void BatchStream::Stat(const Item& item, absl::string_view file_id) {
  absl::StatusOr<StorageNode::Located> located = context_.node->Locate(file_id);
  if (!located.ok()) {
    AnswerError(item, located.status());
    return;
  }
  const uint8_t path_index = located->id.store_path;
  const absl::optional<absl::StatusOr<FileInfo>> file =
      located->path->TryStat(located->id.name);
  if (file.has_value()) {
    AnswerStat(item, path_index, *file);
    return;
  }
  Begin(0);
  Executor* const io = located->path->io();
  const bool queued =
      io->TrySubmit([this, item, path_index, located = *std::move(located)] {
        AnswerStat(item, path_index, located.path->Stat(located.id.name));
        End(0);
      });
  if (!queued) {
    AnswerError(item, QueueFull());
    End(0);
  }
}

// Reads what a get asks for; `open` and `read` wait for the disk or do not.
struct GetOutcome {
  FileInfo file;
  absl::StatusOr<absl::Cord> content = absl::Cord();
};

absl::StatusOr<int64_t> BytesOfGet(const FileInfo& file, int64_t offset,
                                   absl::optional<int64_t> length) {
  CAIRN_ASSIGN_OR_RETURN(const int64_t bytes,
                         BytesToSend(file, offset, length));
  if (bytes > rpc::kBatchContentBytesMax) return TooLarge();
  return bytes;
}

GetOutcome BlockingGet(StorePath* path, absl::string_view name, int64_t offset,
                       absl::optional<int64_t> length) {
  GetOutcome outcome;
  const absl::StatusOr<std::unique_ptr<OpenFile>> file = path->Open(name);
  if (!file.ok()) {
    outcome.content = file.status();
    return outcome;
  }
  outcome.file = (*file)->info();
  const absl::StatusOr<int64_t> bytes =
      BytesOfGet(outcome.file, offset, length);
  if (!bytes.ok()) {
    outcome.content = bytes.status();
  } else {
    outcome.content = (*file)->Read(offset, *bytes);
  }
  return outcome;
}

// nullopt if it would have to wait for the disk.
absl::optional<GetOutcome> TryGet(StorePath* path, absl::string_view name,
                                  int64_t offset,
                                  absl::optional<int64_t> length) {
  const absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> file =
      path->TryOpen(name);
  if (!file.has_value()) return absl::nullopt;
  GetOutcome outcome;
  if (!file->ok()) {
    outcome.content = file->status();
    return outcome;
  }
  outcome.file = (**file)->info();
  const absl::StatusOr<int64_t> bytes =
      BytesOfGet(outcome.file, offset, length);
  if (!bytes.ok()) {
    outcome.content = bytes.status();
    return outcome;
  }
  absl::optional<absl::StatusOr<absl::Cord>> content =
      (**file)->TryRead(offset, *bytes);
  if (!content.has_value()) return absl::nullopt;
  outcome.content = *std::move(content);
  return outcome;
}

void BatchStream::Get(const Item& item, const BatchItem& request) {
  absl::StatusOr<StorageNode::Located> located =
      context_.node->Locate(request.file_id);
  if (!located.ok()) {
    AnswerError(item, located.status());
    return;
  }
  const uint8_t path_index = located->id.store_path;
  const absl::optional<GetOutcome> cached = TryGet(
      located->path.get(), located->id.name, request.offset, request.length);
  if (cached.has_value()) {
    AnswerGet(item, path_index, cached->file, request.offset, cached->content);
    return;
  }
  // What the answer will hold is known from the name, but for appenders and
  // derived files.
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(located->id.name);
  const int64_t answer_bytes =
      fields.ok() && (fields->flags & kFileIdAppender) == 0 &&
              DerivedPrefixOf(located->id.name).empty()
          ? std::min(fields->size_bytes, rpc::kBatchContentBytesMax)
          : rpc::kBatchContentBytesMax;
  Begin(answer_bytes);
  Executor* const io = located->path->io();
  const bool queued = io->TrySubmit(
      [this, item, path_index, answer_bytes, offset = request.offset,
       length = request.length, located = *std::move(located)] {
        const GetOutcome read =
            BlockingGet(located.path.get(), located.id.name, offset, length);
        AnswerGet(item, path_index, read.file, offset, read.content);
        End(answer_bytes);
      });
  if (!queued) {
    AnswerError(item, QueueFull());
    End(answer_bytes);
  }
}

// A content above the path's own limit for small files gets a segment of its
// own, like a large upload. Runs on io().
void UploadWhole(std::shared_ptr<StorePath> path, PutRequest put,
                 CommitDone done) {
  absl::StatusOr<std::unique_ptr<Upload>> upload =
      path->StartUpload(static_cast<int64_t>(put.content.size()));
  absl::Status written = upload.status();
  if (written.ok() && put.dedup) (*upload)->Share();
  if (written.ok()) written = (*upload)->Write(put.content);
  if (!written.ok()) {
    done(written);
    return;
  }
  std::shared_ptr<Upload> kept = *std::move(upload);
  Upload* const started = kept.get();
  started->Finish(FinishOf(&put),
                  [kept = std::move(kept), done = std::move(done)](
                      absl::StatusOr<Committed> committed) mutable {
                    done(std::move(committed));
                  });
}

void BatchStream::Put(const Item& item, const BatchItem& request) {
  const auto bytes = static_cast<int64_t>(request.content.size());
  absl::StatusOr<StorageNode::Placed> placed;
  PutRequest put;
  ReplicaWish wish;
  Replicator::AckInterest interest;
  std::string derived_name;  // Of a derived file.
  const absl::Status valid = [&]() -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(put.request_id,
                           ParseRequestId(request.request_id, true));
    CAIRN_ASSIGN_OR_RETURN(wish, ParseDurability(request.durability));
    put.durability = wish.level;
    CAIRN_RETURN_IF_ERROR(ValidateExtension(request.extension));
    CAIRN_ASSIGN_OR_RETURN(put.attributes,
                           NormalizeAttributes(request.attributes));
    if (!request.lifetime.empty()) {
      common::v1::Lifetime lifetime;
      if (!lifetime.ParseFromArray(request.lifetime.data(),
                                   static_cast<int>(request.lifetime.size()))) {
        return InvalidField("lifetime", "the bytes are no Lifetime message");
      }
      CAIRN_ASSIGN_OR_RETURN(put.expire_unix_seconds,
                             ParseLifetime(lifetime, context_.clock->Now()));
    }
    put.dedup = request.dedup.value_or(context_.options.default_dedup);
    CAIRN_RETURN_IF_ERROR(CheckContent(request));
    absl::optional<uint32_t> store_path = request.store_path;
    if (request.derived.has_value()) {
      v1::DerivedName derived;
      if (!derived.ParseFromArray(request.derived->data(),
                                  static_cast<int>(request.derived->size()))) {
        return InvalidField("derived", "the bytes are no DerivedName message");
      }
      CAIRN_ASSIGN_OR_RETURN(
          derived_name, ParseDerived(*context_.node, derived, request.extension,
                                     &store_path));
    }
    placed = context_.node->Place("", store_path, bytes);
    CAIRN_RETURN_IF_ERROR(placed.status());
    if (!derived_name.empty()) {
      CAIRN_RETURN_IF_ERROR(context_.replicas->AdmitDerived(placed->index));
    }
    CAIRN_ASSIGN_OR_RETURN(interest,
                           context_.replicas->Admit(placed->index, &wish));
    return absl::OkStatus();
  }();
  if (!valid.ok()) {
    AnswerError(item, valid);
    return;
  }
  const uint8_t path_index = placed->index;
  StorageNode::NewFile made =
      derived_name.empty()
          ? context_.node->MakeName(path_index, FileKind::kNormal, bytes,
                                    request.crc32c, request.extension)
          : context_.node->MakeDerived(derived_name);
  if (!derived_name.empty()) put.kind = FileKind::kDerived;
  put.name = std::move(made.name);
  put.create_unix_seconds = made.create_unix_seconds;
  put.origin_node = context_.node->identity().node_number;
  put.owner = owner_;
  put.content = request.content;
  put.crc32c = request.crc32c;

  Begin(0);
  const Uuid request_id = put.request_id;
  context_.node->ClaimRequest(
      request_id, put.durability, path_index,
      [this, item, path_index, path = std::move(placed->path),
       put = std::move(put), wish, interest = std::move(interest),
       charge = charge_](absl::StatusOr<StorageNode::Claim> claimed) mutable {
        if (!claimed.ok()) {
          AnswerError(item, claimed.status());
          End(0);
          return;
        }
        if (claimed->replay().has_value()) {
          const StorageNode::Replay replay = *claimed->replay();
          *claimed = StorageNode::Claim();
          const absl::Status same = CheckDerivedReplay(
              put.kind == FileKind::kDerived ? put.name : "", replay.committed);
          if (!same.ok()) {
            AnswerError(item, same);
            End(0);
            return;
          }
          ConfirmPut(item, replay.path_index, wish, std::move(interest),
                     replay.committed);
          return;
        }
        StorePath* const target = path.get();
        CommitDone done =
            [this, item, path_index, path, wish, interest = std::move(interest),
             claim = *std::move(claimed), charge = std::move(charge)](
                absl::StatusOr<Committed> committed) mutable {
              claim = StorageNode::Claim();
              charge = nullptr;
              path = nullptr;
              ConfirmPut(item, path_index, wish, std::move(interest),
                         std::move(committed));
            };
        if (static_cast<int64_t>(put.content.size()) <=
            target->small_file_bytes_max()) {
          target->Put(std::move(put), std::move(done));
          return;
        }
        struct Task {
          PutRequest put;
          CommitDone done;
        };
        auto task =
            std::make_shared<Task>(Task{std::move(put), std::move(done)});
        if (!target->io()->TrySubmit([path, task] {
              UploadWhole(path, std::move(task->put), std::move(task->done));
            })) {
          task->done(QueueFull());
        }
      });
}

void BatchStream::ConfirmPut(const Item& item, uint8_t path_index,
                             const ReplicaWish& wish,
                             Replicator::AckInterest interest,
                             absl::StatusOr<Committed> committed) {
  context_.replicas->Confirm(
      path_index, wish, std::move(committed),
      [this, item, path_index, interest = std::move(interest)](
          const absl::StatusOr<Committed>& confirmed) {
        AnswerPut(item, path_index, confirmed);
        End(0);
      });
}

void BatchStream::Delete(const Item& item, const BatchItem& request) {
  absl::StatusOr<StorageNode::Located> located;
  DeleteRequest remove;
  ReplicaWish wish;
  Replicator::AckInterest interest;
  const absl::Status valid = [&]() -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(remove.request_id,
                           ParseRequestId(request.request_id, false));
    CAIRN_ASSIGN_OR_RETURN(wish, ParseDurability(request.durability));
    remove.durability = wish.level;
    remove.purge = request.purge;
    located = context_.node->Locate(request.file_id);
    CAIRN_RETURN_IF_ERROR(located.status());
    if (request.with_derived) {
      CAIRN_RETURN_IF_ERROR(CheckIsMaster(located->id.name));
    }
    CAIRN_ASSIGN_OR_RETURN(
        interest, context_.replicas->Admit(located->id.store_path, &wish));
    return absl::OkStatus();
  }();
  if (!valid.ok()) {
    AnswerError(item, valid);
    return;
  }
  std::string master = located->id.name;
  remove.name = std::move(located->id.name);
  Begin(0);
  // The deletion of the master comes last in the log: who has it has the
  // others, too.
  auto last = [this, path = located->path, path_index = located->id.store_path,
               wish, interest = std::move(interest),
               remove = std::move(remove)](const Item& deleted) mutable {
    StorePath* const target = path.get();
    target->Delete(std::move(remove),
                   [this, deleted, path = std::move(path), path_index, wish,
                    interest = std::move(interest)](
                       absl::StatusOr<Committed> committed) mutable {
                     path = nullptr;
                     ConfirmDelete(deleted, path_index, wish,
                                   std::move(interest), std::move(committed));
                   });
  };
  if (!request.with_derived) {
    last(item);
    return;
  }
  DeleteDerived(std::move(located->path), std::move(master), wish.level,
                request.purge, absl::ToUnixSeconds(context_.clock->Now()),
                [this, item, last = std::move(last)](
                    const absl::StatusOr<uint32_t>& deleted) mutable {
                  if (!deleted.ok()) {
                    AnswerError(item, deleted.status());
                    End(0);
                    return;
                  }
                  Item with_derived = item;
                  with_derived.derived_deleted = *deleted;
                  last(with_derived);
                });
}

void BatchStream::ConfirmDelete(const Item& item, uint8_t path_index,
                                const ReplicaWish& wish,
                                Replicator::AckInterest interest,
                                absl::StatusOr<Committed> committed) {
  context_.replicas->Confirm(path_index, wish, std::move(committed),
                             [this, item, interest = std::move(interest)](
                                 const absl::StatusOr<Committed>& confirmed) {
                               AnswerDelete(item, confirmed);
                               End(0);
                             });
}

absl::Status BatchStream::AdmitUpdate(const StorageNode::Located& located,
                                      ReplicaWish* wish,
                                      Replicator::AckInterest* interest) {
  const uint8_t path_index = located.id.store_path;
  CAIRN_RETURN_IF_ERROR(
      context_.replicas->AdmitUpdate(path_index, located.id.name));
  CAIRN_ASSIGN_OR_RETURN(*interest, context_.replicas->Admit(path_index, wish));
  return absl::OkStatus();
}

CommitDone BatchStream::EndOfUpdate(const Item& item,
                                    StorageNode::Located located,
                                    const ReplicaWish& wish,
                                    Replicator::AckInterest interest,
                                    std::shared_ptr<Charge> charge) {
  return [this, item, path = std::move(located.path),
          path_index = located.id.store_path, wish,
          interest = std::move(interest), charge = std::move(charge)](
             absl::StatusOr<Committed> committed) mutable {
    charge = nullptr;
    path = nullptr;
    ConfirmPut(item, path_index, wish, std::move(interest),
               std::move(committed));
  };
}

void BatchStream::SetAttributes(const Item& item, const BatchItem& request) {
  absl::StatusOr<StorageNode::Located> located;
  SetAttributesRequest set;
  ReplicaWish wish;
  Replicator::AckInterest interest;
  const absl::Status valid = [&]() -> absl::Status {
    v1::SetAttributesOperation operation;
    if (!operation.ParseFromArray(
            request.set_attributes.data(),
            static_cast<int>(request.set_attributes.size()))) {
      return InvalidField("set_attributes",
                          "the bytes are no SetAttributesOperation message");
    }
    CAIRN_ASSIGN_OR_RETURN(set.request_id,
                           ParseRequestId(operation.request_id(), false));
    CAIRN_ASSIGN_OR_RETURN(wish, ParseDurability(operation.durability()));
    set.durability = wish.level;
    CAIRN_ASSIGN_OR_RETURN(
        set.change,
        ParseAttributeChange(operation.mode(), operation.attributes(),
                             operation.remove()));
    if (operation.has_if_version_match()) {
      set.if_version_match = Version{operation.if_version_match().clock(),
                                     operation.if_version_match().node()};
    }
    located = context_.node->Locate(operation.file_id());
    CAIRN_RETURN_IF_ERROR(located.status());
    return AdmitUpdate(*located, &wish, &interest);
  }();
  if (!valid.ok()) {
    AnswerError(item, valid);
    return;
  }
  set.name = std::move(located->id.name);
  Begin(0);
  StorePath* const target = located->path.get();
  target->SetAttributes(std::move(set),
                        EndOfUpdate(item, *std::move(located), wish,
                                    std::move(interest), /*charge=*/nullptr));
}

void BatchStream::Append(const Item& item, const BatchItem& request) {
  absl::StatusOr<StorageNode::Located> located;
  UpdateRequest append;
  ReplicaWish wish;
  Replicator::AckInterest interest;
  const absl::Status valid = [&]() -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(append.request_id,
                           ParseRequestId(request.request_id, true));
    CAIRN_ASSIGN_OR_RETURN(wish, ParseDurability(request.durability));
    append.durability = wish.level;
    if (!request.condition.empty()) {
      v1::UpdateCondition condition;
      if (!condition.ParseFromArray(
              request.condition.data(),
              static_cast<int>(request.condition.size()))) {
        return InvalidField("condition",
                            "the bytes are no UpdateCondition message");
      }
      FillCondition(condition, &append);
    }
    CAIRN_RETURN_IF_ERROR(CheckContent(request));
    located = context_.node->Locate(request.file_id);
    CAIRN_RETURN_IF_ERROR(located.status());
    return AdmitUpdate(*located, &wish, &interest);
  }();
  if (!valid.ok()) {
    AnswerError(item, valid);
    return;
  }
  append.name = std::move(located->id.name);
  append.content = request.content;
  append.crc32c = request.crc32c;
  Begin(0);
  StorePath* const target = located->path.get();
  target->Update(std::move(append), EndOfUpdate(item, *std::move(located), wish,
                                                std::move(interest), charge_));
}

void BatchStream::Observe(const Item& item, const absl::Status& outcome,
                          int64_t bytes_out) {
  if (context_.observer == nullptr) return;
  context_.observer->ItemAnswered(item.operation, outcome,
                                  context_.clock->Monotonic() - item.start,
                                  item.bytes_in, bytes_out);
}

void BatchStream::AnswerError(const Item& item, const absl::Status& error) {
  {
    MutexLock lock(&mu_);
    answers_.AddError(item.id, error);
  }
  Observe(item, error, 0);
}

void BatchStream::AnswerStat(const Item& item, uint8_t path_index,
                             const absl::StatusOr<FileInfo>& file) {
  if (!file.ok()) {
    AnswerError(item, file.status());
    return;
  }
  rpc::BatchFileInfo info = InfoOf(context_.id_prefixes[path_index], *file);
  if (item.with_attributes) info.attributes = file->attributes;
  {
    MutexLock lock(&mu_);
    answers_.AddStat(item.id, info);
  }
  Observe(item, absl::OkStatus(), 0);
}

void BatchStream::AnswerGet(const Item& item, uint8_t path_index,
                            const FileInfo& file, int64_t offset,
                            const absl::StatusOr<absl::Cord>& content) {
  if (!content.ok()) {
    AnswerError(item, content.status());
    return;
  }
  const auto bytes = static_cast<int64_t>(content->size());
  // The blocks were checked when they were read; of a whole file that makes the
  // file's own checksum the content's.
  const uint32_t crc32c =
      bytes == file.size_bytes ? file.crc32c : Crc32c(*content);
  rpc::BatchFileInfo info = InfoOf(context_.id_prefixes[path_index], file);
  if (item.with_attributes) info.attributes = file.attributes;
  {
    MutexLock lock(&mu_);
    answers_.AddGet(item.id, info, offset, crc32c, *content);
  }
  Observe(item, absl::OkStatus(), bytes);
}

void BatchStream::AnswerPut(const Item& item, uint8_t path_index,
                            const absl::StatusOr<Committed>& committed) {
  if (!committed.ok()) {
    AnswerError(item, committed.status());
    return;
  }
  const rpc::BatchFileInfo info =
      InfoOf(context_.id_prefixes[path_index], committed->file);
  const uint32_t level = DurabilityLevelOf(committed->reached);
  {
    MutexLock lock(&mu_);
    if (item.operation == BatchOperation::kSetAttributes) {
      answers_.AddSetAttributes(item.id, info, level, committed->replicas,
                                committed->replayed);
    } else if (item.operation == BatchOperation::kAppend) {
      answers_.AddAppend(item.id, info, level, committed->replicas,
                         committed->replayed);
    } else {
      answers_.AddPut(item.id, info, level, committed->replicas,
                      committed->replayed, committed->file.deduplicated);
    }
  }
  Observe(item, absl::OkStatus(), 0);
}

void BatchStream::AnswerDelete(const Item& item,
                               const absl::StatusOr<Committed>& committed) {
  if (!committed.ok()) {
    AnswerError(item, committed.status());
    return;
  }
  {
    MutexLock lock(&mu_);
    answers_.AddDelete(item.id, DurabilityLevelOf(committed->reached),
                       committed->replicas, committed->replayed,
                       committed->file.undelete_until_unix_seconds,
                       item.derived_deleted);
  }
  Observe(item, absl::OkStatus(), 0);
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartBatchStream(
    const BatchContext* context, std::string owner) {
  return new BatchStream(context, std::move(owner));
}

}  // namespace storage
}  // namespace cairn
