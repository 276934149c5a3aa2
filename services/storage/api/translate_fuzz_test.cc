// Whatever a client asks for as a lifetime, a durability, a change of
// attributes or the name of a derived file: it is refused, or is within its
// limits.
//
// The first byte chooses the message.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/common/v1/file.pb.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "lib/attributes/attributes.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/file_id/file_id.h"
#include "services/storage/api/translate.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/storage_node.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kNowSeconds = 1767225600;

void TryLifetime(const common::v1::Lifetime& lifetime) {
  const absl::StatusOr<int64_t> expire =
      ParseLifetime(lifetime, absl::FromUnixSeconds(kNowSeconds) +
                                  absl::Nanoseconds(999999999));
  if (!expire.ok() || *expire == 0) return;
  CAIRN_CHECK(*expire > kNowSeconds && *expire <= kExpireUnixSecondsMax);
}

void TryAttributes(const v1::SetAttributesRequest& request) {
  const absl::StatusOr<AttributeChange> change = ParseAttributeChange(
      request.mode(), request.attributes(), request.remove());
  if (!change.ok()) return;
  CAIRN_CHECK_OK(CheckAttributeChange(*change));
  const absl::StatusOr<std::string> after = ApplyAttributeChange("", *change);
  CAIRN_CHECK_OK(after.status());
  CAIRN_CHECK_OK(DecodeAttributes(*after).status());
}

void TryDerived(const v1::DerivedName& derived, absl::string_view extension) {
  static FileIdCodec* const codec = new FileIdCodec("secret");
  static StorageNode* const node = [] {
    NodeIdentity identity;
    identity.node_number = 7;
    identity.group = "group1";
    return new StorageNode(identity, PathPolicy::kRoundRobin, codec,
                           Clock::Real());
  }();
  // This node has no path: what is refused for that was a name.
  absl::optional<uint32_t> store_path;
  const absl::StatusOr<std::string> name =
      ParseDerived(*node, derived, extension, &store_path);
  CAIRN_CHECK(!name.ok());
  const absl::StatusOr<std::string> id =
      DerivedFileId(derived.master_id(), derived.prefix(), extension);
  if (!id.ok()) return;
  const absl::StatusOr<FileIdParts> parts = ParseFileId(*id);
  CAIRN_CHECK_OK(parts.status());
  CAIRN_CHECK(DerivedPrefixOf(parts->name) == derived.prefix());
  CAIRN_CHECK(codec->Verify(*id).ok() ==
              codec->Verify(derived.master_id()).ok());
}

template <typename Message>
bool Parse(absl::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace
}  // namespace storage
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::storage;  // NOLINT: the one function outside of it
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                                size - 1);
  cairn::common::v1::Lifetime lifetime;
  cairn::common::v1::Durability durability;
  v1::SetAttributesRequest attributes;
  v1::UploadSpec spec;
  switch (data[0] % 4) {
    case 0:
      if (Parse(bytes, &lifetime)) TryLifetime(lifetime);
      break;
    case 1:
      if (Parse(bytes, &durability)) (void)ParseDurability(durability).ok();
      break;
    case 2:
      if (Parse(bytes, &attributes)) TryAttributes(attributes);
      break;
    default:
      if (Parse(bytes, &spec)) TryDerived(spec.derived(), spec.extension());
      break;
  }
  return 0;
}
