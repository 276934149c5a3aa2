// Whatever is in a manifest of `cairn put`: it is refused, or its entries can
// be written and read again; and no path of one leaves the folder that it is
// for.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "clients/cli/manifest.h"
#include "lib/base/check.h"
#include "lib/io/file_system.h"
#include "lib/testing/crashable_file_system.h"

namespace {

using cairn::cli::ManifestEntry;

constexpr char kPath[] = "/manifest";

void Write(cairn::FileSystem* fs, absl::string_view bytes) {
  auto file = fs->Open(kPath, cairn::OpenMode::kCreate);
  CAIRN_CHECK_OK(file.status());
  CAIRN_CHECK_OK((*file)->Truncate(0));
  if (!bytes.empty()) CAIRN_CHECK_OK((*file)->WriteAt(0, {bytes}));
}

void CheckPath(absl::string_view path) {
  const std::string safe = cairn::cli::SafePath(path);
  CAIRN_CHECK(!absl::StartsWith(safe, "/"));
  for (const absl::string_view part : absl::StrSplit(safe, '/')) {
    CAIRN_CHECK(part != "..");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static cairn::CrashableFileSystem* const fs =
      new cairn::CrashableFileSystem(1);
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckPath(bytes);
  Write(fs, bytes);
  const absl::StatusOr<std::vector<ManifestEntry>> read =
      cairn::cli::ReadManifest(fs, kPath);
  if (!read.ok()) return 0;
  Write(fs, "");
  {
    auto writer = cairn::cli::ManifestWriter::Open(fs, kPath);
    CAIRN_CHECK_OK(writer.status());
    for (const ManifestEntry& entry : *read) {
      CheckPath(entry.path);
      (*writer)->Add(entry);
    }
    CAIRN_CHECK_OK((*writer)->Sync());
  }
  const absl::StatusOr<std::vector<ManifestEntry>> again =
      cairn::cli::ReadManifest(fs, kPath);
  CAIRN_CHECK_OK(again.status());
  CAIRN_CHECK(*again == *read);
  return 0;
}
