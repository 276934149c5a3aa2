// Attributes that have a meaning for Cairn's own programs. Everything else is
// the user's. Pure.

#ifndef CAIRN_LIB_ATTRIBUTES_WELL_KNOWN_H_
#define CAIRN_LIB_ATTRIBUTES_WELL_KNOWN_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cairn {

// What the content is, as MIME names it: `image/jpeg`.
inline constexpr absl::string_view kContentTypeAttribute = "content-type";

// The name that the file had where it came from, without folders.
inline constexpr absl::string_view kFileNameAttribute = "file-name";

// The usual type of files whose name ends with the extension (without a dot,
// capitals or not); empty if it is not known. Of `tar.gz` the last part counts.
absl::string_view ContentTypeOfExtension(absl::string_view extension);

// A name that is safe to make a file of, in whatever folder: what stands behind
// the last slash or backslash, without control characters and what is no UTF-8,
// without dots, dashes and blanks at its beginning and dots and blanks at its
// end, at most 255 bytes. Empty if nothing is left.
std::string SafeFileName(absl::string_view name);

}  // namespace cairn

#endif  // CAIRN_LIB_ATTRIBUTES_WELL_KNOWN_H_
