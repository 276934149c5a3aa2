// Messages as raw bytes, with no copy through a Protobuf object.

#ifndef CAIRN_CLIENTS_PROBE_RAW_MESSAGE_H_
#define CAIRN_CLIENTS_PROBE_RAW_MESSAGE_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "lib/base/varint.h"

namespace cairn {
namespace probe {

inline grpc::ByteBuffer SerializeRaw(
    const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

inline bool ParseRaw(const grpc::ByteBuffer& raw,
                     google::protobuf::MessageLite* message) {
  grpc::Slice slice;
  return raw.DumpToSingleSlice(&slice).ok() &&
         message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

// A SinkRequest or SourceResponse with `size` zeros: field 1, length, a slice
// of static memory that is never copied.
inline grpc::ByteBuffer DataMessage(size_t size) {
  static const std::vector<char>* const zeros =
      new std::vector<char>(size_t{16} << 20);
  std::string prefix(1, '\x0a');
  AppendVarint(size, &prefix);
  const grpc::Slice slices[] = {
      grpc::Slice(prefix),
      grpc::Slice(zeros->data(), std::min(size, zeros->size()),
                  grpc::Slice::STATIC_SLICE),
  };
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace probe
}  // namespace cairn

#endif  // CAIRN_CLIENTS_PROBE_RAW_MESSAGE_H_
