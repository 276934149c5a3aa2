// What the machine can do without Cairn: each probe is one measurement, and its
// result one flat list of named numbers.

#ifndef CAIRN_CLIENTS_PROBE_PROBES_H_
#define CAIRN_CLIENTS_PROBE_PROBES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cairn {
namespace probe {

using ProbeResult = std::vector<std::pair<std::string, double>>;

// Unary calls that return `payload_bytes`, by `callers` threads with blocking
// stubs on one channel.
//   calls_per_second, p50_us, p99_us
absl::StatusOr<ProbeResult> ProbeEcho(const std::string& target, int callers,
                                      int64_t payload_bytes,
                                      absl::Duration duration);

// `streams` streams at once, each of `total_bytes` in messages of
// `chunk_bytes` (at most 16 MiB), over one channel each.
//   bytes_per_second (of all streams together)
absl::StatusOr<ProbeResult> ProbeUpload(const std::string& target, int streams,
                                        int64_t total_bytes,
                                        int64_t chunk_bytes);
absl::StatusOr<ProbeResult> ProbeDownload(const std::string& target,
                                          int streams, int64_t total_bytes,
                                          int64_t chunk_bytes);

// `write` of 4 KiB at the end of a new file in `directory`, then `fdatasync`,
// by one thread. The file is removed.
//   syncs_per_second, p50_us, p99_us
absl::StatusOr<ProbeResult> ProbeSync(const std::string& directory,
                                      absl::Duration duration);

// Writes a file of `total_bytes` in pieces of 1 MiB, then reads it back from
// the page cache. The file is removed.
//   write_bytes_per_second, read_bytes_per_second
absl::StatusOr<ProbeResult> ProbeSequentialFile(const std::string& directory,
                                                int64_t total_bytes);

// Writes a file of `total_bytes` in pieces of 4 MiB past the page cache
// (O_DIRECT): what the disk takes. The file is removed.
//   bytes_per_second
// INVALID_ARGUMENT where the file system has no such writes (tmpfs).
absl::StatusOr<ProbeResult> ProbeDisk(const std::string& directory,
                                      int64_t total_bytes);

}  // namespace probe
}  // namespace cairn

#endif  // CAIRN_CLIENTS_PROBE_PROBES_H_
