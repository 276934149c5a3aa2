// What looking for damage has found, as plain values.

#ifndef CAIRN_SERVICES_STORAGE_CORE_UPKEEP_REPORT_H_
#define CAIRN_SERVICES_STORAGE_CORE_UPKEEP_REPORT_H_

#include <cstdint>

namespace cairn {
namespace storage {

// Of one round over all files of a path.
struct ScrubReport {
  int64_t files = 0;  // Read.
  int64_t bytes = 0;
  int64_t damaged = 0;           // Files.
  int64_t mended = 0;            // Of these.
  int64_t unmendable = 0;        // The same.
  int64_t bytes_per_second = 0;  // At most; 0: as fast as it can.
};

// Of one comparison of a path with the same path of the other members.
struct ComparisonReport {
  uint32_t peers = 0;         // Members that it was done with, to the end.
  uint32_t failed_peers = 0;  // And could not.
  int64_t ranges = 0;
  int64_t names = 0;          // Here, in these.
  int64_t differing = 0;      // The sum of the next four.
  int64_t mended = 0;         // Taken over.
  int64_t lacking_there = 0;  // The peer is to take them over.
  int64_t unmendable = 0;     // Could not be taken over.
  int64_t conflicts = 0;      // One version, two files: nothing was changed.
  int64_t under_way = 0;      // A log brings it: no difference.

  void Add(const ComparisonReport& other) {
    peers += other.peers;
    failed_peers += other.failed_peers;
    ranges += other.ranges;
    names += other.names;
    differing += other.differing;
    mended += other.mended;
    lacking_there += other.lacking_there;
    unmendable += other.unmendable;
    conflicts += other.conflicts;
    under_way += other.under_way;
  }
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_UPKEEP_REPORT_H_
