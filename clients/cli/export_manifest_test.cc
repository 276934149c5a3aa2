// What an export and an import write: it is read back, a line that was cut off
// does not count, and nothing else is taken.

#include "clients/cli/export_manifest.h"

#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace cli {
namespace {

ExportedFile SomeFile(const std::string& id) {
  ExportedFile file;
  file.info.file_id = id;
  file.info.size_bytes = 81920;
  file.info.crc32c = 0x0af3c41b;
  file.info.kind = client::FileKind::kAppender;
  file.info.create_time = absl::FromUnixSeconds(1767225600);
  file.info.expire_time = absl::FromUnixSeconds(4000000000);
  file.info.version_clock = 0xffffffffffffffff;
  file.info.version_node = 7;
  file.info.attributes = {{"text", "\"line\"\n"},
                          {"bytes", std::string("\0\xff", 2)}};
  file.path = absl::StrCat("files/", id);
  return file;
}

TEST(ExportManifestTest, ComesBackWithTheLaterLineOfAFile) {
  ExportedFile changed = SomeFile("group1/b");
  changed.info.size_bytes = 1;
  const GroupTokens tokens = {{"group1", "AAAA"}, {"group2", "BB-_"}};
  const auto read = ParseExport(absl::StrCat(
      ExportHeading(), ExportLine(SomeFile("group1/a")),
      ExportLine(SomeFile("group1/b")), ExportLine(SomeFile("group1/c")),
      ExportDeletedLine("group1/c"), ExportLine(changed),
      ExportTokenLine(tokens)));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->tokens, tokens);
  ASSERT_EQ(read->files.size(), 2u);
  const ExportedFile expected = SomeFile("group1/a");
  const ExportedFile& file = read->files.at("group1/a");
  EXPECT_EQ(file.path, expected.path);
  EXPECT_EQ(file.info.size_bytes, expected.info.size_bytes);
  EXPECT_EQ(file.info.crc32c, expected.info.crc32c);
  EXPECT_EQ(file.info.kind, expected.info.kind);
  EXPECT_EQ(file.info.create_time, expected.info.create_time);
  EXPECT_EQ(file.info.expire_time, expected.info.expire_time);
  EXPECT_EQ(file.info.version_clock, expected.info.version_clock);
  EXPECT_EQ(file.info.version_node, expected.info.version_node);
  EXPECT_EQ(file.info.attributes, expected.info.attributes);
  EXPECT_EQ(read->files.at("group1/b").info.size_bytes, 1);
}

TEST(ExportManifestTest, ALineThatWasCutOffDoesNotCount) {
  const std::string whole =
      absl::StrCat(ExportHeading(), ExportLine(SomeFile("group1/a")));
  const std::string line = ExportLine(SomeFile("group1/b"));
  for (size_t cut = 0; cut < line.size(); ++cut) {
    const auto read = ParseExport(whole + line.substr(0, cut));
    ASSERT_THAT(read, IsOk()) << cut;
    EXPECT_EQ(read->files.size(), 1u);
  }
}

TEST(ExportManifestTest, RefusesWhatIsNone) {
  ExportedFile outside = SomeFile("group1/a");
  outside.path = "../../etc/passwd";
  ExportedFile absolute = SomeFile("group1/a");
  absolute.path = "/etc/passwd";
  for (const std::string& text :
       {std::string("# cairn manifest 1\n"), std::string("{}\n"),
        std::string("{\"cairn_export\":2}\n"), ExportHeading() + "{}\n",
        ExportHeading() + "[]\n", ExportHeading() + "nonsense\n",
        ExportHeading() + "{\"watch_token\":\"a b\"}\n",
        ExportHeading() + ExportLine(outside),
        ExportHeading() + ExportLine(absolute)}) {
    EXPECT_THAT(ParseExport(text), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST(ExportManifestTest, AnImportsListComesBack) {
  const Uuid import = Uuid::Random();
  const auto read = ParseImportMap(
      absl::StrCat(ImportHeading(import), ImportLine("group1/a", "group2/b"),
                   ImportLine("group1/c", "group2/d"), "group1/e\tgrou"));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->import, import);
  EXPECT_EQ(read->new_ids,
            (std::map<std::string, std::string>{{"group1/a", "group2/b"},
                                                {"group1/c", "group2/d"}}));
  EXPECT_THAT(ParseImportMap("group1/a\tgroup2/b\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ExportManifestTest, LinesGrowBehindWhatACrashLeft) {
  std::string folder = ::testing::TempDir() + "/export_XXXXXX";
  ASSERT_NE(mkdtemp(&folder[0]), nullptr);
  const std::string path = folder + "/list";
  std::string text;
  {
    auto lines = OpenLines(FileSystem::Real(), path, "heading\n", &text);
    ASSERT_THAT(lines, IsOk());
    EXPECT_EQ(text, "heading\n");
    (*lines)->Add("one\n");
    ASSERT_THAT((*lines)->Sync(), IsOk());
    (*lines)->Add("tw");  // Cut off.
    ASSERT_THAT((*lines)->Sync(), IsOk());
  }
  auto lines = OpenLines(FileSystem::Real(), path, "heading\n", &text);
  ASSERT_THAT(lines, IsOk());
  EXPECT_EQ(text, "heading\none\n");
  (*lines)->Add("three\n");
  ASSERT_THAT((*lines)->Sync(), IsOk());
  const auto all = ReadWholeFile(FileSystem::Real(), path, 1 << 20);
  EXPECT_THAT(all, IsOkAndHolds("heading\none\nthree\n"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace cli
}  // namespace cairn
