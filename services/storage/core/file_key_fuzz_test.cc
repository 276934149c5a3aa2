// Keys of files, from the index and from cursors of other members: whatever
// they are, a name is made of them or none, and no two names have the same.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/check.h"
#include "services/storage/core/file_key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using cairn::storage::AppendFileKey;
  using cairn::storage::FileNameFromKey;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto check_name = [](absl::string_view name) {
    std::string key;
    AppendFileKey(name, &key);
    const absl::optional<std::string> again = FileNameFromKey(key);
    CAIRN_CHECK(again.has_value() && *again == name);
  };
  check_name(bytes);
  if (const absl::optional<std::string> name = FileNameFromKey(bytes)) {
    check_name(*name);
  }
  CAIRN_CHECK(cairn::storage::KeyBehind(bytes) > bytes);
  const std::string end = cairn::storage::EndOfPrefix(bytes);
  CAIRN_CHECK(end.empty() || end > bytes);
  return 0;
}
