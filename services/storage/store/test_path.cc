#include "services/storage/store/test_path.h"

#include <algorithm>
#include <utility>

#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/upload_sessions.h"

namespace cairn {
namespace storage {
namespace {

// A CommitDone that can be waited for.
class Waiter {
 public:
  CommitDone Done() {
    return [this](absl::StatusOr<Committed> result) {
      result_ = std::move(result);
      done_.Notify();
    };
  }
  absl::StatusOr<Committed> Wait() {
    done_.WaitForNotification();
    return std::move(result_);
  }

 private:
  absl::StatusOr<Committed> result_;
  Notification done_;
};

constexpr int64_t kCreateSeconds = 1767225600;

}  // namespace

StorePathOptions TestPathOptions(std::string directory, std::string boot_id) {
  StorePathOptions options;
  options.directory = std::move(directory);
  options.cluster_id = *Uuid::Parse("11111111-1111-4111-8111-111111111111");
  options.group = "group1";
  options.node_uuid = *Uuid::Parse("22222222-2222-4222-8222-222222222222");
  options.node_number = 7;
  options.path_index = 0;
  options.small_file_bytes_max = 512 << 10;
  options.segment_bytes = 1 << 20;
  options.ballast_bytes = 0;
  options.block_cache_bytes = 8 << 20;
  options.memtable_bytes = 8 << 20;
  options.io_threads = 1;
  options.compaction_dead_share = 2;
  options.compaction_bytes_per_second = 0;
  options.background_interval = absl::Hours(1);
  options.checkpoint_interval = absl::Hours(1);
  options.boot_id = std::move(boot_id);
  return options;
}

std::string TestContent(uint64_t seed, size_t size) {
  std::mt19937_64 random(seed);
  std::string content(size, '\0');
  for (char& byte : content) byte = static_cast<char>(random());
  return content;
}

namespace {

absl::StatusOr<Committed> PutAs(StorePath* path, absl::string_view name,
                                absl::string_view content, FileKind kind,
                                Durability durability, const Uuid& request_id) {
  Waiter waiter;
  PutRequest put;
  put.kind = kind;
  put.request_id = request_id;
  put.name = std::string(name);
  put.content = absl::Cord(content);
  put.crc32c = Crc32c(content);
  put.create_unix_seconds = kCreateSeconds;
  put.origin_node = 7;
  put.durability = durability;
  path->Put(std::move(put), waiter.Done());
  return waiter.Wait();
}

absl::StatusOr<Committed> UploadAs(StorePath* path, absl::string_view name,
                                   absl::string_view content, FileKind kind,
                                   Durability durability,
                                   const Uuid& request_id) {
  constexpr size_t kChunk = 100'000;  // No multiple of a block.
  CAIRN_ASSIGN_OR_RETURN(
      const std::unique_ptr<Upload> upload,
      path->StartUpload(static_cast<int64_t>(content.size())));
  for (size_t at = 0; at < content.size(); at += kChunk) {
    CAIRN_RETURN_IF_ERROR(
        upload->Write(absl::Cord(content.substr(at, kChunk))));
  }
  Upload::FinishRequest finish;
  finish.kind = kind;
  finish.request_id = request_id;
  finish.name = std::string(name);
  finish.create_unix_seconds = kCreateSeconds;
  finish.origin_node = 7;
  finish.durability = durability;
  Waiter waiter;
  upload->Finish(std::move(finish), waiter.Done());
  return waiter.Wait();
}

absl::StatusOr<Committed> PutOfKind(StorePath* path, absl::string_view name,
                                    absl::string_view content, FileKind kind,
                                    Durability durability,
                                    const Uuid& request_id) {
  const bool small =
      static_cast<int64_t>(content.size()) <= path->small_file_bytes_max();
  return (small ? PutAs : UploadAs)(path, name, content, kind, durability,
                                    request_id);
}

}  // namespace

absl::StatusOr<Committed> PutFile(StorePath* path, absl::string_view name,
                                  absl::string_view content,
                                  Durability durability,
                                  const Uuid& request_id) {
  return PutOfKind(path, name, content, FileKind::kNormal, durability,
                   request_id);
}

absl::StatusOr<Committed> UploadFile(StorePath* path, absl::string_view name,
                                     absl::string_view content,
                                     Durability durability,
                                     const Uuid& request_id) {
  return UploadAs(path, name, content, FileKind::kNormal, durability,
                  request_id);
}

absl::StatusOr<Committed> CreateAppender(StorePath* path,
                                         absl::string_view name,
                                         absl::string_view content,
                                         Durability durability,
                                         const Uuid& request_id) {
  return PutOfKind(path, name, content, FileKind::kAppender, durability,
                   request_id);
}

absl::StatusOr<Committed> PutAppender(StorePath* path, absl::string_view name,
                                      absl::string_view content) {
  return PutAs(path, name, content, FileKind::kAppender, Durability::kSynced,
               Uuid());
}

absl::StatusOr<Committed> PutDerived(StorePath* path, absl::string_view name,
                                     absl::string_view content,
                                     Durability durability,
                                     const Uuid& request_id) {
  return PutOfKind(path, name, content, FileKind::kDerived, durability,
                   request_id);
}

absl::StatusOr<Committed> UpdateFile(StorePath* path, UpdateRequest request) {
  Waiter waiter;
  request.crc32c = Crc32c(request.content);
  path->Update(std::move(request), waiter.Done());
  return waiter.Wait();
}

UpdateRequest Append(absl::string_view name, absl::string_view content) {
  UpdateRequest request;
  request.kind = UpdateRequest::Kind::kAppend;
  request.name = std::string(name);
  request.content = absl::Cord(content);
  return request;
}

UpdateRequest Modify(absl::string_view name, int64_t offset,
                     absl::string_view content) {
  UpdateRequest request = Append(name, content);
  request.kind = UpdateRequest::Kind::kModify;
  request.offset = offset;
  return request;
}

UpdateRequest Truncate(absl::string_view name, int64_t size_bytes) {
  UpdateRequest request = Append(name, "");
  request.kind = UpdateRequest::Kind::kTruncate;
  request.offset = size_bytes;
  return request;
}

absl::StatusOr<Committed> DeleteFile(StorePath* path, absl::string_view name,
                                     Durability durability,
                                     const Uuid& request_id) {
  Waiter waiter;
  DeleteRequest request;
  request.request_id = request_id;
  request.name = std::string(name);
  request.durability = durability;
  path->Delete(std::move(request), waiter.Done());
  return waiter.Wait();
}

absl::Status WriteUploadPart(StorePath* path, const Uuid& upload_id,
                             int64_t offset, absl::string_view content) {
  CAIRN_ASSIGN_OR_RETURN(
      const std::unique_ptr<UploadPart> part,
      path->uploads()->OpenPart(upload_id, offset,
                                static_cast<int64_t>(content.size())));
  constexpr size_t kPiece = 100000;
  for (size_t at = 0; at < content.size(); at += kPiece) {
    CAIRN_RETURN_IF_ERROR(part->Write(absl::Cord(content.substr(at, kPiece))));
  }
  return part->End();
}

absl::StatusOr<Committed> FinishUploadSession(StorePath* path,
                                              const Uuid& upload_id,
                                              absl::string_view name,
                                              const Uuid& request_id,
                                              Durability durability) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CompleteUpload> complete,
                         path->uploads()->OpenFinish(upload_id, absl::nullopt));
  Upload::FinishRequest finish;
  finish.request_id = request_id;
  finish.name = std::string(name);
  finish.create_unix_seconds = kCreateSeconds;
  finish.origin_node = 7;
  finish.durability = durability;
  Waiter waiter;
  complete->Commit(std::move(finish), waiter.Done());
  return waiter.Wait();
}

absl::StatusOr<std::string> ReadFile(StorePath* path, absl::string_view name) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<OpenFile> file,
                         path->Open(name));
  CAIRN_ASSIGN_OR_RETURN(const absl::Cord content,
                         file->Read(0, file->info().size_bytes));
  return std::string(content);
}

}  // namespace storage
}  // namespace cairn
