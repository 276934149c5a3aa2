// Whatever comes as the token of a page of derived files: it is refused, or a
// page of files that are derived from that master.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "lib/file_id/file_id.h"
#include "services/storage/core/derived_files.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/testing/fake_store_path.h"

namespace cairn {
namespace storage {
namespace {

constexpr char kMaster[] = "3F/A2/AAAAB2rPEoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.jpg";
constexpr int kDerived = 5;

FakeStorePath* MakePath() {
  auto* const path = new FakeStorePath();
  const absl::string_view stem = MasterStemOf(kMaster);
  for (int i = 0; i < kDerived; ++i) {
    PutRequest put;
    put.name = absl::StrCat(stem, "_", i, ".jpg");
    put.kind = FileKind::kDerived;
    path->Put(std::move(put), [](absl::StatusOr<Committed> committed) {
      CAIRN_CHECK_OK(committed.status());
    });
  }
  return path;
}

}  // namespace
}  // namespace storage
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::storage;  // NOLINT: the one function outside of it
  static FakeStorePath* const path = MakePath();
  const absl::string_view token(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<DerivedPage> page =
      ListDerived(path, kMaster, token, /*limit=*/2, /*now_unix_seconds=*/1);
  if (!page.ok()) return 0;
  CAIRN_CHECK(page->files.size() <= 2);
  for (const FileInfo& file : page->files) {
    CAIRN_CHECK(cairn::MasterStemOf(file.name) == cairn::MasterStemOf(kMaster));
  }
  if (page->next.empty()) return 0;
  // It leads on.
  CAIRN_CHECK(page->next != token);
  CAIRN_CHECK_OK(ListDerived(path, kMaster, page->next, 2, 1).status());
  return 0;
}
