// Files that are sent in parts, over several streams at once, and whose upload
// another process can go on with. For threads that may block.
//
//   Create ─▶ begun() ─▶ parts, `streams` at a time ─▶ part_sent() … ─▶ Finish
//      ▲ or: Query, and only what is missing

#ifndef CAIRN_CLIENTS_CPP_RESUMABLE_UPLOADS_H_
#define CAIRN_CLIENTS_CPP_RESUMABLE_UPLOADS_H_

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/raw_call.h"
#include "clients/cpp/router.h"
#include "clients/cpp/transfers.h"
#include "clients/cpp/types.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace client {

// Thread-safe.
class ResumableUploads {
 public:
  // `router` is borrowed.
  ResumableUploads(const TransferOptions& options, Router* router);

  ResumableUploads(const ResumableUploads&) = delete;
  ResumableUploads& operator=(const ResumableUploads&) = delete;

  // See Client::PutFileResumable(); the options are valid.
  absl::StatusOr<PutResult> PutFile(absl::string_view path,
                                    const ResumableOptions& options);

  // See Client::AbortUpload().
  absl::Status Abort(absl::string_view upload_id,
                     absl::optional<absl::Duration> timeout);

  // Ends what runs, and what is started, with CANCELLED.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Registered;
  class Run;

  bool stopping() const ABSL_LOCKS_EXCLUDED(mu_);

  // False if Stop() was called meanwhile.
  bool Sleep(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mu_);

  const TransferOptions options_;
  Router* const router_;

  mutable Mutex mu_;
  CondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::set<RawCall*> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_RESUMABLE_UPLOADS_H_
