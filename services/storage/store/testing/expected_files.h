// What a store path must hold: the oracle of the crash tests.
//
// For every name it keeps the states that the path may show now, and those that
// it may show after a power cut. An answer narrows them down; a call that is
// under way, or whose outcome is unknown, widens them.
//
//                      now               after a power cut
//   put, SYNCED        present           present
//   put, CACHED        present           present or absent
//   put, unknown       present, absent   present, absent
//   refused            as before         as before
//   delete             the same with deleted
//   undelete           the same with present, of what was deleted
//
// Names are never used twice, so a name only moves from absent to present to
// deleted, and from there back to present if it is undeleted; a crash may take
// it back, within what is allowed.

#ifndef CAIRN_SERVICES_STORAGE_STORE_TESTING_EXPECTED_FILES_H_
#define CAIRN_SERVICES_STORAGE_STORE_TESTING_EXPECTED_FILES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// How the process or the machine ended.
enum class Ending { kCleanStop, kKilled, kPowerCut };

// A set of states.
using Presence = uint8_t;
inline constexpr Presence kAbsent = 1;
inline constexpr Presence kPresent = 2;
inline constexpr Presence kDeleted = 4;

// `present or absent`, for messages.
std::string PresenceName(Presence states);

// Bytes that only this seed gives, the same every time.
std::string MakeContent(uint64_t seed, int64_t size);

// Whether an error promises that nothing was changed (true) or leaves it open
// (false). CHECKs that it is one that a change may have.
bool NothingWasChanged(const absl::Status& error);

struct ExpectedFile {
  std::string name;
  uint64_t content_seed = 0;
  int64_t size_bytes = 0;
  uint32_t crc32c = 0;
  FileKind kind = FileKind::kNormal;
  int64_t create_unix_seconds = 0;
  uint32_t origin_node = 0;
  std::string attributes;
  int64_t expire_unix_seconds = 0;

  Presence now = kAbsent;
  Presence after_power_cut = kAbsent;

  // Known once it was answered or seen; never changes while it is present.
  absl::optional<Version> version;

  // Of the put; nil if there is none, or if a rebuild may have forgotten it.
  Uuid request_id;

  // The put is on the disk for sure. A delete says nothing of that: it may
  // survive the content of a put that does not.
  bool put_synced = false;

  // Nothing is kept of it, or it is not known whether anything is.
  bool purged = false;

  // It was undeleted, or somebody tried: a power cut may lead to any of its
  // states, in whichever version.
  bool brought_back = false;

  // `after_power_cut` before the deletion or undeletion that is under way.
  Presence before_change = kAbsent;

  // A power cut took its unsynced bytes, and the change is still known.
  bool content_lost = false;

  // A call on it is under way.
  bool busy = false;
};

// Not thread-safe. Methods that check report a test failure.
class ExpectedFiles {
 public:
  // A put is about to be submitted. `file.name` is new.
  ExpectedFile* BeginPut(ExpectedFile file);
  void EndPut(ExpectedFile* file, const absl::StatusOr<Committed>& answer);

  // A delete of a file that is not busy.
  void BeginDelete(ExpectedFile* file, bool purge);
  void EndDelete(ExpectedFile* file, const absl::StatusOr<Committed>& answer);

  // What is kept of a file that is surely deleted and not busy is given up.
  void Purge(ExpectedFile* file);

  // An undelete of a file that is surely deleted, kept, and not busy.
  void BeginUndelete(ExpectedFile* file);
  void EndUndelete(ExpectedFile* file, const absl::StatusOr<Committed>& answer);

  // The next process is about to look.
  void OnEnding(Ending ending);

  // What the next process, or this one, shows for the file: it must be allowed,
  // and is all that is allowed from then on.
  void OnSeen(ExpectedFile* file, Presence state,
              const absl::optional<Version>& version);

  // A rebuild has forgotten which request did what.
  void ForgetRequests();

  // Null if there is none.
  ExpectedFile* Find(absl::string_view name);

  // A file that is surely present and not busy, drawn by `random`; null if
  // there is none.
  ExpectedFile* PickPresent(uint64_t random);

  // The same of one that is surely deleted, and of which something is kept.
  ExpectedFile* PickDeleted(uint64_t random);

  std::map<std::string, ExpectedFile>& files() { return files_; }

  // Only valid when all states are known.
  int64_t CountPresent() const;
  int64_t CountDeleted() const;

 private:
  void CheckAnswer(ExpectedFile* file, const Committed& answer);

  std::map<std::string, ExpectedFile> files_;

  // Whether the last look, or the one to come, shows what a power cut left.
  bool on_disk_ = false;
  bool seen_ = false;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_TESTING_EXPECTED_FILES_H_
