// Whether a call of AdminService comes from somebody who knows the cluster
// secret; proto/cairn/tracker/v1/admin_service.proto says how he shows it.
//
// A challenge carries its own age and this process's mark, so that strangers
// who ask for challenges make it remember nothing. What it remembers are those
// that were used, for as long as they would be taken again.

#ifndef CAIRN_SERVICES_TRACKER_API_ADMIN_AUTH_H_
#define CAIRN_SERVICES_TRACKER_API_ADMIN_AUTH_H_

#include <cstddef>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace tracker {

// Thread-safe.
class AdminAuth {
 public:
  // How long a challenge may be used.
  static constexpr absl::Duration kLifetime = absl::Seconds(30);

  // Calls that are taken within that time.
  static constexpr size_t kUsedMax = 10000;

  // `clock` is borrowed and must outlive this.
  AdminAuth(std::string cluster_secret, Clock* clock);

  // A new one each time: 80 hexadecimal digits.
  std::string MakeChallenge();

  // Takes a call once. `request` is the serialised request.
  //   UNAUTHENTICATED     NOT_A_MEMBER; the message says what is wrong.
  //   RESOURCE_EXHAUSTED  OVERLOADED.
  absl::Status Check(absl::string_view method, absl::string_view challenge,
                     absl::string_view proof, absl::string_view request)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const std::string cluster_secret_;
  const std::string key_;  // Of the marks; never leaves the process.
  Clock* const clock_;

  Mutex mu_;
  // When each was made, until it could not be used any more.
  std::map<std::string, absl::Duration> used_ ABSL_GUARDED_BY(mu_);
};

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_ADMIN_AUTH_H_
