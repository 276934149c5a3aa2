#include "clients/cli/attribute_text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/attributes/well_known.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

bool IsUtf8(const std::string& text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

absl::StatusOr<Attributes> ParseAttributes(
    const std::vector<std::string>& arguments) {
  Attributes attributes;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    if (equals == std::string::npos) {
      return UsageError(
          absl::StrCat(argument, ": write an attribute as KEY=VALUE"));
    }
    const std::string key = argument.substr(0, equals);
    if (!attributes.emplace(key, argument.substr(equals + 1)).second) {
      return UsageError(absl::StrCat("attribute ", key, " is named twice"));
    }
  }
  CAIRN_RETURN_IF_ERROR(CheckAttributes(attributes));
  return attributes;
}

void DescribeFile(absl::string_view name, absl::string_view extension,
                  Attributes* attributes) {
  const std::string safe = SafeFileName(name);
  if (!safe.empty()) {
    attributes->emplace(std::string(kFileNameAttribute), safe);
  }
  const absl::string_view type = ContentTypeOfExtension(extension);
  if (!type.empty()) {
    attributes->emplace(std::string(kContentTypeAttribute), std::string(type));
  }
}

std::string AttributeText(absl::string_view key, absl::string_view value) {
  return absl::StrCat(absl::Utf8SafeCEscape(key), "=",
                      IsUtf8(std::string(value)) ? absl::Utf8SafeCEscape(value)
                                                 : absl::CEscape(value));
}

void AddAttributes(const Attributes& attributes, Json* json) {
  Json texts = Json::object();
  Json bytes = Json::object();
  for (const auto& [key, value] : attributes) {
    if (IsUtf8(value)) {
      texts[key] = value;
    } else {
      bytes[key] = absl::Base64Escape(value);
    }
  }
  (*json)["attributes"] = texts;
  if (!bytes.empty()) (*json)["attributes_base64"] = bytes;
}

Json AttributesRequestJson(const Attributes& attributes) {
  Json list = Json::array();
  for (const auto& [key, value] : attributes) {
    Json attribute;
    attribute["key"] = key;
    attribute["value"] = absl::Base64Escape(value);
    list.push_back(attribute);
  }
  Json json;
  json["attributes"] = list;
  return json;
}

}  // namespace cli
}  // namespace cairn
