// A file on its way into a dedicated segment. See Upload in
// services/storage/core/store_path.h.
//
// Nothing is created before there is more than fits into a record of the
// journal: what turns out to be small is committed like a Put.
//
// A content that is to be shared is hashed on its way. At its end, if the path
// has the same already and it is whole, the file shares that one, and what was
// received is removed with the upload. docs/decisions/0020-dedup.md.

#ifndef CAIRN_SERVICES_STORAGE_STORE_UPLOAD_H_
#define CAIRN_SERVICES_STORAGE_STORE_UPLOAD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/executor.h"
#include "lib/checksum/sha256.h"
#include "lib/io/file_system.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/committer.h"
#include "services/storage/store/engine_metrics.h"
#include "services/storage/store/index.h"
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
  int64_t dedup_bytes_min = 0;
  Index* index = nullptr;
  Executor* io = nullptr;
};

// All that the end of an upload says, without its content.
CommitRequest RequestOf(const Upload::FinishRequest& finish);

// The dedicated segment that holds a content and is whole: all of it is read.
// 0: there is none. Blocks.
absl::StatusOr<uint64_t> FindWholeContent(const UploadParts& parts,
                                          const std::string& sha256,
                                          int64_t size_bytes, uint32_t crc32c);

// Hands `request`, a put of the content that `segment` has, to the committer.
// If that is not known to be there any more when its turn comes, `otherwise`
// runs on `parts.io` in place of `done`.
void SubmitShare(const UploadParts& parts, CommitRequest request,
                 uint64_t segment, CommitDone done,
                 absl::AnyInvocable<void()> otherwise);

class SegmentUpload : public Upload {
 public:
  explicit SegmentUpload(const UploadParts& parts);
  ~SegmentUpload() override;

  void Share() override;
  void BypassCache() override { bypass_cache_ = true; }
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

  // Ends one whose content has the hash.
  void FinishShared(const FinishRequest& finish, const std::string& sha256,
                    CommitDone done);
  absl::Status Spill();
  absl::Status WriteToSegment(const absl::Cord& data);
  void WriteBack(int64_t end);
  void AddToCrcs(const absl::Cord& data);
  absl::Status FinishSegment(Durability durability);
  absl::Status Failed(const absl::Status& status);
  void Abandon();

  const UploadParts parts_;
  int64_t buffer_bytes_max_;
  bool bypass_cache_ = false;
  absl::optional<Sha256Stream> hash_;  // If it is to be shared.

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
