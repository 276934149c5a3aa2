#include "services/storage/store/path_health.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "services/storage/store/suspect_mark.h"

namespace cairn {
namespace storage {
namespace {

constexpr absl::Duration kRefreshInterval = absl::Milliseconds(500);
constexpr absl::Duration kRefreshWhenFull = absl::Milliseconds(100);
constexpr absl::Duration kNoSpacePause = absl::Seconds(1);

// A path without room for a file of this size is called full: placing uploads
// on it would be of no use.
constexpr int64_t kUsefulBytes = 64 << 10;

std::string BallastPath(const std::string& directory) {
  return absl::StrCat(directory, "/BALLAST");
}

}  // namespace

PathHealth::PathHealth(const StorePathOptions& options, FileSystem* fs,
                       Clock* clock)
    : directory_(options.directory),
      path_index_(options.path_index),
      reserve_bytes_(options.reserve_bytes),
      reserve_percent_(options.reserve_percent),
      ballast_bytes_(options.ballast_bytes),
      read_only_by_configuration_(options.read_only),
      fs_(fs),
      clock_(clock) {}

absl::Status PathHealth::CheckWanted() const {
  if (!read_only_by_configuration_) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, ErrorReason::kStorePathReadOnly,
      absl::StrCat("store path ", directory_,
                   " is read-only: its configuration says so"),
      {{"path", absl::StrCat(path_index_)}});
}

absl::Status PathHealth::ReadOnlyError() const {
  std::string why;
  {
    MutexLock lock(&mu_);
    why = std::string(why_broken_.message());
  }
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, ErrorReason::kStorePathReadOnly,
      absl::StrCat("store path ", directory_, " is read-only: ", why),
      {{"path", absl::StrCat(path_index_)}});
}

absl::Status PathHealth::FullError() const {
  return ErrorWithReason(
      absl::StatusCode::kResourceExhausted, ErrorReason::kDiskFull,
      absl::StrCat("store path ", directory_, " is full: ", available_.load(),
                   " bytes free, ", Reserve(), " reserved"),
      {{"path", absl::StrCat(path_index_)}});
}

int64_t PathHealth::Reserve() const {
  const double decided =
      decided_reserve_percent_.load(std::memory_order_relaxed);
  if (decided >= 0) {
    return static_cast<int64_t>(static_cast<double>(total_.load()) * decided /
                                100);
  }
  return std::max(reserve_bytes_,
                  static_cast<int64_t>(static_cast<double>(total_.load()) *
                                       reserve_percent_ / 100));
}

absl::Status PathHealth::Refresh() {
  const absl::StatusOr<FileSystemSpace> space = fs_->Space(directory_);
  refreshed_ns_.store(absl::ToInt64Nanoseconds(clock_->Monotonic()));
  if (!space.ok()) return space.status();
  total_.store(space->total_bytes);
  available_.store(space->available_bytes);
  return absl::OkStatus();
}

void PathHealth::RefreshIfOld(absl::Duration age) {
  const int64_t now = absl::ToInt64Nanoseconds(clock_->Monotonic());
  int64_t last = refreshed_ns_.load(std::memory_order_relaxed);
  if (now - last < absl::ToInt64Nanoseconds(age)) return;
  // One caller asks, the others go on with what is known.
  if (!refreshed_ns_.compare_exchange_strong(last, now)) return;
  const absl::Status refreshed = Refresh();
  if (!refreshed.ok()) {
    CAIRN_LOG(kWarning, "store", "cannot tell free space path={} error={}",
              directory_, refreshed);
  }
}

bool PathHealth::HasRoom(int64_t bytes) {
  const int64_t available = available_.load(std::memory_order_relaxed);
  const int64_t ballast =
      ballast_released_.load(std::memory_order_relaxed) ? ballast_bytes_ : 0;
  const int64_t own_need = own_need_.load(std::memory_order_relaxed);
  if (available - bytes < std::max(Reserve(), own_need) + ballast) return false;
  const int64_t until = no_space_until_ns_.load(std::memory_order_relaxed);
  if (until == 0) return true;
  if (available > no_space_available_.load(std::memory_order_relaxed) + bytes ||
      absl::ToInt64Nanoseconds(clock_->Monotonic()) >= until) {
    no_space_until_ns_.store(0);
    return true;
  }
  return false;
}

absl::Status PathHealth::CheckWrite(int64_t bytes) {
  if (broken()) return ReadOnlyError();
  RefreshIfOld(kRefreshInterval);
  if (HasRoom(bytes)) return absl::OkStatus();
  RefreshIfOld(kRefreshWhenFull);
  return HasRoom(bytes) ? absl::OkStatus() : FullError();
}

absl::Status PathHealth::CheckSmallChange() {
  return broken() ? ReadOnlyError() : absl::OkStatus();
}

absl::Status PathHealth::CheckOwnWrite(int64_t bytes) {
  if (broken()) return ReadOnlyError();
  CAIRN_RETURN_IF_ERROR(Refresh());
  return available_.load() >= bytes ? absl::OkStatus() : FullError();
}

void PathHealth::SetNoSpace() {
  Refresh().IgnoreError();  // The last answer stays.
  no_space_available_.store(available_.load());
  no_space_until_ns_.store(
      absl::ToInt64Nanoseconds(clock_->Monotonic() + kNoSpacePause));
}

void PathHealth::SetBroken(const absl::Status& why) {
  {
    MutexLock lock(&mu_);
    if (!why_broken_.ok()) return;
    why_broken_ = why;
  }
  broken_.store(true, std::memory_order_release);
  CAIRN_LOG(kError, "store",
            "path is read-only for good, see docs/runbooks/read_only_path.md "
            "path={} error={}",
            directory_, why);
  MarkIfBroken();
}

void PathHealth::MarkIfBroken() {
  if (!broken() || marked_.load()) return;
  const absl::Status marked =
      WriteSuspectMark(fs_, directory_, ReadOnlyError().message());
  if (marked.ok()) marked_.store(true);
}

absl::Status PathHealth::OutcomeUnknown() const {
  std::string why;
  {
    MutexLock lock(&mu_);
    why = std::string(why_broken_.message());
  }
  return ErrorWithReason(absl::StatusCode::kAborted, ErrorReason::kWriteFailed,
                         absl::StrCat("store path ", directory_, ": ", why),
                         {{"path", absl::StrCat(path_index_)}});
}

void PathHealth::RestoreBallast() {
  if (ballast_bytes_ <= 0 || broken()) return;
  const std::string path = BallastPath(directory_);
  const absl::StatusOr<FileStat> stat = fs_->Stat(path);
  if (stat.ok() && stat->size_bytes == ballast_bytes_) {
    ballast_released_.store(false);
    return;
  }
  if (available_.load() < Reserve() + 2 * ballast_bytes_) return;
  const absl::StatusOr<std::unique_ptr<File>> file =
      fs_->Open(path, OpenMode::kCreate);
  if (!file.ok()) return;
  // Written and not only reserved, since not every file system can reserve.
  const std::string zeros(256 << 10, '\0');
  absl::Status written;
  for (int64_t at = 0; at < ballast_bytes_ && written.ok();
       at += static_cast<int64_t>(zeros.size())) {
    written = (*file)->WriteAt(
        at, {absl::string_view(zeros).substr(0, ballast_bytes_ - at)});
  }
  // Half a ballast helps nobody: leave the room to others.
  if (!written.ok()) {
    (*file)->Truncate(0).IgnoreError();
    return;
  }
  ballast_released_.store(false);
}

void PathHealth::ReleaseBallast() {
  if (ballast_bytes_ <= 0) return;
  const absl::StatusOr<std::unique_ptr<File>> file =
      fs_->Open(BallastPath(directory_), OpenMode::kReadWrite);
  if (file.ok() && (*file)->Truncate(0).ok()) ballast_released_.store(true);
}

PathHealth::Report PathHealth::Describe() {
  RefreshIfOld(kRefreshInterval);
  Report report;
  report.total_bytes = total_.load();
  report.free_bytes = std::max<int64_t>(available_.load(), 0);
  report.reserve_bytes = Reserve();
  if (broken()) {
    report.state = StorePathState::kReadOnly;
    report.detail = absl::StrCat(
        ReadOnlyError().message(),
        "; check the disk, then open the path again or replace it");
  } else if (read_only_by_configuration_) {
    report.state = StorePathState::kReadOnly;
    report.read_only_by_configuration = true;
    report.detail = absl::StrCat(
        CheckWanted().message(),
        "; take read_only from its store_paths entry and restart the node to "
        "write to it");
  } else if (!HasRoom(kUsefulBytes)) {
    report.state = StorePathState::kFull;
    report.detail = absl::StrCat(
        FullError().message(),
        "; delete files, compact, or give it more room: writes return by "
        "themselves");
  }
  return report;
}

}  // namespace storage
}  // namespace cairn
