// Large files from their call to their end, on streams of their own, for
// threads that may block.

#ifndef CAIRN_CLIENTS_CPP_TRANSFERS_H_
#define CAIRN_CLIENTS_CPP_TRANSFERS_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clients/cpp/appender_codec.h"
#include "clients/cpp/chunk_source.h"
#include "clients/cpp/raw_call.h"
#include "clients/cpp/retry.h"
#include "clients/cpp/router.h"
#include "clients/cpp/types.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace client {

struct TransferOptions {
  RetryOptions retry;
  absl::Duration stall_timeout = absl::Seconds(30);
  int32_t chunk_bytes = 512 << 10;
};

// Thread-safe.
class Transfers {
 public:
  // `router` is borrowed.
  Transfers(const TransferOptions& options, Router* router);

  // Sends all of `source`. A broken upload begins again, if the source can,
  // with the same request_id.
  absl::StatusOr<PutResult> Upload(ChunkSource* source,
                                   const PutOptions& options)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Gives the range to `sink`. A broken download goes on where it stood.
  absl::StatusOr<FileInfo> Download(absl::string_view file_id,
                                    ContentSink* sink,
                                    const GetOptions& options)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Makes an appender, and changes one; see Client. `content` is borrowed.
  absl::StatusOr<PutResult> CreateAppender(absl::string_view content,
                                           const PutOptions& options,
                                           absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<UpdateResult> Update(UpdateKind kind,
                                      absl::string_view file_id, int64_t offset,
                                      absl::string_view content,
                                      const UpdateOptions& options,
                                      absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // What is known of a file, and which members have it; see Client::Stat().
  absl::StatusOr<FileInfo> StatReplicas(absl::string_view file_id,
                                        const StatOptions& options,
                                        absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Name and delete what is derived from a file; see Client.
  absl::StatusOr<ListDerivedResult> ListDerived(
      absl::string_view file_id, const ListDerivedOptions& options,
      absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<DeleteResult> DeleteWithDerived(absl::string_view file_id,
                                                 const DeleteOptions& options,
                                                 absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // See Client.
  absl::StatusOr<SetExpiryResult> SetExpiry(absl::string_view file_id,
                                            const Lifetime& lifetime,
                                            const SetExpiryOptions& options,
                                            absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // See Client.
  absl::StatusOr<UndeleteResult> Undelete(absl::string_view file_id,
                                          const UndeleteOptions& options,
                                          absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<CopyResult> Copy(absl::string_view file_id,
                                  const CopyOptions& options,
                                  absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Ends what runs, and what is started, with CANCELLED.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Registered;
  struct UploadAttempt;
  struct DownloadState;

  absl::StatusOr<PutResult> UploadOnce(const Router::UploadTarget& target,
                                       UploadAttempt* attempt)
      ABSL_LOCKS_EXCLUDED(mu_);

  // One message there and one back.
  absl::StatusOr<absl::Cord> CallOnce(const std::shared_ptr<Node>& node,
                                      const char* method,
                                      const absl::Cord& message,
                                      absl::Duration deadline)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Where a call may go, but for the nodes that it was at.
  using Route = absl::FunctionRef<absl::StatusOr<std::shared_ptr<Node>>(
      const Tried& tried)>;

  // False if the answer is malformed.
  using Take = absl::FunctionRef<bool(const absl::Cord& answer)>;

  // The same at one node of the route after the other, until it is answered or
  // given up. `file_id` is what the call is about.
  absl::Status CallAlong(absl::string_view file_id, Route route, Intent intent,
                         const char* method, const absl::Cord& message,
                         absl::Duration timeout, Take take)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The same where what is said of the file is changed; it is answered with the
  // file.
  absl::StatusOr<PutResult> Describe(absl::string_view file_id,
                                     const char* method,
                                     const absl::Cord& message,
                                     absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The same at the members of the file's group, the one that took it first.
  absl::StatusOr<absl::Cord> CallMember(absl::string_view file_id,
                                        Intent intent, const char* method,
                                        const absl::Cord& message,
                                        absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // A CallOnce() that is answered with a file.
  absl::StatusOr<PutResult> AskOnce(const std::shared_ptr<Node>& node,
                                    const char* method, absl::Cord message,
                                    absl::Duration deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DownloadOnce(const std::shared_ptr<Node>& node,
                            DownloadState* state) ABSL_LOCKS_EXCLUDED(mu_);

  // What to do when no node could be chosen: OK after a wait, or the result.
  absl::Status WaitForRoute(const absl::Status& status, RetryState* retry,
                            absl::Duration deadline) ABSL_LOCKS_EXCLUDED(mu_);
  bool stopping() const ABSL_LOCKS_EXCLUDED(mu_);

  const TransferOptions options_;
  Router* const router_;

  mutable Mutex mu_;
  CondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::set<RawCall*> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_TRANSFERS_H_
