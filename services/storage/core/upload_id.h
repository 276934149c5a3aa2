// The ID of an upload in parts: where it is, and a secret.
//
//   00000007-01-550e8400-e29b-41d4-a716-446655440000
//   node     path  secret
//
// Format: docs/formats/upload.md.

#ifndef CAIRN_SERVICES_STORAGE_CORE_UPLOAD_ID_H_
#define CAIRN_SERVICES_STORAGE_CORE_UPLOAD_ID_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace storage {

struct UploadId {
  uint32_t node_number = 0;
  uint8_t store_path = 0;
  Uuid secret;

  std::string ToString() const;

  //   INVALID_ARGUMENT  INVALID_FIELD: it is none.
  static absl::StatusOr<UploadId> Parse(absl::string_view text);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_UPLOAD_ID_H_
