// No text from outside may crash the parser, and what it accepts must come back
// as it was.

#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/check.h"
#include "lib/file_id/file_id.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cairn::FileIdCodec* const codec =
      new cairn::FileIdCodec("secret");
  const absl::string_view id(reinterpret_cast<const char*>(data), size);
  const auto parsed = cairn::ParseFileId(id);
  const auto verified = codec->Verify(id);
  if (verified.ok()) CAIRN_CHECK(parsed.ok());
  if (!parsed.ok()) return 0;
  CAIRN_CHECK(parsed->ToString() == id);
  (void)cairn::DecodeFileName(parsed->name);
  const auto derived = cairn::DerivedFileId(id, "_x", "png");
  if (derived.ok()) {
    CAIRN_CHECK(cairn::ParseFileId(*derived).ok());
    CAIRN_CHECK(codec->Verify(*derived).ok() == verified.ok());
  }
  return 0;
}
