// A file that appears under its name when it is whole, or not at all.

#ifndef CAIRN_CLIENTS_CPP_ATOMIC_FILE_H_
#define CAIRN_CLIENTS_CPP_ATOMIC_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "clients/cpp/types.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace client {

// Not thread-safe.
class AtomicFile : public ContentSink {
 public:
  // Creates `path`.<random>.part. `path` may be relative; its folder must
  // exist. `fs` is borrowed. Errors as FileSystem.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> Create(
      FileSystem* fs, absl::string_view path);

  // Removes what was written, unless Commit() succeeded.
  ~AtomicFile() override;

  absl::Status Write(const absl::Cord& data) override;

  // Syncs what was written and gives it its name, durably; an older file of
  // that name is replaced.
  absl::Status Commit();

 private:
  AtomicFile(FileSystem* fs, std::string path, std::string part_path,
             std::unique_ptr<File> file);

  FileSystem* const fs_;
  const std::string path_;
  const std::string part_path_;
  std::unique_ptr<File> file_;
  int64_t size_ = 0;
  int64_t writeback_from_ = 0;
  bool committed_ = false;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_ATOMIC_FILE_H_
