#include "clients/cpp/grpc_cord.h"

#include <grpcpp/support/slice.h>

#include <atomic>
#include <utility>
#include <vector>

#include "lib/base/check.h"

namespace cairn {
namespace client {
namespace {

// Keeps a cord's bytes until the last of its slices is gone. Counted by hand,
// since a slice gives back one pointer.
struct Holder {
  explicit Holder(const absl::Cord& c) : cord(c) {}
  const absl::Cord cord;
  std::atomic<int> slices{0};
};

void Release(void* pointer) {
  auto* holder = static_cast<Holder*>(pointer);
  if (holder->slices.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete holder;
  }
}

// Slices of fewer bytes may lie inside the slice object itself, which moves.
constexpr size_t kCopiedBytesMax = 64;

}  // namespace

grpc::ByteBuffer ByteBufferFromCord(const absl::Cord& cord) {
  // The pieces of the holder's own cord: a short one lies inside its object.
  auto* holder = new Holder(cord);
  std::vector<grpc::Slice> slices;
  for (absl::string_view piece : holder->cord.Chunks()) {
    holder->slices.fetch_add(1, std::memory_order_relaxed);
    slices.emplace_back(const_cast<char*>(piece.data()), piece.size(), &Release,
                        holder);
  }
  if (slices.empty()) {
    delete holder;
    const grpc::Slice none;
    return grpc::ByteBuffer(&none, 1);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::Cord CordFromByteBuffer(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  CAIRN_CHECK(buffer.Dump(&slices).ok());
  absl::Cord cord;
  for (grpc::Slice& slice : slices) {
    const absl::string_view bytes(reinterpret_cast<const char*>(slice.begin()),
                                  slice.size());
    if (bytes.size() <= kCopiedBytesMax) {
      cord.Append(bytes);
    } else {
      cord.Append(absl::MakeCordFromExternal(
          bytes, [held = std::move(slice)](absl::string_view) {}));
    }
  }
  return cord;
}

}  // namespace client
}  // namespace cairn
