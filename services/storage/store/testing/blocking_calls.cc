#include "services/storage/store/testing/blocking_calls.h"

#include <memory>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kPieceBytes = 200000;

// Takes an answer on one thread and gives it out on another.
class Answer {
 public:
  CommitDone Taker() {
    return [this](absl::StatusOr<Committed> answer) {
      answer_ = std::move(answer);
      done_.Notify();
    };
  }
  absl::StatusOr<Committed> Wait() {
    done_.WaitForNotification();
    return *std::move(answer_);
  }

 private:
  Notification done_;
  absl::optional<absl::StatusOr<Committed>> answer_;
};

}  // namespace

PutRequest MakePut(absl::string_view name, absl::string_view content,
                   Durability durability) {
  PutRequest request;
  request.name = std::string(name);
  request.content = absl::Cord(content);
  request.crc32c = Crc32c(content);
  request.durability = durability;
  return request;
}

absl::StatusOr<Committed> AwaitCommitted(
    absl::FunctionRef<void(CommitDone done)> start) {
  Answer answer;
  start(answer.Taker());
  return answer.Wait();
}

absl::StatusOr<Committed> PutOfAnySize(StorePath* path, PutRequest put,
                                       absl::string_view content) {
  if (static_cast<int64_t>(content.size()) <= path->small_file_bytes_max()) {
    put.content = absl::Cord(content);
    put.crc32c = Crc32c(content);
    return PutAndWait(path, std::move(put));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Upload> upload,
                         path->StartUpload(absl::nullopt));
  if (put.dedup) upload->Share();
  CAIRN_RETURN_IF_ERROR(upload->Write(absl::Cord(content)));
  Upload::FinishRequest finish;
  finish.request_id = put.request_id;
  finish.name = std::move(put.name);
  finish.kind = put.kind;
  finish.create_unix_seconds = put.create_unix_seconds;
  finish.origin_node = put.origin_node;
  finish.attributes = std::move(put.attributes);
  finish.expire_unix_seconds = put.expire_unix_seconds;
  finish.owner = std::move(put.owner);
  finish.durability = put.durability;
  return AwaitCommitted([&](CommitDone done) {
    upload->Finish(std::move(finish), std::move(done));
  });
}

absl::StatusOr<Committed> SetAttributesAndWait(StorePath* path,
                                               SetAttributesRequest request) {
  return AwaitCommitted([&](CommitDone done) {
    path->SetAttributes(std::move(request), std::move(done));
  });
}

absl::StatusOr<Committed> PutAndWait(StorePath* path, PutRequest request) {
  Answer answer;
  path->Put(std::move(request), answer.Taker());
  return answer.Wait();
}

absl::StatusOr<Committed> PutAndWait(StorePath* path, absl::string_view name,
                                     absl::string_view content,
                                     Durability durability) {
  return PutAndWait(path, MakePut(name, content, durability));
}

absl::StatusOr<Committed> DeleteAndWait(StorePath* path, absl::string_view name,
                                        Durability durability,
                                        const Uuid& request_id) {
  DeleteRequest request;
  request.name = std::string(name);
  request.durability = durability;
  request.request_id = request_id;
  Answer answer;
  path->Delete(std::move(request), answer.Taker());
  return answer.Wait();
}

absl::StatusOr<Committed> UploadAndWait(StorePath* path, absl::string_view name,
                                        absl::string_view content,
                                        Durability durability,
                                        const Uuid& request_id) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<Upload> upload,
                         path->StartUpload(absl::nullopt));
  for (absl::string_view left = content; !left.empty();) {
    const absl::string_view piece = left.substr(0, kPieceBytes);
    CAIRN_RETURN_IF_ERROR(upload->Write(absl::Cord(piece)));
    left.remove_prefix(piece.size());
  }
  Upload::FinishRequest request;
  request.name = std::string(name);
  request.durability = durability;
  request.request_id = request_id;
  Answer answer;
  upload->Finish(std::move(request), answer.Taker());
  return answer.Wait();
}

absl::StatusOr<std::string> ReadAll(StorePath* path, absl::string_view name) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<OpenFile> file,
                         path->Open(name));
  CAIRN_ASSIGN_OR_RETURN(const absl::Cord content,
                         file->Read(0, file->info().size_bytes));
  return std::string(content);
}

}  // namespace storage
}  // namespace cairn
