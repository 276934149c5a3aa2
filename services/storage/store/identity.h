// The IDENTITY file: which cluster, group, node and index a store path belongs
// to. Format: docs/formats/identity.md.

#ifndef CAIRN_SERVICES_STORAGE_STORE_IDENTITY_H_
#define CAIRN_SERVICES_STORAGE_STORE_IDENTITY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"

namespace cairn {
namespace storage {

struct Identity {
  Uuid cluster_id;
  std::string group;
  Uuid node_uuid;
  uint32_t node_number = 0;
  uint32_t path_index = 0;

  // New whenever the directory was found empty or the index was rebuilt.
  Uuid incarnation;
};

// Reads the identity of a store path; nullopt if `directory` does not exist or
// has none. Takes no lock. A process that does not know its node UUID yet finds
// it here.
//   DATA_LOSS            the file is damaged; the message says where.
//   FAILED_PRECONDITION  its format version is newer than this program.
absl::StatusOr<absl::optional<Identity>> ReadIdentity(
    FileSystem* fs, absl::string_view directory);

// Replaces the file atomically and durably. `file_name` is kIdentityFile but
// for a rebuild, which prepares the next one beside it.
absl::Status WriteIdentity(FileSystem* fs, absl::string_view directory,
                           absl::string_view file_name,
                           const Identity& identity);

// OK if `found` is what `expected` says, incarnation aside.
//   FAILED_PRECONDITION  with a message that names both.
absl::Status CheckIdentity(const Identity& found, const Identity& expected,
                           absl::string_view directory);

inline constexpr absl::string_view kIdentityFile = "IDENTITY";

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_IDENTITY_H_
