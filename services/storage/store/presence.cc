#include "services/storage/store/presence.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/error_reason.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace storage {
namespace {

absl::Status NotFound(ErrorReason reason, absl::string_view name,
                      absl::string_view why,
                      const ErrorMetadata& metadata = {}) {
  return ErrorWithReason(absl::StatusCode::kNotFound, reason,
                         absl::StrCat("file ", name, why), metadata);
}

}  // namespace

absl::Status CheckPresent(const StorePathOptions& options,
                          absl::string_view name, bool known,
                          const FileRecord& record) {
  if (!known) {
    return NotFound(ErrorReason::kFileNotFound, name, " is not known");
  }
  if (!record.deleted) return absl::OkStatus();
  if (record.sealed_as.empty()) {
    return NotFound(ErrorReason::kFileDeleted, name, " was deleted");
  }
  const std::string file_id =
      FileIdParts{options.group, static_cast<uint8_t>(options.path_index),
                  record.sealed_as}
          .ToString();
  return NotFound(ErrorReason::kFileSealed, name,
                  absl::StrCat(" was sealed: it is ", file_id, " now"),
                  {{"file_id", file_id}});
}

absl::Status CheckNotExpired(absl::string_view name, const FileRecord& record,
                             Clock* clock) {
  // Most never do: then the clock is not asked.
  if (record.expire_unix_seconds == 0 ||
      !HasExpired(record.expire_unix_seconds,
                  absl::ToUnixSeconds(clock->Now()))) {
    return absl::OkStatus();
  }
  return NotFound(ErrorReason::kFileExpired, name, " has expired");
}

}  // namespace storage
}  // namespace cairn
