// No bytes from outside may crash the parser; what it takes, Protobuf takes as
// well, and it comes back as it was.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/common/v1/file.pb.h"
#include "lib/attributes/attributes.h"
#include "lib/attributes/well_known.h"
#include "lib/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string name = cairn::SafeFileName(bytes);
  CAIRN_CHECK(cairn::SafeFileName(name) == name);
  CAIRN_CHECK(name.find_first_of("/\\") == std::string::npos);

  const absl::StatusOr<cairn::Attributes> any = cairn::DecodeAttributes(bytes);
  const absl::StatusOr<std::string> stored = cairn::NormalizeAttributes(bytes);
  CAIRN_CHECK(stored.ok() == (any.ok() && cairn::CheckAttributes(*any).ok()));
  if (!stored.ok()) return 0;
  CAIRN_CHECK(stored->size() <= cairn::kAttributesBytesMax);
  CAIRN_CHECK(*stored == cairn::EncodeAttributes(*any));
  const absl::StatusOr<std::string> again = cairn::NormalizeAttributes(*stored);
  CAIRN_CHECK(again.ok() && *again == *stored);
  cairn::common::v1::Attributes message;
  CAIRN_CHECK(message.ParseFromString(*stored));
  CAIRN_CHECK(message.attributes_size() == static_cast<int>(any->size()));
  return 0;
}
