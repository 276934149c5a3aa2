// Data directories of this and earlier versions, which every later version must
// open. One archive (.tar.gz) holds
//
//   oracle         what is on the path, as mini_cluster/oracle.h reads it
//   path0/         a store path of the first of two members, closed
//   tracker/       the tracker's data directory, with an operator's decision
//
// The cluster id and secret are MiniCluster's.

#ifndef CAIRN_INTEGRATION_TESTS_COMPAT_FIXTURE_H_
#define CAIRN_INTEGRATION_TESTS_COMPAT_FIXTURE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace cairn {
namespace testing {

// The weight that the decision gives to the node.
inline constexpr uint32_t kFixtureWeight = 7;

// `folder` becomes an archive, without lock files and logs.
absl::Status PackFixture(const std::string& folder, const std::string& archive);

// The archive's content goes into `folder`, which exists.
absl::Status UnpackFixture(const std::string& archive,
                           const std::string& folder);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_COMPAT_FIXTURE_H_
