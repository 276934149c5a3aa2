// Whatever trackers say of quotas and of removed members: in whatever order it
// comes, the same follows from it.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/check.h"
#include "services/storage/core/quotas.h"
#include "services/storage/sync/quota_decisions.h"
#include "services/storage/sync/removed_members.h"

namespace {

using cairn::storage::FileUse;
using cairn::storage::QuotaDecisions;
using cairn::storage::Quotas;
using cairn::storage::RemovedMembers;

namespace v1 = cairn::tracker::v1;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  v1::GroupPeers peers;
  if (!peers.ParseFromArray(data, static_cast<int>(size))) return 0;
  // As one message, twice, and each decision in one of its own.
  Quotas at_once("group1");
  Quotas one_by_one("group1");
  QuotaDecisions all;
  QuotaDecisions each;
  all.Merge(peers, &at_once);
  all.Merge(peers, &at_once);
  for (const v1::Decision& decision : peers.quotas()) {
    v1::GroupPeers one;
    *one.add_quotas() = decision;
    each.Merge(one, &one_by_one);
  }
  for (const FileUse& more :
       {FileUse{1, 0}, FileUse{1, 1000}, FileUse{0, int64_t{1} << 62}}) {
    CAIRN_CHECK(at_once.Check("", more).code() ==
                one_by_one.Check("", more).code());
    for (const v1::Decision& decision : peers.quotas()) {
      CAIRN_CHECK(at_once.Check(decision.subject(), more).code() ==
                  one_by_one.Check(decision.subject(), more).code());
    }
  }

  RemovedMembers removed;
  removed.Merge(peers);
  removed.MergeHeirs(peers);
  for (const uint32_t number : {0u, 7u, 0xffffffffu}) {
    // An heir that was removed itself has another one, and it ends somewhere.
    (void)removed.ChangerOf(number);
  }
  (void)removed.Check("6ba7b810-9dad-41d1-80b4-00c04fd430c8").ok();
  return 0;
}
