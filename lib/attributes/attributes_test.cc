// The limits of attributes, at their edges, and what a change makes of a set.

#include "lib/attributes/attributes.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cairn/common/v1/file.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

Attributes Numbered(size_t number) {
  Attributes attributes;
  for (size_t i = 0; i < number; ++i) {
    attributes[absl::StrCat("key", i)] = absl::StrCat(i);
  }
  return attributes;
}

TEST(AttributesTest, TakesWhatIsJustWithinTheLimits) {
  EXPECT_THAT(CheckAttributes({}), IsOk());
  EXPECT_THAT(CheckAttributes(Numbered(kAttributesMax)), IsOk());
  EXPECT_THAT(CheckAttributes({{std::string(kAttributeKeyBytesMax, 'k'), ""}}),
              IsOk());
  EXPECT_THAT(
      CheckAttributes({{"k", std::string(kAttributeValueBytesMax, '\0')}}),
      IsOk());
}

TEST(AttributesTest, RefusesMoreWithTheLimitInTheError) {
  const absl::Status many = CheckAttributes(Numbered(kAttributesMax + 1));
  EXPECT_EQ(many.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(many), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(many)["limit"], "64");

  const absl::Status key =
      CheckAttributes({{std::string(kAttributeKeyBytesMax + 1, 'k'), ""}});
  EXPECT_EQ(ReasonOf(key), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(key)["limit_bytes"], "64");

  const absl::Status value =
      CheckAttributes({{"k", std::string(kAttributeValueBytesMax + 1, 'v')}});
  EXPECT_EQ(ReasonOf(value), ErrorReason::kTooLarge);
  EXPECT_EQ(MetadataOf(value)["limit_bytes"], "1024");
  EXPECT_EQ(MetadataOf(value)["field"], "attributes.value");
}

TEST(AttributesTest, WantsKeysThatPeopleCanRead) {
  for (const char* good : {"a", "with space", "a=b", "\xc3\xa9t\xc3\xa9",
                           "\xe6\x96\x87", "\xf0\x9f\x93\xb7"}) {
    EXPECT_THAT(CheckAttributeKey(good), IsOk()) << good;
  }
  for (const char* bad : {"", "\n", "a\x7f", "\x80", "\xc3", "\xc0\xaf",
                          "\xc2\x85", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                          "\xe0\x80\xaf", "\xf0\x80\x80\xaf"}) {
    const absl::Status status = CheckAttributeKey(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_EQ(ReasonOf(status), ErrorReason::kInvalidField) << bad;
  }
}

TEST(AttributesTest, NoAttributesAreNoBytes) {
  EXPECT_EQ(EncodeAttributes({}), "");
  const auto none = DecodeAttributes("");
  ASSERT_THAT(none, IsOk());
  EXPECT_THAT(*none, IsEmpty());
}

TEST(AttributesTest, TheLargestSetFitsTheStatedBytes) {
  Attributes attributes;
  for (size_t i = 0; i < kAttributesMax; ++i) {
    std::string key = absl::StrCat(i);
    key.resize(kAttributeKeyBytesMax, 'k');
    attributes[key] = std::string(kAttributeValueBytesMax, 'v');
  }
  ASSERT_THAT(CheckAttributes(attributes), IsOk());
  EXPECT_LE(EncodeAttributes(attributes).size(), kAttributesBytesMax);
}

TEST(AttributesTest, PutsWhatAClientSendsInOrder) {
  common::v1::Attributes sent;
  for (const char* key : {"b", "a"}) {
    common::v1::Attribute* const attribute = sent.add_attributes();
    attribute->set_key(key);
    attribute->set_value(absl::StrCat("of ", key));
  }
  const auto stored = NormalizeAttributes(sent.SerializeAsString());
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(*stored, EncodeAttributes({{"a", "of a"}, {"b", "of b"}}));
}

TEST(AttributesTest, RefusesAKeyThatComesTwiceAndWhatIsNoMessage) {
  common::v1::Attributes twice;
  twice.add_attributes()->set_key("a");
  twice.add_attributes()->set_key("a");
  EXPECT_EQ(ReasonOf(NormalizeAttributes(twice.SerializeAsString()).status()),
            ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(NormalizeAttributes("\x0a\x7f").status()),
            ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(NormalizeAttributes("hello").status()),
            ErrorReason::kInvalidField);
}

TEST(AttributesTest, OverwriteLeavesNothingOfWhatWas) {
  AttributeChange change;
  change.overwrite = true;
  change.set = {{"new", "1"}};
  const auto after =
      ApplyAttributeChange(EncodeAttributes({{"old", "2"}}), change);
  ASSERT_THAT(after, IsOk());
  EXPECT_EQ(*after, EncodeAttributes({{"new", "1"}}));
}

TEST(AttributesTest, MergeSetsAndRemovesAndLeavesTheRest) {
  AttributeChange change;
  change.set = {{"b", "2"}, {"c", "3"}};
  change.remove = {"a", "never there"};
  const auto after = ApplyAttributeChange(
      EncodeAttributes({{"a", "1"}, {"b", "1"}, {"d", "4"}}), change);
  ASSERT_THAT(after, IsOk());
  const auto decoded = DecodeAttributes(*after);
  ASSERT_THAT(decoded, IsOk());
  EXPECT_THAT(*decoded,
              ElementsAre(Pair("b", "2"), Pair("c", "3"), Pair("d", "4")));
}

TEST(AttributesTest, AMergeMayNotGrowASetBeyondTheLimit) {
  AttributeChange change;
  change.set = {{"one more", ""}};
  const std::string full = EncodeAttributes(Numbered(kAttributesMax));
  EXPECT_EQ(ReasonOf(ApplyAttributeChange(full, change).status()),
            ErrorReason::kTooLarge);
  change.remove = {"key7"};
  EXPECT_THAT(ApplyAttributeChange(full, change), IsOk());
}

TEST(AttributesTest, RefusesAChangeThatContradictsItself) {
  AttributeChange change;
  change.set = {{"a", "1"}};
  change.remove = {"a"};
  EXPECT_EQ(ReasonOf(CheckAttributeChange(change)), ErrorReason::kInvalidField);
  change.remove = {"b"};
  EXPECT_THAT(CheckAttributeChange(change), IsOk());
  change.overwrite = true;
  EXPECT_EQ(ReasonOf(CheckAttributeChange(change)), ErrorReason::kInvalidField);
}

}  // namespace
}  // namespace cairn
