// Data directories of this and earlier versions, which every later version must
// open. One archive (.tar.gz) holds
//
//   oracle         what is on the path, as mini_cluster/oracle.h reads it
//   path0/         a store path of the first of two members, closed
//   tracker/       the tracker's data directory, with an operator's decision
//   records        a record of each kind that the version knows, one a line:
//   see
//                  FixtureRecord. Early versions have no such file.
//
// The cluster id and secret are MiniCluster's.

#ifndef CAIRN_INTEGRATION_TESTS_COMPAT_FIXTURE_H_
#define CAIRN_INTEGRATION_TESTS_COMPAT_FIXTURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace testing {

// The weight that the decision gives to the node.
inline constexpr uint32_t kFixtureWeight = 7;

// The identity of the client that stored what is in `records`.
inline constexpr char kFixtureClient[] = "alice";

// A file, or an upload in parts. What it is to be is what its name says:
//
//   appender       of several pieces, which were modified and cut
//   sealed         a file that was an appender; sealed_from is its old ID
//   copied         a copy of copied_from; they share a segment
//   derived        from master
//   expiring       at `unix_seconds`
//   shared1, shared2  stored with `dedup`: one content
//   attributed     has FixtureAttributes(), by a change
//   deleted        can be brought back until `unix_seconds`
//   upload         has its first 256 KiB; `id` is the upload's
struct FixtureRecord {
  std::string what;
  std::string id;
  uint64_t seed = 0;  // Of ContentOf().
  int64_t size_bytes = 0;
  int64_t unix_seconds = 0;

  // Whether it counts as a file of the path.
  bool is_file() const {
    return what != "sealed_from" && what != "deleted" && what != "upload";
  }

  std::string Content() const;
};

Attributes FixtureAttributes();

// The file `records` of a fixture.
absl::Status WriteRecords(const std::string& path,
                          const std::vector<FixtureRecord>& records);

// None if there is no such file.
absl::StatusOr<std::vector<FixtureRecord>> ReadRecords(const std::string& path);

// `folder` becomes an archive, without lock files and logs.
absl::Status PackFixture(const std::string& folder, const std::string& archive);

// The archive's content goes into `folder`, which exists.
absl::Status UnpackFixture(const std::string& archive,
                           const std::string& folder);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_COMPAT_FIXTURE_H_
