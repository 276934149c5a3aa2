#include "clients/cli/put_grpcurl.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/durability.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/lifetime_text.h"
#include "clients/cli/local_files.h"
#include "clients/cli/result_json.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/checksum/crc32c.h"
#include "lib/io/file_system.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr int64_t kChunkBytes = 256 << 10;

// Stands for what the shell puts in; not a character of base64.
constexpr absl::string_view kDataMark = "@DATA@";

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

// A line of the stream: printed by the shell, with the chunk's bytes put in.
std::string ChunkLine(const std::string& path, int64_t index, int64_t offset,
                      absl::string_view data) {
  Json message;
  message["chunk"]["offset"] = absl::StrCat(offset);
  message["chunk"]["crc32c"] = Crc32c(data);
  message["chunk"]["data"] = std::string(kDataMark);
  const std::string command =
      absl::StrCat("'\"$(dd if=", ShellQuote(path), " bs=", kChunkBytes,
                   " skip=", index, " count=1 status=none | base64 -w0)\"'");
  return absl::StrCat(
      "  echo '", absl::StrReplaceAll(message.dump(), {{kDataMark, command}}),
      "'\n");
}

}  // namespace

absl::StatusOr<std::string> GrpcurlForPut(const PutFlags& flags,
                                          const Session& session) {
  if (flags.paths.size() != 1 || flags.paths[0] == "-" || flags.recursive) {
    return UsageError("--print-grpcurl of put takes one file");
  }
  const std::string& path = flags.paths[0];
  CAIRN_ASSIGN_OR_RETURN(const std::vector<LocalFile> files,
                         FindLocalFiles(path, false));
  if (files[0].size_bytes > kGrpcurlFileBytesMax) {
    return UsageError(absl::StrCat(
        path, " is too large for grpcurl (64 MiB): store it with `cairn put`"));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::string content,
                         ReadWholeFile(FileSystem::Real(), AbsolutePath(path),
                                       kGrpcurlFileBytesMax));
  CAIRN_ASSIGN_OR_RETURN(const client::Durability durability,
                         ParseDurability(flags.durability));

  Json spec;
  spec["requestId"] =
      flags.request_id.empty() ? Uuid::Random().ToString() : flags.request_id;
  if (!flags.group.empty()) spec["group"] = flags.group;
  if (flags.store_path >= 0) spec["storePath"] = flags.store_path;
  const std::string extension =
      flags.has_extension ? flags.extension : ExtensionOf(path);
  if (!extension.empty()) spec["extension"] = extension;
  spec["sizeBytes"] = absl::StrCat(content.size());
  spec["durability"] = DurabilityRequestJson(durability);
  if (!flags.derived_from.empty()) {
    spec["derived"]["masterId"] = flags.derived_from;
    spec["derived"]["prefix"] = flags.prefix;
  }
  if (flags.dedup || flags.no_dedup) spec["dedup"] = flags.dedup;
  CAIRN_ASSIGN_OR_RETURN(Attributes attributes,
                         ParseAttributes(flags.attributes));
  if (flags.describe) DescribeFile(BaseName(path), extension, &attributes);
  if (!attributes.empty()) {
    spec["attributes"] = AttributesRequestJson(attributes);
  }
  CAIRN_ASSIGN_OR_RETURN(const client::Lifetime lifetime,
                         LifetimeOf(flags.expire_in, flags.expire_at));
  AddLifetimeRequest(lifetime, &spec);

  std::string lines = flags.derived_from.empty()
                          ? NodeForUpload(session, flags.group)
                          : NodeForFile(session, flags.derived_from);
  Json first;
  first["spec"] = spec;
  absl::StrAppend(&lines, "{\n  echo ", ShellQuote(first.dump()), "\n");
  const auto size = static_cast<int64_t>(content.size());
  for (int64_t offset = 0; offset < size; offset += kChunkBytes) {
    absl::StrAppend(&lines, ChunkLine(path, offset / kChunkBytes, offset,
                                      absl::string_view(content).substr(
                                          static_cast<size_t>(offset),
                                          static_cast<size_t>(std::min(
                                              kChunkBytes, size - offset)))));
  }
  Json last;
  last["finish"]["crc32c"] = Crc32c(content);
  absl::StrAppend(&lines, "  echo ", ShellQuote(last.dump()), "\n",
                  "} | grpcurl ", TransportFlags(session), " -d @ ", kNodeWord,
                  " cairn.storage.v1.FileService/Upload\n");
  return lines;
}

}  // namespace cli
}  // namespace cairn
