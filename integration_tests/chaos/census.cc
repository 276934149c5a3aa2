#include "integration_tests/chaos/census.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "clients/cpp/catalog.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace testing {
namespace {

// All that members must agree on; also for people.
std::string Describe(const client::FileInfo& info) {
  return absl::StrCat(
      info.size_bytes, " bytes, CRC ", absl::Hex(info.crc32c), ", kind ",
      static_cast<int>(info.kind), ", created ",
      absl::ToUnixSeconds(info.create_time), ", version ", info.version_clock,
      "/", info.version_node, ", origin ", info.origin_node, ", expires ",
      info.expire_time.has_value() ? absl::FormatTime(*info.expire_time)
                                   : "never",
      ", SHA-256 ", absl::BytesToHexString(info.sha256), ", {",
      absl::StrJoin(info.attributes, ",", absl::PairFormatter("=")), "}");
}

// `one` against the first member.
absl::Status Compare(const Census& first, const Census& one, size_t member) {
  for (const auto& [id, info] : first) {
    const auto it = one.find(id);
    if (it == one.end()) {
      return absl::DataLossError(
          absl::StrCat(id, ": listed by member 0 and not by member ", member));
    }
    const std::string here = Describe(info);
    const std::string there = Describe(it->second);
    if (here != there) {
      return absl::DataLossError(absl::StrCat(
          id, ": member 0 says ", here, "; member ", member, " says ", there));
    }
  }
  for (const auto& [id, info] : one) {
    if (first.count(id) == 0) {
      return absl::DataLossError(absl::StrCat(id, ": listed by member ", member,
                                              " and not by member 0"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Census> TakeCensus(const std::string& address) {
  client::CatalogOptions options;
  options.members = {address};
  options.cluster_secret = MiniCluster::cluster_secret();
  options.cluster_id = MiniCluster::cluster_id();
  options.stall_timeout = kProcessDeadline;
  options.patience = kProcessDeadline;
  client::Catalog catalog(std::move(options));
  client::ListQuery query;
  query.include_attributes = true;
  Census census;
  std::string twice;
  CAIRN_RETURN_IF_ERROR(catalog.List(query, [&](const client::ListPage& page) {
    for (const client::FileInfo& info : page.files) {
      if (!census.emplace(info.file_id, info).second) twice = info.file_id;
    }
    return true;
  }));
  if (!twice.empty()) {
    return absl::DataLossError(absl::StrCat(twice, ": listed twice"));
  }
  return census;
}

absl::Status CompareCensuses(const std::vector<Census>& by_member) {
  for (size_t member = 1; member < by_member.size(); ++member) {
    CAIRN_RETURN_IF_ERROR(
        Compare(by_member.front(), by_member[member], member));
  }
  return absl::OkStatus();
}

}  // namespace testing
}  // namespace cairn
