// Between grpc::ByteBuffer and absl::Cord, without copying the bytes.

#ifndef CAIRN_CLIENTS_CPP_GRPC_CORD_H_
#define CAIRN_CLIENTS_CPP_GRPC_CORD_H_

#include <grpcpp/support/byte_buffer.h>

#include "absl/strings/cord.h"

namespace cairn {
namespace client {

// A buffer that references the cord's bytes.
grpc::ByteBuffer ByteBufferFromCord(const absl::Cord& cord);

// A cord that references the buffer's slices; tiny ones are copied.
absl::Cord CordFromByteBuffer(const grpc::ByteBuffer& buffer);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_GRPC_CORD_H_
