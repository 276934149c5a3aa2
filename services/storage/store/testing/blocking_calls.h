// A store path's calls as a test likes them: one after the other.

#ifndef CAIRN_SERVICES_STORAGE_STORE_TESTING_BLOCKING_CALLS_H_
#define CAIRN_SERVICES_STORAGE_STORE_TESTING_BLOCKING_CALLS_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/uuid.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// A put of `content` whose other fields follow from it.
PutRequest MakePut(absl::string_view name, absl::string_view content,
                   Durability durability);

// Waits for the answer of what `start` starts.
absl::StatusOr<Committed> AwaitCommitted(
    absl::FunctionRef<void(CommitDone done)> start);

// Stores `content`, with all else that `put` says: in one piece if it is small
// enough, else as an upload.
absl::StatusOr<Committed> PutOfAnySize(StorePath* path, PutRequest put,
                                       absl::string_view content);

// These wait for the answer.
absl::StatusOr<Committed> SetAttributesAndWait(StorePath* path,
                                               SetAttributesRequest request);
absl::StatusOr<Committed> PutAndWait(StorePath* path, PutRequest request);
absl::StatusOr<Committed> PutAndWait(StorePath* path, absl::string_view name,
                                     absl::string_view content,
                                     Durability durability);
absl::StatusOr<Committed> DeleteAndWait(StorePath* path, absl::string_view name,
                                        Durability durability,
                                        const Uuid& request_id = Uuid());

// Writes it in pieces to a segment of its own.
absl::StatusOr<Committed> UploadAndWait(StorePath* path, absl::string_view name,
                                        absl::string_view content,
                                        Durability durability,
                                        const Uuid& request_id = Uuid());

// The whole content.
absl::StatusOr<std::string> ReadAll(StorePath* path, absl::string_view name);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_TESTING_BLOCKING_CALLS_H_
