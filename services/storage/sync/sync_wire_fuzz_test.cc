// Bytes from a member that was taken over, or is broken, as each of the
// streamed messages: whatever the hand-written readers take has the properties
// that who applies it relies on, and generated code takes it too.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cairn/storage/v1/sync_service.pb.h"
#include "lib/attributes/attributes.h"
#include "lib/base/check.h"
#include "lib/checksum/crc32c.h"
#include "lib/rpc/wire.h"
#include "services/storage/sync/sync_wire.h"

namespace {

using cairn::storage::DigestBatch;
using cairn::storage::LogRange;
using cairn::storage::ReplicatedChange;
using cairn::storage::SnapshotBatch;
using cairn::storage::SyncBatch;

namespace v1 = cairn::storage::v1;

grpc::ByteBuffer InSlices(const char* data, size_t size, size_t slice) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < size; i += slice) {
    slices.emplace_back(data + i, std::min(slice, size - i));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void CheckChange(const ReplicatedChange& change) {
  CAIRN_CHECK(!change.file.name.empty());
  CAIRN_CHECK(change.file.size_bytes >= 0);
  CAIRN_CHECK(cairn::DecodeAttributes(change.file.attributes).ok());
  if (!change.content.has_value()) return;
  CAIRN_CHECK(static_cast<int64_t>(change.content->size()) ==
              change.file.size_bytes);
  CAIRN_CHECK(cairn::Crc32c(*change.content) == change.file.crc32c);
}

void TrySync(const grpc::ByteBuffer& bytes) {
  SyncBatch batch;
  if (!ParseSyncResponse(bytes, &batch).ok()) return;
  CAIRN_CHECK(!batch.log.is_nil());
  for (const ReplicatedChange& change : batch.changes) {
    CheckChange(change);
    CAIRN_CHECK(change.change.log == batch.log);
    CAIRN_CHECK(change.change.sequence > 0);
    CAIRN_CHECK(change.mode == ReplicatedChange::Mode::kNext);
  }
  // What was taken can be said again, and is the same.
  SyncBatch again;
  CAIRN_CHECK(ParseSyncResponse(MakeSyncResponse(batch), &again).ok());
  CAIRN_CHECK(again.changes.size() == batch.changes.size());
  CAIRN_CHECK(again.logs.size() == batch.logs.size());
}

void TrySnapshot(const grpc::ByteBuffer& bytes) {
  SnapshotBatch batch;
  std::vector<LogRange> logs;
  if (!ParseSnapshotResponse(bytes, &logs, &batch).ok()) return;
  for (const ReplicatedChange& change : batch.changes) {
    CheckChange(change);
    CAIRN_CHECK(change.mode == ReplicatedChange::Mode::kSnapshot);
  }
}

void TryDigest(const grpc::ByteBuffer& bytes) {
  DigestBatch batch;
  std::vector<LogRange> logs;
  if (!ParseDigestResponse(bytes, &logs, &batch).ok()) return;
  for (const ReplicatedChange& change : batch.changes) {
    CheckChange(change);
    CAIRN_CHECK(!change.passed && !change.content.has_value());
    CAIRN_CHECK(change.mode == ReplicatedChange::Mode::kSnapshot);
  }
  DigestBatch again;
  std::vector<LogRange> logs_again;
  CAIRN_CHECK(
      ParseDigestResponse(MakeDigestResponse(batch, logs), &logs_again, &again)
          .ok());
  CAIRN_CHECK(again.ranges.size() == batch.ranges.size());
  CAIRN_CHECK(again.changes.size() == batch.changes.size());
  CAIRN_CHECK(again.next == batch.next && again.end == batch.end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const char* const bytes = reinterpret_cast<const char*>(data) + 2;
  // Slices end anywhere.
  const grpc::ByteBuffer buffer =
      InSlices(bytes, size - 2, static_cast<size_t>(data[1]) + 1);
  switch (data[0] % 3) {
    case 0:
      TrySync(buffer);
      break;
    case 1:
      TrySnapshot(buffer);
      break;
    default:
      TryDigest(buffer);
  }
  return 0;
}
