// The notebook remembers over a restart of the process that writes it.

#include "integration_tests/mini_cluster/oracle.h"

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(OracleTest, ContentDependsOnSeedAndSizeAlone) {
  EXPECT_EQ(ContentOf(7, 1000), ContentOf(7, 1000));
  EXPECT_NE(ContentOf(7, 1000), ContentOf(8, 1000));
  for (const int64_t size : {0, 1, 7, 8, 9, 4096}) {
    EXPECT_THAT(ContentOf(1, size), SizeIs(size));
  }
}

TEST(OracleTest, ReadsBackWhatItWasTold) {
  const std::string path = absl::StrCat(MakeTempFolder("oracle"), "/oracle");
  Uuid unanswered;
  {
    auto oracle = Oracle::Open(path);
    ASSERT_THAT(oracle, IsOk());
    const Uuid kept = (*oracle)->BeginPut(10, 1, /*synced=*/true);
    (*oracle)->Stored(kept, "group1/M00/00/00/a");
    const Uuid deleted = (*oracle)->BeginPut(20, 2, /*synced=*/false);
    (*oracle)->Stored(deleted, "group1/M00/00/00/b", /*replicas=*/2);
    (*oracle)->Deleted((*oracle)->BeginDelete("group1/M00/00/00/b"),
                       /*replicas=*/3);
    const Uuid half_deleted = (*oracle)->BeginPut(30, 3, /*synced=*/false);
    (*oracle)->Stored(half_deleted, "group1/M00/00/00/c");
    (*oracle)->BeginDelete("group1/M00/00/00/c");
    (*oracle)->Refused((*oracle)->BeginPut(40, 4, /*synced=*/true));
    (*oracle)->Remark("kill -9");
    unanswered = (*oracle)->BeginPut(50, 5, /*synced=*/true, /*replicas=*/3,
                                     /*replicas_required=*/true);
    EXPECT_EQ((*oracle)->lines(), 13);
  }

  auto oracle = Oracle::Open(path);
  ASSERT_THAT(oracle, IsOk());
  const std::vector<ExpectedFile> files = (*oracle)->Files();
  ASSERT_THAT(files, SizeIs(4));
  EXPECT_EQ((*oracle)->live(), 1);
  EXPECT_EQ(files[0].file_id, "group1/M00/00/00/a");
  EXPECT_EQ(files[0].Content(), ContentOf(1, 10));
  EXPECT_TRUE(files[0].synced);
  EXPECT_EQ(files[1].deletion, ExpectedFile::Deletion::kDeleted);
  EXPECT_FALSE(files[1].synced);
  EXPECT_EQ(files[0].replicas, 1u);
  EXPECT_EQ(files[1].replicas, 2u);
  EXPECT_EQ(files[1].delete_replicas, 3u);
  EXPECT_EQ(files[1].put_line, 3);
  EXPECT_EQ(files[1].stored_line, 4);
  EXPECT_EQ(files[1].delete_line, 5);
  EXPECT_EQ(files[1].deleted_line, 6);
  EXPECT_EQ(files[3].replicas_wanted, 3u);
  EXPECT_TRUE(files[3].replicas_required);
  EXPECT_FALSE(files[0].replicas_required);
  EXPECT_EQ((*oracle)->lines(), 13);
  EXPECT_EQ(files[2].deletion, ExpectedFile::Deletion::kUnanswered);
  EXPECT_EQ(files[3].put, ExpectedFile::Put::kUnanswered);
  EXPECT_EQ(files[3].put_request, unanswered);
}

TEST(OracleTest, RefusesANotebookThatMakesNoSense) {
  const std::string path = absl::StrCat(MakeTempFolder("oracle"), "/oracle");
  std::ofstream(path) << "stored 6f1c2c5e-0000-4000-8000-000000000000 x\n";
  EXPECT_THAT(Oracle::Open(path),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("never begun")));
}

}  // namespace
}  // namespace testing
}  // namespace cairn
