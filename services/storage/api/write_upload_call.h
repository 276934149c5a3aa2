// One WriteUpload: a part of an upload on its way to the disk.
//
//   spec ─▶ budget ─▶ OpenPart ─▶ read ─▶ chunk checked ─▶ written ─┐
//                                   ▲                               │
//                                   └───────────────◀───────────────┘
//   finish ─▶ End: synced ─▶ answered          broken off ─▶ Save
//
// One thing at a time: while a chunk is written, nothing is read. Several calls
// side by side keep disk and network busy.

#ifndef CAIRN_SERVICES_STORAGE_API_WRITE_UPLOAD_CALL_H_
#define CAIRN_SERVICES_STORAGE_API_WRITE_UPLOAD_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/upload_service.pb.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/locate_upload.h"
#include "services/storage/core/upload_sessions.h"

namespace cairn {
namespace storage {

// Made by new; deletes itself in OnDone(). What blocks runs on the path's io().
class WriteUploadCall : public grpc::ServerReadReactor<v1::WriteUploadRequest> {
 public:
  // The two last live until OnDone().
  WriteUploadCall(const CallContext& context,
                  grpc::CallbackServerContext* server_context,
                  v1::WriteUploadResponse* response);

  WriteUploadCall(const WriteUploadCall&) = delete;
  WriteUploadCall& operator=(const WriteUploadCall&) = delete;

  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  ~WriteUploadCall() override = default;

  void ReadNext();

  // Runs `work` on io(), and ends the call if that says so or its queue is
  // full.
  void OnIo(std::function<absl::Status()> work);

  absl::Status Begin();     // The first message.
  absl::Status OpenPart();  // On io(), as the next two.
  absl::Status TakeMessage();
  absl::Status TakeChunk(const cairn::common::v1::Chunk& chunk);

  // What arrived so far is kept. Blocks.
  void SavePart();

  // The last thing that is done.
  void End(const absl::Status& status);

  const CallContext context_;
  grpc::CallbackServerContext* const server_context_;  // Until OnDone().
  v1::WriteUploadResponse* const response_;            // The same.
  const absl::Duration begin_;

  v1::WriteUploadRequest message_;
  bool begun_ = false;
  LocatedUpload located_;
  v1::WriteUploadSpec spec_;
  int64_t budget_bytes_ = 0;
  std::unique_ptr<UploadPart> part_;
  int64_t received_bytes_ = 0;
  uint32_t received_crc_ = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_WRITE_UPLOAD_CALL_H_
