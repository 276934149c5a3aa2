// Which operation of a file system fails, when, and with what: the rules that
// FaultFileSystem and the tests' CrashableFileSystem follow.
//
//   sync:segments/=EIO@3       the third sync of a path with `segments/` in it
//   write=ENOSPC@100+          every write from the hundredth on
//   read|stat:/M00/=EIO        the next read or stat below M00
//   *=EIO@17                   whatever comes seventeenth

#ifndef CAIRN_LIB_IO_FAULT_RULES_H_
#define CAIRN_LIB_IO_FAULT_RULES_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/mutex.h"

namespace cairn {

// What a FileSystem or a File can be asked for. Hints (StartWriteback,
// DropCache, TryReadAt that declines) are no operations.
enum class FileOperation : uint32_t {
  kOpen = 1 << 0,    // Of what exists.
  kCreate = 1 << 1,  // Open() or Lock() of what did not.
  kRead = 1 << 2,
  kWrite = 1 << 3,
  kSync = 1 << 4,
  kAllocate = 1 << 5,
  kTruncate = 1 << 6,
  kRename = 1 << 7,
  kRemove = 1 << 8,
  kCreateDirectory = 1 << 9,
  kRemoveDirectory = 1 << 10,
  kSyncDirectory = 1 << 11,
  kList = 1 << 12,
  kStat = 1 << 13,  // Stat() and Size().
  kSpace = 1 << 14,
  kLock = 1 << 15,
};

// A set of operations, one bit each.
using FileOperations = uint32_t;

inline constexpr FileOperations operator|(FileOperation a, FileOperation b) {
  return static_cast<FileOperations>(a) | static_cast<FileOperations>(b);
}
inline constexpr FileOperations operator|(FileOperations a, FileOperation b) {
  return a | static_cast<FileOperations>(b);
}
inline constexpr bool Contains(FileOperations set, FileOperation operation) {
  return (set & static_cast<FileOperations>(operation)) != 0;
}

inline constexpr FileOperations kAllOperations = (1 << 16) - 1;

// Those that change what is on the disk: between any two of them a crash finds
// another state.
inline constexpr FileOperations kChanges =
    FileOperation::kCreate | FileOperation::kWrite | FileOperation::kSync |
    FileOperation::kAllocate | FileOperation::kTruncate |
    FileOperation::kRename | FileOperation::kRemove |
    FileOperation::kCreateDirectory | FileOperation::kRemoveDirectory |
    FileOperation::kSyncDirectory;

// `sync`, `create_directory`; one of the set's names above without the k.
absl::string_view FileOperationName(FileOperation operation);

struct FaultRule {
  static constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();

  FileOperations operations = kAllOperations;
  std::string path_part;  // Somewhere in the path; empty matches all.

  // Only reads and writes that touch this range; others ignore it.
  int64_t offset = 0;
  int64_t size = std::numeric_limits<int64_t>::max();

  uint64_t nth = 1;    // Fails first when it matches for the nth time; from 1,
  uint64_t times = 1;  // and then so often.
  int error = 5;       // errno; EIO.
};

// Parses `operations[:path part]=ERRNO[@n[+]]`, where operations are `*` or
// names with `|` between them.
//   INVALID_ARGUMENT  says what is wrong.
absl::StatusOr<FaultRule> ParseFaultRule(absl::string_view text);

// Thread-safe.
class FaultRules {
 public:
  void Add(FaultRule rule) ABSL_LOCKS_EXCLUDED(mu_);
  void Clear() ABSL_LOCKS_EXCLUDED(mu_);

  // To be called once for each operation, before it is done: the errno with
  // which it has to fail, or 0. Every rule that matches counts it; the first
  // that is due decides. `offset` and `size` are those of a read or write.
  int Check(FileOperation operation, absl::string_view path, int64_t offset = 0,
            int64_t size = 0) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Counted {
    FaultRule rule;
    uint64_t matched = 0;
  };

  Mutex mu_;
  std::vector<Counted> rules_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn

#endif  // CAIRN_LIB_IO_FAULT_RULES_H_
