// Tokens of lists and watches: they come back, and nothing else is taken.

#include "services/storage/core/catalog_token.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_log.h"

namespace cairn {
namespace storage {
namespace {

WatchToken SomeWatch() {
  WatchToken token;
  const LogId a{*Uuid::Parse("11111111-1111-4111-8111-111111111111"), 3};
  const LogId b{*Uuid::Parse("22222222-2222-4222-8222-222222222222"), 1};
  token.positions[0][a] = 77;
  token.positions[0][b] = 0;
  token.positions[255][a] = ~uint64_t{0};
  return token;
}

TEST(CatalogTokenTest, APageComesBack) {
  for (const std::string& from :
       {std::string(), std::string("-0-a"), std::string("a\0b\xff", 4)}) {
    PageToken token;
    token.store_path = 200;
    token.from = from;
    const auto back = PageToken::Parse(token.ToString());
    ASSERT_THAT(back, IsOk());
    EXPECT_EQ(back->store_path, 200);
    EXPECT_EQ(back->from, from);
  }
}

TEST(CatalogTokenTest, AWatchComesBack) {
  const WatchToken token = SomeWatch();
  const auto back = WatchToken::Parse(token.ToString());
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->positions, token.positions);
  EXPECT_THAT(WatchToken::Parse(WatchToken().ToString()), IsOk());
}

TEST(CatalogTokenTest, OneIsNotTheOther) {
  EXPECT_THAT(PageToken::Parse(SomeWatch().ToString()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(WatchToken::Parse(PageToken().ToString()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CatalogTokenTest, WhatWasChangedOrCutOffIsRefused) {
  const std::string text = SomeWatch().ToString();
  EXPECT_THAT(WatchToken::Parse(""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_THAT(WatchToken::Parse(text.substr(0, i)),
                StatusIs(absl::StatusCode::kInvalidArgument));
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_THAT(WatchToken::Parse(changed),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << i;
  }
  EXPECT_THAT(WatchToken::Parse(text + "A"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace storage
}  // namespace cairn
