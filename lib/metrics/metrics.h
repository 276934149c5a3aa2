// Counters, gauges and histograms for Prometheus.
//
//   struct FooMetrics {                       // One for each component, built
//     explicit FooMetrics(MetricsRegistry*);  // once and passed in.
//     Counter* const requests;
//   };
//
// What is counted on every request costs a few nanoseconds and no lock: each
// thread counts in a cell of its own, and a scrape adds them up. Names are
// `cairn_<service>_<thing>_<unit>`; labels come from closed sets. Every metric
// is described in docs/metrics.md, which a test compares with the registry.

#ifndef CAIRN_LIB_METRICS_METRICS_H_
#define CAIRN_LIB_METRICS_METRICS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/mutex.h"

namespace cairn {

// Pairs of a label's name and value, in the order in which they are shown.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

namespace metrics_internal {
inline constexpr size_t kCells = 8;
// The cell of the thread that calls.
size_t CellOfThread();
}  // namespace metrics_internal

// Only goes up. Thread-safe.
class Counter {
 public:
  void Add(uint64_t n = 1) {
    cells_[metrics_internal::CellOfThread()].value.fetch_add(
        n, std::memory_order_relaxed);
  }
  uint64_t Value() const;

 private:
  struct alignas(64) Cell {
    std::atomic<uint64_t> value{0};
  };
  std::array<Cell, metrics_internal::kCells> cells_;
};

// Goes up and down. Thread-safe.
class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double by);
  double Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// How values are distributed over buckets. Thread-safe.
class Histogram {
 public:
  static constexpr size_t kBucketsMax = 30;

  // Upper bounds, rising, at most kBucketsMax; one more for what is above comes
  // by itself.
  explicit Histogram(std::vector<double> bounds);

  void Observe(double value) { ObserveMany(value, 1); }
  void Observe(absl::Duration duration) {
    Observe(absl::ToDoubleSeconds(duration));
  }
  // `times` observations of the same value.
  void ObserveMany(double value, uint64_t times);

  struct Snapshot {
    std::vector<uint64_t> counts;  // Of each bucket, one more than bounds().
    uint64_t count = 0;
    double sum = 0;
  };
  Snapshot Read() const;
  const std::vector<double>& bounds() const { return bounds_; }

  // 10 µs to 10 s in steps of 1, 2, 5.
  static std::vector<double> LatencyBounds();
  // 1, 2, 4, … `count` of them.
  static std::vector<double> PowersOfTwo(size_t count);

 private:
  struct alignas(64) Cell {
    std::array<std::atomic<uint64_t>, kBucketsMax + 1> counts{};
    std::atomic<double> sum{0};
  };
  const std::vector<double> bounds_;
  std::array<Cell, metrics_internal::kCells> cells_;
};

enum class MetricType { kCounter, kGauge, kHistogram };

// What is known of a metric, whatever its labels.
struct MetricDescription {
  std::string name;
  std::string help;
  MetricType type = MetricType::kCounter;
};

// All metrics of a process. Thread-safe. What it returns lives as long as the
// registry. Adding the same name and labels again returns the first; adding a
// name with another type or help is a broken invariant.
class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();

  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  Counter* AddCounter(absl::string_view name, absl::string_view help,
                      const MetricLabels& labels = {});
  Gauge* AddGauge(absl::string_view name, absl::string_view help,
                  const MetricLabels& labels = {});
  Histogram* AddHistogram(absl::string_view name, absl::string_view help,
                          const std::vector<double>& bounds,
                          const MetricLabels& labels = {});

  // A value that is looked up when somebody scrapes. `read` must be quick and
  // may be called on any thread until Remove() with what this returned.
  uint64_t AddCallback(absl::string_view name, absl::string_view help,
                       MetricType type, const MetricLabels& labels,
                       std::function<double()> read);

  // One lookup that sets many: `refresh` runs at the start of every scrape.
  uint64_t AddRefresh(std::function<void()> refresh);

  // After this the callback or refresh is not called any more; waits for a
  // scrape that is under way.
  void Remove(uint64_t id);

  // Prometheus's text format.
  std::string Text() const;

  // Sorted by name.
  std::vector<MetricDescription> Describe() const;

  // The value of a counter, gauge or callback, or the count of a histogram; 0
  // if there is none of that name and labels. For tests.
  double Read(absl::string_view name, const MetricLabels& labels = {}) const;

 private:
  struct Metric;
  struct Family {
    MetricDescription description;
    std::map<MetricLabels, std::unique_ptr<Metric>> metrics;
  };

  Metric* FindOrAdd(absl::string_view name, absl::string_view help,
                    MetricType type, const MetricLabels& labels)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Held while callbacks run; before mu_.
  mutable Mutex scrape_mu_;
  mutable Mutex mu_ ABSL_ACQUIRED_AFTER(scrape_mu_);
  std::map<std::string, Family> families_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, std::function<void()>> refreshes_
      ABSL_GUARDED_BY(scrape_mu_);
  std::map<uint64_t, Metric*> callbacks_ ABSL_GUARDED_BY(scrape_mu_);
  uint64_t last_id_ ABSL_GUARDED_BY(scrape_mu_) = 0;
};

}  // namespace cairn

#endif  // CAIRN_LIB_METRICS_METRICS_H_
