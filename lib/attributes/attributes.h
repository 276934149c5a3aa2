// The key-value attributes of a file: what is allowed, how they are laid out,
// and what a change makes of them. Pure; the one place that knows the limits.
//
//   request ─▶ NormalizeAttributes ─▶ bytes: record, index, log, snapshot
//   reader  ◀─ DecodeAttributes ◀──── bytes
//   change  ─▶ ApplyAttributeChange(bytes before) ─▶ bytes after
//
// The bytes are a message cairn.common.v1.Attributes with the keys in ascending
// order: so the same set has the same bytes everywhere, and all that stands
// between a client and the disk passes them on without looking. No attributes
// are no bytes.

#ifndef CAIRN_LIB_ATTRIBUTES_ATTRIBUTES_H_
#define CAIRN_LIB_ATTRIBUTES_ATTRIBUTES_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

using Attributes = std::map<std::string, std::string>;

// Of one file.
inline constexpr size_t kAttributesMax = 64;

// At least 1 byte of UTF-8 without control characters.
inline constexpr size_t kAttributeKeyBytesMax = 64;

// Any bytes, none at all among them.
inline constexpr size_t kAttributeValueBytesMax = 1024;

// No set within the limits takes more bytes when it is laid out.
inline constexpr size_t kAttributesBytesMax =
    kAttributesMax * (kAttributeKeyBytesMax + kAttributeValueBytesMax + 9);

// Errors of everything below that checks, with the `field` and what it may have
// at most (`limit` attributes, `limit_bytes`) in the metadata:
//
//   INVALID_ARGUMENT  TOO_LARGE: too many attributes, or too many bytes in one.
//                     INVALID_FIELD: a key is empty, has control characters or
//                     is no UTF-8; or a key comes twice.
absl::Status CheckAttributeKey(absl::string_view key);
absl::Status CheckAttributes(const Attributes& attributes);

std::string EncodeAttributes(const Attributes& attributes);

// Takes keys in any order, and fields that it does not know, and does not look
// at the limits.
//   INVALID_ARGUMENT  INVALID_FIELD: the bytes are no such message, or a key
//                     comes twice.
absl::StatusOr<Attributes> DecodeAttributes(absl::string_view bytes);

// Decodes, checks and encodes: what a request brings becomes what is stored.
absl::StatusOr<std::string> NormalizeAttributes(absl::string_view bytes);

// A change of a file's attributes.
struct AttributeChange {
  // The set becomes `set`. Else `set` is added to it, in place of what the keys
  // had, and `remove` is taken out of it; a key that is not there is no error.
  bool overwrite = false;
  Attributes set;
  std::vector<std::string> remove;
};

// What can be said without the file: `set` is within the limits, no key is both
// set and removed, none is removed by an overwriting change.
absl::Status CheckAttributeChange(const AttributeChange& change);

// What a change, which was checked, makes of a set.
//   INVALID_ARGUMENT  as above: the sum has too many attributes.
//   DATA_LOSS         CONTENT_DAMAGED: `before` is none.
absl::StatusOr<std::string> ApplyAttributeChange(absl::string_view before,
                                                 const AttributeChange& change);

}  // namespace cairn

#endif  // CAIRN_LIB_ATTRIBUTES_ATTRIBUTES_H_
