// A file of 4 GiB and one byte: its size and its offsets fit no 32 bits, in no
// message, no record and no table on their way. Not in the default suite:
//
//   ./dev soak large
//
// Needs 5 GiB of disk for the single node, 9 GiB for the group; what it took is
// free when it ends.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/error_reason.h"
#include "lib/checksum/crc32c.h"
#include "lib/file_id/file_id.h"
#include "lib/io/file_system.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kBorder = int64_t{1} << 32;
constexpr int64_t kFileBytes = kBorder + 1;

// Besides the files: journals, indexes and logs.
constexpr int64_t kSlackBytes = int64_t{1} << 30;

// What a file holds, made where it is needed: each MiB is the same random bytes
// with its number in front. Of a sparse one most are zeros.
class Content {
 public:
  Content(uint64_t seed, bool sparse)
      : sparse_(sparse), block_(kMiB, '\0'), zeros_(kMiB, '\0') {
    std::mt19937_64 random(seed);
    for (char& byte : block_) byte = static_cast<char>(random());
  }

  // Whether the MiB that begins at `offset` is no zeros. Those at the border
  // are among them.
  bool IsFilled(int64_t offset) const {
    const int64_t number = offset / kMiB;
    return !sparse_ || number % 511 == 0 || number == kBorder / kMiB ||
           number == kBorder / kMiB - 1;
  }

  // The MiB that begins at `offset`, or what there is of it; valid until the
  // next call.
  absl::string_view At(int64_t offset) {
    const auto size = static_cast<size_t>(std::min(kMiB, kFileBytes - offset));
    if (!IsFilled(offset)) return absl::string_view(zeros_).substr(0, size);
    const int64_t number = offset / kMiB;
    std::memcpy(block_.data(), &number, sizeof(number));
    return absl::string_view(block_).substr(0, size);
  }

  // What lies from `offset` on.
  std::string Range(int64_t offset, int64_t length) {
    std::string bytes;
    length = std::min(length, kFileBytes - offset);
    while (static_cast<int64_t>(bytes.size()) < length) {
      const int64_t at = offset + static_cast<int64_t>(bytes.size());
      const absl::string_view piece = At(at / kMiB * kMiB).substr(at % kMiB);
      bytes.append(piece.data(), piece.size());
    }
    bytes.resize(static_cast<size_t>(length));
    return bytes;
  }

  uint32_t Crc() {
    uint32_t crc = 0;
    for (int64_t at = 0; at < kFileBytes; at += kMiB) {
      crc = ExtendCrc32c(crc, At(at));
    }
    return crc;
  }

 private:
  const bool sparse_;
  std::string block_;
  const std::string zeros_;
};

class Source : public client::ContentReader {
 public:
  explicit Source(Content* content) : content_(content) {}

  absl::StatusOr<size_t> Read(char* buffer, size_t size) override {
    if (at_ == kFileBytes) return size_t{0};
    const absl::string_view rest =
        content_->At(at_ / kMiB * kMiB).substr(at_ % kMiB);
    const size_t length = std::min(size, rest.size());
    std::memcpy(buffer, rest.data(), length);
    at_ += static_cast<int64_t>(length);
    return length;
  }
  bool Rewind() override {
    at_ = 0;
    return true;
  }

 private:
  Content* const content_;
  int64_t at_ = 0;
};

// Compares what comes, and keeps nothing.
class Comparison : public client::ContentSink {
 public:
  explicit Comparison(Content* content) : content_(content) {}

  absl::Status Write(const absl::Cord& data) override {
    for (absl::string_view piece : data.Chunks()) {
      while (!piece.empty()) {
        if (at_ == kFileBytes) return absl::DataLossError("more than the file");
        const absl::string_view expected =
            content_->At(at_ / kMiB * kMiB).substr(at_ % kMiB);
        const size_t length = std::min(piece.size(), expected.size());
        if (piece.substr(0, length) != expected.substr(0, length)) {
          return absl::DataLossError(
              absl::StrCat("other bytes behind offset ", at_));
        }
        at_ += static_cast<int64_t>(length);
        piece.remove_prefix(length);
      }
    }
    return absl::OkStatus();
  }

  int64_t bytes() const { return at_; }

 private:
  Content* const content_;
  int64_t at_ = 0;
};

struct Variation {
  const char* name;
  int members;
};

class LargeFileTest : public ::testing::TestWithParam<Variation> {
 protected:
  void SetUp() override {
    const int64_t needed = GetParam().members * kFileBytes + kSlackBytes;
    const fs::space_info space = fs::space(::testing::TempDir());
    if (space.available < static_cast<uintmax_t>(needed)) {
      GTEST_SKIP() << "needs " << needed / kMiB << " MiB below "
                   << ::testing::TempDir() << ", and there are "
                   << space.available / kMiB;
    }
    auto cluster = MiniCluster::Start(
        {.storages = GetParam().members, .members = GetParam().members});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    client_ = Connect("");
    ASSERT_NE(client_, nullptr);
  }

  void TearDown() override {
    if (cluster_ == nullptr) return;
    const std::string folder = cluster_->folder();
    client_.reset();
    cluster_.reset();
    // So that nothing stays for as long as the test's folder does.
    std::error_code error;
    for (int i = 0; i < GetParam().members; ++i) {
      fs::remove_all(absl::StrCat(folder, "/storage", i), error);
    }
  }

  // Follows the cluster, or asks the storage at `address` alone.
  std::unique_ptr<client::Client> Connect(const std::string& address) {
    client::ClientOptions options;
    if (address.empty()) options.trackers = cluster_->tracker_addresses();
    options.storage = address;
    options.connect_timeout = kProcessDeadline;
    options.attempts_max = 1000;
    auto connected = client::Client::Connect(options);
    EXPECT_THAT(connected, IsOk());
    return connected.ok() ? *std::move(connected) : nullptr;
  }

  client::PutOptions Options() const {
    client::PutOptions options;
    options.extension = "bin";
    options.durability.replicas = static_cast<uint32_t>(GetParam().members);
    options.durability.policy = client::ReplicaPolicy::kRequired;
    return options;
  }

  // That each member has the file, whole and in ranges.
  void ExpectStored(const client::PutResult& put, Content* content) {
    const std::string& id = put.info.file_id;
    const uint32_t crc = content->Crc();
    EXPECT_EQ(put.info.size_bytes, kFileBytes);
    EXPECT_EQ(put.info.crc32c, crc);
    EXPECT_EQ(put.replicas, static_cast<uint32_t>(GetParam().members));
    const auto parts = ParseFileId(id);
    ASSERT_THAT(parts, IsOk());
    const auto fields = DecodeFileName(parts->name);
    ASSERT_THAT(fields, IsOk());
    EXPECT_EQ(fields->size_bytes, kFileBytes);
    EXPECT_EQ(fields->crc32c, crc);
    for (const std::string& address : cluster_->storage_addresses()) {
      SCOPED_TRACE(address);
      const std::unique_ptr<client::Client> member = Connect(address);
      ASSERT_NE(member, nullptr);
      const auto stat = member->Stat(id, {});
      ASSERT_THAT(stat, IsOk());
      EXPECT_EQ(stat->size_bytes, kFileBytes);
      EXPECT_EQ(stat->crc32c, crc);
      ExpectRanges(member.get(), id, content);
      Comparison whole(content);
      const auto info = member->GetTo(id, &whole, {});
      ASSERT_THAT(info, IsOk());
      EXPECT_EQ(whole.bytes(), kFileBytes);
      EXPECT_EQ(info->crc32c, crc);
    }
  }

  void ExpectRanges(client::Client* member, const std::string& id,
                    Content* content) {
    struct Range {
      int64_t offset;
      absl::optional<int64_t> length;
    };
    // Short ones go with others in a message, long ones over a stream.
    for (const Range& range :
         std::vector<Range>{{0, 1},
                            {(int64_t{1} << 31) - 1, 2},
                            {kBorder - 1, 1},
                            {kBorder, 1},
                            {kBorder - 1, 2},
                            {kBorder - 1, absl::nullopt},
                            {kBorder, absl::nullopt},
                            {kBorder - 256 * 1024, 256 * 1024},
                            {kBorder - 256 * 1024 - 1, 256 * 1024 + 2},
                            {kBorder - 3 * kMiB, 3 * kMiB},
                            {kBorder - 3 * kMiB - 5, absl::nullopt},
                            {kFileBytes - 10, 1000},
                            {kFileBytes, absl::nullopt}}) {
      SCOPED_TRACE(absl::StrCat("from ", range.offset));
      client::GetOptions options;
      options.offset = range.offset;
      options.length = range.length;
      const auto got = member->Get(id, options);
      ASSERT_THAT(got, IsOk());
      EXPECT_EQ(got->info.size_bytes, kFileBytes);
      EXPECT_TRUE(
          std::string(got->content) ==
          content->Range(range.offset, range.length.value_or(kFileBytes)));
    }
    client::GetOptions past;
    past.offset = kFileBytes + 1;
    EXPECT_EQ(ReasonOf(member->Get(id, past).status()),
              ErrorReason::kRangePastEnd);
  }

  // The file goes, and its room with it, at each member.
  void Remove(const std::string& id) {
    ASSERT_THAT(client_->Delete(id, {.purge = true}), IsOk());
    const absl::Time limit = absl::Now() + kProcessDeadline;
    for (int i = 0; i < GetParam().members; ++i) {
      while (BytesOf(i) > kSlackBytes && absl::Now() < limit) {
        absl::SleepFor(absl::Milliseconds(100));
      }
      EXPECT_LE(BytesOf(i), kSlackBytes) << "storage " << i;
    }
  }

  int64_t BytesOf(int storage) const {
    int64_t bytes = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator
             entry(cluster_->path_folder(storage), error),
         end;
         !error && entry != end; entry.increment(error)) {
      // Files go while they are looked at.
      std::error_code gone;
      const uintmax_t size = entry->file_size(gone);
      if (!gone) bytes += static_cast<int64_t>(size);
    }
    return bytes;
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::unique_ptr<client::Client> client_;
};

TEST_P(LargeFileTest, IsStoredInOneStream) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/1);
  for (bool size_known = false; run.Next(); size_known = !size_known) {
    SCOPED_TRACE(run.Description());
    Content content(run.seed(), /*sparse=*/false);
    Source source(&content);
    const auto put = client_->PutFrom(
        &source, size_known ? absl::make_optional(kFileBytes) : absl::nullopt,
        Options());
    ASSERT_THAT(put, IsOk());
    ExpectStored(*put, &content);
    Remove(put->info.file_id);
  }
}

TEST_P(LargeFileTest, IsStoredInParts) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/1);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    // The client reads parts wherever they are, so there is a file; it takes
    // little of the disk.
    Content content(run.seed(), /*sparse=*/true);
    const std::string path = absl::StrCat(cluster_->folder(), "/source");
    {
      auto file = FileSystem::Real()->Open(path, OpenMode::kCreate);
      ASSERT_THAT(file, IsOk());
      ASSERT_THAT((*file)->Truncate(kFileBytes), IsOk());
      for (int64_t at = 0; at < kFileBytes; at += kMiB) {
        if (!content.IsFilled(at)) continue;
        ASSERT_THAT((*file)->WriteAt(at, {content.At(at)}), IsOk());
      }
    }
    client::ResumableOptions options;
    options.put = Options();
    options.streams = 4;
    std::string upload_id;
    options.begun = [&upload_id](const std::string& id) {
      upload_id = id;
      return absl::OkStatus();
    };
    std::map<int64_t, int64_t> sent;  // Lengths by offset.
    options.part_sent = [&sent](const client::SentPart& part) {
      sent[part.offset] = part.length;
      return absl::OkStatus();
    };
    absl::StatusOr<client::PutResult> put =
        client_->PutFileResumable(path, options);
    // A member that the disk has kept from answering counts as down for a
    // while; the upload waits.
    const absl::Time limit = absl::Now() + kProcessDeadline;
    while (ReasonOf(put.status()) == ErrorReason::kInsufficientReplicas &&
           absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(100));
      options.resume.upload_id = upload_id;
      put = client_->PutFileResumable(path, options);
    }
    ASSERT_THAT(put, IsOk());
    int64_t bytes = 0;
    for (const auto& [offset, length] : sent) bytes += length;
    EXPECT_EQ(bytes, kFileBytes);
    ExpectStored(*put, &content);
    Remove(put->info.file_id);
  }
}

INSTANTIATE_TEST_SUITE_P(Sites, LargeFileTest,
                         ::testing::Values(Variation{"SingleNode", 1},
                                           Variation{"Group", 2}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace testing
}  // namespace cairn
