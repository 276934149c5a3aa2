// Whatever is in IDENTITY: it is refused, or it is an identity that is written
// and read back the same.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "lib/base/check.h"
#include "lib/io/file_system.h"
#include "lib/testing/crashable_file_system.h"
#include "services/storage/store/identity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using cairn::storage::Identity;
  static cairn::CrashableFileSystem* const fs =
      new cairn::CrashableFileSystem(1);
  const std::string text(reinterpret_cast<const char*>(data), size);
  CAIRN_CHECK_OK(cairn::ReplaceFile(fs, "/IDENTITY", text));
  const auto identity = cairn::storage::ReadIdentity(fs, "/");
  if (!identity.ok()) {
    CAIRN_CHECK_MSG(absl::IsDataLoss(identity.status()) ||
                        absl::IsFailedPrecondition(identity.status()),
                    identity.status().ToString());
    return 0;
  }
  CAIRN_CHECK(identity->has_value());
  const Identity& found = **identity;
  CAIRN_CHECK_OK(cairn::storage::WriteIdentity(fs, "/", "IDENTITY", found));
  const auto again = cairn::storage::ReadIdentity(fs, "/");
  CAIRN_CHECK_OK(again.status());
  CAIRN_CHECK((*again)->incarnation == found.incarnation);
  CAIRN_CHECK_OK(cairn::storage::CheckIdentity(**again, found, "/"));
  return 0;
}
