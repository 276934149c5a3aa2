// The bytes of segments: what is written is read back, and nothing else is.

#include "services/storage/store/segment_format.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;

constexpr JournalPosition kPlace{18, 8192};

std::string Record(const std::string& meta, const std::string& content,
                   const std::vector<uint32_t>& crcs) {
  RecordHeader header;
  header.type = RecordType::kPut;
  header.flags = kRecordMoved;
  header.meta_bytes = static_cast<uint32_t>(meta.size());
  header.content_bytes = static_cast<uint32_t>(content.size());
  header.content_crc = Crc32c(content);
  header.synced = {17, 4096};
  std::string bytes;
  const int64_t prefix = AppendRecordPrefix(kPlace, header, meta, crcs, &bytes);
  EXPECT_EQ(prefix, static_cast<int64_t>(bytes.size()));
  bytes += content;
  const absl::string_view padding =
      RecordPadding(prefix, static_cast<int64_t>(content.size()));
  bytes.append(padding.data(), padding.size());
  EXPECT_EQ(bytes.size() % 8, 0u);
  return bytes;
}

absl::StatusOr<RecordPrefix> Decode(const JournalPosition& at,
                                    absl::string_view bytes) {
  const auto prefix_bytes = RecordPrefixBytes(bytes);
  if (!prefix_bytes.ok()) return prefix_bytes.status();
  return DecodeRecordPrefix(at, bytes.substr(0, *prefix_bytes));
}

TEST(SegmentFormatTest, RecordsReadBack) {
  const std::string bytes = Record("meta", "content", {});
  const auto record = Decode(kPlace, bytes);
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->header.type, RecordType::kPut);
  EXPECT_EQ(record->header.flags, kRecordMoved);
  EXPECT_EQ(record->meta, "meta");
  EXPECT_EQ(record->prefix_bytes, 40);
  EXPECT_EQ(record->record_bytes, 48);
  EXPECT_TRUE(record->header.synced == (JournalPosition{17, 4096}));
  EXPECT_THAT(CheckContent(*record, "content"), IsOk());
  EXPECT_THAT(CheckContent(*record, "c0ntent"),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(CheckContent(*record, "conten"),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(SegmentFormatTest, ContentOfManyBlocksHasACrcForEach) {
  const std::string content(kBlockBytes + 5, 'x');
  const std::vector<uint32_t> crcs = {Crc32c(content.substr(0, kBlockBytes)),
                                      Crc32c("xxxxx")};
  const std::string bytes = Record("m", content, crcs);
  const auto record = Decode(kPlace, bytes);
  ASSERT_THAT(record, IsOk());
  EXPECT_THAT(record->block_crcs, ElementsAre(crcs[0], crcs[1]));
  EXPECT_THAT(CheckContent(*record, content), IsOk());
  std::string damaged = content;
  damaged.back() ^= 1;
  EXPECT_THAT(
      CheckContent(*record, damaged),
      StatusIs(absl::StatusCode::kDataLoss, ::testing::HasSubstr("block 1")));
}

TEST(SegmentFormatTest, NoFlippedBitInAPrefixPasses) {
  const std::string bytes = Record("some meta", "", {});
  for (size_t bit = 0; bit < 8 * (kRecordHeaderBytes + 9); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_THAT(Decode(kPlace, damaged), ::testing::Not(IsOk())) << bit;
  }
}

TEST(SegmentFormatTest, ARecordOfAnotherPlaceDoesNotPass) {
  const std::string bytes = Record("meta", "", {});
  EXPECT_THAT(Decode({18, 8200}, bytes), ::testing::Not(IsOk()));
  EXPECT_THAT(Decode({19, 8192}, bytes), ::testing::Not(IsOk()));
}

TEST(SegmentFormatTest, HeaderBlocksReadBack) {
  const SegmentHeader header{Uuid::Random(), 99, SegmentKind::kDedicated};
  std::string block = EncodeSegmentHeader(header);
  EXPECT_EQ(block.size(), static_cast<size_t>(kSegmentHeaderBytes));
  const auto decoded = DecodeSegmentHeader(block);
  ASSERT_THAT(decoded, IsOk());
  EXPECT_EQ(decoded->number, 99u);
  EXPECT_EQ(decoded->kind, SegmentKind::kDedicated);
  EXPECT_EQ(decoded->incarnation, header.incarnation);
  for (size_t bit = 0; bit < 8 * 44; ++bit) {
    std::string damaged = block;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_THAT(DecodeSegmentHeader(damaged),
                StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST(SegmentFormatTest, TrailersReadBackForTheirSegmentOnly) {
  for (const int64_t size : {int64_t{0}, int64_t{1}, kBlockBytes,
                             kBlockBytes + 1, 3 * kBlockBytes}) {
    Trailer trailer;
    trailer.number = 5;
    trailer.content_bytes = size;
    trailer.content_crc = 77;
    trailer.block_crcs.resize(BlockCrcCount(size), 123);
    const std::string bytes = EncodeTrailer(trailer);
    EXPECT_EQ(static_cast<int64_t>(bytes.size()), TrailerBytes(size));
    const auto decoded = DecodeTrailer(5, size, bytes);
    ASSERT_THAT(decoded, IsOk());
    EXPECT_EQ(decoded->content_crc, 77u);
    EXPECT_EQ(decoded->block_crcs, trailer.block_crcs);
    EXPECT_THAT(DecodeTrailer(6, size, bytes), ::testing::Not(IsOk()));
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      EXPECT_THAT(DecodeTrailer(5, size, damaged), ::testing::Not(IsOk()));
    }
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
