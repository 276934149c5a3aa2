#include "services/storage/core/derived_files.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/file_id/file_id.h"
#include "services/storage/core/file_page.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/queue_full.h"

namespace cairn {
namespace storage {
namespace {

// Files that are deleted at a time.
constexpr size_t kDeletesAtOnce = 100;

// The keys of the master and of what is derived from it.
FileRange RangeOf(absl::string_view master) {
  const absl::string_view stem = MasterStemOf(master);
  return RangeOfLastPart(stem.substr(stem.rfind('/') + 1));
}

// Deletes page by page; keeps itself alive while it has work.
class Deletion : public std::enable_shared_from_this<Deletion> {
 public:
  Deletion(std::shared_ptr<StorePath> path, std::string master,
           Durability durability, bool purge, int64_t now_unix_seconds,
           DeletedDone done)
      : path_(std::move(path)),
        master_(std::move(master)),
        durability_(durability),
        purge_(purge),
        now_unix_seconds_(now_unix_seconds),
        done_(std::move(done)) {}

  void NextPage() {
    const bool queued = path_->io()->TrySubmit(
        [self = shared_from_this()] { self->RunPage(); });
    if (!queued) {
      done_(QueueFull());
    }
  }

 private:
  void RunPage() {
    absl::StatusOr<DerivedPage> page = ListDerived(
        path_.get(), master_, token_, kDeletesAtOnce, now_unix_seconds_);
    if (!page.ok()) {
      done_(page.status());
      return;
    }
    token_ = std::move(page->next);
    {
      MutexLock lock(&mu_);
      left_ = page->files.size() + 1;
    }
    for (FileInfo& file : page->files) {
      DeleteRequest request;
      request.name = std::move(file.name);
      request.purge = purge_;
      request.durability = durability_;
      path_->Delete(std::move(request),
                    [self = shared_from_this()](
                        const absl::StatusOr<Committed>& committed) {
                      self->Deleted(committed.status());
                    });
    }
    PageEnded();
  }

  void Deleted(const absl::Status& status) {
    {
      MutexLock lock(&mu_);
      if (status.ok()) {
        ++deleted_;
      } else if (!absl::IsNotFound(status)) {  // Somebody else was faster.
        failed_.Update(status);
      }
    }
    PageEnded();
  }

  // One of those that the page waits for is through.
  void PageEnded() {
    absl::StatusOr<uint32_t> outcome;
    {
      MutexLock lock(&mu_);
      if (--left_ > 0) return;
      if (failed_.ok()) {
        outcome = deleted_;
      } else {
        outcome = failed_;
      }
    }
    if (outcome.ok() && !token_.empty()) {
      NextPage();
    } else {
      done_(std::move(outcome));
    }
  }

  const std::shared_ptr<StorePath> path_;
  const std::string master_;
  const Durability durability_;
  const bool purge_;
  const int64_t now_unix_seconds_;

  // Used by one at a time: the page that runs, or whoever ends it.
  std::string token_;
  DeletedDone done_;

  Mutex mu_;
  size_t left_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t deleted_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::Status CheckIsMaster(absl::string_view name) {
  if (DerivedPrefixOf(name).empty()) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kWrongKind,
                         "the file is derived itself: nothing is derived from "
                         "it",
                         {{"kind", "DERIVED"}});
}

absl::StatusOr<DerivedPage> ListDerived(StorePath* path,
                                        absl::string_view master,
                                        absl::string_view token, size_t limit,
                                        int64_t now_unix_seconds) {
  CAIRN_RETURN_IF_ERROR(CheckIsMaster(master));
  FileRange range = RangeOf(master);
  if (!token.empty()) {
    std::string from;
    if (!absl::WebSafeBase64Unescape(token, &from) || from < range.from ||
        from >= range.until) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
          "page_token is none of this file's", {{"field", "page_token"}});
    }
    range.from = std::move(from);
  }
  const absl::string_view stem = MasterStemOf(master);
  DerivedPage page;
  std::string next = range.from;
  while (page.files.size() < limit && !next.empty()) {
    range.from = std::move(next);
    CAIRN_ASSIGN_OR_RETURN(
        FilePage read, ReadFilePage(path, range, limit - page.files.size()));
    next = std::move(read.next);
    for (KnownFile& known : read.files) {
      // The same characters in other folders are no name that was ever made.
      if (IsVisible(known, now_unix_seconds) &&
          MasterStemOf(known.file.name) == stem &&
          !DerivedPrefixOf(known.file.name).empty()) {
        page.files.push_back(std::move(known.file));
      }
    }
  }
  if (!next.empty()) page.next = absl::WebSafeBase64Escape(next);
  return page;
}

void DeleteDerived(std::shared_ptr<StorePath> path, std::string master,
                   Durability durability, bool purge, int64_t now_unix_seconds,
                   DeletedDone done) {
  std::make_shared<Deletion>(std::move(path), std::move(master), durability,
                             purge, now_unix_seconds, std::move(done))
      ->NextPage();
}

}  // namespace storage
}  // namespace cairn
