#include "lib/attributes/attributes.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/attributes/utf8.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/varint.h"

namespace cairn {
namespace {

// Tags of Protobuf: both messages have bytes in fields 1 and 2.
constexpr uint8_t kAttributeTag = 1 << 3 | 2;
constexpr uint8_t kKeyTag = 1 << 3 | 2;
constexpr uint8_t kValueTag = 2 << 3 | 2;

absl::Status Invalid(absl::string_view field, absl::string_view message) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
      absl::StrCat(field, ": ", message), {{"field", std::string(field)}});
}

absl::Status TooLong(absl::string_view field, size_t bytes, size_t limit) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
      absl::StrCat(field, ": ", bytes, " bytes, at most ", limit,
                   " are allowed"),
      {{"field", std::string(field)}, {"limit_bytes", absl::StrCat(limit)}});
}

absl::Status TooMany(size_t number) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
      absl::StrCat("attributes: ", number, " of them, a file may have ",
                   kAttributesMax),
      {{"field", "attributes"}, {"limit", absl::StrCat(kAttributesMax)}});
}

size_t FieldBytes(absl::string_view value) {
  return 1 + VarintSize(value.size()) + value.size();
}

// These write where there is room, and return where they end.
char* WriteField(uint8_t tag, absl::string_view value, char* to) {
  *to++ = static_cast<char>(tag);
  to = WriteVarint(value.size(), to);
  return std::copy(value.begin(), value.end(), to);
}

char* WriteAttribute(absl::string_view key, absl::string_view value, char* to) {
  *to++ = static_cast<char>(kAttributeTag);
  to = WriteVarint(FieldBytes(key) + FieldBytes(value), to);
  to = WriteField(kKeyTag, key, to);
  return WriteField(kValueTag, value, to);
}

// Of pairs of a key and a value, in order.
template <typename Pairs>
std::string Encode(const Pairs& attributes) {
  size_t size = 0;
  for (const auto& [key, value] : attributes) {
    const size_t bytes = FieldBytes(key) + FieldBytes(value);
    size += 1 + VarintSize(bytes) + bytes;
  }
  std::string encoded(size, '\0');
  char* to = &encoded[0];
  for (const auto& [key, value] : attributes) {
    to = WriteAttribute(key, value, to);
  }
  return encoded;
}

// Takes the next field off `bytes`. `value` is that of one that holds bytes;
// others are passed over, with a tag of 0.
bool TakeField(absl::string_view* bytes, uint64_t* tag,
               absl::string_view* value) {
  uint64_t number = 0;
  if (!TakeVarint(bytes, tag) || *tag < 8) return false;
  switch (*tag & 7) {
    case 0:
      *tag = 0;
      return TakeVarint(bytes, &number);
    case 1:
    case 5:
      number = (*tag & 7) == 1 ? 8 : 4;
      *tag = 0;
      break;
    case 2:
      if (!TakeVarint(bytes, &number)) return false;
      break;
    default:
      return false;  // Groups: never made by proto3.
  }
  if (number > bytes->size()) return false;
  *value = bytes->substr(0, static_cast<size_t>(number));
  bytes->remove_prefix(static_cast<size_t>(number));
  return true;
}

absl::Status NoMessage() {
  return Invalid("attributes", "the bytes are no Attributes message");
}

// Takes the next attribute off `bytes`, which are not empty; `found` is false
// if it was another field.
absl::Status TakeAttribute(absl::string_view* bytes, bool* found,
                           absl::string_view* key, absl::string_view* value) {
  uint64_t tag = 0;
  absl::string_view attribute;
  if (!TakeField(bytes, &tag, &attribute)) return NoMessage();
  *found = tag == kAttributeTag;
  if (!*found) return absl::OkStatus();
  *key = {};
  *value = {};
  while (!attribute.empty()) {
    absl::string_view field;
    if (!TakeField(&attribute, &tag, &field)) return NoMessage();
    if (tag == kKeyTag) *key = field;
    if (tag == kValueTag) *value = field;
  }
  return absl::OkStatus();
}

absl::Status CheckAttribute(absl::string_view key, absl::string_view value) {
  CAIRN_RETURN_IF_ERROR(CheckAttributeKey(key));
  if (value.size() > kAttributeValueBytesMax) {
    return TooLong("attributes.value", value.size(), kAttributeValueBytesMax);
  }
  return absl::OkStatus();
}

// NormalizeAttributes() of a set that comes in order, as clients send it: much
// faster than by way of a map. Nullopt if it is anything else, or not allowed.
absl::optional<std::string> NormalizeInOrder(absl::string_view bytes) {
  absl::InlinedVector<std::pair<absl::string_view, absl::string_view>, 8> set;
  absl::string_view last;
  while (!bytes.empty()) {
    bool found = false;
    absl::string_view key;
    absl::string_view value;
    if (!TakeAttribute(&bytes, &found, &key, &value).ok()) return absl::nullopt;
    if (!found) continue;
    // No key is empty, so the first one is behind none.
    if (key <= last || set.size() == kAttributesMax ||
        !CheckAttribute(key, value).ok()) {
      return absl::nullopt;
    }
    set.emplace_back(key, value);
    last = key;
  }
  return Encode(set);
}

}  // namespace

absl::Status CheckAttributeKey(absl::string_view key) {
  if (key.empty()) return Invalid("attributes.key", "must not be empty");
  if (key.size() > kAttributeKeyBytesMax) {
    return TooLong("attributes.key", key.size(), kAttributeKeyBytesMax);
  }
  // Nearly all are ASCII.
  const auto other = std::find_if(key.begin(), key.end(), [](char c) {
    return static_cast<uint8_t>(c - 0x20) >= 0x7f - 0x20;
  });
  absl::string_view rest = key;
  rest.remove_prefix(static_cast<size_t>(other - key.begin()));
  while (!rest.empty()) {
    const size_t bytes = PrintableCharacterBytes(rest);
    if (bytes == 0) {
      return Invalid("attributes.key",
                     "must be UTF-8 without control characters");
    }
    rest.remove_prefix(bytes);
  }
  return absl::OkStatus();
}

absl::Status CheckAttributes(const Attributes& attributes) {
  if (attributes.size() > kAttributesMax) return TooMany(attributes.size());
  for (const auto& [key, value] : attributes) {
    CAIRN_RETURN_IF_ERROR(CheckAttribute(key, value));
  }
  return absl::OkStatus();
}

std::string EncodeAttributes(const Attributes& attributes) {
  return Encode(attributes);
}

absl::StatusOr<Attributes> DecodeAttributes(absl::string_view bytes) {
  Attributes attributes;
  while (!bytes.empty()) {
    bool found = false;
    absl::string_view key;
    absl::string_view value;
    CAIRN_RETURN_IF_ERROR(TakeAttribute(&bytes, &found, &key, &value));
    if (!found) continue;
    const bool added =
        attributes.emplace(std::string(key), std::string(value)).second;
    if (!added) return Invalid("attributes.key", "comes twice");
  }
  return attributes;
}

absl::StatusOr<std::string> NormalizeAttributes(absl::string_view bytes) {
  if (absl::optional<std::string> stored = NormalizeInOrder(bytes)) {
    return *std::move(stored);
  }
  CAIRN_ASSIGN_OR_RETURN(const Attributes attributes, DecodeAttributes(bytes));
  CAIRN_RETURN_IF_ERROR(CheckAttributes(attributes));
  return EncodeAttributes(attributes);
}

absl::Status CheckAttributeChange(const AttributeChange& change) {
  CAIRN_RETURN_IF_ERROR(CheckAttributes(change.set));
  if (change.overwrite && !change.remove.empty()) {
    return Invalid("remove", "is for MERGE: OVERWRITE leaves nothing behind");
  }
  if (change.remove.size() > kAttributesMax) {
    return TooMany(change.remove.size());
  }
  for (const std::string& key : change.remove) {
    CAIRN_RETURN_IF_ERROR(CheckAttributeKey(key));
    if (change.set.count(key) != 0) {
      return Invalid("remove", absl::StrCat("key ", key, " is set as well"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ApplyAttributeChange(
    absl::string_view before, const AttributeChange& change) {
  if (change.overwrite) return EncodeAttributes(change.set);
  absl::StatusOr<Attributes> merged = DecodeAttributes(before);
  if (!merged.ok()) {
    return ErrorWithReason(absl::StatusCode::kDataLoss,
                           ErrorReason::kContentDamaged,
                           merged.status().message());
  }
  for (const std::string& key : change.remove) merged->erase(key);
  for (const auto& [key, value] : change.set) (*merged)[key] = value;
  CAIRN_RETURN_IF_ERROR(CheckAttributes(*merged));
  return EncodeAttributes(*merged);
}

}  // namespace cairn
