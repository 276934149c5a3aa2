// Standard input, until its end or the user's Ctrl-C.

#ifndef CAIRN_CLIENTS_CLI_STDIN_READER_H_
#define CAIRN_CLIENTS_CLI_STDIN_READER_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "clients/cli/interrupt.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace cli {

class StdinReader : public client::ContentReader {
 public:
  // Neither is owned.
  StdinReader(int fd, const Interrupt* interrupt)
      : fd_(fd), interrupt_(interrupt) {}

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override;

 private:
  const int fd_;
  const Interrupt* const interrupt_;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_STDIN_READER_H_
