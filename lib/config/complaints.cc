#include "lib/config/complaints.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/error_reason.h"
#include "lib/base/host_port.h"

namespace cairn {

void Complaints::Add(absl::string_view field, absl::string_view text) {
  lines_.push_back(absl::StrCat(field, ": ", text));
  if (field_.empty()) field_ = std::string(field);
}

void Complaints::CheckRange(absl::string_view field, int64_t value,
                            int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  Add(field,
      absl::StrCat(value, " does not lie between ", least, " and ", most));
}

void Complaints::CheckRange(absl::string_view field, absl::Duration value,
                            absl::Duration least, absl::Duration most) {
  if (value >= least && value <= most) return;
  Add(field, absl::StrCat(absl::FormatDuration(value), " does not lie between ",
                          absl::FormatDuration(least), " and ",
                          absl::FormatDuration(most)));
}

void Complaints::CheckListenAddress(absl::string_view field,
                                    absl::string_view address) {
  if (ParseHostPort(address).ok()) return;
  Add(field, absl::StrCat("`", address,
                          "` is not an address; write host:port or [v6]:port"));
}

void Complaints::CheckPeerAddress(absl::string_view field,
                                  absl::string_view address) {
  CheckListenAddress(field, address);
  const auto parsed = ParseHostPort(address);
  if (!parsed.ok() || parsed->port != 0) return;
  Add(field,
      absl::StrCat("`", address, "` has port 0; others need the real one"));
}

absl::Status Complaints::status() const {
  if (lines_.empty()) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField,
                         absl::StrJoin(lines_, "\n"), {{"field", field_}});
}

}  // namespace cairn
