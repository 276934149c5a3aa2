// Names that are safe to make files of, and types by extension.

#include "lib/attributes/well_known.h"

#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(WellKnownTest, KnowsTypesByExtension) {
  EXPECT_EQ(ContentTypeOfExtension("jpg"), "image/jpeg");
  EXPECT_EQ(ContentTypeOfExtension("JPG"), "image/jpeg");
  EXPECT_EQ(ContentTypeOfExtension("tar.gz"), "application/gzip");
  EXPECT_EQ(ContentTypeOfExtension("7z"), "application/x-7z-compressed");
  EXPECT_EQ(ContentTypeOfExtension("zst"), "application/zstd");
  EXPECT_EQ(ContentTypeOfExtension("ts"), "video/mp2t");
  EXPECT_EQ(ContentTypeOfExtension("unheard"), "");
  EXPECT_EQ(ContentTypeOfExtension(""), "");
}

TEST(WellKnownTest, KeepsAnOrdinaryName) {
  EXPECT_EQ(SafeFileName("photo.jpg"), "photo.jpg");
  EXPECT_EQ(SafeFileName("Urlaub \xc3\xa4\xc3\xb6 (2).tar.gz"),
            "Urlaub \xc3\xa4\xc3\xb6 (2).tar.gz");
}

TEST(WellKnownTest, LeadsNowhereElse) {
  EXPECT_EQ(SafeFileName("/etc/passwd"), "passwd");
  EXPECT_EQ(SafeFileName("..\\..\\boot.ini"), "boot.ini");
  EXPECT_EQ(SafeFileName(".."), "");
  EXPECT_EQ(SafeFileName("../"), "");
  EXPECT_EQ(SafeFileName(""), "");
  EXPECT_EQ(SafeFileName(".bashrc"), "bashrc");
  EXPECT_EQ(SafeFileName("--help"), "help");
  EXPECT_EQ(SafeFileName(" -.x"), "x");
  EXPECT_EQ(SafeFileName("a\nb\x1b[2J\x80"), "ab[2J");
  EXPECT_EQ(SafeFileName(absl::string_view("a\0b", 3)), "ab");
  EXPECT_EQ(SafeFileName("end. ."), "end");
}

TEST(WellKnownTest, CutsALongNameBetweenCharacters) {
  const std::string name = SafeFileName(std::string(254, 'a') + "\xc3\xa4");
  EXPECT_EQ(name, std::string(254, 'a'));
}

}  // namespace
}  // namespace cairn
