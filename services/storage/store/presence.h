// Whether a name that was looked up is one of a file, and why not.

#ifndef CAIRN_SERVICES_STORAGE_STORE_PRESENCE_H_
#define CAIRN_SERVICES_STORAGE_STORE_PRESENCE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/base/clock.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

// `record` is what is known of it, if it is `known`.
//   NOT_FOUND  FILE_NOT_FOUND; FILE_DELETED; FILE_SEALED, in the metadata the
//              `file_id` of what it became.
absl::Status CheckPresent(const StorePathOptions& options,
                          absl::string_view name, bool known,
                          const FileRecord& record);

//   NOT_FOUND  FILE_EXPIRED.
absl::Status CheckNotExpired(absl::string_view name, const FileRecord& record,
                             Clock* clock);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_PRESENCE_H_
