#include "services/storage/core/digest_source.h"

#include <utility>
#include <vector>

#include "lib/base/status_macros.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

constexpr uint64_t kFnvPrime = 1099511628211u;

}  // namespace

void RangeHash::Mix(absl::string_view bytes) {
  for (const char byte : bytes) {
    digest_ ^= static_cast<unsigned char>(byte);
    digest_ *= kFnvPrime;
  }
}

void RangeHash::MixNumber(uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    digest_ ^= number >> (8 * i) & 0xff;
    digest_ *= kFnvPrime;
  }
}

void RangeHash::Add(const KnownFile& known) {
  if (known.deleted) return;
  ++names_;
  const FileInfo& file = known.file;
  MixNumber(file.name.size(), 8);
  Mix(file.name);
  MixNumber(file.version.clock, 8);
  MixNumber(file.version.node, 4);
  MixNumber(static_cast<uint64_t>(file.size_bytes), 8);
  MixNumber(file.crc32c, 4);
}

absl::StatusOr<DigestBatch> ReadDigests(StorePath* path, absl::string_view from,
                                        absl::string_view until,
                                        const DigestLimits& limits) {
  DigestBatch batch;
  std::string at(from);
  while (batch.ranges.size() < limits.ranges_max) {
    CAIRN_ASSIGN_OR_RETURN(
        SnapshotPage page,
        path->replica()->ReadRange(at, until, limits.names_per_range));
    RangeHash hash;
    for (const KnownFile& known : page.files) hash.Add(known);
    batch.end = page.next.empty();
    batch.ranges.push_back({batch.end ? std::string(until) : page.next,
                            hash.names(), hash.digest()});
    if (batch.end) break;
    at = std::move(page.next);
  }
  return batch;
}

absl::StatusOr<DigestBatch> ReadDigestEntries(StorePath* path,
                                              absl::string_view from,
                                              absl::string_view until,
                                              const DigestLimits& limits) {
  DigestBatch batch;
  CAIRN_ASSIGN_OR_RETURN(
      const SnapshotPage page,
      path->replica()->ReadRange(from, until, limits.entries_max));
  batch.changes.reserve(page.files.size());
  for (const KnownFile& seen : page.files) {
    // It may have changed since the tables were written.
    CAIRN_ASSIGN_OR_RETURN(absl::optional<KnownFile> known,
                           path->replica()->Find(seen.file.name));
    if (!known.has_value()) continue;
    ReplicatedChange change;
    change.mode = ReplicatedChange::Mode::kSnapshot;
    change.kind = known->deleted ? ChangeKind::kDelete : ChangeKind::kPut;
    change.change = known->change;
    change.file = std::move(known->file);
    batch.changes.push_back(std::move(change));
  }
  batch.next = page.next;
  batch.end = page.next.empty();
  return batch;
}

absl::StatusOr<DigestBatch> DigestSender::Next() {
  // Before the names are read: they are at least as new as these.
  std::vector<LogRange> logs;
  if (!begun_) {
    begun_ = true;
    if (wish_.entries) {
      logs = path_->replica()->Logs();
    } else {
      // What is in memory alone is written down first, so that it is seen.
      CAIRN_ASSIGN_OR_RETURN(logs, path_->replica()->BeginSnapshot());
    }
  }
  CAIRN_ASSIGN_OR_RETURN(
      DigestBatch batch,
      wish_.entries
          ? ReadDigestEntries(path_.get(), wish_.from, wish_.until, limits_)
          : ReadDigests(path_.get(), wish_.from, wish_.until, limits_));
  batch.logs = std::move(logs);
  wish_.from = wish_.entries ? batch.next : batch.ranges.back().until;
  return batch;
}

}  // namespace storage
}  // namespace cairn
