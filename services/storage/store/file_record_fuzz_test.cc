// Whatever the journal and the index say of a file: it is refused, or is a
// record that can be used, and that comes back from either form as it was.
//
// The first byte chooses the message, and the type of the record that holds it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/disk/v1/index.pb.h"
#include "cairn/disk/v1/segment.pb.h"
#include "lib/base/check.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {
namespace {

constexpr JournalPosition kPlace{7, 4096};
constexpr int64_t kPrefixBytes = 512;

constexpr RecordType kTypes[] = {RecordType::kPut, RecordType::kFile,
                                 RecordType::kDelete, RecordType::kPieces};

// What everybody relies on who holds a record.
void CheckRecord(const FileRecord& record) {
  CAIRN_CHECK(record.size_bytes >= 0 && record.size_bytes <= kFileBytesMax);
  CAIRN_CHECK(record.expire_unix_seconds >= 0);
  CAIRN_CHECK(record.undelete_until_unix_seconds >= 0);
  CAIRN_CHECK(record.sha256.empty() || record.sha256.size() == 32);
  int64_t bytes = 0;
  for (const Extent& extent : record.extents) {
    CAIRN_CHECK(extent.length > 0 && extent.length <= kFileBytesMax - bytes);
    CAIRN_CHECK(extent.content_bytes >= extent.length);
    bytes += extent.length;
  }
  if (record.has_content()) CAIRN_CHECK(bytes == record.size_bytes);
  if (!record.has_content()) CAIRN_CHECK(record.extents.empty());
  (void)record.Holders();
  (void)record.OwnSegment();
  (void)record.NeedsRecord(kPlace);
}

void CheckSame(const FileRecord& a, const FileRecord& b) {
  CAIRN_CHECK(a.extents.size() == b.extents.size());
  CAIRN_CHECK(
      std::equal(a.extents.begin(), a.extents.end(), b.extents.begin()));
  CAIRN_CHECK(a.deleted == b.deleted && a.life == b.life);
  CAIRN_CHECK(a.content_missing == b.content_missing);
  CAIRN_CHECK(a.version == b.version && a.grown_since == b.grown_since);
  const FileInfo info = a.ToFileInfo("name");
  const FileInfo other = b.ToFileInfo("name");
  CAIRN_CHECK(info.size_bytes == other.size_bytes);
  CAIRN_CHECK(info.crc32c == other.crc32c && info.kind == other.kind);
  CAIRN_CHECK(info.expire_unix_seconds == other.expire_unix_seconds);
  CAIRN_CHECK(info.undelete_until_unix_seconds ==
              other.undelete_until_unix_seconds);
  CAIRN_CHECK(info.attributes == other.attributes);
  CAIRN_CHECK(info.sealed_from == other.sealed_from);
  CAIRN_CHECK(info.sealed_as == other.sealed_as);
  CAIRN_CHECK(info.copied_from == other.copied_from);
  CAIRN_CHECK(info.owner == other.owner);
  CAIRN_CHECK(info.sha256 == other.sha256);
  CAIRN_CHECK(info.deduplicated == other.deduplicated);
}

// Through the index and back.
void CheckEntry(const FileRecord& record) {
  disk::v1::FileEntry entry;
  EncodeFileEntry(record, &entry);
  const absl::StatusOr<FileRecord> again =
      ParseFileEntry(entry.SerializeAsString());
  CAIRN_CHECK_OK(again.status());
  CheckSame(record, *again);
}

void FuzzChange(absl::string_view bytes, RecordType type) {
  disk::v1::FileChange change;
  if (!change.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return;
  }
  RecordHeader header;
  header.type = type;
  // A content of the record is as long as the change says, or absent.
  if (type == RecordType::kPut || type == RecordType::kPieces) {
    header.content_bytes =
        static_cast<uint32_t>(change.size_bytes() % (1 << 20));
  }
  header.content_crc = change.crc32c();
  const absl::StatusOr<FileRecord> record =
      FileRecordFromChange(change, header, kPlace, kPrefixBytes);
  if (!record.ok()) return;
  CheckRecord(*record);
  CheckEntry(*record);
  if (type != RecordType::kPieces) return;
  disk::v1::FileChange copy;
  copy.set_name(change.name());
  FillPieces(*record, &copy);
  const absl::StatusOr<FileRecord> copied =
      FileRecordFromChange(copy, header, kPlace, kPrefixBytes);
  CAIRN_CHECK_OK(copied.status());
}

void FuzzEntry(absl::string_view bytes) {
  const absl::StatusOr<FileRecord> record = ParseFileEntry(bytes);
  if (!record.ok()) return;
  CheckRecord(*record);
  CheckEntry(*record);
}

void FuzzSetAside(absl::string_view bytes) {
  disk::v1::SetAsideEntry entry;
  if (!entry.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return;
  }
  const disk::v1::FileChange change = DecodeSetAside("name", entry);
  CAIRN_CHECK(change.name() == "name");
  disk::v1::SetAsideEntry again;
  *again.mutable_change() = change;
  CAIRN_CHECK(DecodeSetAside("name", again).SerializeAsString() ==
              change.SerializeAsString());
}

}  // namespace
}  // namespace storage
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::storage;  // NOLINT: the one function outside of it
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                                size - 1);
  const int choice = data[0] % 6;
  if (choice < 4) {
    FuzzChange(bytes, kTypes[choice]);
  } else if (choice == 4) {
    FuzzEntry(bytes);
  } else {
    FuzzSetAside(bytes);
  }
  return 0;
}
