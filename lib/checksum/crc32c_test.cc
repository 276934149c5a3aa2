// CRC-32C against published values and against the definition, bit by bit.

#include "lib/checksum/crc32c.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "lib/testing/seed.h"

namespace cairn {
namespace {

// The definition: one bit at a time.
uint32_t NaiveCrc32c(absl::string_view data) {
  uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
    }
  }
  return ~crc;
}

std::string RandomString(std::mt19937_64* rng, size_t size) {
  std::string data(size, '\0');
  for (char& c : data) c = static_cast<char>((*rng)());
  return data;
}

TEST(Crc32cTest, GivesThePublishedValues) {
  // RFC 3720, B.4, and the check value of the CRC catalogues.
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending.push_back(static_cast<char>(i));
    descending.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(Crc32c(descending), 0x113fdb5cu);
}

TEST(Crc32cTest, AgreesWithTheDefinitionAtEverySizeAndAlignment) {
  std::mt19937_64 rng(TestSeed(1));
  const std::string data = RandomString(&rng, 1100);
  for (size_t start = 0; start < 16; ++start) {
    for (size_t size = 0; size < 600; size += 1 + start) {
      const absl::string_view part =
          absl::string_view(data).substr(start, size);
      ASSERT_EQ(Crc32c(part), NaiveCrc32c(part)) << start << " " << size;
    }
  }
  const std::string large = RandomString(&rng, (256 << 10) + 13);
  EXPECT_EQ(Crc32c(large), NaiveCrc32c(large));
}

TEST(Crc32cTest, ExtendedPieceByPieceIsTheSame) {
  std::mt19937_64 rng(TestSeed(2));
  for (int round = 0; round < 200; ++round) {
    const std::string data = RandomString(&rng, rng() % 5000);
    uint32_t crc = 0;
    absl::Cord cord;
    for (size_t at = 0; at < data.size();) {
      const std::string piece = data.substr(at, 1 + rng() % 700);
      crc = ExtendCrc32c(crc, piece);
      cord.Append(absl::MakeCordFromExternal(
          absl::string_view(data).substr(at, piece.size()), [] {}));
      at += piece.size();
    }
    ASSERT_EQ(crc, Crc32c(data));
    ASSERT_EQ(Crc32c(cord), Crc32c(data));
  }
}

TEST(Crc32cTest, CombinedIsThatOfTheWhole) {
  std::mt19937_64 rng(TestSeed(3));
  for (int round = 0; round < 500; ++round) {
    const std::string first = RandomString(&rng, rng() % 300);
    const std::string second =
        RandomString(&rng, round % 4 == 0 ? rng() % 3 : rng() % 10000);
    ASSERT_EQ(CombineCrc32c(Crc32c(first), Crc32c(second), second.size()),
              Crc32c(first + second))
        << first.size() << " " << second.size();
  }
}

TEST(Crc32cTest, CombinesSizesThatNoTestCouldHold) {
  // Combining is associative: (a b) c is a (b c), whatever the sizes are.
  std::mt19937_64 rng(TestSeed(4));
  for (int round = 0; round < 1000; ++round) {
    const auto a = static_cast<uint32_t>(rng());
    const auto b = static_cast<uint32_t>(rng());
    const auto c = static_cast<uint32_t>(rng());
    const uint64_t b_size = rng() >> (1 + rng() % 63);
    const uint64_t c_size = rng() >> (1 + rng() % 63);
    ASSERT_EQ(CombineCrc32c(CombineCrc32c(a, b, b_size), c, c_size),
              CombineCrc32c(a, CombineCrc32c(b, c, c_size), b_size + c_size))
        << b_size << " " << c_size;
  }
}

}  // namespace
}  // namespace cairn
