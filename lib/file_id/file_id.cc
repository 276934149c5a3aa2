// One block of SHA-256 hashes all that a tag covers, so that a check is two
// compressions from precomputed key states. Only OpenSSL's low-level functions
// can copy such a state without an allocation.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "lib/file_id/file_id.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace {

constexpr size_t kRawBytes = 30;
constexpr size_t kTagOffset = 24;
constexpr size_t kTagBytes = kRawBytes - kTagOffset;
constexpr size_t kDirectoriesSize = 6;  // `3F/A2/`
constexpr size_t kStemSize = kFileNameCharacters;

using RawName = std::array<uint8_t, kRawBytes>;

absl::Status Malformed(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidFileId,
                         absl::StrCat("not a file ID: ", what));
}

// Upper case only, so that one file has one ID.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// -1 if the two characters are not hex digits.
int HexByte(absl::string_view two) {
  const int high = HexDigit(two[0]);
  const int low = HexDigit(two[1]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void AppendHexByte(uint8_t byte, std::string* out) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  out->push_back(kDigits[byte >> 4]);
  out->push_back(kDigits[byte & 15]);
}

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ||
         c == '_';
}

void PutBigEndian(uint64_t value, size_t bytes, uint8_t* out) {
  for (size_t i = 0; i < bytes; ++i) {
    out[i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
  }
}

uint64_t GetBigEndian(const uint8_t* in, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | in[i];
  return value;
}

void AppendDirectories(absl::string_view stem, std::string* out) {
  const uint32_t hash = Crc32c(stem);
  AppendHexByte(static_cast<uint8_t>(hash >> 8), out);
  out->push_back('/');
  AppendHexByte(static_cast<uint8_t>(hash), out);
  out->push_back('/');
}

// The bytes of a stem whose characters have been checked.
RawName DecodeStem(absl::string_view stem) {
  std::string bytes;
  CAIRN_CHECK(absl::WebSafeBase64Unescape(stem, &bytes));
  CAIRN_CHECK(bytes.size() == kRawBytes);
  RawName raw;
  std::memcpy(raw.data(), bytes.data(), kRawBytes);
  return raw;
}

FileIdFields FieldsOf(const RawName& raw) {
  FileIdFields fields;
  fields.node_number = static_cast<uint32_t>(GetBigEndian(&raw[0], 4));
  fields.create_unix_seconds = static_cast<uint32_t>(GetBigEndian(&raw[4], 4));
  fields.flags = raw[8];
  fields.size_bytes = static_cast<int64_t>(GetBigEndian(&raw[9], 7));
  fields.crc32c = static_cast<uint32_t>(GetBigEndian(&raw[16], 4));
  fields.format = raw[20];
  fields.counter = static_cast<uint32_t>(GetBigEndian(&raw[21], 3));
  return fields;
}

// Checks the form of `name`: directories, stem, derived prefix, extension.
absl::Status CheckNameForm(absl::string_view name) {
  if (name.size() < kDirectoriesSize + kStemSize) {
    return Malformed("the name is too short");
  }
  if (HexByte(name.substr(0, 2)) < 0 || name[2] != '/' ||
      HexByte(name.substr(3, 2)) < 0 || name[5] != '/') {
    return Malformed("two directories of two upper-case hex digits expected");
  }
  const absl::string_view file = name.substr(kDirectoriesSize);
  for (const char c : file.substr(0, kStemSize)) {
    if (!IsNameCharacter(c)) return Malformed("a character is not base64url");
  }
  const absl::string_view rest = file.substr(kStemSize);
  const size_t dot = rest.find('.');
  const absl::string_view prefix = rest.substr(0, dot);
  if (prefix.size() > kDerivedPrefixMax) {
    return Malformed("the derived prefix is too long");
  }
  for (const char c : prefix) {
    if (!IsNameCharacter(c)) {
      return Malformed("a character of the derived prefix is not allowed");
    }
  }
  if (dot != absl::string_view::npos) {
    const absl::string_view extension = rest.substr(dot + 1);
    if (extension.empty() || !ValidateExtension(extension).ok()) {
      return Malformed("the extension is not allowed");
    }
  }
  return absl::OkStatus();
}

absl::Status InvalidField(absl::string_view field, absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message,
                         {{"field", std::string(field)}});
}

}  // namespace

std::string FileIdParts::ToString() const {
  std::string id = absl::StrCat(group, "/M");
  AppendHexByte(store_path, &id);
  absl::StrAppend(&id, "/", name);
  return id;
}

absl::StatusOr<FileIdParts> ParseFileId(absl::string_view id) {
  const size_t slash = id.find('/');
  if (slash == absl::string_view::npos ||
      !ValidateGroupName(id.substr(0, slash)).ok()) {
    return Malformed("it must begin with a group's name and a slash");
  }
  const absl::string_view rest = id.substr(slash + 1);
  const int path = rest.size() >= 4 && rest[0] == 'M' && rest[3] == '/'
                       ? HexByte(rest.substr(1, 2))
                       : -1;
  if (path < 0) {
    return Malformed("the group must be followed by M and two hex digits");
  }
  const absl::string_view name = rest.substr(4);
  CAIRN_RETURN_IF_ERROR(CheckNameForm(name));
  FileIdParts parts;
  parts.group = std::string(id.substr(0, slash));
  parts.store_path = static_cast<uint8_t>(path);
  parts.name = std::string(name);
  return parts;
}

absl::StatusOr<FileIdFields> DecodeFileName(absl::string_view name) {
  CAIRN_RETURN_IF_ERROR(CheckNameForm(name));
  const FileIdFields fields =
      FieldsOf(DecodeStem(name.substr(kDirectoriesSize, kStemSize)));
  if (fields.format != FileIdFields().format) {
    return Malformed(absl::StrCat("format ", fields.format,
                                  " is not known to this version"));
  }
  return fields;
}

std::string FileNameFloor(const FileNameOrigin& origin) {
  std::array<uint8_t, 9> raw{};
  PutBigEndian(origin.node_number, 4, &raw[0]);
  PutBigEndian(origin.create_unix_seconds, 4, &raw[4]);
  std::string floor = absl::WebSafeBase64Escape(
      absl::string_view(reinterpret_cast<const char*>(raw.data()), raw.size()));
  floor.resize(kFileNameFloorSize);
  return floor;
}

absl::optional<FileNameOrigin> DecodeFileNameFloor(
    absl::string_view last_part) {
  if (last_part.size() < kFileNameFloorSize) return absl::nullopt;
  // 6 bits each; of the last one the upper 4.
  uint64_t bits = 0;
  for (size_t i = 0; i < kFileNameFloorSize; ++i) {
    const char c = last_part[i];
    uint64_t digit = 0;
    if (c >= 'A' && c <= 'Z') {
      digit = static_cast<uint64_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      digit = static_cast<uint64_t>(c - 'a') + 26;
    } else if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0') + 52;
    } else if (c == '-') {
      digit = 62;
    } else if (c == '_') {
      digit = 63;
    } else {
      return absl::nullopt;
    }
    bits =
        i + 1 < kFileNameFloorSize ? bits << 6 | digit : bits << 4 | digit >> 2;
  }
  return FileNameOrigin{static_cast<uint32_t>(bits >> 32),
                        static_cast<uint32_t>(bits)};
}

bool IsDerivedLastPart(absl::string_view last_part) {
  return last_part.size() > kStemSize && last_part[kStemSize] != '.';
}

absl::string_view DerivedPrefixOf(absl::string_view name) {
  if (!CheckNameForm(name).ok()) return absl::string_view();
  const absl::string_view rest = name.substr(kDirectoriesSize + kStemSize);
  return rest.substr(0, rest.find('.'));
}

absl::string_view ExtensionOfName(absl::string_view name) {
  if (!CheckNameForm(name).ok()) return absl::string_view();
  const size_t dot = name.find('.', kDirectoriesSize + kStemSize);
  return dot == absl::string_view::npos ? absl::string_view()
                                        : name.substr(dot + 1);
}

bool IsAppenderName(absl::string_view name) {
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(name);
  return fields.ok() && (fields->flags & kFileIdAppender) != 0 &&
         DerivedPrefixOf(name).empty();
}

absl::string_view MasterStemOf(absl::string_view name) {
  return name.substr(0, kDirectoriesSize + kStemSize);
}

absl::StatusOr<std::string> DerivedFileId(absl::string_view master_id,
                                          absl::string_view prefix,
                                          absl::string_view extension) {
  CAIRN_ASSIGN_OR_RETURN(FileIdParts parts, ParseFileId(master_id));
  if (!DerivedPrefixOf(parts.name).empty()) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kWrongKind,
        "a derived file cannot be a master", {{"kind", "DERIVED"}});
  }
  if (prefix.empty() || prefix.size() > kDerivedPrefixMax) {
    return InvalidField("prefix", "a derived prefix has 1 to 32 characters");
  }
  for (const char c : prefix) {
    if (!IsNameCharacter(c)) {
      return InvalidField("prefix",
                          "a derived prefix is made of [A-Za-z0-9_-]");
    }
  }
  CAIRN_RETURN_IF_ERROR(ValidateExtension(extension));
  parts.name.resize(kDirectoriesSize + kStemSize);
  absl::StrAppend(&parts.name, prefix, extension.empty() ? "" : ".", extension);
  return parts.ToString();
}

absl::Status ValidateExtension(absl::string_view extension) {
  if (extension.size() > kExtensionMax) {
    return InvalidField("extension",
                        absl::StrCat("an extension has at most ", kExtensionMax,
                                     " characters"));
  }
  char last = '.';  // So that a dot in front is refused like two dots.
  for (const char c : extension) {
    const bool dot_in_place = c == '.' && last != '.';
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && !dot_in_place) {
      return InvalidField(
          "extension",
          "an extension is made of [A-Za-z0-9] with single dots between them");
    }
    last = c;
  }
  if (!extension.empty() && last == '.') {
    return InvalidField("extension", "an extension does not end with a dot");
  }
  return absl::OkStatus();
}

absl::Status ValidateGroupName(absl::string_view group) {
  const bool begins_well = !group.empty() && group[0] >= 'a' && group[0] <= 'z';
  bool ok = begins_well && group.size() <= kGroupNameMax;
  for (const char c : group) {
    ok = ok && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
  }
  if (ok) return absl::OkStatus();
  return InvalidField("group",
                      "a group's name has 1 to 16 characters of [a-z0-9-] and "
                      "begins with a letter");
}

// HMAC (RFC 2104) with the key's two blocks hashed beforehand.
struct FileIdCodec::KeyState {
  SHA256_CTX inner;
  SHA256_CTX outer;

  // The tag of what is in `raw` before it.
  std::array<uint8_t, kTagBytes> Tag(absl::string_view group,
                                     uint8_t store_path,
                                     const RawName& raw) const {
    const uint8_t separator[2] = {0, store_path};
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX context = inner;
    SHA256_Update(&context, group.data(), group.size());
    SHA256_Update(&context, separator, sizeof(separator));
    SHA256_Update(&context, raw.data(), kTagOffset);
    SHA256_Final(digest, &context);
    context = outer;
    SHA256_Update(&context, digest, sizeof(digest));
    SHA256_Final(digest, &context);
    std::array<uint8_t, kTagBytes> tag;
    std::memcpy(tag.data(), digest, tag.size());
    return tag;
  }
};

FileIdCodec::FileIdCodec(absl::string_view secret)
    : key_(std::make_unique<KeyState>()) {
  CAIRN_CHECK(!secret.empty());
  std::array<uint8_t, SHA256_CBLOCK> block{};
  if (secret.size() > block.size()) {
    SHA256(reinterpret_cast<const uint8_t*>(secret.data()), secret.size(),
           block.data());
  } else {
    std::memcpy(block.data(), secret.data(), secret.size());
  }
  for (uint8_t& byte : block) byte ^= 0x36;
  SHA256_Init(&key_->inner);
  SHA256_Update(&key_->inner, block.data(), block.size());
  for (uint8_t& byte : block) byte ^= 0x36 ^ 0x5c;
  SHA256_Init(&key_->outer);
  SHA256_Update(&key_->outer, block.data(), block.size());
  OPENSSL_cleanse(block.data(), block.size());
}

FileIdCodec::~FileIdCodec() { OPENSSL_cleanse(key_.get(), sizeof(*key_)); }

std::string FileIdCodec::MakeName(absl::string_view group, uint8_t store_path,
                                  const FileIdFields& fields,
                                  absl::string_view extension) const {
  CAIRN_CHECK(fields.size_bytes >= 0 && fields.size_bytes <= kFileSizeMax);
  CAIRN_CHECK(fields.counter < (uint32_t{1} << 24));
  CAIRN_CHECK_OK(ValidateExtension(extension));
  RawName raw;
  PutBigEndian(fields.node_number, 4, &raw[0]);
  PutBigEndian(fields.create_unix_seconds, 4, &raw[4]);
  raw[8] = fields.flags;
  PutBigEndian(static_cast<uint64_t>(fields.size_bytes), 7, &raw[9]);
  PutBigEndian(fields.crc32c, 4, &raw[16]);
  raw[20] = fields.format;
  PutBigEndian(fields.counter, 3, &raw[21]);
  const auto tag = key_->Tag(group, store_path, raw);
  std::memcpy(&raw[kTagOffset], tag.data(), tag.size());

  const std::string stem = absl::WebSafeBase64Escape(
      absl::string_view(reinterpret_cast<const char*>(raw.data()), raw.size()));
  std::string name;
  name.reserve(kDirectoriesSize + kStemSize + 1 + extension.size());
  AppendDirectories(stem, &name);
  name += stem;
  if (!extension.empty()) absl::StrAppend(&name, ".", extension);
  return name;
}

absl::StatusOr<FileIdParts> FileIdCodec::Verify(absl::string_view id) const {
  CAIRN_ASSIGN_OR_RETURN(FileIdParts parts, ParseFileId(id));
  const absl::string_view name = parts.name;
  const absl::string_view stem = name.substr(kDirectoriesSize, kStemSize);
  const RawName raw = DecodeStem(stem);
  const auto tag = key_->Tag(parts.group, parts.store_path, raw);
  if (CRYPTO_memcmp(tag.data(), &raw[kTagOffset], tag.size()) != 0) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kForgedFileId,
                           "the file ID was not made by this cluster");
  }
  std::string directories;
  AppendDirectories(stem, &directories);
  if (name.substr(0, kDirectoriesSize) != directories) {
    return Malformed("its directories do not belong to its name");
  }
  return parts;
}

}  // namespace cairn
