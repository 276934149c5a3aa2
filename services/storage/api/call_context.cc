#include "services/storage/api/call_context.h"

#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {

ApiMetrics::ApiMetrics(MetricsRegistry* registry)
    : upload(registry, "FileService.Upload"),
      download(registry, "FileService.Download"),
      stat(registry, "FileService.Stat"),
      remove(registry, "FileService.Delete"),
      undelete(registry, "FileService.Undelete"),
      get_attributes(registry, "FileService.GetAttributes"),
      set_attributes(registry, "FileService.SetAttributes"),
      set_expiry(registry, "FileService.SetExpiry"),
      list_derived(registry, "FileService.ListDerived"),
      copy(registry, "FileService.Copy"),
      create_appender(registry, "AppenderService.CreateAppender"),
      append(registry, "AppenderService.Append"),
      modify(registry, "AppenderService.Modify"),
      truncate(registry, "AppenderService.Truncate"),
      seal(registry, "AppenderService.Seal"),
      batch_stream(registry, "BatchService.Run"),
      batch_put(registry, "BatchService.Run/put"),
      batch_get(registry, "BatchService.Run/get"),
      batch_stat(registry, "BatchService.Run/stat"),
      batch_delete(registry, "BatchService.Run/delete"),
      upload_create(registry, "UploadService.CreateUpload"),
      upload_write(registry, "UploadService.WriteUpload"),
      upload_query(registry, "UploadService.QueryUpload"),
      upload_finish(registry, "UploadService.FinishUpload"),
      upload_abort(registry, "UploadService.AbortUpload"),
      batch_set_attributes(registry, "BatchService.Run/set_attributes"),
      batch_append(registry, "BatchService.Run/append"),
      received_bytes(registry->AddCounter(
          "cairn_storage_received_bytes_total",
          "Content received from clients. Its rate is the write throughput.")),
      sent_bytes(registry->AddCounter(
          "cairn_storage_sent_bytes_total",
          "Content sent to clients. Its rate is the read throughput.")) {}

absl::Status CallContext::CheckServing() const {
  if (stopping == nullptr || !stopping->load(std::memory_order_relaxed)) {
    return absl::OkStatus();
  }
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kShuttingDown,
                         "the node is stopping: ask another one, or later");
}

absl::Status CallContext::CheckNewFile(absl::string_view owner,
                                       int64_t size_bytes) const {
  return quotas == nullptr ? absl::OkStatus()
                           : quotas->Check(owner, {1, size_bytes});
}

}  // namespace storage
}  // namespace cairn
