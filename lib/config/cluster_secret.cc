#include "lib/config/cluster_secret.h"

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kSecretBytesMin = 16;
constexpr int64_t kSecretFileBytesMax = 4096;

}  // namespace

absl::StatusOr<std::string> ReadClusterSecret(absl::string_view value,
                                              absl::string_view path,
                                              FileSystem* fs) {
  std::string secret(value);
  absl::string_view field = "cluster_secret";
  if (secret.empty()) {
    field = "cluster_secret_file";
    struct stat info;
    if (stat(std::string(path).c_str(), &info) == 0 &&
        (info.st_mode & 077) != 0) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                             ErrorReason::kInvalidField,
                             absl::StrCat(field, ": others can read ", path,
                                          "; run `chmod 600 ", path, "`"),
                             {{"field", std::string(field)}});
    }
    auto content = ReadWholeFile(fs, path, kSecretFileBytesMax);
    if (!content.ok()) return WithContext(content.status(), field);
    secret = std::string(absl::StripAsciiWhitespace(*content));
  }
  if (secret.size() < kSecretBytesMin) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat(field, ": shorter than ", kSecretBytesMin,
                     " characters; make one with `openssl rand -base64 32`"),
        {{"field", std::string(field)}});
  }
  return secret;
}

}  // namespace cairn
