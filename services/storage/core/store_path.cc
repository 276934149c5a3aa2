#include "services/storage/core/store_path.h"

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {

absl::Status CheckCopy(const FileInfo& file) {
  if (file.kind != FileKind::kAppender) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongKind,
      absl::StrCat("file ", file.name,
                   " is an appender, whose content changes: seal it first"),
      {{"kind", "APPENDER"}});
}

absl::Status CheckUpdate(const FileInfo& file,
                         const absl::optional<int64_t>& if_size_bytes,
                         const absl::optional<Version>& if_version) {
  if (file.kind != FileKind::kAppender) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kNotAnAppender,
        absl::StrCat("file ", file.name,
                     " is no appender; its content never changes"),
        {{"kind", file.kind == FileKind::kDerived ? "DERIVED" : "NORMAL"}});
  }
  const bool size_differs =
      if_size_bytes.has_value() && *if_size_bytes != file.size_bytes;
  const bool version_differs =
      if_version.has_value() && !(*if_version == file.version);
  if (size_differs || version_differs) {
    return ErrorWithReason(
        absl::StatusCode::kAborted, ErrorReason::kConditionFailed,
        absl::StrCat("file ", file.name, " has ", file.size_bytes,
                     " bytes in version ", file.version.clock, "/",
                     file.version.node, "; the condition says otherwise"),
        {{"size_bytes", absl::StrCat(file.size_bytes)},
         {"version_clock", absl::StrCat(file.version.clock)},
         {"version_node", absl::StrCat(file.version.node)}});
  }
  return absl::OkStatus();
}

}  // namespace storage
}  // namespace cairn
