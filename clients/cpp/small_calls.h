// Small operations from their call to their end: choose a node, send, and on
// failure choose again, wait or give up.

#ifndef CAIRN_CLIENTS_CPP_SMALL_CALLS_H_
#define CAIRN_CLIENTS_CPP_SMALL_CALLS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/batch_codec.h"
#include "clients/cpp/batch_stream.h"
#include "clients/cpp/retry.h"
#include "clients/cpp/router.h"
#include "clients/cpp/timer.h"

namespace cairn {
namespace client {

// Thread-safe.
class SmallCalls : public SmallCallOwner {
 public:
  // Gets the last outcome, checked: the content of a get matches its CRC, and a
  // put stored what was sent. Runs once; must not block.
  using Done = absl::AnyInvocable<void(absl::Status, SmallAnswer)>;

  // Both are borrowed.
  SmallCalls(const RetryOptions& options, Router* router, Timer* timer);

  // `group` counts for a put. `request_id`s are set; a borrowed content must
  // last until `done` has run.
  void Start(SmallRequest request, std::string group, absl::Duration timeout,
             Done done);

  void OnOutcome(std::unique_ptr<SmallCall> call, absl::Status status,
                 SmallAnswer answer) override;

  // From now on nothing is repeated: failures, and what is started, end with
  // CANCELLED.
  void Stop() { stopping_.store(true); }

 private:
  struct Call;

  // Where a request may go that is about a file.
  absl::StatusOr<std::shared_ptr<Node>> RouteOf(const SmallRequest& request,
                                                const Tried& tried);
  void Attempt(std::unique_ptr<Call> call);

  // After an attempt that failed, and when no node could be chosen.
  void Failed(std::unique_ptr<Call> call, const absl::Status& status);
  void NoRoute(std::unique_ptr<Call> call, const absl::Status& status);
  static void Finish(std::unique_ptr<Call> call, absl::Status status,
                     SmallAnswer answer);

  const RetryOptions options_;
  Router* const router_;
  Timer* const timer_;
  std::atomic<bool> stopping_{false};
};

// Whether `answer` is what `request` asked for, byte for byte; DATA_LOSS
// (CHECKSUM_MISMATCH) if it is not.
absl::Status CheckAnswer(const SmallRequest& request,
                         const SmallAnswer& answer);

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_SMALL_CALLS_H_
