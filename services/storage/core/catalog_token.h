// Where a list of files, or a watch of changes, goes on: at this member or
// another one of the group. Opaque text to whoever holds it; layout:
// docs/formats/catalog_tokens.md. Pure.

#ifndef CAIRN_SERVICES_STORAGE_CORE_CATALOG_TOKEN_H_
#define CAIRN_SERVICES_STORAGE_CORE_CATALOG_TOKEN_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

// Of a list: the first key that was not looked at.
struct PageToken {
  uint8_t store_path = 0;
  std::string from;  // FileRange::from; empty: the path's first.

  std::string ToString() const;

  //   INVALID_ARGUMENT  INVALID_FIELD: `text` is none.
  static absl::StatusOr<PageToken> Parse(absl::string_view text);
};

// Of a watch: how far each log was read, of each store path.
struct WatchToken {
  std::map<uint8_t, std::map<LogId, uint64_t>> positions;

  std::string ToString() const;

  //   INVALID_ARGUMENT  INVALID_FIELD: `text` is none.
  static absl::StatusOr<WatchToken> Parse(absl::string_view text);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_CATALOG_TOKEN_H_
