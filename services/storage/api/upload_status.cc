#include "services/storage/api/upload_status.h"

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace cairn {
namespace storage {
namespace {

void ToProto(const std::vector<ByteRange>& ranges,
             google::protobuf::RepeatedPtrField<v1::UploadRange>* out) {
  for (const ByteRange& range : ranges) {
    v1::UploadRange* const added = out->Add();
    added->set_offset(range.begin);
    added->set_length(range.end - range.begin);
  }
}

int64_t BytesOf(const std::vector<ByteRange>& ranges) {
  int64_t bytes = 0;
  for (const ByteRange& range : ranges) bytes += range.end - range.begin;
  return bytes;
}

// All but the ranges.
void FillStatus(const UploadId& id, const UploadSessionInfo& info,
                v1::UploadStatus* out) {
  out->set_upload_id(id.ToString());
  out->set_node_number(id.node_number);
  out->set_store_path(id.store_path);
  if (info.spec.size_bytes.has_value()) {
    out->set_size_bytes(*info.spec.size_bytes);
  }
  out->set_block_bytes(kBlockBytes);
  out->mutable_expire_time()->set_seconds(
      absl::ToUnixSeconds(info.expire_time));
}

}  // namespace

void ToProto(const UploadId& id, const UploadSessionInfo& info,
             v1::UploadStatus* out) {
  FillStatus(id, info, out);
  ToProto(info.durable, out->mutable_durable());
  ToProto(info.written, out->mutable_written());
}

void ToProto(const UploadId& id, const UploadSessionInfo& info,
             v1::OpenUpload* out) {
  FillStatus(id, info, out->mutable_upload());
  out->mutable_create_time()->set_seconds(
      absl::ToUnixSeconds(info.create_time));
  out->set_received_bytes(BytesOf(info.durable) + BytesOf(info.written));
  out->set_extension(info.spec.extension);
  out->set_owner(info.spec.owner);
}

}  // namespace storage
}  // namespace cairn
