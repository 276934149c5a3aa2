#include "clients/cpp/node.h"

#include <grpcpp/channel.h>

#include <utility>

#include "lib/rpc/channel.h"

namespace cairn {
namespace client {
namespace {

constexpr absl::Duration kAvoidFor = absl::Seconds(1);

rpc::ChannelOptions OptionsOfChannel(std::shared_ptr<const rpc::Tls> tls) {
  rpc::ChannelOptions options;
  options.tls = std::move(tls);
  options.user_agent = "cairn-client";
  // Small operations and each bulk connection have a connection of their own:
  // what is queued on one never holds up another.
  options.own_connection = true;
  return options;
}

}  // namespace

Node::Node(absl::string_view uuid, absl::string_view address,
           int bulk_connections, std::shared_ptr<const rpc::Tls> tls,
           const BatchStreamOptions& batch_options, Timer* timer,
           SmallCallOwner* owner)
    : uuid_(uuid),
      address_(address),
      tls_(std::move(tls)),
      channel_(rpc::MakeChannel(address, OptionsOfChannel(tls_))),
      batch_(BatchStream::Create(channel_, batch_options, timer, owner)),
      bulk_(static_cast<size_t>(bulk_connections)) {}

std::unique_ptr<Node::BulkLease> Node::LeaseBulk() {
  MutexLock lock(&mu_);
  Bulk* best = &bulk_.front();
  for (Bulk& bulk : bulk_) {
    if (bulk.users.load() < best->users.load()) best = &bulk;
  }
  if (best->channel == nullptr) {
    best->channel = rpc::MakeChannel(address_, OptionsOfChannel(tls_));
  }
  best->users.fetch_add(1);
  return std::make_unique<BulkLease>(best->channel, &best->users);
}

void Node::MarkGone() {
  gone_until_nanos_.store(absl::ToInt64Nanoseconds(MonotonicNow() + kAvoidFor));
}

void Node::MarkThere() {
  if (gone_until_nanos_.load(std::memory_order_relaxed) != 0) {
    gone_until_nanos_.store(0);
  }
}

bool Node::seems_gone() const {
  const int64_t until = gone_until_nanos_.load(std::memory_order_relaxed);
  return until != 0 && absl::ToInt64Nanoseconds(MonotonicNow()) < until;
}

}  // namespace client
}  // namespace cairn
