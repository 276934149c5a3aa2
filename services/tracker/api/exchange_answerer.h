// The answering side of MembershipService.Exchange.
//
//   challenge ─▶   ◀─ hello    welcome, pages ─▶   ◀─ pages, end    end ─▶
//   ├─────────────────── a round, at most 10 s ────────────────────────┤

#ifndef CAIRN_SERVICES_TRACKER_API_EXCHANGE_ANSWERER_H_
#define CAIRN_SERVICES_TRACKER_API_EXCHANGE_ANSWERER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "cairn/tracker/v1/membership_service.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/log_limiter.h"
#include "lib/base/mutex.h"
#include "services/tracker/api/call_observer.h"
#include "services/tracker/api/exchange.h"
#include "services/tracker/core/membership.h"

namespace cairn {
namespace tracker {

// Runs on gRPC threads; nothing in it blocks. Thread-safe.
class ExchangeAnswerer {
 public:
  // A round that takes longer is ended.
  static constexpr absl::Duration kRoundTimeout = absl::Seconds(10);

  // Rounds at once; every other tracker has one.
  static constexpr size_t kRoundsMax = 1000;

  // All are borrowed and must outlive the server.
  ExchangeAnswerer(Membership* membership, CallObserver* observer,
                   Clock* clock);
  ~ExchangeAnswerer();

  // Who this tracker is; callers are sent away until then. Call it once.
  void Open(ExchangeIdentity identity) ABSL_LOCKS_EXCLUDED(mu_);

  grpc::ServerBidiReactor<v1::ExchangeRequest, v1::ExchangeResponse>* Answer(
      const std::string& peer) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends rounds that take too long. Call it several times a second.
  void Tick() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends every round, also those that come later, with UNAVAILABLE.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  size_t rounds() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Round;
  struct Entry {
    std::shared_ptr<Round> round;
    absl::Duration begun;  // Clock::Monotonic().
  };

  void Refused(const absl::Status& status, const std::string& peer);
  void Remove(Round* round) ABSL_LOCKS_EXCLUDED(mu_);

  Membership* const membership_;
  CallObserver* const observer_;
  Clock* const clock_;
  LogLimiter refusals_;

  // Held while nothing else is taken.
  mutable Mutex mu_;
  std::shared_ptr<const ExchangeIdentity> identity_ ABSL_GUARDED_BY(mu_);
  std::map<Round*, Entry> rounds_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_EXCHANGE_ANSWERER_H_
