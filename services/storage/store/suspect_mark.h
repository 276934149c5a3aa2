// Remembers on the disk that a write or a sync of a path has failed, so that
// whoever opens it next does not take what the kernel has in memory for what is
// on the disk.
//
// After a failed sync Linux may call the pages clean that it could not write:
// they read back until they are dropped from memory, and no later sync writes
// them. A process that finds the mark treats the path as after a power cut,
// although the machine was not restarted (recovery.h).
//
// The file is `SUSPECT` in the path's directory: why, in words.

#ifndef CAIRN_SERVICES_STORAGE_STORE_SUSPECT_MARK_H_
#define CAIRN_SERVICES_STORAGE_STORE_SUSPECT_MARK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace storage {

inline constexpr absl::string_view kSuspectFile = "SUSPECT";

// Durable when it returns OK. `directory` is the path's, everywhere here.
absl::Status WriteSuspectMark(FileSystem* fs, const std::string& directory,
                              absl::string_view why);

absl::StatusOr<bool> HasSuspectMark(FileSystem* fs,
                                    const std::string& directory);

// Durable when it returns OK; OK if there is none.
absl::Status RemoveSuspectMark(FileSystem* fs, const std::string& directory);

// Writes `[from, to)` of `file` again as it reads, so that the next Sync() has
// to put it on the disk. Blocks.
absl::Status WriteAgain(File* file, int64_t from, int64_t to);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_SUSPECT_MARK_H_
