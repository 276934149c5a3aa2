// What is derived from a file, among other files of the same path.

#include "services/storage/core/derived_files.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/testing/fake_store_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;

class DerivedFilesTest : public ::testing::Test {
 protected:
  DerivedFilesTest() : path_(std::make_shared<FakeStorePath>()) {
    // Neighbours, made in the same second.
    for (uint32_t i = 0; i < 3; ++i) {
      FileIdFields fields;
      fields.node_number = 7;
      fields.create_unix_seconds = 1767225600;
      fields.counter = i;
      masters_.push_back(codec_.MakeName("group1", 0, fields, "jpg"));
      Put(masters_.back(), FileKind::kNormal);
    }
  }

  void Put(const std::string& name, FileKind kind) {
    PutRequest put;
    put.name = name;
    put.kind = kind;
    put.content = absl::Cord(name);
    put.crc32c = Crc32c(name);
    Notification done;
    path_->Put(std::move(put), [&](const absl::StatusOr<Committed>& committed) {
      EXPECT_THAT(committed, IsOk());
      done.Notify();
    });
    done.WaitForNotification();
  }

  std::string Derive(size_t master, const std::string& prefix,
                     const std::string& extension) {
    const FileIdParts parts{"group1", 0, masters_[master]};
    const auto id = DerivedFileId(parts.ToString(), prefix, extension);
    EXPECT_THAT(id, IsOk());
    const std::string name = ParseFileId(*id)->name;
    Put(name, FileKind::kDerived);
    return name;
  }

  // By pages of `limit`.
  std::vector<std::string> List(const std::string& master, size_t limit) {
    std::vector<std::string> names;
    std::string token;
    do {
      const auto page = ListDerived(path_.get(), master, token, limit, 0);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) break;
      EXPECT_LE(page->files.size(), limit);
      for (const FileInfo& file : page->files) names.push_back(file.name);
      token = page->next;
    } while (!token.empty());
    return names;
  }

  absl::StatusOr<uint32_t> Delete(const std::string& master) {
    Notification done;
    absl::StatusOr<uint32_t> outcome;
    DeleteDerived(path_, master, Durability::kSynced, /*purge=*/false, 0,
                  [&](absl::StatusOr<uint32_t> deleted) {
                    outcome = std::move(deleted);
                    done.Notify();
                  });
    done.WaitForNotification();
    // A path is not destroyed on a thread of its own.
    while (path_.use_count() > 1) absl::SleepFor(absl::Milliseconds(1));
    return outcome;
  }

  const FileIdCodec codec_{"a secret"};
  std::shared_ptr<FakeStorePath> path_;
  std::vector<std::string> masters_;
};

TEST_F(DerivedFilesTest, ListsThoseOfOneMasterAloneWhateverThePage) {
  std::vector<std::string> names;
  for (int i = 0; i < 7; ++i) {
    names.push_back(Derive(1, absl::StrCat("_", i), i % 2 == 0 ? "webp" : ""));
    Derive(0, absl::StrCat("_", i), "jpg");
  }
  names.push_back(Derive(1, "zzz", "tar.gz"));
  names.push_back(Derive(1, "-", "jpg"));
  for (const size_t limit : {1, 2, 3, 8, 9, 10, 1000}) {
    SCOPED_TRACE(limit);
    EXPECT_THAT(List(masters_[1], limit), UnorderedElementsAreArray(names));
    EXPECT_EQ(List(masters_[0], limit).size(), 7u);
    EXPECT_THAT(List(masters_[2], limit), IsEmpty());
  }
}

TEST_F(DerivedFilesTest, AMasterNeedNotBeThereAndADerivedFileIsNone) {
  const std::string name = Derive(1, "_x", "jpg");
  Notification done;
  DeleteRequest remove;
  remove.name = masters_[1];
  path_->Delete(std::move(remove),
                [&](const absl::StatusOr<Committed>& committed) {
                  EXPECT_THAT(committed, IsOk());
                  done.Notify();
                });
  done.WaitForNotification();
  EXPECT_EQ(List(masters_[1], 10), std::vector<std::string>{name});
  EXPECT_EQ(ReasonOf(ListDerived(path_.get(), name, "", 10, 0).status()),
            ErrorReason::kWrongKind);
  EXPECT_EQ(ReasonOf(Delete(name).status()), ErrorReason::kWrongKind);
}

TEST_F(DerivedFilesTest, APageTokenIsOfOneMaster) {
  Derive(1, "_a", "jpg");
  Derive(1, "_b", "jpg");
  const auto page = ListDerived(path_.get(), masters_[1], "", 1, 0);
  ASSERT_THAT(page, IsOk());
  ASSERT_FALSE(page->next.empty());
  for (const std::string& token : {page->next, std::string("no token!")}) {
    EXPECT_EQ(
        ReasonOf(ListDerived(path_.get(), masters_[0], token, 1, 0).status()),
        ErrorReason::kInvalidField)
        << token;
  }
}

TEST_F(DerivedFilesTest, DeletesAllOfThemAndNothingElse) {
  for (int i = 0; i < 250; ++i) Derive(1, absl::StrCat("_", i), "jpg");
  const std::string other = Derive(0, "_1", "jpg");
  const int64_t before = path_->files();
  const auto deleted = Delete(masters_[1]);
  ASSERT_THAT(deleted, IsOk());
  EXPECT_EQ(*deleted, 250u);
  EXPECT_EQ(path_->files(), before - 250);
  EXPECT_THAT(path_->Stat(masters_[1]), IsOk());
  EXPECT_THAT(path_->Stat(other), IsOk());
  EXPECT_EQ(*Delete(masters_[1]), 0u);
}

TEST_F(DerivedFilesTest, AnErrorEndsTheDeletionAndIsTold) {
  Derive(1, "_a", "jpg");
  path_->set_refusal(ErrorWithReason(absl::StatusCode::kUnavailable,
                                     ErrorReason::kShuttingDown, "stopping"));
  EXPECT_EQ(ReasonOf(Delete(masters_[1]).status()), ErrorReason::kShuttingDown);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
