#include "services/storage/store/identity.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cairn/disk/v1/identity.pb.h"
#include "google/protobuf/text_format.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace storage {
namespace {

constexpr uint32_t kFormatVersion = 1;
constexpr int64_t kFileBytesMax = 64 << 10;

// The line of text that the file's CRC is of.
std::string CheckedText(const disk::v1::IdentityFile& file) {
  return absl::StrCat(file.format_version(), "\n", file.cluster_id(), "\n",
                      file.group(), "\n", file.node_uuid(), "\n",
                      file.node_number(), "\n", file.path_index(), "\n",
                      file.incarnation(), "\n");
}

absl::Status Damaged(absl::string_view path, absl::string_view what) {
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
      absl::StrCat(path, " is damaged: ", what,
                   "; see docs/formats/identity.md for how to write it anew"));
}

std::string Describe(const Identity& identity) {
  return absl::StrCat("cluster ", identity.cluster_id.ToString(), " group ",
                      identity.group, " node ", identity.node_uuid.ToString(),
                      " number ", identity.node_number, " path ",
                      identity.path_index);
}

}  // namespace

absl::StatusOr<absl::optional<Identity>> ReadIdentity(
    FileSystem* fs, absl::string_view directory) {
  const std::string path = absl::StrCat(directory, "/", kIdentityFile);
  const absl::StatusOr<std::string> text =
      ReadWholeFile(fs, path, kFileBytesMax);
  if (absl::IsNotFound(text.status())) return absl::optional<Identity>();
  if (absl::IsResourceExhausted(text.status())) {
    return Damaged(path, "it is too large");
  }
  if (!text.ok()) return text.status();
  disk::v1::IdentityFile file;
  if (!google::protobuf::TextFormat::ParseFromString(*text, &file)) {
    return Damaged(path, "not a text-format IdentityFile");
  }
  if (file.format_version() > kFormatVersion) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kNotSupported,
        absl::StrCat(path, ": format version ", file.format_version(),
                     " is not known to this program; use a newer one"));
  }
  // None: a person wrote it.
  if (file.crc32c() != 0 && file.crc32c() != Crc32c(CheckedText(file))) {
    return Damaged(path, "CRC");
  }
  Identity identity;
  const auto cluster = Uuid::Parse(file.cluster_id());
  const auto node = Uuid::Parse(file.node_uuid());
  const auto incarnation = Uuid::Parse(file.incarnation());
  if (!cluster.ok() || !node.ok() || !incarnation.ok()) {
    return Damaged(path, "a UUID is malformed");
  }
  identity.cluster_id = *cluster;
  identity.group = file.group();
  identity.node_uuid = *node;
  identity.node_number = file.node_number();
  identity.path_index = file.path_index();
  identity.incarnation = *incarnation;
  return absl::optional<Identity>(std::move(identity));
}

absl::Status WriteIdentity(FileSystem* fs, absl::string_view directory,
                           absl::string_view file_name,
                           const Identity& identity) {
  disk::v1::IdentityFile file;
  file.set_format_version(kFormatVersion);
  file.set_cluster_id(identity.cluster_id.ToString());
  file.set_group(identity.group);
  file.set_node_uuid(identity.node_uuid.ToString());
  file.set_node_number(identity.node_number);
  file.set_path_index(identity.path_index);
  file.set_incarnation(identity.incarnation.ToString());
  file.set_crc32c(Crc32c(CheckedText(file)));
  std::string text;
  google::protobuf::TextFormat::PrintToString(file, &text);
  return ReplaceFile(fs, absl::StrCat(directory, "/", file_name), text);
}

absl::Status CheckIdentity(const Identity& found, const Identity& expected,
                           absl::string_view directory) {
  if (found.cluster_id == expected.cluster_id &&
      found.group == expected.group && found.node_uuid == expected.node_uuid &&
      found.node_number == expected.node_number &&
      found.path_index == expected.path_index) {
    return absl::OkStatus();
  }
  const ErrorReason reason = found.cluster_id != expected.cluster_id
                                 ? ErrorReason::kWrongCluster
                                 : ErrorReason::kStorePathOffline;
  return ErrorWithReason(
      absl::StatusCode::kFailedPrecondition, reason,
      absl::StrCat("store path ", directory, " belongs to ", Describe(found),
                   ", but this process is ", Describe(expected),
                   "; correct the configuration or use another directory"));
}

}  // namespace storage
}  // namespace cairn
