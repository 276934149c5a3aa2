// What the kernel knows of this process.

#ifndef CAIRN_LIB_METRICS_PROCESS_STATS_H_
#define CAIRN_LIB_METRICS_PROCESS_STATS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "lib/metrics/metrics.h"

namespace cairn {

struct ProcessStats {
  absl::Duration cpu_time;  // User and system.
  int64_t resident_bytes = 0;
  int64_t open_fds = 0;
  int64_t threads = 0;
};

// 0 for what cannot be told.
ProcessStats ReadProcessStats();

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds,
// process_threads and process_start_time_seconds, read at every scrape. Once
// for a registry.
void AddProcessMetrics(MetricsRegistry* registry);

}  // namespace cairn

#endif  // CAIRN_LIB_METRICS_PROCESS_STATS_H_
