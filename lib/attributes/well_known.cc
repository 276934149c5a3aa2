#include "lib/attributes/well_known.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "lib/attributes/utf8.h"

namespace cairn {
namespace {

// What file systems allow.
constexpr size_t kNameBytesMax = 255;

struct Type {
  absl::string_view extension;
  absl::string_view content_type;
};

// In the order of the extensions. What people keep in a file store, as IANA has
// registered it; the table is no list of all types.
constexpr Type kTypes[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"apk", "application/vnd.android.package-archive"},
    {"avi", "video/x-msvideo"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"doc", "application/msword"},
    {"docx",
     "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"eml", "message/rfc822"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"heic", "image/heic"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"ico", "image/vnd.microsoft.icon"},
    {"ics", "text/calendar"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript"},
    {"json", "application/json"},
    {"m3u8", "application/vnd.apple.mpegurl"},
    {"m4a", "audio/mp4"},
    {"m4v", "video/mp4"},
    {"md", "text/markdown"},
    {"mkv", "video/matroska"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpeg", "video/mpeg"},
    {"mpg", "video/mpeg"},
    {"odp", "application/vnd.oasis.opendocument.presentation"},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx",
     "application/"
     "vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rar", "application/vnd.rar"},
    {"rtf", "application/rtf"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"ts", "video/mp2t"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx",
     "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

}  // namespace

absl::string_view ContentTypeOfExtension(absl::string_view extension) {
  const size_t dot = extension.rfind('.');
  if (dot != absl::string_view::npos) extension.remove_prefix(dot + 1);
  const std::string key = absl::AsciiStrToLower(extension);
  const Type* const found = std::lower_bound(
      std::begin(kTypes), std::end(kTypes), absl::string_view(key),
      [](const Type& type, absl::string_view k) { return type.extension < k; });
  if (found == std::end(kTypes) || found->extension != key) return "";
  return found->content_type;
}

std::string SafeFileName(absl::string_view name) {
  const size_t separator = name.find_last_of("/\\");
  if (separator != absl::string_view::npos) name.remove_prefix(separator + 1);
  std::string safe;
  while (!name.empty()) {
    const size_t bytes = PrintableCharacterBytes(name);
    if (bytes == 0) {
      name.remove_prefix(1);
      continue;
    }
    if (safe.size() + bytes > kNameBytesMax) break;
    // Nothing that hides it, and nothing that a command takes for a flag.
    const bool leading = name[0] == '.' || name[0] == '-' || name[0] == ' ';
    if (!safe.empty() || !leading) safe.append(name.data(), bytes);
    name.remove_prefix(bytes);
  }
  while (!safe.empty() && (safe.back() == '.' || safe.back() == ' ')) {
    safe.pop_back();
  }
  return safe;
}

}  // namespace cairn
