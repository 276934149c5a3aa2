// FileService.Copy: makes a file of another one, on the store path that has it.
//
//   claim ─▶ look ─┬▶ StorePath::Copy() ──────────────────────────▶ answer
//                  │      └─ has no segment of its own, or not here
//                  └────────▶ read ─▶ Put(), or an upload in pieces ──▶ answer

#ifndef CAIRN_SERVICES_STORAGE_API_COPY_CALL_H_
#define CAIRN_SERVICES_STORAGE_API_COPY_CALL_H_

#include <string>

#include "cairn/storage/v1/file_service.pb.h"
#include "services/storage/api/call_context.h"
#include "services/storage/api/unary_end.h"

namespace cairn {
namespace storage {

// Answers in `response` and ends the call, now or later. Does not block.
// The copy is of `owner`, as in FileInfo.
void StartCopy(const CallContext& context, std::string owner,
               const v1::CopyRequest& request, v1::CopyResponse* response,
               const UnaryEnd& end);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_COPY_CALL_H_
