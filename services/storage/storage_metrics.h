// What a storage node counts beside its calls: its store paths, the byte budget
// and how it stands with the trackers.

#ifndef CAIRN_SERVICES_STORAGE_STORAGE_METRICS_H_
#define CAIRN_SERVICES_STORAGE_STORAGE_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "lib/metrics/metrics.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/item_observer.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upkeep.h"
#include "services/storage/store/engine_metrics.h"

namespace cairn {
namespace storage {

// Of one store path: what the engine tells as it happens, and what it is asked
// for at every scrape. Thread-safe.
class StorePathMetrics : public EngineObserver {
 public:
  StorePathMetrics(MetricsRegistry* registry, int index);

  void OnCommit(int64_t entries, int64_t journal_bytes,
                absl::Duration duration) override;
  void OnSync(absl::Duration duration) override;
  void OnCheckpoint(absl::Duration pause) override;

  // Called by one thread at a time. The first for a path that is offline.
  void SetOffline();
  void Set(const EngineNumbers& numbers, const StorePathStatus& status);

 private:
  Histogram* const commit_entries_;
  Histogram* const commit_bytes_;
  Histogram* const commit_seconds_;
  Histogram* const sync_seconds_;
  Histogram* const checkpoint_seconds_;
  Gauge* const writable_;
  Gauge* const read_only_by_configuration_;
  Gauge* const readable_;
  Gauge* const total_bytes_;
  Gauge* const free_bytes_;
  std::vector<Gauge*> gauges_;      // In the order of the tables in the .cc.
  std::vector<Counter*> counters_;  // The same.
  std::vector<uint64_t> last_;      // What each counter was at the last Set().
};

// What was found damaged or missing, and mended, over all store paths.
class UpkeepMetrics {
 public:
  explicit UpkeepMetrics(MetricsRegistry* registry);

  // Asks for each path. Called by one thread at a time.
  void Set(const std::function<UpkeepProgress(size_t)>& progress_of,
           size_t paths);

 private:
  std::vector<Gauge*> gauges_;      // In the order of the tables in the .cc.
  std::vector<Counter*> counters_;  // The same.
  std::vector<int64_t> last_;       // What each counter was at the last Set().
};

// Counts the operations of batches. Thread-safe.
class BatchItemMetrics : public ItemObserver {
 public:
  // `metrics` is borrowed.
  explicit BatchItemMetrics(ApiMetrics* metrics) : metrics_(metrics) {}

  void ItemAnswered(rpc::BatchOperation operation, const absl::Status& outcome,
                    absl::Duration took, int64_t bytes_in,
                    int64_t bytes_out) override;

 private:
  ApiMetrics* const metrics_;
};

// `budget` is looked at whenever somebody scrapes, until the id that this
// returns is removed from the registry.
uint64_t AddBudgetMetrics(const ByteBudget* budget, MetricsRegistry* registry);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORAGE_METRICS_H_
