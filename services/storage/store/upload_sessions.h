// Uploads that outlive a process, on a store path. See UploadSessions in
// services/storage/core/upload_sessions.h.
//
//   uploads/…13.seg   the content, each block at its place
//   uploads/…13.upl   its journal: which blocks are durable, with their CRCs
//
// A block is named in the journal only after the segment was synced, and counts
// as durable when the journal was synced behind it. What is finished goes the
// way of every large upload: trailer, sync, segments/, a FILE record. Until
// that record is written the journal stays, so that a crash on the way leaves
// the upload as it was. Format: docs/formats/upload.md.

#ifndef CAIRN_SERVICES_STORAGE_STORE_UPLOAD_SESSIONS_H_
#define CAIRN_SERVICES_STORAGE_STORE_UPLOAD_SESSIONS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "services/storage/core/upload_sessions.h"
#include "services/storage/store/upload.h"

namespace cairn {
namespace storage {

struct SegmentUploadSessionsOptions {
  absl::Duration lifetime;  // Without a write.
  int64_t open_max = 0;
  int64_t open_bytes_max = 0;
};

class SegmentUploadSessions : public UploadSessions {
 public:
  SegmentUploadSessions(const UploadParts& parts,
                        const SegmentUploadSessionsOptions& options);
  ~SegmentUploadSessions() override;

  // Takes up what earlier processes left in uploads/, by its segments' numbers.
  // What has no journal that can be read is removed. `suspect`: a sync has
  // failed, so what the journals say need not be on the disk, and is written
  // again. Once, before all else.
  //   FAILED_PRECONDITION  a journal's format is newer than this program.
  //   UNAVAILABLE          the disk refused.
  absl::Status Load(const std::vector<uint64_t>& numbers, bool suspect)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Removes what nobody has written to for too long. For the background thread.
  void Expire() ABSL_LOCKS_EXCLUDED(mu_);

  // From here on every call answers SHUTTING_DOWN.
  void Stop() { stopped_.store(true, std::memory_order_relaxed); }

  // Sessions, and the bytes that they take or have claimed.
  int64_t open() const ABSL_LOCKS_EXCLUDED(mu_);
  int64_t open_bytes() const {
    return open_bytes_.load(std::memory_order_relaxed);
  }

  absl::Status Create(const Uuid& id, const UploadSessionSpec& spec) override
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::unique_ptr<UploadPart>> OpenPart(
      const Uuid& id, int64_t offset, absl::optional<int64_t> length) override
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<UploadSessionInfo> Query(const Uuid& id) override
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<UploadSessionInfo> List() override ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::unique_ptr<CompleteUpload>> OpenFinish(
      const Uuid& id, absl::optional<uint32_t> crc32c) override
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Abort(const Uuid& id) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Session;
  class Part;
  class Complete;

  absl::Status ShuttingDown() const;
  absl::StatusOr<std::shared_ptr<Session>> Find(const Uuid& id) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // Takes `bytes` more of what may be open.
  absl::Status Charge(int64_t bytes);

  // Makes its files, durably.
  absl::Status MakeFiles(Session* session);

  // Takes one up; null if there is none that is whole.
  absl::StatusOr<std::shared_ptr<Session>> LoadOne(uint64_t number,
                                                   bool suspect);

  // Makes durable what was written, and the journal say so.
  absl::Status Save(Session* session);
  absl::Status Record(Session* session, const std::vector<uint64_t>& blocks);

  UploadSessionInfo Describe(const Session& session) const;

  // Ends it: nobody finds it any more, and its files are removed. `segment`:
  // the one in uploads/, too.
  void Remove(const std::shared_ptr<Session>& session, bool segment)
      ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveFiles(uint64_t number, bool segment);

  // On the committer's thread.
  void OnCommitted(const std::shared_ptr<Session>& session, bool small,
                   const absl::StatusOr<Committed>& committed);

  // What a failed write or sync means for the path and for the caller.
  absl::Status WriteFailed(const absl::Status& status);
  absl::Status SyncFailed(const absl::Status& status);

  const UploadParts parts_;
  const SegmentUploadSessionsOptions options_;
  std::atomic<bool> stopped_{false};
  std::atomic<int64_t> open_bytes_{0};

  mutable Mutex mu_;
  std::map<Uuid, std::shared_ptr<Session>> sessions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_UPLOAD_SESSIONS_H_
