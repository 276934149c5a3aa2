// The streams of CatalogService: files as they are, and what becomes of them.

#ifndef CAIRN_SERVICES_STORAGE_API_CATALOG_STREAMS_H_
#define CAIRN_SERVICES_STORAGE_API_CATALOG_STREAMS_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/catalog_service.pb.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/produced_stream.h"
#include "services/storage/core/catalog_token.h"
#include "services/storage/core/change_feed.h"
#include "services/storage/core/file_filter.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// One store path that is listed or watched.
struct CatalogPath {
  uint8_t index = 0;
  std::shared_ptr<StorePath> path;   // Without what it passes on.
  Replicator* replicator = nullptr;  // Borrowed.
};

// What was admitted.
struct CatalogCall {
  std::vector<CatalogPath> paths;  // In their order; at least one.

  // Whether the caller may still call; any thread, does not block.
  std::function<absl::Status()> still_allowed;
};

class ListStream : public ProducedStream {
 public:
  ListStream(const CallContext& context, rpc::MethodMetrics* metrics,
             absl::StatusOr<CatalogCall> call,
             const v1::ListFilesRequest& request);

 private:
  class Visitor;

  absl::Status Prepare(const v1::ListFilesRequest& request);
  absl::Status CheckAllowed() override { return call_->still_allowed(); }
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;

  const absl::StatusOr<CatalogCall> call_;
  absl::optional<FileFilter> filter_;  // None if the call was refused.
  bool include_attributes_ = false;
  absl::optional<uint64_t> left_;  // Files that may still be sent.
  size_t at_ = 0;                  // Of the paths.
  FileRange range_;                // What is left of it.
  std::string watch_token_;        // Until it is sent.
};

class WatchStream : public ProducedStream {
 public:
  WatchStream(const CallContext& context, rpc::MethodMetrics* metrics,
              absl::StatusOr<CatalogCall> call,
              const v1::WatchFilesRequest& request);

 private:
  // Of one path.
  struct Feed : public LogTail {
    Feed(WatchStream* stream, ChangeFeed feed)
        : stream(stream), changes(std::move(feed)) {}
    void OnGrown() override { stream->Wake(); }
    void OnHeartbeat() override { stream->Wake(); }

    WatchStream* const stream;
    ChangeFeed changes;
  };

  absl::Status Prepare(const v1::WatchFilesRequest& request);
  absl::Status CheckAllowed() override { return call_->still_allowed(); }
  absl::StatusOr<absl::optional<grpc::ByteBuffer>> Produce() override;
  void Ended() override;
  std::string Token() const;

  const absl::StatusOr<CatalogCall> call_;
  bool include_attributes_ = false;
  bool until_now_ = false;
  WatchToken from_;  // What paths that are not watched had.
  std::vector<std::unique_ptr<Feed>> feeds_;  // As call_->paths.
  size_t at_ = 0;                             // Of the feeds.
  size_t idle_ = 0;  // Feeds in a row that had nothing.
  absl::Duration said_ = -absl::InfiniteDuration();  // When something was.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_CATALOG_STREAMS_H_
