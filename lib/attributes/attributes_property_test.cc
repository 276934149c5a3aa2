// Whatever set it is: the bytes are those that Protobuf writes, come back as
// the set, and a change does what a map would do.

#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cairn/common/v1/file.pb.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/testing/seed.h"
#include "rapidcheck/gtest.h"

namespace cairn {
namespace {

// RapidCheck reads its seed from here, once, before the first property.
const bool kSeeded = [] {
  setenv("RC_PARAMS", absl::StrCat("seed=", TestSeed(20261128)).c_str(),
         /*overwrite=*/0);
  return true;
}();

// Few keys, so that changes meet what is there.
std::string AnyKey() {
  return std::string(*rc::gen::inRange<size_t>(1, 4),
                     *rc::gen::inRange<char>('a', 'e'));
}

Attributes AnyAttributes() {
  Attributes attributes;
  const int number = *rc::gen::inRange(0, 10);
  for (int i = 0; i < number; ++i) {
    attributes[AnyKey()] = *rc::gen::arbitrary<std::string>();
  }
  return attributes;
}

RC_GTEST_PROP(AttributesPropertyTest, TheBytesAreTheMessage, ()) {
  RC_ASSERT(kSeeded);
  const Attributes attributes = AnyAttributes();
  common::v1::Attributes message;
  for (const auto& [key, value] : attributes) {
    common::v1::Attribute* const attribute = message.add_attributes();
    attribute->set_key(key);
    attribute->set_value(value);
  }
  const std::string bytes = EncodeAttributes(attributes);
  common::v1::Attributes read;
  RC_ASSERT(read.ParseFromString(bytes));
  RC_ASSERT(read.SerializeAsString() == message.SerializeAsString());
  const absl::StatusOr<Attributes> back = DecodeAttributes(bytes);
  RC_ASSERT(back.ok());
  RC_ASSERT(*back == attributes);
}

// Also if the keys are in another order, come twice or have too long values.
RC_GTEST_PROP(AttributesPropertyTest, WhatIsSentBecomesTheMessage, ()) {
  common::v1::Attributes sent;
  Attributes attributes;
  bool allowed = true;
  const int number = *rc::gen::inRange(0, 5);
  for (int i = 0; i < number; ++i) {
    common::v1::Attribute* const attribute = sent.add_attributes();
    attribute->set_key(AnyKey());
    attribute->set_value(*rc::gen::element<std::string>(
        "", "value", std::string(1024, 'v'), std::string(1025, 'v')));
    const bool fresh =
        attributes.emplace(attribute->key(), attribute->value()).second;
    allowed = allowed && fresh && attribute->value().size() <= 1024;
  }
  const absl::StatusOr<std::string> stored =
      NormalizeAttributes(sent.SerializeAsString());
  RC_ASSERT(stored.ok() == allowed);
  if (allowed) RC_ASSERT(*stored == EncodeAttributes(attributes));
}

RC_GTEST_PROP(AttributesPropertyTest, AChangeIsWhatAMapWouldDo, ()) {
  const Attributes before = AnyAttributes();
  AttributeChange change;
  change.overwrite = *rc::gen::arbitrary<bool>();
  change.set = AnyAttributes();
  if (!change.overwrite) {
    const int number = *rc::gen::inRange(0, 4);
    for (int i = 0; i < number; ++i) {
      const std::string key = AnyKey();
      if (change.set.count(key) == 0) change.remove.push_back(key);
    }
  }
  RC_ASSERT(CheckAttributeChange(change).ok());
  Attributes expected = change.overwrite ? Attributes() : before;
  for (const std::string& key : change.remove) expected.erase(key);
  for (const auto& [key, value] : change.set) expected[key] = value;

  const absl::StatusOr<std::string> after =
      ApplyAttributeChange(EncodeAttributes(before), change);
  RC_ASSERT(after.ok());
  RC_ASSERT(*after == EncodeAttributes(expected));
}

}  // namespace
}  // namespace cairn
