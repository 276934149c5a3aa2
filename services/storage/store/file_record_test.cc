#include "services/storage/store/file_record.h"

#include <cstdint>
#include <random>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/disk/v1/index.pb.h"
#include "cairn/disk/v1/segment.pb.h"
#include "gtest/gtest.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/store/extent.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kPrefixBytes = 100;
constexpr JournalPosition kAt{7, 8192};

Extent InRecord(uint64_t segment, int64_t record_offset, int64_t offset,
                int64_t length, int64_t content_bytes) {
  Extent extent;
  extent.segment = segment;
  extent.record_offset = record_offset;
  extent.content_offset = record_offset + kPrefixBytes;
  extent.content_bytes = content_bytes;
  extent.offset = extent.content_offset + offset;
  extent.length = length;
  extent.crc32c = static_cast<uint32_t>(segment * 31 + length);
  return extent;
}

FileRecord WithExtents(const absl::InlinedVector<Extent, 1>& extents) {
  FileRecord record;
  record.version = Version{5, 1};
  record.origin_node = 1;
  record.grown_since = record.version;
  record.record = kAt;
  record.record_prefix_bytes = kPrefixBytes;
  record.extents = extents;
  for (const Extent& extent : extents) record.size_bytes += extent.length;
  return record;
}

void ExpectSameExtents(const FileRecord& record,
                       const absl::InlinedVector<Extent, 1>& expected) {
  ASSERT_EQ(record.extents.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(record.extents[i], expected[i]);
    EXPECT_EQ(record.extents[i].record_offset, expected[i].record_offset);
    EXPECT_EQ(record.extents[i].content_offset, expected[i].content_offset);
    EXPECT_EQ(record.extents[i].content_bytes, expected[i].content_bytes);
  }
}

// The list as the index has it.
void ExpectIndexKeeps(const absl::InlinedVector<Extent, 1>& extents) {
  disk::v1::FileEntry entry;
  EncodeFileEntry(WithExtents(extents), &entry);
  const absl::StatusOr<FileRecord> decoded =
      ParseFileEntry(entry.SerializeAsString());
  ASSERT_THAT(decoded, IsOk());
  ExpectSameExtents(*decoded, extents);
}

TEST(FileRecordTest, IndexKeepsRunsOfEveryKind) {
  ExpectIndexKeeps({DedicatedExtent(9, 1000, 1)});
  ExpectIndexKeeps({ZeroExtent(1)});
  ExpectIndexKeeps({InRecord(3, 4096, 0, 10, 10)});

  Extent dedicated_part = DedicatedExtent(10, 4 * kBlockBytes, 2);
  dedicated_part.offset += kBlockBytes;
  dedicated_part.length = 2 * kBlockBytes;
  ExpectIndexKeeps(
      {InRecord(3, 4096, 0, kBlockBytes, kBlockBytes + 5), ZeroExtent(77),
       dedicated_part, InRecord(3, 4096, kBlockBytes, 5, kBlockBytes + 5),
       DedicatedExtent(9, 1000, 1), InRecord(4, 1 << 20, 0, 4096, 4096)});
}

TEST(FileRecordTest, IndexKeepsManyRunsOfManySegments) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/20);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    std::mt19937_64 random(run.seed());
    absl::InlinedVector<Extent, 1> extents;
    while (extents.size() < 200) {
      const auto number = static_cast<int64_t>(random() >> 40);
      const auto length = static_cast<int64_t>(random() % 100000 + 1);
      const uint64_t segment = random() >> (random() % 64);
      switch (random() % 3) {
        case 0:
          extents.push_back(ZeroExtent(length));
          break;
        case 1:
          extents.push_back(DedicatedExtent(segment + 1, length, 3));
          break;
        default:
          extents.push_back(
              InRecord(segment + 1, number + 4096, 0, length, length));
      }
    }
    ExpectIndexKeeps(extents);
  }
}

// The list as a record has it: what is its own follows from where it stands.
TEST(FileRecordTest, RecordFindsItsOwnRuns) {
  const int64_t content_bytes = 2 * kBlockBytes + 9;
  const FileRecord record =
      WithExtents({OwnExtent(0, kBlockBytes, 4, content_bytes),
                   InRecord(3, 4096, 0, 10, 10),
                   OwnExtent(2 * kBlockBytes, 9, 5, content_bytes)});
  disk::v1::FileChange change;
  change.set_name("name");
  FillPieces(record, &change);
  RecordHeader header;
  header.type = RecordType::kPieces;
  header.content_bytes = static_cast<uint32_t>(content_bytes);
  const absl::StatusOr<FileRecord> found =
      FileRecordFromChange(change, header, kAt, kPrefixBytes);
  ASSERT_THAT(found, IsOk());
  absl::InlinedVector<Extent, 1> expected = {
      InRecord(kAt.segment, kAt.offset, 0, kBlockBytes, content_bytes),
      InRecord(3, 4096, 0, 10, 10),
      InRecord(kAt.segment, kAt.offset, 2 * kBlockBytes, 9, content_bytes)};
  expected[0].crc32c = 4;
  expected[2].crc32c = 5;
  ExpectSameExtents(*found, expected);

  // The same without decoding.
  change.set_runs("not looked at");
  const absl::StatusOr<FileRecord> made =
      FileRecordFromChange(change, header, kAt, kPrefixBytes, record.extents);
  ASSERT_THAT(made, IsOk());
  ExpectSameExtents(*made, expected);
}

TEST(FileRecordTest, ListsOfEarlierVersionsAreRead) {
  disk::v1::FileEntry entry;
  EncodeFileEntry(WithExtents({}), &entry);
  entry.set_size_bytes(kBlockBytes + 30);
  entry.set_record_content_bytes(10);
  disk::v1::Extent* const part = entry.add_extents();
  part->set_segment(3);
  part->set_record_offset(4096);
  part->set_offset(4096 + kPrefixBytes);
  part->set_length(kBlockBytes);
  part->set_content_offset(4096 + kPrefixBytes);
  part->set_content_bytes(kBlockBytes + 7);
  disk::v1::Extent* const own = entry.add_extents();
  own->set_own(true);
  own->set_length(10);
  disk::v1::Extent* const zeros = entry.add_extents();
  zeros->set_length(20);
  const absl::StatusOr<FileRecord> decoded = DecodeFileEntry(entry);
  ASSERT_THAT(decoded, IsOk());
  ASSERT_EQ(decoded->extents.size(), 3u);
  EXPECT_FALSE(decoded->extents[0].is_whole());
  EXPECT_EQ(decoded->extents[0].content_bytes, kBlockBytes + 7);
  EXPECT_EQ(decoded->extents[1].segment, kAt.segment);
  EXPECT_EQ(decoded->extents[1].offset, kAt.offset + kPrefixBytes);
  EXPECT_TRUE(decoded->extents[2].is_hole());
}

TEST(FileRecordTest, ListsThatAreNotTheFileAreDamage) {
  disk::v1::FileEntry whole;
  EncodeFileEntry(
      WithExtents({DedicatedExtent(9, 1000, 1), InRecord(3, 4096, 0, 10, 10)}),
      &whole);
  ASSERT_THAT(DecodeFileEntry(whole), IsOk());
  const auto expect_damage = [&whole](const std::string& runs) {
    disk::v1::FileEntry entry = whole;
    entry.set_runs(runs);
    EXPECT_TRUE(absl::IsDataLoss(DecodeFileEntry(entry).status()))
        << entry.ShortDebugString();
  };
  const std::string& runs = whole.runs();
  for (size_t bytes = 1; bytes < runs.size(); ++bytes) {
    SCOPED_TRACE(bytes);
    expect_damage(runs.substr(0, bytes));
  }
  expect_damage(runs + runs);
  expect_damage(std::string(1, '\0') + runs);
  const auto encoded = [](const Extent& extent) {
    std::string bytes;
    EncodeRuns({&extent, 1}, &bytes);
    return bytes;
  };
  // Of 1,010 bytes, and nothing that a reader could check.
  Extent extent = DedicatedExtent(9, 1010, 1);
  extent.content_bytes = 2000;
  extent.offset += 5;
  expect_damage(encoded(extent));
  expect_damage(encoded(InRecord(3, 100, 0, 1010, 1010)));
  extent = InRecord(3, 4096, 0, 1010, 1010);
  extent.content_offset = extent.offset = 4100;
  expect_damage(encoded(extent));
  expect_damage(encoded(InRecord(0, 4096, 0, 1010, int64_t{1} << 60)));
  expect_damage(encoded(OwnExtent(0, 1010, 1, 1010)));  // The record has none.
}

}  // namespace
}  // namespace storage
}  // namespace cairn
