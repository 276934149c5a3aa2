// One streaming call whose messages are raw bytes, for a caller that may block.

#ifndef CAIRN_CLIENTS_CPP_RAW_CALL_H_
#define CAIRN_CLIENTS_CPP_RAW_CALL_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace cairn {
namespace client {

struct RawCallOptions {
  // As MonotonicNow(); the call ends with DEADLINE_EXCEEDED then.
  absl::Duration deadline = absl::InfiniteDuration();

  // While a Write() or Read() waits and nothing moves for so long, the call is
  // broken with UNAVAILABLE.
  absl::Duration stall_timeout = absl::Seconds(30);

  // Messages that may wait, to be sent or to be read.
  size_t window = 4;

  // Sent along: keys and values.
  std::vector<std::pair<std::string, std::string>> metadata = {};
};

// Used by one thread, except for Cancel(). gRPC moves messages on its own
// threads meanwhile, up to the window.
class RawCall {
 public:
  // Begins the call of `method` ("/package.Service/Method").
  RawCall(const std::shared_ptr<grpc::Channel>& channel, const char* method,
          const RawCallOptions& options);

  // Cancels the call if it has not ended, and waits until gRPC is done with it.
  ~RawCall();

  RawCall(const RawCall&) = delete;
  RawCall& operator=(const RawCall&) = delete;

  // Queues a message, which is referenced until it is sent; `last` closes our
  // side behind it. Blocks while the window is full. False: the call is broken,
  // see Finish().
  bool Write(absl::Cord message, bool last);

  // The next message; nullopt at the end of the stream, see Finish(). Blocks.
  absl::optional<absl::Cord> Read();

  // The same for an answer that takes as long as it takes, as of an upload that
  // is being synced: only the deadline and a broken connection end it.
  absl::optional<absl::Cord> ReadPatiently();

  // How the call ended. Cancels it if messages are left.
  absl::Status Finish();

  // Breaks the call from any thread.
  void Cancel();

 private:
  class Reactor;
  const std::unique_ptr<Reactor> reactor_;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_RAW_CALL_H_
