// Whatever is in a file that is said to be a journal of an upload: it is
// refused, or says of an upload with a source.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cli/upload_journal.h"
#include "lib/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::optional<cairn::cli::JournalledUpload> upload =
      cairn::cli::ParseUploadJournal(text);
  if (!upload.has_value()) return 0;
  CAIRN_CHECK(!upload->source.path.empty());
  CAIRN_CHECK(!upload->state.upload_id.empty());
  for (const cairn::client::SentPart& part : upload->state.parts) {
    CAIRN_CHECK(part.offset >= 0);
    CAIRN_CHECK(part.length > 0);
  }
  return 0;
}
