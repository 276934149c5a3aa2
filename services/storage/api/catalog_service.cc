#include "services/storage/api/catalog_service.h"

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/wire.h"
#include "services/storage/api/convert.h"

namespace cairn {
namespace storage {
namespace {

constexpr absl::string_view kService = "cairn.storage.v1.CatalogService";

}  // namespace

CatalogMetrics::CatalogMetrics(MetricsRegistry* registry)
    : list(registry, "CatalogService.ListFiles"),
      watch(registry, "CatalogService.WatchFiles") {}

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

}  // namespace storage
}  // namespace cairn
