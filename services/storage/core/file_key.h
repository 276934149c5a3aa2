// The key of a file in the index: its name, turned so that younger files sort
// behind older ones.
//
//   name   3F/A2/wKgBZGlVuQAA….jpg
//   key    wKgBZGlVuQAA….jpg NUL 3F/A2        (letters permuted, see below)
//
// A name's 40 characters begin with the node's number and the creation time, in
// base64url. Its alphabet does not sort by ASCII as it counts, so each of its
// 64 characters is replaced by the one that does. Then new names lie behind the
// range of every table of old ones: looking them up touches none, and tables of
// one flush after the other do not overlap. It works for every name and merely
// does not help if a name is made otherwise.

#ifndef CAIRN_SERVICES_STORAGE_CORE_FILE_KEY_H_
#define CAIRN_SERVICES_STORAGE_CORE_FILE_KEY_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace cairn {
namespace storage {

// Appends the key of `name`. Different names have different keys.
void AppendFileKey(absl::string_view name, std::string* key);

// The name whose key this is; nullopt if it is none's.
absl::optional<std::string> FileNameFromKey(absl::string_view key);

// The same into memory that is there; false if it is none's.
bool FileNameFromKey(absl::string_view key, std::string* name);

// The first key behind `key`.
std::string KeyBehind(absl::string_view key);

// The first key behind all that begin with `prefix`; empty if there is none.
// Without a slash in it, what AppendFileKey() makes of the first characters of
// a name's last part is what the keys of all such names begin with.
std::string EndOfPrefix(absl::string_view prefix);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_FILE_KEY_H_
