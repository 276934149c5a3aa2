#include "clients/cpp/client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cpp/atomic_file.h"
#include "clients/cpp/batch_codec.h"
#include "clients/cpp/chunk_source.h"
#include "clients/cpp/cluster_watch.h"
#include "clients/cpp/node.h"
#include "clients/cpp/request_ids.h"
#include "clients/cpp/resumable_uploads.h"
#include "clients/cpp/router.h"
#include "clients/cpp/small_calls.h"
#include "clients/cpp/timer.h"
#include "clients/cpp/transfers.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/io/file_system.h"
#include "lib/rpc/tls.h"

namespace cairn {
namespace client {
namespace {

constexpr uint32_t kDerivedPageMax = 1000;
constexpr int64_t kSmallFileBytesLimit = 1 << 20;  // The protocol's.
constexpr int32_t kChunkBytesMin = 4 << 10;
constexpr int32_t kChunkBytesMax = 2 << 20;
constexpr uint32_t kStorePathMax = 255;
constexpr absl::Time kExpireTimeMax = absl::FromUnixSeconds(253402300799);
constexpr uint32_t kReplicasMax = 32;
constexpr int kStreamsMax = 64;
constexpr int64_t kPartBytesUnit = 256 << 10;  // The protocol's.

// Async transfers that may wait for a thread.
constexpr size_t kTransfersMax = 10000;

absl::Status Invalid(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

absl::Status Validate(const ClientOptions& options) {
  if (options.trackers.empty() == options.storage.empty()) {
    return Invalid(options.trackers.empty()
                       ? "name at least one tracker, or a storage node"
                       : "name trackers or a storage node, not both");
  }
  const rpc::TlsOptions& tls = options.tls;
  if (tls.ca_file.empty() &&
      (!tls.certificate_file.empty() || !tls.key_file.empty() ||
       !tls.server_name.empty())) {
    return Invalid(
        "tls.ca_file: must name the certificates of the cluster's authorities "
        "where anything else of TLS is named");
  }
  if (options.small_file_bytes_max < 0 ||
      options.small_file_bytes_max > kSmallFileBytesLimit) {
    return Invalid("small_file_bytes_max must be 0 to 1 MiB");
  }
  if (options.chunk_bytes < kChunkBytesMin ||
      options.chunk_bytes > kChunkBytesMax) {
    return Invalid("chunk_bytes must be 4 KiB to 2 MiB");
  }
  // A message may hold 4 MiB; one item may go over this by its own size.
  if (options.batch_bytes_max < 1 || options.batch_bytes_max > (2 << 20)) {
    return Invalid("batch_bytes_max must be 1 to 2 MiB");
  }
  if (options.batch_items_max < 1 || options.attempts_max < 1 ||
      options.transfer_threads < 1 || options.bulk_connections < 1 ||
      options.waiting_operations_max < 1) {
    return Invalid("numbers of items, attempts and threads must be 1 and up");
  }
  return absl::OkStatus();
}

absl::Status Validate(const Durability& durability) {
  if (durability.replicas > kReplicasMax) {
    return Invalid("replicas must be 0 to 32");
  }
  return absl::OkStatus();
}

absl::Status ValidateDerived(const PutOptions& options) {
  if (options.derived_from.empty()) {
    return options.prefix.empty() ? absl::OkStatus()
                                  : Invalid("prefix goes with derived_from");
  }
  if (!options.group.empty() || options.store_path) {
    return Invalid(
        "a derived file lies where its master does: neither group nor "
        "store_path is given");
  }
  return DerivedFileId(options.derived_from, options.prefix, options.extension)
      .status();
}

absl::Status Validate(const Lifetime& lifetime) {
  if (lifetime.expire_time && lifetime.time_to_live) {
    return Invalid("of expire_time and time_to_live one is enough");
  }
  if (lifetime.expire_time && (*lifetime.expire_time < absl::UnixEpoch() ||
                               *lifetime.expire_time > kExpireTimeMax)) {
    return Invalid("expire_time must lie between 1970 and 9999");
  }
  if (lifetime.time_to_live &&
      (*lifetime.time_to_live < absl::Seconds(1) ||
       *lifetime.time_to_live > kExpireTimeMax - absl::UnixEpoch())) {
    return Invalid("time_to_live must be at least a second, and finite");
  }
  return absl::OkStatus();
}

absl::Status Validate(const PutOptions& options) {
  CAIRN_RETURN_IF_ERROR(ValidateExtension(options.extension));
  if (!options.group.empty()) {
    CAIRN_RETURN_IF_ERROR(ValidateGroupName(options.group));
  }
  if (options.store_path && *options.store_path > kStorePathMax) {
    return Invalid("store_path must be 0 to 255");
  }
  CAIRN_RETURN_IF_ERROR(CheckAttributes(options.attributes));
  CAIRN_RETURN_IF_ERROR(ValidateDerived(options));
  CAIRN_RETURN_IF_ERROR(Validate(options.lifetime));
  return Validate(options.durability);
}

absl::Status Validate(const ResumableOptions& options) {
  if (options.streams < 1 || options.streams > kStreamsMax) {
    return Invalid("streams must be 1 to 64");
  }
  if (options.part_bytes < kPartBytesUnit ||
      options.part_bytes % kPartBytesUnit != 0) {
    return Invalid("part_bytes must be a multiple of 256 KiB");
  }
  return Validate(options.put);
}

absl::Status Validate(const GetOptions& options) {
  if (options.offset < 0) return Invalid("offset must not be negative");
  if (options.length && *options.length < 0) {
    return Invalid("length must not be negative");
  }
  return absl::OkStatus();
}

// What the ID says of the file; nullopt for an ID that was made elsewhere or
// whose file can change.
absl::optional<int64_t> SizeFromId(const FileIdParts& parts) {
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(parts.name);
  if (!fields.ok() || (fields->flags & kFileIdAppender) != 0 ||
      !DerivedPrefixOf(parts.name).empty()) {
    return absl::nullopt;
  }
  return fields->size_bytes;
}

class CordSink : public ContentSink {
 public:
  absl::Status Write(const absl::Cord& data) override {
    content_.Append(data);
    return absl::OkStatus();
  }
  absl::Cord Take() { return std::move(content_); }

 private:
  absl::Cord content_;
};

// Gives a sink the content that came in one piece.
absl::Status WriteAll(const absl::Cord& content, ContentSink* sink,
                      const Progress& progress) {
  if (!content.empty()) CAIRN_RETURN_IF_ERROR(sink->Write(content));
  if (progress) {
    const auto size = static_cast<int64_t>(content.size());
    progress(size, size);
  }
  return absl::OkStatus();
}

// A blocking call made of an asynchronous one: Wait() returns what the callback
// got.
template <typename T>
class Waiter {
 public:
  Client::Callback<T> Callback() {
    return [this](absl::StatusOr<T> result) {
      result_ = std::move(result);
      done_.Notify();
    };
  }
  absl::StatusOr<T> Wait() {
    done_.WaitForNotification();
    return std::move(result_);
  }

 private:
  absl::StatusOr<T> result_;
  Notification done_;
};

PutResult PutResultOf(SmallAnswer* answer) {
  PutResult result;
  result.info = std::move(answer->info);
  result.level = answer->reached.level;
  result.replicas = answer->reached.replicas;
  result.replayed = answer->replayed;
  result.shared = answer->shared;
  return result;
}

class ClientImpl : public Client {
 public:
  // `tls` is null for plain text.
  ClientImpl(ClientOptions options, std::shared_ptr<const rpc::Tls> tls)
      : options_(std::move(options)),
        tls_(std::move(tls)),
        router_(options_.zone,
                [this](absl::string_view uuid, absl::string_view address) {
                  return MakeNode(uuid, address);
                }),
        small_calls_(RetryOptionsOf(options_), &router_, &timer_),
        transfers_(TransferOptionsOf(options_), &router_),
        resumable_uploads_(TransferOptionsOf(options_), &router_) {}

  ~ClientImpl() override {
    Cancel();
    // No new nodes from here on; nothing new for the pool; nothing new for the
    // nodes; then the nodes themselves.
    if (watch_ != nullptr) watch_->Stop();
    std::unique_ptr<ThreadPool> pool;
    {
      MutexLock lock(&mu_);
      pool = std::move(pool_);
    }
    pool.reset();
    timer_.Stop();
    for (const std::shared_ptr<Node>& node : router_.AllNodes()) {
      node->batch()->Shutdown(absl::CancelledError("the client was stopped"));
    }
  }

  absl::Status Start() {
    if (!options_.storage.empty()) {
      router_.UseOnly(options_.storage);
      return absl::OkStatus();
    }
    watch_ = std::make_unique<ClusterWatch>(
        options_.trackers, tls_,
        [this](std::shared_ptr<const ClusterModel> model) {
          router_.Update(std::move(model));
        });
    return watch_->WaitForView(options_.connect_timeout);
  }

  void Cancel() override {
    small_calls_.Stop();
    transfers_.Stop();
    resumable_uploads_.Stop();
    {
      MutexLock lock(&mu_);
      cancelled_ = true;
    }
    for (const std::shared_ptr<Node>& node : router_.AllNodes()) {
      node->batch()->Cancel(absl::CancelledError("the client was stopped"));
    }
  }

  absl::StatusOr<PutResult> Put(absl::string_view content,
                                const PutOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    if (IsLarge(static_cast<int64_t>(content.size()))) {
      const std::unique_ptr<ChunkSource> source = SourceOfBuffer(content);
      return transfers_.Upload(source.get(), options);
    }
    Waiter<PutResult> waiter;
    SmallRequest request;
    request.borrowed = content;
    request.crc32c = Crc32c(content);
    SmallPut(std::move(request), options, waiter.Callback());
    return waiter.Wait();
  }

  absl::StatusOr<PutResult> Put(const absl::Cord& content,
                                const PutOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    if (IsLarge(static_cast<int64_t>(content.size()))) {
      const std::unique_ptr<ChunkSource> source = SourceOfCord(content);
      return transfers_.Upload(source.get(), options);
    }
    Waiter<PutResult> waiter;
    PutAsync(content, options, waiter.Callback());
    return waiter.Wait();
  }

  void PutAsync(absl::Cord content, const PutOptions& options,
                Callback<PutResult> done) override {
    const absl::Status valid = Validate(options);
    if (!valid.ok()) return done(valid);
    if (IsLarge(static_cast<int64_t>(content.size()))) {
      return OnPool<PutResult>(
          [this, content = std::move(content), options] {
            const std::unique_ptr<ChunkSource> source = SourceOfCord(content);
            return transfers_.Upload(source.get(), options);
          },
          std::move(done));
    }
    SmallRequest request;
    request.crc32c = Crc32c(content);
    request.content = std::move(content);
    SmallPut(std::move(request), options, std::move(done));
  }

  absl::StatusOr<PutResult> PutFile(absl::string_view path,
                                    const PutOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ChunkSource> source,
                           SourceOfFile(path));
    return PutSource(source.get(), options);
  }

  void PutFileAsync(absl::string_view path, const PutOptions& options,
                    Callback<PutResult> done) override {
    OnPool<PutResult>([this, path = std::string(path),
                       options] { return PutFile(path, options); },
                      std::move(done));
  }

  absl::StatusOr<PutResult> PutFrom(ContentReader* reader,
                                    absl::optional<int64_t> size_bytes,
                                    const PutOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    if (size_bytes && (*size_bytes < 0 || *size_bytes > kFileSizeMax)) {
      return Invalid("size_bytes must be 0 to 2^56-1");
    }
    const std::unique_ptr<ChunkSource> source =
        SourceOfReader(reader, size_bytes);
    return PutSource(source.get(), options);
  }

  absl::StatusOr<PutResult> PutFileResumable(
      absl::string_view path, const ResumableOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    return resumable_uploads_.PutFile(path, options);
  }

  absl::Status AbortUpload(absl::string_view upload_id,
                           absl::optional<absl::Duration> timeout) override {
    return resumable_uploads_.Abort(
        upload_id, timeout.has_value() ? timeout : options_.timeout);
  }

  void PutFileResumableAsync(absl::string_view path,
                             const ResumableOptions& options,
                             Callback<PutResult> done) override {
    OnPool<PutResult>([this, path = std::string(path),
                       options] { return PutFileResumable(path, options); },
                      std::move(done));
  }

  absl::StatusOr<GetResult> Get(absl::string_view file_id,
                                const GetOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    CAIRN_ASSIGN_OR_RETURN(const FileIdParts parts, ParseFileId(file_id));
    if (!IsSmallGet(parts, options)) return LargeGet(file_id, options);
    Waiter<GetResult> waiter;
    SmallGet(file_id, options, waiter.Callback());
    return waiter.Wait();
  }

  void GetAsync(absl::string_view file_id, const GetOptions& options,
                Callback<GetResult> done) override {
    const absl::Status valid = Validate(options);
    if (!valid.ok()) return done(valid);
    const absl::StatusOr<FileIdParts> parts = ParseFileId(file_id);
    if (!parts.ok()) return done(parts.status());
    if (!IsSmallGet(*parts, options)) {
      return OnPool<GetResult>([this, id = std::string(file_id),
                                options] { return LargeGet(id, options); },
                               std::move(done));
    }
    SmallGet(file_id, options, std::move(done));
  }

  absl::StatusOr<FileInfo> GetToFile(absl::string_view file_id,
                                     absl::string_view path,
                                     const GetOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    CAIRN_RETURN_IF_ERROR(ParseFileId(file_id).status());
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file,
                           AtomicFile::Create(FileSystem::Real(), path));
    absl::StatusOr<FileInfo> info = GetTo(file_id, file.get(), options);
    if (info.ok()) CAIRN_RETURN_IF_ERROR(file->Commit());
    return info;
  }

  void GetToFileAsync(absl::string_view file_id, absl::string_view path,
                      const GetOptions& options,
                      Callback<FileInfo> done) override {
    OnPool<FileInfo>([this, id = std::string(file_id), path = std::string(path),
                      options] { return GetToFile(id, path, options); },
                     std::move(done));
  }

  absl::StatusOr<FileInfo> GetTo(absl::string_view file_id, ContentSink* sink,
                                 const GetOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    CAIRN_ASSIGN_OR_RETURN(const FileIdParts parts, ParseFileId(file_id));
    if (!IsSmallGet(parts, options)) {
      return transfers_.Download(file_id, sink, options);
    }
    CAIRN_ASSIGN_OR_RETURN(GetResult result, Get(file_id, options));
    CAIRN_RETURN_IF_ERROR(WriteAll(result.content, sink, options.progress));
    return std::move(result.info);
  }

  absl::StatusOr<FileInfo> Stat(absl::string_view file_id,
                                const StatOptions& options) override {
    if (options.include_replicas) {
      return transfers_.StatReplicas(
          file_id, options, options.timeout.value_or(options_.timeout));
    }
    Waiter<FileInfo> waiter;
    StatAsync(file_id, options, waiter.Callback());
    return waiter.Wait();
  }

  void StatAsync(absl::string_view file_id, const StatOptions& options,
                 Callback<FileInfo> done) override {
    if (options.include_replicas) {
      OnPool<FileInfo>([this, file_id = std::string(file_id),
                        options] { return Stat(file_id, options); },
                       std::move(done));
      return;
    }
    SmallRequest request;
    request.kind = SmallKind::kStat;
    request.file_id = std::string(file_id);
    request.include_attributes = options.include_attributes;
    small_calls_.Start(std::move(request), "",
                       options.timeout.value_or(options_.timeout),
                       [done = std::move(done)](absl::Status status,
                                                SmallAnswer answer) mutable {
                         if (!status.ok()) return done(std::move(status));
                         done(std::move(answer.info));
                       });
  }

  absl::StatusOr<SetAttributesResult> SetAttributes(
      absl::string_view file_id, const AttributeChange& change,
      const SetAttributesOptions& options) override {
    Waiter<SetAttributesResult> waiter;
    SetAttributesAsync(file_id, change, options, waiter.Callback());
    return waiter.Wait();
  }

  void SetAttributesAsync(absl::string_view file_id,
                          const AttributeChange& change,
                          const SetAttributesOptions& options,
                          Callback<SetAttributesResult> done) override {
    absl::Status valid = Validate(options.durability);
    if (valid.ok()) valid = CheckAttributeChange(change);
    if (!valid.ok()) return done(valid);
    SmallRequest request;
    request.kind = SmallKind::kSetAttributes;
    request.file_id = std::string(file_id);
    request.durability = options.durability;
    request.overwrite = change.overwrite;
    request.attributes = EncodeAttributes(change.set);
    request.remove = change.remove;
    request.if_version_match = options.if_version_match;
    request.request_id =
        options.request_id.is_nil() ? NewRequestId() : options.request_id;
    small_calls_.Start(std::move(request), "",
                       options.timeout.value_or(options_.timeout),
                       [done = std::move(done)](absl::Status status,
                                                SmallAnswer answer) mutable {
                         if (!status.ok()) return done(std::move(status));
                         SetAttributesResult result;
                         result.info = std::move(answer.info);
                         result.level = answer.reached.level;
                         result.replicas = answer.reached.replicas;
                         result.replayed = answer.replayed;
                         done(std::move(result));
                       });
  }

  absl::StatusOr<ListDerivedResult> ListDerived(
      absl::string_view file_id, const ListDerivedOptions& options) override {
    if (options.page_size > kDerivedPageMax) {
      return Invalid("page_size must be 0 to 1000");
    }
    return transfers_.ListDerived(file_id, options,
                                  options.timeout.value_or(options_.timeout));
  }

  absl::StatusOr<SetExpiryResult> SetExpiry(
      absl::string_view file_id, const Lifetime& lifetime,
      const SetExpiryOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options.durability));
    CAIRN_RETURN_IF_ERROR(Validate(lifetime));
    return transfers_.SetExpiry(file_id, lifetime, options,
                                options.timeout.value_or(options_.timeout));
  }

  absl::StatusOr<CopyResult> Copy(absl::string_view file_id,
                                  const CopyOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options.durability));
    CAIRN_RETURN_IF_ERROR(Validate(options.lifetime));
    if (options.extension) {
      CAIRN_RETURN_IF_ERROR(ValidateExtension(*options.extension));
    }
    if (options.attributes) {
      CAIRN_RETURN_IF_ERROR(CheckAttributes(*options.attributes));
    }
    return transfers_.Copy(file_id, options,
                           options.timeout.value_or(options_.timeout));
  }

  absl::StatusOr<DeleteResult> Delete(absl::string_view file_id,
                                      const DeleteOptions& options) override {
    Waiter<DeleteResult> waiter;
    DeleteAsync(file_id, options, waiter.Callback());
    return waiter.Wait();
  }

  void DeleteAsync(absl::string_view file_id, const DeleteOptions& options,
                   Callback<DeleteResult> done) override {
    const absl::Status valid = Validate(options.durability);
    if (!valid.ok()) return done(valid);
    DeleteOptions identified = options;
    if (identified.request_id.is_nil()) identified.request_id = NewRequestId();
    SmallRequest request;
    request.kind = SmallKind::kDelete;
    request.file_id = std::string(file_id);
    request.purge = options.purge;
    request.with_derived = options.with_derived;
    request.durability = options.durability;
    request.request_id = identified.request_id;
    small_calls_.Start(
        std::move(request), "", options.timeout.value_or(options_.timeout),
        [this, id = std::string(file_id), identified = std::move(identified),
         done = std::move(done)](absl::Status status,
                                 SmallAnswer answer) mutable {
          if (identified.with_derived && MayHaveLeftDerived(status, answer)) {
            return DeleteWithDerived(std::move(id), std::move(identified),
                                     answer.replayed, std::move(done));
          }
          if (!status.ok()) return done(std::move(status));
          DeleteResult result;
          result.level = answer.reached.level;
          result.replicas = answer.reached.replicas;
          result.replayed = answer.replayed;
          result.derived_deleted = answer.derived_deleted.value_or(0);
          result.undelete_until = answer.undelete_until;
          done(std::move(result));
        });
  }

  absl::StatusOr<UndeleteResult> Undelete(
      absl::string_view file_id, const UndeleteOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options.durability));
    return transfers_.Undelete(file_id, options,
                               options.timeout.value_or(options_.timeout));
  }

  absl::StatusOr<PutResult> CreateAppender(absl::string_view content,
                                           const PutOptions& options) override {
    CAIRN_RETURN_IF_ERROR(Validate(options));
    if (!options.derived_from.empty()) {
      return Invalid("an appender cannot be derived from another file");
    }
    if (options.dedup.value_or(false)) {
      return Invalid("an appender cannot share its content, which changes");
    }
    CAIRN_RETURN_IF_ERROR(CheckUpdateSize(content.size()));
    return transfers_.CreateAppender(
        content, options, options.timeout.value_or(options_.timeout));
  }
  absl::StatusOr<UpdateResult> Append(absl::string_view file_id,
                                      absl::string_view content,
                                      const UpdateOptions& options) override {
    CAIRN_RETURN_IF_ERROR(CheckUpdateSize(content.size()));
    Waiter<UpdateResult> waiter;
    SmallRequest request;
    request.borrowed = content;
    request.crc32c = Crc32c(content);
    SmallAppend(std::move(request), file_id, options, waiter.Callback());
    return waiter.Wait();
  }
  void AppendAsync(absl::string_view file_id, absl::Cord content,
                   const UpdateOptions& options,
                   Callback<UpdateResult> done) override {
    absl::Status valid = CheckUpdateSize(content.size());
    if (!valid.ok()) return done(std::move(valid));
    SmallRequest request;
    request.crc32c = Crc32c(content);
    request.content = std::move(content);
    SmallAppend(std::move(request), file_id, options, std::move(done));
  }
  absl::StatusOr<UpdateResult> Modify(absl::string_view file_id, int64_t offset,
                                      absl::string_view content,
                                      const UpdateOptions& options) override {
    if (offset < 0) return Invalid("offset must not be negative");
    return Update(UpdateKind::kModify, file_id, offset, content, options);
  }
  absl::StatusOr<UpdateResult> Truncate(absl::string_view file_id,
                                        int64_t size_bytes,
                                        const UpdateOptions& options) override {
    if (size_bytes < 0 || size_bytes > kFileSizeMax) {
      return Invalid("size_bytes must be 0 to 2^56-1");
    }
    return Update(UpdateKind::kTruncate, file_id, size_bytes, "", options);
  }
  absl::StatusOr<UpdateResult> Seal(absl::string_view file_id,
                                    const UpdateOptions& options) override {
    return Update(UpdateKind::kSeal, file_id, 0, "", options);
  }

  std::shared_ptr<const ClusterModel> cluster() const override {
    return router_.model();
  }

 private:
  static RetryOptions RetryOptionsOf(const ClientOptions& options) {
    return {options.attempts_max, options.backoff, options.backoff_max};
  }
  static TransferOptions TransferOptionsOf(const ClientOptions& options) {
    return {RetryOptionsOf(options), options.stall_timeout,
            options.chunk_bytes};
  }

  std::shared_ptr<Node> MakeNode(absl::string_view uuid,
                                 absl::string_view address) {
    BatchStreamOptions batch;
    batch.batch_bytes_max = options_.batch_bytes_max;
    batch.batch_items_max = options_.batch_items_max;
    batch.waiting_operations_max = options_.waiting_operations_max;
    batch.waiting_bytes_max = options_.waiting_bytes_max;
    return std::make_shared<Node>(uuid, address, options_.bulk_connections,
                                  tls_, batch, &timer_, &small_calls_);
  }

  static absl::Status CheckUpdateSize(size_t bytes) {
    if (static_cast<int64_t>(bytes) <= kUpdateBytesMax) return absl::OkStatus();
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
        absl::StrCat("one call takes ", kUpdateBytesMax, " bytes at most"),
        {{"limit_bytes", absl::StrCat(kUpdateBytesMax)}});
  }

  absl::StatusOr<UpdateResult> Update(UpdateKind kind,
                                      absl::string_view file_id, int64_t offset,
                                      absl::string_view content,
                                      const UpdateOptions& options) {
    CAIRN_RETURN_IF_ERROR(Validate(options.durability));
    CAIRN_RETURN_IF_ERROR(CheckUpdateSize(content.size()));
    return transfers_.Update(kind, file_id, offset, content, options,
                             options.timeout.value_or(options_.timeout));
  }

  void SmallAppend(SmallRequest request, absl::string_view file_id,
                   const UpdateOptions& options, Callback<UpdateResult> done) {
    absl::Status valid = Validate(options.durability);
    if (!valid.ok()) return done(std::move(valid));
    request.kind = SmallKind::kAppend;
    request.file_id = std::string(file_id);
    request.request_id =
        options.request_id.is_nil() ? NewRequestId() : options.request_id;
    request.durability = options.durability;
    request.if_size_bytes = options.if_size_bytes;
    request.if_version_match = options.if_version_match;
    small_calls_.Start(std::move(request), "",
                       options.timeout.value_or(options_.timeout),
                       [done = std::move(done)](const absl::Status& status,
                                                SmallAnswer answer) mutable {
                         if (!status.ok()) return done(OriginFailed(status));
                         done(PutResultOf(&answer));
                       });
  }

  // A node that does not know `with_derived` in a batch deletes the file alone,
  // or finds it deleted and looks no further.
  static bool MayHaveLeftDerived(const absl::Status& status,
                                 const SmallAnswer& answer) {
    return status.ok() ? !answer.derived_deleted.has_value()
                       : absl::IsNotFound(status);
  }

  // Deletes what such a node has left, with the same request_id. The file
  // counts as deleted by the call before: `replayed` is that one's.
  void DeleteWithDerived(std::string file_id, DeleteOptions options,
                         bool replayed, Callback<DeleteResult> done) {
    OnPool<DeleteResult>(
        [this, file_id = std::move(file_id), options = std::move(options),
         replayed]() -> absl::StatusOr<DeleteResult> {
          CAIRN_ASSIGN_OR_RETURN(
              DeleteResult result,
              transfers_.DeleteWithDerived(
                  file_id, options,
                  options.timeout.value_or(options_.timeout)));
          result.replayed = replayed;
          return result;
        },
        std::move(done));
  }

  bool IsLarge(int64_t size) const {
    return size > options_.small_file_bytes_max;
  }

  bool IsSmallGet(const FileIdParts& parts, const GetOptions& options) const {
    const absl::optional<int64_t> size = SizeFromId(parts);
    if (!size) return false;
    const int64_t rest = std::max<int64_t>(*size - options.offset, 0);
    return !IsLarge(std::min(rest, options.length.value_or(rest)));
  }

  void SmallPut(SmallRequest request, const PutOptions& options,
                Callback<PutResult> done) {
    request.kind = SmallKind::kPut;
    request.request_id =
        options.request_id.is_nil() ? NewRequestId() : options.request_id;
    request.durability = options.durability;
    request.extension = options.extension;
    request.attributes = EncodeAttributes(options.attributes);
    request.lifetime = EncodeLifetime(options.lifetime);
    request.store_path = options.store_path;
    request.derived_from = options.derived_from;
    request.prefix = options.prefix;
    request.dedup = options.dedup;
    small_calls_.Start(std::move(request), options.group,
                       options.timeout.value_or(options_.timeout),
                       [done = std::move(done)](absl::Status status,
                                                SmallAnswer answer) mutable {
                         if (!status.ok()) return done(std::move(status));
                         done(PutResultOf(&answer));
                       });
  }

  void SmallGet(absl::string_view file_id, const GetOptions& options,
                Callback<GetResult> done) {
    SmallRequest request;
    request.kind = SmallKind::kGet;
    request.file_id = std::string(file_id);
    request.offset = options.offset;
    request.length = options.length;
    request.include_attributes = options.include_attributes;
    small_calls_.Start(std::move(request), "",
                       options.timeout.value_or(options_.timeout),
                       [done = std::move(done)](absl::Status status,
                                                SmallAnswer answer) mutable {
                         if (!status.ok()) return done(std::move(status));
                         GetResult result;
                         result.info = std::move(answer.info);
                         result.content = std::move(answer.content);
                         done(std::move(result));
                       });
  }

  absl::StatusOr<GetResult> LargeGet(absl::string_view file_id,
                                     const GetOptions& options) {
    CordSink sink;
    CAIRN_ASSIGN_OR_RETURN(FileInfo info,
                           transfers_.Download(file_id, &sink, options));
    return GetResult{std::move(info), sink.Take()};
  }

  // Small contents, even of a reader of unknown length, become small puts:
  // those can be repeated whatever the source is.
  absl::StatusOr<PutResult> PutSource(ChunkSource* source,
                                      const PutOptions& options) {
    const auto limit = static_cast<size_t>(options_.small_file_bytes_max);
    const absl::optional<int64_t> size = source->size_bytes();
    if (size && IsLarge(*size)) return transfers_.Upload(source, options);
    CAIRN_ASSIGN_OR_RETURN(absl::Cord content, source->Next(limit + 1));
    if (content.size() <= limit) {
      if (size && static_cast<int64_t>(content.size()) != *size) {
        return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                               ErrorReason::kSizeMismatch,
                               absl::StrCat("the source has ", content.size(),
                                            " bytes instead of ", *size,
                                            ": did it change meanwhile?"));
      }
      absl::StatusOr<PutResult> result = Put(content, options);
      if (result.ok() && options.progress) {
        options.progress(result->info.size_bytes, result->info.size_bytes);
      }
      return result;
    }
    if (size) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kSizeMismatch,
          absl::StrCat("the source has more than ", *size, " bytes"));
    }
    const std::unique_ptr<ChunkSource> whole =
        SourceWithPrefix(std::move(content), source);
    return transfers_.Upload(whole.get(), options);
  }

  // Runs `work`, which blocks, on a thread of the pool and then `done`.
  template <typename T>
  void OnPool(absl::AnyInvocable<absl::StatusOr<T>()> work, Callback<T> done)
      ABSL_LOCKS_EXCLUDED(mu_) {
    // Shared, since a pool that refuses drops what it was given.
    auto shared = std::make_shared<Callback<T>>(std::move(done));
    absl::Status refused;
    {
      // Also for TrySubmit(): the answer of a node may come here while the
      // destructor takes the pool away.
      MutexLock lock(&mu_);
      if (cancelled_) {
        refused = absl::CancelledError("the client was stopped");
      } else {
        if (pool_ == nullptr) {
          pool_ = std::make_unique<ThreadPool>(
              "cairn-move", options_.transfer_threads, kTransfersMax);
        }
        if (!pool_->TrySubmit([work = std::move(work), shared]() mutable {
              (*shared)(work());
            })) {
          refused = ErrorWithReason(
              absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
              "too many transfers wait already: start fewer at a time");
        }
      }
    }
    if (!refused.ok()) (*shared)(std::move(refused));
  }

  const ClientOptions options_;
  const std::shared_ptr<const rpc::Tls> tls_;
  Timer timer_;
  Router router_;
  SmallCalls small_calls_;
  Transfers transfers_;
  ResumableUploads resumable_uploads_;

  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<ThreadPool> pool_ ABSL_GUARDED_BY(mu_);  // When it is needed.

  std::unique_ptr<ClusterWatch> watch_;  // Null without trackers.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  CAIRN_RETURN_IF_ERROR(Validate(options));
  std::shared_ptr<const rpc::Tls> tls;
  if (!options.tls.ca_file.empty()) {
    CAIRN_ASSIGN_OR_RETURN(tls, rpc::Tls::Open(options.tls));
  }
  auto client =
      std::make_unique<ClientImpl>(std::move(options), std::move(tls));
  CAIRN_RETURN_IF_ERROR(client->Start());
  return client;
}

}  // namespace client
}  // namespace cairn
