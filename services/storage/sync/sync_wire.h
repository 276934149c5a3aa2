// The streamed messages of SyncService, laid out and read by hand: contents
// pass as the connection's own slices. Generated code does the rest of them.

#ifndef CAIRN_SERVICES_STORAGE_SYNC_SYNC_WIRE_H_
#define CAIRN_SERVICES_STORAGE_SYNC_SYNC_WIRE_H_

#include <grpcpp/support/byte_buffer.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/storage/v1/sync_service.pb.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {

void ToProto(const LogId& id, v1::LogId* out);
void ToProto(const LogRange& range, v1::LogRange* out);

//   INVALID_ARGUMENT  INVALID_FIELD.
absl::StatusOr<LogId> FromProto(const v1::LogId& id);
absl::StatusOr<LogRange> FromProto(const v1::LogRange& range);

// The messages refer to the contents until gRPC has sent them.
grpc::ByteBuffer MakeSyncResponse(const SyncBatch& batch);

// `logs` are those of the snapshot's first message: entries refer to them.
grpc::ByteBuffer MakeSnapshotResponse(const SnapshotBatch& batch,
                                      const std::vector<LogRange>& logs);

// `logs` are those of the answer's first message: entries refer to them.
grpc::ByteBuffer MakeDigestResponse(const DigestBatch& batch,
                                    const std::vector<LogRange>& logs);

// Contents are checked against the CRC of their file.
//   INVALID_ARGUMENT  INVALID_FIELD: no such message; CHECKSUM_MISMATCH.
absl::Status ParseSyncResponse(const grpc::ByteBuffer& buffer,
                               SyncBatch* batch);

// `logs` as above; filled from the first message.
absl::Status ParseSnapshotResponse(const grpc::ByteBuffer& buffer,
                                   std::vector<LogRange>* logs,
                                   SnapshotBatch* batch);

// `logs` as above; filled from the first message.
absl::Status ParseDigestResponse(const grpc::ByteBuffer& buffer,
                                 std::vector<LogRange>* logs,
                                 DigestBatch* batch);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_SYNC_SYNC_WIRE_H_
