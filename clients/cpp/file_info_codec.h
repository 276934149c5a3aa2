// The wire form of the small messages that several services share.

#ifndef CAIRN_CLIENTS_CPP_FILE_INFO_CODEC_H_
#define CAIRN_CLIENTS_CPP_FILE_INFO_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/types.h"
#include "clients/cpp/wire_format.h"

namespace cairn {
namespace client {

// A cairn.common.v1.DurabilityReached.
struct Reached {
  DurabilityLevel level = DurabilityLevel::kCached;
  uint32_t replicas = 0;
};

// Appends the fields of a cairn.common.v1.Durability.
void AppendDurability(const Durability& durability, std::string* out);

// A cairn.common.v1.Lifetime; empty if the file never expires.
std::string EncodeLifetime(const Lifetime& lifetime);

// Read a cairn.common.v1.FileInfo and a DurabilityReached. False if the bytes
// are malformed; fields that are not known are passed over.
bool ParseFileInfo(absl::string_view bytes, FileInfo* info);
bool ParseReached(absl::string_view bytes, Reached* reached);

// The same of a Timestamp in a field that `reader` is at.
bool ReadTime(WireReader* reader, absl::optional<absl::Time>* time);

// The same of a field that `reader` is at, into a result that has the two.
template <typename Result>
bool ReadReached(WireReader* reader, Result* result) {
  absl::string_view field;
  Reached reached;
  if (!reader->ReadBytes(&field) || !ParseReached(field, &reached)) {
    return false;
  }
  result->level = reached.level;
  result->replicas = reached.replicas;
  return true;
}

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_FILE_INFO_CODEC_H_
