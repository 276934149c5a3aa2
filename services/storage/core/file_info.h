// What is known of a file, as plain values: what all of the storage speaks of.

#ifndef CAIRN_SERVICES_STORAGE_CORE_FILE_INFO_H_
#define CAIRN_SERVICES_STORAGE_CORE_FILE_INFO_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace cairn {
namespace storage {

// A run of content that has one CRC-32C on disk.
inline constexpr int64_t kBlockBytes = 256 << 10;

// What an acknowledgement survives: a killed process; a power cut.
enum class Durability { kCached, kSynced };

// The end of the year 9999: what a google.protobuf.Timestamp can say.
inline constexpr int64_t kExpireUnixSecondsMax = 253402300799;

// Whether a file that is to expire then is not to be found any more.
inline bool HasExpired(int64_t expire_unix_seconds, int64_t now_unix_seconds) {
  return expire_unix_seconds != 0 && expire_unix_seconds <= now_unix_seconds;
}

// The longest identity of a client; as X.509 has it of a common name.
inline constexpr size_t kOwnerBytesMax = 64;

enum class FileKind { kNormal = 1, kAppender = 2, kDerived = 3 };

// Orders the changes of one file, alike on every member: hybrid logical clock
// (milliseconds in the upper 48 bits, a counter in the lower 16), then the
// number of the node that took the change.
struct Version {
  uint64_t clock = 0;
  uint32_t node = 0;

  friend bool operator==(const Version& a, const Version& b) {
    return a.clock == b.clock && a.node == b.node;
  }
  friend bool operator<(const Version& a, const Version& b) {
    return a.clock != b.clock ? a.clock < b.clock : a.node < b.node;
  }
};

// What is known of a file.
struct FileInfo {
  std::string name;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;  // Of the whole content.
  FileKind kind = FileKind::kNormal;
  int64_t create_unix_seconds = 0;
  Version version;
  uint32_t origin_node = 0;  // Number of the node that took the upload.

  // Grows with each time that the name was used again after a deletion. It
  // begins with 0, and of a derived file, whose name may be taken again when
  // nobody knows any more that it was deleted, with the time, unix seconds.
  uint32_t life = 0;

  // From when on it is not to be found, 0..kExpireUnixSecondsMax; 0: never.
  int64_t expire_unix_seconds = 0;

  // What users say of it, as lib/attributes lays it out; empty: nothing.
  std::string attributes;

  // Of a file that an appender became: the appender's name. Of an appender that
  // is gone because of that: the name of what it became.
  std::string sealed_from;
  std::string sealed_as;

  // Of a file that is deleted: whoever has its content keeps it until then, so
  // that it can be brought back; 0..kExpireUnixSecondsMax, 0: nobody does.
  int64_t undelete_until_unix_seconds = 0;

  // Of a copy that shared its content when it was made: the name of the file
  // that it was made of, which may be gone.
  std::string copied_from;

  // Identity of the client that stored it, at most kOwnerBytesMax bytes: the
  // common name of its certificate. Empty if it had none.
  std::string owner;

  // SHA-256 of the content, of a file that was uploaded to share it; empty:
  // not known. While it was uploaded the content was there already, and shared.
  std::string sha256;
  bool deduplicated = false;

  // Since the file had this version it was only added to: what it was then, and
  // in each version since, is what it begins with. 0: not known.
  Version grown_since;

  // Whether what the file was in `earlier` is what it begins with.
  bool BeginsWith(const Version& earlier) const {
    return grown_since.clock != 0 && !(earlier < grown_since) &&
           !(version < earlier);
  }
};

// A file in one of its versions.
struct FileState {
  Version version;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
};

// What decides between two states of a file.
struct Standing {
  uint32_t life = 0;
  bool deleted = false;
  Version version;
};

inline Standing StandingOf(const FileInfo& file, bool deleted) {
  return Standing{file.life, deleted, file.version};
}

// Whether a state of a file takes the place of another one, alike on every
// member. The later life wins. Within one life a deletion is final: what
// somebody did to the file meanwhile, who had not heard of it, does not bring
// it back. Else the higher version wins.
//
// No two changes make one version, so states of the same version are of the
// same life: who asks for equality looks at the version alone.
inline bool Replaces(const Standing& state, const Standing& before) {
  if (state.life != before.life) return before.life < state.life;
  if (state.deleted != before.deleted) return state.deleted;
  return before.version < state.version;
}

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_FILE_INFO_H_
