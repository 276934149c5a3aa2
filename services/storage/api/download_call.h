// One Download: a file on its way from a store path to a client.
//
//   open ─▶ info ─▶ ┌ read a chunk (inline if it is in memory, else on io()) ┐
//                   └ write it; the next is read meanwhile                   ┘
//
// At most kReadAhead chunks are read and not yet written to the connection, so
// a slow client holds that much of the byte budget and no more.

#ifndef CAIRN_SERVICES_STORAGE_API_DOWNLOAD_CALL_H_
#define CAIRN_SERVICES_STORAGE_API_DOWNLOAD_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "services/storage/api/call_context.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// What is to be sent.
struct DownloadTarget {
  std::shared_ptr<StorePath> path;
  uint8_t store_path = 0;  // Its index.
  std::string name;
  absl::optional<Version> version;  // Any, if it is unset.

  // With `version`: a later one that begins with it will do.
  absl::optional<FileState> state;
  int64_t offset = 0;
  absl::optional<int64_t> length;
  int64_t chunk_bytes = 0;  // At least 1.
  bool with_attributes = false;
  bool is_fetch = false;   // A member asks: FetchResponse.
  bool info_only = false;  // With `is_fetch`: no content, which may be missing.
};

// From a serialised DownloadRequest. Errors as of FileService.Download.
absl::StatusOr<DownloadTarget> ParseDownloadRequest(
    const StorageNode& node, const grpc::ByteBuffer& request);

// Made by new; deletes itself when gRPC and all that it started are done.
class DownloadCall : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // Begins at once, or ends at once with the error. `metrics` is borrowed.
  DownloadCall(const CallContext& context, rpc::MethodMetrics* metrics,
               absl::StatusOr<DownloadTarget> target);

  DownloadCall(const DownloadCall&) = delete;
  DownloadCall& operator=(const DownloadCall&) = delete;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  static constexpr size_t kReadAhead = 2;

  // A message that waits to be written, and its share of the budget.
  struct Ready {
    grpc::ByteBuffer message;
    int64_t budget_bytes = 0;
  };

  ~DownloadCall() override;

  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref();

  absl::Status Begin(absl::StatusOr<DownloadTarget> target);

  // Takes the open file and makes the first message. Does not Pump().
  void Opened(absl::StatusOr<std::unique_ptr<OpenFile>> file)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status SendInfo() ABSL_LOCKS_EXCLUDED(mu_);

  // Of `info_only`, all that is sent. Blocks; does not Pump().
  absl::Status SendKnown() ABSL_LOCKS_EXCLUDED(mu_);
  void SendFirst(grpc::ByteBuffer message) ABSL_LOCKS_EXCLUDED(mu_);

  // Does whatever can be done now: writes, reads, ends.
  void Pump() ABSL_LOCKS_EXCLUDED(mu_);

  // Reads the next chunk; called by whoever has set `reading_`. What is in
  // memory is there when it returns; else Pump() is called when it is.
  void Read() ABSL_LOCKS_EXCLUDED(mu_);
  void ReadWithBudget(int64_t length) ABSL_LOCKS_EXCLUDED(mu_);
  void HaveRead(int64_t length, const absl::StatusOr<absl::Cord>& data)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Where the chunk that begins at `next_` ends: at a multiple of the chunk
  // size in the file, so that each block is read and checked once.
  int64_t ChunkEnd() const;

  // Nothing more is read; what is ready is still written.
  void Stop(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const CallContext context_;
  rpc::MethodMetrics* const metrics_;
  const absl::Duration begin_;
  std::atomic<int> refs_{1};  // gRPC's, until OnDone().

  // --- Set before the first chunk.
  DownloadTarget target_;
  std::unique_ptr<OpenFile> file_;
  int64_t end_ = 0;

  // The reader's: whoever holds `reading_`.
  int64_t next_ = 0;  // Where the next chunk begins.

  Ready writing_message_;  // While `writing_`.

  Mutex mu_;
  std::deque<Ready> ready_ ABSL_GUARDED_BY(mu_);
  bool opened_ ABSL_GUARDED_BY(mu_) = false;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool read_all_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);  // What the call ends with.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_DOWNLOAD_CALL_H_
