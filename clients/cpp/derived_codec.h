// The messages about derived files, made and read by hand like all that this
// library sends. Pure.

#ifndef CAIRN_CLIENTS_CPP_DERIVED_CODEC_H_
#define CAIRN_CLIENTS_CPP_DERIVED_CODEC_H_

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace client {

// A ListDerivedRequest.
absl::Cord EncodeListDerived(absl::string_view file_id,
                             const ListDerivedOptions& options);

// A DeleteRequest with `with_derived`.
absl::Cord EncodeDeleteWithDerived(absl::string_view file_id,
                                   const std::string& request_id,
                                   const DeleteOptions& options);

// False if the bytes are malformed.
bool ParseListDerivedResponse(const absl::Cord& message,
                              ListDerivedResult* result);
bool ParseDeleteResponse(const absl::Cord& message, DeleteResult* result);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_DERIVED_CODEC_H_
