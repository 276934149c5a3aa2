// Files and their bytes, as they are counted: every name that is not deleted
// counts with its size, whatever its content takes on the disk.

#ifndef CAIRN_SERVICES_STORAGE_CORE_FILE_USE_H_
#define CAIRN_SERVICES_STORAGE_CORE_FILE_USE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <ostream>
#include <string>

#include "absl/strings/string_view.h"

namespace cairn {
namespace storage {

struct FileUse {
  int64_t files = 0;
  int64_t bytes = 0;

  bool empty() const { return files == 0 && bytes == 0; }

  FileUse& operator+=(const FileUse& more) {
    files += more.files;
    bytes += more.bytes;
    return *this;
  }
  FileUse operator-() const { return {-files, -bytes}; }

  friend bool operator==(const FileUse& a, const FileUse& b) {
    return a.files == b.files && a.bytes == b.bytes;
  }
  friend std::ostream& operator<<(std::ostream& out, const FileUse& use) {
    return out << use.files << " files of " << use.bytes << " bytes";
  }
};

// By FileInfo::owner.
using UseByOwner = std::map<std::string, FileUse, std::less<>>;

// What there is, or what a change adds to it: altogether, and of each owner.
struct UseTotals {
  FileUse all;
  UseByOwner owners;  // Without those that have nothing.

  bool empty() const { return all.empty() && owners.empty(); }

  // A file without an owner counts in `all` alone.
  void Add(absl::string_view owner, const FileUse& use) {
    all += use;
    AddToOwner(owner, use);
  }

  // Adds `more`, or takes it away (`sign` -1).
  void Add(const UseTotals& more, int sign) {
    all += sign < 0 ? -more.all : more.all;
    for (const auto& [owner, use] : more.owners) {
      AddToOwner(owner, sign < 0 ? -use : use);
    }
  }

  FileUse OfOwner(absl::string_view owner) const {
    const auto it = owners.find(owner);
    return it == owners.end() ? FileUse() : it->second;
  }

 private:
  void AddToOwner(absl::string_view owner, const FileUse& use) {
    if (owner.empty() || use.empty()) return;
    auto it = owners.find(owner);
    if (it == owners.end()) it = owners.emplace(owner, FileUse()).first;
    it->second += use;
    if (it->second.empty()) owners.erase(it);
  }
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_FILE_USE_H_
