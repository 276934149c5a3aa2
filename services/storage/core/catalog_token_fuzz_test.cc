// Whatever a client sends as the token of a page or of a watch: it is refused,
// or is the text that the token has and no other.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"
#include "services/storage/core/catalog_token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<cairn::storage::PageToken> page =
      cairn::storage::PageToken::Parse(text);
  if (page.ok()) CAIRN_CHECK(page->ToString() == text);
  const absl::StatusOr<cairn::storage::WatchToken> watch =
      cairn::storage::WatchToken::Parse(text);
  CAIRN_CHECK(!page.ok() || !watch.ok());
  if (!watch.ok()) return 0;
  // Its positions may have been in another order.
  const absl::StatusOr<cairn::storage::WatchToken> again =
      cairn::storage::WatchToken::Parse(watch->ToString());
  CAIRN_CHECK(again.ok());
  CAIRN_CHECK(again->positions == watch->positions);
  return 0;
}
