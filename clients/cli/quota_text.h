// Quotas as users write and read them.

#ifndef CAIRN_CLIENTS_CLI_QUOTA_TEXT_H_
#define CAIRN_CLIENTS_CLI_QUOTA_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {

// A number of files, at least 1, or `none`, which is 0.
//   INVALID_ARGUMENT  anything else.
absl::StatusOr<uint64_t> ParseQuotaFiles(absl::string_view text);

// The same of bytes, as ParseBytes() takes them.
absl::StatusOr<uint64_t> ParseQuotaBytes(absl::string_view text);

// `12`, or `12 of 100` if there may be that many (0: as many as fit).
std::string FilesOfQuota(int64_t files, uint64_t quota);

// `1.2 MiB`, or `1.2 MiB of 1.0 GiB`.
std::string BytesOfQuota(int64_t bytes, uint64_t quota);

// Null for 0.
nlohmann::ordered_json QuotaJson(uint64_t quota);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_QUOTA_TEXT_H_
