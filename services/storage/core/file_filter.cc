#include "services/storage/core/file_filter.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "lib/file_id/file_id.h"
#include "services/storage/core/file_key.h"

namespace cairn {
namespace storage {
namespace {

using Step = FileVisitor::Step;

// `3F/A2/`, in front of the last part.
constexpr size_t kFoldersSize = 6;

// Of the first folder alone.
constexpr size_t kFolderSize = 2;

// Sorts behind every key that is made of a file ID.
constexpr char kBehindAll[] = "\xff";

std::string KeyFloor(uint32_t node_number, int64_t unix_seconds) {
  std::string key;
  AppendFileKey(
      FileNameFloor({node_number, static_cast<uint32_t>(unix_seconds)}), &key);
  return key;
}

}  // namespace

FileFilter::FileFilter(FileConditions conditions)
    : conditions_(std::move(conditions)) {
  const absl::string_view prefix = conditions_.prefix;
  const bool has_folders = absl::StrContains(prefix, '/');
  // Without a slash it may be the beginning of a folder, if it is that short.
  absl::string_view last_part;
  if (!has_folders && prefix.size() > kFolderSize) {
    last_part = prefix;
    prefix_is_range_ = true;
  } else if (has_folders && prefix.size() > kFoldersSize &&
             prefix[kFoldersSize - 1] == '/' &&
             !absl::StrContains(prefix.substr(kFoldersSize), '/')) {
    last_part = prefix.substr(kFoldersSize);
  }
  if (!last_part.empty()) {
    AppendFileKey(last_part, &range_.from);
    range_.until = EndOfPrefix(range_.from);
  }
}

bool FileFilter::CheckPrefix(absl::string_view key) {
  if (conditions_.prefix.empty() || prefix_is_range_) return true;
  if (!FileNameFromKey(key, &name_)) return true;  // An error for who reads it.
  const absl::string_view name = name_;
  const size_t slash = name.rfind('/');
  return absl::StartsWith(name, conditions_.prefix) ||
         (slash != absl::string_view::npos &&
          absl::StartsWith(name.substr(slash + 1), conditions_.prefix));
}

Step FileFilter::CheckKey(absl::string_view key, std::string* seek) {
  if (conditions_.created_from.has_value() ||
      conditions_.created_before.has_value()) {
    const absl::string_view last_part = key.substr(0, key.find('\0'));
    FileNameFromKey(last_part.substr(0, kFileNameFloorSize), &name_);
    const absl::optional<FileNameOrigin> origin = DecodeFileNameFloor(name_);
    if (origin.has_value()) {
      const int64_t created = origin->create_unix_seconds;
      if (conditions_.created_before.has_value() &&
          created >= *conditions_.created_before) {
        *seek = origin->node_number == std::numeric_limits<uint32_t>::max()
                    ? kBehindAll
                    : KeyFloor(origin->node_number + 1, 0);
        return Step::kSeek;
      }
      if (conditions_.created_from.has_value() &&
          created < *conditions_.created_from) {
        if (conditions_.kind.has_value() &&
            *conditions_.kind != FileKind::kDerived) {
          *seek =
              *conditions_.created_from > std::numeric_limits<uint32_t>::max()
                  ? KeyFloor(origin->node_number,
                             std::numeric_limits<uint32_t>::max())
                  : KeyFloor(origin->node_number, *conditions_.created_from);
          return key < *seek ? Step::kSeek : Step::kSkip;
        }
        if (!IsDerivedLastPart(last_part)) return Step::kSkip;
      }
    }
  }
  return CheckPrefix(key) ? Step::kShow : Step::kSkip;
}

bool FileFilter::CheckFile(const KnownFile& known,
                           int64_t now_unix_seconds) const {
  if (!IsVisible(known, now_unix_seconds)) return false;
  const FileInfo& file = known.file;
  if (conditions_.kind.has_value() && file.kind != *conditions_.kind) {
    return false;
  }
  if (conditions_.created_from.has_value() &&
      file.create_unix_seconds < *conditions_.created_from) {
    return false;
  }
  if (conditions_.created_before.has_value() &&
      file.create_unix_seconds >= *conditions_.created_before) {
    return false;
  }
  if (conditions_.attributes.empty()) return true;
  const absl::StatusOr<Attributes> attributes =
      DecodeAttributes(file.attributes);
  if (!attributes.ok()) return false;
  for (const auto& [key, value] : conditions_.attributes) {
    const auto it = attributes->find(key);
    if (it == attributes->end()) return false;
    if (!value.empty() && it->second != value) return false;
  }
  return true;
}

}  // namespace storage
}  // namespace cairn
