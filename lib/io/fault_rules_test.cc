// Fault rules: their text form, and which operation meets them.

#include "lib/io/fault_rules.h"

#include <cerrno>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The outcomes of `times` operations in a row.
std::vector<int> Outcomes(FaultRules* rules, FileOperation operation,
                          absl::string_view path, int times) {
  std::vector<int> outcomes;
  for (int i = 0; i < times; ++i) {
    outcomes.push_back(rules->Check(operation, path));
  }
  return outcomes;
}

FaultRule ParseOrDie(absl::string_view text) {
  const auto rule = ParseFaultRule(text);
  EXPECT_THAT(rule, IsOk()) << text;
  return rule.ok() ? *rule : FaultRule();
}

TEST(FaultRulesTest, WithoutRulesNothingFails) {
  FaultRules rules;
  EXPECT_EQ(rules.Check(FileOperation::kSync, "/a"), 0);
}

TEST(FaultRulesTest, TheNthOperationFailsOnce) {
  FaultRules rules;
  rules.Add(ParseOrDie("sync:segments/=EIO@3"));
  EXPECT_EQ(rules.Check(FileOperation::kSync, "/index/1"), 0);
  EXPECT_EQ(rules.Check(FileOperation::kWrite, "/segments/1"), 0);
  EXPECT_THAT(Outcomes(&rules, FileOperation::kSync, "/segments/1", 5),
              ElementsAre(0, 0, EIO, 0, 0));
}

TEST(FaultRulesTest, FromTheNthOperationOnAllFail) {
  FaultRules rules;
  rules.Add(ParseOrDie("write|create=ENOSPC@2+"));
  EXPECT_EQ(rules.Check(FileOperation::kCreate, "/a"), 0);
  EXPECT_THAT(Outcomes(&rules, FileOperation::kWrite, "/a", 3),
              ElementsAre(ENOSPC, ENOSPC, ENOSPC));
  rules.Clear();
  EXPECT_EQ(rules.Check(FileOperation::kWrite, "/a"), 0);
}

TEST(FaultRulesTest, RulesCountByThemselves) {
  FaultRules rules;
  rules.Add(ParseOrDie("*=EIO@2"));
  rules.Add(ParseOrDie("read=5@2"));
  rules.Add(ParseOrDie("read=ENOSPC@4"));
  EXPECT_THAT(Outcomes(&rules, FileOperation::kRead, "/a", 5),
              ElementsAre(0, EIO, 0, ENOSPC, 0));
}

TEST(FaultRulesTest, ARangeMeetsReadsThatTouchIt) {
  FaultRules rules;
  FaultRule rule;
  rule.operations = static_cast<FileOperations>(FileOperation::kRead);
  rule.offset = 100;
  rule.size = 50;
  rule.times = FaultRule::kForever;
  rules.Add(rule);
  const auto fails = [&rules](int64_t offset, int64_t size) {
    return rules.Check(FileOperation::kRead, "/a", offset, size) == EIO;
  };
  EXPECT_FALSE(fails(0, 100));
  EXPECT_TRUE(fails(0, 101));
  EXPECT_TRUE(fails(120, 1));
  EXPECT_TRUE(fails(149, 1000));
  EXPECT_FALSE(fails(150, 1000));
}

TEST(FaultRulesTest, ThePathMayContainTheSeparators) {
  const FaultRule rule = ParseOrDie("read:/odd=name@2/x:y=EIO@7");
  EXPECT_EQ(rule.path_part, "/odd=name@2/x:y");
  EXPECT_EQ(rule.nth, 7u);
  EXPECT_EQ(rule.times, 1u);
}

TEST(FaultRulesTest, EveryOperationCanBeNamed) {
  for (uint32_t bit = 1; bit <= static_cast<uint32_t>(FileOperation::kLock);
       bit <<= 1) {
    const auto operation = static_cast<FileOperation>(bit);
    const FaultRule rule =
        ParseOrDie(std::string(FileOperationName(operation)) + "=EIO");
    EXPECT_EQ(rule.operations, bit);
  }
}

TEST(FaultRulesTest, RefusesWhatIsNoRuleAndSaysWhy) {
  const struct {
    const char* text;
    const char* why;
  } table[] = {{"", "no '='"},
               {"sync", "no '='"},
               {"sink=EIO", "no such operation: 'sink'"},
               {"sync|=EIO", "no such operation: ''"},
               {"sync=EFOO", "no such error: 'EFOO'"},
               {"sync=0", "no such error: '0'"},
               {"sync=EIO@0", "number from 1"},
               {"sync=EIO@x", "number from 1"},
               {"sync=EIO@", "number from 1"}};
  for (const auto& row : table) {
    EXPECT_THAT(
        ParseFaultRule(row.text),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.why)))
        << row.text;
  }
}

}  // namespace
}  // namespace cairn
