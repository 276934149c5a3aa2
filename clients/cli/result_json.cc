#include "clients/cli/result_json.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clients/cli/format.h"
#include "lib/base/error_reason.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {

void AddFileInfo(const client::FileInfo& info, Json* json) {
  (*json)["file_id"] = info.file_id;
  (*json)["size_bytes"] = info.size_bytes;
  (*json)["crc32c"] = FormatCrc(info.crc32c);
  (*json)["kind"] = KindName(info.kind);
  (*json)["create_time"] = FormatUtc(info.create_time);
  // Text: the clock needs all 64 bits, and many JSON readers have 53.
  (*json)["version"] = VersionText(info);
  (*json)["origin_node"] = info.origin_node;
  if (info.expire_time) (*json)["expire_time"] = FormatUtc(*info.expire_time);
  if (!info.sha256.empty()) {
    (*json)["sha256"] = absl::BytesToHexString(info.sha256);
  }
}

std::string VersionText(const client::FileInfo& info) {
  return absl::StrCat(info.version_clock, ".", info.version_node);
}

absl::StatusOr<std::pair<uint64_t, uint32_t>> ParseVersion(
    const std::string& text) {
  std::pair<uint64_t, uint32_t> version;
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &version.first) ||
      !absl::SimpleAtoi(parts[1], &version.second)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           absl::StrCat("--if-version ", text,
                                        ": give it as `cairn stat` prints it"));
  }
  return version;
}

std::string KindName(client::FileKind kind) {
  switch (kind) {
    case client::FileKind::kNormal:
      return "normal";
    case client::FileKind::kAppender:
      return "appender";
    case client::FileKind::kDerived:
      return "derived";
  }
  return "unknown";
}

std::string LevelName(client::DurabilityLevel level) {
  return level == client::DurabilityLevel::kCached ? "cached" : "synced";
}

}  // namespace cli
}  // namespace cairn
