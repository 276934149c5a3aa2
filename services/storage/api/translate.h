// Wire messages to the plain values of the core and back, with the checks that
// the .proto comments promise. Pure functions.

#ifndef CAIRN_SERVICES_STORAGE_API_TRANSLATE_H_
#define CAIRN_SERVICES_STORAGE_API_TRANSLATE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/common/v1/file.pb.h"
#include "cairn/storage/v1/appender_service.pb.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "lib/attributes/attributes.h"
#include "lib/base/uuid.h"
#include "services/storage/core/replica_waits.h"
#include "services/storage/core/storage_node.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// A request_id in canonical text form; nil for "" unless it is required.
//   INVALID_ARGUMENT  INVALID_FIELD.
absl::StatusOr<Uuid> ParseRequestId(absl::string_view text, bool required);

// As ParseDurability() of convert.h.
absl::StatusOr<ReplicaWish> ParseDurability(
    const common::v1::Durability& durability);

common::v1::DurabilityLevel ToProto(Durability durability);
common::v1::FileKind ToProto(FileKind kind);

// `path_index` is where the file lies. Attributes are left out.
void ToProto(const StorageNode& node, uint8_t path_index, const FileInfo& info,
             common::v1::FileInfo* out);

// What a request brings, as it is stored.
//   INVALID_ARGUMENT  as NormalizeAttributes() of lib/attributes.
absl::StatusOr<std::string> ParseAttributes(
    const common::v1::Attributes& attributes);

// A change of attributes, from a request of a call or of a batch.
//   INVALID_ARGUMENT  INVALID_FIELD: the mode is none; and as
//                     CheckAttributeChange() of lib/attributes.
absl::StatusOr<AttributeChange> ParseAttributeChange(
    common::v1::AttributesMode mode, const common::v1::Attributes& attributes,
    const google::protobuf::RepeatedPtrField<std::string>& remove);

// When an UpdateRequest or a SealRequest is to be done at all.
template <typename Change>
void FillCondition(const v1::UpdateCondition& condition, Change* change) {
  if (condition.has_size_bytes()) {
    change->if_size_bytes = condition.size_bytes();
  }
  if (condition.has_version()) {
    change->if_version =
        Version{condition.version().clock(), condition.version().node()};
  }
}

// When a file expires that gets this lifetime now, as
// FileInfo::expire_unix_seconds.
//   INVALID_ARGUMENT  INVALID_FIELD: it has passed, or is no time.
absl::StatusOr<int64_t> ParseLifetime(const common::v1::Lifetime& lifetime,
                                      absl::Time now);
// The name of a file that is derived from another one. `store_path`, which the
// request may name, becomes its master's.
//   INVALID_ARGUMENT  INVALID_FIELD: it names another path; and as
//                     StorageNode::NameDerived(), as all others.
absl::StatusOr<std::string> ParseDerived(const StorageNode& node,
                                         const v1::DerivedName& derived,
                                         absl::string_view extension,
                                         absl::optional<uint32_t>* store_path);

// Leaves `out` unset if the file has none.
void AttributesToProto(const FileInfo& info, common::v1::FileInfo* out);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_TRANSLATE_H_
