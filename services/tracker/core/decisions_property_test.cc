// Trackers with clocks up to a day apart, operators that decide at any of them,
// and messages that come late, twice or in another order. A naive model keeps,
// with each decision, the set of all that its tracker had seen by then.

#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "lib/testing/seed.h"
#include "rapidcheck/gtest.h"
#include "services/tracker/core/decisions.h"

namespace cairn {
namespace tracker {
namespace {

// RapidCheck reads its seed from here, once, before the first property.
const bool kSeeded = [] {
  setenv("RC_PARAMS", absl::StrCat("seed=", TestSeed(20261123)).c_str(),
         /*overwrite=*/0);
  return true;
}();

std::string TrackerOf(int i) {
  return absl::StrCat("bbbbbbbb-0000-4000-8000-00000000000", i);
}

DecisionKey AnyKey() {
  const auto field = static_cast<DecisionField>(*rc::gen::inRange(1, 8));
  if (field == DecisionField::kGroupWeight) {
    return {field, absl::StrCat("group", *rc::gen::inRange(1, 3))};
  }
  return {field, absl::StrCat("aaaaaaaa-0000-4000-8000-00000000000",
                              *rc::gen::inRange(1, 3))};
}

// Times are few, so that they meet: also those that trackers promise never to
// make, two decisions of one tracker at one time.
Decision AnyDecision() {
  Decision decision;
  decision.key = AnyKey();
  if (*rc::gen::arbitrary<bool>()) decision.value = *rc::gen::inRange(0, 3);
  if (decision.key.field == DecisionField::kNodeZone) {
    decision.text = absl::StrCat("zone", *rc::gen::inRange(0, 2));
  }
  decision.reason = absl::StrCat(*rc::gen::inRange(0, 2));
  decision.time = {*rc::gen::inRange<int64_t>(0, 3),
                   *rc::gen::inRange<uint32_t>(0, 2),
                   TrackerOf(*rc::gen::inRange(0, 2))};
  return decision;
}

std::vector<Decision> AnyDecisions() {
  std::vector<Decision> all;
  const int count = *rc::gen::inRange(0, 20);
  for (int i = 0; i < count; ++i) all.push_back(AnyDecision());
  return all;
}

Decisions Merged(const std::vector<Decision>& all, Decisions into = {}) {
  for (const Decision& decision : all) into.Merge(decision);
  return into;
}

std::vector<Decision> ListOf(const Decisions& decisions) {
  std::vector<Decision> all;
  for (const auto& [key, decision] : decisions.all()) all.push_back(decision);
  return all;
}

void AssertSame(const Decisions& a, const Decisions& b) {
  RC_ASSERT(ListOf(a) == ListOf(b));
  RC_ASSERT(a.digest() == b.digest());
  RC_ASSERT(a.NextTime(absl::UnixEpoch(), "t") ==
            b.NextTime(absl::UnixEpoch(), "t"));
}

RC_GTEST_PROP(DecisionsPropertyTest, MergingIsCommutative, ()) {
  const std::vector<Decision> a = AnyDecisions();
  const std::vector<Decision> b = AnyDecisions();
  const Decisions ab = Merged(ListOf(Merged(b)), Merged(a));
  const Decisions ba = Merged(ListOf(Merged(a)), Merged(b));
  RC_ASSERT(ListOf(ab) == ListOf(ba));
  RC_ASSERT(ab.digest() == ba.digest());
}

RC_GTEST_PROP(DecisionsPropertyTest, MergingIsAssociative, ()) {
  const std::vector<Decision> a = AnyDecisions();
  const std::vector<Decision> b = AnyDecisions();
  const std::vector<Decision> c = AnyDecisions();
  const Decisions bc = Merged(c, Merged(b));
  const Decisions left = Merged(ListOf(bc), Merged(a));
  const Decisions right = Merged(c, Merged(ListOf(Merged(b)), Merged(a)));
  RC_ASSERT(ListOf(left) == ListOf(right));
  RC_ASSERT(left.digest() == right.digest());
}

RC_GTEST_PROP(DecisionsPropertyTest, MergingIsIdempotent, ()) {
  const Decisions a = Merged(AnyDecisions());
  AssertSame(Merged(ListOf(a), a), a);
}

RC_GTEST_PROP(DecisionsPropertyTest, EveryOrderLeadsToTheSame, ()) {
  std::vector<Decision> all = AnyDecisions();
  const Decisions once = Merged(all);
  // Fisher and Yates, drawn by RapidCheck.
  for (size_t i = all.size(); i > 1; --i) {
    std::swap(all[i - 1], all[*rc::gen::inRange<size_t>(0, i)]);
  }
  AssertSame(Merged(all), once);
}

// One tracker of the model.
struct Site {
  Decisions decisions;
  absl::Duration skew;
  std::set<int> seen;  // Numbers of decisions, own ones too.
};

struct Taken {
  Decision decision;
  std::set<int> seen_before;
};

RC_GTEST_PROP(DecisionsPropertyTest, NothingDecidedAfterHavingSeenIsLost, ()) {
  std::vector<Site> sites(*rc::gen::inRange<size_t>(1, 5));
  for (Site& site : sites) {
    site.skew = absl::Seconds(*rc::gen::inRange(-86400, 86400));
  }
  std::vector<Taken> taken;
  absl::Time now = absl::FromUnixSeconds(1767225600);
  const int steps = *rc::gen::inRange(0, 60);
  for (int step = 0; step < steps; ++step) {
    now += absl::Milliseconds(*rc::gen::inRange(0, 3));
    const size_t at = *rc::gen::inRange<size_t>(0, sites.size());
    Site& site = sites[at];
    if (*rc::gen::inRange(0, 3) > 0) {
      Decision decision = AnyDecision();
      decision.time = site.decisions.NextTime(now + site.skew,
                                              TrackerOf(static_cast<int>(at)));
      taken.push_back({decision, site.seen});
      site.seen.insert(static_cast<int>(taken.size()) - 1);
      RC_ASSERT(site.decisions.Merge(decision));
    } else {
      // What the other one has comes here, whole.
      const Site from = sites[*rc::gen::inRange<size_t>(0, sites.size())];
      for (const Decision& decision : ListOf(from.decisions)) {
        site.decisions.Merge(decision);
      }
      site.seen.insert(from.seen.begin(), from.seen.end());
    }
    if (*rc::gen::inRange(0, 20) == 0) {
      // Somebody sets that tracker's clock.
      site.skew = absl::Seconds(*rc::gen::inRange(-86400, 86400));
    }
  }

  Decisions all;
  for (const Site& site : sites) all = Merged(ListOf(site.decisions), all);
  for (const Taken& one : taken) {
    const Decision* const winner =
        all.Find(one.decision.key.field, one.decision.key.subject);
    RC_ASSERT(winner != nullptr);
    for (const Taken& other : taken) {
      if (other.decision != *winner) continue;
      // The winner is not something that `one` had seen and overruled.
      for (const int seen : one.seen_before) {
        RC_ASSERT(taken[seen].decision != *winner || one.decision == *winner);
      }
    }
  }
}

}  // namespace
}  // namespace tracker
}  // namespace cairn
