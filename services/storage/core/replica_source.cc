#include "services/storage/core/replica_source.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

// Adds the content if it is to be sent along. What cannot be read here may be
// readable elsewhere: it goes without, and whoever gets it fetches it.
void AddContent(const KnownFile& known, OpenFile* file,
                ReplicatedChange* change) {
  // A content that files share may be at the other member already.
  if (file == nullptr || !known.file.sha256.empty()) return;
  absl::StatusOr<absl::Cord> content = file->Read(0, known.file.size_bytes);
  if (!content.ok()) {
    CAIRN_LOG(kWarning, "replication",
              "file cannot be read here, members fetch it from others name={} "
              "error={}",
              known.file.name, content.status());
    return;
  }
  change->content = *std::move(content);
}

// Changes that were set aside here: read once, and only if they are wanted.
class SetAsideHere {
 public:
  explicit SetAsideHere(ReplicaStore* store) : store_(store) {}

  // Whether the change is one of them, and what it says of its file.
  bool Find(const LogPosition& change, FileInfo* file) {
    if (!changes_.has_value()) changes_ = store_->ListSetAside();
    for (const ReplicatedChange& aside : *changes_) {
      if (!(aside.change == change)) continue;
      *file = aside.file;
      return true;
    }
    return false;
  }

 private:
  ReplicaStore* const store_;
  absl::optional<std::vector<ReplicatedChange>> changes_;
};

// What was set aside here: the logs that a snapshot stands for have it, so that
// nothing else brings it.
std::map<std::string, ReplicatedChange> SetAsideByName(ReplicaStore* store) {
  std::map<std::string, ReplicatedChange> by_name;
  for (ReplicatedChange& change : store->ListSetAside()) {
    change.mode = ReplicatedChange::Mode::kSnapshot;
    std::string name = change.file.name;
    by_name.emplace(std::move(name), std::move(change));
  }
  return by_name;
}

// What an earlier change made of an appender that was only added to since: what
// it begins with. With `base` only what the change added is sent.
void FillEarlier(StorePath* path, const KnownFile& known, const LogEntry& entry,
                 const ChangeLimits& limits, ReplicatedChange* change) {
  change->file = known.file;
  change->file.version = entry.version;
  change->file.life = entry.life;
  change->file.size_bytes = entry.state->size_bytes;
  change->file.crc32c = entry.state->crc32c;
  int64_t from = 0;
  if (entry.base.has_value() && known.file.BeginsWith(entry.base->version)) {
    from = entry.base->size_bytes;
    change->base = entry.base;
  }
  const int64_t length = entry.state->size_bytes - from;
  if (!known.content_missing && length <= limits.content_bytes_max) {
    const absl::StatusOr<std::unique_ptr<OpenFile>> file =
        path->replica()->OpenForMember(known.file.name);
    // It may have been changed since it was looked up.
    if (file.ok() && (*file)->info().BeginsWith(entry.version)) {
      absl::StatusOr<absl::Cord> content = (*file)->Read(from, length);
      if (content.ok()) change->content = *std::move(content);
    }
  }
  if (!change->content.has_value()) change->base.reset();
}

}  // namespace

absl::StatusOr<std::vector<ReplicatedChange>> ReadChanges(
    StorePath* path, const LogId& log, uint64_t after,
    const ChangeLimits& limits) {
  return ReadChanges(path, path->replica()->FollowLog(log).get(), log, after,
                     limits);
}

absl::StatusOr<std::vector<ReplicatedChange>> ReadChanges(
    StorePath* path, LoggedFiles* files, const LogId& log, uint64_t after,
    const ChangeLimits& limits) {
  ReplicaStore* const store = path->replica();
  CAIRN_ASSIGN_OR_RETURN(std::vector<LogEntry> entries,
                         store->ReadLog(log, after, limits.entries_max));
  std::vector<ReplicatedChange> changes;
  changes.reserve(entries.size());
  int64_t bytes = 0;
  SetAsideHere aside(store);
  for (LogEntry& entry : entries) {
    if (bytes >= limits.bytes_max) break;
    std::unique_ptr<OpenFile> file;
    CAIRN_ASSIGN_OR_RETURN(const absl::optional<KnownFile> known,
                           files->Find(entry, limits.content_bytes_max, &file));
    ReplicatedChange change;
    change.mode = ReplicatedChange::Mode::kNext;
    change.change = LogPosition{log, entry.sequence};
    change.kind = entry.kind;
    change.request_id = entry.request_id;
    const bool is_delete = entry.kind == ChangeKind::kDelete;
    if (!is_delete && known.has_value() && !known->deleted &&
        entry.state.has_value() && known->file.BeginsWith(entry.version)) {
      FillEarlier(path, *known, entry, limits, &change);
    } else if (known.has_value() && known->file.version == entry.version &&
               known->deleted == is_delete) {
      change.file = known->file;
      // Who has the appender has the content of what it became, and who has the
      // file that of a copy of it.
      if (!is_delete && known->file.sealed_from.empty() &&
          known->file.copied_from.empty()) {
        AddContent(*known, file.get(), &change);
      }
    } else if (is_delete && known.has_value() && known->deleted &&
               known->file.life == entry.life &&
               known->file.sealed_as.empty()) {
      // Another deletion of the same file counts here: to who has heard of
      // neither, this one is as good.
      change.file = known->file;
      change.file.version = entry.version;
    } else if (aside.Find(change.change, &change.file)) {
      // Not applied here, though the file may be known as it was before, but
      // told: the content is fetched elsewhere.
    } else if (!known.has_value() && is_delete) {
      // The tombstone has gone, but whoever reads this may still have the file.
      change.file.name = std::move(entry.name);
      change.file.version = entry.version;
      change.file.life = entry.life;
      change.file.origin_node = entry.version.node;
    } else {
      change.passed = true;
      change.file.name = std::move(entry.name);
      change.file.version = entry.version;
      change.file.life = entry.life;
      // What an appender was is in what it became.
      const bool is_sealed =
          known.has_value() && !known->file.sealed_as.empty();
      if (known.has_value() && (!known->deleted || is_sealed) && !is_delete) {
        if (known->change.log != log) {
          change.superseded_elsewhere = !is_sealed;
        } else if (known->change.sequence > entry.sequence) {
          change.superseded_by = known->change.sequence;
        }
      }
    }
    bytes += static_cast<int64_t>(change.content_bytes());
    changes.push_back(std::move(change));
  }
  return changes;
}

absl::StatusOr<SnapshotChanges> ReadSnapshotChanges(
    StorePath* path, absl::string_view from, const ChangeLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(SnapshotPage page, path->replica()->ReadSnapshot(
                                                from, limits.entries_max));
  SnapshotChanges changes;
  changes.next = std::move(page.next);
  changes.changes.reserve(page.files.size());
  int64_t bytes = 0;
  const std::map<std::string, ReplicatedChange> aside =
      SetAsideByName(path->replica());
  for (KnownFile& known : page.files) {
    const auto newer = aside.find(known.file.name);
    if (newer != aside.end() &&
        Replaces(StandingOf(newer->second.file,
                            newer->second.kind == ChangeKind::kDelete),
                 StandingOf(known.file, known.deleted))) {
      changes.changes.push_back(newer->second);
      continue;
    }
    ReplicatedChange change;
    change.mode = ReplicatedChange::Mode::kSnapshot;
    change.change = known.change;
    change.kind = known.deleted ? ChangeKind::kDelete : ChangeKind::kPut;
    // Past the limit contents are left to be fetched: the page is to end where
    // its last name does.
    if (!known.deleted && !known.content_missing && bytes < limits.bytes_max &&
        known.file.size_bytes <= limits.content_bytes_max) {
      const absl::StatusOr<std::unique_ptr<OpenFile>> file =
          path->replica()->OpenForMember(known.file.name);
      // It may have been changed since the snapshot.
      if (file.ok() && (*file)->info().version == known.file.version) {
        AddContent(known, file->get(), &change);
      }
    }
    bytes += static_cast<int64_t>(change.content_bytes());
    change.file = std::move(known.file);
    changes.changes.push_back(std::move(change));
  }
  if (!changes.next.empty()) return changes;
  // Those of files of which nothing is known here are in no page.
  for (const auto& [name, change] : aside) {
    const absl::StatusOr<absl::optional<KnownFile>> known =
        path->replica()->Find(name);
    if (!known.ok() || !known->has_value()) changes.changes.push_back(change);
  }
  return changes;
}

}  // namespace storage
}  // namespace cairn
