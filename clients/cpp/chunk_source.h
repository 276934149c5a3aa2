// Where an upload's chunks come from: memory, a file or a reader.

#ifndef CAIRN_CLIENTS_CPP_CHUNK_SOURCE_H_
#define CAIRN_CLIENTS_CPP_CHUNK_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace client {

// Used by one thread at a time.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;

  // The next `size` bytes, fewer only at the end, none past it. What it returns
  // may outlive the source. May block.
  virtual absl::StatusOr<absl::Cord> Next(size_t size) = 0;

  // Begins again. False if that cannot be done.
  virtual bool Rewind() = 0;

  // If it is known in advance.
  virtual absl::optional<int64_t> size_bytes() const = 0;
};

// References the cord's bytes.
std::unique_ptr<ChunkSource> SourceOfCord(absl::Cord content);

// Copies chunk by chunk; `content` is borrowed.
std::unique_ptr<ChunkSource> SourceOfBuffer(absl::string_view content);

// Reads ahead through the system's cache. INVALID_ARGUMENT if it is no regular
// file; else the errors of opening it.
absl::StatusOr<std::unique_ptr<ChunkSource>> SourceOfFile(
    absl::string_view path);

// `reader` is borrowed.
std::unique_ptr<ChunkSource> SourceOfReader(ContentReader* reader,
                                            absl::optional<int64_t> size_bytes);

// `prefix`, which was read from `rest` already, and then `rest`, which is
// borrowed.
std::unique_ptr<ChunkSource> SourceWithPrefix(absl::Cord prefix,
                                              ChunkSource* rest);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_CHUNK_SOURCE_H_
