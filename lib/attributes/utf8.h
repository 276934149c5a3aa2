// UTF-8, character by character.

#ifndef CAIRN_LIB_ATTRIBUTES_UTF8_H_
#define CAIRN_LIB_ATTRIBUTES_UTF8_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace cairn {

// Bytes of the character that `text`, which is not empty, begins with; 0 if it
// begins with none, or with a control character. As Protobuf takes it: no
// surrogates, nothing longer than need be.
size_t PrintableCharacterBytes(absl::string_view text);

}  // namespace cairn

#endif  // CAIRN_LIB_ATTRIBUTES_UTF8_H_
