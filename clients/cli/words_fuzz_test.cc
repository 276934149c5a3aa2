// Whatever is typed where a size, a range, a time, a lifetime, a quota or an
// attribute is expected: it is refused, or is within its limits.

#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clients/cli/format.h"
#include "clients/cli/lifetime_text.h"
#include "clients/cli/moment.h"
#include "clients/cli/quota_text.h"
#include "lib/base/check.h"

namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kNowSeconds = 1767225600;

void TrySizes(absl::string_view text) {
  const absl::StatusOr<int64_t> bytes = cairn::cli::ParseBytes(text);
  if (bytes.ok()) {
    CAIRN_CHECK(*bytes >= 0);
    CAIRN_CHECK(!cairn::cli::FormatBytes(*bytes).empty());
    // A whole number of bytes is that number.
    if (*bytes < int64_t{1} << 53) {
      CAIRN_CHECK(*cairn::cli::ParseBytes(absl::StrCat(*bytes)) == *bytes);
    }
  }
  const absl::StatusOr<uint64_t> quota = cairn::cli::ParseQuotaBytes(text);
  CAIRN_CHECK(!quota.ok() || *quota <= static_cast<uint64_t>(kMax));
  if (quota.ok() && bytes.ok()) {
    CAIRN_CHECK(*quota == static_cast<uint64_t>(*bytes));
  }
  const absl::StatusOr<uint64_t> files = cairn::cli::ParseQuotaFiles(text);
  CAIRN_CHECK(!files.ok() || *files <= static_cast<uint64_t>(kMax));
}

void TryRange(absl::string_view text) {
  const absl::StatusOr<cairn::cli::ByteRange> range =
      cairn::cli::ParseRange(text);
  if (!range.ok()) return;
  CAIRN_CHECK(range->offset.has_value() || range->length.has_value());
  CAIRN_CHECK(range->offset.value_or(0) >= 0);
  CAIRN_CHECK(range->length.value_or(0) >= 0);
}

void TryTimes(absl::string_view text) {
  const absl::Time now = absl::FromUnixSeconds(kNowSeconds);
  const absl::StatusOr<absl::Time> moment = cairn::cli::ParseMoment(text, now);
  if (moment.ok()) {
    CAIRN_CHECK(*moment >= absl::UnixEpoch());
    CAIRN_CHECK(*moment < absl::InfiniteFuture());
  }
  const absl::StatusOr<absl::Duration> lives =
      cairn::cli::ParseTimeToLive(text);
  if (lives.ok()) {
    CAIRN_CHECK(*lives >= absl::Seconds(1));
    CAIRN_CHECK(*lives < absl::InfiniteDuration());
  }
  const auto in = cairn::cli::LifetimeOf(text, "");
  CAIRN_CHECK(text.empty() || in.ok() == lives.ok());
  const auto at = cairn::cli::LifetimeOf("", text);
  if (at.ok() && !text.empty()) CAIRN_CHECK(at->expire_time.has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  TrySizes(text);
  TryRange(text);
  TryTimes(text);
  return 0;
}
