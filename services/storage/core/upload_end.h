// The end of an upload whose content came as a put.

#ifndef CAIRN_SERVICES_STORAGE_CORE_UPLOAD_END_H_
#define CAIRN_SERVICES_STORAGE_CORE_UPLOAD_END_H_

#include <utility>

#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// All that `put` says, moved out of it, but its content, and `dedup`: for that
// an upload has Share().
inline Upload::FinishRequest FinishOf(PutRequest* put) {
  Upload::FinishRequest finish;
  finish.request_id = put->request_id;
  finish.name = std::move(put->name);
  finish.kind = put->kind;
  finish.create_unix_seconds = put->create_unix_seconds;
  finish.origin_node = put->origin_node;
  finish.attributes = std::move(put->attributes);
  finish.expire_unix_seconds = put->expire_unix_seconds;
  finish.owner = std::move(put->owner);
  finish.durability = put->durability;
  return finish;
}

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_UPLOAD_END_H_
