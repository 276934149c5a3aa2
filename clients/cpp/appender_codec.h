// The messages of AppenderService, and of other calls that change a file with
// one message there and one back, made and read by hand like all that this
// library sends. Pure.

#ifndef CAIRN_CLIENTS_CPP_APPENDER_CODEC_H_
#define CAIRN_CLIENTS_CPP_APPENDER_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/types/optional.h"
#include "clients/cpp/types.h"

namespace cairn {
namespace client {

// What is done to an appender, but for appends, which go in batches.
enum class UpdateKind { kModify, kTruncate, kSeal };

// A CreateAppenderRequest.
absl::Cord EncodeCreateAppender(const std::string& request_id,
                                const PutOptions& options,
                                absl::optional<uint32_t> store_path,
                                const absl::Cord& content, uint32_t crc32c);

// A ModifyRequest, TruncateRequest or SealRequest. `offset` is the size for
// kTruncate, and not used for kSeal.
absl::Cord EncodeUpdate(UpdateKind kind, const std::string& request_id,
                        const std::string& file_id,
                        const UpdateOptions& options, int64_t offset,
                        const absl::Cord& content, uint32_t crc32c);

// A SetExpiryRequest.
absl::Cord EncodeSetExpiry(const std::string& request_id,
                           const std::string& file_id, const Lifetime& lifetime,
                           const SetExpiryOptions& options);

// An UndeleteRequest.
absl::Cord EncodeUndelete(const std::string& request_id,
                          const std::string& file_id,
                          const UndeleteOptions& options);

// The responses of all of them are alike. False if the bytes are malformed.
bool ParseUpdateResponse(const absl::Cord& message, PutResult* result);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_APPENDER_CODEC_H_
