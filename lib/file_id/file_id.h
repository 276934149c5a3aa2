// File IDs: `group1/M00/3F/A2/<40 characters>[.ext]`, made by the server,
// unguessable, and the credential to read the file. Layout:
// docs/formats/file_id.md. Pure: no clock, no disk, no randomness in here.

#ifndef CAIRN_LIB_FILE_ID_FILE_ID_H_
#define CAIRN_LIB_FILE_ID_FILE_ID_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace cairn {

// Limits that every ID keeps.
inline constexpr int kGroupNameMax = 16;        // `[a-z][a-z0-9-]*`
inline constexpr int kExtensionMax = 15;        // `[A-Za-z0-9.]`, see below
inline constexpr int kDerivedPrefixMax = 32;    // `[A-Za-z0-9_-]`
inline constexpr int kFileNameCharacters = 40;  // base64url of 30 bytes
inline constexpr int64_t kFileSizeMax = (int64_t{1} << 56) - 1;

// Bits of FileIdFields::flags.
inline constexpr uint8_t kFileIdAppender = 1;

// What the 40 characters say, without the tag.
struct FileIdFields {
  uint32_t node_number = 0;
  uint32_t create_unix_seconds = 0;
  uint8_t flags = 0;
  int64_t size_bytes = 0;  // 0..kFileSizeMax; 0 for an appender.
  uint32_t crc32c = 0;     // 0 for an appender.
  uint8_t format = 1;
  uint32_t counter = 0;  // 24 bits.

  friend bool operator==(const FileIdFields& a, const FileIdFields& b) {
    return a.node_number == b.node_number &&
           a.create_unix_seconds == b.create_unix_seconds &&
           a.flags == b.flags && a.size_bytes == b.size_bytes &&
           a.crc32c == b.crc32c && a.format == b.format &&
           a.counter == b.counter;
  }
};

// The three parts of an ID. `name` (directories, 40 characters, derived prefix,
// extension: `3F/A2/<...>.jpg`) is what the index knows the file by; only this
// library looks inside.
struct FileIdParts {
  std::string group;
  uint8_t store_path = 0;
  std::string name;

  // `group/Mxx/name`.
  std::string ToString() const;
};

// Splits an ID and checks its form, not its tag.
//   INVALID_ARGUMENT (INVALID_FILE_ID)  the message says what is wrong.
absl::StatusOr<FileIdParts> ParseFileId(absl::string_view id);

// Reads the fields in a name; works offline, proves nothing. Those of a derived
// file are its master's: they say nothing of its kind, size and checksum.
//   INVALID_ARGUMENT (INVALID_FILE_ID)  not a name that this library made.
absl::StatusOr<FileIdFields> DecodeFileName(absl::string_view name);

// Who made a name, and when.
struct FileNameOrigin {
  uint32_t node_number = 0;
  uint32_t create_unix_seconds = 0;
};

// What the last part of a name begins with at least that was made there and
// then or later, in the order of base64url's digits.
std::string FileNameFloor(const FileNameOrigin& origin);
inline constexpr size_t kFileNameFloorSize = 11;

// The same from the first kFileNameFloorSize characters of a name's last part;
// nullopt if they are none. Proves nothing.
absl::optional<FileNameOrigin> DecodeFileNameFloor(absl::string_view last_part);

// Whether a name's last part is that of a derived file.
bool IsDerivedLastPart(absl::string_view last_part);

// What stands between the 40 characters and the extension in the name of a
// derived file; empty for every other name. A part of `name`.
absl::string_view DerivedPrefixOf(absl::string_view name);

// The extension in a name, without its dot; may be empty. A part of `name`.
absl::string_view ExtensionOfName(absl::string_view name);

// What a name says of its file: an appender, and not one that is derived from
// an appender.
bool IsAppenderName(absl::string_view name);

// What the names of a file and of all that is derived from it begin with, and
// no other name. `name` is of ParseFileId().
absl::string_view MasterStemOf(absl::string_view name);

// The ID of the file that is derived from `master_id` with `prefix` (1 to
// kDerivedPrefixMax) and `extension` (with no dot in front; may be empty).
//   INVALID_ARGUMENT  one of the three is malformed; WRONG_KIND: the master is
//                     a derived file itself.
absl::StatusOr<std::string> DerivedFileId(absl::string_view master_id,
                                          absl::string_view prefix,
                                          absl::string_view extension);

// OK, or INVALID_ARGUMENT (INVALID_FIELD) that says what an extension may be.
absl::Status ValidateExtension(absl::string_view extension);

// The same for a group's name.
absl::Status ValidateGroupName(absl::string_view group);

// Makes and checks tags with the cluster secret. Thread-safe.
class FileIdCodec {
 public:
  // `secret` is not empty; it is not kept in clear beyond its HMAC key state.
  explicit FileIdCodec(absl::string_view secret);
  ~FileIdCodec();

  FileIdCodec(const FileIdCodec&) = delete;
  FileIdCodec& operator=(const FileIdCodec&) = delete;

  // The name (FileIdParts::name) for a new file. `fields` must keep the ranges
  // above, and `extension` must be valid: both are CHECKed.
  std::string MakeName(absl::string_view group, uint8_t store_path,
                       const FileIdFields& fields,
                       absl::string_view extension) const;

  // Splits an ID, checks its form, its directories and its tag, the tag in
  // constant time.
  //   INVALID_ARGUMENT  INVALID_FILE_ID, FORGED_FILE_ID.
  absl::StatusOr<FileIdParts> Verify(absl::string_view id) const;

 private:
  struct KeyState;
  std::unique_ptr<KeyState> key_;
};

}  // namespace cairn

#endif  // CAIRN_LIB_FILE_ID_FILE_ID_H_
