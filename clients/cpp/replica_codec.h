// Stat with the members that have a file, whose messages are made and read by
// hand like all that this library sends. Pure.

#ifndef CAIRN_CLIENTS_CPP_REPLICA_CODEC_H_
#define CAIRN_CLIENTS_CPP_REPLICA_CODEC_H_

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace client {

// A StatRequest with `include_replicas`.
absl::Cord EncodeStatReplicas(absl::string_view file_id,
                              const StatOptions& options);

// A StatResponse. False if the bytes are malformed.
bool ParseStatResponse(const absl::Cord& message, FileInfo* info);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_REPLICA_CODEC_H_
