// Bits that flip and files that are cut off, anywhere in a store path: found,
// named, and never served wrong.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/io/file_system.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/identity.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/expected_files.h"
#include "services/storage/store/testing/store_path_test.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::HasSubstr;

constexpr Durability kSynced = Durability::kSynced;

// At how many places a file is cut off.
constexpr size_t kCuts = 5;

struct StoredFile {
  std::string name;
  std::string content;
  bool deleted = false;
};

class EngineDamageTest : public StorePathTest {
 protected:
  EngineDamageTest() {
    options_.small_file_bytes_max = 1 << 20;
    options_.segment_bytes = int64_t{4} << 20;
    options_.ballast_bytes = 0;
  }

  void Put(absl::string_view name, int64_t size) {
    StoredFile file;
    file.name = std::string(name);
    file.content = MakeContent(files_.size() + 1, size);
    ASSERT_THAT(PutAndWait(engine_.get(), name, file.content, kSynced), IsOk());
    files_.push_back(std::move(file));
  }
  void Upload(absl::string_view name, int64_t size) {
    StoredFile file;
    file.name = std::string(name);
    file.content = MakeContent(files_.size() + 1, size);
    ASSERT_THAT(UploadAndWait(engine_.get(), name, file.content, kSynced),
                IsOk());
    files_.push_back(std::move(file));
  }
  void Delete(absl::string_view name) {
    ASSERT_THAT(DeleteAndWait(engine_.get(), name, kSynced), IsOk());
    for (StoredFile& file : files_) file.deleted |= file.name == name;
  }

  // A bit of everything, in little room. The last one is "last".
  void Fill() {
    Put("empty", 0);
    Put("tiny", 5);
    Put("small", 3000);
    Upload("large", 600000);
    Put("gone", 1000);
    Put("blocks", 300000);
    Delete("gone");
    Put("more", 2000);
    Put("last", 700);
  }

  std::vector<StoredFile> files_;
};

// Where the bytes of a content are on the disk.
std::pair<std::string, int64_t> Locate(const DiskImage& image,
                                       absl::string_view content) {
  for (const auto& [path, bytes] : image) {
    const size_t at = bytes.find(content.data(), 0, content.size());
    if (at != std::string::npos) return {path, static_cast<int64_t>(at)};
  }
  return {"", 0};
}

TEST_F(EngineDamageTest, AFlippedBitOfAContentIsNamedAndNotServed) {
  Open();
  Put("small", 3000);
  Put("blocks", 600000);
  Upload("large", 700000);
  Put("other", 100);
  const DiskImage image = TakeImage(&fs_);
  for (const StoredFile& file : files_) {
    if (file.name == "other") continue;
    const auto [path, start] = Locate(image, file.content);
    ASSERT_NE(path, "") << file.name;
    const auto size = static_cast<int64_t>(file.content.size());
    for (const int64_t at : {int64_t{0}, size / 2, size - 1}) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      fs_.FlipBit(path, start + at, 3);
      EXPECT_THAT(ReadAll(engine_.get(), file.name),
                  StatusIs(absl::StatusCode::kDataLoss, HasSubstr(file.name)));
      EXPECT_THAT(ReadAll(engine_.get(), file.name),
                  HasReason(ErrorReason::kContentDamaged));
      // Blocks that are whole are served, the other is not.
      auto open = engine_->Open(file.name);
      ASSERT_THAT(open, IsOk());
      for (int64_t block = 0; block * kBlockBytes < size; ++block) {
        const int64_t from = block * kBlockBytes;
        const int64_t length = std::min(kBlockBytes, size - from);
        const auto read = (*open)->Read(from + length / 3, length / 3);
        if (at / kBlockBytes == block) {
          EXPECT_THAT(read, StatusIs(absl::StatusCode::kDataLoss));
        } else {
          ASSERT_THAT(read, IsOk());
          EXPECT_TRUE(*read ==
                      file.content.substr(from + length / 3, length / 3));
        }
      }
      EXPECT_THAT(ReadAll(engine_.get(), "other"), IsOk());
      fs_.FlipBit(path, start + at, 3);
      EXPECT_THAT(ReadAll(engine_.get(), file.name),
                  IsOkAndHolds(file.content));
    }
  }
  EXPECT_GE(engine_->Numbers().content_damaged, 9u);
}

TEST_F(EngineDamageTest, AnyFlippedBitOfIdentityIsRefusedOrHarmless) {
  Open();
  engine_->Stop();
  const std::string path = "/disk/IDENTITY";
  const absl::StatusOr<std::string> text = ReadWholeFile(&fs_, path, 4096);
  ASSERT_THAT(text, IsOk());
  const auto whole = ReadIdentity(&fs_, "/disk");
  ASSERT_THAT(whole, IsOk());
  int refused = 0;
  for (size_t at = 0; at < text->size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      fs_.FlipBit(path, static_cast<int64_t>(at), bit);
      const auto identity = ReadIdentity(&fs_, "/disk");
      if (identity.ok()) {
        // White space may become other white space, and hexadecimal digits of
        // either case are the same.
        EXPECT_THAT(CheckIdentity(**identity, **whole, "/disk"), IsOk());
        EXPECT_EQ((*identity)->incarnation, (*whole)->incarnation);
      } else {
        ++refused;
        EXPECT_THAT(identity.status().message(), HasSubstr(path));
      }
      fs_.FlipBit(path, static_cast<int64_t>(at), bit);
    }
  }
  EXPECT_GT(refused, static_cast<int>(text->size()) * 7);
}

// How the process ended that wrote the image.
enum class Image { kStopped, kKilled };

// What a damaged path may be like.
struct Tolerance {
  // Records that may be missing without a word: the tail of the journal cannot
  // be told from one that was never written.
  std::function<bool(const StoredFile&)> may_be_lost;
};

// Opens what the damage left. Everything is right, or an error says what is
// wrong. Returns whether anybody noticed.
bool JudgeOpen(const StorePathOptions& options, CrashableFileSystem* fs,
               FakeClock* clock, const std::vector<StoredFile>& files,
               const Tolerance& tolerance) {
  auto opened = OpenStorePath(options, fs, clock);
  if (!opened.ok()) {
    EXPECT_TRUE(absl::IsDataLoss(opened.status()) ||
                absl::IsFailedPrecondition(opened.status()))
        << opened.status();
    EXPECT_GT(opened.status().message().size(), 10u);
    return true;
  }
  const std::unique_ptr<Engine> engine = *std::move(opened);
  const bool reported = engine->Status().damaged_records > 0;
  bool noticed = reported;
  for (const StoredFile& file : files) {
    const absl::StatusOr<std::string> content =
        ReadAll(engine.get(), file.name);
    if (content.ok()) {
      EXPECT_TRUE(*content == file.content) << file.name << " is served wrong";
      EXPECT_TRUE(!file.deleted || reported || tolerance.may_be_lost(file))
          << file.name << " was deleted and is back";
    } else if (absl::IsDataLoss(content.status())) {
      noticed = true;
    } else {
      EXPECT_TRUE(absl::IsNotFound(content.status())) << content.status();
      EXPECT_TRUE(file.deleted || reported || tolerance.may_be_lost(file))
          << file.name << " is gone and nobody says so";
    }
  }
  return noticed;
}

// A new index of damaged segments has every file that is whole, and no other.
void JudgeRebuild(const StorePathOptions& options, CrashableFileSystem* fs,
                  FakeClock* clock, const std::vector<StoredFile>& files,
                  bool segments_are_whole) {
  const auto report = RebuildIndex(options, fs, clock);
  ASSERT_THAT(report, IsOk());
  const bool reported =
      report->damaged_records > 0 || report->missing_content > 0;
  if (segments_are_whole) {
    EXPECT_FALSE(reported);
  }
  EXPECT_EQ(report->damage.empty(), report->damaged_records == 0);
  auto opened = OpenStorePath(options, fs, clock);
  ASSERT_THAT(opened, IsOk());
  for (const StoredFile& file : files) {
    const absl::StatusOr<std::string> content =
        ReadAll(opened->get(), file.name);
    if (content.ok()) {
      EXPECT_TRUE(*content == file.content) << file.name << " is served wrong";
      EXPECT_TRUE(!file.deleted || reported) << file.name << " is back";
    } else if (segments_are_whole) {
      EXPECT_EQ(absl::IsNotFound(content.status()), file.deleted)
          << file.name << ": " << content.status();
    }
  }
}

bool InSegments(absl::string_view path) {
  return absl::StrContains(path, "/segments/");
}

class EngineDamageEverywhereTest : public EngineDamageTest,
                                   public ::testing::WithParamInterface<Image> {
 protected:
  void MakeImage() {
    Open();
    Fill();
    if (GetParam() == Image::kStopped) {
      engine_->Stop();
    } else {
      fs_.StopAfter(0);
    }
    engine_.reset();
    fs_.KillProcess();
    image_ = TakeImage(&fs_);
    // Damage to these is no damage: one is empty, one is text for people.
    image_.erase("/disk/LOCK");
  }

  DiskImage image_;
};

TEST_P(EngineDamageEverywhereTest, AnyFlippedBitIsFoundOrHarmless) {
  MakeImage();
  SeedRun run(/*first_seed=*/1, /*rounds=*/1);
  ASSERT_TRUE(run.Next());
  int flips = 0;
  int noticed = 0;
  for (const auto& [path, bytes] : image_) {
    if (bytes.empty()) continue;
    const size_t stride =
        std::max<size_t>(1, bytes.size() / (bytes.size() < 4096 ? 6 : 14));
    for (size_t at = run.seed() % stride; at < bytes.size(); at += stride) {
      SCOPED_TRACE(absl::StrCat(path, " byte ", at));
      const auto fs = MakeDisk(image_);
      fs->FlipBit(path, static_cast<int64_t>(at),
                  static_cast<int>((at + run.seed()) % 8));
      Tolerance tolerance;
      tolerance.may_be_lost = [path = path](const StoredFile& file) {
        return GetParam() == Image::kKilled && InSegments(path) &&
               file.name == "last";
      };
      ++flips;
      noticed += JudgeOpen(options_, fs.get(), &clock_, files_, tolerance);
      if (flips % 8 == 0 && path != "/disk/IDENTITY") {
        JudgeRebuild(options_, fs.get(), &clock_, files_, !InSegments(path));
      }
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(flips, 30);
  EXPECT_GT(noticed, flips / 4);
}

TEST_P(EngineDamageEverywhereTest, AnyFileThatIsCutOffIsFound) {
  MakeImage();
  SeedRun run(/*first_seed=*/1, /*rounds=*/1);
  ASSERT_TRUE(run.Next());
  for (const auto& [path, bytes] : image_) {
    for (size_t part = 0; part <= kCuts && part < bytes.size(); ++part) {
      const auto size = static_cast<int64_t>(
          part == kCuts ? bytes.size() - 1 : bytes.size() * part / kCuts);
      SCOPED_TRACE(absl::StrCat(path, " cut off at ", size));
      const auto fs = MakeDisk(image_);
      fs->TruncateOnDisk(path, size);
      Tolerance tolerance;
      tolerance.may_be_lost = [path = path](const StoredFile&) {
        return GetParam() == Image::kKilled && InSegments(path);
      };
      JudgeOpen(options_, fs.get(), &clock_, files_, tolerance);
      if (part == 2 && path != "/disk/IDENTITY" && !InSegments(path)) {
        JudgeRebuild(options_, fs.get(), &clock_, files_,
                     /*segments_are_whole=*/true);
      }
      if (HasFailure()) return;
    }
  }
}

TEST_P(EngineDamageEverywhereTest, AMissingFileIsFound) {
  MakeImage();
  for (const auto& [path, bytes] : image_) {
    SCOPED_TRACE(path);
    DiskImage image = image_;
    image.erase(path);
    const auto fs = MakeDisk(image);
    Tolerance tolerance;
    tolerance.may_be_lost = [path = path](const StoredFile&) {
      return GetParam() == Image::kKilled && InSegments(path);
    };
    JudgeOpen(options_, fs.get(), &clock_, files_, tolerance);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(AfterAStop, EngineDamageEverywhereTest,
                         ::testing::Values(Image::kStopped));
INSTANTIATE_TEST_SUITE_P(AfterAKill, EngineDamageEverywhereTest,
                         ::testing::Values(Image::kKilled));

TEST_F(EngineDamageTest, DamageInTheJournalCostsOnlyWhatItHits) {
  Open();
  for (int i = 0; i < 8; ++i) Put(absl::StrCat("file-", i), 2000);
  fs_.StopAfter(0);
  engine_.reset();
  fs_.KillProcess();
  const auto [path, start] = Locate(TakeImage(&fs_), files_[3].content);
  // In the header of the record before the content, so that not even the name
  // can be read.
  fs_.FlipBit(path, start - 40, 0);
  Open();
  EXPECT_GT(engine_->Status().damaged_records, 0);
  for (const StoredFile& file : files_) {
    if (file.name == "file-3") {
      EXPECT_FALSE(ReadAll(engine_.get(), file.name).ok());
    } else {
      EXPECT_THAT(ReadAll(engine_.get(), file.name),
                  IsOkAndHolds(file.content));
    }
  }
  // The log moved over the lost change: no member may take the file for one
  // that was deleted.
  const std::vector<LogRange> logs = engine_->replica()->Logs();
  ASSERT_EQ(logs.size(), 2u);
  EXPECT_EQ(logs[0].unsure, 0u);  // The new epoch's.
  EXPECT_EQ(logs[1].applied, 8u);
  EXPECT_EQ(logs[1].unsure, 8u);
  EXPECT_THAT(PutAndWait(engine_.get(), "after", "x", kSynced), IsOk());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
