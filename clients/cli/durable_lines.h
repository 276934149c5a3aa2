// A list of lines in a file, which only grows.

#ifndef CAIRN_CLIENTS_CLI_DURABLE_LINES_H_
#define CAIRN_CLIENTS_CLI_DURABLE_LINES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace cli {

// Not thread-safe.
class DurableLines {
 public:
  // Goes on behind the first `size` bytes of `file`.
  DurableLines(std::unique_ptr<File> file, int64_t size)
      : file_(std::move(file)), size_(size) {}

  // Adds text, each line with its line feed; Sync() writes it.
  void Add(absl::string_view text);

  // Returns when all that was added is on the disk.
  absl::Status Sync();

 private:
  const std::unique_ptr<File> file_;
  int64_t size_;
  std::string waiting_;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_DURABLE_LINES_H_
