// BatchService of proto/cairn/storage/v1: many small operations over a stream.

#ifndef CAIRN_SERVICES_STORAGE_API_BATCH_SERVICE_H_
#define CAIRN_SERVICES_STORAGE_API_BATCH_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "cairn/storage/v1/batch_service.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "services/storage/api/item_observer.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/storage_node.h"

namespace cairn {
namespace storage {

struct BatchServiceOptions {
  // Items of a stream that wait for the disk at once; more are not looked at
  // until some are answered.
  int items_in_progress_max = 4096;

  // Bytes of answers that wait for a slow client before no more are made.
  int64_t answer_bytes_max = 8 << 20;

  // As CallContext::default_dedup.
  bool default_dedup = false;
};

// The streams that there are. Thread-safe.
class BatchStreams {
 public:
  // A stream that can be told to end. It stays at least until EndStop() is
  // called.
  class Stream {
   public:
    virtual ~Stream() = default;

    // Reads no more. Called with a lock held: quick.
    virtual void BeginStop() = 0;

    // Ends with SHUTTING_DOWN once what it has begun is answered.
    virtual void EndStop() = 0;
  };

  // False if the service has stopped: the stream ends itself.
  bool Add(Stream* stream) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(Stream* stream) ABSL_LOCKS_EXCLUDED(mu_);
  void StopAll() ABSL_LOCKS_EXCLUDED(mu_);
  size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable Mutex mu_;  // Before a stream's.
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<Stream*> streams_ ABSL_GUARDED_BY(mu_);
};

// What every stream of the service uses; all borrowed.
struct BatchContext {
  StorageNode* node = nullptr;
  ByteBudget* budget = nullptr;
  const ReplicaGate* replicas = nullptr;
  Clock* clock = nullptr;
  Executor* executor = nullptr;
  ItemObserver* observer = nullptr;  // May be null.
  BatchServiceOptions options;
  std::vector<std::string> id_prefixes;  // Of each path: `group1/M00/`.
  BatchStreams* streams = nullptr;
};

class BatchServiceImpl : public v1::BatchService::WithRawCallbackMethod_Run<
                             v1::BatchService::Service> {
 public:
  // All borrowed for the service's life; `observer` may be null. The node has
  // all its paths. Streams that had to wait go on, on `executor`.
  BatchServiceImpl(StorageNode* node, ByteBudget* budget,
                   const ReplicaGate* replicas, Clock* clock,
                   Executor* executor, ItemObserver* observer,
                   BatchServiceOptions options);

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Run(
      grpc::CallbackServerContext* context) override;

  // Lets every stream end once what it has begun is answered, and refuses new
  // ones. Returns at once; see streams().
  void Stop() { streams_.StopAll(); }

  // How many there are.
  size_t streams() const { return streams_.size(); }

 private:
  BatchStreams streams_;
  BatchContext context_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_BATCH_SERVICE_H_
