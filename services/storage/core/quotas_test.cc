// What fits into quotas, and what is counted.

#include "services/storage/core/quotas.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/file_use.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class QuotasTest : public ::testing::Test {
 protected:
  void Limit(Quota group, std::map<std::string, Quota, std::less<>> clients) {
    quotas_.SetLimits({group, std::move(clients)});
  }

  // What a refusal says; empty if there is none.
  std::map<std::string, std::string> Refusal(absl::string_view owner,
                                             const FileUse& more) {
    const absl::Status status = quotas_.Check(owner, more);
    if (status.ok()) return {};
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kQuotaExceeded);
    return MetadataOf(status);
  }

  Quotas quotas_{"group1"};
};

TEST_F(QuotasTest, NothingIsLimitedAtFirst) {
  EXPECT_THAT(quotas_.Check("alice", {1'000'000, int64_t{1} << 50}), IsOk());
  EXPECT_THAT(quotas_.Take("", {1, int64_t{1} << 50}), IsOk());
}

TEST_F(QuotasTest, AGroupTakesWhatFitsExactly) {
  Limit({2, 100}, {});
  EXPECT_THAT(quotas_.Take("", {1, 60}), IsOk());
  EXPECT_THAT(Refusal("", {1, 41}),
              ElementsAre(Pair("limit_bytes", "100"), Pair("quota", "group")));
  EXPECT_THAT(quotas_.Take("alice", {1, 40}), IsOk());
  EXPECT_THAT(Refusal("", {1, 0}),
              ElementsAre(Pair("limit_files", "2"), Pair("quota", "group")));
  EXPECT_EQ(quotas_.Use(), (FileUse{2, 100}));
}

TEST_F(QuotasTest, AClientHasAQuotaOfItsOwn) {
  Limit({}, {{"alice", {1, 0}}, {"bob", {0, 10}}});
  EXPECT_THAT(quotas_.Take("alice", {1, 1000}), IsOk());
  EXPECT_THAT(Refusal("alice", {1, 0}),
              ElementsAre(Pair("limit_files", "1"), Pair("quota", "client")));
  EXPECT_THAT(quotas_.Check("alice", {0, 1000}), IsOk());
  EXPECT_THAT(Refusal("bob", {1, 11}),
              ElementsAre(Pair("limit_bytes", "10"), Pair("quota", "client")));
  EXPECT_THAT(quotas_.Check("carol", {5, 5000}), IsOk());
  EXPECT_THAT(quotas_.Check("", {5, 5000}), IsOk());
}

TEST_F(QuotasTest, TheGroupsQuotaBindsClientsWithinTheirs) {
  Limit({1, 0}, {{"alice", {10, 0}}});
  EXPECT_THAT(quotas_.Take("alice", {1, 1}), IsOk());
  EXPECT_THAT(Refusal("alice", {1, 1}),
              ElementsAre(Pair("limit_files", "1"), Pair("quota", "group")));
}

TEST_F(QuotasTest, WhatDoesNotGrowIsNotRefused) {
  UseTotals path;
  path.Add("alice", {10, 1000});
  quotas_.CountIn(path);
  Limit({5, 500}, {{"alice", {5, 500}}});
  EXPECT_THAT(quotas_.Check("alice", {0, 0}), IsOk());
  EXPECT_THAT(quotas_.Check("alice", {-1, -100}), IsOk());
  EXPECT_EQ(Refusal("alice", {0, 1})["quota"], "client");
  EXPECT_EQ(Refusal("bob", {0, 1})["quota"], "group");
}

TEST_F(QuotasTest, WhatIsTakenCountsUntilItIsSettled) {
  Limit({1, 0}, {});
  ASSERT_THAT(quotas_.Take("alice", {1, 10}), IsOk());
  EXPECT_EQ(Refusal("", {1, 0})["limit_files"], "1");
  UseTotals taken;
  taken.Add("alice", {1, 10});
  quotas_.Settle(UseTotals(), taken);  // It was not made.
  EXPECT_EQ(quotas_.Use(), FileUse());
  ASSERT_THAT(quotas_.Take("alice", {1, 10}), IsOk());
  quotas_.Settle(taken, taken);
  EXPECT_EQ(quotas_.Use(), (FileUse{1, 10}));
  EXPECT_EQ(Refusal("", {1, 0})["limit_files"], "1");
}

TEST_F(QuotasTest, PathsCountTogetherWhileTheyAreThere) {
  UseTotals one;
  one.Add("alice", {3, 30});
  UseTotals two;
  two.Add("alice", {4, 40});
  two.Add("", {1, 1});
  quotas_.CountIn(one);
  quotas_.CountIn(two);
  EXPECT_EQ(quotas_.Use(), (FileUse{8, 71}));
  Limit({}, {{"alice", {7, 0}}});
  EXPECT_EQ(Refusal("alice", {1, 0})["limit_files"], "7");
  quotas_.CountOut(one);
  EXPECT_EQ(quotas_.Use(), (FileUse{5, 41}));
  EXPECT_THAT(quotas_.Check("alice", {3, 0}), IsOk());
}

TEST_F(QuotasTest, ALargerQuotaLetsGoOn) {
  Limit({1, 0}, {});
  ASSERT_THAT(quotas_.Take("", {1, 0}), IsOk());
  EXPECT_EQ(Refusal("", {1, 0})["limit_files"], "1");
  Limit({2, 0}, {});
  EXPECT_THAT(quotas_.Check("", {1, 0}), IsOk());
  Limit({}, {});
  EXPECT_THAT(quotas_.Check("", {1000, 0}), IsOk());
}

TEST_F(QuotasTest, ListsClientsWithFilesOrAQuota) {
  UseTotals path;
  path.Add("alice", {1, 10});
  path.Add("carol", {2, 20});
  path.Add("", {4, 40});
  quotas_.CountIn(path);
  Limit({}, {{"bob", {5, 50}}, {"carol", {6, 60}}});
  const auto names = [this](absl::string_view after, size_t limit) {
    std::vector<std::string> found;
    for (const Quotas::ClientUse& client : quotas_.ListClients(after, limit)) {
      found.push_back(client.client);
    }
    return found;
  };
  EXPECT_THAT(names("", 10), ElementsAre("alice", "bob", "carol"));
  EXPECT_THAT(names("", 2), ElementsAre("alice", "bob"));
  EXPECT_THAT(names("bob", 2), ElementsAre("carol"));
  const Quotas::ClientUse carol = quotas_.ListClients("bob", 1)[0];
  EXPECT_EQ(carol.use, (FileUse{2, 20}));
  EXPECT_EQ(carol.quota, (Quota{6, 60}));
  EXPECT_EQ(quotas_.ListClients("", 1)[0].quota, Quota());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
