#include "services/storage/store/segment_scan.h"

#include <algorithm>

#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {
constexpr int64_t kReadAheadBytes = 256 << 10;
}  // namespace

RecordScanner::RecordScanner(File* file, uint64_t segment, int64_t offset,
                             int64_t end, bool check_content)
    : file_(file),
      segment_(segment),
      end_(end),
      check_content_(check_content),
      offset_(offset),
      next_offset_(offset) {}

absl::StatusOr<absl::string_view> RecordScanner::Fetch(int64_t offset,
                                                       int64_t size) {
  size = std::min(size, end_ - offset);
  const int64_t buffer_end =
      buffer_offset_ + static_cast<int64_t>(buffer_.size());
  if (offset < buffer_offset_ || offset + size > buffer_end) {
    buffer_.resize(std::min(std::max(size, kReadAheadBytes), end_ - offset));
    buffer_offset_ = offset;
    CAIRN_ASSIGN_OR_RETURN(
        const size_t read,
        file_->ReadAt(offset, buffer_.data(), buffer_.size()));
    buffer_.resize(read);  // The file may be shorter than it was said to be.
  }
  return absl::string_view(buffer_).substr(offset - buffer_offset_, size);
}

absl::StatusOr<RecordScanner::Outcome> RecordScanner::Decode() {
  prefix_is_whole_ = false;
  if (offset_ >= end_) return Outcome::kEnd;
  CAIRN_ASSIGN_OR_RETURN(absl::string_view bytes,
                         Fetch(offset_, kRecordHeaderBytes));
  const absl::StatusOr<int64_t> prefix_bytes = RecordPrefixBytes(bytes);
  if (!prefix_bytes.ok()) {
    damage_ = std::string(prefix_bytes.status().message());
    return Outcome::kBad;
  }
  CAIRN_ASSIGN_OR_RETURN(bytes, Fetch(offset_, *prefix_bytes));
  prefix_.assign(bytes.data(), bytes.size());
  absl::StatusOr<RecordPrefix> record =
      DecodeRecordPrefix({segment_, offset_}, prefix_);
  if (!record.ok()) {
    damage_ = std::string(record.status().message());
    return Outcome::kBad;
  }
  record_ = *std::move(record);
  prefix_is_whole_ = true;
  if (offset_ + record_.record_bytes > end_) {
    damage_ = "record: cut off";
    return Outcome::kBad;
  }
  if (check_content_) {
    CAIRN_ASSIGN_OR_RETURN(content_, Fetch(offset_ + record_.prefix_bytes,
                                           record_.header.content_bytes));
    const absl::Status checked = CheckContent(record_, content_);
    if (!checked.ok()) {
      damage_ = std::string(checked.message());
      return Outcome::kBad;
    }
  }
  next_offset_ = offset_ + record_.record_bytes;
  return Outcome::kRecord;
}

absl::StatusOr<RecordScanner::Outcome> RecordScanner::Next() {
  offset_ = next_offset_;
  return Decode();
}

absl::StatusOr<RecordScanner::Outcome> RecordScanner::Resync() {
  // A whole prefix says where the next record is, unless it says too much.
  if (prefix_is_whole_ && offset_ + record_.record_bytes <= end_) {
    offset_ += record_.record_bytes;
  } else {
    offset_ += 8;
  }
  std::string first_damage = damage_;
  for (; offset_ < end_; offset_ += 8) {
    CAIRN_ASSIGN_OR_RETURN(const Outcome outcome, Decode());
    if (outcome == Outcome::kRecord || prefix_is_whole_) return outcome;
  }
  offset_ = end_;
  next_offset_ = end_;
  damage_ = std::move(first_damage);
  return Outcome::kEnd;
}

}  // namespace storage
}  // namespace cairn
