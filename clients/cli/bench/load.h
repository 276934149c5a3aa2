// One phase of a benchmark: one kind of operation, many times, so many in
// flight, and what came of it.
//
// Client and server often share the machine, so the generator is to cost next
// to nothing: an operation begins in the callback of the one before it, with no
// thread, lock or queue between them, and what it has to know is in its slot.

#ifndef CAIRN_CLIENTS_CLI_BENCH_LOAD_H_
#define CAIRN_CLIENTS_CLI_BENCH_LOAD_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clients/cli/bench/content.h"
#include "clients/cli/bench/histogram.h"
#include "clients/cli/bench/size_distribution.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/progress.h"
#include "clients/cpp/client.h"

namespace cairn {
namespace cli {

// kAppend: to files of its own, one for each operation in flight, which are
// there for other phases afterwards.
enum class Operation { kPut, kGet, kStat, kDelete, kMixed, kAppend };

// `put`, `get`, …
std::string OperationName(Operation operation);

// The reverse.
//   INVALID_ARGUMENT  none of them.
absl::StatusOr<Operation> ParseOperation(absl::string_view name);

// Shares of kPut, kGet, kStat and kDelete in a mixed phase.
using Mix = std::array<int, 4>;

// `put=10,get=80,stat=5,delete=5`; what is not named is 0.
//   INVALID_ARGUMENT  anything else, or all are 0.
absl::StatusOr<Mix> ParseMix(absl::string_view text);

// A file that a phase made and the next ones read.
struct BenchFile {
  std::string file_id;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
};

struct LoadOptions {
  Operation operation = Operation::kPut;
  int in_flight = 64;

  // Callers that block, a thread each, instead of callbacks.
  bool blocking = false;

  // Ends the phase, whichever comes first. Without both, every file is used
  // once (and 10,000 are put).
  absl::optional<int64_t> count;
  absl::optional<absl::Duration> duration;

  client::Durability durability = {client::DurabilityLevel::kCached};
  std::string group;
  std::string extension;
  int attributes = 0;      // Of what is put, with values of 32 bytes.
  SizeDistribution sizes;  // Of what is put or appended.
  uint64_t seed = 1;
  bool shuffled = true;        // Files are used at random, not in order.
  bool verify_content = true;  // Else only size and CRC that the node says.
  Mix mix = {10, 80, 5, 5};
  absl::optional<absl::Duration> timeout;
};

struct LoadResult {
  int64_t operations = 0;  // That succeeded.
  int64_t bytes = 0;       // Of content, that they moved.
  int64_t errors = 0;
  int64_t damaged = 0;  // Of the errors: content was not what was stored.
  std::map<std::string, int64_t> errors_by_reason;
  absl::Status first_error;
  absl::Duration elapsed;
  bool blocking = false;
  bool interrupted = false;
  Histogram latency;  // Of those that succeeded, in nanoseconds.
};

// Runs a phase. Puts are added to `files`, deleted ones are taken out. Files
// that are too large to be held in memory are read by blocking callers. All
// pointers are borrowed.
std::unique_ptr<LoadResult> RunLoad(client::Client* client,
                                    const Content& content,
                                    const LoadOptions& options,
                                    std::vector<BenchFile>* files,
                                    Progress* progress,
                                    const Interrupt* interrupt);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_BENCH_LOAD_H_
