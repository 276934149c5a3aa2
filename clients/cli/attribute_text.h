// Attributes as people and scripts write and read them.

#ifndef CAIRN_CLIENTS_CLI_ATTRIBUTE_TEXT_H_
#define CAIRN_CLIENTS_CLI_ATTRIBUTE_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clients/cli/session.h"
#include "lib/attributes/attributes.h"

namespace cairn {
namespace cli {

// `KEY=VALUE` each; the first `=` ends the key.
//   INVALID_ARGUMENT  one has no `=`, a key comes twice, or is beyond a limit.
absl::StatusOr<Attributes> ParseAttributes(
    const std::vector<std::string>& arguments);

// Adds what a file says of itself, unless it is there already: its name, if it
// has one, as `file-name`, and by its extension the `content-type`.
void DescribeFile(absl::string_view name, absl::string_view extension,
                  Attributes* attributes);

// `key=value`, with escapes for what a terminal should not get.
std::string AttributeText(absl::string_view key, absl::string_view value);

// Adds "attributes", an object of texts; and "attributes_base64" for values
// that are no UTF-8. The first is always there.
void AddAttributes(const Attributes& attributes, Json* json);

// A cairn.common.v1.Attributes message as Protobuf writes it in JSON.
Json AttributesRequestJson(const Attributes& attributes);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_ATTRIBUTE_TEXT_H_
