// What servers were asked and what they answered, kept in a file outside of
// them: a line before each call and a line after it. Whatever happens to the
// servers, and to the process that asks, the file says what must be true.
//
//   put 6f1c… 4096 17 synced 2 best     about to store 4096 bytes made from
//                                       seed 17, at 2 members if they are up
//   stored 6f1c… group1/M00/… 2         acknowledged under this ID, by so many
//   refused 6f1c…                       the server said that it stored nothing
//   delete 90aa… group1/M00/…           about to delete
//   deleted 90aa… 1                     the server acknowledged that
//   # kill -9                           for people
//
// Lines are numbered, so that what happened can be told apart from what came
// before and after it.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_ORACLE_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_ORACLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace testing {

// Bytes that `seed` and `size` fix.
std::string ContentOf(uint64_t seed, int64_t size);

// A file that was to be stored.
struct ExpectedFile {
  enum class Put { kUnanswered, kStored };
  enum class Deletion { kNone, kUnanswered, kDeleted };

  Uuid put_request;
  int64_t size_bytes = 0;
  uint64_t content_seed = 0;
  bool synced = false;
  uint32_t replicas_wanted = 0;    // 0: the group's default.
  bool replicas_required = false;  // Else as many as are up.
  Put put = Put::kUnanswered;
  std::string file_id;    // If kStored.
  uint32_t replicas = 0;  // If kStored: members that have it.
  int64_t put_line = 0;   // Of the intent.
  int64_t stored_line = 0;
  Deletion deletion = Deletion::kNone;
  Uuid delete_request;           // If deletion is not kNone.
  uint32_t delete_replicas = 0;  // If kDeleted.
  int64_t delete_line = 0;       // Of the intent.
  int64_t deleted_line = 0;

  std::string Content() const { return ContentOf(content_seed, size_bytes); }
};

// Thread-safe. A line is in the file when the call that writes it returns.
class Oracle {
 public:
  // Goes on with the file if there is one.
  //   DATA_LOSS  a line of it makes no sense.
  static absl::StatusOr<std::unique_ptr<Oracle>> Open(const std::string& path);

  ~Oracle();

  Oracle(const Oracle&) = delete;
  Oracle& operator=(const Oracle&) = delete;

  // Returns the request id to use.
  Uuid BeginPut(int64_t size_bytes, uint64_t content_seed, bool synced,
                uint32_t replicas_wanted = 0, bool replicas_required = false)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Stored(const Uuid& put_request, absl::string_view file_id,
              uint32_t replicas = 1) ABSL_LOCKS_EXCLUDED(mu_);
  // Only for an answer that promises that nothing was stored.
  void Refused(const Uuid& put_request) ABSL_LOCKS_EXCLUDED(mu_);

  // `file_id` must have been stored. Returns the request id to use.
  Uuid BeginDelete(absl::string_view file_id) ABSL_LOCKS_EXCLUDED(mu_);
  void Deleted(const Uuid& delete_request, uint32_t replicas = 1)
      ABSL_LOCKS_EXCLUDED(mu_);

  void Remark(absl::string_view text) ABSL_LOCKS_EXCLUDED(mu_);

  // Everything that was to be stored and was not refused, oldest first.
  std::vector<ExpectedFile> Files() const ABSL_LOCKS_EXCLUDED(mu_);

  // Lines so far.
  int64_t lines() const ABSL_LOCKS_EXCLUDED(mu_);

  // Stored, and no deletion was begun.
  int64_t live() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Oracle(int fd, std::string path);

  absl::Status Replay(absl::string_view content) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Apply(absl::string_view line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Appends the line to the file and applies it.
  void Record(const std::string& line) ABSL_LOCKS_EXCLUDED(mu_);

  const int fd_;
  const std::string path_;

  mutable Mutex mu_;
  std::map<uint64_t, ExpectedFile> files_ ABSL_GUARDED_BY(mu_);
  uint64_t next_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t lines_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<Uuid, uint64_t> by_request_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t> by_id_ ABSL_GUARDED_BY(mu_);
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_ORACLE_H_
