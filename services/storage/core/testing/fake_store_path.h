// A store path in memory that keeps the contract of StorePath, for tests of
// what stands on it. Tests make it slow, full, read-only or damaged.

#ifndef CAIRN_SERVICES_STORAGE_CORE_TESTING_FAKE_STORE_PATH_H_
#define CAIRN_SERVICES_STORAGE_CORE_TESTING_FAKE_STORE_PATH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "services/storage/core/file_scan.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// Contents from this size on are shared.
inline constexpr int64_t kFakeDedupBytesMin = 64 << 10;

// Thread-safe. Changes are answered inside the call unless they are held.
class FakeStorePath : public StorePath {
 public:
  FakeStorePath();
  ~FakeStorePath() override;

  // --- What tests decide.

  // Try…() calls answer nullopt, as if nothing were cached.
  void set_cold(bool cold);

  // Every change answers this error while it is not OK.
  void set_refusal(absl::Status refusal);

  // Reads of a file's content answer CONTENT_DAMAGED from this offset on.
  void DamageContent(absl::string_view name, int64_t from_offset);

  // Until when deletions say that they can be taken back; 0: not at all.
  void set_undelete_until_unix_seconds(int64_t seconds);

  // The file has expired.
  void Expire(absl::string_view name);

  // Keeps answers to changes back until ReleaseCommits().
  void HoldCommits();
  void ReleaseCommits();
  int held_commits() const;

  void set_newest_create_unix_seconds(int64_t seconds);
  void set_free_bytes(int64_t bytes);
  void set_small_file_bytes_max(int64_t bytes);

  // --- What tests look at.
  int64_t files() const;
  int uploads_in_progress() const;
  int dropped_deleted() const;  // Calls of DropDeleted().
  std::string ContentOf(absl::string_view name) const;

  // --- StorePath.
  ReplicaStore* replica() override { return nullptr; }  // Nobody copies it.
  void Put(PutRequest request, CommitDone done) override;
  void Delete(DeleteRequest request, CommitDone done) override;
  void Undelete(UndeleteRequest request, CommitDone done) override;
  void Seal(SealRequest request, CommitDone done) override;
  void SetAttributes(SetAttributesRequest request, CommitDone done) override;
  void SetExpiry(SetExpiryRequest request, CommitDone done) override;
  void Update(UpdateRequest request, CommitDone done) override;
  void Copy(CopyRequest request, CommitDone done) override;
  absl::StatusOr<std::unique_ptr<Upload>> StartUpload(
      absl::optional<int64_t> size_bytes) override;
  absl::StatusOr<FileInfo> Stat(absl::string_view name) override;
  absl::optional<absl::StatusOr<FileInfo>> TryStat(
      absl::string_view name) override;
  absl::StatusOr<std::unique_ptr<OpenFile>> Open(
      absl::string_view name) override;
  absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> TryOpen(
      absl::string_view name) override;
  absl::StatusOr<absl::optional<Committed>> FindRequest(
      const Uuid& request_id, Durability wanted) override;
  absl::optional<absl::StatusOr<absl::optional<Committed>>> TryFindRequest(
      const Uuid& request_id, Durability wanted) override;
  absl::StatusOr<std::string> ScanFiles(const FileRange& range,
                                        FileVisitor* visitor) override;
  absl::Status Writable(int64_t bytes) override;
  StorePathStatus Status() override;
  int64_t newest_create_unix_seconds() override;
  absl::Status Compact(
      double dead_share_min,
      absl::AnyInvocable<void(const JobProgress&)> progress) override;
  absl::Status DropDeleted() override;
  void Stop() override;
  Executor* io() override { return &io_; }
  int64_t small_file_bytes_max() const override;

 private:
  friend class FakeUpload;
  friend class FakeOpenFile;

  struct StoredFile {
    FileInfo info;
    std::shared_ptr<const std::string> content;
    int64_t damaged_from = -1;
    bool deleted = false;
    bool expired = false;  // Expire() was called.
  };

  struct NewFile {
    Uuid request_id;
    FileInfo info;
    std::string content;
    bool dedup;
    Durability durability;
  };

  // Makes a change, unless the path refuses or an earlier call with the
  // request_id made it, and answers.
  template <typename Request>
  using MakeChange =
      absl::StatusOr<Committed> (FakeStorePath::*)(const Request& request);
  template <typename Request>
  void Change(MakeChange<Request> make, Request request, CommitDone done)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The answer to the newest change.
  Committed CommittedLocked(const FileInfo& info, Durability durability) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::StatusOr<Committed> StoreLocked(const NewFile& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Committed> DeleteLocked(const DeleteRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Committed> UndeleteLocked(const UndeleteRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Committed> SealLocked(const SealRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Committed> UpdateLocked(const UpdateRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Committed> CopyLocked(const CopyRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Committed> SetAttributesLocked(
      const SetAttributesRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Committed> SetExpiryLocked(const SetExpiryRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<const StoredFile*> FindLocked(absl::string_view name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Store(const Uuid& request_id, const FileInfo& info, std::string content,
             bool dedup, Durability durability, CommitDone done)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Answer(absl::StatusOr<Committed> outcome, CommitDone done)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool cold() const ABSL_LOCKS_EXCLUDED(mu_);

  const LogId log_ = {Uuid::Random(), 1};

  mutable Mutex mu_;
  std::map<std::string, StoredFile> stored_ ABSL_GUARDED_BY(mu_);
  std::map<Uuid, Committed> requests_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<absl::StatusOr<Committed>, CommitDone>> held_
      ABSL_GUARDED_BY(mu_);
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);
  bool cold_ ABSL_GUARDED_BY(mu_) = false;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  int uploads_in_progress_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t newest_create_unix_seconds_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t undelete_until_unix_seconds_ ABSL_GUARDED_BY(mu_) = 0;
  int dropped_deleted_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t free_bytes_ ABSL_GUARDED_BY(mu_) = int64_t{1} << 40;
  int64_t small_file_bytes_max_ ABSL_GUARDED_BY(mu_) = 1 << 20;
  uint64_t sequence_ ABSL_GUARDED_BY(mu_) = 0;

  ThreadPool io_;  // Last, so that its threads end first.
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_TESTING_FAKE_STORE_PATH_H_
