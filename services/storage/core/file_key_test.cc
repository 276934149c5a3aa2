// Keys of files: every name comes back, and younger names sort behind.

#include "services/storage/core/file_key.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace storage {
namespace {

std::string Key(absl::string_view name) {
  std::string key;
  AppendFileKey(name, &key);
  return key;
}

TEST(FileKeyTest, EveryNameComesBackAndHasItsOwnKey) {
  const std::string names[] = {"",
                               "a",
                               "/",
                               "/a",
                               "a/",
                               "3F/A2/wKgBZGlV-_09azAZ.tar.gz",
                               "3F/A2",
                               "A2/3F",
                               std::string("a\0b", 3),
                               std::string("\0", 1),
                               "\xff",
                               "\xff/a",
                               "a/\xff",
                               "\xffwKg",
                               "x/\xff\xfe"};
  std::set<std::string> keys;
  for (const std::string& name : names) {
    const auto back = FileNameFromKey(Key(name));
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(*back, name);
    EXPECT_TRUE(keys.insert(Key(name)).second) << name;
  }
}

TEST(FileKeyTest, WhatNoNameHasIsRefused) {
  EXPECT_FALSE(FileNameFromKey(absl::string_view("a\0b\0c", 5)).has_value());
}

TEST(FileKeyTest, YoungerNamesSortBehind) {
  const FileIdCodec codec("secret");
  std::string last;
  for (uint32_t second = 1767225000; second < 1767226000; ++second) {
    FileIdFields fields;
    fields.node_number = 7;
    fields.create_unix_seconds = second;
    fields.size_bytes = 4096;
    fields.crc32c = second * 2654435761u;
    const std::string key = Key(codec.MakeName("group1", 0, fields, "jpg"));
    EXPECT_LT(last, key);
    last = key;
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
