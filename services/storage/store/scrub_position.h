// Remembers on the disk how far the scrubber of a path has come, so that a node
// that is restarted more often than a round takes reads all of its files all
// the same.
//
// The file is `SCRUB` in the path's directory: the cursor as it is, and its
// CRC-32C in 4 bytes behind it, the lowest first. A hint: whoever finds none,
// or a damaged one, begins anew.

#ifndef CAIRN_SERVICES_STORAGE_STORE_SCRUB_POSITION_H_
#define CAIRN_SERVICES_STORAGE_STORE_SCRUB_POSITION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace storage {

inline constexpr absl::string_view kScrubFile = "SCRUB";

// Empty: the round has ended, and the file goes. `directory` is the path's.
absl::Status WriteScrubPosition(FileSystem* fs, const std::string& directory,
                                absl::string_view position);

// Empty if there is none.
std::string ReadScrubPosition(FileSystem* fs, const std::string& directory);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_SCRUB_POSITION_H_
