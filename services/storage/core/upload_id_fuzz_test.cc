// Whatever a client sends as the ID of an upload: it is refused, or is the text
// that the upload has and no other.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "services/storage/core/upload_id.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<cairn::storage::UploadId> id =
      cairn::storage::UploadId::Parse(text);
  if (id.ok()) CAIRN_CHECK(id->ToString() == text);
  return 0;
}
