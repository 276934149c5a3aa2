// Bytes from anybody as RunRequest and RunResponse: whatever the hand-written
// readers take, generated code reads alike; and what generated code writes, the
// readers take.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cairn/storage/v1/batch_service.pb.h"
#include "lib/base/check.h"
#include "lib/rpc/batch_wire.h"
#include "lib/rpc/wire.h"

namespace {

using cairn::rpc::BatchAnswer;
using cairn::rpc::BatchItem;
using cairn::rpc::BatchOperation;
using cairn::storage::v1::RunRequest;
using cairn::storage::v1::RunResponse;

grpc::ByteBuffer InSlices(const char* data, size_t size, size_t slice) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < size; i += slice) {
    slices.emplace_back(data + i, std::min(slice, size - i));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void CheckSame(const cairn::rpc::BatchDurability& a,
               const cairn::common::v1::Durability& b) {
  CAIRN_CHECK(a.level == static_cast<uint32_t>(b.level()));
  CAIRN_CHECK(a.replicas == b.replicas());
  CAIRN_CHECK(a.policy == static_cast<uint32_t>(b.policy()));
}

// `a` are the bytes of a message as they came.
template <typename Message>
void CheckSame(absl::string_view a, const Message& b) {
  Message read;
  CAIRN_CHECK(read.ParseFromArray(a.data(), static_cast<int>(a.size())));
  CAIRN_CHECK(read.SerializeAsString() == b.SerializeAsString());
}

void CheckSame(const BatchItem& a, const cairn::storage::v1::BatchItem& b) {
  CAIRN_CHECK(a.item_id == b.item_id());
  switch (a.operation) {
    case BatchOperation::kNone:
      CAIRN_CHECK(b.operation_case() == b.OPERATION_NOT_SET);
      return;
    case BatchOperation::kPut:
      CAIRN_CHECK(b.has_put());
      CAIRN_CHECK(a.request_id == b.put().request_id());
      CAIRN_CHECK(a.store_path.has_value() == b.put().has_store_path());
      CAIRN_CHECK(a.store_path.value_or(0) == b.put().store_path());
      CAIRN_CHECK(a.extension == b.put().extension());
      CheckSame(a.durability, b.put().durability());
      CAIRN_CHECK(a.crc32c == b.put().crc32c());
      CAIRN_CHECK(a.content == b.put().content());
      CheckSame(a.attributes, b.put().attributes());
      CheckSame(a.lifetime, b.put().lifetime());
      CAIRN_CHECK(a.derived.has_value() == b.put().has_derived());
      CheckSame(a.derived.value_or(""), b.put().derived());
      CAIRN_CHECK(a.dedup.has_value() == b.put().has_dedup());
      CAIRN_CHECK(a.dedup.value_or(false) == b.put().dedup());
      return;
    case BatchOperation::kGet:
      CAIRN_CHECK(b.has_get());
      CAIRN_CHECK(a.file_id == b.get().file_id());
      CAIRN_CHECK(a.offset == b.get().offset());
      CAIRN_CHECK(a.length.has_value() == b.get().has_length());
      CAIRN_CHECK(a.length.value_or(0) == b.get().length());
      CAIRN_CHECK(a.include_attributes == b.get().include_attributes());
      return;
    case BatchOperation::kStat:
      CAIRN_CHECK(b.has_stat());
      CAIRN_CHECK(a.file_id == b.stat().file_id());
      CAIRN_CHECK(a.include_attributes == b.stat().include_attributes());
      return;
    case BatchOperation::kDelete:
      CAIRN_CHECK(b.has_delete_());
      CAIRN_CHECK(a.file_id == b.delete_().file_id());
      CAIRN_CHECK(a.request_id == b.delete_().request_id());
      CheckSame(a.durability, b.delete_().durability());
      CAIRN_CHECK(a.purge == b.delete_().purge());
      CAIRN_CHECK(a.with_derived == b.delete_().with_derived());
      return;
    case BatchOperation::kSetAttributes:
      CAIRN_CHECK(b.has_set_attributes());
      CheckSame(a.set_attributes, b.set_attributes());
      return;
    case BatchOperation::kAppend:
      CAIRN_CHECK(b.has_append());
      CAIRN_CHECK(a.file_id == b.append().file_id());
      CAIRN_CHECK(a.request_id == b.append().request_id());
      CheckSame(a.durability, b.append().durability());
      CAIRN_CHECK(a.crc32c == b.append().crc32c());
      CAIRN_CHECK(a.content == b.append().content());
      CheckSame(a.condition, b.append().condition());
      return;
  }
}

void CheckSame(const grpc::ByteBuffer& buffer, const RunRequest& expected) {
  cairn::rpc::BatchRequestReader reader(buffer);
  BatchItem item;
  for (const auto& other : expected.items()) {
    CAIRN_CHECK(reader.Next(&item));
    CheckSame(item, other);
  }
  CAIRN_CHECK(!reader.Next(&item));
  CAIRN_CHECK(reader.status().ok());
}

void CheckSame(const BatchAnswer& a, const cairn::storage::v1::BatchAnswer& b) {
  CAIRN_CHECK(a.item_id == b.item_id());
  switch (a.operation) {
    case BatchOperation::kNone:
      CAIRN_CHECK(b.has_error() || b.outcome_case() == b.OUTCOME_NOT_SET);
      return;
    case BatchOperation::kPut:
      CAIRN_CHECK(a.info.id_rest == b.put().info().file_id());
      CAIRN_CHECK(a.info.version_clock == b.put().info().version().clock());
      CAIRN_CHECK(a.reached_replicas == b.put().reached().replicas());
      CAIRN_CHECK(a.replayed == b.put().replayed());
      CAIRN_CHECK(a.shared == b.put().shared());
      CAIRN_CHECK(a.info.sha256 == b.put().info().sha256());
      CAIRN_CHECK(a.info.expire_unix_seconds ==
                  b.put().info().expire_time().seconds());
      return;
    case BatchOperation::kGet:
      CAIRN_CHECK(a.info.size_bytes == b.get().info().size_bytes());
      CAIRN_CHECK(a.info.create_unix_seconds ==
                  b.get().info().create_time().seconds());
      CAIRN_CHECK(a.offset == b.get().offset());
      CAIRN_CHECK(a.crc32c == b.get().crc32c());
      CAIRN_CHECK(a.content == b.get().content());
      return;
    case BatchOperation::kStat:
      CAIRN_CHECK(a.info.id_rest == b.stat().info().file_id());
      CAIRN_CHECK(a.info.kind == b.stat().info().kind());
      CheckSame(a.info.attributes, b.stat().info().attributes());
      return;
    case BatchOperation::kDelete:
      CAIRN_CHECK(a.reached_replicas == b.delete_().reached().replicas());
      CAIRN_CHECK(a.undelete_until_unix_seconds ==
                  b.delete_().undelete_until().seconds());
      CAIRN_CHECK(a.derived_deleted.has_value() ==
                  b.delete_().has_derived_deleted());
      CAIRN_CHECK(a.derived_deleted.value_or(0) ==
                  b.delete_().derived_deleted());
      return;
    case BatchOperation::kSetAttributes:
      CAIRN_CHECK(a.info.version_clock ==
                  b.set_attributes().info().version().clock());
      CAIRN_CHECK(a.replayed == b.set_attributes().replayed());
      return;
    case BatchOperation::kAppend:
      CAIRN_CHECK(a.info.size_bytes == b.append().info().size_bytes());
      CAIRN_CHECK(a.reached_level ==
                  static_cast<uint32_t>(b.append().reached().level()));
      CAIRN_CHECK(a.replayed == b.append().replayed());
      return;
  }
}

// Counts the items that are read without looking at them.
bool ReadsThrough(const grpc::ByteBuffer& buffer) {
  cairn::rpc::BatchRequestReader reader(buffer);
  BatchItem item;
  while (reader.Next(&item)) {
  }
  return reader.status().ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // The first byte says how the rest is sliced.
  const size_t slice = 1 + data[0] % 64;
  const char* const bytes = reinterpret_cast<const char*>(data + 1);
  --size;
  const grpc::ByteBuffer buffer = InSlices(bytes, size, slice);

  RunRequest request;
  const bool taken = ReadsThrough(buffer);
  if (request.ParseFromArray(bytes, static_cast<int>(size))) {
    if (taken) CheckSame(buffer, request);
    request.DiscardUnknownFields();
    const std::string again = request.SerializeAsString();
    CheckSame(InSlices(again.data(), again.size(), slice), request);
  }

  cairn::rpc::BatchResponseReader reader(buffer);
  BatchAnswer answer;
  RunResponse response;
  const bool generated = response.ParseFromArray(bytes, static_cast<int>(size));
  for (int i = 0; reader.Next(&answer); ++i) {
    if (generated && i < response.answers_size()) {
      CheckSame(answer, response.answers(i));
    }
  }
  return 0;
}
