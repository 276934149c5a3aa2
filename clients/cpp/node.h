// One storage node as the client uses it: its connections and whether it is
// worth asking.

#ifndef CAIRN_CLIENTS_CPP_NODE_H_
#define CAIRN_CLIENTS_CPP_NODE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clients/cpp/batch_stream.h"
#include "lib/base/mutex.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace cairn {
namespace rpc {
class Tls;
}  // namespace rpc

namespace client {

// Thread-safe.
class Node {
 public:
  // `tls` may be null, for plain text. `timer` and `owner` as for BatchStream.
  // Connects when there is something to send.
  Node(absl::string_view uuid, absl::string_view address, int bulk_connections,
       std::shared_ptr<const rpc::Tls> tls,
       const BatchStreamOptions& batch_options, Timer* timer,
       SmallCallOwner* owner);

  const std::string& uuid() const { return uuid_; }
  const std::string& address() const { return address_; }

  // For small operations. Its Shutdown() must come before the destructor.
  BatchStream* batch() const { return batch_.get(); }

  // For calls that must not be held up by bulk data.
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // A connection for one large transfer, the least used one. Held while the
  // transfer runs.
  class BulkLease {
   public:
    BulkLease(std::shared_ptr<grpc::Channel> channel, std::atomic<int>* users)
        : channel_(std::move(channel)), users_(users) {}
    ~BulkLease() { users_->fetch_sub(1); }
    BulkLease(const BulkLease&) = delete;
    BulkLease& operator=(const BulkLease&) = delete;
    const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

   private:
    const std::shared_ptr<grpc::Channel> channel_;
    std::atomic<int>* const users_;
  };
  std::unique_ptr<BulkLease> LeaseBulk() ABSL_LOCKS_EXCLUDED(mu_);

  // Remembers that the node could not be reached, or that it could. Others are
  // preferred for a second.
  void MarkGone();
  void MarkThere();
  bool seems_gone() const;

 private:
  struct Bulk {
    std::shared_ptr<grpc::Channel> channel;
    std::atomic<int> users{0};
  };

  const std::string uuid_;
  const std::string address_;
  const std::shared_ptr<const rpc::Tls> tls_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::shared_ptr<BatchStream> batch_;
  std::atomic<int64_t> gone_until_nanos_{0};  // As MonotonicNow(); 0: is there.

  Mutex mu_;
  std::vector<Bulk> bulk_ ABSL_GUARDED_BY(mu_);  // Of fixed size.
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_NODE_H_
