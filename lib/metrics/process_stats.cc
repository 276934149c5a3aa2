#include "lib/metrics/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/time/clock.h"

namespace cairn {

ProcessStats ReadProcessStats() {
  ProcessStats out;
  struct rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    out.cpu_time = absl::DurationFromTimeval(usage.ru_utime) +
                   absl::DurationFromTimeval(usage.ru_stime);
  }
  if (std::FILE* file = std::fopen("/proc/self/status", "r")) {
    char line[256];
    long long value = 0;
    while (std::fgets(line, sizeof(line), file) != nullptr) {
      if (std::sscanf(line, "VmRSS: %lld kB", &value) == 1) {
        out.resident_bytes = value * 1024;
      } else if (std::sscanf(line, "Threads: %lld", &value) == 1) {
        out.threads = value;
      }
    }
    std::fclose(file);
  }
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end;
       !error && it != end; it.increment(error)) {
    ++out.open_fds;
  }
  return out;
}

void AddProcessMetrics(MetricsRegistry* registry) {
  Gauge* const resident = registry->AddGauge("process_resident_memory_bytes",
                                             "Memory of the process in RAM.");
  Gauge* const fds =
      registry->AddGauge("process_open_fds", "File descriptors that are open.");
  Gauge* const threads =
      registry->AddGauge("process_threads", "Threads of the process.");
  registry
      ->AddGauge("process_start_time_seconds",
                 "When the process started, in Unix time.")
      ->Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
  registry->AddCallback(
      "process_cpu_seconds_total",
      "CPU time that the process has used, user and system.",
      MetricType::kCounter, {}, [] {
        struct rusage usage = {};
        if (getrusage(RUSAGE_SELF, &usage) != 0) return 0.0;
        return absl::ToDoubleSeconds(absl::DurationFromTimeval(usage.ru_utime) +
                                     absl::DurationFromTimeval(usage.ru_stime));
      });
  registry->AddRefresh([resident, fds, threads] {
    const ProcessStats stats = ReadProcessStats();
    resident->Set(static_cast<double>(stats.resident_bytes));
    fds->Set(static_cast<double>(stats.open_fds));
    threads->Set(static_cast<double>(stats.threads));
  });
}

}  // namespace cairn
