// Whose word about a quota counts.

#include "services/storage/sync/quota_decisions.h"

#include <cstdint>
#include <string>

#include "cairn/tracker/v1/membership_service.pb.h"
#include "gtest/gtest.h"
#include "services/storage/core/quotas.h"

namespace cairn {
namespace storage {
namespace {

void Add(tracker::v1::DecisionField field, const std::string& subject,
         uint64_t value, int64_t unix_ms, tracker::v1::GroupPeers* peers) {
  tracker::v1::Decision* const decision = peers->add_quotas();
  decision->set_field(field);
  decision->set_subject(subject);
  if (value != 0) decision->set_value(value);
  decision->mutable_time()->set_unix_ms(unix_ms);
  decision->mutable_time()->set_tracker_instance("t");
}

tracker::v1::GroupPeers OfGroup(uint64_t files, int64_t unix_ms) {
  tracker::v1::GroupPeers peers;
  Add(tracker::v1::DECISION_FIELD_GROUP_QUOTA_FILES, "group1", files, unix_ms,
      &peers);
  return peers;
}

class QuotaDecisionsTest : public ::testing::Test {
 protected:
  Quota OfClient(const std::string& identity) {
    for (const Quotas::ClientUse& client : quotas_.ListClients("", 100)) {
      if (client.client == identity) return client.quota;
    }
    return Quota();
  }

  QuotaDecisions decisions_;
  Quotas quotas_{"group1"};
};

TEST_F(QuotaDecisionsTest, NothingIsLimitedBeforeATrackerHasSaidSo) {
  decisions_.Merge(tracker::v1::GroupPeers(), &quotas_);
  EXPECT_EQ(quotas_.Limit(), Quota());
}

TEST_F(QuotaDecisionsTest, TheLatestWordCountsWhoeverSaysItLast) {
  decisions_.Merge(OfGroup(10, 5), &quotas_);
  EXPECT_EQ(quotas_.Limit(), (Quota{10, 0}));
  // A tracker that was away knows only what was before, and one that is new
  // knows nothing.
  decisions_.Merge(OfGroup(20, 4), &quotas_);
  decisions_.Merge(tracker::v1::GroupPeers(), &quotas_);
  EXPECT_EQ(quotas_.Limit(), (Quota{10, 0}));
  decisions_.Merge(OfGroup(0, 6), &quotas_);  // Taken back.
  EXPECT_EQ(quotas_.Limit(), Quota());
  decisions_.Merge(OfGroup(10, 5), &quotas_);
  EXPECT_EQ(quotas_.Limit(), Quota());
}

TEST_F(QuotaDecisionsTest, FilesAndBytesAreDecidedApart) {
  constexpr uint64_t kMuch = uint64_t{5} << 40;
  tracker::v1::GroupPeers peers = OfGroup(10, 5);
  Add(tracker::v1::DECISION_FIELD_GROUP_QUOTA_BYTES, "group1", kMuch, 1,
      &peers);
  Add(tracker::v1::DECISION_FIELD_CLIENT_QUOTA_FILES, "alice", 3, 1, &peers);
  Add(tracker::v1::DECISION_FIELD_CLIENT_QUOTA_BYTES, "alice", kMuch, 2,
      &peers);
  Add(tracker::v1::DECISION_FIELD_CLIENT_QUOTA_BYTES, "bob", 7, 1, &peers);
  decisions_.Merge(peers, &quotas_);
  EXPECT_EQ(quotas_.Limit(), (Quota{10, kMuch}));
  EXPECT_EQ(OfClient("alice"), (Quota{3, kMuch}));
  EXPECT_EQ(OfClient("bob"), (Quota{0, 7}));

  tracker::v1::GroupPeers later;
  Add(tracker::v1::DECISION_FIELD_CLIENT_QUOTA_FILES, "alice", 0, 3, &later);
  Add(tracker::v1::DECISION_FIELD_CLIENT_QUOTA_BYTES, "bob", 0, 3, &later);
  decisions_.Merge(later, &quotas_);
  EXPECT_EQ(OfClient("alice"), (Quota{0, kMuch}));
  EXPECT_TRUE(quotas_.ListClients("alice", 100).empty());
}

TEST_F(QuotaDecisionsTest, WhatANewerVersionDecidesIsPassedOver) {
  tracker::v1::GroupPeers peers = OfGroup(10, 5);
  Add(static_cast<tracker::v1::DecisionField>(4711), "group1", 1, 9, &peers);
  decisions_.Merge(peers, &quotas_);
  EXPECT_EQ(quotas_.Limit(), (Quota{10, 0}));
}

}  // namespace
}  // namespace storage
}  // namespace cairn
