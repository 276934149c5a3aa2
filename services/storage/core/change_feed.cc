#include "services/storage/core/change_feed.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "lib/base/status_macros.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

// Entries of a log that are read at once.
constexpr size_t kEntriesMax = 256;

}  // namespace

ChangeFeed::Positions ChangeFeed::End(StorePath* path) {
  Positions positions;
  for (const LogRange& range : path->replica()->Logs()) {
    positions[range.log] = range.applied;
  }
  return positions;
}

ChangeFeed::ChangeFeed(std::shared_ptr<StorePath> path, Positions from,
                       absl::optional<Positions> until)
    : path_(std::move(path)),
      until_(std::move(until)),
      positions_(std::move(from)) {}

absl::Status ChangeFeed::Fill(const LogId& log, Reader* reader) {
  if (!reader->entries.empty() || reader->read >= reader->end) {
    return absl::OkStatus();
  }
  const uint64_t left = reader->end - reader->read;
  CAIRN_ASSIGN_OR_RETURN(
      std::vector<LogEntry> entries,
      path_->replica()->ReadLog(
          log, reader->read,
          static_cast<size_t>(std::min<uint64_t>(left, kEntriesMax))));
  for (LogEntry& entry : entries) {
    reader->read = entry.sequence;
    reader->entries.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FileEvent>> ChangeFeed::Next(size_t limit) {
  const std::vector<LogRange> logs = path_->replica()->Logs();
  // Also where there is nothing to read, a path that was closed says so.
  CAIRN_RETURN_IF_ERROR(
      path_->replica()
          ->ReadLog(logs.front().log, std::numeric_limits<uint64_t>::max(), 0)
          .status());
  for (const LogRange& range : logs) {
    uint64_t end = range.applied;
    if (until_.has_value()) {
      const auto it = until_->find(range.log);
      if (it == until_->end()) continue;
      end = std::min(end, it->second);
    }
    const auto [it, is_new] = readers_.try_emplace(range.log);
    if (is_new) {
      const auto from = positions_.find(range.log);
      if (from != positions_.end()) it->second.read = from->second;
    }
    it->second.end = end;
  }
  std::vector<FileEvent> events;
  while (events.size() < limit) {
    const LogId* log = nullptr;
    Reader* oldest = nullptr;
    for (auto& [id, reader] : readers_) {
      CAIRN_RETURN_IF_ERROR(Fill(id, &reader));
      if (reader.entries.empty()) continue;
      if (oldest == nullptr ||
          reader.entries.front().version < oldest->entries.front().version) {
        log = &id;
        oldest = &reader;
      }
    }
    if (oldest == nullptr) break;
    const LogEntry entry = std::move(oldest->entries.front());
    oldest->entries.pop_front();
    CAIRN_ASSIGN_OR_RETURN(FileEvent event, EventOf(*log, entry));
    positions_[*log] = entry.sequence;
    FileEvent ended;
    if (entry.kind == ChangeKind::kPut && !entry.was_there) {
      ended.file.name = event.file.sealed_from;
    }
    events.push_back(std::move(event));
    if (ended.file.name.empty()) continue;
    // It came in place of an appender, in the same step.
    ended.kind = FileEvent::Kind::kDeleted;
    ended.file.kind = FileKind::kAppender;
    ended.file.version = entry.version;
    events.push_back(std::move(ended));
  }
  return events;
}

absl::StatusOr<FileEvent> ChangeFeed::EventOf(const LogId& log,
                                              const LogEntry& entry) {
  FileEvent event;
  CAIRN_ASSIGN_OR_RETURN(absl::optional<KnownFile> known,
                         path_->replica()->Find(entry.name));
  if (known.has_value()) {
    event.file = std::move(known->file);
    event.kind = known->deleted    ? FileEvent::Kind::kDeleted
                 : entry.was_there ? FileEvent::Kind::kChanged
                                   : FileEvent::Kind::kCreated;
    return event;
  }
  // It could not be applied here, but what it said is known.
  for (ReplicatedChange& aside : path_->replica()->ListSetAside()) {
    if (!(aside.change == LogPosition{log, entry.sequence})) continue;
    event.file = std::move(aside.file);
    if (aside.kind == ChangeKind::kDelete) {
      event.kind = FileEvent::Kind::kDeleted;
    }
    return event;
  }
  // Its tombstone is not kept any more.
  event.kind = FileEvent::Kind::kDeleted;
  event.file.name = entry.name;
  event.file.version = entry.version;
  return event;
}

}  // namespace storage
}  // namespace cairn
