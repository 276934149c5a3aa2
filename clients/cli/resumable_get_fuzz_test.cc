// Whatever is in a file that is said to be the state of a download: it is
// refused, or says of a file and of parts inside it.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cli/resumable_get.h"
#include "lib/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::optional<cairn::cli::PartialDownload> download =
      cairn::cli::ParsePartialDownload(text);
  if (!download.has_value()) return 0;
  CAIRN_CHECK(!download->file_id.empty());
  for (const cairn::client::SentPart& part : download->parts) {
    CAIRN_CHECK(part.offset >= 0 && part.length > 0);
    CAIRN_CHECK(part.length <= download->size_bytes - part.offset);
  }
  return 0;
}
