// A file on its way into a dedicated segment. See Upload in
// services/storage/core/store_path.h.
//
// Nothing is created before there is more than fits into a record of the
// journal: what turns out to be small is committed like a Put.

#ifndef CAIRN_SERVICES_STORAGE_STORE_UPLOAD_H_
#define CAIRN_SERVICES_STORAGE_STORE_UPLOAD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "lib/base/clock.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/committer.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/path_health.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/segment_set.h"

namespace cairn {
namespace storage {

// What uploads work with. All borrowed; `observer` may be null.
struct UploadParts {
  SegmentSet* segments = nullptr;
  PathState* state = nullptr;
  PathHealth* health = nullptr;
  Committer* committer = nullptr;
  Clock* clock = nullptr;
  EngineObserver* observer = nullptr;
  std::atomic<uint64_t>* dedicated_bytes = nullptr;
  int64_t small_file_bytes_max = 0;
};

class SegmentUpload : public Upload {
 public:
  explicit SegmentUpload(const UploadParts& parts);
  ~SegmentUpload() override;

  absl::Status Write(const absl::Cord& data) override;
  int64_t size_bytes() const override { return size_bytes_; }
  uint32_t crc32c() const override;
  void Finish(FinishRequest request, CommitDone done) override;
  void FinishReplica(ReplicatedChange change, CommitDone done) override;

  // Ends it as one piece in place of those of `request.splice.from`, durably;
  // `request` is a kMerge without the new piece. Blocks.
  void FinishMerge(CommitRequest request, CommitDone done);

 private:
  // Adds what was written to `request`, whose durability is set, and hands it
  // over; as a record of kind `small` if there is no segment, else `large`.
  void Submit(CommitRequest request, CommitRequest::Kind small,
              CommitRequest::Kind large, CommitDone done);
  absl::Status Spill();
  absl::Status WriteToSegment(const absl::Cord& data);
  void AddToCrcs(const absl::Cord& data);
  absl::Status FinishSegment(Durability durability);
  absl::Status Failed(const absl::Status& status);
  void Abandon();

  const UploadParts parts_;
  const int64_t buffer_bytes_max_;

  int64_t size_bytes_ = 0;
  std::vector<uint32_t> block_crcs_;  // Of whole blocks.
  uint32_t whole_blocks_crc_ = 0;     // Of all whole blocks together.
  uint32_t open_block_crc_ = 0;       // Of the block that is not full.

  absl::Cord buffer_;  // Until there is a segment.
  uint64_t number_ = 0;
  std::shared_ptr<File> file_;
  int64_t written_back_ = 0;  // Content bytes that the disk was told to start.
  bool handed_over_ = false;  // The committer, or its callback, owns the file.
  absl::Status failed_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_UPLOAD_H_
