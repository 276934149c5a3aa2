#include "clients/cpp/testing/fake_storage.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cairn/storage/v1/batch_service.grpc.pb.h"
#include "cairn/storage/v1/file_service.grpc.pb.h"
#include "cairn/storage/v1/node_service.grpc.pb.h"
#include "lib/attributes/attributes.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/file_id/file_id.h"
#include "lib/rpc/grpc_status.h"

namespace cairn {
namespace client {
namespace {

namespace pb = cairn::storage::v1;
namespace common = cairn::common::v1;

constexpr int64_t kCreateTime = 1767225600;
constexpr int64_t kUndeleteUntil = 4000000000;

absl::Status Cut() { return absl::UnavailableError("cut by the test"); }

absl::Status BadChecksum() {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kChecksumMismatch,
                         "received bytes do not match their checksum");
}

// As the calls name it. `bytes` is a UUID, or empty: then so is the result.
std::string RequestIdText(const std::string& bytes) {
  return bytes.empty() ? std::string() : Uuid::FromBytes(bytes)->ToString();
}

}  // namespace

// Everything but the wire.
class FakeStorage::State {
 public:
  explicit State(const Options& o) : options(o) {}

  struct File {
    std::string content;
    common::FileInfo info;
    std::string attributes;  // As lib/attributes lays them out.
    bool deleted = false;
    bool kept = false;  // Deleted, and can be brought back.

    // What is known of it, as it was asked for.
    common::FileInfo Info(bool with_attributes) const {
      common::FileInfo known = info;
      if (with_attributes && !attributes.empty()) {
        CAIRN_CHECK(known.mutable_attributes()->ParseFromString(attributes));
      }
      return known;
    }
  };

  // Takes one use of a fault.
  static bool Use(int* times) {
    if (*times == 0) return false;
    --*times;
    return true;
  }

  absl::Status NextFailure() {
    MutexLock lock(&mu);
    ++operations;
    return Use(&fail_times) ? fail_status : absl::OkStatus();
  }

  // Both messages of a change of attributes have these fields.
  template <typename Change>
  absl::Status SetAttributes(const Change& change,
                             const std::string& request_id,
                             common::FileInfo* info, bool* replayed) {
    File file;
    const absl::Status found = Find(change.file_id(), &file);
    if (!found.ok()) return found;
    MutexLock lock(&mu);
    File& stored = files[change.file_id()];
    *info = stored.info;
    *replayed = !request_id.empty() && requests.count(request_id) > 0;
    if (*replayed) return absl::OkStatus();
    if (change.has_if_version_match() &&
        change.if_version_match().clock() != stored.info.version().clock()) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                             ErrorReason::kVersionMismatch,
                             "the file has another version");
    }
    AttributeChange wanted;
    wanted.overwrite = change.mode() == common::ATTRIBUTES_MODE_OVERWRITE;
    auto set = DecodeAttributes(change.attributes().SerializeAsString());
    if (!set.ok()) return set.status();
    wanted.set = *std::move(set);
    wanted.remove.assign(change.remove().begin(), change.remove().end());
    const absl::Status valid = CheckAttributeChange(wanted);
    if (!valid.ok()) return valid;
    auto after = ApplyAttributeChange(stored.attributes, wanted);
    if (!after.ok()) return after.status();
    stored.attributes = *std::move(after);
    stored.info.mutable_version()->set_clock(stored.info.version().clock() + 1);
    *info = stored.info;
    if (!request_id.empty()) requests[request_id] = change.file_id();
    ++attribute_changes;
    return absl::OkStatus();
  }

  // A file of `spec`, which is an UploadSpec or a PutOperation. `shared`: it
  // asks for that, and there is one with the same content.
  template <typename Spec>
  absl::Status Store(absl::string_view content, const Spec& spec,
                     const std::string& request_id, common::FileInfo* info,
                     bool* replayed, bool* shared) {
    const std::string sha256 = spec.dedup() ? Sha256(content) : std::string();
    *shared = false;
    if (spec.dedup()) {
      MutexLock lock(&mu);
      for (const auto& [id, file] : files) {
        *shared |= !file.deleted && file.info.sha256() == sha256;
      }
    }
    std::string derived_id;
    if (spec.has_derived()) {
      const absl::Status master =
          codec.Verify(spec.derived().master_id()).status();
      if (!master.ok()) return master;
      absl::StatusOr<std::string> id =
          DerivedFileId(spec.derived().master_id(), spec.derived().prefix(),
                        spec.extension());
      if (!id.ok()) return id.status();
      derived_id = *std::move(id);
      MutexLock lock(&mu);
      const auto known = files.find(derived_id);
      if (known != files.end() && !known->second.deleted) {
        if (known->second.content != content) {
          return ErrorWithReason(absl::StatusCode::kAlreadyExists,
                                 ErrorReason::kFileExists,
                                 "a file of that name is there");
        }
        *replayed = true;
        *info = known->second.info;
        return absl::OkStatus();
      }
    }
    *info = Store(content, spec.extension(), request_id, replayed,
                  spec.attributes(), spec.lifetime(), derived_id);
    if (!sha256.empty()) {
      info->set_sha256(sha256);
      MutexLock lock(&mu);
      files[info->file_id()].info.set_sha256(sha256);
    }
    return absl::OkStatus();
  }

  static void SetEnd(const common::Lifetime& lifetime, common::FileInfo* info) {
    info->clear_expire_time();
    if (lifetime.has_expire_time()) {
      *info->mutable_expire_time() = lifetime.expire_time();
    } else if (lifetime.has_time_to_live()) {
      info->mutable_expire_time()->set_seconds(
          absl::ToUnixSeconds(absl::Now()) + 1 +
          lifetime.time_to_live().seconds());
    }
  }

  absl::Status SetExpiry(const pb::SetExpiryRequest& request,
                         pb::SetExpiryResponse* response) {
    File file;
    const absl::Status found = Find(request.file_id(), &file);
    if (!found.ok()) return found;
    MutexLock lock(&mu);
    File& stored = files[request.file_id()];
    const bool replayed = requests.count(request.request_id()) > 0;
    if (!replayed) {
      SetEnd(request.lifetime(), &stored.info);
      stored.info.mutable_version()->set_clock(stored.info.version().clock() +
                                               1);
      requests[request.request_id()] = request.file_id();
    }
    *response->mutable_info() = stored.info;
    response->set_replayed(replayed);
    response->mutable_reached()->set_level(common::DURABILITY_LEVEL_SYNCED);
    response->mutable_reached()->set_replicas(1);
    return absl::OkStatus();
  }

  absl::Status Copy(const pb::CopyRequest& request,
                    pb::CopyResponse* response) {
    File file;
    const absl::Status found = Find(request.file_id(), &file);
    if (!found.ok()) return found;
    common::Attributes attributes;
    CAIRN_CHECK(attributes.ParseFromString(file.attributes));
    if (request.has_attributes()) attributes = request.attributes();
    const std::string extension =
        request.has_extension() ? request.extension()
                                : std::string(ExtensionOfName(
                                      ParseFileId(request.file_id())->name));
    bool replayed = false;
    *response->mutable_info() =
        Store(file.content, extension, request.request_id(), &replayed,
              attributes, request.lifetime());
    response->set_replayed(replayed);
    response->set_shared(true);
    response->mutable_reached()->set_level(common::DURABILITY_LEVEL_SYNCED);
    response->mutable_reached()->set_replicas(1);
    return absl::OkStatus();
  }

  common::FileInfo Store(absl::string_view content, absl::string_view extension,
                         const std::string& request_id, bool* replayed,
                         const common::Attributes& attributes = {},
                         const common::Lifetime& lifetime = {},
                         const std::string& derived_id = "") {
    MutexLock lock(&mu);
    *replayed = false;
    if (!request_id.empty()) {
      const auto known = requests.find(request_id);
      if (known != requests.end()) {
        *replayed = true;
        return files[known->second].info;
      }
    }
    FileIdFields fields;
    fields.node_number = options.node_number;
    fields.create_unix_seconds = static_cast<uint32_t>(kCreateTime);
    fields.size_bytes = static_cast<int64_t>(content.size());
    fields.crc32c = Crc32c(content);
    fields.counter = counter++;
    FileIdParts parts;
    parts.group = options.group;
    parts.name = codec.MakeName(options.group, 0, fields, extension);
    File file;
    file.content = std::string(content);
    file.info.set_file_id(derived_id.empty() ? parts.ToString() : derived_id);
    file.info.set_size_bytes(fields.size_bytes);
    file.info.set_crc32c(fields.crc32c);
    file.info.set_kind(derived_id.empty() ? common::FILE_KIND_NORMAL
                                          : common::FILE_KIND_DERIVED);
    file.info.mutable_create_time()->set_seconds(kCreateTime);
    file.info.mutable_version()->set_clock(uint64_t{1767225600000} << 16);
    file.info.mutable_version()->set_node(options.node_number);
    file.info.set_origin_node(options.node_number);
    auto normal = NormalizeAttributes(attributes.SerializeAsString());
    CAIRN_CHECK_OK(normal.status());
    file.attributes = *std::move(normal);
    SetEnd(lifetime, &file.info);
    const common::FileInfo info = file.info;
    if (!request_id.empty()) requests[request_id] = info.file_id();
    files[info.file_id()] = std::move(file);
    ++stores;
    return info;
  }

  absl::Status Find(const std::string& file_id, File* out) {
    const absl::StatusOr<FileIdParts> parts = codec.Verify(file_id);
    if (!parts.ok()) return parts.status();
    MutexLock lock(&mu);
    const auto found = files.find(file_id);
    if (found == files.end()) {
      return ErrorWithReason(absl::StatusCode::kNotFound,
                             ErrorReason::kFileNotFound, "no such file");
    }
    if (found->second.deleted) {
      return ErrorWithReason(absl::StatusCode::kNotFound,
                             ErrorReason::kFileDeleted, "the file was deleted");
    }
    if (found->second.info.has_expire_time() &&
        absl::ToUnixSeconds(absl::Now()) >=
            found->second.info.expire_time().seconds()) {
      return ErrorWithReason(absl::StatusCode::kNotFound,
                             ErrorReason::kFileExpired, "the file has expired");
    }
    *out = found->second;
    return absl::OkStatus();
  }

  absl::Status Delete(const std::string& file_id, const std::string& request_id,
                      bool purge, bool* replayed) {
    {
      MutexLock lock(&mu);
      *replayed = !request_id.empty() && requests.count(request_id) > 0;
      if (*replayed) return absl::OkStatus();
    }
    File file;
    const absl::Status found = Find(file_id, &file);
    MutexLock lock(&mu);
    if (!found.ok() && !(purge && files[file_id].kept)) return found;
    files[file_id].deleted = true;
    files[file_id].kept = !purge;
    if (!request_id.empty()) requests[request_id] = file_id;
    return absl::OkStatus();
  }

  absl::Status Undelete(const pb::UndeleteRequest& request,
                        pb::UndeleteResponse* response) {
    File file;
    const absl::Status found = Find(request.file_id(), &file);
    MutexLock lock(&mu);
    const bool replayed = requests.count(request.request_id()) > 0;
    if (found.ok() && !replayed) {
      return ErrorWithReason(absl::StatusCode::kAlreadyExists,
                             ErrorReason::kFileExists, "it is not deleted");
    }
    File& stored = files[request.file_id()];
    if (!found.ok() && !stored.kept) return found;
    if (!replayed) {
      stored.deleted = false;
      stored.kept = false;
      stored.info.mutable_version()->set_clock(stored.info.version().clock() +
                                               1);
      requests[request.request_id()] = request.file_id();
    }
    *response->mutable_info() = stored.info;
    response->set_replayed(replayed);
    response->mutable_reached()->set_level(common::DURABILITY_LEVEL_SYNCED);
    response->mutable_reached()->set_replicas(1);
    return absl::OkStatus();
  }

  // In the order of their IDs; only those that are there.
  std::vector<std::string> DerivedFrom(const std::string& master_id) {
    std::vector<std::string> ids;
    const absl::StatusOr<FileIdParts> master = ParseFileId(master_id);
    if (!master.ok()) return ids;
    MutexLock lock(&mu);
    for (const auto& [id, file] : files) {
      const absl::StatusOr<FileIdParts> parts = ParseFileId(id);
      if (!file.deleted && parts.ok() &&
          !DerivedPrefixOf(parts->name).empty() &&
          MasterStemOf(parts->name) == MasterStemOf(master->name)) {
        ids.push_back(id);
      }
    }
    return ids;
  }

  // How many there were.
  uint32_t DeleteDerived(const std::string& master_id, bool purge) {
    uint32_t deleted = 0;
    for (const std::string& id : DerivedFrom(master_id)) {
      bool ignored;
      if (Delete(id, "", purge, &ignored).ok()) ++deleted;
    }
    return deleted;
  }

  bool DerivedInBatches() {
    MutexLock lock(&mu);
    return derived_in_batches;
  }

  static absl::Status CheckRange(int64_t offset, int64_t size) {
    if (offset < 0 || offset > size) {
      return ErrorWithReason(
          absl::StatusCode::kOutOfRange, ErrorReason::kRangePastEnd,
          "the offset lies past the end", {{"size_bytes", absl::StrCat(size)}});
    }
    return absl::OkStatus();
  }

  bool UseCorruption(int* times) {
    MutexLock lock(&mu);
    return Use(times);
  }

  void WaitWhileHeld() {
    MutexLock lock(&mu);
    while (held && !killed) changed.Wait(&mu);
  }

  const Options options;
  const FileIdCodec codec{"a secret of the fake"};

  mutable Mutex mu;
  CondVar changed;
  std::map<std::string, File> files ABSL_GUARDED_BY(mu);
  std::map<std::string, std::string> requests ABSL_GUARDED_BY(mu);
  uint32_t counter ABSL_GUARDED_BY(mu) = 0;

  int operations ABSL_GUARDED_BY(mu) = 0;
  int stores ABSL_GUARDED_BY(mu) = 0;
  int attribute_changes ABSL_GUARDED_BY(mu) = 0;
  int downloads ABSL_GUARDED_BY(mu) = 0;
  int uploads ABSL_GUARDED_BY(mu) = 0;
  int batch_streams ABSL_GUARDED_BY(mu) = 0;
  int batch_items ABSL_GUARDED_BY(mu) = 0;
  std::vector<size_t> message_items ABSL_GUARDED_BY(mu);
  std::vector<int64_t> offsets ABSL_GUARDED_BY(mu);

  int fail_times ABSL_GUARDED_BY(mu) = 0;
  absl::Status fail_status ABSL_GUARDED_BY(mu);
  int lose_answers = 0;
  int corrupt_reads = 0;
  int corrupt_put_answers = 0;
  int corrupt_arrivals = 0;
  int cut_downloads ABSL_GUARDED_BY(mu) = 0;
  int64_t cut_downloads_after ABSL_GUARDED_BY(mu) = 0;
  int cut_uploads ABSL_GUARDED_BY(mu) = 0;
  int64_t cut_uploads_after ABSL_GUARDED_BY(mu) = 0;
  int stall_downloads ABSL_GUARDED_BY(mu) = 0;
  int64_t stall_downloads_after ABSL_GUARDED_BY(mu) = 0;
  bool held ABSL_GUARDED_BY(mu) = false;
  bool derived_in_batches ABSL_GUARDED_BY(mu) = true;
  bool killed ABSL_GUARDED_BY(mu) = false;
};

class FakeStorage::Files : public pb::FileService::Service {
 public:
  explicit Files(State* state) : state_(state) {}

  grpc::Status Upload(grpc::ServerContext* context,
                      grpc::ServerReader<pb::UploadRequest>* reader,
                      pb::UploadResponse* response) override {
    return rpc::ToGrpcStatus(DoUpload(reader, response));
  }

  grpc::Status Download(
      grpc::ServerContext* context, const pb::DownloadRequest* request,
      grpc::ServerWriter<pb::DownloadResponse>* writer) override {
    return rpc::ToGrpcStatus(DoDownload(context, *request, writer));
  }

  grpc::Status Stat(grpc::ServerContext* context,
                    const pb::StatRequest* request,
                    pb::StatResponse* response) override {
    absl::Status status = state_->NextFailure();
    State::File file;
    if (status.ok()) status = state_->Find(request->file_id(), &file);
    *response->mutable_info() = file.Info(request->include_attributes());
    if (request->include_replicas()) {
      // It has never heard of the second one's name.
      pb::Replica* const here = response->add_replicas();
      here->set_node_uuid("a");
      here->set_node_name("storage-a");
      here->set_node_number(7);
      here->set_state(pb::REPLICA_STATE_CURRENT);
      pb::Replica* const other = response->add_replicas();
      other->set_node_uuid("b");
      other->set_state(pb::REPLICA_STATE_UNREACHABLE);
    }
    return rpc::ToGrpcStatus(status);
  }

  grpc::Status GetAttributes(grpc::ServerContext* context,
                             const pb::GetAttributesRequest* request,
                             pb::GetAttributesResponse* response) override {
    absl::Status status = state_->NextFailure();
    State::File file;
    if (status.ok()) status = state_->Find(request->file_id(), &file);
    *response->mutable_attributes() = file.Info(true).attributes();
    *response->mutable_version() = file.info.version();
    return rpc::ToGrpcStatus(status);
  }

  grpc::Status SetAttributes(grpc::ServerContext* context,
                             const pb::SetAttributesRequest* request,
                             pb::SetAttributesResponse* response) override {
    absl::Status status = state_->NextFailure();
    bool replayed = false;
    if (status.ok()) {
      status = state_->SetAttributes(*request, request->request_id(),
                                     response->mutable_info(), &replayed);
    }
    response->set_replayed(replayed);
    response->mutable_reached()->set_level(common::DURABILITY_LEVEL_SYNCED);
    response->mutable_reached()->set_replicas(1);
    return rpc::ToGrpcStatus(status);
  }

  grpc::Status ListDerived(grpc::ServerContext* context,
                           const pb::ListDerivedRequest* request,
                           pb::ListDerivedResponse* response) override {
    const absl::Status failure = state_->NextFailure();
    if (!failure.ok()) return rpc::ToGrpcStatus(failure);
    size_t limit = request->page_size() == 0 ? 2 : request->page_size();
    for (const std::string& id : state_->DerivedFrom(request->file_id())) {
      if (id <= request->page_token()) continue;
      if (limit-- == 0) {
        response->set_next_page_token(response->files().rbegin()->file_id());
        break;
      }
      State::File file;
      if (state_->Find(id, &file).ok()) *response->add_files() = file.info;
    }
    return grpc::Status::OK;
  }

  grpc::Status SetExpiry(grpc::ServerContext* context,
                         const pb::SetExpiryRequest* request,
                         pb::SetExpiryResponse* response) override {
    absl::Status status = state_->NextFailure();
    if (status.ok()) status = state_->SetExpiry(*request, response);
    return rpc::ToGrpcStatus(status);
  }

  grpc::Status Undelete(grpc::ServerContext* context,
                        const pb::UndeleteRequest* request,
                        pb::UndeleteResponse* response) override {
    absl::Status status = state_->NextFailure();
    if (status.ok()) status = state_->Undelete(*request, response);
    return rpc::ToGrpcStatus(status);
  }

  grpc::Status Copy(grpc::ServerContext* context,
                    const pb::CopyRequest* request,
                    pb::CopyResponse* response) override {
    absl::Status status = state_->NextFailure();
    if (status.ok()) status = state_->Copy(*request, response);
    return rpc::ToGrpcStatus(status);
  }

  grpc::Status GetCapabilities(grpc::ServerContext* context,
                               const pb::GetCapabilitiesRequest* request,
                               pb::GetCapabilitiesResponse* response) override {
    response->set_version("a fake");
    response->add_services(pb::FileService::service_full_name());
    response->add_features("attributes");
    response->set_attributes_max(kAttributesMax);
    response->set_attribute_key_bytes_max(kAttributeKeyBytesMax);
    response->set_attribute_value_bytes_max(kAttributeValueBytesMax);
    response->set_chunk_bytes_max(2 << 20);
    return grpc::Status::OK;
  }

  grpc::Status Delete(grpc::ServerContext* context,
                      const pb::DeleteRequest* request,
                      pb::DeleteResponse* response) override {
    absl::Status status = state_->NextFailure();
    bool replayed = false;
    if (status.ok() && request->with_derived()) {
      response->set_derived_deleted(
          state_->DeleteDerived(request->file_id(), request->purge()));
    }
    if (status.ok()) {
      status = state_->Delete(request->file_id(), request->request_id(),
                              request->purge(), &replayed);
    }
    if (!request->purge()) {
      response->mutable_undelete_until()->set_seconds(kUndeleteUntil);
    }
    response->set_replayed(replayed);
    response->mutable_reached()->set_level(common::DURABILITY_LEVEL_SYNCED);
    response->mutable_reached()->set_replicas(1);
    return rpc::ToGrpcStatus(status);
  }

 private:
  absl::Status DoUpload(grpc::ServerReader<pb::UploadRequest>* reader,
                        pb::UploadResponse* response) {
    int64_t cut_after = -1;
    {
      MutexLock lock(&state_->mu);
      ++state_->uploads;
      if (State::Use(&state_->cut_uploads)) {
        cut_after = state_->cut_uploads_after;
      }
    }
    const absl::Status failure = state_->NextFailure();
    if (!failure.ok()) return failure;
    pb::UploadRequest request;
    if (!reader->Read(&request) || !request.has_spec()) {
      return absl::InvalidArgumentError("spec comes first");
    }
    const pb::UploadSpec spec = request.spec();
    std::string content;
    bool finished = false;
    while (!finished && reader->Read(&request)) {
      if (request.has_chunk()) {
        const common::Chunk& chunk = request.chunk();
        if (chunk.offset() != static_cast<int64_t>(content.size())) {
          return absl::InvalidArgumentError("chunk out of order");
        }
        if (chunk.data().empty() || chunk.data().size() > (2 << 20)) {
          return absl::InvalidArgumentError("a chunk's size is wrong");
        }
        if (Crc32c(chunk.data()) != chunk.crc32c() ||
            state_->UseCorruption(&state_->corrupt_arrivals)) {
          return BadChecksum();
        }
        content += chunk.data();
      }
      if (cut_after >= 0 && static_cast<int64_t>(content.size()) >= cut_after) {
        return Cut();
      }
      if (request.has_finish()) {
        if (request.finish().has_crc32c() &&
            request.finish().crc32c() != Crc32c(content)) {
          return BadChecksum();
        }
        finished = true;
      }
    }
    if (!finished) return absl::CancelledError("the client went away");
    if (spec.has_size_bytes() &&
        spec.size_bytes() != static_cast<int64_t>(content.size())) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                             ErrorReason::kSizeMismatch, "another size");
    }
    bool replayed;
    bool shared;
    const absl::Status stored =
        state_->Store(content, spec, spec.request_id(),
                      response->mutable_info(), &replayed, &shared);
    if (!stored.ok()) return stored;
    response->set_shared(shared);
    response->set_replayed(replayed);
    response->mutable_reached()->set_level(
        spec.durability().level() == common::DURABILITY_LEVEL_CACHED
            ? common::DURABILITY_LEVEL_CACHED
            : common::DURABILITY_LEVEL_SYNCED);
    response->mutable_reached()->set_replicas(1);
    return absl::OkStatus();
  }

  absl::Status DoDownload(grpc::ServerContext* context,
                          const pb::DownloadRequest& request,
                          grpc::ServerWriter<pb::DownloadResponse>* writer) {
    int64_t cut_after = -1;
    int64_t stall_after = -1;
    {
      MutexLock lock(&state_->mu);
      ++state_->downloads;
      state_->offsets.push_back(request.offset());
      if (State::Use(&state_->cut_downloads)) {
        cut_after = state_->cut_downloads_after;
      } else if (State::Use(&state_->stall_downloads)) {
        stall_after = state_->stall_downloads_after;
      }
    }
    absl::Status status = state_->NextFailure();
    State::File file;
    if (status.ok()) status = state_->Find(request.file_id(), &file);
    const auto size = static_cast<int64_t>(file.content.size());
    if (status.ok()) status = State::CheckRange(request.offset(), size);
    if (!status.ok()) return status;
    pb::DownloadResponse response;
    *response.mutable_info() = file.Info(request.include_attributes());
    writer->Write(response);
    const int64_t end =
        request.has_length()
            ? std::min(size, request.offset() + request.length())
            : size;
    const int64_t chunk_bytes =
        request.chunk_bytes() > 0 ? request.chunk_bytes() : 256 << 10;
    int64_t sent = 0;
    for (int64_t at = request.offset(); at < end; at += chunk_bytes) {
      if (cut_after >= 0 && sent >= cut_after) return Cut();
      if (stall_after >= 0 && sent >= stall_after) {
        while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
        return absl::CancelledError("stalled until cancelled");
      }
      response.Clear();
      common::Chunk* chunk = response.mutable_chunk();
      chunk->set_offset(at);
      chunk->set_data(file.content.substr(
          static_cast<size_t>(at),
          static_cast<size_t>(std::min(chunk_bytes, end - at))));
      chunk->set_crc32c(Crc32c(chunk->data()));
      if (state_->UseCorruption(&state_->corrupt_reads)) {
        (*chunk->mutable_data())[0] ^= 1;
      }
      sent += static_cast<int64_t>(chunk->data().size());
      if (!writer->Write(response)) return absl::CancelledError("gone");
    }
    return absl::OkStatus();
  }

  State* const state_;
};

class FakeStorage::Batches : public pb::BatchService::Service {
 public:
  explicit Batches(State* state) : state_(state) {}

  grpc::Status Run(grpc::ServerContext* context,
                   grpc::ServerReaderWriter<pb::RunResponse, pb::RunRequest>*
                       stream) override {
    {
      MutexLock lock(&state_->mu);
      ++state_->batch_streams;
    }
    pb::RunRequest request;
    while (stream->Read(&request)) {
      {
        MutexLock lock(&state_->mu);
        state_->message_items.push_back(
            static_cast<size_t>(request.items_size()));
        state_->batch_items += request.items_size();
        state_->changed.SignalAll();
      }
      pb::RunResponse response;
      for (const pb::BatchItem& item : request.items()) {
        RunItem(item, response.add_answers());
      }
      state_->WaitWhileHeld();
      if (state_->UseCorruption(&state_->lose_answers)) {
        return rpc::ToGrpcStatus(Cut());
      }
      // Out of order, as the protocol allows.
      std::reverse(response.mutable_answers()->begin(),
                   response.mutable_answers()->end());
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

 private:
  void RunItem(const pb::BatchItem& item, pb::BatchAnswer* answer) {
    answer->set_item_id(item.item_id());
    absl::Status status = state_->NextFailure();
    if (status.ok()) {
      switch (item.operation_case()) {
        case pb::BatchItem::kPut:
          status = Put(item.put(), answer->mutable_put());
          break;
        case pb::BatchItem::kGet:
          status = Get(item.get(), answer->mutable_get());
          break;
        case pb::BatchItem::kStat: {
          State::File file;
          status = state_->Find(item.stat().file_id(), &file);
          *answer->mutable_stat()->mutable_info() =
              file.Info(item.stat().include_attributes());
          break;
        }
        case pb::BatchItem::kSetAttributes: {
          const pb::SetAttributesOperation& set = item.set_attributes();
          pb::SetAttributesOutcome* const outcome =
              answer->mutable_set_attributes();
          bool replayed = false;
          status = state_->SetAttributes(
              set, Uuid::FromBytes(set.request_id())->ToString(),
              outcome->mutable_info(), &replayed);
          outcome->set_replayed(replayed);
          outcome->mutable_reached()->set_level(
              common::DURABILITY_LEVEL_SYNCED);
          outcome->mutable_reached()->set_replicas(1);
          break;
        }
        case pb::BatchItem::kDelete: {
          bool replayed = false;
          if (item.delete_().with_derived() && state_->DerivedInBatches()) {
            answer->mutable_delete_()->set_derived_deleted(
                state_->DeleteDerived(item.delete_().file_id(),
                                      item.delete_().purge()));
          }
          status = state_->Delete(item.delete_().file_id(),
                                  RequestIdText(item.delete_().request_id()),
                                  item.delete_().purge(), &replayed);
          if (!item.delete_().purge()) {
            answer->mutable_delete_()->mutable_undelete_until()->set_seconds(
                kUndeleteUntil);
          }
          answer->mutable_delete_()->set_replayed(replayed);
          answer->mutable_delete_()->mutable_reached()->set_level(
              common::DURABILITY_LEVEL_SYNCED);
          answer->mutable_delete_()->mutable_reached()->set_replicas(1);
          break;
        }
        case pb::BatchItem::kAppend:
          status = absl::UnimplementedError("no appenders here");
          break;
        case pb::BatchItem::OPERATION_NOT_SET:
          status = absl::InvalidArgumentError("no operation");
          break;
      }
    }
    if (!status.ok()) *answer->mutable_error() = rpc::ToRpcStatus(status);
  }

  absl::Status Put(const pb::PutOperation& put, pb::PutOutcome* outcome) {
    if (put.request_id().size() != 16) {
      return absl::InvalidArgumentError("a request_id has 16 bytes");
    }
    if (Crc32c(put.content()) != put.crc32c() ||
        state_->UseCorruption(&state_->corrupt_arrivals)) {
      return BadChecksum();
    }
    bool replayed;
    bool shared;
    const absl::Status stored = state_->Store(
        put.content(), put, Uuid::FromBytes(put.request_id())->ToString(),
        outcome->mutable_info(), &replayed, &shared);
    if (!stored.ok()) return stored;
    outcome->set_shared(shared);
    if (state_->UseCorruption(&state_->corrupt_put_answers)) {
      outcome->mutable_info()->set_crc32c(~put.crc32c());
    }
    outcome->set_replayed(replayed);
    outcome->mutable_reached()->set_level(
        put.durability().level() == common::DURABILITY_LEVEL_CACHED
            ? common::DURABILITY_LEVEL_CACHED
            : common::DURABILITY_LEVEL_SYNCED);
    outcome->mutable_reached()->set_replicas(1);
    return absl::OkStatus();
  }

  absl::Status Get(const pb::GetOperation& get, pb::GetOutcome* outcome) {
    State::File file;
    absl::Status status = state_->Find(get.file_id(), &file);
    const auto size = static_cast<int64_t>(file.content.size());
    if (status.ok()) status = State::CheckRange(get.offset(), size);
    if (!status.ok()) return status;
    const int64_t rest = size - get.offset();
    const int64_t length =
        get.has_length() ? std::min(rest, get.length()) : rest;
    if (length > (1 << 20)) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                             ErrorReason::kTooLarge, "use Download");
    }
    *outcome->mutable_info() = file.Info(get.include_attributes());
    outcome->set_offset(get.offset());
    outcome->set_content(file.content.substr(static_cast<size_t>(get.offset()),
                                             static_cast<size_t>(length)));
    outcome->set_crc32c(Crc32c(outcome->content()));
    if (length > 0 && state_->UseCorruption(&state_->corrupt_reads)) {
      (*outcome->mutable_content())[0] ^= 1;
    }
    return absl::OkStatus();
  }

  State* const state_;
};

class FakeStorage::Nodes : public pb::NodeService::Service {
 public:
  explicit Nodes(State* state) : state_(state) {}

  grpc::Status GetState(grpc::ServerContext* context,
                        const pb::GetStateRequest* request,
                        pb::GetStateResponse* response) override {
    response->set_name(state_->options.name);
    response->set_node_uuid("11111111-1111-4111-8111-111111111111");
    response->set_node_number(state_->options.node_number);
    response->set_group(state_->options.group);
    response->set_version("fake");
    response->mutable_cpu_time()->set_seconds(1);
    response->set_resident_bytes(1 << 20);
    pb::StorePathStatus* path = response->add_store_paths();
    path->set_state(pb::STORE_PATH_STATE_ACTIVE);
    path->set_total_bytes(int64_t{1} << 40);
    path->set_free_bytes(int64_t{1} << 39);
    MutexLock lock(&state_->mu);
    path->set_files(static_cast<int64_t>(state_->files.size()));
    return grpc::Status::OK;
  }

 private:
  State* const state_;
};

struct FakeStorage::Server {
  explicit Server(State* state) : files(state), batches(state), nodes(state) {}

  Files files;
  Batches batches;
  Nodes nodes;
  std::unique_ptr<grpc::Server> server;
};

FakeStorage::FakeStorage(const Options& options)
    : state_(std::make_unique<State>(options)), address_("127.0.0.1:0") {
  Restart();
}

FakeStorage::~FakeStorage() { Kill(); }

const std::string& FakeStorage::address() const { return address_; }
const FakeStorage::Options& FakeStorage::options() const {
  return state_->options;
}

void FakeStorage::Kill() {
  if (server_ == nullptr) return;
  {
    MutexLock lock(&state_->mu);
    state_->killed = true;
    state_->changed.SignalAll();
  }
  server_->server->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

void FakeStorage::Restart() {
  CAIRN_CHECK(server_ == nullptr);
  {
    MutexLock lock(&state_->mu);
    state_->killed = false;
  }
  server_ = std::make_unique<Server>(state_.get());
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&server_->files);
  builder.RegisterService(&server_->batches);
  builder.RegisterService(&server_->nodes);
  builder.SetMaxReceiveMessageSize(5 << 20);
  server_->server = builder.BuildAndStart();
  CAIRN_CHECK(server_->server != nullptr && port != 0);
  address_ = absl::StrCat("127.0.0.1:", port);
}

size_t FakeStorage::files() const {
  MutexLock lock(&state_->mu);
  return static_cast<size_t>(
      std::count_if(state_->files.begin(), state_->files.end(),
                    [](const auto& file) { return !file.second.deleted; }));
}

std::string FakeStorage::ContentOf(absl::string_view file_id) const {
  MutexLock lock(&state_->mu);
  const auto found = state_->files.find(std::string(file_id));
  return found == state_->files.end() ? "" : found->second.content;
}

bool FakeStorage::Has(absl::string_view file_id) const {
  MutexLock lock(&state_->mu);
  const auto found = state_->files.find(std::string(file_id));
  return found != state_->files.end() && !found->second.deleted;
}

void FakeStorage::IgnoreDerivedInBatches() {
  MutexLock lock(&state_->mu);
  state_->derived_in_batches = false;
}

std::string FakeStorage::Add(absl::string_view content) {
  bool replayed;
  return state_->Store(content, "", "", &replayed).file_id();
}

void FakeStorage::CopyFilesFrom(const FakeStorage& other) {
  std::map<std::string, State::File> files;
  {
    MutexLock lock(&other.state_->mu);
    files = other.state_->files;
  }
  MutexLock lock(&state_->mu);
  for (auto& file : files) state_->files.insert(std::move(file));
}

void FakeStorage::Damage(absl::string_view file_id) {
  MutexLock lock(&state_->mu);
  state_->files.at(std::string(file_id)).content[0] ^= 1;
}

int FakeStorage::operations() const {
  MutexLock lock(&state_->mu);
  return state_->operations;
}
int FakeStorage::stores() const {
  MutexLock lock(&state_->mu);
  return state_->stores;
}
int FakeStorage::attribute_changes() const {
  MutexLock lock(&state_->mu);
  return state_->attribute_changes;
}
int FakeStorage::downloads() const {
  MutexLock lock(&state_->mu);
  return state_->downloads;
}
int FakeStorage::uploads() const {
  MutexLock lock(&state_->mu);
  return state_->uploads;
}
int FakeStorage::batch_streams() const {
  MutexLock lock(&state_->mu);
  return state_->batch_streams;
}
std::vector<size_t> FakeStorage::batch_message_items() const {
  MutexLock lock(&state_->mu);
  return state_->message_items;
}
std::vector<int64_t> FakeStorage::download_offsets() const {
  MutexLock lock(&state_->mu);
  return state_->offsets;
}

void FakeStorage::FailNext(int times, const absl::Status& status) {
  MutexLock lock(&state_->mu);
  state_->fail_times = times;
  state_->fail_status = status;
}
void FakeStorage::LoseAnswers(int times) {
  MutexLock lock(&state_->mu);
  state_->lose_answers = times;
}
void FakeStorage::CorruptReads(int times) {
  MutexLock lock(&state_->mu);
  state_->corrupt_reads = times;
}
void FakeStorage::CorruptPutAnswers(int times) {
  MutexLock lock(&state_->mu);
  state_->corrupt_put_answers = times;
}
void FakeStorage::CorruptArrivals(int times) {
  MutexLock lock(&state_->mu);
  state_->corrupt_arrivals = times;
}
void FakeStorage::CutDownloads(int times, int64_t after_bytes) {
  MutexLock lock(&state_->mu);
  state_->cut_downloads = times;
  state_->cut_downloads_after = after_bytes;
}
void FakeStorage::CutUploads(int times, int64_t after_bytes) {
  MutexLock lock(&state_->mu);
  state_->cut_uploads = times;
  state_->cut_uploads_after = after_bytes;
}
void FakeStorage::StallDownloads(int times, int64_t after_bytes) {
  MutexLock lock(&state_->mu);
  state_->stall_downloads = times;
  state_->stall_downloads_after = after_bytes;
}
void FakeStorage::Hold() {
  MutexLock lock(&state_->mu);
  state_->held = true;
}
void FakeStorage::Release() {
  MutexLock lock(&state_->mu);
  state_->held = false;
  state_->changed.SignalAll();
}
void FakeStorage::AwaitItems(int items) {
  MutexLock lock(&state_->mu);
  while (state_->batch_items < items) state_->changed.Wait(&state_->mu);
}

}  // namespace client
}  // namespace cairn
