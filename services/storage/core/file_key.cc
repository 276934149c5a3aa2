#include "services/storage/core/file_key.h"

#include <array>
#include <cstddef>

namespace cairn {
namespace storage {
namespace {

constexpr char kCounting[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr char kSorted[] =
    "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

using Table = std::array<char, 256>;

constexpr Table MakeTable(const char* from, const char* to) {
  Table table{};
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<char>(i);
  for (size_t i = 0; i < 64; ++i) {
    table[static_cast<unsigned char>(from[i])] = to[i];
  }
  return table;
}

constexpr Table kToSorted = MakeTable(kCounting, kSorted);
constexpr Table kFromSorted = MakeTable(kSorted, kCounting);

constexpr char kSeparator = '\0';

// Begins the key of a name that cannot be turned; the name follows as it is.
constexpr char kVerbatim = '\xff';

void AppendMapped(absl::string_view text, const Table& table,
                  std::string* out) {
  for (const char c : text)
    out->push_back(table[static_cast<unsigned char>(c)]);
}

}  // namespace

void AppendFileKey(absl::string_view name, std::string* key) {
  const size_t slash = name.rfind('/');
  const absl::string_view last =
      slash == absl::string_view::npos ? name : name.substr(slash + 1);
  if (name.find(kSeparator) != absl::string_view::npos ||
      (!last.empty() && last[0] == kVerbatim)) {
    key->push_back(kVerbatim);
    key->append(name.data(), name.size());
    return;
  }
  AppendMapped(last, kToSorted, key);
  if (slash == absl::string_view::npos) return;
  key->push_back(kSeparator);
  key->append(name.data(), slash);
}

bool FileNameFromKey(absl::string_view key, std::string* name) {
  name->clear();
  if (!key.empty() && key[0] == kVerbatim) {
    name->append(key.data() + 1, key.size() - 1);
    return true;
  }
  const size_t separator = key.find(kSeparator);
  if (separator != absl::string_view::npos) {
    const absl::string_view folders = key.substr(separator + 1);
    if (folders.find(kSeparator) != absl::string_view::npos) return false;
    name->append(folders.data(), folders.size());
    name->push_back('/');
    key = key.substr(0, separator);
  }
  AppendMapped(key, kFromSorted, name);
  return true;
}

absl::optional<std::string> FileNameFromKey(absl::string_view key) {
  std::string name;
  if (!FileNameFromKey(key, &name)) return absl::nullopt;
  return name;
}

std::string KeyBehind(absl::string_view key) {
  std::string behind(key);
  behind.push_back('\0');
  return behind;
}

std::string EndOfPrefix(absl::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) {
    end.pop_back();
  }
  if (!end.empty()) ++end.back();
  return end;
}

}  // namespace storage
}  // namespace cairn
