// The messages of copies, made and read by hand like all that this library
// sends. Pure.

#ifndef CAIRN_CLIENTS_CPP_COPY_CODEC_H_
#define CAIRN_CLIENTS_CPP_COPY_CODEC_H_

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace client {

// A CopyRequest.
absl::Cord EncodeCopy(const std::string& request_id, absl::string_view file_id,
                      const CopyOptions& options);

// False if the bytes are malformed.
bool ParseCopyResponse(const absl::Cord& message, CopyResult* result);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_COPY_CODEC_H_
