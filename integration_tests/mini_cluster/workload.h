// Many callers that put, read and delete on one storage node until it is killed
// under them or they are told to stop. Every intent and every answer goes to
// the oracle; everything that is read is compared.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_WORKLOAD_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_WORKLOAD_H_

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace testing {

struct WorkloadOptions {
  int callers = 8;
  uint64_t seed = 1;

  // Sizes of small files are drawn up to this, small ones more often.
  int64_t small_bytes_max = 64 << 10;

  // One put in so many is a large file, of up to `large_bytes_max`. 0: none.
  int large_one_in = 20;
  int64_t large_bytes_max = 3 << 20;

  // One operation in so many deletes a file of this run. 0: none.
  int delete_one_in = 6;

  // Whether puts ask for SYNCED, CACHED or either at random.
  enum class Level { kCached, kSynced, kEither } level = Level::kEither;
};

// Construct, Start(), then Stop() before it is destroyed.
class Workload {
 public:
  // `oracle` is borrowed. `address` is the node's.
  Workload(WorkloadOptions options, std::string address, Oracle* oracle);
  ~Workload();

  void Start();

  // Waits until so many changes were acknowledged since Start(), or until every
  // caller has given up.
  void AwaitAcknowledged(int64_t changes) ABSL_LOCKS_EXCLUDED(mu_);

  // The same for puts that were refused because there was no room.
  void AwaitRefused(int64_t puts) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for calls that are under way. OK if all that happened is what may
  // happen to a caller whose server is killed; else the first thing that may
  // not (content that differs, an error that blames the caller, …).
  absl::Status Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Caller;
  struct OwnFile {
    std::string file_id;
    uint64_t content_seed = 0;
    int64_t size_bytes = 0;
  };

  void Run(int index);

  // Each does one thing. False once the server does not answer any more.
  bool Put(Caller* caller);
  bool PutBatch(Caller* caller);
  bool Read(Caller* caller);
  bool Delete(Caller* caller);

  // Books the answer to a put. False if the server is gone.
  bool Book(Caller* caller, const Uuid& request, OwnFile file,
            const absl::StatusOr<StoredFile>& answer);
  bool Synced(Caller* caller);
  int64_t DrawSmallSize(Caller* caller);
  void CountAcknowledged() ABSL_LOCKS_EXCLUDED(mu_);
  void Violation(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);

  const WorkloadOptions options_;
  Oracle* const oracle_;
  StorageStub stub_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;

  mutable Mutex mu_;
  CondVar changed_;
  int64_t acknowledged_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t refused_ ABSL_GUARDED_BY(mu_) = 0;
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status violation_ ABSL_GUARDED_BY(mu_);
};

// What Verify() found.
struct Verified {
  int64_t read_back = 0;     // Acknowledged files, compared byte for byte.
  int64_t gone = 0;          // Deleted files that are not there.
  int64_t unanswered = 0;    // Puts without an answer, settled by repetition.
  int64_t had_survived = 0;  // Of those, the ones that were already stored.
};

// Compares the node with what the oracle says must be true, and settles what is
// open by repeating it with its request id:
//
//   stored, not deleted   there, byte for byte
//   deleted               NOT_FOUND
//   delete unanswered     wholly there or gone; a repetition deletes it
//   put unanswered        at most one file of it; a repetition gives one, and
//                         another gives the same one
//
// and the node's count of files agrees before and after. Nothing else may
// change the node meanwhile. Afterwards the oracle knows every answer.
absl::StatusOr<Verified> Verify(Oracle* oracle, const std::string& address);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_WORKLOAD_H_
