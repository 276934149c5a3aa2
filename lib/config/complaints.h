// Everything that is wrong with a configuration, so that a person mends it in
// one go.

#ifndef CAIRN_LIB_CONFIG_COMPLAINTS_H_
#define CAIRN_LIB_CONFIG_COMPLAINTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cairn {

// For one thread.
class Complaints {
 public:
  // `text` says what to write instead.
  void Add(absl::string_view field, absl::string_view text);

  // Each complains unless what its name says holds.
  void CheckRange(absl::string_view field, int64_t value, int64_t least,
                  int64_t most);
  void CheckRange(absl::string_view field, absl::Duration value,
                  absl::Duration least, absl::Duration most);

  // `host:port` or `[v6]:port`. Port 0, any free one, is good for listening
  // alone.
  void CheckListenAddress(absl::string_view field, absl::string_view address);
  void CheckPeerAddress(absl::string_view field, absl::string_view address);

  // INVALID_ARGUMENT, INVALID_FIELD with one line for each complaint and the
  // first field's name; or OK.
  absl::Status status() const;

 private:
  std::vector<std::string> lines_;
  std::string field_;
};

}  // namespace cairn

#endif  // CAIRN_LIB_CONFIG_COMPLAINTS_H_
