#include "lib/attributes/attributes.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
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

bool IsPrintableAscii(char c) {
  return static_cast<uint8_t>(c - 0x20) < 0x7f - 0x20;
}

bool TakeByte(uint8_t byte, absl::string_view* bytes) {
  if (bytes->empty() || static_cast<uint8_t>(bytes->front()) != byte) {
    return false;
  }
  bytes->remove_prefix(1);
  return true;
}

// Takes a field of bytes whose length is written as WriteVarint() writes it, in
// two bytes at most.
bool TakeShortField(uint8_t tag, absl::string_view* bytes,
                    absl::string_view* value) {
  if (!TakeByte(tag, bytes) || bytes->empty()) return false;
  size_t length = static_cast<uint8_t>((*bytes)[0]);
  size_t length_bytes = 1;
  if (length >= 0x80) {
    if (bytes->size() < 2) return false;
    const auto high = static_cast<uint8_t>((*bytes)[1]);
    if (high == 0 || high >= 0x80) return false;
    length = (length & 0x7f) | size_t{high} << 7;
    length_bytes = 2;
  }
  if (bytes->size() < length_bytes + length) return false;
  *value = bytes->substr(length_bytes, length);
  bytes->remove_prefix(length_bytes + length);
  return true;
}

// Whether the bytes are an allowed set as EncodeAttributes() lays it out, with
// keys of ASCII, as nearly all are: they are stored as they come.
bool IsEncoded(absl::string_view bytes) {
  absl::string_view last;
  for (size_t count = 0; !bytes.empty(); ++count) {
    absl::string_view attribute;
    absl::string_view key;
    absl::string_view value;
    if (count == kAttributesMax ||
        !TakeShortField(kAttributeTag, &bytes, &attribute) ||
        !TakeShortField(kKeyTag, &attribute, &key) ||
        !TakeShortField(kValueTag, &attribute, &value) || !attribute.empty()) {
      return false;
    }
    // No key is empty, so the first one is behind none.
    if (key <= last || key.size() > kAttributeKeyBytesMax ||
        value.size() > kAttributeValueBytesMax ||
        !std::all_of(key.begin(), key.end(), IsPrintableAscii)) {
      return false;
    }
    last = key;
  }
  return true;
}

}  // namespace

absl::Status CheckAttributeKey(absl::string_view key) {
  if (key.empty()) return Invalid("attributes.key", "must not be empty");
  if (key.size() > kAttributeKeyBytesMax) {
    return TooLong("attributes.key", key.size(), kAttributeKeyBytesMax);
  }
  // Nearly all are ASCII.
  const auto other = std::find_if_not(key.begin(), key.end(), IsPrintableAscii);
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
  if (IsEncoded(bytes)) return std::string(bytes);
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
