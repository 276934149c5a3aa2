// What the dump tool says about segments of a real path.

#include "services/storage/store/segment_dump.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr const char* kShared = "/disk/path/segments/00/0000000000000001.seg";
constexpr const char* kDedicated =
    "/disk/path/segments/00/0000000000000002.seg";

class SegmentDumpTest : public ::testing::Test {
 protected:
  SegmentDumpTest() : fs_(1) {
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    const auto path =
        OpenStorePath(TestPathOptions("/disk/path"), &fs_, &clock_);
    CAIRN_CHECK_OK(path.status());
    CAIRN_CHECK_OK(PutFile(path->get(), "small", "hello").status());
    CAIRN_CHECK_OK(
        PutFile(path->get(), "large", TestContent(1, 600000)).status());
    CAIRN_CHECK_OK(DeleteFile(path->get(), "small").status());
  }

  std::string Dump(const std::string& path, int64_t damaged) {
    std::vector<std::string> lines;
    const auto summary = DumpSegment(
        &fs_, path,
        [&lines](const std::string& line) { lines.push_back(line); });
    EXPECT_THAT(summary, IsOk());
    if (summary.ok()) {
      EXPECT_EQ(summary->damaged, damaged);
    }
    return absl::StrJoin(lines, "\n");
  }

  CrashableFileSystem fs_;
  FakeClock clock_;
};

TEST_F(SegmentDumpTest, PrintsEveryRecord) {
  EXPECT_THAT(Dump(kShared, 0),
              AllOf(HasSubstr("segment 1 kind=SHARED"),
                    HasSubstr("4096 OPENED"), HasSubstr("PUT flags=0"),
                    HasSubstr("name: \"small\""), HasSubstr("FILE flags=2"),
                    ContainsRegex("runs=.600000 bytes crc32c=[0-9a-f]{8} "
                                  "segment 2 offset 4096."),
                    HasSubstr("DELETE"), HasSubstr("CLEAN_END")));
}

TEST_F(SegmentDumpTest, PrintsADedicatedSegment) {
  EXPECT_THAT(Dump(kDedicated, 0),
              AllOf(HasSubstr("segment 2 kind=DEDICATED"),
                    HasSubstr("content=600000"), HasSubstr("blocks=3")));
}

TEST_F(SegmentDumpTest, NamesDamage) {
  fs_.FlipBit(kShared, 4200, 0);
  EXPECT_THAT(Dump(kShared, 1), HasSubstr("DAMAGED record header"));
  fs_.FlipBit(kDedicated, 4096 + 300000, 0);
  EXPECT_THAT(Dump(kDedicated, 1), HasSubstr("DAMAGED CRC of block 1"));
  fs_.FlipBit(kShared, 0, 0);
  EXPECT_THAT(Dump(kShared, 2),
              AllOf(HasSubstr("DAMAGED segment header"), HasSubstr("DELETE")));
}

// Else every file whose name begins with a hex digit would be "damaged".
TEST_F(SegmentDumpTest, RefusesWhatIsNoSegmentAndSaysWhereSegmentsAre) {
  for (const std::string name : {"/disk/cafe.txt", "/disk/1.seg"}) {
    CAIRN_CHECK_OK(fs_.Open(name, OpenMode::kCreate).status());
    const auto summary = DumpSegment(
        &fs_, name, [](const std::string& line) { FAIL() << line; });
    EXPECT_THAT(summary, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(std::string(summary.status().message()),
                AllOf(HasSubstr(name), HasSubstr("segments/")));
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
