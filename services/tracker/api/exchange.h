// What both sides of MembershipService.Exchange do: say in short what they
// know, cut the rest into pages, and take the other one's pages.

#ifndef CAIRN_SERVICES_TRACKER_API_EXCHANGE_H_
#define CAIRN_SERVICES_TRACKER_API_EXCHANGE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "services/tracker/core/membership.h"

namespace cairn {
namespace tracker {

// Who this tracker is to others.
struct ExchangeIdentity {
  std::string cluster_secret;
  std::string cluster_id;
  std::string tracker_instance;
  std::string tracker_address;
};

// Bytes of a page, but for the last record in it.
inline constexpr size_t kExchangePageBytes = size_t{1} << 20;

v1::ExchangeSummary MakeSummary(const ExchangeIdentity& identity,
                                Membership* membership);

// What a summary of another tracker may look like.
//   INVALID_ARGUMENT  INVALID_FIELD.
absl::Status CheckSummary(const v1::ExchangeSummary& summary);

// What the tracker that sent `theirs` does not know by itself. May be empty.
std::vector<v1::ExchangePage> MakePages(const v1::ExchangeSummary& theirs,
                                        Membership* membership);

// Takes what the tracker that sent `theirs` knows. Returns how much of it was
// malformed and passed over.
size_t MergePage(const v1::ExchangeSummary& theirs,
                 const v1::ExchangePage& page, Membership* membership);

}  // namespace tracker
}  // namespace cairn

#endif  // CAIRN_SERVICES_TRACKER_API_EXCHANGE_H_
