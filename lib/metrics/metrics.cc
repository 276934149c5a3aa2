#include "lib/metrics/metrics.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"

namespace cairn {
namespace metrics_internal {

size_t CellOfThread() {
  static std::atomic<size_t> next{0};
  thread_local const size_t cell =
      next.fetch_add(1, std::memory_order_relaxed) % kCells;
  return cell;
}

}  // namespace metrics_internal

namespace {

void AtomicAdd(std::atomic<double>* value, double by) {
  double old = value->load(std::memory_order_relaxed);
  while (
      !value->compare_exchange_weak(old, old + by, std::memory_order_relaxed)) {
  }
}

bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool IsName(absl::string_view name) {
  if (name.empty() || !IsNameStart(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return IsNameStart(c) || (c >= '0' && c <= '9');
  });
}

std::string Escaped(absl::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (value == std::floor(value) && std::fabs(value) < 1e15) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  char text[32];
  std::snprintf(text, sizeof(text), "%.17g", value);
  double back = 0;
  // The shortest text that gives the same number.
  for (int digits = 6; digits < 17; ++digits) {
    char shorter[32];
    std::snprintf(shorter, sizeof(shorter), "%.*g", digits, value);
    if (std::sscanf(shorter, "%lf", &back) == 1 && back == value) {
      return shorter;
    }
  }
  return text;
}

// `{a="b",c="d"}`, or nothing; `le` is left out if it is empty.
std::string LabelText(const MetricLabels& labels, absl::string_view le) {
  std::string out;
  for (const auto& label : labels) {
    absl::StrAppend(&out, out.empty() ? "{" : ",", label.first, "=\"",
                    Escaped(label.second, /*quotes=*/true), "\"");
  }
  if (!le.empty()) {
    absl::StrAppend(&out, out.empty() ? "{" : ",", "le=\"", le, "\"");
  }
  if (!out.empty()) out += "}";
  return out;
}

const char* TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

}  // namespace

uint64_t Counter::Value() const {
  uint64_t sum = 0;
  for (const Cell& cell : cells_) {
    sum += cell.value.load(std::memory_order_relaxed);
  }
  return sum;
}

void Gauge::Add(double by) { AtomicAdd(&value_, by); }

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)) {
  CAIRN_CHECK(bounds_.size() <= kBucketsMax);
  CAIRN_CHECK(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::ObserveMany(double value, uint64_t times) {
  const size_t bucket = static_cast<size_t>(
      std::lower_bound(bounds_.begin(), bounds_.end(), value) -
      bounds_.begin());
  Cell& cell = cells_[metrics_internal::CellOfThread()];
  cell.counts[bucket].fetch_add(times, std::memory_order_relaxed);
  AtomicAdd(&cell.sum, value * static_cast<double>(times));
}

Histogram::Snapshot Histogram::Read() const {
  Snapshot out;
  out.counts.resize(bounds_.size() + 1);
  for (const Cell& cell : cells_) {
    for (size_t i = 0; i < out.counts.size(); ++i) {
      const uint64_t n = cell.counts[i].load(std::memory_order_relaxed);
      out.counts[i] += n;
      out.count += n;
    }
    out.sum += cell.sum.load(std::memory_order_relaxed);
  }
  return out;
}

std::vector<double> Histogram::LatencyBounds() {
  std::vector<double> out;
  for (double decade = 1e-5; decade < 9; decade *= 10) {
    for (const double step : {1, 2, 5}) out.push_back(decade * step);
  }
  out.push_back(10);
  // Or the decimal powers drift: 0.00009999999.
  for (double& bound : out) bound = std::round(bound * 1e6) / 1e6;
  return out;
}

std::vector<double> Histogram::PowersOfTwo(size_t count) {
  std::vector<double> out;
  for (size_t i = 0; i < count; ++i) {
    out.push_back(static_cast<double>(uint64_t{1} << i));
  }
  return out;
}

struct MetricsRegistry::Metric {
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Gauge> gauge;
  std::unique_ptr<Histogram> histogram;
  std::function<double()> read;

  double Value() const {
    if (read) return read();
    if (counter != nullptr) return static_cast<double>(counter->Value());
    if (gauge != nullptr) return gauge->Value();
    if (histogram != nullptr) {
      return static_cast<double>(histogram->Read().count);
    }
    return 0;
  }
};

MetricsRegistry::MetricsRegistry() = default;
MetricsRegistry::~MetricsRegistry() = default;

MetricsRegistry::Metric* MetricsRegistry::FindOrAdd(
    absl::string_view name, absl::string_view help, MetricType type,
    const MetricLabels& labels) {
  CAIRN_CHECK_MSG(IsName(name), name);
  for (const auto& label : labels) {
    CAIRN_CHECK_MSG(IsName(label.first) && label.first != "le", label.first);
  }
  Family& family = families_[std::string(name)];
  if (family.metrics.empty()) {
    family.description = {std::string(name), std::string(help), type};
  }
  CAIRN_CHECK_MSG(
      family.description.type == type && family.description.help == help, name);
  std::unique_ptr<Metric>& metric = family.metrics[labels];
  if (metric == nullptr) metric = std::make_unique<Metric>();
  return metric.get();
}

Counter* MetricsRegistry::AddCounter(absl::string_view name,
                                     absl::string_view help,
                                     const MetricLabels& labels) {
  MutexLock lock(&mu_);
  Metric* const metric = FindOrAdd(name, help, MetricType::kCounter, labels);
  if (metric->counter == nullptr) metric->counter = std::make_unique<Counter>();
  return metric->counter.get();
}

Gauge* MetricsRegistry::AddGauge(absl::string_view name, absl::string_view help,
                                 const MetricLabels& labels) {
  MutexLock lock(&mu_);
  Metric* const metric = FindOrAdd(name, help, MetricType::kGauge, labels);
  if (metric->gauge == nullptr) metric->gauge = std::make_unique<Gauge>();
  return metric->gauge.get();
}

Histogram* MetricsRegistry::AddHistogram(absl::string_view name,
                                         absl::string_view help,
                                         const std::vector<double>& bounds,
                                         const MetricLabels& labels) {
  MutexLock lock(&mu_);
  Metric* const metric = FindOrAdd(name, help, MetricType::kHistogram, labels);
  if (metric->histogram == nullptr) {
    metric->histogram = std::make_unique<Histogram>(bounds);
  }
  return metric->histogram.get();
}

uint64_t MetricsRegistry::AddCallback(absl::string_view name,
                                      absl::string_view help, MetricType type,
                                      const MetricLabels& labels,
                                      std::function<double()> read) {
  CAIRN_CHECK(type != MetricType::kHistogram);
  MutexLock scrape_lock(&scrape_mu_);
  MutexLock lock(&mu_);
  Metric* const metric = FindOrAdd(name, help, type, labels);
  metric->read = std::move(read);
  callbacks_[++last_id_] = metric;
  return last_id_;
}

uint64_t MetricsRegistry::AddRefresh(std::function<void()> refresh) {
  MutexLock lock(&scrape_mu_);
  refreshes_[++last_id_] = std::move(refresh);
  return last_id_;
}

void MetricsRegistry::Remove(uint64_t id) {
  MutexLock scrape_lock(&scrape_mu_);
  refreshes_.erase(id);
  const auto found = callbacks_.find(id);
  if (found == callbacks_.end()) return;
  found->second->read = nullptr;
  callbacks_.erase(found);
}

std::string MetricsRegistry::Text() const {
  MutexLock scrape_lock(&scrape_mu_);
  for (const auto& entry : refreshes_) entry.second();
  MutexLock lock(&mu_);
  std::string out;
  for (const auto& entry : families_) {
    const MetricDescription& description = entry.second.description;
    absl::StrAppend(&out, "# HELP ", description.name, " ",
                    Escaped(description.help, /*quotes=*/false), "\n");
    absl::StrAppend(&out, "# TYPE ", description.name, " ",
                    TypeName(description.type), "\n");
    for (const auto& [labels, metric] : entry.second.metrics) {
      if (description.type != MetricType::kHistogram) {
        absl::StrAppend(&out, description.name, LabelText(labels, ""), " ",
                        Number(metric->Value()), "\n");
        continue;
      }
      const Histogram::Snapshot snapshot = metric->histogram->Read();
      uint64_t so_far = 0;
      for (size_t i = 0; i < snapshot.counts.size(); ++i) {
        so_far += snapshot.counts[i];
        const std::string le = i < metric->histogram->bounds().size()
                                   ? Number(metric->histogram->bounds()[i])
                                   : "+Inf";
        absl::StrAppend(&out, description.name, "_bucket",
                        LabelText(labels, le), " ", so_far, "\n");
      }
      absl::StrAppend(&out, description.name, "_sum", LabelText(labels, ""),
                      " ", Number(snapshot.sum), "\n");
      absl::StrAppend(&out, description.name, "_count", LabelText(labels, ""),
                      " ", snapshot.count, "\n");
    }
  }
  return out;
}

std::vector<MetricDescription> MetricsRegistry::Describe() const {
  MutexLock lock(&mu_);
  std::vector<MetricDescription> out;
  for (const auto& entry : families_) out.push_back(entry.second.description);
  return out;
}

double MetricsRegistry::Read(absl::string_view name,
                             const MetricLabels& labels) const {
  MutexLock scrape_lock(&scrape_mu_);
  for (const auto& entry : refreshes_) entry.second();
  MutexLock lock(&mu_);
  const auto family = families_.find(std::string(name));
  if (family == families_.end()) return 0;
  const auto metric = family->second.metrics.find(labels);
  return metric == family->second.metrics.end() ? 0 : metric->second->Value();
}

}  // namespace cairn
