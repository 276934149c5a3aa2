#include "lib/checksum/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace cairn {
namespace {

// The Castagnoli polynomial without x^32. All polynomials here are reflected:
// the highest bit is the coefficient of x^0.
constexpr uint32_t kPolynomial = 0x82f63b78;
constexpr uint32_t kOne = uint32_t{1} << 31;

// ISA-L takes the length as an int.
constexpr size_t kBytesPerCall = size_t{1} << 30;

// `a` times `b`, modulo the polynomial.
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = kOne; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b & 1) ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

// kPowers[k] is x^(8 * 2^k), modulo the polynomial: what 2^k zero bytes do to a
// CRC is to multiply it by that.
constexpr std::array<uint32_t, 64> MakePowers() {
  std::array<uint32_t, 64> powers{};
  uint32_t power = kOne >> 8;
  for (uint32_t& entry : powers) {
    entry = power;
    power = Multiply(power, power);
  }
  return powers;
}
constexpr std::array<uint32_t, 64> kPowers = MakePowers();

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, absl::string_view data) {
  uint32_t state = ~crc;
  while (!data.empty()) {
    const size_t size = std::min(data.size(), kBytesPerCall);
    // ISA-L does not write to the buffer; its signature forgets to say so.
    state = crc32_iscsi(
        reinterpret_cast<unsigned char*>(const_cast<char*>(data.data())),
        static_cast<int>(size), state);
    data.remove_prefix(size);
  }
  return ~state;
}

uint32_t Crc32c(absl::string_view data) { return ExtendCrc32c(0, data); }

uint32_t Crc32c(const absl::Cord& data) {
  uint32_t crc = 0;
  for (absl::string_view chunk : data.Chunks()) {
    crc = ExtendCrc32c(crc, chunk);
  }
  return crc;
}

uint32_t CombineCrc32c(uint32_t first_crc, uint32_t second_crc,
                       uint64_t second_size) {
  // The inversions at the start and the end of a CRC cancel out, so that the
  // first one only has to be moved past `second_size` zero bytes.
  uint32_t moved = first_crc;
  for (size_t k = 0; second_size != 0; ++k, second_size >>= 1) {
    if (second_size & 1) moved = Multiply(kPowers[k], moved);
  }
  return moved ^ second_crc;
}

}  // namespace cairn
