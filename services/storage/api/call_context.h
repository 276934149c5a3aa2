// What every handler of the storage API uses.

#ifndef CAIRN_SERVICES_STORAGE_API_CALL_CONTEXT_H_
#define CAIRN_SERVICES_STORAGE_API_CALL_CONTEXT_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/method_metrics.h"
#include "services/storage/api/replica_gate.h"
#include "services/storage/core/byte_budget.h"
#include "services/storage/core/quotas.h"
#include "services/storage/core/storage_node.h"

namespace cairn {
namespace storage {

// Counted by the handlers. Thread-safe.
struct ApiMetrics {
  explicit ApiMetrics(MetricsRegistry* registry);

  rpc::MethodMetrics upload;
  rpc::MethodMetrics download;
  rpc::MethodMetrics stat;
  rpc::MethodMetrics remove;
  rpc::MethodMetrics undelete;
  rpc::MethodMetrics get_attributes;
  rpc::MethodMetrics set_attributes;
  rpc::MethodMetrics set_expiry;
  rpc::MethodMetrics list_derived;
  rpc::MethodMetrics copy;
  rpc::MethodMetrics create_appender;
  rpc::MethodMetrics append;
  rpc::MethodMetrics modify;
  rpc::MethodMetrics truncate;
  rpc::MethodMetrics seal;
  rpc::MethodMetrics batch_stream;
  rpc::MethodMetrics batch_put;
  rpc::MethodMetrics batch_get;
  rpc::MethodMetrics batch_stat;
  rpc::MethodMetrics batch_delete;
  rpc::MethodMetrics upload_create;
  rpc::MethodMetrics upload_write;
  rpc::MethodMetrics upload_query;
  rpc::MethodMetrics upload_finish;
  rpc::MethodMetrics upload_abort;
  rpc::MethodMetrics batch_set_attributes;
  rpc::MethodMetrics batch_append;

  // Content, without what is round it.
  Counter* const received_bytes;
  Counter* const sent_bytes;
};

// All borrowed; they outlive the services.
struct CallContext {
  StorageNode* node = nullptr;

  // Of bodies in flight, both ways.
  ByteBudget* budget = nullptr;

  // What calls ask of other members.
  const ReplicaGate* replicas = nullptr;

  // Asked before a body is received; null: there are none.
  const Quotas* quotas = nullptr;

  // Uploads share their contents that do not say whether they do.
  bool default_dedup = false;

  Clock* clock = nullptr;
  ApiMetrics* metrics = nullptr;

  // Set once the process stops: new calls are refused. May be null.
  const std::atomic<bool>* stopping = nullptr;

  // OK, or UNAVAILABLE with SHUTTING_DOWN.
  absl::Status CheckServing() const;

  // OK, or RESOURCE_EXHAUSTED with QUOTA_EXCEEDED: a new file of `owner` would
  // be refused now.
  absl::Status CheckNewFile(absl::string_view owner, int64_t size_bytes) const;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_API_CALL_CONTEXT_H_
