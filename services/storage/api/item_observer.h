// What metrics want to know of the operations on files.

#ifndef CAIRN_SERVICES_STORAGE_API_ITEM_OBSERVER_H_
#define CAIRN_SERVICES_STORAGE_API_ITEM_OBSERVER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/rpc/batch_wire.h"

namespace cairn {
namespace storage {

// Thread-safe, and quick: runs once for each operation.
class ItemObserver {
 public:
  virtual ~ItemObserver() = default;

  // An operation of a batch was answered. `took` is the time since the message
  // that it came in; bytes are those of contents.
  virtual void ItemAnswered(rpc::BatchOperation operation,
                            const absl::Status& outcome, absl::Duration took,
                            int64_t bytes_in, int64_t bytes_out) = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_ITEM_OBSERVER_H_
