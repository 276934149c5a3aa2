#include "services/storage/core/comparison.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {
namespace {

// Names that one step looks at.
constexpr size_t kPageNames = 512;

// Conflicts that one comparison writes to the log.
constexpr int kConflictsSaid = 10;

// Names that are remembered for the next comparison; some MiB.
constexpr size_t kUnderWayMax = 10000;

absl::Status BadMessage(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField,
                         absl::StrCat("a digest of another member: ", what));
}

// Whether a path that has `logs` so far has applied the change. One that nobody
// knows the log of is taken to be.
bool Covers(const std::vector<LogRange>& logs, const LogPosition& change) {
  if (change.log.is_nil()) return true;
  for (const LogRange& range : logs) {
    if (range.log == change.log) return range.applied >= change.sequence;
  }
  return false;
}

bool CoversAll(const std::vector<LogRange>& logs,
               const std::vector<LogRange>& all) {
  return std::all_of(all.begin(), all.end(), [&logs](const LogRange& range) {
    return range.applied == 0 ||
           Covers(logs, LogPosition{range.log, range.applied});
  });
}

}  // namespace

Comparison::Comparison(std::shared_ptr<StorePath> path,
                       std::shared_ptr<MissingContents> missing,
                       PeerTransport* transport, const Peer& peer,
                       uint8_t store_path, NamesUnderWay waited, Clock* clock,
                       std::function<void()> wake)
    : path_(std::move(path)),
      missing_(std::move(missing)),
      transport_(transport),
      peer_(peer),
      store_path_(store_path),
      waited_(std::move(waited)),
      clock_(clock),
      wake_(std::move(wake)),
      heard_(clock->Monotonic()) {}

Comparison::~Comparison() { CAIRN_CHECK(ended().has_value()); }

void Comparison::Start() {
  {
    MutexLock lock(&mu_);
    started_ = true;
  }
  Schedule();
}

void Comparison::Cancel() {
  Fail(absl::CancelledError("the comparison was given up"));
  Schedule();
}

void Comparison::Allow(int64_t names, int64_t names_max) {
  {
    MutexLock lock(&mu_);
    if (phase_ == Phase::kHash || phase_ == Phase::kJudgeOwn) {
      heard_ = clock_->Monotonic();  // The peer waits for us.
    }
    allowance_ = std::min(allowance_ + names, names_max);
  }
  Schedule();
}

absl::optional<absl::Status> Comparison::ended() const {
  MutexLock lock(&mu_);
  return ended_;
}
absl::Duration Comparison::heard() const {
  MutexLock lock(&mu_);
  return heard_;
}
ComparisonReport Comparison::report() const {
  MutexLock lock(&mu_);
  return report_;
}

void Comparison::Arrived(DigestBatch batch) {
  {
    MutexLock lock(&mu_);
    arrived_ = std::move(batch);
    heard_ = clock_->Monotonic();
  }
  Schedule();
}

void Comparison::FlowEnded(Flow* flow, const absl::Status& status) {
  bool early = false;
  {
    MutexLock lock(&mu_);
    flow->open = false;
    early = flow == &digests_ ? phase_ != Phase::kAwaitDigestsEnd
                              : phase_ != Phase::kAwaitEntriesEnd;
  }
  if (!status.ok()) {
    Fail(status);
  } else if (early) {
    Fail(absl::UnavailableError("the stream ended before its last message"));
  }
  Schedule();
}

void Comparison::Fail(const absl::Status& status) {
  std::shared_ptr<PeerStream> digests;
  std::shared_ptr<PeerStream> names;
  {
    MutexLock lock(&mu_);
    if (phase_ == Phase::kOver) return;
    failed_.Update(status);
    if (digests_.open) digests = digests_.stream;
    if (names_.open) names = names_.stream;
  }
  if (digests != nullptr) digests->Cancel();
  if (names != nullptr) names->Cancel();
}

bool Comparison::IsReady() const {
  if (!failed_.ok()) return false;
  switch (phase_) {
    case Phase::kBegin:
    case Phase::kRanges:
      return true;
    case Phase::kAwaitDigests:
    case Phase::kAwaitEntries:
      return arrived_.has_value();
    case Phase::kHash:
    case Phase::kJudgeOwn:
      return allowance_ > 0;
    case Phase::kApply:
      return applying_ == 0;
    case Phase::kAwaitEntriesEnd:
      return !names_.open;
    case Phase::kAwaitDigestsEnd:
      return !digests_.open;
    case Phase::kOver:
      return false;
  }
  return false;
}

void Comparison::Schedule() {
  bool run = false;
  bool over = false;
  {
    MutexLock lock(&mu_);
    if (!started_ || running_ || ended_.has_value()) return;
    run = running_ = IsReady();
    if (!run && !digests_.open && !names_.open && applying_ == 0 &&
        (!failed_.ok() || phase_ == Phase::kOver)) {
      over = true;
      ended_ = failed_;
    }
  }
  if (over) {
    wake_();
    return;
  }
  if (!run ||
      path_->io()->TrySubmit([self = shared_from_this()] { self->Run(); })) {
    return;
  }
  // The disk has enough to do: with the next allowance.
  MutexLock lock(&mu_);
  running_ = false;
}

void Comparison::Run() {
  while (true) {
    Phase phase;
    {
      MutexLock lock(&mu_);
      heard_ = clock_->Monotonic();
      if (!IsReady()) {
        running_ = false;
        break;
      }
      phase = phase_;
    }
    const absl::Status status = Step(phase);
    if (!status.ok()) Fail(status);
  }
  // Something may have come just before, or it is over.
  Schedule();
}

absl::Status Comparison::Step(Phase phase) {
  switch (phase) {
    case Phase::kBegin:
      return Begin();
    case Phase::kAwaitDigests:
      return TakeRanges();
    case Phase::kRanges:
      NextRange();
      return absl::OkStatus();
    case Phase::kHash:
      return HashPage();
    case Phase::kAwaitEntries:
      return JudgeEntries();
    case Phase::kJudgeOwn:
      return JudgeOwnPage();
    case Phase::kApply:
      EntriesDone();
      return absl::OkStatus();
    case Phase::kAwaitEntriesEnd:
      from_ = ranges_.front().until;
      ranges_.pop_front();
      SetPhase(Phase::kRanges);
      return absl::OkStatus();
    case Phase::kAwaitDigestsEnd:
      SetPhase(Phase::kOver);
      return absl::OkStatus();
    case Phase::kOver:
      break;
  }
  return absl::InternalError("the comparison is over");
}

absl::Status Comparison::Begin() {
  CAIRN_ASSIGN_OR_RETURN(mine_, path_->replica()->BeginSnapshot());
  CAIRN_RETURN_IF_ERROR(Open(&digests_, DigestWish()));
  Ask(&digests_, Phase::kAwaitDigests);
  return absl::OkStatus();
}

absl::Status Comparison::Open(Flow* flow, const DigestWish& wish) {
  {
    MutexLock lock(&mu_);
    if (!failed_.ok()) return failed_;
    flow->open = true;
  }
  std::shared_ptr<PeerStream> stream =
      transport_->StartDigest(peer_, store_path_, wish, flow);
  bool cancel = false;
  {
    MutexLock lock(&mu_);
    if (stream == nullptr) flow->open = false;
    flow->stream = stream;
    cancel = !failed_.ok();
  }
  if (stream == nullptr) {
    return absl::UnimplementedError("the transport compares nothing");
  }
  if (cancel) stream->Cancel();
  return absl::OkStatus();
}

void Comparison::Ask(Flow* flow, Phase phase) {
  std::shared_ptr<PeerStream> stream;
  {
    MutexLock lock(&mu_);
    phase_ = phase;
    arrived_.reset();
    stream = flow->stream;
  }
  stream->Next();
}

void Comparison::SetPhase(Phase phase) {
  MutexLock lock(&mu_);
  phase_ = phase;
}

void Comparison::Found(const ComparisonReport& found, size_t names) {
  MutexLock lock(&mu_);
  report_.Add(found);
  allowance_ -= static_cast<int64_t>(names);
}

absl::Status Comparison::TakeRanges() {
  DigestBatch batch;
  {
    MutexLock lock(&mu_);
    batch = *std::move(arrived_);
    arrived_.reset();
    phase_ = Phase::kRanges;
  }
  ranges_.assign(batch.ranges.begin(), batch.ranges.end());
  last_ranges_ = batch.end;
  if (ranges_.empty() && !last_ranges_) return BadMessage("without a range");
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const bool last = last_ranges_ && i + 1 == ranges_.size();
    if (ranges_[i].until.empty() != last) return BadMessage("until");
  }
  return absl::OkStatus();
}

void Comparison::NextRange() {
  if (!ranges_.empty()) {
    cursor_ = from_;
    hash_ = RangeHash();
    SetPhase(Phase::kHash);
  } else if (last_ranges_) {
    Ask(&digests_, Phase::kAwaitDigestsEnd);
  } else {
    Ask(&digests_, Phase::kAwaitDigests);
  }
}

absl::Status Comparison::HashPage() {
  const DigestRange& range = ranges_.front();
  CAIRN_ASSIGN_OR_RETURN(
      SnapshotPage page,
      path_->replica()->ReadRange(cursor_, range.until, kPageNames));
  for (const KnownFile& known : page.files) hash_.Add(known);
  ComparisonReport found;
  if (!page.next.empty()) {
    Found(found, page.files.size());
    cursor_ = std::move(page.next);
    return absl::OkStatus();
  }
  found.ranges = 1;
  found.names = static_cast<int64_t>(hash_.names());
  Found(found, page.files.size() + 1);
  if (hash_.names() == range.names && hash_.digest() == range.digest) {
    from_ = range.until;
    ranges_.pop_front();
    SetPhase(Phase::kRanges);
    return absl::OkStatus();
  }
  DigestWish wish;
  wish.from = from_;
  wish.until = range.until;
  wish.entries = true;
  entries_from_ = from_;
  theirs_.clear();
  CAIRN_RETURN_IF_ERROR(Open(&names_, wish));
  Ask(&names_, Phase::kAwaitEntries);
  return absl::OkStatus();
}

absl::Status Comparison::JudgeEntries() {
  DigestBatch batch;
  {
    MutexLock lock(&mu_);
    batch = *std::move(arrived_);
    arrived_.reset();
    phase_ = Phase::kJudgeOwn;
  }
  if (!batch.logs.empty()) theirs_ = std::move(batch.logs);
  if (!batch.end && batch.next.empty()) return BadMessage("next");
  last_entries_ = batch.end;
  entries_until_ = batch.end ? ranges_.front().until : std::move(batch.next);
  cursor_ = entries_from_;
  their_names_.clear();
  wanted_.clear();
  const std::vector<LogRange> logs_here = path_->replica()->Logs();
  for (const ReplicatedChange& theirs : batch.changes) {
    their_names_.insert(theirs.file.name);
    CAIRN_RETURN_IF_ERROR(JudgeEntry(theirs, logs_here));
  }
  Found(ComparisonReport(), batch.changes.size());
  return absl::OkStatus();
}

bool Comparison::IsUnderWay(const ReplicatedChange& theirs) {
  const auto waited = waited_.find(theirs.file.name);
  if (waited != waited_.end() && waited->second == theirs.file.version) {
    return false;
  }
  if (under_way_.size() < kUnderWayMax) {
    under_way_[theirs.file.name] = theirs.file.version;
  }
  return true;
}

NamesUnderWay Comparison::TakeUnderWay() {
  CAIRN_CHECK(ended().has_value());
  return std::move(under_way_);
}

absl::Status Comparison::JudgeEntry(const ReplicatedChange& theirs,
                                    const std::vector<LogRange>& logs_here) {
  CAIRN_ASSIGN_OR_RETURN(const absl::optional<KnownFile> mine,
                         path_->replica()->Find(theirs.file.name));
  const bool deleted = theirs.kind == ChangeKind::kDelete;
  ComparisonReport found;
  if (!mine.has_value() && deleted) return absl::OkStatus();
  if (mine.has_value() && mine->deleted && deleted) return absl::OkStatus();
  const bool same_version =
      mine.has_value() && mine->file.version == theirs.file.version;
  if (!mine.has_value() ||
      (!same_version && Replaces(StandingOf(theirs.file, deleted),
                                 StandingOf(mine->file, mine->deleted)))) {
    if (!Covers(logs_here, theirs.change) && IsUnderWay(theirs)) {
      found.under_way = 1;
    } else if (!mine.has_value() && !CoversAll(theirs_, mine_)) {
      // It may have been deleted and forgotten here, and the peer has yet to
      // hear of it.
      found.differing = 1;
      found.unmendable = 1;
    } else {
      wanted_.push_back(theirs);  // Counted once it is applied.
      return absl::OkStatus();
    }
  } else if (!same_version) {
    if (Covers(theirs_, mine->change)) {
      found.differing = 1;
      found.lacking_there = 1;
    } else {
      found.under_way = 1;
    }
  } else if (mine->deleted != deleted ||
             mine->file.size_bytes != theirs.file.size_bytes ||
             mine->file.crc32c != theirs.file.crc32c) {
    found.differing = 1;
    found.conflicts = 1;
    if (conflicts_said_++ < kConflictsSaid) {
      CAIRN_LOG(kError, "compare",
                "two files under one version, nothing was changed, see "
                "docs/runbooks/damaged_content.md path={} name={} peer={} "
                "bytes_here={} crc_here={:08x} deleted_here={} bytes_there={} "
                "crc_there={:08x} deleted_there={}",
                store_path_, theirs.file.name, peer_.name,
                mine->file.size_bytes, mine->file.crc32c, mine->deleted,
                theirs.file.size_bytes, theirs.file.crc32c, deleted);
    }
  } else {
    return absl::OkStatus();
  }
  Found(found);
  return absl::OkStatus();
}

absl::Status Comparison::JudgeOwnPage() {
  CAIRN_ASSIGN_OR_RETURN(
      SnapshotPage page,
      path_->replica()->ReadRange(cursor_, entries_until_, kPageNames));
  ComparisonReport found;
  for (const KnownFile& row : page.files) {
    if (row.deleted || their_names_.count(row.file.name) != 0) continue;
    CAIRN_ASSIGN_OR_RETURN(const absl::optional<KnownFile> mine,
                           path_->replica()->Find(row.file.name));
    if (!mine.has_value() || mine->deleted) continue;
    if (Covers(theirs_, mine->change)) {
      found.differing += 1;
      found.lacking_there += 1;
    } else {
      found.under_way += 1;
    }
  }
  Found(found, page.files.size() + 1);
  if (!page.next.empty()) {
    cursor_ = std::move(page.next);
    return absl::OkStatus();
  }
  ApplyWanted();
  return absl::OkStatus();
}

void Comparison::ApplyWanted() {
  {
    MutexLock lock(&mu_);
    phase_ = Phase::kApply;
    applying_ = wanted_.size();
  }
  for (ReplicatedChange& change : wanted_) {
    const std::string name = change.file.name;
    const LogPosition position = change.change;
    // In this order, as the logs do it: nobody is to believe that the content
    // is here.
    if (change.kind == ChangeKind::kPut) missing_->Add(name, position);
    path_->replica()->Apply(std::move(change),
                            [self = shared_from_this(), name,
                             position](absl::StatusOr<Committed> committed) {
                              self->Applied(name, position, committed);
                            });
  }
  wanted_.clear();
}

void Comparison::Applied(const std::string& name, const LogPosition& change,
                         const absl::StatusOr<Committed>& committed) {
  if (committed.ok()) {
    missing_->Settle(name, change);
  } else {
    missing_->Remove(name, change);
  }
  {
    MutexLock lock(&mu_);
    --applying_;
    if (!committed.ok()) {
      report_.differing += 1;
      report_.unmendable += 1;
    } else if (committed->replayed) {
      report_.under_way += 1;  // Somebody was faster.
    } else {
      report_.differing += 1;
      report_.mended += 1;
    }
    if (applying_ > 0) return;
  }
  Schedule();
}

void Comparison::EntriesDone() {
  if (last_entries_) {
    Ask(&names_, Phase::kAwaitEntriesEnd);
    return;
  }
  entries_from_ = entries_until_;
  Ask(&names_, Phase::kAwaitEntries);
}

}  // namespace storage
}  // namespace cairn
