// Numbers and tables as people read and type them.

#ifndef CAIRN_CLIENTS_CLI_FORMAT_H_
#define CAIRN_CLIENTS_CLI_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace cairn {
namespace cli {

// `817 B`, `4.0 KiB`, `1.2 GiB`.
std::string FormatBytes(int64_t bytes);

// `87.3 MiB/s`.
std::string FormatRate(double bytes_per_second);

// `0:07`, `12:30`, `3:02:11`; for time left and time taken.
std::string FormatSpan(absl::Duration duration);

// `8af3c41b`.
std::string FormatCrc(uint32_t crc32c);

// `2026-03-01T12:00:00Z`.
std::string FormatUtc(absl::Time time);

// `1 file`, `12 files`.
std::string Count(int64_t number, absl::string_view noun);

// A size as `4096`, `4k`, `4KiB`, `1M`, `1.5G`: powers of 1024, at least 0.
//   INVALID_ARGUMENT  anything else.
absl::StatusOr<int64_t> ParseBytes(absl::string_view text);

// A run of bytes of a file, as HTTP and curl write it.
struct ByteRange {
  // First byte; unset for "the last `length`".
  absl::optional<int64_t> offset;
  absl::optional<int64_t> length;  // Unset: to the end.
};

// `A-B` (both inclusive), `A-` or `-N` (the last N).
//   INVALID_ARGUMENT  anything else.
absl::StatusOr<ByteRange> ParseRange(absl::string_view text);

// Columns of text, padded; numbers to the right. The first row is the heading.
class Table {
 public:
  // One character for each column: `l` left, `r` right.
  explicit Table(absl::string_view alignment) : alignment_(alignment) {}

  void AddRow(std::vector<std::string> cells);

  // Lines, each with its line feed.
  std::string ToString() const;

 private:
  const std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_FORMAT_H_
