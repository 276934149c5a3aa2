// A store path for tests: options that fit any file system, and calls that wait
// for their answer.

#ifndef CAIRN_SERVICES_STORAGE_STORE_TEST_PATH_H_
#define CAIRN_SERVICES_STORAGE_STORE_TEST_PATH_H_

#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "lib/base/uuid.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

// Options of node 7, path 0, in `directory`, on a machine that was started as
// `boot_id`. Background work happens only when it is asked for, and buffers are
// small.
StorePathOptions TestPathOptions(std::string directory,
                                 std::string boot_id = "boot-1");

// `size` bytes that depend on `seed` alone.
std::string TestContent(uint64_t seed, size_t size);

// Puts, or uploads what is too large for that, and waits.
absl::StatusOr<Committed> PutFile(StorePath* path, absl::string_view name,
                                  absl::string_view content,
                                  Durability durability = Durability::kSynced,
                                  const Uuid& request_id = Uuid());

// The same through StartUpload(), in chunks, whatever the size.
absl::StatusOr<Committed> UploadFile(StorePath* path, absl::string_view name,
                                     absl::string_view content,
                                     Durability durability,
                                     const Uuid& request_id = Uuid());

absl::StatusOr<Committed> DeleteFile(
    StorePath* path, absl::string_view name,
    Durability durability = Durability::kSynced,
    const Uuid& request_id = Uuid());

// As PutFile() and UploadFile(), of an appender.
absl::StatusOr<Committed> CreateAppender(
    StorePath* path, absl::string_view name, absl::string_view content,
    Durability durability = Durability::kSynced,
    const Uuid& request_id = Uuid());

// In one call, however large.
absl::StatusOr<Committed> PutAppender(StorePath* path, absl::string_view name,
                                      absl::string_view content);

// As PutFile(), of a derived file.
absl::StatusOr<Committed> PutDerived(
    StorePath* path, absl::string_view name, absl::string_view content,
    Durability durability = Durability::kSynced,
    const Uuid& request_id = Uuid());

// Fills in the checksum, and waits.
absl::StatusOr<Committed> UpdateFile(StorePath* path, UpdateRequest request);

UpdateRequest Append(absl::string_view name, absl::string_view content);
UpdateRequest Modify(absl::string_view name, int64_t offset,
                     absl::string_view content);
UpdateRequest Truncate(absl::string_view name, int64_t size_bytes);

// Sends `content` as one part of an upload, in pieces, and ends it.
absl::Status WriteUploadPart(StorePath* path, const Uuid& upload_id,
                             int64_t offset, absl::string_view content);

// Makes a file of an upload, and waits.
absl::StatusOr<Committed> FinishUploadSession(
    StorePath* path, const Uuid& upload_id, absl::string_view name,
    const Uuid& request_id = Uuid(),
    Durability durability = Durability::kSynced);

// The whole content.
absl::StatusOr<std::string> ReadFile(StorePath* path, absl::string_view name);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_TEST_PATH_H_
