// The engine's words and the wire's.

#ifndef CAIRN_SERVICES_STORAGE_API_CONVERT_H_
#define CAIRN_SERVICES_STORAGE_API_CONVERT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/rpc/batch_wire.h"
#include "services/storage/core/replica_waits.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// INVALID_ARGUMENT with INVALID_FIELD and the field's name.
absl::Status InvalidField(absl::string_view field, absl::string_view message);

// What a request asks for, from the numbers of cairn.common.v1.Durability.
// `replicas` is 0 if the default is asked for.
//   INVALID_ARGUMENT (INVALID_FIELD)  a number that is none.
absl::StatusOr<ReplicaWish> ParseDurability(
    const rpc::BatchDurability& durability);

// Whether an earlier call with the request_id is one that may be repeated as an
// upload of the derived file `derived_name`, or, if that is empty, of another
// one. What their contents are is not compared.
//   ALREADY_EXISTS  REQUEST_ID_REUSED.
absl::Status CheckDerivedReplay(absl::string_view derived_name,
                                const Committed& earlier);

// The number of cairn.common.v1.DurabilityLevel.
uint32_t DurabilityLevelOf(Durability reached);

// For the wire; refers to both. Attributes are left out.
rpc::BatchFileInfo InfoOf(absl::string_view id_prefix, const FileInfo& file);

// Bytes that a read from `offset` has to send, at most `length` of them.
//   INVALID_ARGUMENT (INVALID_FIELD)  a negative number.
//   OUT_OF_RANGE (RANGE_PAST_END)     `offset` lies past the end.
absl::StatusOr<int64_t> BytesToSend(const FileInfo& file, int64_t offset,
                                    absl::optional<int64_t> length);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_CONVERT_H_
