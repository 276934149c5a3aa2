// One file on its way with `cairn get --resume`, into FILE.part; beside it,
// FILE.part.state says what is there.
//
//   # cairn download 1
//   file <TAB> 104857600 <TAB> 8af3c41b <TAB> 116….7 <TAB> group1/M00/…
//   part <TAB> 0 <TAB> 33554432 <TAB> 8af3c41b
//
// File: size, CRC-32C and version of what is read, and its ID. Part: offset,
// length and CRC-32C. A last line without its line feed does not count.

#ifndef CAIRN_CLIENTS_CLI_RESUMABLE_GET_H_
#define CAIRN_CLIENTS_CLI_RESUMABLE_GET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"

namespace cairn {
namespace cli {

// What is smaller is read in one piece.
inline constexpr int64_t kResumableGetBytesMin = 4 << 20;

// What a state says.
struct PartialDownload {
  std::string file_id;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
  uint64_t version_clock = 0;
  uint32_t version_node = 0;
  std::vector<client::SentPart> parts;  // Inside the file.
};

// Pure. nullopt if the text is no state.
absl::optional<PartialDownload> ParsePartialDownload(absl::string_view text);

// Its first lines, without parts.
std::string FormatPartialDownload(const PartialDownload& download);

// Reads `file_id` to `path`, over `streams` streams at once, and goes on where
// an earlier call for the same file and version ended: what that left is
// compared with the CRCs of its state. `path` appears when it is whole and
// right. Blocks. `progress` of the options is called one at a time; their range
// is not looked at. Adds lines for the user to `notes`.
//   DATA_LOSS  CHECKSUM_MISMATCH: what arrived is not the file; nothing is left
//              of it.
//   ABORTED    the file was changed meanwhile: again.
//   and as Client::GetToFile(). After those the same call goes on.
absl::StatusOr<client::FileInfo> GetResumable(client::Client* client,
                                              const std::string& file_id,
                                              const std::string& path,
                                              int streams,
                                              const client::GetOptions& options,
                                              std::vector<std::string>* notes);

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_RESUMABLE_GET_H_
