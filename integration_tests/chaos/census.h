// All files that a member lists, and whether members list the same.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_CENSUS_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_CENSUS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace testing {

using Census = std::map<std::string, client::FileInfo>;  // By file ID.

// Of a member of a MiniCluster, with attributes. Errors of Catalog::List(), and
// DATA_LOSS: a file was listed twice.
absl::StatusOr<Census> TakeCensus(const std::string& address);

// DATA_LOSS: the members, in their order, do not know the same of a file, which
// the message names.
absl::Status CompareCensuses(const std::vector<Census>& by_member);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_CENSUS_H_
