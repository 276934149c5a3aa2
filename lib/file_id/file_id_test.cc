// What an ID says, and what a server refuses before it touches a disk.

#include "lib/file_id/file_id.h"

#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/seed.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

FileIdFields SomeFields() {
  FileIdFields fields;
  fields.node_number = 0xC0A80164;
  fields.create_unix_seconds = 1767225600;
  fields.size_bytes = 4096;
  fields.crc32c = 0xE3069283;
  fields.counter = 7;
  return fields;
}

std::string MakeId(const FileIdCodec& codec, const FileIdFields& fields,
                   absl::string_view extension = "jpg") {
  return FileIdParts{"group1", 0,
                     codec.MakeName("group1", 0, fields, extension)}
      .ToString();
}

TEST(FileIdTest, LooksAsDocumentedAndIsStable) {
  // The format on people's disks: this literal must never change.
  EXPECT_EQ(MakeId(FileIdCodec("secret"), SomeFields()),
            "group1/M00/C2/A6/wKgBZGlVuQAAAAAAAAAQAOMGkoMBAAAHcFK1IdnM.jpg");
}

TEST(FileIdTest, VerifiesAndDecodesWhatItMade) {
  const FileIdCodec codec("secret");
  const std::string id = MakeId(codec, SomeFields(), "tar.gz");
  const auto parts = codec.Verify(id);
  ASSERT_THAT(parts, IsOk());
  EXPECT_EQ(parts->group, "group1");
  EXPECT_EQ(parts->store_path, 0);
  EXPECT_EQ(parts->ToString(), id);
  EXPECT_THAT(DecodeFileName(parts->name), IsOkAndHolds(SomeFields()));
}

TEST(FileIdTest, EveryFieldSurvivesAtItsEdges) {
  const FileIdCodec codec(std::string(100, 's'));  // Longer than a block.
  std::mt19937_64 random(TestSeed(1));
  for (int i = 0; i < 2000; ++i) {
    auto edge = [&random](uint64_t max) {
      switch (random() % 3) {
        case 0:
          return uint64_t{0};
        case 1:
          return max;
        default:
          return max == UINT64_MAX ? random() : random() % (max + 1);
      }
    };
    FileIdFields fields;
    fields.node_number = static_cast<uint32_t>(edge(UINT32_MAX));
    fields.create_unix_seconds = static_cast<uint32_t>(edge(UINT32_MAX));
    fields.flags = static_cast<uint8_t>(edge(1));
    fields.size_bytes = static_cast<int64_t>(edge(kFileSizeMax));
    fields.crc32c = static_cast<uint32_t>(edge(UINT32_MAX));
    fields.counter = static_cast<uint32_t>(edge(0xFFFFFF));
    const auto path = static_cast<uint8_t>(edge(255));
    const FileIdParts made{"g", path, codec.MakeName("g", path, fields, "")};
    const auto parts = codec.Verify(made.ToString());
    ASSERT_THAT(parts, IsOk()) << made.ToString();
    EXPECT_EQ(parts->store_path, path);
    EXPECT_THAT(DecodeFileName(parts->name), IsOkAndHolds(fields));
  }
}

TEST(FileIdTest, AnyChangedCharacterOfTheCoveredPartsIsRefused) {
  const FileIdCodec codec("secret");
  const std::string id = MakeId(codec, SomeFields(), "");
  for (size_t i = 0; i < id.size(); ++i) {
    for (const char c : {'A', 'B', '0', '1', 'z', '/', '.', '\0'}) {
      if (id[i] == c) continue;
      std::string changed = id;
      changed[i] = c;
      EXPECT_THAT(codec.Verify(changed),
                  StatusIs(absl::StatusCode::kInvalidArgument))
          << changed;
    }
  }
}

TEST(FileIdTest, AnotherSecretGroupOrPathMakesItForged) {
  const FileIdCodec codec("secret");
  const std::string name = codec.MakeName("group1", 0, SomeFields(), "jpg");
  const std::string genuine = FileIdParts{"group1", 0, name}.ToString();
  EXPECT_THAT(codec.Verify(genuine), IsOk());
  EXPECT_EQ(ReasonOf(FileIdCodec("other").Verify(genuine).status()),
            ErrorReason::kForgedFileId);
  for (const std::string& forged :
       {FileIdParts{"group2", 0, name}.ToString(),
        FileIdParts{"group1", 1, name}.ToString()}) {
    EXPECT_EQ(ReasonOf(codec.Verify(forged).status()),
              ErrorReason::kForgedFileId);
  }
}

TEST(FileIdTest, RefusesWhatIsNotOneAndSaysWhy) {
  const FileIdCodec codec("secret");
  const std::string id = MakeId(codec, SomeFields(), "");
  for (const std::string& bad :
       {std::string(), std::string("group1"), std::string("group1/M00/"),
        "G" + id, "/" + id, id + ".", id + "..jpg", id + ".a.", id + ".a/b",
        id + ".sixteencharacter", id + std::string(33, 'p'), id + " ",
        id.substr(0, id.size() - 1)}) {
    const auto parts = codec.Verify(bad);
    EXPECT_THAT(parts, StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr("not a file ID")))
        << bad;
    EXPECT_EQ(ReasonOf(parts.status()), ErrorReason::kInvalidFileId) << bad;
  }
}

TEST(FileIdTest, ADerivedIdIsComputedFromTheMasterAndVerifies) {
  const FileIdCodec codec("secret");
  const std::string master = MakeId(codec, SomeFields(), "jpg");
  const auto derived = DerivedFileId(master, "_150x150", "png");
  ASSERT_THAT(derived, IsOk());
  EXPECT_EQ(*derived, master.substr(0, master.size() - 4) + "_150x150.png");
  EXPECT_THAT(codec.Verify(*derived), IsOk());
  const auto parts = ParseFileId(*derived);
  ASSERT_THAT(parts, IsOk());
  EXPECT_EQ(DerivedPrefixOf(parts->name), "_150x150");
  EXPECT_EQ(DerivedPrefixOf(ParseFileId(master)->name), "");
  EXPECT_EQ(ExtensionOfName(parts->name), "png");
  EXPECT_EQ(ExtensionOfName(ParseFileId(MakeId(codec, SomeFields(), ""))->name),
            "");
  EXPECT_EQ(MasterStemOf(parts->name), MasterStemOf(ParseFileId(master)->name));
  EXPECT_EQ(ReasonOf(DerivedFileId(*derived, "_x", "").status()),
            ErrorReason::kWrongKind);
  EXPECT_THAT(DerivedFileId(*derived, "_x", ""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(DerivedFileId(master, "", "png"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(DerivedFileId(master, "a.b", "png"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(DerivedFileId(master, "_x", "a..b"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FileIdTest, WhatIsDerivedFromAnAppenderIsNone) {
  const FileIdCodec codec("secret");
  FileIdFields fields = SomeFields();
  fields.flags = kFileIdAppender;
  const std::string master = MakeId(codec, fields, "log");
  EXPECT_TRUE(IsAppenderName(ParseFileId(master)->name));
  const auto derived = DerivedFileId(master, "-day1", "");
  ASSERT_THAT(derived, IsOk());
  EXPECT_FALSE(IsAppenderName(ParseFileId(*derived)->name));
  EXPECT_FALSE(
      IsAppenderName(ParseFileId(MakeId(codec, SomeFields(), ""))->name));
  EXPECT_FALSE(IsAppenderName("not a name"));
}

TEST(FileIdTest, GroupNamesAndExtensionsKeepTheirRules) {
  for (const char* good : {"g", "group1", "eu-west-1", "abcdefghijklmnop"}) {
    EXPECT_THAT(ValidateGroupName(good), IsOk()) << good;
  }
  for (const char* bad :
       {"", "1group", "-g", "Group", "g_1", "abcdefghijklmnopq", "g/"}) {
    EXPECT_EQ(ReasonOf(ValidateGroupName(bad)), ErrorReason::kInvalidField)
        << bad;
  }
  for (const char* good : {"", "jpg", "JPEG", "tar.gz", "a.b.c", "7z"}) {
    EXPECT_THAT(ValidateExtension(good), IsOk()) << good;
  }
  for (const char* bad : {".jpg", "jpg.", "a..b", "a b", "a/b", "a-b",
                          "sixteencharacter", "\xc3\xa4"}) {
    EXPECT_EQ(ReasonOf(ValidateExtension(bad)), ErrorReason::kInvalidField)
        << bad;
  }
}

TEST(FileIdTest, NamesSpreadOverTheDirectories) {
  const FileIdCodec codec("secret");
  std::set<std::string> directories;
  FileIdFields fields = SomeFields();
  for (int i = 0; i < 4096; ++i) {
    fields.counter = static_cast<uint32_t>(i);
    directories.insert(codec.MakeName("group1", 0, fields, "").substr(0, 5));
  }
  EXPECT_GT(directories.size(), 3500u);
}

}  // namespace
}  // namespace cairn
