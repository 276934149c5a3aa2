// MembershipService: lets storages attach, after both sides have proved that
// they know the cluster secret. Other trackers' calls go to ExchangeAnswerer.
//
//   challenge ─▶          ◀─ hello        welcome, peers ─▶   ◀─ report …
//   ├──── handshake, at most 10 s ────┤├────────── attached ─────────────┤

#ifndef CAIRN_SERVICES_TRACKER_API_MEMBERSHIP_SERVICE_H_
#define CAIRN_SERVICES_TRACKER_API_MEMBERSHIP_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/tracker/v1/membership_service.grpc.pb.h"
#include "lib/base/clock.h"
#include "lib/base/log_limiter.h"
#include "lib/base/mutex.h"
#include "services/tracker/api/call_observer.h"
#include "services/tracker/api/exchange_answerer.h"
#include "services/tracker/core/membership.h"

namespace cairn {
namespace tracker {

struct MembershipServiceOptions {
  std::string cluster_secret;

  // Streams whose hello has not come by then are ended.
  absl::Duration handshake_timeout = absl::Seconds(10);

  // Streams at once, with those in their handshake.
  size_t streams_max = 20000;
};

// Runs on gRPC threads; nothing in it blocks.
class MembershipServiceImpl : public v1::MembershipService::CallbackService {
 public:
  // `membership`, `observer` and `clock` are borrowed and must outlive the
  // server.
  MembershipServiceImpl(Membership* membership,
                        MembershipServiceOptions options,
                        CallObserver* observer, Clock* clock);
  ~MembershipServiceImpl() override;

  grpc::ServerBidiReactor<v1::AttachRequest, v1::AttachResponse>* Attach(
      grpc::CallbackServerContext* context) override;

  grpc::ServerBidiReactor<v1::ExchangeRequest, v1::ExchangeResponse>* Exchange(
      grpc::CallbackServerContext* context) override;

  ExchangeAnswerer* exchanges() { return &exchanges_; }

  // The membership changed: nodes hear of new peers and of their own use, and
  // the streams of those that were removed end.
  void OnChange() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends handshakes that take too long, and the streams of `silent`
  // attachments. Call it several times a second.
  void Tick(const std::vector<uint64_t>& silent) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends every stream, also those that come later, with UNAVAILABLE.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  size_t streams() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Stream;
  struct Entry {
    std::shared_ptr<Stream> stream;
    absl::Duration begun;     // Clock::Monotonic().
    uint64_t attachment = 0;  // 0 during the handshake.
    std::string node_uuid;
    std::string group;
  };

  void Attached(Stream* stream, const Membership::Attached& attached,
                const NodeIdentity& identity) ABSL_LOCKS_EXCLUDED(mu_);
  void Refused(const absl::Status& status, const std::string& peer);
  void Remove(Stream* stream) ABSL_LOCKS_EXCLUDED(mu_);

  Membership* const membership_;
  const MembershipServiceOptions options_;
  CallObserver* const observer_;
  Clock* const clock_;
  LogLimiter refusals_;
  ExchangeAnswerer exchanges_;

  // Held while nothing else is taken, except the membership's.
  mutable Mutex mu_;
  std::map<Stream*, Entry> streams_ ABSL_GUARDED_BY(mu_);
  uint64_t peers_revision_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_MEMBERSHIP_SERVICE_H_
