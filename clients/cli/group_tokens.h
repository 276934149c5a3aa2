// Where a watch of several groups goes on: one text.
//
//   group1=AgAAAQID…,group2=AgAEBQYH…

#ifndef CAIRN_CLIENTS_CLI_GROUP_TOKENS_H_
#define CAIRN_CLIENTS_CLI_GROUP_TOKENS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {
namespace cli {

// By group. The servers know what is in them.
using GroupTokens = std::map<std::string, std::string>;

// Leaves out groups that have none.
std::string FormatGroupTokens(const GroupTokens& tokens);

// None for an empty text.
//   INVALID_ARGUMENT  it is no such text.
absl::StatusOr<GroupTokens> ParseGroupTokens(absl::string_view text);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_GROUP_TOKENS_H_
