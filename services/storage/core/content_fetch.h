// The content of one file on its way from another member, into a segment of
// its own: Fetch ─▶ chunks that wait ─▶ Upload.Write ─▶ FinishReplica.
//
// Chunks are received while others are written; a few may wait, and no more are
// asked for until there is room.
//
// What was received is kept when a stream breaks: the next one, perhaps from
// another member, goes on behind it. Thread-safe.

#ifndef CAIRN_SERVICES_STORAGE_CORE_CONTENT_FETCH_H_
#define CAIRN_SERVICES_STORAGE_CORE_CONTENT_FETCH_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

class ContentFetch : public FetchListener {
 public:
  // `file` is what is known here of the file. `wake` is called when an attempt
  // is over; on any thread, must not block.
  ContentFetch(std::shared_ptr<StorePath> path, KnownFile file,
               std::function<void()> wake);
  ~ContentFetch() override;  // No attempt is under way.

  ContentFetch(const ContentFetch&) = delete;
  ContentFetch& operator=(const ContentFetch&) = delete;

  // Begins an attempt; the one before is over.
  void Start(PeerTransport* transport, const Peer& peer, uint8_t store_path)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

  // Set when the attempt is over. OK: the content is here.
  absl::optional<absl::Status> result() const ABSL_LOCKS_EXCLUDED(mu_);

  const KnownFile& file() const { return file_; }
  int64_t received_bytes() const ABSL_LOCKS_EXCLUDED(mu_);

  void OnInfo(const FileInfo& info) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnChunk(absl::Cord data) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnEnd(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // On the path's pool, one at a time.
  void WriteWaiting() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Write(const absl::Cord& data);
  void Finish();

  void Over(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void Break(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<StorePath> path_;
  const KnownFile file_;
  const std::function<void()> wake_;

  std::unique_ptr<Upload> upload_;  // Of whoever is `writing_`, or finishes.

  mutable Mutex mu_;
  std::shared_ptr<PeerStream> stream_ ABSL_GUARDED_BY(mu_);
  int64_t received_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // That are written.
  std::deque<absl::Cord> waiting_ ABSL_GUARDED_BY(mu_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool paused_ ABSL_GUARDED_BY(mu_) = false;   // Next() is owed.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;  // WriteWaiting() was queued.
  bool stream_ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  absl::optional<absl::Status> result_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_CONTENT_FETCH_H_
