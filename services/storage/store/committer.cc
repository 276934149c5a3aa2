#include "services/storage/store/committer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/fault/fault_point.h"
#include "services/storage/store/presence.h"

namespace cairn {
namespace storage {
namespace {

FaultPoint before_write("committer.before_write");
FaultPoint before_sync("committer.before_sync");
FaultPoint before_index("committer.before_index");
FaultPoint before_answers("committer.before_answers");
FaultPoint take_over("committer.take_over");  // An error is of one change.
FaultPoint share("committer.share");          // An error: the content is gone.

// The longest wait for company, as a share of a sync's time, and how often it
// is left out, at most, after nobody came.
constexpr double kCompanyWaitShare = 0.5;
constexpr int kWaitsLeftOutMax = 64;

// Changes that may be set aside. They are few, or the path is sick and stops
// taking more.
constexpr size_t kSetAsideMax = 1000;

// When the index has this many times its share of changes in memory, the
// committer waits for the flush that is running.
constexpr int kDeltaStallFactor = 3;

absl::Status RequestIdReused() {
  return ErrorWithReason(
      absl::StatusCode::kAlreadyExists, ErrorReason::kRequestIdReused,
      "request_id was used before for another change; make a new one");
}

constexpr char kNeedsCutPayload[] = "cairn/needs_cut";

absl::Status CutNeeded() {
  // Not seen by callers: whoever submitted the update comes again.
  absl::Status status = ErrorWithReason(
      absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
      "the file was changed all the time; come back later");
  status.SetPayload(kNeedsCutPayload, absl::Cord("1"));
  return status;
}

constexpr char kNeedsOwnSegmentPayload[] = "cairn/needs_own_segment";

absl::Status OwnSegmentNeeded() {
  // Not seen by callers: whoever submitted the request comes again.
  absl::Status status = ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kContentNotHere,
      "the content that was to be shared is gone");
  status.SetPayload(kNeedsOwnSegmentPayload, absl::Cord("1"));
  return status;
}

// What an operation of the log is, of a change of this node.
uint32_t OperationOf(CommitRequest::Kind kind) {
  switch (kind) {
    case CommitRequest::Kind::kDelete:
    case CommitRequest::Kind::kReclaim:
      return kLogDelete;
    case CommitRequest::Kind::kUpdate:
    case CommitRequest::Kind::kAttributes:
    case CommitRequest::Kind::kExpiry:
    case CommitRequest::Kind::kSeal:
    case CommitRequest::Kind::kUndelete:
      return kLogChange;
    default:
      return kLogPut;
  }
}

// Unix time of a version, which no later version is before.
uint32_t SecondsOf(const Version& version) {
  return static_cast<uint32_t>((version.clock >> 16) / 1000);
}

int64_t QueueBytes(const CommitRequest& request) {
  return static_cast<int64_t>(request.content.size()) + 256;
}

}  // namespace

bool NeedsCut(const absl::Status& status) {
  return status.GetPayload(kNeedsCutPayload).has_value();
}

bool NeedsOwnSegment(const absl::Status& status) {
  return status.GetPayload(kNeedsOwnSegmentPayload).has_value();
}

absl::InlinedVector<uint32_t, 1> BlockCrcsOf(const absl::Cord& content) {
  absl::InlinedVector<uint32_t, 1> crcs;
  if (static_cast<int64_t>(content.size()) <= kBlockBytes) return crcs;
  uint32_t crc = 0;
  int64_t in_block = 0;
  for (absl::string_view chunk : content.Chunks()) {
    while (!chunk.empty()) {
      const absl::string_view part = chunk.substr(0, kBlockBytes - in_block);
      crc = ExtendCrc32c(crc, part);
      in_block += static_cast<int64_t>(part.size());
      chunk.remove_prefix(part.size());
      if (in_block < kBlockBytes) continue;
      crcs.push_back(crc);
      crc = 0;
      in_block = 0;
    }
  }
  if (in_block > 0) crcs.push_back(crc);
  return crcs;
}

Committer::Committer(CommitterParts parts)
    : parts_(std::move(parts)),
      options_(*parts_.options),
      changes_({options_.node_number, options_.tombstone_retention,
                options_.expiry_grace},
               parts_.index, parts_.state) {}

Committer::~Committer() { Stop(); }

void Committer::Start() {
  own_log_ = parts_.state->OwnLog().id;
  {
    MutexLock lock(&mu_);
    stopping_ = false;
  }
  thread_ = std::thread([this] { Loop(); });
}

void Committer::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    work_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

absl::Status Committer::ShuttingDown() const {
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kShuttingDown,
      absl::StrCat("store path ", options_.directory, " is closing"));
}

void Committer::Submit(CommitRequest request) {
  absl::Status refused;
  {
    const int64_t bytes = QueueBytes(request);
    MutexLock lock(&mu_);
    if (stopping_) {
      refused = ShuttingDown();
    } else if (queued_entries_ >= options_.queue_entries_max ||
               (queued_entries_ > 0 &&
                queued_bytes_ + bytes > options_.queue_bytes_max)) {
      refused = ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
          absl::StrCat("store path ", options_.directory, ": ", queued_entries_,
                       " changes wait; come back later"));
      numbers_.refused += 1;
    } else {
      if (request.durability == Durability::kSynced) queued_synced_ += 1;
      queue_.push_back({std::move(request), bytes});
      queued_bytes_ += bytes;
      queued_entries_ += 1;
      if (idle_ || queue_.size() == awaited_) work_.Signal();
      return;
    }
  }
  request.done(std::move(refused));
}

absl::Status Committer::Run(const Task& task) {
  WaitingTask waiting;
  waiting.task = &task;
  {
    MutexLock lock(&mu_);
    if (stopping_) return ShuttingDown();
    tasks_.push_back(&waiting);
    work_.Signal();
  }
  waiting.ran.WaitForNotification();
  return waiting.result;
}

CommitterNumbers Committer::Numbers() const {
  MutexLock lock(&mu_);
  CommitterNumbers numbers = numbers_;
  numbers.queue_entries = static_cast<int64_t>(queued_entries_);
  numbers.queue_bytes = queued_bytes_;
  return numbers;
}

void Committer::Loop() {
  while (true) {
    std::deque<WaitingTask*> tasks;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && tasks_.empty() && !stopping_) {
        idle_ = true;
        work_.Wait(&mu_);
      }
      idle_ = false;
      if (queue_.empty() && tasks_.empty()) return;
      if (queued_synced_ > 0 && tasks_.empty()) AwaitCompany();
      group_.swap(queue_);
      queued_synced_ = 0;
      tasks.swap(tasks_);
    }
    for (WaitingTask* waiting : tasks) RunTask(waiting);

    size_t begin = 0;
    while (begin < group_.size()) {
      size_t end = begin;
      int64_t bytes = 0;
      while (end < group_.size() && end - begin < options_.group_entries_max &&
             (end == begin ||
              bytes + group_[end].bytes <= options_.group_bytes_max)) {
        bytes += group_[end].bytes;
        ++end;
      }
      CommitGroup(begin, end);
      begin = end;
    }
    group_.clear();
  }
}

// A sync costs about the same for one member as for many, and those who were
// answered last are likely to come back at once. Without a wait they would come
// while the sync for the others runs, and two halves would take turns for ever.
void Committer::AwaitCompany() {
  if (queue_.size() >= company_) return;
  if (waits_to_leave_out_ > 0) {
    --waits_to_leave_out_;
    return;
  }
  const size_t before = queue_.size();
  const absl::Time end = absl::Now() + sync_time_ * kCompanyWaitShare;
  awaited_ = company_;
  while (queue_.size() < company_ && tasks_.empty() && !stopping_) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    work_.WaitWithTimeout(&mu_, left);
  }
  awaited_ = 0;
  if (queue_.size() > before || !tasks_.empty()) {
    waits_left_out_last_ = 0;
    return;
  }
  waits_left_out_last_ =
      std::min(std::max(1, 2 * waits_left_out_last_), kWaitsLeftOutMax);
  waits_to_leave_out_ = waits_left_out_last_;
}

void Committer::RunTask(WaitingTask* waiting) {
  changes_.Reset();
  waiting->result = (*waiting->task)(&changes_);
  if (waiting->result.ok()) changes_.Write();
  changes_.Reset();
  waiting->ran.Notify();
}

void Committer::CommitGroup(size_t begin, size_t end) {
  const absl::Duration start = parts_.clock->Monotonic();
  const int64_t journal_before = parts_.journal->appended_bytes();
  GroupResult result = TryGroup(begin, end);
  if (result == GroupResult::kNoSpace) {
    // Deletes must go on: from here on what needs room is refused. If that is
    // not enough, they get the room that was kept for them.
    parts_.health->SetNoSpace();
    result = TryGroup(begin, end);
    if (result == GroupResult::kNoSpace) {
      parts_.health->ReleaseBallast();
      parts_.health->SetNoSpace();
      result = TryGroup(begin, end);
    }
  }

  // Of changes that were not made, or are not known to be.
  changes_.ReturnTaken();

  const bool synced = parts_.journal->synced() == parts_.journal->end();
  uint64_t committed = 0;
  uint64_t refused = 0;
  uint64_t shared_bytes = 0;
  int64_t bytes = 0;
  for (size_t i = begin; i < end; ++i) {
    CommitRequest& request = group_[i].request;
    Outcome& outcome = outcomes_[i - begin];
    bytes += group_[i].bytes;
    // Without a status it was not looked at: there was no room even before.
    if (outcome.kind == Outcome::Kind::kRefused && !outcome.status.ok()) {
      ++refused;
    } else if (result == GroupResult::kBroken) {
      outcome.kind = Outcome::Kind::kRefused;
      outcome.status = parts_.health->OutcomeUnknown();
      ++refused;
    } else if (result == GroupResult::kNoSpace) {
      outcome.kind = Outcome::Kind::kRefused;
      outcome.status = ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kDiskFull,
          absl::StrCat("store path ", options_.directory, " is full"),
          {{"path", absl::StrCat(options_.path_index)}});
      ++refused;
    } else {
      ++committed;
      shared_bytes += static_cast<uint64_t>(outcome.shared_bytes);
      // The content of a dedicated segment is synced only if it was asked for;
      // that of a replay may be in one.
      const bool content_synced =
          request.durability == Durability::kSynced ||
          (request.extent.length == 0 && !outcome.content_unsynced &&
           outcome.kind != Outcome::Kind::kReplayed);
      outcome.committed.reached =
          synced && content_synced ? Durability::kSynced : Durability::kCached;
    }
  }
  {
    MutexLock lock(&mu_);
    queued_bytes_ -= bytes;
    queued_entries_ -= end - begin;
    numbers_.commits += 1;
    numbers_.committed += committed;
    numbers_.refused += refused;
    numbers_.shared_bytes += shared_bytes;
    company_ = sync_needed_ ? queue_.size() + group_.size() : 0;
  }
  if (parts_.observer != nullptr) {
    parts_.observer->OnCommit(static_cast<int64_t>(end - begin),
                              parts_.journal->appended_bytes() - journal_before,
                              parts_.clock->Monotonic() - start);
  }
  before_answers.PassOrDie();
  if (result == GroupResult::kDone && parts_.logs_changed) {
    parts_.logs_changed();
  }
  if (parts_.merge_wanted) {
    for (size_t i = begin; i < end; ++i) {
      const Outcome& outcome = outcomes_[i - begin];
      if (outcome.merge_wanted && outcome.kind == Outcome::Kind::kCommitted) {
        parts_.merge_wanted(outcome.committed.file.name);
      }
    }
  }
  // Without a lock, and with everything else done: a callback may call back.
  for (size_t i = begin; i < end; ++i) {
    Outcome& outcome = outcomes_[i - begin];
    CommitDone done = std::move(group_[i].request.done);
    if (outcome.kind == Outcome::Kind::kRefused) {
      done(std::move(outcome.status));
    } else {
      done(std::move(outcome.committed));
    }
  }
  ApplyBackPressure();
}

Committer::GroupResult Committer::TryGroup(size_t begin, size_t end) {
  changes_.Reset();
  group_begin_ = begin;
  change_slots_used_ = 0;
  group_requests_.clear();
  prefixes_.clear();
  pieces_.clear();
  outcomes_.clear();
  outcomes_.resize(end - begin);
  sync_needed_ = false;
  sync_dedicated_needed_ = false;
  group_unsynced_.clear();

  absl::Status usable = parts_.health->CheckSmallChange();
  if (usable.ok()) usable = IndexUsable();
  if (usable.ok()) {
    usable = parts_.journal->RollIfNeeded();
    if (absl::IsResourceExhausted(usable)) return GroupResult::kNoSpace;
    if (!usable.ok()) {
      parts_.health->SetBroken(usable);
      usable = parts_.health->OutcomeUnknown();
    }
  }
  if (!usable.ok()) {
    for (Outcome& outcome : outcomes_) outcome.status = usable;
    return GroupResult::kDone;
  }

  next_ = parts_.journal->end();
  synced_ = parts_.journal->synced();
  int64_t bytes = 0;
  for (size_t i = begin; i < end; ++i) bytes += group_[i].bytes;
  const bool room_for_all = parts_.health->CheckWrite(bytes).ok();
  for (size_t i = begin; i < end; ++i) {
    Admit(&group_[i].request, room_for_all, &outcomes_[i - begin]);
  }

  const int64_t journal_bytes = next_.offset - parts_.journal->end().offset;
  if (journal_bytes > 0) {
    iov_.clear();
    size_t at = 0;
    for (const Piece& piece : pieces_) {
      if (piece.prefix_end > at) {
        iov_.push_back(
            absl::string_view(prefixes_.data() + at, piece.prefix_end - at));
        at = piece.prefix_end;
      }
      if (piece.content == nullptr) continue;
      for (const absl::string_view chunk : piece.content->Chunks()) {
        iov_.push_back(chunk);
      }
    }
    if (prefixes_.size() > at) {
      iov_.push_back(
          absl::string_view(prefixes_.data() + at, prefixes_.size() - at));
    }
    before_write.PassOrDie();
    const absl::Status written = parts_.journal->Append(iov_, journal_bytes);
    if (absl::IsResourceExhausted(written)) return GroupResult::kNoSpace;
    if (!written.ok()) {
      parts_.health->SetBroken(written);
      return GroupResult::kBroken;
    }
    parts_.health->Took(journal_bytes);
  }
  before_sync.PassOrDie();
  if (sync_needed_) {
    const absl::Duration start = parts_.clock->Monotonic();
    absl::Status synced;
    if (sync_dedicated_needed_) synced = parts_.sync_dedicated();
    if (synced.ok()) synced = parts_.journal->Sync();
    if (!synced.ok()) {
      // The kernel may have dropped the dirty pages and marked them clean, so a
      // second sync would prove nothing. Whoever opens the path again reads
      // what is really there.
      parts_.health->SetBroken(synced);
      return GroupResult::kBroken;
    }
    sync_time_ = parts_.clock->Monotonic() - start;
  }
  if (journal_bytes > 0) {
    before_index.PassOrDie();
    // First what is not durable, so that nobody sees a file and takes it for
    // synced.
    for (size_t i = begin; i < end; ++i) {
      CommitRequest& request = group_[i].request;
      if (outcomes_[i - begin].kind != Outcome::Kind::kCommitted ||
          request.file == nullptr) {
        continue;
      }
      if (request.durability == Durability::kCached) {
        parts_.state->AddUnsynced(request.extent.segment,
                                  std::move(request.file));
      }
      parts_.state->RemoveUpload(request.extent.segment);
    }
    changes_.Write();
  }
  if (sync_needed_) parts_.state->MarkJournalSynced();
  return GroupResult::kDone;
}

void Committer::Admit(CommitRequest* request, bool has_room, Outcome* outcome) {
  const bool needs_room = request->kind == CommitRequest::Kind::kPut ||
                          request->kind == CommitRequest::Kind::kFinish ||
                          request->kind == CommitRequest::Kind::kAttributes ||
                          request->kind == CommitRequest::Kind::kExpiry ||
                          request->kind == CommitRequest::Kind::kSeal ||
                          request->kind == CommitRequest::Kind::kUndelete ||
                          request->kind == CommitRequest::Kind::kCopy ||
                          request->kind == CommitRequest::Kind::kShare ||
                          request->kind == CommitRequest::Kind::kMerge ||
                          (request->kind == CommitRequest::Kind::kUpdate &&
                           !request->content.empty()) ||
                          request->replica_has_content;
  if (!request->request_id.is_nil() && AnswerFromRequestId(request, outcome)) {
    return;
  }
  if (needs_room && !has_room) {
    outcome->status = parts_.health->CheckWrite(
        static_cast<int64_t>(request->content.size()));
    if (!outcome->status.ok()) return;
  }
  switch (request->kind) {
    case CommitRequest::Kind::kPut:
    case CommitRequest::Kind::kFinish:
      AdmitPut(request, outcome);
      break;
    case CommitRequest::Kind::kDelete:
      AdmitDelete(request, outcome);
      break;
    case CommitRequest::Kind::kMove:
      AdmitMove(request, outcome);
      break;
    case CommitRequest::Kind::kReplica:
      AdmitReplica(request, outcome);
      break;
    case CommitRequest::Kind::kUpdate:
      AdmitUpdate(request, outcome);
      break;
    case CommitRequest::Kind::kAttributes:
    case CommitRequest::Kind::kExpiry:
      AdmitAttributes(request, outcome);
      break;
    case CommitRequest::Kind::kReclaim:
      AdmitReclaim(request, outcome);
      break;
    case CommitRequest::Kind::kSeal:
      AdmitSeal(request, outcome);
      break;
    case CommitRequest::Kind::kUndelete:
      AdmitUndelete(request, outcome);
      break;
    case CommitRequest::Kind::kGiveUp:
      AdmitGiveUp(request, outcome);
      break;
    case CommitRequest::Kind::kMerge:
      AdmitMerge(request, outcome);
      break;
    case CommitRequest::Kind::kCopy:
      AdmitCopy(request, outcome);
      break;
    case CommitRequest::Kind::kShare:
      AdmitShare(request, outcome);
      break;
  }
  if (outcome->kind == Outcome::Kind::kSkipped &&
      request->durability == Durability::kSynced) {
    sync_needed_ = true;  // For what made it so, or for its place in the log.
  }
  if (outcome->kind == Outcome::Kind::kCommitted) {
    if (request->durability == Durability::kSynced) {
      sync_needed_ = true;
    } else if (request->file != nullptr) {
      group_unsynced_.push_back(request->extent.segment);
    }
    if (!request->request_id.is_nil()) {
      group_requests_[request->request_id] =
          static_cast<size_t>(outcome - outcomes_.data());
    }
  }
}

bool Committer::AnswerFromRequestId(CommitRequest* request, Outcome* outcome) {
  const uint32_t operation = OperationOf(request->kind);
  Committed earlier;
  uint32_t earlier_operation = 0;
  const auto it = group_requests_.find(request->request_id);
  if (it != group_requests_.end()) {
    const size_t first = it->second;
    earlier = outcomes_[first].committed;
    earlier_operation = OperationOf(group_[group_begin_ + first].request.kind);
  } else {
    const absl::StatusOr<Lookup> found = LookUpRequest(
        request->request_id, /*may_block=*/true, &earlier, &earlier_operation);
    if (!found.ok()) {
      outcome->status = found.status();
      return true;
    }
    if (*found != Lookup::kFound) return false;
  }
  // A put gets a new name each time it is tried; its content stays the same.
  // What a derived file is called, its caller says.
  // What changed a file is a put in the log of a member that had not got it.
  const bool named = operation != kLogPut ||
                     request->file_kind == FileKind::kDerived ||
                     earlier.file.kind == FileKind::kDerived;
  const bool is_seal = request->kind == CommitRequest::Kind::kSeal;
  const bool same =
      is_seal
          ? earlier_operation != kLogDelete &&
                earlier.file.sealed_from == request->name
          : (operation == kLogDelete) == (earlier_operation == kLogDelete) &&
                (!named || earlier.file.name == request->name) &&
                (operation != kLogPut
                     ? true
                     : earlier.file.size_bytes == request->size_bytes &&
                           earlier.file.crc32c == request->crc32c);
  if (!same) {
    outcome->status = RequestIdReused();
    return true;
  }
  outcome->kind = Outcome::Kind::kReplayed;
  outcome->committed = std::move(earlier);
  outcome->committed.replayed = true;
  // What counts of it is here, wherever the content is.
  const bool is_apart_from_content =
      request->kind == CommitRequest::Kind::kAttributes ||
      request->kind == CommitRequest::Kind::kExpiry ||
      request->kind == CommitRequest::Kind::kUndelete || is_seal;
  if (is_apart_from_content &&
      !parts_.state->IsSetAside(outcome->committed.file.name)) {
    outcome->committed.replicas = 1;
  }
  // The first call may have asked for less, and may have put the content into a
  // segment of its own, however this one came.
  if (request->durability == Durability::kSynced) {
    sync_needed_ = true;
    sync_dedicated_needed_ = true;
  }
  return true;
}

absl::optional<absl::StatusOr<absl::optional<Committed>>>
Committer::FindRequest(const Uuid& request_id, bool may_block) {
  using Result = absl::StatusOr<absl::optional<Committed>>;
  Committed committed;
  uint32_t operation;
  const absl::StatusOr<Lookup> found =
      LookUpRequest(request_id, may_block, &committed, &operation);
  if (!found.ok()) return Result(found.status());
  switch (*found) {
    case Lookup::kWouldBlock:
      return absl::nullopt;
    case Lookup::kMissing:
      return Result(absl::optional<Committed>());
    case Lookup::kFound:
      break;
  }
  return Result(absl::optional<Committed>(std::move(committed)));
}

absl::StatusOr<Lookup> Committer::LookUpRequest(const Uuid& request_id,
                                                bool may_block,
                                                Committed* committed,
                                                uint32_t* operation) {
  RequestItem request;
  CAIRN_ASSIGN_OR_RETURN(
      Lookup found, parts_.index->GetRequest(request_id, may_block, &request));
  if (found != Lookup::kFound) return found;
  const int64_t age_minutes =
      absl::ToUnixSeconds(parts_.clock->Now()) / 60 - request.unix_minutes;
  if (age_minutes > absl::ToInt64Minutes(options_.request_retention)) {
    return Lookup::kMissing;
  }
  disk::v1::LogEntry log;
  CAIRN_ASSIGN_OR_RETURN(
      found, parts_.index->GetLog(request.log_origin, request.log_sequence,
                                  may_block, &log));
  if (found != Lookup::kFound) return found;
  *operation = log.operation();
  FileRecord record;
  CAIRN_ASSIGN_OR_RETURN(found,
                         parts_.index->GetFile(log.name(), may_block, &record));
  if (found == Lookup::kWouldBlock) return found;
  // Without one, its tombstone has expired and only the name is left.
  committed->file = record.ToFileInfo(log.name());
  committed->file.version = Version{log.version_clock(), log.version_node()};
  if (committed->file.kind == FileKind::kAppender && log.has_size_bytes()) {
    // As it was then.
    committed->file.size_bytes = static_cast<int64_t>(log.size_bytes());
    committed->file.crc32c = log.crc32c();
  }
  // What is set aside may be just this change, or one after it.
  if ((found == Lookup::kFound && record.needs_content()) ||
      parts_.state->IsSetAside(log.name())) {
    committed->replicas = 0;
  }
  LogHead head;
  if (parts_.state->FindLog(request.log_origin, &head)) {
    committed->change = LogPosition{head.id, request.log_sequence};
  }
  committed->replayed = true;
  // The journal's sync leaves out what is in segments of its own.
  const bool synced = parts_.journal->synced() == parts_.journal->end() &&
                      parts_.state->Unsynced().empty();
  committed->reached = synced ? Durability::kSynced : Durability::kCached;
  return Lookup::kFound;
}

void Committer::AddShadowed(const FileRecord& existing, uint64_t segment,
                            disk::v1::FileChange* change) {
  change->clear_shadowed_segments();
  for (const uint64_t shadowed : existing.shadowed_segments) {
    if (shadowed != segment && parts_.state->SegmentFileExists(shadowed)) {
      change->add_shadowed_segments(shadowed);
    }
  }
  if (segment != 0) change->add_shadowed_segments(segment);
}

disk::v1::FileChange* Committer::NextChange() {
  if (change_slots_used_ == change_slots_.size()) change_slots_.emplace_back();
  disk::v1::FileChange* change = &change_slots_[change_slots_used_++];
  change->Clear();
  return change;
}

absl::Status Committer::AddRecord(RecordType type, uint8_t flags,
                                  const disk::v1::FileChange& change,
                                  const absl::Cord* content,
                                  uint32_t content_crc,
                                  absl::Span<const uint32_t> block_crcs,
                                  absl::Span<const Extent> runs) {
  meta_.clear();
  change.AppendToString(&meta_);
  RecordPlace place;
  place.header.type = type;
  place.header.flags = flags;
  place.header.meta_bytes = static_cast<uint32_t>(meta_.size());
  place.header.content_bytes =
      content == nullptr ? 0 : static_cast<uint32_t>(content->size());
  place.header.content_crc = content_crc;
  place.header.synced = synced_;
  place.at = next_;
  const size_t before = prefixes_.size();
  place.prefix_bytes =
      AppendRecordPrefix(next_, place.header, meta_, block_crcs, &prefixes_);
  absl::Status applied = changes_.Apply(place, change, runs);
  if (!applied.ok()) {
    prefixes_.resize(before);
    return applied;
  }
  pieces_.push_back({prefixes_.size(), content});
  const absl::string_view padding =
      RecordPadding(place.prefix_bytes, place.header.content_bytes);
  prefixes_.append(padding.data(), padding.size());
  next_ = place.end();
  return absl::OkStatus();
}

void Committer::AdmitPut(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  const absl::StatusOr<bool> known =
      changes_.FindFile(request->name, &existing);
  if (!known.ok()) {
    outcome->status = known.status();
    return;
  }
  const bool derived = request->file_kind == FileKind::kDerived;
  const bool deduplicated = request->kind == CommitRequest::Kind::kShare;
  const bool is_there =
      *known && !existing.deleted &&
      !HasExpired(existing.expire_unix_seconds, NowUnixSeconds());
  if (derived && is_there && !AnswerFromName(existing, request, outcome)) {
    return;
  }
  if (*known && !derived) {
    outcome->status = ErrorWithReason(
        absl::StatusCode::kAlreadyExists, ErrorReason::kInvalidField,
        absl::StrCat("file ", request->name, " exists"), {{"field", "name"}});
    return;
  }
  if (derived && is_there) {  // Without its content.
    request->attributes = existing.attributes;
    request->expire_unix_seconds = existing.expire_unix_seconds;
    request->owner = existing.owner;
  }
  FileUse more = {1, request->size_bytes};
  if (*known && !existing.deleted && existing.owner == request->owner) {
    more = {0, request->size_bytes - existing.size_bytes};
  }
  outcome->status = TakeQuota(request->owner, more);
  if (!outcome->status.ok()) return;
  disk::v1::FileChange* change = NextChange();
  const Version version = changes_.NextVersion(parts_.clock->Now());
  change->set_name(request->name);
  change->set_version_clock(version.clock);
  change->set_version_node(version.node);
  if (request->origin_node != version.node) {
    change->set_origin_node(request->origin_node);
  }
  if (request->file_kind != FileKind::kNormal) {
    change->set_kind(static_cast<uint32_t>(request->file_kind));
  }
  change->set_create_unix_seconds(request->create_unix_seconds);
  if (!request->request_id.is_nil()) {
    change->set_request_id(request->request_id.bytes().data(), 16);
  }
  change->set_log_origin(parts_.state->log_origin());
  change->set_log_sequence(changes_.NextSequence());
  if (derived) {
    // The name may have been used before, and another member may have a
    // tombstone of it that is not kept here: its life follows from the clock,
    // so that it comes after any other.
    change->set_life(std::max(existing.life + 1, SecondsOf(version)));
    if (*known) AddShadowed(existing, ShadowedBy(existing), change);
  }
  change->set_attributes(request->attributes);
  change->set_expire_unix_seconds(request->expire_unix_seconds);
  change->set_owner(request->owner);
  if (request->kind == CommitRequest::Kind::kPut) {
    outcome->status = AddRecord(RecordType::kPut, 0, *change, &request->content,
                                request->crc32c, request->block_crcs);
  } else {
    change->set_size_bytes(request->size_bytes);
    change->set_crc32c(request->crc32c);
    if (request->extent.length > 0) {
      EncodeRuns({&request->extent, 1}, change->mutable_runs());
    }
    change->set_sha256(request->sha256);
    change->set_deduplicated(deduplicated);
    bool content_synced = request->durability == Durability::kSynced;
    if (deduplicated || request->kind == CommitRequest::Kind::kCopy) {
      change->set_copied_from(request->copied_from);
      change->set_shares_segment(true);
      content_synced = !parts_.state->IsUnsynced(request->extent.segment);
      NeedsDedicated(content_synced, *request, outcome);
    }
    outcome->status =
        AddRecord(RecordType::kFile, content_synced ? kRecordContentSynced : 0,
                  *change, nullptr, 0, {});
  }
  if (!outcome->status.ok()) return;
  outcome->kind = Outcome::Kind::kCommitted;
  if (change->shares_segment()) outcome->shared_bytes = request->size_bytes;
  outcome->committed.change = LogPosition{own_log_, change->log_sequence()};
  FileInfo& info = outcome->committed.file;
  info.name = request->name;
  info.size_bytes = request->size_bytes;
  info.crc32c = request->crc32c;
  info.kind = request->file_kind;
  info.create_unix_seconds = request->create_unix_seconds;
  info.version = version;
  info.origin_node =
      request->origin_node != 0 ? request->origin_node : version.node;
  info.expire_unix_seconds = request->expire_unix_seconds;
  info.life = change->life();
  info.attributes = std::move(request->attributes);
  info.copied_from = request->copied_from;
  info.owner = request->owner;
  info.sha256 = request->sha256;
  info.deduplicated = deduplicated;
}

void Committer::AdmitCopy(CommitRequest* request, Outcome* outcome) {
  FileRecord source;
  outcome->status = FindToCopy(*request, &source);
  if (!outcome->status.ok()) return;
  request->extent = *source.OwnSegment();
  request->sha256 = source.sha256;
  AdmitPut(request, outcome);
}

absl::StatusOr<absl::optional<Extent>> Committer::FindShareable(
    const std::string& sha256, int64_t size_bytes, uint32_t crc32c) {
  CAIRN_ASSIGN_OR_RETURN(absl::optional<Extent> content,
                         changes_.FindContent(sha256, size_bytes));
  // One that comes with this group is not among those that a sync makes
  // durable.
  if (content.has_value() &&
      (content->crc32c != crc32c ||
       std::find(group_unsynced_.begin(), group_unsynced_.end(),
                 content->segment) != group_unsynced_.end())) {
    content.reset();
  }
  return content;
}

void Committer::AdmitShare(CommitRequest* request, Outcome* outcome) {
  const absl::StatusOr<absl::optional<Extent>> content =
      FindShareable(request->sha256, request->size_bytes, request->crc32c);
  if (!content.ok()) {
    outcome->status = content.status();
    return;
  }
  if (!content->has_value() || (*content)->segment != request->shared_segment ||
      !share.Pass().ok()) {
    outcome->status = OwnSegmentNeeded();
    return;
  }
  request->extent = **content;
  AdmitPut(request, outcome);
}

absl::Status Committer::FindToCopy(const CommitRequest& request,
                                   FileRecord* record) {
  CAIRN_RETURN_IF_ERROR(FindPresent(request.copied_from, record));
  CAIRN_RETURN_IF_ERROR(CheckCopy(record->ToFileInfo(request.copied_from)));
  if (record->size_bytes != request.size_bytes ||
      record->crc32c != request.crc32c) {
    return ErrorWithReason(
        absl::StatusCode::kAborted, ErrorReason::kConditionFailed,
        absl::StrCat("file ", request.copied_from,
                     " was stored with another content meanwhile"));
  }
  if (record->content_missing) {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kContentNotHere,
                           absl::StrCat("file ", request.copied_from,
                                        ": the content is on its way here"));
  }
  if (record->OwnSegment() == nullptr) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kNotSupported,
        absl::StrCat("file ", request.copied_from,
                     " has no segment of its own that could be shared"));
  }
  return absl::OkStatus();
}

bool Committer::AnswerFromName(const FileRecord& existing,
                               CommitRequest* request, Outcome* outcome) {
  if (existing.size_bytes != request->size_bytes ||
      existing.crc32c != request->crc32c) {
    outcome->status = ErrorWithReason(
        absl::StatusCode::kAlreadyExists, ErrorReason::kFileExists,
        absl::StrCat("file ", request->name,
                     " is there with another content: choose another prefix, "
                     "or delete it first"),
        {{"size_bytes", absl::StrCat(existing.size_bytes)},
         {"crc32c",
          absl::StrCat(absl::Hex(existing.crc32c, absl::kZeroPad8))}});
    return false;
  }
  if (existing.content_missing) return true;
  outcome->kind = Outcome::Kind::kReplayed;
  Committed& committed = outcome->committed;
  committed.file = existing.ToFileInfo(request->name);
  committed.replayed = true;
  LogHead head;
  if (existing.log_sequence != 0 &&
      parts_.state->FindLog(existing.log_origin, &head)) {
    committed.change = LogPosition{head.id, existing.log_sequence};
  }
  // Who stored it may have asked for less.
  if (request->durability == Durability::kSynced) {
    sync_needed_ = true;
    sync_dedicated_needed_ = true;
  }
  return false;
}

absl::Status Committer::TakeQuota(absl::string_view owner,
                                  const FileUse& more) {
  // What a change frees it has freed when it is made.
  const FileUse grown = {std::max<int64_t>(more.files, 0),
                         std::max<int64_t>(more.bytes, 0)};
  return grown.empty() ? absl::OkStatus() : changes_.Take(owner, grown);
}

absl::Status Committer::FindPresent(absl::string_view name,
                                    FileRecord* record) {
  CAIRN_ASSIGN_OR_RETURN(const bool known, changes_.FindFile(name, record));
  CAIRN_RETURN_IF_ERROR(CheckPresent(options_, name, known, *record));
  return CheckNotExpired(name, *record, parts_.clock);
}

bool Committer::FindOrSkip(absl::string_view name, FileRecord* record,
                           Outcome* outcome) {
  outcome->kind = Outcome::Kind::kSkipped;
  outcome->committed.replayed = true;
  const absl::StatusOr<bool> known = changes_.FindFile(name, record);
  if (known.ok()) return *known;
  outcome->kind = Outcome::Kind::kRefused;
  outcome->status = known.status();
  return false;
}

int64_t Committer::NowUnixSeconds() const {
  return absl::ToUnixSeconds(parts_.clock->Now());
}

void Committer::AdmitDelete(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  outcome->status = FindPresent(request->name, &existing);
  const int64_t now = NowUnixSeconds();
  if (request->purge &&
      ReasonOf(outcome->status) == ErrorReason::kFileDeleted &&
      existing.undelete_until_unix_seconds > now) {
    outcome->status = absl::OkStatus();
  }
  if (!outcome->status.ok()) return;
  const int64_t window = absl::ToInt64Seconds(options_.undelete_window);
  const int64_t until = request->purge || window <= 0
                            ? 0
                            : std::min(now + window, kExpireUnixSecondsMax);
  if (until == 0 || existing.content_missing) {
    AddTombstone(existing, until, request, outcome);
    return;
  }
  FileRecord after = existing;
  after.deleted = true;
  after.undelete_until_unix_seconds = until;
  BeginVersion(&after);
  CommitPieces(request->name, existing, after, request, NextChange(), outcome);
}

void Committer::AdmitUndelete(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  outcome->status = FindPresent(request->name, &existing);
  if (outcome->status.ok()) {
    outcome->status = ErrorWithReason(
        absl::StatusCode::kAlreadyExists, ErrorReason::kFileExists,
        absl::StrCat("file ", request->name, " is not deleted"));
    return;
  }
  if (ReasonOf(outcome->status) != ErrorReason::kFileDeleted ||
      existing.undelete_until_unix_seconds <= NowUnixSeconds()) {
    return;
  }
  outcome->status = CheckNotExpired(request->name, existing, parts_.clock);
  if (!outcome->status.ok()) return;
  if (!existing.keeps_content()) {
    outcome->status = ErrorWithReason(
        absl::StatusCode::kUnavailable, ErrorReason::kContentNotHere,
        absl::StrCat("file ", request->name,
                     ": the content is not kept here; another member may have "
                     "it"));
    return;
  }
  outcome->status = TakeQuota(existing.owner, {1, existing.size_bytes});
  if (!outcome->status.ok()) return;
  FileRecord after = existing;
  after.deleted = false;
  after.undelete_until_unix_seconds = 0;
  after.life = existing.life + 1;
  BeginVersion(&after);
  CommitPieces(request->name, existing, after, request, NextChange(), outcome);
  outcome->merge_wanted = PickMerge(after.extents).has_value();
}

void Committer::AdmitGiveUp(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  if (!FindOrSkip(request->name, &existing, outcome)) return;
  // Brought back, or deleted once more, since it was looked at.
  if (!existing.keeps_content()) return;
  const bool over = existing.undelete_until_unix_seconds <= NowUnixSeconds();
  if (!over && !request->give_up_early) return;
  FileRecord after = existing;
  after.GiveUpContent(over ? 0 : existing.undelete_until_unix_seconds);
  outcome->committed.replayed = false;
  MoveTombstone(request->name, existing, after, outcome);
}

void Committer::MoveTombstone(absl::string_view name,
                              const FileRecord& existing,
                              const FileRecord& after, Outcome* outcome) {
  disk::v1::FileChange* const change = NextChange();
  AddShadowed(existing, existing.record.segment, change);
  outcome->status = AddDeleted(name, after, kRecordMoved, change);
  outcome->kind = outcome->status.ok() ? Outcome::Kind::kCommitted
                                       : Outcome::Kind::kRefused;
}

void Committer::AdmitReclaim(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  if (!FindOrSkip(request->name, &existing, outcome)) return;
  // Deleted, or somebody has said something else, since it was looked at.
  if (existing.deleted || existing.expire_unix_seconds == 0 ||
      ReclaimUnixSeconds(changes_.options(), existing) > NowUnixSeconds()) {
    return;
  }
  outcome->kind = Outcome::Kind::kRefused;
  outcome->committed.replayed = false;
  AddTombstone(existing, /*undelete_until=*/0, request, outcome);
}

void Committer::AddTombstone(const FileRecord& existing, int64_t undelete_until,
                             CommitRequest* request, Outcome* outcome) {
  FileRecord after = existing;
  after.deleted = true;
  after.GiveUpContent(undelete_until);
  BeginVersion(&after);
  disk::v1::FileChange* const change = NextChange();
  if (!request->request_id.is_nil()) {
    change->set_request_id(request->request_id.bytes().data(), 16);
  }
  AddShadowed(existing, existing.record.segment, change);
  outcome->status = AddDeleted(request->name, after, 0, change);
  if (!outcome->status.ok()) return;
  outcome->kind = Outcome::Kind::kCommitted;
  outcome->committed.change = LogPosition{own_log_, after.log_sequence};
  outcome->committed.file = existing.ToFileInfo(request->name);
  outcome->committed.file.version = after.version;
  outcome->committed.file.undelete_until_unix_seconds = undelete_until;
}

absl::Status Committer::AddDeleted(absl::string_view name,
                                   const FileRecord& tombstone, uint8_t flags,
                                   disk::v1::FileChange* change) {
  change->set_name(std::string(name));
  change->set_version_clock(tombstone.version.clock);
  change->set_version_node(tombstone.version.node);
  change->set_origin_node(tombstone.origin_node);
  if (tombstone.kind != FileKind::kNormal) {
    change->set_kind(static_cast<uint32_t>(tombstone.kind));
  }
  change->set_create_unix_seconds(tombstone.create_unix_seconds);
  change->set_log_origin(tombstone.log_origin);
  change->set_log_sequence(tombstone.log_sequence);
  change->set_size_bytes(tombstone.size_bytes);
  change->set_crc32c(tombstone.crc32c);
  change->set_life(tombstone.life);
  change->set_sealed_from(tombstone.sealed_from);
  change->set_sealed_as(tombstone.sealed_as);
  change->set_undelete_until_unix_seconds(
      tombstone.undelete_until_unix_seconds);
  return AddRecord(RecordType::kDelete, flags, *change, nullptr, 0, {});
}

void Committer::AdmitMove(CommitRequest* request, Outcome* outcome) {
  outcome->kind = Outcome::Kind::kSkipped;
  FileRecord existing;
  absl::StatusOr<bool> known = changes_.FindFile(request->name, &existing);
  if (known.ok() && *known && !existing.sealed_as.empty() &&
      !existing.NeedsRecord(request->move_from)) {
    // Sealed since compaction read it.
    request->name = existing.sealed_as;
    known = changes_.FindFile(request->name, &existing);
  }
  if (!known.ok()) {
    outcome->kind = Outcome::Kind::kRefused;
    outcome->status = known.status();
    return;
  }
  // Deleted or changed since compaction read it.
  if (!*known || !existing.NeedsRecord(request->move_from)) return;
  if (existing.deleted && request->move_type == RecordType::kPieces &&
      existing.undelete_until_unix_seconds == 0) {
    // What it kept became another file's.
    MoveTombstone(request->name, existing, existing, outcome);
    return;
  }
  if (request->move_type == RecordType::kPieces ||
      !(existing.record == request->move_from)) {
    MovePieces(existing, request, outcome);
    return;
  }
  disk::v1::FileChange* change = NextChange();
  change->Swap(&request->move_change);
  // A rebuild may have forgotten them.
  change->set_log_origin(existing.log_origin);
  change->set_log_sequence(existing.log_sequence);
  change->clear_request_id();
  // Recovery may have found that the content is gone.
  if (existing.needs_content()) {
    SetContentMissing(change);
  }
  // An older tombstone does no harm, an older file would come back.
  AddShadowed(existing, ShadowedBy(existing), change);
  const bool has_content = request->move_type == RecordType::kPut;
  uint8_t flags = kRecordMoved;
  if (DedicatedAreSynced(existing)) flags |= kRecordContentSynced;
  outcome->status =
      AddRecord(request->move_type, flags, *change,
                has_content ? &request->content : nullptr,
                has_content ? request->crc32c : 0, request->block_crcs);
  // The group may be tried again.
  if (!outcome->status.ok()) {
    outcome->kind = Outcome::Kind::kRefused;
    change->Swap(&request->move_change);
    return;
  }
  request->move_change = *change;
  outcome->kind = Outcome::Kind::kCommitted;
}

bool Committer::DedicatedAreSynced(const FileRecord& record) const {
  for (const Extent& extent : record.extents) {
    // It was committed CACHED, and the next sync of the journal may come before
    // its own.
    if (!extent.in_record() && !extent.is_hole() &&
        parts_.state->IsUnsynced(extent.segment)) {
      return false;
    }
  }
  return true;
}

void Committer::NeedsDedicated(bool synced, const CommitRequest& request,
                               Outcome* outcome) {
  if (synced) return;
  // With the journal, or this would be durable and what it is made of not.
  if (request.durability == Durability::kSynced) {
    sync_dedicated_needed_ = true;
  } else {
    outcome->content_unsynced = true;
  }
}

absl::Status Committer::AddPieces(absl::string_view name,
                                  const FileRecord& existing,
                                  const FileRecord& after, uint8_t flags,
                                  CommitRequest* request,
                                  disk::v1::FileChange* change) {
  change->set_name(std::string(name));
  FillPieces(after, change);
  AddShadowed(existing, existing.record.segment, change);
  bool has_own = false;
  for (const Extent& extent : after.extents) {
    has_own = has_own || extent.record_offset == kOwnRecord;
  }
  return AddRecord(RecordType::kPieces, flags, *change,
                   has_own ? &request->content : nullptr,
                   has_own ? request->crc32c : 0,
                   has_own ? absl::MakeConstSpan(request->block_crcs)
                           : absl::Span<const uint32_t>(),
                   after.content_missing ? absl::Span<const Extent>()
                                         : absl::MakeConstSpan(after.extents));
}

void Committer::MovePieces(const FileRecord& existing, CommitRequest* request,
                           Outcome* outcome) {
  FileRecord moved = existing;
  for (Extent& extent : moved.extents) {
    if (extent.segment == request->move_from.segment &&
        extent.record_offset == request->move_from.offset) {
      extent = OwnExtent(extent.offset - extent.content_offset, extent.length,
                         extent.crc32c, extent.content_bytes);
    }
  }
  uint8_t flags = kRecordMoved;
  if (DedicatedAreSynced(existing)) flags |= kRecordContentSynced;
  outcome->status =
      AddPieces(request->name, existing, moved, flags, request, NextChange());
  outcome->kind = outcome->status.ok() ? Outcome::Kind::kCommitted
                                       : Outcome::Kind::kRefused;
}

absl::Status Committer::LayOut(const CommitRequest& request,
                               FileRecord* after) const {
  using Kind = UpdateRequest::Kind;
  const int64_t size = after->size_bytes;
  const bool appends =
      request.update == Kind::kAppend ||
      (request.update == Kind::kModify && request.offset == size);
  if (request.update == Kind::kModify && request.offset > size) {
    return ErrorWithReason(
        absl::StatusCode::kOutOfRange, ErrorReason::kRangePastEnd,
        absl::StrCat("file ", request.name, " ends at ", size,
                     " and cannot be modified at ", request.offset),
        {{"size_bytes", absl::StrCat(size)}});
  }
  const int64_t end =
      request.update == Kind::kTruncate
          ? request.offset
          : (appends ? size : request.offset) + request.size_bytes;
  if (end > kFileBytesMax) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
        absl::StrCat("file ", request.name, " would have ", end, " bytes"),
        {{"limit_bytes", absl::StrCat(kFileBytesMax)}});
  }
  bool spliced = false;
  if (appends) {
    // What was prepared for a cut has other bytes around the content.
    if (!request.splice.from.empty()) return CutNeeded();
    if (request.size_bytes > 0) {
      after->extents.push_back(
          OwnExtent(0, request.size_bytes, request.crc32c, request.size_bytes));
    }
    after->size_bytes = end;
  } else if (request.update == Kind::kModify) {
    if (request.size_bytes > 0) {
      if (request.splice.from.empty() ||
          !ApplySplice(request.splice, &after->extents)) {
        return CutNeeded();
      }
      spliced = true;
    }
    after->size_bytes = std::max(size, end);
  } else {
    if (end > size) {
      after->extents.push_back(ZeroExtent(end - size));
    } else if (!CutBetweenPieces(end, &after->extents)) {
      if (request.splice.from.empty() ||
          !ApplySplice(request.splice, &after->extents)) {
        return CutNeeded();
      }
    }
    spliced = end < size;
    after->size_bytes = end;
  }
  if (after->extents.size() > kPiecesMax) {
    return ErrorWithReason(
        absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
        absl::StrCat("file ", request.name, " has ", kPiecesMax,
                     " pieces that are still to be merged; come back later"));
  }
  if (spliced) {
    after->crc32c = CrcOf(after->extents);
  } else if (after->size_bytes > size) {
    const Extent& added = after->extents.back();
    after->crc32c = CombineCrc32c(after->crc32c, added.crc32c,
                                  static_cast<uint64_t>(added.length));
  }
  return absl::OkStatus();
}

absl::Status Committer::FindToUpdate(const CommitRequest& request,
                                     FileRecord* record) {
  CAIRN_RETURN_IF_ERROR(FindPresent(request.name, record));
  CAIRN_RETURN_IF_ERROR(CheckUpdate(record->ToFileInfo(request.name),
                                    request.if_size_bytes, request.if_version));
  if (!record->content_missing) return absl::OkStatus();
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kContentNotHere,
      absl::StrCat("file ", request.name, ": the content is on its way here"));
}

void Committer::BeginVersion(FileRecord* after) {
  after->version = changes_.NextVersion(parts_.clock->Now());
  after->log_origin = parts_.state->log_origin();
  after->log_sequence = changes_.NextSequence();
}

void Committer::CommitPieces(const std::string& name,
                             const FileRecord& existing,
                             const FileRecord& after, CommitRequest* request,
                             disk::v1::FileChange* change, Outcome* outcome) {
  const bool synced = DedicatedAreSynced(after);
  if (!request->request_id.is_nil()) {
    change->set_request_id(request->request_id.bytes().data(), 16);
  }
  outcome->status =
      AddPieces(name, existing, after, synced ? kRecordContentSynced : 0,
                request, change);
  if (!outcome->status.ok()) return;
  NeedsDedicated(synced, *request, outcome);
  outcome->kind = Outcome::Kind::kCommitted;
  outcome->committed.change = LogPosition{own_log_, after.log_sequence};
  outcome->committed.file = after.ToFileInfo(name);
}

void Committer::AdmitUpdate(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  outcome->status = FindToUpdate(*request, &existing);
  if (!outcome->status.ok()) return;
  FileRecord after = existing;
  outcome->status = LayOut(*request, &after);
  if (!outcome->status.ok()) return;
  outcome->status =
      TakeQuota(existing.owner, {0, after.size_bytes - existing.size_bytes});
  if (!outcome->status.ok()) return;
  // It only adds if nothing that was there was cut or written.
  const bool grows = after.size_bytes >= existing.size_bytes &&
                     (request->splice.from.empty() ||
                      request->update == UpdateRequest::Kind::kTruncate);
  BeginVersion(&after);
  disk::v1::FileChange* const change = NextChange();
  if (grows) {
    EncodeState(
        FileState{existing.version, existing.size_bytes, existing.crc32c},
        change->mutable_base());
  } else {
    after.grown_since = after.version;
  }
  CommitPieces(request->name, existing, after, request, change, outcome);
  outcome->merge_wanted = PickMerge(after.extents).has_value();
}

void Committer::AdmitAttributes(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  outcome->status = FindPresent(request->name, &existing);
  if (!outcome->status.ok()) return;
  if (request->if_version.has_value() &&
      !(existing.version == *request->if_version)) {
    outcome->status = ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kVersionMismatch,
        absl::StrCat("file ", request->name, " has version ",
                     existing.version.clock, ".", existing.version.node,
                     ": look at it again"),
        {{"version_clock", absl::StrCat(existing.version.clock)},
         {"version_node", absl::StrCat(existing.version.node)}});
    return;
  }
  FileRecord after = existing;
  if (request->kind == CommitRequest::Kind::kExpiry) {
    after.expire_unix_seconds = request->expire_unix_seconds;
  } else {
    absl::StatusOr<std::string> attributes =
        ApplyAttributeChange(existing.attributes, request->attribute_change);
    if (!attributes.ok()) {
      outcome->status = attributes.status();
      return;
    }
    after.attributes = *std::move(attributes);
  }
  BeginVersion(&after);
  disk::v1::FileChange* const change = NextChange();
  if (existing.kind == FileKind::kAppender && !existing.content_missing) {
    // Nothing was added: who has the content keeps it.
    EncodeState(
        FileState{existing.version, existing.size_bytes, existing.crc32c},
        change->mutable_base());
  }
  CommitPieces(request->name, existing, after, request, change, outcome);
}

void Committer::AdmitSeal(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  outcome->status = FindToUpdate(*request, &existing);
  if (!outcome->status.ok()) return;
  const SealRequest::NewName made =
      request->make_name(existing.size_bytes, existing.crc32c);
  FileRecord after = existing;  // With its life: the appender ends in that.
  after.kind = FileKind::kNormal;
  after.create_unix_seconds = made.create_unix_seconds;
  after.sealed_from = request->name;
  BeginVersion(&after);
  after.grown_since = after.version;
  CommitPieces(made.name, existing, after, request, NextChange(), outcome);
  outcome->merge_wanted = PickMerge(after.extents).has_value();
}

void Committer::AdmitMerge(CommitRequest* request, Outcome* outcome) {
  FileRecord existing;
  if (!FindOrSkip(request->name, &existing, outcome)) return;
  if (existing.deleted || existing.content_missing) return;
  FileRecord merged = existing;
  if (!ApplySplice(request->splice, &merged.extents)) return;
  if (CrcOf(request->splice.from) != CrcOf(request->splice.to)) {
    outcome->kind = Outcome::Kind::kRefused;
    outcome->status = ErrorWithReason(
        absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
        absl::StrCat("file ", request->name,
                     ": its pieces are not what the index says"));
    return;
  }
  uint8_t flags = kRecordMoved;
  if (DedicatedAreSynced(merged)) flags |= kRecordContentSynced;
  outcome->status =
      AddPieces(request->name, existing, merged, flags, request, NextChange());
  if (!outcome->status.ok()) {
    outcome->kind = Outcome::Kind::kRefused;
    return;
  }
  outcome->kind = Outcome::Kind::kCommitted;
  outcome->committed.replayed = false;
  outcome->committed.file = merged.ToFileInfo(request->name);
}

void Committer::AddPassed(const CommitRequest& request, Outcome* outcome) {
  const ReplicatedChange& replica = *request.replica;
  disk::v1::FileChange* change = NextChange();
  change->set_name(request.name);
  change->set_version_clock(replica.file.version.clock);
  change->set_version_node(replica.file.version.node);
  change->set_life(replica.file.life);
  if (!replica.request_id.is_nil()) {
    change->set_request_id(replica.request_id.bytes().data(), 16);
  }
  change->set_log_origin(request.replica_log);
  change->set_log_sequence(replica.change.sequence);
  change->set_operation(replica.kind == ChangeKind::kDelete ? kLogDelete
                                                            : kLogPut);
  if (replica.mode == ReplicatedChange::Mode::kRetry) {
    change->set_outside_log(true);
    change->set_set_aside_over(true);
  }
  outcome->status = AddRecord(RecordType::kPassed, 0, *change, nullptr, 0, {});
}

void Committer::FillReplica(const CommitRequest& request,
                            disk::v1::FileChange* change) {
  const FileInfo& file = request.replica->file;
  change->set_name(request.name);
  change->set_version_clock(file.version.clock);
  change->set_version_node(file.version.node);
  if (file.origin_node != file.version.node) {
    change->set_origin_node(file.origin_node);
  }
  if (file.kind != FileKind::kNormal) {
    change->set_kind(static_cast<uint32_t>(file.kind));
  }
  change->set_create_unix_seconds(file.create_unix_seconds);
  change->set_life(file.life);
  if (request.replica->kind == ChangeKind::kPut) {
    change->set_expire_unix_seconds(file.expire_unix_seconds);
    change->set_attributes(file.attributes);
    change->set_owner(file.owner);
    change->set_sha256(file.sha256);
    change->set_deduplicated(file.deduplicated);
  } else {
    change->set_sealed_as(file.sealed_as);
    change->set_undelete_until_unix_seconds(file.undelete_until_unix_seconds);
  }
  change->set_sealed_from(file.sealed_from);
  change->set_copied_from(file.copied_from);
}

void Committer::AddSetAside(const CommitRequest& request, Outcome* outcome) {
  const ReplicatedChange& replica = *request.replica;
  if (parts_.state->set_aside_count() >= kSetAsideMax) {
    outcome->status = ErrorWithReason(
        absl::StatusCode::kResourceExhausted, ErrorReason::kOverloaded,
        absl::StrCat("store path ", options_.directory, ": ", kSetAsideMax,
                     " changes of other members could not be applied; "
                     "something is wrong with the path"));
    return;
  }
  disk::v1::FileChange* const change = NextChange();
  FillReplica(request, change);
  const bool is_next = replica.mode == ReplicatedChange::Mode::kNext;
  if (is_next && !replica.request_id.is_nil()) {
    change->set_request_id(replica.request_id.bytes().data(), 16);
  }
  change->set_log_origin(request.replica_log);
  change->set_log_sequence(replica.change.sequence);
  change->set_operation(replica.kind == ChangeKind::kDelete ? kLogDelete
                                                            : kLogPut);
  change->set_size_bytes(static_cast<uint64_t>(replica.file.size_bytes));
  change->set_crc32c(replica.file.crc32c);
  change->set_outside_log(!is_next);
  // Of a change that another has replaced nothing is to be made good.
  change->set_set_aside(!replica.passed);
  outcome->status = AddRecord(RecordType::kPassed, 0, *change, nullptr, 0, {});
}

void Committer::AdmitReplica(CommitRequest* request, Outcome* outcome) {
  using Mode = ReplicatedChange::Mode;
  const ReplicatedChange& replica = *request->replica;
  const bool is_next = replica.mode == Mode::kNext;
  // What is here already; whoever brought a content for it keeps that.
  const auto skip = [&] {
    outcome->kind = Outcome::Kind::kSkipped;
    outcome->committed.replayed = true;
    outcome->committed.file = replica.file;
    outcome->committed.change = replica.change;
  };
  if (is_next) {
    const uint64_t applied = changes_.AppliedOf(request->replica_log);
    if (replica.change.sequence <= applied) return skip();
    if (replica.change.sequence != applied + 1) {
      outcome->status = ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kOutOfOrder,
          absl::StrCat("change ", replica.change.sequence, " of log ",
                       replica.change.log.ToString(), " does not follow on ",
                       applied));
      return;
    }
  }
  if (replica.set_aside) {
    AddSetAside(*request, outcome);
    if (outcome->status.ok()) skip();
    return;
  }
  outcome->status = take_over.Pass();
  if (!outcome->status.ok()) return;
  FileRecord existing;
  const absl::StatusOr<bool> known =
      changes_.FindFile(request->name, &existing);
  if (!known.ok()) {
    outcome->status = known.status();
    return;
  }
  const Version version = replica.file.version;
  const bool same = *known && existing.version == version;
  bool wins;
  switch (replica.mode) {
    case Mode::kContent:
      wins = same && !existing.deleted;
      break;
    case Mode::kRemove:
      wins = same && !existing.deleted && request->replica_log != 0 &&
             existing.log_origin == request->replica_log &&
             existing.log_sequence == replica.change.sequence;
      break;
    default:
      wins =
          !replica.passed &&
          (!*known ||
           Replaces(
               StandingOf(replica.file, replica.kind == ChangeKind::kDelete),
               Standing{existing.life, existing.deleted, existing.version}) ||
           (same && !existing.deleted && existing.content_missing &&
            request->replica_has_content));
  }
  if (!wins) {
    outcome->status = EndSealed(*request);
    if (outcome->status.ok() && *known && BringsContent(existing, *request)) {
      // Whoever sent it counts this node as one that has it.
      outcome->status = TakeContent(existing, request);
    }
    if (!outcome->status.ok()) return;
    if (is_next || replica.mode == Mode::kRetry) {
      AddPassed(*request, outcome);
      if (!outcome->status.ok()) return;
    }
    return skip();
  }
  if (replica.base.has_value()) {
    if (!*known || !AddGrown(existing, request, outcome)) {
      outcome->status = ErrorWithReason(
          absl::StatusCode::kAborted, ErrorReason::kVersionMismatch,
          absl::StrCat("file ", request->name,
                       ": what the change was made of is not here"));
    }
    return;
  }
  disk::v1::FileChange* change = NextChange();
  FillReplica(*request, change);
  if (is_next && !replica.request_id.is_nil()) {
    change->set_request_id(replica.request_id.bytes().data(), 16);
  }
  if (replica.mode == Mode::kContent) {
    change->set_log_origin(existing.log_origin);
    change->set_log_sequence(existing.log_sequence);
    change->set_attributes(existing.attributes);
    change->set_life(existing.life);
    change->set_expire_unix_seconds(existing.expire_unix_seconds);
    change->set_sealed_from(existing.sealed_from);
    change->set_copied_from(existing.copied_from);
    change->set_owner(existing.owner);
    change->set_sha256(existing.sha256);
    change->set_deduplicated(existing.deduplicated);
  } else if (request->replica_log != 0) {
    change->set_log_origin(request->replica_log);
    change->set_log_sequence(replica.change.sequence);
  }
  change->set_outside_log(!is_next);
  change->set_set_aside_over(replica.mode == Mode::kRetry);
  if (*known) {
    AddShadowed(existing, ShadowedBy(existing), change);
  }
  FileRecord kept;
  if (*known && KeepDeleted(existing, *request, &kept)) {
    kept.log_origin = static_cast<uint32_t>(change->log_origin());
    kept.log_sequence = change->log_sequence();
    const bool synced = DedicatedAreSynced(kept);
    outcome->status =
        AddPieces(request->name, existing, kept,
                  synced ? kRecordContentSynced : 0, request, change);
    if (!outcome->status.ok()) return;
    NeedsDedicated(synced, *request, outcome);
    outcome->kind = Outcome::Kind::kCommitted;
    outcome->committed.file = replica.file;
    outcome->committed.change = replica.change;
    return;
  }
  // Who has the content already does not take it again, nor fetch it.
  FileRecord source;
  const absl::StatusOr<SameContent> is_here =
      FindSameContent(*request, *known, existing, &source);
  if (!is_here.ok()) {
    outcome->status = is_here.status();
    return;
  }
  if (replica.mode == Mode::kContent && !request->replica_has_content &&
      *is_here == SameContent::kNone) {
    return skip();
  }
  if (!replica.file.sealed_from.empty() && !*known) {
    // Records of the appender would bring it back.
    FileRecord appender;
    const absl::StatusOr<bool> was_here =
        changes_.FindFile(replica.file.sealed_from, &appender);
    if (!was_here.ok()) {
      outcome->status = was_here.status();
      return;
    }
    if (*was_here) {
      AddShadowed(appender, ShadowedBy(appender), change);
    }
  }
  if (*is_here != SameContent::kNone) {
    const bool shares = *is_here == SameContent::kOfAnother;
    change->set_shares_segment(shares);
    change->set_size_bytes(static_cast<uint64_t>(replica.file.size_bytes));
    change->set_crc32c(replica.file.crc32c);
    EncodeRuns(source.extents, change->mutable_runs());
    const bool synced = DedicatedAreSynced(source);
    NeedsDedicated(synced, *request, outcome);
    outcome->status =
        AddRecord(shares ? RecordType::kFile : RecordType::kPieces,
                  synced ? kRecordContentSynced : 0, *change, nullptr, 0, {});
  } else if (replica.kind == ChangeKind::kPut && request->replica_has_content &&
             request->extent.length == 0) {
    outcome->status = AddRecord(RecordType::kPut, 0, *change, &request->content,
                                replica.file.crc32c, request->block_crcs);
  } else {
    change->set_size_bytes(static_cast<uint64_t>(replica.file.size_bytes));
    change->set_crc32c(replica.file.crc32c);
    uint8_t flags = 0;
    if (request->extent.length > 0) {
      EncodeRuns({&request->extent, 1}, change->mutable_runs());
      if (request->durability == Durability::kSynced) {
        flags = kRecordContentSynced;
      }
    } else if (replica.kind == ChangeKind::kPut) {
      change->set_content_missing(true);
    }
    outcome->status =
        AddRecord(replica.kind == ChangeKind::kDelete ? RecordType::kDelete
                                                      : RecordType::kFile,
                  flags, *change, nullptr, 0, {});
  }
  if (!outcome->status.ok()) return;
  outcome->kind = Outcome::Kind::kCommitted;
  if (change->shares_segment()) {
    outcome->shared_bytes = replica.file.size_bytes;
  }
  outcome->committed.file = replica.file;
  outcome->committed.change = replica.change;
}

bool Committer::KeepDeleted(const FileRecord& existing,
                            const CommitRequest& request,
                            FileRecord* tombstone) const {
  const ReplicatedChange& replica = *request.replica;
  const FileInfo& file = replica.file;
  if (replica.kind != ChangeKind::kDelete ||
      replica.mode == ReplicatedChange::Mode::kRemove ||
      file.undelete_until_unix_seconds <= NowUnixSeconds() ||
      !file.sealed_as.empty() || !existing.sealed_as.empty() ||
      !existing.has_content()) {
    return false;
  }
  // A name that was used again may have had another content in that life.
  if (existing.life != file.life && (existing.size_bytes != file.size_bytes ||
                                     existing.crc32c != file.crc32c)) {
    return false;
  }
  // With what is known of it here: it may be less or more than what the other
  // member knew, and is what can be brought back from here.
  *tombstone = existing;
  tombstone->deleted = true;
  tombstone->undelete_until_unix_seconds = file.undelete_until_unix_seconds;
  tombstone->version = file.version;
  tombstone->life = file.life;
  return true;
}

absl::StatusOr<Committer::SameContent> Committer::FindSameContent(
    const CommitRequest& request, bool known, const FileRecord& existing,
    FileRecord* same) {
  const ReplicatedChange& replica = *request.replica;
  if (replica.kind != ChangeKind::kPut || request.extent.length != 0) {
    return SameContent::kNone;
  }
  if (replica.mode == ReplicatedChange::Mode::kContent) {
    // What is here and is to be exchanged is no good.
    return existing.content_missing ? FindByHash(existing, same)
                                    : SameContent::kNone;
  }
  bool found = known && !(existing.version == replica.file.version);
  if (found) *same = existing;
  if (!known && !replica.file.sealed_from.empty()) {
    CAIRN_ASSIGN_OR_RETURN(found,
                           changes_.FindFile(replica.file.sealed_from, same));
  }
  SameContent what = SameContent::kOfTheFile;
  if (!known && !found && !replica.file.copied_from.empty()) {
    CAIRN_ASSIGN_OR_RETURN(found,
                           changes_.FindFile(replica.file.copied_from, same));
    found = found && same->OwnSegment() != nullptr;
    what = SameContent::kOfAnother;
  }
  found = found && same->has_content() &&
          same->size_bytes == replica.file.size_bytes &&
          same->crc32c == replica.file.crc32c;
  if (found) return what;
  FileRecord wanted;
  wanted.sha256 = replica.file.sha256;
  wanted.size_bytes = replica.file.size_bytes;
  wanted.crc32c = replica.file.crc32c;
  return FindByHash(wanted, same);
}

absl::StatusOr<Committer::SameContent> Committer::FindByHash(
    const FileRecord& wanted, FileRecord* same) {
  if (wanted.sha256.empty()) return SameContent::kNone;
  CAIRN_ASSIGN_OR_RETURN(
      const absl::optional<Extent> content,
      FindShareable(wanted.sha256, wanted.size_bytes, wanted.crc32c));
  if (!content.has_value()) return SameContent::kNone;
  *same = FileRecord();
  same->extents.push_back(*content);
  return SameContent::kOfAnother;
}

bool Committer::BringsContent(const FileRecord& existing,
                              const CommitRequest& request) {
  const ReplicatedChange& replica = *request.replica;
  return replica.kind == ChangeKind::kPut &&
         replica.mode != ReplicatedChange::Mode::kContent &&
         replica.mode != ReplicatedChange::Mode::kRemove && !replica.passed &&
         !replica.base.has_value() && request.replica_has_content &&
         request.extent.length == 0 && !existing.deleted &&
         existing.content_missing &&
         existing.size_bytes == replica.file.size_bytes &&
         existing.crc32c == replica.file.crc32c;
}

absl::Status Committer::TakeContent(const FileRecord& existing,
                                    CommitRequest* request) {
  FileRecord after = existing;
  after.content_missing = false;
  if (after.size_bytes > 0) {
    after.extents.push_back(
        OwnExtent(0, after.size_bytes, after.crc32c, after.size_bytes));
  }
  request->crc32c = after.crc32c;
  return AddPieces(request->name, existing, after, kRecordMoved, request,
                   NextChange());
}

absl::Status Committer::EndSealed(const CommitRequest& request) {
  const FileInfo& file = request.replica->file;
  if (file.sealed_from.empty()) return absl::OkStatus();
  FileRecord appender;
  CAIRN_ASSIGN_OR_RETURN(const bool known,
                         changes_.FindFile(file.sealed_from, &appender));
  if (!known || appender.deleted) return absl::OkStatus();
  disk::v1::FileChange* const change = NextChange();
  change->set_name(file.sealed_from);
  change->set_version_clock(file.version.clock);
  change->set_version_node(file.version.node);
  change->set_origin_node(appender.origin_node);
  change->set_kind(static_cast<uint32_t>(appender.kind));
  change->set_create_unix_seconds(appender.create_unix_seconds);
  change->set_size_bytes(appender.size_bytes);
  change->set_crc32c(appender.crc32c);
  change->set_life(appender.life);
  change->set_sealed_as(request.name);
  change->set_outside_log(true);
  AddShadowed(appender, appender.record.segment, change);
  return AddRecord(RecordType::kDelete, 0, *change, nullptr, 0, {});
}

bool Committer::AddGrown(const FileRecord& existing, CommitRequest* request,
                         Outcome* outcome) {
  const ReplicatedChange& replica = *request->replica;
  const FileInfo& file = replica.file;
  const FileState& base = *replica.base;
  const auto added = static_cast<int64_t>(request->content.size());
  if (existing.deleted || existing.content_missing ||
      !request->replica_has_content || !(existing.version == base.version) ||
      existing.size_bytes != base.size_bytes ||
      existing.crc32c != base.crc32c ||
      file.size_bytes != base.size_bytes + added ||
      file.crc32c != CombineCrc32c(base.crc32c, request->crc32c,
                                   static_cast<uint64_t>(added)) ||
      existing.extents.size() >= kPiecesMax) {
    return false;
  }
  FileRecord after = existing;
  if (added > 0) {
    after.extents.push_back(OwnExtent(0, added, request->crc32c, added));
  }
  after.size_bytes = file.size_bytes;
  after.crc32c = file.crc32c;
  after.version = file.version;
  after.attributes = file.attributes;
  after.owner = file.owner;
  after.life = file.life;
  after.expire_unix_seconds = file.expire_unix_seconds;
  after.log_origin = request->replica_log;
  after.log_sequence = replica.change.sequence;
  disk::v1::FileChange* const change = NextChange();
  if (!replica.request_id.is_nil()) {
    change->set_request_id(replica.request_id.bytes().data(), 16);
  }
  EncodeState(base, change->mutable_base());
  const bool synced = DedicatedAreSynced(after);
  outcome->status =
      AddPieces(request->name, existing, after,
                synced ? kRecordContentSynced : 0, request, change);
  if (!outcome->status.ok()) return true;
  NeedsDedicated(synced, *request, outcome);
  outcome->kind = Outcome::Kind::kCommitted;
  outcome->merge_wanted = PickMerge(after.extents).has_value();
  outcome->committed.file = file;
  outcome->committed.change = replica.change;
  return true;
}

absl::Status Committer::IndexUsable() const {
  // A flush that finds no room keeps what it was to write in memory; taking
  // more would only grow it.
  if (parts_.index->DeltaBytes() <
      kDeltaStallFactor * options_.memtable_bytes) {
    return absl::OkStatus();
  }
  const absl::Status status = parts_.checkpoint_status();
  return absl::IsResourceExhausted(status) ? status : absl::OkStatus();
}

void Committer::ApplyBackPressure() {
  parts_.health->SetOwnNeed(parts_.index->flush_room());
  if (parts_.journal->appended_bytes() -
          checkpoint_at_bytes_.load(std::memory_order_relaxed) >=
      options_.checkpoint_journal_bytes) {
    parts_.checkpoint_wanted();
  }
  if (parts_.index->DeltaBytes() < options_.memtable_bytes) return;
  parts_.checkpoint_wanted();
  while (parts_.index->DeltaBytes() >
             kDeltaStallFactor * options_.memtable_bytes &&
         parts_.index->has_frozen() && !parts_.health->broken() &&
         parts_.checkpoint_status().ok()) {
    // Writing is faster than the index's disk for long: let it catch up.
    absl::SleepFor(absl::Milliseconds(1));
  }
}

}  // namespace storage
}  // namespace cairn
