#include "services/storage/api/catalog_service.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/wire.h"
#include "services/storage/api/convert.h"
#include "services/storage/api/unary_end.h"
#include "services/storage/api/upload_status.h"
#include "services/storage/core/upload_id.h"
#include "services/storage/core/upload_sessions.h"

namespace cairn {
namespace storage {
namespace {

constexpr absl::string_view kService = "cairn.storage.v1.CatalogService";

}  // namespace

CatalogMetrics::CatalogMetrics(MetricsRegistry* registry)
    : list(registry, "CatalogService.ListFiles"),
      watch(registry, "CatalogService.WatchFiles"),
      list_uploads(registry, "CatalogService.ListUploads") {}

absl::StatusOr<CatalogCall> CatalogServiceImpl::Admit(
    grpc::CallbackServerContext* context, absl::string_view method,
    absl::optional<uint32_t> store_path) {
  CAIRN_RETURN_IF_ERROR(context_.CheckServing());
  CAIRN_ASSIGN_OR_RETURN(
      const std::string caller,
      auth_->Check(*context, absl::StrCat("/", kService, "/", method)));
  CAIRN_RETURN_IF_ERROR(check_member_(caller));
  CatalogCall call;
  call.still_allowed = [this, caller] { return check_member_(caller); };
  const uint32_t first = store_path.value_or(0);
  const size_t end =
      store_path.has_value() ? size_t{first} + 1 : context_.node->path_count();
  for (size_t i = first; i < end; ++i) {
    CatalogPath path;
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<StorePath> found,
                           context_.node->Path(static_cast<uint32_t>(i)));
    path.index = static_cast<uint8_t>(i);
    path.path = std::shared_ptr<StorePath>(found, found->local());
    path.replicator = replicator_of_(path.index);
    call.paths.push_back(std::move(path));
  }
  return call;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* CatalogServiceImpl::ListFiles(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  v1::ListFilesRequest request;
  absl::StatusOr<CatalogCall> call =
      InvalidField("request", "the bytes are no ListFilesRequest message");
  if (rpc::FromByteBuffer(*buffer, &request)) {
    call = Admit(context, "ListFiles",
                 request.has_store_path()
                     ? absl::make_optional(request.store_path())
                     : absl::nullopt);
  }
  return new ListStream(context_, &metrics_->list, std::move(call), request);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* CatalogServiceImpl::WatchFiles(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* buffer) {
  v1::WatchFilesRequest request;
  absl::StatusOr<CatalogCall> call =
      InvalidField("request", "the bytes are no WatchFilesRequest message");
  if (rpc::FromByteBuffer(*buffer, &request)) {
    call = Admit(context, "WatchFiles",
                 request.has_store_path()
                     ? absl::make_optional(request.store_path())
                     : absl::nullopt);
  }
  return new WatchStream(context_, &metrics_->watch, std::move(call), request);
}

grpc::ServerUnaryReactor* CatalogServiceImpl::ListUploads(
    grpc::CallbackServerContext* context, const v1::ListUploadsRequest* request,
    v1::ListUploadsResponse* response) {
  const UnaryEnd end = BeginUnary(context_, context, &metrics_->list_uploads);
  const auto list = [&]() -> absl::Status {
    CAIRN_ASSIGN_OR_RETURN(
        const CatalogCall call,
        Admit(context, "ListUploads",
              request->has_store_path()
                  ? absl::make_optional(request->store_path())
                  : absl::nullopt));
    std::vector<std::pair<UploadId, UploadSessionInfo>> uploads;
    for (const CatalogPath& path : call.paths) {
      UploadSessions* const sessions = path.path->uploads();
      if (sessions == nullptr) continue;
      for (UploadSessionInfo& info : sessions->List()) {
        UploadId id;
        id.node_number = context_.node->identity().node_number;
        id.store_path = path.index;
        id.secret = info.id;
        uploads.emplace_back(id, std::move(info));
      }
    }
    std::stable_sort(uploads.begin(), uploads.end(),
                     [](const auto& a, const auto& b) {
                       return a.second.create_time < b.second.create_time;
                     });
    for (const auto& [id, info] : uploads) {
      ToProto(id, info, response->add_uploads());
    }
    return absl::OkStatus();
  };
  end(list());
  return end.reactor;
}

}  // namespace storage
}  // namespace cairn
