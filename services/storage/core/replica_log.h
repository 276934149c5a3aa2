// The logs by which the members of a group copy each other's changes, as plain
// values. What they are for: docs/architecture.md, "How members copy each
// other".
//
//   a path numbers what it takes     1 ─ 2 ─ 3 ─ 4 ─ 5 …     its own log
//   and keeps what it pulled         1 ─ 2 ─ 3 ─ 4           others' logs
//                                    └cut┘   └applied

#ifndef CAIRN_SERVICES_STORAGE_CORE_REPLICA_LOG_H_
#define CAIRN_SERVICES_STORAGE_CORE_REPLICA_LOG_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"
#include "services/storage/core/file_info.h"

namespace cairn {
namespace storage {

// Names a log: the incarnation of the path that takes its changes, and the
// epoch. A number is never used twice in one.
struct LogId {
  Uuid incarnation;
  uint32_t epoch = 0;

  bool is_nil() const { return incarnation.is_nil(); }
  std::string ToString() const {
    return absl::StrCat(incarnation.ToString(), "/", epoch);
  }

  friend bool operator==(const LogId& a, const LogId& b) {
    return a.epoch == b.epoch && a.incarnation == b.incarnation;
  }
  friend bool operator!=(const LogId& a, const LogId& b) { return !(a == b); }
  friend bool operator<(const LogId& a, const LogId& b) {
    return a.incarnation != b.incarnation ? a.incarnation < b.incarnation
                                          : a.epoch < b.epoch;
  }
  template <typename H>
  friend H AbslHashValue(H h, const LogId& id) {
    return H::combine(std::move(h), id.incarnation, id.epoch);
  }
};

// A place in a log: every change up to `sequence`. 0: none.
struct LogPosition {
  LogId log;
  uint64_t sequence = 0;

  friend bool operator==(const LogPosition& a, const LogPosition& b) {
    return a.log == b.log && a.sequence == b.sequence;
  }
};

// How far a path has a log. cut <= synced <= applied.
struct LogRange {
  LogId log;
  uint64_t cut = 0;      // Entries up to here are not kept.
  uint64_t applied = 0;  // Changes up to here are applied,
  uint64_t synced = 0;   // and up to here survive a power cut.
  bool own = false;      // The path adds to it.

  // Changes up to here count as applied, but some may have been lost here, by
  // damage or since they could not be applied: that a file is not here says
  // nothing of it then.
  uint64_t unsure = 0;
};

// What a change did.
enum class ChangeKind {
  kPut = 1,
  kDelete = 2,
};

// One change, as the log keeps it.
struct LogEntry {
  uint64_t sequence = 0;
  ChangeKind kind = ChangeKind::kPut;
  Version version;
  uint32_t life = 0;
  std::string name;
  Uuid request_id;  // Nil if it had none.

  // kPut: the file was there before, as far as this path knew then.
  bool was_there = false;

  // Of an appender: what the change made of it, if that is known; and what it
  // was before, if the change only added to its end.
  absl::optional<FileState> state;
  absl::optional<FileState> base;
};

// What a path knows of a name, a deleted one too.
struct KnownFile {
  FileInfo file;
  bool deleted = false;

  // The file is there, and its content is not here, but at other members. Never
  // of a deleted one: nobody needs that.
  bool content_missing = false;

  // The change that made it so. A nil log if that is not known.
  LogPosition change;
};

// A change that another member took, or the state that it made, to be taken
// over.
struct ReplicatedChange {
  enum class Mode {
    // The next change of its log: moves the position. Others before it must be
    // applied.
    kNext,

    // A state from a snapshot: the position comes with SetLogs() at its end.
    kSnapshot,

    // The content of a file that is known here without it, or a better copy of
    // it. Without one: that of another file of the path with the same SHA-256,
    // if there is one; else nothing is changed.
    kContent,

    // The file was deleted elsewhere and its tombstone is not kept there any
    // more: removes it if it still has the version of `file` and was made by
    // `change`. In no log.
    kRemove,

    // A change that was set aside, as ListSetAside() gives it: tries it again.
    kRetry,
  };
  Mode mode = Mode::kNext;

  // The change; a nil log if the source does not know it (not with kNext).
  LogPosition change;

  ChangeKind kind = ChangeKind::kPut;

  // What the change made of the file; of a deletion what it was. With `passed`
  // only name, version and life count.
  FileInfo file;
  Uuid request_id;

  // A later change has replaced what this one did, so there is nothing left of
  // it but its place in the log.
  bool passed = false;

  // With `passed`, if that is a change of the same log: its number. Who has the
  // one and not the other has lost what the first one did.
  uint64_t superseded_by = 0;

  // With `passed`, if it is a change of another log, and the file is there, or
  // whoever sends it waits for that one, too.
  bool superseded_elsewhere = false;

  // kNext, kPut of an appender: what it was before, and `content` (if it is
  // there) is only what was added. Not applied to any other state.
  absl::optional<FileState> base;

  // The change cannot be applied: with kNext it takes its place in the log, and
  // in any case what it says of the file is remembered, to be tried again
  // later. kNext and kSnapshot; `content` does not count.
  bool set_aside = false;

  // kPut: the content, if it is small and known. Without it (nullopt, and no
  // `body` in ApplyReplicated()) the file is known and its content missing.
  absl::optional<absl::Cord> content;

  // Wait for the sync before the answer.
  bool synced = false;

  // Of the content that comes with it.
  size_t content_bytes() const {
    return content.has_value() ? content->size() : 0;
  }
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_REPLICA_LOG_H_
