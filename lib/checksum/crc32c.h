// CRC-32C (Castagnoli), by ISA-L: what every content, block, chunk and header
// of this project carries. `Crc32c("123456789")` is 0xe3069283.

#ifndef CAIRN_LIB_CHECKSUM_CRC32C_H_
#define CAIRN_LIB_CHECKSUM_CRC32C_H_

#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Of one run of bytes. 0 for no bytes.
uint32_t Crc32c(absl::string_view data);

// Of the bytes that gave `crc` followed by `data`.
uint32_t ExtendCrc32c(uint32_t crc, absl::string_view data);

uint32_t Crc32c(const absl::Cord& data);

// Of two runs put together, from the CRC of each: O(log second_size).
uint32_t CombineCrc32c(uint32_t first_crc, uint32_t second_crc,
                       uint64_t second_size);

}  // namespace cairn

#endif  // CAIRN_LIB_CHECKSUM_CRC32C_H_
