// One stream of BatchService.
//
//   read ─▶ items ─┬─ stat, get: answered here, or on the path's io() ─┐
//                  └─ put, delete: the path's committer ────────────────┤
//   write ◀─ one message of whatever is answered by then ◀──────────────┘
//
// A lone answer leaves at once; while a message is on its way others gather for
// the next. The stream reads ahead by one message and stops looking at its
// items while too many wait for the disk or too many answers wait for the
// client.

#ifndef CAIRN_SERVICES_STORAGE_API_BATCH_STREAM_H_
#define CAIRN_SERVICES_STORAGE_API_BATCH_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <string>

#include "services/storage/api/batch_service.h"

namespace cairn {
namespace storage {

// Serves the stream that gRPC connects it with, and deletes itself. `context`
// is borrowed. What is stored is of `owner`, as in FileInfo.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartBatchStream(
    const BatchContext* context, std::string owner);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_BATCH_STREAM_H_
