#include "lib/testing/unsynced_content.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cairn {
namespace {

// How many former contents of one page are remembered.
constexpr size_t kVersionsMax = 6;

}  // namespace

std::string UnsyncedContent::PageOf(const std::string& bytes, int64_t page) {
  const auto start = static_cast<size_t>(page * kPageBytes);
  std::string content;
  if (start < bytes.size()) content = bytes.substr(start, kPageBytes);
  content.resize(kPageBytes, '\0');
  return content;
}

void UnsyncedContent::SetPage(int64_t page, absl::string_view content,
                              std::string* bytes) {
  const auto start = static_cast<size_t>(page * kPageBytes);
  if (start >= bytes->size()) return;
  const size_t size = std::min<size_t>(kPageBytes, bytes->size() - start);
  bytes->replace(start, size, content.data(), size);
}

size_t UnsyncedContent::Read(int64_t offset, void* buffer, size_t size) const {
  if (offset >= this->size()) return 0;
  const size_t read =
      std::min(size, seen_.size() - static_cast<size_t>(offset));
  std::memcpy(buffer, seen_.data() + offset, read);
  return read;
}

void UnsyncedContent::MarkDirty(int64_t offset, int64_t size) {
  if (size <= 0) return;
  const int64_t last = (offset + size - 1) / kPageBytes;
  for (int64_t page = offset / kPageBytes; page <= last; ++page) {
    const auto found = dirty_.find(page);
    if (found == dirty_.end()) {
      dirty_.emplace(page, std::vector<std::string>());
      continue;
    }
    std::vector<std::string>& older = found->second;
    if (older.size() < kVersionsMax) {
      older.push_back(PageOf(seen_, page));
    } else if (Pick(4) == 0) {
      older[Pick(older.size())] = PageOf(seen_, page);
    }
  }
}

void UnsyncedContent::Write(int64_t offset, absl::string_view data) {
  if (data.empty()) return;
  const auto end = offset + static_cast<int64_t>(data.size());
  MarkDirty(offset, static_cast<int64_t>(data.size()));
  if (end > size()) {
    seen_.resize(static_cast<size_t>(end), '\0');
    unsynced_sizes_.push_back(end);
  }
  seen_.replace(static_cast<size_t>(offset), data.size(), data.data(),
                data.size());
}

void UnsyncedContent::Truncate(int64_t size) {
  if (size == this->size()) return;
  // What is cut off reads as zeros if the file grows again, but the disk may
  // still have it.
  if (size < this->size()) MarkDirty(size, this->size() - size);
  seen_.resize(static_cast<size_t>(size), '\0');
  unsynced_sizes_.push_back(size);
}

void UnsyncedContent::Sync() {
  disk_.resize(seen_.size(), '\0');
  for (const auto& [page, older] : dirty_) {
    SetPage(page, PageOf(seen_, page), &disk_);
  }
  dirty_.clear();
  unsynced_sizes_.clear();
}

std::string UnsyncedContent::WrittenBack(int64_t page,
                                         const std::vector<std::string>& older,
                                         Fate fate) {
  std::string before = PageOf(disk_, page);
  std::string after = PageOf(seen_, page);
  if (fate == Fate::kLost) return before;
  if (fate == Fate::kKept) return after;
  switch (Pick(5)) {
    case 0:
    case 1:
      return before;
    case 2:
      return older.empty() ? after : older[Pick(older.size())];
    case 3: {
      // Torn: some sectors made it.
      std::string torn = before;
      for (size_t at = 0; at < torn.size(); at += kSectorBytes) {
        if (Pick(2) == 0)
          torn.replace(at, kSectorBytes, after, at, kSectorBytes);
      }
      return torn;
    }
    default:
      return after;
  }
}

void UnsyncedContent::FailSync() {
  const int64_t size =
      std::max<int64_t>(static_cast<int64_t>(disk_.size()), this->size());
  const size_t disk_size = disk_.size();
  disk_.resize(static_cast<size_t>(size), '\0');
  for (const auto& [page, older] : dirty_) {
    SetPage(page, WrittenBack(page, older, Fate::kRandom), &disk_);
  }
  // The size did not make it either; a later sync of the size would.
  disk_.resize(disk_size);
  dirty_.clear();
}

void UnsyncedContent::Crash() {
  // Whole files that are lost or kept are as likely as mixtures, since they are
  // what short tests would hardly ever draw.
  const Fate fate = static_cast<Fate>(Pick(3));
  int64_t size = static_cast<int64_t>(disk_.size());
  if (!unsynced_sizes_.empty()) {
    if (fate == Fate::kKept) size = unsynced_sizes_.back();
    if (fate == Fate::kRandom && Pick(3) != 0) {
      size = Pick(2) == 0 ? unsynced_sizes_.back()
                          : unsynced_sizes_[Pick(unsynced_sizes_.size())];
    }
  }
  std::string after = disk_;
  after.resize(static_cast<size_t>(size), '\0');
  for (const auto& [page, older] : dirty_) {
    SetPage(page, WrittenBack(page, older, fate), &after);
  }
  disk_ = std::move(after);
  seen_ = disk_;
  dirty_.clear();
  unsynced_sizes_.clear();
}

void UnsyncedContent::FlipBit(int64_t offset, int bit) {
  for (std::string* bytes : {&seen_, &disk_}) {
    if (offset < static_cast<int64_t>(bytes->size())) {
      (*bytes)[static_cast<size_t>(offset)] ^= static_cast<char>(1 << bit);
    }
  }
}

void UnsyncedContent::TruncateOnDisk(int64_t size) {
  for (std::string* bytes : {&seen_, &disk_}) {
    if (size < static_cast<int64_t>(bytes->size())) {
      bytes->resize(static_cast<size_t>(size));
    }
  }
  dirty_.erase(dirty_.lower_bound((size + kPageBytes - 1) / kPageBytes),
               dirty_.end());
}

}  // namespace cairn
