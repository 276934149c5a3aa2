#include "services/storage/store/testing/expected_files.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace storage {

std::string PresenceName(Presence states) {
  std::vector<std::string> names;
  if (states & kAbsent) names.push_back("absent");
  if (states & kPresent) names.push_back("present");
  if (states & kDeleted) names.push_back("deleted");
  return absl::StrJoin(names, " or ");
}

std::string MakeContent(uint64_t seed, int64_t size) {
  std::string content(static_cast<size_t>(size), '\0');
  // SplitMix64: no two seeds share a run of bytes.
  uint64_t state = seed * 0x9e3779b97f4a7c15;
  for (size_t at = 0; at < content.size(); at += 8) {
    state += 0x9e3779b97f4a7c15;
    uint64_t value = state;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    value ^= value >> 31;
    std::memcpy(&content[at], &value, std::min<size_t>(8, content.size() - at));
  }
  return content;
}

bool NothingWasChanged(const absl::Status& error) {
  switch (ReasonOf(error)) {
    case ErrorReason::kStorePathReadOnly:
    case ErrorReason::kDiskFull:
    case ErrorReason::kOverloaded:
    case ErrorReason::kRequestIdReused:
    case ErrorReason::kShuttingDown:
    case ErrorReason::kFileNotFound:
    case ErrorReason::kFileDeleted:
    case ErrorReason::kReadFailed:
    case ErrorReason::kContentDamaged:
    case ErrorReason::kContentNotHere:
      return true;
    case ErrorReason::kWriteFailed:
      CAIRN_CHECK_MSG(absl::IsAborted(error), error.ToString());
      return false;
    default:
      ADD_FAILURE() << "a change may not fail with " << error;
      return false;
  }
}

ExpectedFile* ExpectedFiles::BeginPut(ExpectedFile file) {
  file.now = kAbsent | kPresent;
  file.after_power_cut = kAbsent | kPresent;
  file.busy = true;
  const std::string name = file.name;
  const auto [entry, inserted] = files_.emplace(name, std::move(file));
  CAIRN_CHECK_MSG(inserted, name);
  return &entry->second;
}

void ExpectedFiles::CheckAnswer(ExpectedFile* file, const Committed& answer) {
  const FileInfo& info = answer.file;
  EXPECT_EQ(info.name, file->name);
  EXPECT_EQ(info.size_bytes, file->size_bytes) << file->name;
  EXPECT_EQ(info.crc32c, file->crc32c) << file->name;
  EXPECT_EQ(info.create_unix_seconds, file->create_unix_seconds) << file->name;
  EXPECT_EQ(info.origin_node, file->origin_node) << file->name;
  EXPECT_TRUE(info.kind == file->kind) << file->name;
  // They are gone with the file.
  if ((file->now & kDeleted) == 0) {
    EXPECT_EQ(info.attributes, file->attributes) << file->name;
    EXPECT_EQ(info.expire_unix_seconds, file->expire_unix_seconds)
        << file->name;
  }
}

void ExpectedFiles::EndPut(ExpectedFile* file,
                           const absl::StatusOr<Committed>& answer) {
  file->busy = false;
  if (answer.ok() && answer->replayed) {
    // The name was not used: an earlier call did it.
    ExpectedFile* const first = Find(answer->file.name);
    if (first == nullptr || first == file || file->request_id.is_nil() ||
        first->request_id != file->request_id) {
      ADD_FAILURE() << file->name << " was answered with " << answer->file.name;
      return;
    }
    CheckAnswer(first, *answer);
    EXPECT_FALSE(first->now & kAbsent) << first->name;
    if (answer->reached == Durability::kSynced) {
      first->after_power_cut &= ~kAbsent;
      first->put_synced = true;
    }
    file->now = kAbsent;
    file->after_power_cut = kAbsent;
    file->request_id = Uuid();
    return;
  }
  if (answer.ok()) {
    CheckAnswer(file, *answer);
    for (auto& [name, other] : files_) {
      if (&other == file || other.request_id.is_nil() ||
          other.request_id != file->request_id) {
        continue;
      }
      ADD_FAILURE() << file->name << " was stored, but " << name
                    << " is of the same request and "
                    << PresenceName(other.now);
    }
    file->now &= ~kAbsent;
    if (answer->reached == Durability::kSynced) {
      file->after_power_cut &= ~kAbsent;
      file->put_synced = true;
    }
    if (!file->version.has_value()) file->version = answer->file.version;
    return;
  }
  if (NothingWasChanged(answer.status())) {
    file->now = kAbsent;
    file->after_power_cut = kAbsent;
  }
}

void ExpectedFiles::BeginDelete(ExpectedFile* file, bool purge) {
  CAIRN_CHECK(!file->busy);
  CAIRN_CHECK_MSG(file->now == kPresent, PresenceName(file->now));
  file->busy = true;
  // One that a crash took back may have been the purge.
  file->purged = file->purged || purge;
  file->before_change = file->after_power_cut;
  file->now |= kDeleted;
  file->after_power_cut |= kDeleted;
}

void ExpectedFiles::EndDelete(ExpectedFile* file,
                              const absl::StatusOr<Committed>& answer) {
  file->busy = false;
  if (answer.ok()) {
    EXPECT_EQ(answer->file.name, file->name);
    file->now = kDeleted;
    // A synced delete says nothing of an earlier put that it outlives: the
    // tombstone stands by itself.
    if (answer->reached == Durability::kSynced) {
      file->after_power_cut = kDeleted;
    }
    return;
  }
  if (NothingWasChanged(answer.status())) {
    EXPECT_FALSE(absl::IsNotFound(answer.status()))
        << file->name << " was present: " << answer.status();
    // One that was brought back may still be deleted after a power cut.
    file->now = kPresent;
    file->after_power_cut = file->before_change;
  }
}

void ExpectedFiles::Purge(ExpectedFile* file) {
  CAIRN_CHECK(!file->busy);
  CAIRN_CHECK_MSG(file->now == kDeleted, PresenceName(file->now));
  file->purged = true;
}

void ExpectedFiles::BeginUndelete(ExpectedFile* file) {
  CAIRN_CHECK(!file->busy && !file->purged);
  CAIRN_CHECK_MSG(file->now == kDeleted, PresenceName(file->now));
  file->busy = true;
  file->brought_back = true;
  file->before_change = file->after_power_cut;
  file->now |= kPresent;
  file->after_power_cut |= kPresent;
}

void ExpectedFiles::EndUndelete(ExpectedFile* file,
                                const absl::StatusOr<Committed>& answer) {
  file->busy = false;
  if (answer.ok()) {
    file->now = kPresent;
    CheckAnswer(file, *answer);
    if (answer->reached == Durability::kSynced) {
      file->after_power_cut = kPresent;
      file->put_synced = true;
    }
    return;
  }
  if (ReasonOf(answer.status()) == ErrorReason::kContentNotHere) {
    // A power cut took its unsynced bytes while it was deleted, or before.
    EXPECT_FALSE(file->put_synced) << file->name;
  }
  if (NothingWasChanged(answer.status())) {
    EXPECT_FALSE(absl::IsNotFound(answer.status()))
        << file->name << " was kept: " << answer.status();
    file->now = kDeleted;
    file->after_power_cut = file->before_change;
  }
}

void ExpectedFiles::OnEnding(Ending ending) {
  on_disk_ = ending == Ending::kPowerCut || (on_disk_ && !seen_);
  seen_ = false;
  for (auto& [name, file] : files_) {
    EXPECT_FALSE(file.busy) << name << " was never answered";
    if (ending == Ending::kPowerCut) file.now = file.after_power_cut;
    // A clean stop syncs everything.
    if (ending == Ending::kCleanStop) {
      file.after_power_cut &= file.now;
      file.put_synced |= file.now == kPresent;
    }
  }
}

void ExpectedFiles::OnSeen(ExpectedFile* file, Presence state,
                           const absl::optional<Version>& version) {
  EXPECT_TRUE(file->now & state)
      << file->name << " (" << file->size_bytes << " bytes) is "
      << PresenceName(state) << " and should be " << PresenceName(file->now);
  seen_ = true;
  file->now = state;
  if (on_disk_) {
    // What is found after a power cut is on the disk.
    file->after_power_cut = state;
    file->put_synced |= state == kPresent;
  } else if (!file->brought_back) {
    // What it was found not to have become, it must not become later.
    file->after_power_cut &= static_cast<Presence>(state | (state - 1));
  }
  EXPECT_NE(file->after_power_cut, 0) << file->name;
  if (state == kPresent && version.has_value() && !file->brought_back) {
    if (file->version.has_value()) {
      EXPECT_TRUE(*file->version == *version)
          << file->name << " has another version than it was answered with";
    }
    file->version = version;
  }
}

void ExpectedFiles::ForgetRequests() {
  for (auto& [name, file] : files_) file.request_id = Uuid();
}

ExpectedFile* ExpectedFiles::Find(absl::string_view name) {
  const auto found = files_.find(std::string(name));
  return found == files_.end() ? nullptr : &found->second;
}

ExpectedFile* ExpectedFiles::PickPresent(uint64_t random) {
  std::vector<ExpectedFile*> present;
  for (auto& [name, file] : files_) {
    if (file.now == kPresent && !file.busy) present.push_back(&file);
  }
  return present.empty() ? nullptr : present[random % present.size()];
}

ExpectedFile* ExpectedFiles::PickDeleted(uint64_t random) {
  std::vector<ExpectedFile*> deleted;
  for (auto& [name, file] : files_) {
    if (file.now == kDeleted && !file.purged && !file.busy) {
      deleted.push_back(&file);
    }
  }
  return deleted.empty() ? nullptr : deleted[random % deleted.size()];
}

int64_t ExpectedFiles::CountPresent() const {
  int64_t count = 0;
  for (const auto& [name, file] : files_) count += file.now == kPresent;
  return count;
}

int64_t ExpectedFiles::CountDeleted() const {
  int64_t count = 0;
  for (const auto& [name, file] : files_) count += file.now == kDeleted;
  return count;
}

}  // namespace storage
}  // namespace cairn
