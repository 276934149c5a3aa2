#include "services/storage/store/engine.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "services/storage/core/queue_full.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/upload_end.h"
#include "services/storage/store/background.h"
#include "services/storage/store/change_set.h"
#include "services/storage/store/checkpoint.h"
#include "services/storage/store/committer.h"
#include "services/storage/store/compactor.h"
#include "services/storage/store/content_cut.h"
#include "services/storage/store/index.h"
#include "services/storage/store/journal.h"
#include "services/storage/store/log_cursor.h"
#include "services/storage/store/log_cutter.h"
#include "services/storage/store/open_file.h"
#include "services/storage/store/path_health.h"
#include "services/storage/store/path_layout.h"
#include "services/storage/store/path_state.h"
#include "services/storage/store/piece_merger.h"
#include "services/storage/store/presence.h"
#include "services/storage/store/recovery.h"
#include "services/storage/store/scrub_position.h"
#include "services/storage/store/segment_set.h"
#include "services/storage/store/suspect_mark.h"
#include "services/storage/store/upload.h"
#include "services/storage/store/upload_sessions.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kSmallFileBytesLimit = kRecordContentBytesMax;

// How often a file may be compacted away under a reader before it gives up.
constexpr int kOpenRetries = 8;

// How often an update is prepared anew, since what it cuts was changed.
constexpr int kUpdateRetries = 64;

absl::Status CheckOptions(const StorePathOptions& options) {
  const auto invalid = [](absl::string_view field, absl::string_view rule) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("store path option ", field, " must be ", rule),
        {{"field", std::string(field)}});
  };
  if (options.directory.empty() || options.directory[0] != '/' ||
      options.directory.back() == '/') {
    return invalid("directory", "an absolute path without a slash at its end");
  }
  if (options.small_file_bytes_max < 0 ||
      options.small_file_bytes_max > kSmallFileBytesLimit) {
    return invalid("small_file_bytes_max", "0 to 16 MiB");
  }
  if (options.dedup_bytes_min < 1) {
    return invalid("dedup_bytes_min", "at least 1");
  }
  if (options.segment_bytes < (1 << 20) || options.segment_bytes > int64_t{4}
                                                                       << 30) {
    return invalid("segment_bytes", "1 MiB to 4 GiB");
  }
  if (options.reserve_percent < 0 || options.reserve_percent > 100) {
    return invalid("reserve_percent", "0 to 100");
  }
  if (options.group_entries_max < 1 || options.queue_entries_max < 1) {
    return invalid("group_entries_max, queue_entries_max", "at least 1");
  }
  if (options.io_threads < 1 || options.io_queue_max < 1) {
    return invalid("io_threads, io_queue_max", "at least 1");
  }
  if (options.uploads_open_max < 0 || options.upload_bytes_open_max < 0) {
    return invalid("uploads_open_max, upload_bytes_open_max", "at least 0");
  }
  if (options.undelete_window < absl::ZeroDuration() ||
      options.undelete_window > absl::Hours(24 * 365)) {
    return invalid("undelete_window", "0 to 365 days");
  }
  if (options.memtable_bytes < (1 << 20)) {
    return invalid("memtable_bytes", "at least 1 MiB");
  }
  return absl::OkStatus();
}

absl::Status WithRebuildHint(const absl::Status& status,
                             const std::string& directory) {
  if (!absl::IsDataLoss(status) && !absl::IsNotFound(status)) return status;
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
      absl::StrCat("store path ", directory, ": ", status.message(),
                   "; run `cairn-storage rebuild-index`"));
}

class EngineImpl : public Engine, public ReplicaStore {
 public:
  EngineImpl(const StorePathOptions& options, FileSystem* fs, Clock* clock,
             EngineObserver* observer)
      : options_(options),
        fs_(fs),
        clock_(clock),
        observer_(observer),
        segments_(fs, options.directory, options.open_segments_max),
        health_(options_, fs, clock),
        journal_(&segments_, &state_, clock, observer, options.segment_bytes),
        io_("io", options.io_threads, options.io_queue_max) {}

  ~EngineImpl() override { Stop(); }

  absl::Status Open() {
    CAIRN_ASSIGN_OR_RETURN(ClaimedPath claimed,
                           ClaimPath(options_, fs_, clock_));
    lock_ = std::move(claimed.lock);
    CAIRN_ASSIGN_OR_RETURN(const std::string boot_id, BootId(options_, fs_));
    CAIRN_RETURN_IF_ERROR(segments_.CreateFolders());
    CAIRN_RETURN_IF_ERROR(health_.Refresh());

    absl::StatusOr<std::unique_ptr<Index>> index =
        Index::Open(IndexOptionsOf(options_), fs_, clock_);
    if (!index.ok()) return WithRebuildHint(index.status(), options_.directory);
    index_ = *std::move(index);
    disk::v1::IndexState checkpoint;
    CAIRN_RETURN_IF_ERROR(LoadState(claimed.identity.incarnation, &checkpoint));

    CAIRN_ASSIGN_OR_RETURN(const bool suspect,
                           HasSuspectMark(fs_, options_.directory));
    if (suspect) {
      CAIRN_LOG(kWarning, "store",
                "a write or a sync failed before: what is read is written "
                "again path={}",
                options_.directory);
    }
    const ChangeSetOptions change_options{options_.node_number,
                                          options_.tombstone_retention,
                                          options_.expiry_grace};
    const absl::Duration start = clock_->Monotonic();
    CAIRN_ASSIGN_OR_RETURN(RecoveryResult recovered,
                           Recover(change_options, checkpoint, boot_id, suspect,
                                   &segments_, index_.get(), &state_));
    replayed_records_ = recovered.replayed_records;
    damaged_records_ = recovered.damaged_records;
    if (recovered.file != nullptr) {
      journal_.Resume(std::move(recovered.file), recovered.end);
    }
    checkpointer_.emplace(
        index_.get(), &state_, &journal_, &segments_, &health_, clock_,
        observer_, boot_id,
        JournalPosition{checkpoint.journal_segment(),
                        static_cast<int64_t>(checkpoint.journal_offset())});
    CAIRN_RETURN_IF_ERROR(BeginEra(boot_id, recovered.may_have_lost_changes));
    MakeThreads();
    absl::Status loaded = sessions_->Load(recovered.uploads, suspect);
    if (loaded.ok() && suspect) {
      loaded = RemoveSuspectMark(fs_, options_.directory);
    }
    if (!loaded.ok()) {
      // Nothing was begun that Stop() would have to end.
      merger_.reset();
      background_ = nullptr;
      compactor_ = nullptr;
      sessions_ = nullptr;
      committer_ = nullptr;
      return loaded;
    }
    CAIRN_LOG(kInfo, "store",
              "opened path={} directory={} incarnation={} epoch={} files={} "
              "replayed_records={} damaged_records={} lost_files={} took={}",
              options_.path_index, options_.directory, state_.incarnation(),
              state_.epoch(), state_.Totals().files, recovered.replayed_records,
              recovered.damaged_records, recovered.lost_files,
              absl::FormatDuration(clock_->Monotonic() - start));
    state_.CountIn(options_.quotas);
    StartThreads();
    return absl::OkStatus();
  }

  void Put(PutRequest put, CommitDone done) override {
    const absl::Status wanted = health_.CheckWanted();
    if (!wanted.ok()) {
      done(wanted);
      return;
    }
    CommitRequest request;
    request.kind = CommitRequest::Kind::kPut;
    request.size_bytes = static_cast<int64_t>(put.content.size());
    const bool is_appender = put.kind == FileKind::kAppender;
    const int64_t bytes_max =
        is_appender ? AppenderCallBytesMax() : options_.small_file_bytes_max;
    if (request.size_bytes > bytes_max) {
      done(ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
          absl::StrCat("a file of ", request.size_bytes, " bytes is too large",
                       is_appender ? "; append it in several calls"
                                   : " and needs StartUpload()"),
          {{"limit_bytes", absl::StrCat(bytes_max)}}));
      return;
    }
    if (put.dedup && !is_appender &&
        request.size_bytes >= options_.dedup_bytes_min) {
      PutShared(std::move(put), std::move(done));
      return;
    }
    // On the caller's thread: the committer has enough to do.
    request.block_crcs = BlockCrcsOf(put.content);
    request.request_id = put.request_id;
    request.name = std::move(put.name);
    request.durability = put.durability;
    request.file_kind = put.kind;
    request.create_unix_seconds = put.create_unix_seconds;
    request.origin_node = put.origin_node;
    request.attributes = std::move(put.attributes);
    request.expire_unix_seconds = put.expire_unix_seconds;
    request.owner = std::move(put.owner);
    request.crc32c = put.crc32c;
    request.content = std::move(put.content);
    request.done = std::move(done);
    committer_->Submit(std::move(request));
  }

  void Delete(DeleteRequest del, CommitDone done) override {
    CommitRequest request = ChangeOf(CommitRequest::Kind::kDelete, &del);
    request.purge = del.purge;
    Submit(std::move(request), std::move(done));
  }

  void Undelete(UndeleteRequest undelete, CommitDone done) override {
    CommitRequest request = ChangeOf(CommitRequest::Kind::kUndelete, &undelete);
    Submit(std::move(request), std::move(done));
  }

  void SetAttributes(SetAttributesRequest set, CommitDone done) override {
    CommitRequest request = ChangeOf(CommitRequest::Kind::kAttributes, &set);
    request.attribute_change = std::move(set.change);
    request.if_version = set.if_version_match;
    Submit(std::move(request), std::move(done));
  }

  void SetExpiry(SetExpiryRequest set, CommitDone done) override {
    CommitRequest request = ChangeOf(CommitRequest::Kind::kExpiry, &set);
    request.expire_unix_seconds = set.expire_unix_seconds;
    Submit(std::move(request), std::move(done));
  }

  void Update(UpdateRequest update, CommitDone done) override {
    const absl::Status wanted = health_.CheckWanted();
    if (!wanted.ok()) {
      done(wanted);
      return;
    }
    if (static_cast<int64_t>(update.content.size()) > AppenderCallBytesMax()) {
      done(ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
          absl::StrCat("a change of ", update.content.size(),
                       " bytes is too large; do it in several"),
          {{"limit_bytes", absl::StrCat(AppenderCallBytesMax())}}));
      return;
    }
    SubmitUpdate(std::move(update), absl::nullopt, kUpdateRetries,
                 std::move(done));
  }

  void Seal(SealRequest seal, CommitDone done) override {
    CommitRequest request = ChangeOf(CommitRequest::Kind::kSeal, &seal);
    request.make_name = std::move(seal.make_name);
    request.if_size_bytes = seal.if_size_bytes;
    request.if_version = seal.if_version;
    Submit(std::move(request), std::move(done));
  }

  void Copy(CopyRequest copy, CommitDone done) override {
    CommitRequest request = ChangeOf(CommitRequest::Kind::kCopy, &copy);
    request.copied_from = std::move(copy.from);
    request.size_bytes = copy.size_bytes;
    request.crc32c = copy.crc32c;
    request.create_unix_seconds = copy.create_unix_seconds;
    request.origin_node = copy.origin_node;
    request.attributes = std::move(copy.attributes);
    request.expire_unix_seconds = copy.expire_unix_seconds;
    request.owner = std::move(copy.owner);
    Submit(std::move(request), std::move(done));
  }

  absl::StatusOr<std::unique_ptr<Upload>> StartUpload(
      absl::optional<int64_t> size_bytes) override {
    CAIRN_RETURN_IF_ERROR(Writable(size_bytes.value_or(0)));
    return std::unique_ptr<Upload>(
        std::make_unique<SegmentUpload>(PartsOfUploads()));
  }

  UploadSessions* uploads() override { return sessions_.get(); }

  absl::StatusOr<FileInfo> Stat(absl::string_view name) override {
    return *StatFile(name, /*may_block=*/true);
  }
  absl::optional<absl::StatusOr<FileInfo>> TryStat(
      absl::string_view name) override {
    return StatFile(name, /*may_block=*/false);
  }
  absl::StatusOr<std::unique_ptr<OpenFile>> Open(
      absl::string_view name) override {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<SegmentOpenFile> file,
                           *OpenForReading(name, /*may_block=*/true));
    return std::unique_ptr<OpenFile>(std::move(file));
  }
  absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> TryOpen(
      absl::string_view name) override {
    absl::optional<absl::StatusOr<std::unique_ptr<SegmentOpenFile>>> file =
        OpenForReading(name, /*may_block=*/false);
    if (!file.has_value()) return absl::nullopt;
    return absl::StatusOr<std::unique_ptr<OpenFile>>(*std::move(file));
  }

  absl::StatusOr<std::string> ScanFiles(const FileRange& range,
                                        FileVisitor* visitor) override {
    if (stopped_.load()) return ShuttingDown();
    KnownFile known;  // Once for all of them: its memory is used again.
    return index_->ScanFiles(
        range,
        [visitor](absl::string_view key, std::string* seek) {
          return visitor->OnKey(key, seek);
        },
        [visitor, &known](absl::string_view key, absl::string_view name,
                          const FileRecord& record) {
          record.FillFileInfo(name, &known.file);
          known.deleted = record.deleted;
          known.content_missing = record.needs_content();
          return visitor->OnFile(key, known);
        });
  }

  absl::StatusOr<absl::optional<Committed>> FindRequest(
      const Uuid& request_id, Durability wanted) override {
    return *FindCommitted(request_id, wanted, /*may_block=*/true);
  }
  absl::optional<absl::StatusOr<absl::optional<Committed>>> TryFindRequest(
      const Uuid& request_id, Durability wanted) override {
    return FindCommitted(request_id, wanted, /*may_block=*/false);
  }

  absl::Status Writable(int64_t bytes) override {
    if (stopped_.load()) return ShuttingDown();
    CAIRN_RETURN_IF_ERROR(health_.CheckWanted());
    return health_.CheckWrite(bytes);
  }

  StorePathStatus Status() override {
    const PathHealth::Report health = health_.Describe();
    const StateTotals totals = state_.Totals();
    EngineNumbers numbers;
    if (index_ != nullptr) index_->FillNumbers(&numbers);
    StorePathStatus status;
    status.state = stopped_.load() ? StorePathState::kOffline : health.state;
    status.detail = stopped_.load() ? "the path is closed" : health.detail;
    status.read_only_by_configuration =
        !stopped_.load() && health.read_only_by_configuration;
    status.directory = options_.directory;
    status.incarnation = state_.incarnation();
    status.epoch = state_.epoch();
    status.last_sequence = state_.last_sequence();
    status.total_bytes = health.total_bytes;
    status.free_bytes = health.free_bytes;
    status.reserve_bytes = health.reserve_bytes;
    status.files = totals.files;
    status.file_bytes = totals.file_bytes;
    status.live_bytes = totals.shared_live_bytes + totals.dedicated_bytes;
    status.undelete_bytes = totals.undelete_bytes;
    status.dead_bytes = totals.shared_dead_bytes;
    status.segments = totals.shared_segments + totals.dedicated_segments;
    status.index_bytes = numbers.index_bytes;
    status.damaged_records = DamagedRecords();
    return status;
  }

  int64_t newest_create_unix_seconds() override {
    return state_.newest_create_unix_seconds();
  }

  absl::Status Compact(
      double dead_share_min,
      absl::AnyInvocable<void(const JobProgress&)> progress) override {
    if (stopped_.load()) return ShuttingDown();
    CAIRN_RETURN_IF_ERROR(health_.CheckWanted());
    CAIRN_RETURN_IF_ERROR(
        compactor_->Compact(dead_share_min, /*roll=*/true, &progress));
    // Who asks for it wants to see the room.
    const absl::Status made = background_->CheckpointNow();
    if (absl::IsCancelled(made)) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(made);
    background_->RunOnce();
    return absl::OkStatus();
  }

  absl::Status DropDeleted() override {
    if (stopped_.load()) return ShuttingDown();
    CAIRN_RETURN_IF_ERROR(health_.CheckWanted());
    // What is to be given up is listed from the tables.
    absl::Status done = background_->CheckpointNow();
    if (done.ok()) done = background_->DropDeleted();
    return absl::IsCancelled(done) ? absl::OkStatus() : done;
  }

  void Stop() override {
    if (stopped_.exchange(true)) return;
    if (committer_ == nullptr) return;  // Open() has failed.
    sessions_->Stop();
    compactor_->Stop();
    merger_->Stop();
    background_->Stop();
    committer_->Stop();
    state_.CountOut();
    const absl::Status closed = CleanEnd();
    if (!closed.ok()) {
      CAIRN_LOG(kWarning, "store",
                "path was not closed cleanly, the next open replays path={} "
                "error={}",
                options_.directory, closed);
    }
  }

  // ---- ReplicaStore.
  ReplicaStore* replica() override { return this; }

  void SetLogObserver(LogObserver* observer) override {
    MutexLock lock(&log_observer_mu_);
    log_observer_ = observer;
    reads_->SetObserver(observer);
  }

  std::vector<LogRange> Logs() override {
    const uint32_t own = state_.log_origin();
    std::map<std::string, disk::v1::FileChange> set_aside;
    if (state_.set_aside_count() > 0) set_aside = state_.SetAside();
    std::vector<LogRange> logs;
    for (const LogHead& head : state_.Logs()) {
      LogRange range{head.id,     head.cut,           head.applied,
                     head.synced, head.origin == own, head.unsure};
      for (const auto& [name, change] : set_aside) {
        if (change.log_origin() != head.origin) continue;
        range.unsure = std::max<uint64_t>(range.unsure, change.log_sequence());
      }
      logs.insert(range.own ? logs.begin() : logs.end(), range);
    }
    return logs;
  }

  std::vector<ReplicatedChange> ListSetAside() override {
    std::vector<ReplicatedChange> changes;
    if (state_.set_aside_count() == 0) return changes;
    for (const auto& [name, aside] : state_.SetAside()) {
      ReplicatedChange change;
      change.mode = ReplicatedChange::Mode::kRetry;
      LogHead head;
      if (state_.FindLog(aside.log_origin(), &head)) {
        change.change = LogPosition{head.id, aside.log_sequence()};
      }
      change.kind = aside.operation() == kLogDelete ? ChangeKind::kDelete
                                                    : ChangeKind::kPut;
      FileInfo& file = change.file;
      file.name = name;
      file.size_bytes = static_cast<int64_t>(aside.size_bytes());
      file.crc32c = aside.crc32c();
      if (aside.kind() != 0) file.kind = static_cast<FileKind>(aside.kind());
      file.create_unix_seconds = aside.create_unix_seconds();
      file.version = Version{aside.version_clock(), aside.version_node()};
      file.origin_node =
          aside.origin_node() != 0 ? aside.origin_node() : aside.version_node();
      file.life = aside.life();
      file.expire_unix_seconds = aside.expire_unix_seconds();
      file.undelete_until_unix_seconds = aside.undelete_until_unix_seconds();
      file.attributes = aside.attributes();
      file.sealed_as = aside.sealed_as();
      file.sealed_from = aside.sealed_from();
      file.copied_from = aside.copied_from();
      file.owner = aside.owner();
      file.sha256 = aside.sha256();
      file.deduplicated = aside.deduplicated();
      changes.push_back(std::move(change));
    }
    return changes;
  }

  absl::StatusOr<std::vector<LogEntry>> ReadLog(const LogId& log,
                                                uint64_t after,
                                                size_t limit) override {
    if (stopped_.load()) return ShuttingDown();
    LogHead head;
    if (!state_.FindLog(log, &head)) {
      return ErrorWithReason(
          absl::StatusCode::kNotFound, ErrorReason::kUnknownLog,
          absl::StrCat("log ", log.ToString(), " is not known to this path"));
    }
    // As of before the read: the log may grow meanwhile, which is no gap.
    const uint64_t applied = head.applied;
    // Who follows a log is at its end most of the time.
    if (after >= applied) return std::vector<LogEntry>();
    CAIRN_ASSIGN_OR_RETURN(const std::vector<Index::LogRow> rows,
                           index_->ReadLog(head.origin, after, limit));
    // Asked again: it may have been cut while it was read.
    state_.FindLog(log, &head);
    if (after < head.cut || (rows.empty() && limit > 0 && after < applied)) {
      return ErrorWithReason(
          absl::StatusCode::kOutOfRange, ErrorReason::kLogCut,
          absl::StrCat("log ", log.ToString(), " has no entry ", after + 1,
                       "; the first that is kept is ", head.cut + 1));
    }
    std::vector<LogEntry> entries;
    entries.reserve(rows.size());
    for (const Index::LogRow& row : rows) {
      LogEntry entry;
      entry.sequence = row.sequence;
      entry.kind = row.entry.operation() == kLogDelete ? ChangeKind::kDelete
                                                       : ChangeKind::kPut;
      entry.version =
          Version{row.entry.version_clock(), row.entry.version_node()};
      entry.life = row.entry.life();
      entry.name = row.entry.name();
      entry.was_there = row.entry.operation() == kLogChange;
      if (row.entry.has_size_bytes()) {
        entry.state = FileState{entry.version,
                                static_cast<int64_t>(row.entry.size_bytes()),
                                row.entry.crc32c()};
      }
      if (row.entry.has_base()) entry.base = DecodeState(row.entry.base());
      const absl::StatusOr<Uuid> request =
          Uuid::FromBytes(row.entry.request_id());
      if (request.ok()) entry.request_id = *request;
      entries.push_back(std::move(entry));
    }
    return entries;
  }

  absl::StatusOr<absl::optional<KnownFile>> Find(
      absl::string_view name) override {
    if (stopped_.load()) return ShuttingDown();
    FileRecord record;
    CAIRN_ASSIGN_OR_RETURN(const Lookup found,
                           index_->GetFile(name, /*may_block=*/true, &record));
    if (found != Lookup::kFound) return absl::optional<KnownFile>();
    return absl::optional<KnownFile>(ToKnown(name, record));
  }

  std::unique_ptr<LoggedFiles> FollowLog(const LogId& log) override {
    LogHead head;
    const bool known = state_.FindLog(log, &head);
    return std::make_unique<FollowedLog>(this, known ? head.origin : 0);
  }

  absl::StatusOr<std::unique_ptr<OpenFile>> OpenForMember(
      absl::string_view name) override {
    CAIRN_ASSIGN_OR_RETURN(
        std::unique_ptr<SegmentOpenFile> file,
        *OpenForReading(name, /*may_block=*/true, Expired::kFound));
    return std::unique_ptr<OpenFile>(std::move(file));
  }

  void KeepScrubPosition(absl::string_view position) override {
    if (stopped_.load() || options_.read_only) return;
    // Without it the next round begins anew, which is no harm.
    WriteScrubPosition(fs_, options_.directory, position).IgnoreError();
  }
  std::string ReadScrubPosition() override {
    return storage::ReadScrubPosition(fs_, options_.directory);
  }

  void Apply(ReplicatedChange change, CommitDone done) override {
    const absl::Status wanted = health_.CheckWanted();
    if (!wanted.ok()) {
      done(wanted);
      return;
    }
    LogHead head;
    if (!state_.FindLog(change.change.log, &head) &&
        change.mode == ReplicatedChange::Mode::kNext) {
      done(ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                           ErrorReason::kOutOfOrder,
                           absl::StrCat("log ", change.change.log.ToString(),
                                        " was not heard of before its change ",
                                        change.change.sequence)));
      return;
    }
    CommitRequest request;
    request.kind = CommitRequest::Kind::kReplica;
    request.name = change.file.name;
    request.durability =
        change.synced ? Durability::kSynced : Durability::kCached;
    request.replica_log = head.origin;
    if (change.content.has_value() && !change.passed) {
      request.content = *std::move(change.content);
      request.size_bytes = static_cast<int64_t>(request.content.size());
      if (request.size_bytes > kSmallFileBytesLimit) {
        done(ErrorWithReason(absl::StatusCode::kInvalidArgument,
                             ErrorReason::kTooLarge,
                             absl::StrCat("a file of ", request.size_bytes,
                                          " bytes needs StartUpload()")));
        return;
      }
      request.block_crcs = BlockCrcsOf(request.content);
      // Of what is added, if it is not the whole file.
      if (change.base.has_value()) request.crc32c = Crc32c(request.content);
      request.replica_has_content = true;
    }
    change.content.reset();
    request.replica =
        std::make_unique<const ReplicatedChange>(std::move(change));
    request.done = std::move(done);
    committer_->Submit(std::move(request));
  }

  bool ShareContent(const KnownFile& file) override {
    if (stopped_.load() || !health_.CheckWanted().ok()) return false;
    disk::v1::ContentEntry content;
    const absl::StatusOr<bool> is_here = index_->GetContent(
        ContentKey(file.file.sha256, file.file.size_bytes), &content);
    if (!is_here.ok() || !*is_here) return false;
    ReplicatedChange change;
    change.mode = ReplicatedChange::Mode::kContent;
    change.change = file.change;
    change.file = file.file;
    change.synced = true;
    struct Answer {
      Notification came;
      bool shared = false;
    };
    const auto answer = std::make_shared<Answer>();
    Apply(std::move(change),
          [answer](const absl::StatusOr<Committed>& committed) {
            answer->shared = committed.ok() && !committed->replayed;
            answer->came.Notify();
          });
    answer->came.WaitForNotification();
    return answer->shared;
  }

  absl::Status SetLogs(const std::vector<LogRange>& logs) override {
    if (stopped_.load()) return ShuttingDown();
    const absl::Status set =
        committer_->Run([this, &logs](ChangeSet* changes) -> absl::Status {
          return WriteLogs(logs, &state_, &journal_, &health_, changes);
        });
    if (set.ok()) TellLogs();
    return set;
  }

  std::vector<std::string> ListMissing(absl::string_view after,
                                       size_t limit) override {
    if (stopped_.load()) return {};
    absl::StatusOr<std::vector<std::string>> names =
        index_->ListMissing(after, limit);
    if (names.ok()) return *std::move(names);
    CAIRN_LOG(kError, "store", "cannot list missing contents path={} error={}",
              options_.directory, names.status());
    return {};
  }

  absl::StatusOr<std::vector<LogRange>> BeginSnapshot() override {
    if (stopped_.load()) return ShuttingDown();
    std::vector<LogRange> logs = Logs();
    // Pages come from the tables.
    const absl::Status made = background_->CheckpointNow();
    if (absl::IsCancelled(made)) return ShuttingDown();
    CAIRN_RETURN_IF_ERROR(made);
    return logs;
  }

  absl::StatusOr<SnapshotPage> ReadSnapshot(absl::string_view from,
                                            size_t limit) override {
    return ReadRange(from, /*until=*/"", limit);
  }

  absl::StatusOr<SnapshotPage> ReadRange(absl::string_view from,
                                         absl::string_view until,
                                         size_t limit) override {
    if (stopped_.load()) return ShuttingDown();
    SnapshotPage page;
    CAIRN_ASSIGN_OR_RETURN(const std::vector<Index::FileRow> rows,
                           index_->ReadFiles(from, until, limit, &page.next));
    page.files.reserve(rows.size());
    for (const Index::FileRow& row : rows) {
      page.files.push_back(ToKnown(row.name, row.record));
    }
    return page;
  }

  absl::Status Sync() override {
    if (stopped_.load()) return ShuttingDown();
    // By the committer, between two groups: what it has made visible is known
    // to whoever syncs then.
    const absl::Status synced = committer_->Run(
        [this](ChangeSet*) { return checkpointer_->SyncAll(); });
    if (synced.ok()) TellLogs();
    return synced;
  }

  void SetPassed(const std::vector<LogPosition>& passed) override {
    state_.SetPassed(passed);
  }

  void SetHeldByPresent(const std::vector<LogPosition>& held) override {
    state_.SetHeldByPresent(held);
  }

  Executor* io() override { return &io_; }
  int64_t small_file_bytes_max() const override {
    return options_.small_file_bytes_max;
  }

  void SetReserve(absl::optional<double> percent) override {
    health_.SetReserve(percent.value_or(-1));
  }

  EngineNumbers Numbers() override {
    EngineNumbers numbers;
    const CommitterNumbers committer = committer_->Numbers();
    numbers.commits = committer.commits;
    numbers.committed = committer.committed;
    numbers.refused = committer.refused;
    numbers.shared_bytes = committer.shared_bytes;
    numbers.queue_entries = committer.queue_entries;
    numbers.queue_bytes = committer.queue_bytes;
    numbers.journal_bytes = static_cast<uint64_t>(journal_.appended_bytes());
    numbers.dedicated_bytes = dedicated_bytes_.load();
    numbers.syncs = journal_.syncs();
    numbers.sync_failures = health_.broken() ? 1 : 0;
    numbers.read_bytes = reads_->read_bytes.load();
    numbers.followed_files = reads_->followed_files.load();
    numbers.read_failures = reads_->read_failures.load();
    numbers.content_damaged = reads_->content_damaged.load();
    numbers.damaged_records = static_cast<uint64_t>(DamagedRecords());
    numbers.checkpoints = checkpointer_->count();
    const CompactorNumbers compactor = compactor_->Numbers();
    numbers.compacted_segments = compactor.segments;
    numbers.compacted_bytes = compactor.copied_bytes;
    numbers.piece_merges = merger_->merges();
    numbers.replayed_records = replayed_records_;
    numbers.io_queue_entries = static_cast<int64_t>(io_.queued());
    const StateTotals totals = state_.Totals();
    numbers.files = totals.files;
    numbers.file_bytes = totals.file_bytes;
    numbers.tombstones = totals.tombstones;
    numbers.live_bytes = totals.shared_live_bytes + totals.dedicated_bytes;
    numbers.undelete_bytes = totals.undelete_bytes;
    numbers.dead_bytes = totals.shared_dead_bytes;
    numbers.segments = totals.shared_segments + totals.dedicated_segments;
    numbers.open_segments = static_cast<int64_t>(segments_.open_count());
    numbers.uploads = totals.uploads;
    numbers.open_uploads = sessions_->open();
    numbers.open_upload_bytes = sessions_->open_bytes();
    numbers.checkpoint_lag_bytes =
        journal_.appended_bytes() - checkpointer_->begun_at_bytes();
    numbers.writable = Writable(0).ok();
    index_->FillNumbers(&numbers);
    return numbers;
  }

 private:
  // What a change of a file says, whatever it is of.
  template <typename Change>
  static CommitRequest ChangeOf(CommitRequest::Kind kind, Change* change) {
    CommitRequest request;
    request.kind = kind;
    request.request_id = change->request_id;
    request.name = std::move(change->name);
    request.durability = change->durability;
    return request;
  }

  // A small file whose content gets a segment of its own, or one that is there.
  void PutShared(PutRequest put, CommitDone done) {
    struct Task {
      PutRequest put;
      CommitDone done;
      std::unique_ptr<SegmentUpload> upload;
    };
    auto task = std::make_shared<Task>();
    task->put = std::move(put);
    task->done = std::move(done);
    const bool queued = io_.TrySubmit([this, task] {
      task->upload = std::make_unique<SegmentUpload>(PartsOfUploads());
      task->upload->Share();
      const absl::Status written = task->upload->Write(task->put.content);
      if (!written.ok()) {
        task->done(written);
        return;
      }
      task->upload->Finish(
          FinishOf(&task->put),
          [this, task](absl::StatusOr<Committed> committed) {
            task->put.content.Clear();
            // What is given up is removed where the disk may be waited for.
            CommitDone answer = std::move(task->done);
            static_cast<void>(io_.TrySubmit([task] { task->upload.reset(); }));
            answer(std::move(committed));
          });
    });
    if (!queued) task->done(QueueFull());
  }

  // Hands it to the committer, if the path is to be changed at all.
  void Submit(CommitRequest request, CommitDone done) {
    const absl::Status wanted = health_.CheckWanted();
    if (!wanted.ok()) {
      done(wanted);
      return;
    }
    request.done = std::move(done);
    committer_->Submit(std::move(request));
  }

  absl::Status ShuttingDown() const {
    return ErrorWithReason(
        absl::StatusCode::kUnavailable, ErrorReason::kShuttingDown,
        absl::StrCat("store path ", options_.directory, " is closing"));
  }

  absl::Status LoadState(const Uuid& incarnation,
                         disk::v1::IndexState* checkpoint) {
    const absl::StatusOr<bool> found = index_->GetState(checkpoint);
    CAIRN_RETURN_IF_ERROR(WithRebuildHint(found.status(), options_.directory));
    if (!*found) {
      return WithRebuildHint(absl::DataLossError("the index has no state"),
                             options_.directory);
    }
    if (checkpoint->format_version() != 1) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kNotSupported,
          absl::StrCat("store path ", options_.directory,
                       ": index format version ", checkpoint->format_version(),
                       " is not known to this program; use a newer one"));
    }
    if (incarnation.bytes() != checkpoint->incarnation()) {
      return WithRebuildHint(
          absl::DataLossError("the index is of another incarnation than "
                              "IDENTITY"),
          options_.directory);
    }
    const auto segments = index_->ListSegments();
    CAIRN_RETURN_IF_ERROR(
        WithRebuildHint(segments.status(), options_.directory));
    const auto doomed = index_->ListDoomed();
    CAIRN_RETURN_IF_ERROR(WithRebuildHint(doomed.status(), options_.directory));
    const auto shared = index_->ListSharedContents();
    CAIRN_RETURN_IF_ERROR(WithRebuildHint(shared.status(), options_.directory));
    const auto logs = index_->ListOrigins();
    CAIRN_RETURN_IF_ERROR(WithRebuildHint(logs.status(), options_.directory));
    const auto set_aside = index_->ListSetAside();
    CAIRN_RETURN_IF_ERROR(
        WithRebuildHint(set_aside.status(), options_.directory));
    auto owners = index_->ListOwners();
    CAIRN_RETURN_IF_ERROR(WithRebuildHint(owners.status(), options_.directory));
    state_.Load(*checkpoint, *segments, *doomed, *logs);
    state_.LoadSetAside(*set_aside);
    state_.LoadSharedContents(*shared);
    state_.LoadOwners(*std::move(owners));
    return checkpoint->has_file_bytes()
               ? absl::OkStatus()
               : WithRebuildHint(CountFiles(), options_.directory);
  }

  // Counts what the tables have, once: the index is of a version that did not.
  absl::Status CountFiles() {
    UseTotals use;
    CAIRN_RETURN_IF_ERROR(index_->ForEachFile(
        [&use](absl::string_view /*name*/, const FileRecord& record) {
          if (!record.deleted) use.Add(record.owner, {1, record.size_bytes});
          return true;
        }));
    state_.SetUse(std::move(use));
    return absl::OkStatus();
  }

  // The first record of this process: from here on numbers of the log are of
  // this epoch.
  absl::Status BeginEra(const std::string& boot_id, bool new_epoch) {
    if (new_epoch) {
      state_.SetEpoch(state_.epoch() + 1, state_.NextLogOrigin());
    }
    disk::v1::Opened opened;
    opened.set_incarnation(state_.incarnation().bytes().data(), 16);
    opened.set_epoch(state_.epoch());
    opened.set_log_origin(state_.log_origin());
    opened.set_boot_id(boot_id);
    opened.set_unix_ms(absl::ToUnixMillis(clock_->Now()));
    absl::Status begun = journal_.RollIfNeeded();
    if (begun.ok()) {
      begun = journal_.AppendControl(RecordType::kOpened,
                                     opened.SerializeAsString());
    }
    if (absl::IsResourceExhausted(begun) && !new_epoch) {
      // A full disk must not keep the path from serving reads. The record can
      // be left out as long as the log goes on as it was.
      health_.SetNoSpace();
      return absl::OkStatus();
    }
    CAIRN_RETURN_IF_ERROR(begun);
    CAIRN_RETURN_IF_ERROR(journal_.Sync());
    // The background thread ends it.
    checkpointer_->Begin(/*clean_end=*/false);
    return absl::OkStatus();
  }

  void MakeThreads() {
    CommitterParts commit;
    commit.options = &options_;
    commit.index = index_.get();
    commit.state = &state_;
    commit.journal = &journal_;
    commit.health = &health_;
    commit.clock = clock_;
    commit.observer = observer_;
    commit.checkpoint_wanted = [this] { background_->WantCheckpoint(); };
    commit.logs_changed = [this] { TellLogs(); };
    commit.merge_wanted = [this](const std::string& name) {
      merger_->Want(name);
    };
    commit.checkpoint_status = [this] { return checkpointer_->last_status(); };
    commit.sync_dedicated = [this] { return checkpointer_->SyncDedicated(); };
    committer_ = std::make_unique<Committer>(std::move(commit));

    SegmentUploadSessionsOptions upload;
    upload.lifetime = options_.upload_lifetime;
    upload.open_max = options_.uploads_open_max;
    upload.open_bytes_max = options_.upload_bytes_open_max;
    sessions_ =
        std::make_unique<SegmentUploadSessions>(PartsOfUploads(), upload);

    BackgroundParts back;
    back.options = &options_;
    back.index = index_.get();
    back.state = &state_;
    back.journal = &journal_;
    back.segments = &segments_;
    back.health = &health_;
    back.checkpointer = &*checkpointer_;
    back.committer = committer_.get();
    back.clock = clock_;
    back.expire_uploads = [this] { sessions_->Expire(); };
    background_ = std::make_unique<Background>(back);

    CompactorParts compact;
    compact.options = &options_;
    compact.index = index_.get();
    compact.state = &state_;
    compact.journal = &journal_;
    compact.segments = &segments_;
    compact.health = &health_;
    compact.committer = committer_.get();
    compact.clock = clock_;
    compactor_ = std::make_unique<Compactor>(compact);

    PieceMergerParts merge;
    merge.committer = committer_.get();
    merge.io = &io_;
    merge.upload = PartsOfUploads();
    merge.open = [this](absl::string_view name) {
      return *OpenForReading(name, /*may_block=*/true);
    };
    merger_.emplace(std::move(merge));
  }

  void StartThreads() {
    committer_->Start();
    background_->Start();
    if (!options_.read_only) compactor_->Start();
  }

  // Everything durable, then a record that says so, then an index that needs no
  // replay.
  absl::Status CleanEnd() {
    CAIRN_RETURN_IF_ERROR(checkpointer_->Complete());
    CAIRN_RETURN_IF_ERROR(checkpointer_->SyncAll());
    CAIRN_RETURN_IF_ERROR(journal_.RollIfNeeded());
    CAIRN_RETURN_IF_ERROR(journal_.AppendControl(RecordType::kCleanEnd, ""));
    checkpointer_->Begin(/*clean_end=*/true);
    return checkpointer_->Complete();
  }

  void TellLogs() {
    MutexLock lock(&log_observer_mu_);
    if (log_observer_ != nullptr) log_observer_->OnLogs();
  }

  KnownFile ToKnown(absl::string_view name, const FileRecord& record) const {
    KnownFile known;
    known.file = record.ToFileInfo(name);
    known.deleted = record.deleted;
    known.content_missing = record.needs_content();
    LogHead head;
    if (record.log_origin != 0 && state_.FindLog(record.log_origin, &head)) {
      known.change = LogPosition{head.id, record.log_sequence};
    }
    return known;
  }

  class FollowedLog : public LoggedFiles {
   public:
    FollowedLog(EngineImpl* engine, uint32_t log_origin)
        : engine_(engine),
          cursor_(&engine->segments_, &engine->state_, log_origin) {}

    absl::StatusOr<absl::optional<KnownFile>> Find(
        const LogEntry& entry, int64_t content_bytes_max,
        std::unique_ptr<OpenFile>* file) override {
      file->reset();
      if (engine_->stopped_.load()) return engine_->ShuttingDown();
      FileRecord record;
      if (cursor_.Next(entry, &record)) {
        KnownFile known = engine_->ToKnown(entry.name, record);
        ReadCounters* const reads = engine_->reads_.get();
        reads->followed_files.fetch_add(1, std::memory_order_relaxed);
        if (record.size_bytes <= content_bytes_max) {
          reads->read_bytes.fetch_add(static_cast<uint64_t>(record.size_bytes),
                                      std::memory_order_relaxed);
          *file = std::make_unique<LoadedFile>(known.file, cursor_.content());
        }
        return absl::optional<KnownFile>(std::move(known));
      }
      CAIRN_ASSIGN_OR_RETURN(
          const bool found,
          engine_->FindAndOpen(entry.name, content_bytes_max, &record, file));
      if (!found) return absl::optional<KnownFile>();
      cursor_.Found(entry, record);
      return absl::optional<KnownFile>(engine_->ToKnown(entry.name, record));
    }

   private:
    EngineImpl* const engine_;
    LogCursor cursor_;
  };

  // False if nothing is known of the name.
  absl::StatusOr<bool> FindAndOpen(absl::string_view name,
                                   int64_t content_bytes_max,
                                   FileRecord* record,
                                   std::unique_ptr<OpenFile>* file) {
    CAIRN_ASSIGN_OR_RETURN(const Lookup found,
                           index_->GetFile(name, /*may_block=*/true, record));
    if (found != Lookup::kFound) return false;
    if (record->deleted || record->content_missing ||
        record->size_bytes > content_bytes_max) {
      return true;
    }
    absl::StatusOr<std::unique_ptr<SegmentOpenFile>> opened =
        *OpenRecord(name, *record, /*may_block=*/true);
    if (!opened.ok()) {
      // It may have been moved: the long way looks again, and says so if the
      // content is damaged.
      opened = *OpenForReading(name, /*may_block=*/true, Expired::kFound);
    }
    if (opened.ok() && (*opened)->info().version == record->version) {
      *file = *std::move(opened);
    }
    return true;
  }

  // What becomes of a lookup that finds a file that has expired.
  enum class Expired { kNotFound, kFound };

  // The record of a file that is there.
  absl::optional<absl::Status> FindFile(absl::string_view name, bool may_block,
                                        FileRecord* record,
                                        Expired expired = Expired::kNotFound) {
    if (stopped_.load(std::memory_order_relaxed)) return ShuttingDown();
    const absl::StatusOr<Lookup> found =
        index_->GetFile(name, may_block, record);
    if (!found.ok()) return found.status();
    if (*found == Lookup::kWouldBlock) return absl::nullopt;
    const absl::Status present = CheckPresent(
        options_, name, /*known=*/*found == Lookup::kFound, *record);
    if (!present.ok() || expired == Expired::kFound) return present;
    return CheckNotExpired(name, *record, clock_);
  }

  absl::optional<absl::StatusOr<absl::optional<Committed>>> FindCommitted(
      const Uuid& request_id, Durability wanted, bool may_block) {
    using Result = absl::StatusOr<absl::optional<Committed>>;
    if (stopped_.load()) return Result(ShuttingDown());
    if (request_id.is_nil()) return Result(absl::optional<Committed>());
    absl::optional<Result> found =
        committer_->FindRequest(request_id, may_block);
    if (!found.has_value() || !found->ok() || !(*found)->has_value()) {
      return found;
    }
    Committed& committed = ***found;
    if (wanted == Durability::kCached ||
        committed.reached == Durability::kSynced) {
      return found;
    }
    if (!may_block) return absl::nullopt;
    const absl::Status synced = Sync();
    if (!synced.ok()) {
      return Result(health_.broken() ? health_.OutcomeUnknown() : synced);
    }
    committed.reached = Durability::kSynced;
    return found;
  }

  absl::optional<absl::StatusOr<FileInfo>> StatFile(absl::string_view name,
                                                    bool may_block) {
    FileRecord record;
    const absl::optional<absl::Status> found =
        FindFile(name, may_block, &record);
    if (!found.has_value()) return absl::nullopt;
    if (!found->ok()) return absl::StatusOr<FileInfo>(*found);
    return absl::StatusOr<FileInfo>(record.ToFileInfo(name));
  }

  UploadParts PartsOfUploads() {
    UploadParts parts;
    parts.segments = &segments_;
    parts.state = &state_;
    parts.health = &health_;
    parts.committer = committer_.get();
    parts.clock = clock_;
    parts.observer = observer_;
    parts.dedicated_bytes = &dedicated_bytes_;
    parts.small_file_bytes_max = options_.small_file_bytes_max;
    parts.dedup_bytes_min = options_.dedup_bytes_min;
    parts.index = index_.get();
    parts.io = &io_;
    return parts;
  }

  // With what is written anew around it an update must fit into a record.
  int64_t AppenderCallBytesMax() const {
    return std::min(std::max(options_.small_file_bytes_max, kAppenderCallBytes),
                    kRecordContentBytesMax - 2 * kBlockBytes);
  }

  // Hands the update to the committer, with how it cuts the content if that is
  // known. Comes back with that, up to `retries` times, if it is needed.
  void SubmitUpdate(UpdateRequest update, absl::optional<ContentCut> cut,
                    int retries, CommitDone done) {
    CommitRequest request;
    request.kind = CommitRequest::Kind::kUpdate;
    request.request_id = update.request_id;
    request.name = update.name;
    request.durability = update.durability;
    request.update = update.kind;
    request.offset = update.offset;
    request.size_bytes = static_cast<int64_t>(update.content.size());
    request.if_size_bytes = update.if_size_bytes;
    request.if_version = update.if_version;
    if (cut.has_value()) {
      request.splice = std::move(cut->splice);
      request.content = std::move(cut->content);
      request.crc32c = cut->crc32c;
    } else {
      request.content = update.content;
      request.crc32c = update.crc32c;
    }
    request.block_crcs = BlockCrcsOf(request.content);
    if (update.kind == UpdateRequest::Kind::kAppend || retries == 0) {
      request.done = std::move(done);
    } else {
      request.done = [this, retries, update = std::move(update),
                      done = std::move(done)](
                         absl::StatusOr<Committed> committed) mutable {
        if (!NeedsCut(committed.status())) {
          done(std::move(committed));
          return;
        }
        PrepareUpdate(std::move(update), retries - 1, std::move(done));
      };
    }
    committer_->Submit(std::move(request));
  }

  void PrepareUpdate(UpdateRequest update, int retries, CommitDone done) {
    struct Task {
      UpdateRequest update;
      CommitDone done;
    };
    auto task =
        std::make_shared<Task>(Task{std::move(update), std::move(done)});
    const bool queued = io_.TrySubmit([this, retries, task] {
      absl::StatusOr<absl::optional<ContentCut>> cut = CutFor(task->update);
      if (!cut.ok()) {
        task->done(cut.status());
        return;
      }
      SubmitUpdate(std::move(task->update), *std::move(cut), retries,
                   std::move(task->done));
    });
    if (!queued) task->done(QueueFull());
  }

  absl::StatusOr<absl::optional<ContentCut>> CutFor(
      const UpdateRequest& update) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentOpenFile> file,
                           *OpenForReading(update.name, /*may_block=*/true));
    return update.kind == UpdateRequest::Kind::kModify
               ? CutForModify(file.get(), update.offset, update.content)
               : CutForTruncate(file.get(), update.offset);
  }

  // What is known of the file may be old by now: NOT_FOUND if it is.
  absl::optional<absl::StatusOr<std::unique_ptr<SegmentOpenFile>>> OpenRecord(
      absl::string_view name, const FileRecord& record, bool may_block) {
    using Result = absl::StatusOr<std::unique_ptr<SegmentOpenFile>>;
    absl::InlinedVector<std::shared_ptr<File>, 1> files;
    for (const Extent& extent : record.extents) {
      if (extent.is_hole()) {
        files.push_back(nullptr);
        continue;
      }
      std::shared_ptr<File> file = segments_.FindOpen(extent.segment);
      if (file == nullptr) {
        if (!may_block) return absl::nullopt;
        absl::StatusOr<std::shared_ptr<File>> opened =
            segments_.Open(extent.segment);
        if (!opened.ok()) return Result(opened.status());
        file = *std::move(opened);
      }
      files.push_back(std::move(file));
    }
    return Result(std::make_unique<SegmentOpenFile>(name, record,
                                                    std::move(files), reads_));
  }

  absl::optional<absl::StatusOr<std::unique_ptr<SegmentOpenFile>>>
  OpenForReading(absl::string_view name, bool may_block,
                 Expired expired = Expired::kNotFound) {
    using Result = absl::StatusOr<std::unique_ptr<SegmentOpenFile>>;
    absl::Status last;
    FileInfo damaged;
    for (int i = 0; i < kOpenRetries; ++i) {
      FileRecord record;
      const absl::optional<absl::Status> found =
          FindFile(name, may_block, &record, expired);
      if (!found.has_value()) return absl::nullopt;
      if (!found->ok()) return Result(*found);
      if (record.content_missing) {
        return Result(ErrorWithReason(
            absl::StatusCode::kUnavailable, ErrorReason::kContentNotHere,
            absl::StrCat("file ", name, ": the content is on its way here")));
      }
      absl::optional<Result> opened = OpenRecord(name, record, may_block);
      if (!opened.has_value() || opened->ok()) return opened;
      last = opened->status();
      // Compaction may have moved it since the lookup: look again.
      if (!absl::IsNotFound(last)) break;
      damaged = record.ToFileInfo(name);
    }
    if (absl::IsNotFound(last)) {
      // What cannot be opened for want of file descriptors, say, is no damage.
      reads_->TellDamaged(damaged);
      reads_->content_damaged.fetch_add(1);
      return Result(ErrorWithReason(
          absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
          absl::StrCat("file ", name, ": ", last.message())));
    }
    reads_->read_failures.fetch_add(1);
    return Result(ErrorWithReason(absl::StatusCode::kUnavailable,
                                  ErrorReason::kReadFailed, last.message()));
  }

  int64_t DamagedRecords() const {
    return static_cast<int64_t>(
        damaged_records_ +
        (compactor_ == nullptr ? 0 : compactor_->Numbers().damaged_records));
  }

  const StorePathOptions options_;
  FileSystem* const fs_;
  Clock* const clock_;
  EngineObserver* const observer_;

  std::unique_ptr<FileLock> lock_;
  PathState state_;
  SegmentSet segments_;
  PathHealth health_;
  std::unique_ptr<Index> index_;
  Journal journal_;
  absl::optional<Checkpointer> checkpointer_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<SegmentUploadSessions> sessions_;
  std::unique_ptr<Background> background_;
  std::unique_ptr<Compactor> compactor_;
  absl::optional<PieceMerger> merger_;

  const std::shared_ptr<ReadCounters> reads_ = std::make_shared<ReadCounters>();
  std::atomic<uint64_t> dedicated_bytes_{0};
  uint64_t replayed_records_ = 0;  // Fixed by Open(), as is the next.
  uint64_t damaged_records_ = 0;
  std::atomic<bool> stopped_{false};

  Mutex log_observer_mu_;  // Held while the observer is told.
  LogObserver* log_observer_ ABSL_GUARDED_BY(log_observer_mu_) = nullptr;

  // Last: its threads use the rest.
  ThreadPool io_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> OpenStorePath(
    const StorePathOptions& options, FileSystem* fs, Clock* clock,
    EngineObserver* observer) {
  CAIRN_RETURN_IF_ERROR(CheckOptions(options));
  auto engine = std::make_unique<EngineImpl>(options, fs, clock, observer);
  CAIRN_RETURN_IF_ERROR(engine->Open());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace storage
}  // namespace cairn
