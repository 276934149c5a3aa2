// What a member says of what it has, to another that compares it with its own;
// and the number by which both tell a range of names.
//
//   ReadRange ─▶ a page of names ─▶ one RangeDigest       (DigestWish::entries:
//                                                          each name, as of
//                                                          now)
//
// Pure decisions over the store; what reads blocks.

#ifndef CAIRN_SERVICES_STORAGE_CORE_DIGEST_SOURCE_H_
#define CAIRN_SERVICES_STORAGE_CORE_DIGEST_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// The number of a range: RangeDigest in sync_service.proto.
class RangeHash {
 public:
  // The next name of the range; deleted ones do not count.
  void Add(const KnownFile& known);

  uint64_t names() const { return names_; }
  uint64_t digest() const { return digest_; }

 private:
  void Mix(absl::string_view bytes);
  void MixNumber(uint64_t number, int bytes);

  uint64_t names_ = 0;
  uint64_t digest_ = 14695981039346656037u;
};

struct DigestLimits {
  size_t names_per_range = 1024;
  size_t ranges_max = 8;     // In one batch.
  size_t entries_max = 512;  // The same.
};

// The ranges behind `from` up to `until`, some of them; DigestBatch::end after
// the last. ReplicaStore::BeginSnapshot() was called before.
//   INVALID_ARGUMENT, UNAVAILABLE  as ReplicaStore::ReadRange().
absl::StatusOr<DigestBatch> ReadDigests(StorePath* path, absl::string_view from,
                                        absl::string_view until,
                                        const DigestLimits& limits);

// The same, name by name; DigestBatch::next is where the next batch begins.
absl::StatusOr<DigestBatch> ReadDigestEntries(StorePath* path,
                                              absl::string_view from,
                                              absl::string_view until,
                                              const DigestLimits& limits);

// The whole answer, batch by batch. Not thread-safe.
class DigestSender {
 public:
  DigestSender(std::shared_ptr<StorePath> path, DigestWish wish,
               const DigestLimits& limits)
      : path_(std::move(path)), wish_(std::move(wish)), limits_(limits) {}

  // The next batch; DigestBatch::end in the last. Blocks.
  //   INVALID_ARGUMENT, UNAVAILABLE  as above.
  absl::StatusOr<DigestBatch> Next();

 private:
  const std::shared_ptr<StorePath> path_;
  DigestWish wish_;  // `from` moves on.
  const DigestLimits limits_;
  bool begun_ = false;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_DIGEST_SOURCE_H_
