#include "services/storage/store/upload_sessions.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cairn/disk/v1/upload.pb.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/sha256.h"
#include "lib/fault/fault_point.h"
#include "services/storage/store/file_record.h"
#include "services/storage/store/segment_format.h"
#include "services/storage/store/upload_format.h"

namespace cairn {
namespace storage {
namespace {

FaultPoint before_record("upload.before_record");
FaultPoint before_publish("upload.before_publish_session");
FaultPoint before_commit("upload.before_commit_session");

// What a session may have written that no crash would leave; also bounds how
// long a Save() takes.
constexpr size_t kUnsavedBlocksMax = 256;

// Bytes after which the disk is told to start.
constexpr int64_t kWritebackBytes = 8 << 20;

constexpr int64_t kJournalBytesMax = int64_t{1} << 30;

constexpr int64_t kNoEnd = std::numeric_limits<int64_t>::max();

absl::Status NotFound(const Uuid& id) {
  static_cast<void>(id);  // It is a secret.
  return ErrorWithReason(
      absl::StatusCode::kNotFound, ErrorReason::kUploadNotFound,
      "the upload is not known here: it was finished, aborted, or nothing was "
      "written to it for too long");
}

absl::Status Busy(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kAborted,
                         ErrorReason::kUploadRangeBusy, what);
}

absl::Status SizeMismatch(int64_t declared, int64_t received) {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kSizeMismatch,
      absl::StrCat("the upload ends at ", declared, ", and bytes up to ",
                   received, " were sent"),
      {{"declared_bytes", absl::StrCat(declared)},
       {"received_bytes", absl::StrCat(received)}});
}

absl::Status TooLarge() {
  return ErrorWithReason(
      absl::StatusCode::kInvalidArgument, ErrorReason::kTooLarge,
      absl::StrCat("a file that is uploaded in parts is "
                   "limited to ",
                   kUploadSessionBytesMax, " bytes"),
      {{"limit_bytes", absl::StrCat(kUploadSessionBytesMax)}});
}

uint64_t BlocksOf(int64_t size_bytes) {
  return static_cast<uint64_t>((size_bytes + kBlockBytes - 1) / kBlockBytes);
}

}  // namespace

struct SegmentUploadSessions::Session {
  enum class State : uint8_t { kMissing, kWritten, kDurable };
  struct Block {
    uint32_t crc32c = 0;
    State state = State::kMissing;
  };
  struct Claim {
    int64_t begin = 0;
    int64_t end = 0;
  };

  Session(uint64_t of_segment, const Uuid& upload_id,
          const UploadSessionSpec& wanted, absl::Time now)
      : number(of_segment),
        id(upload_id),
        size_declared(wanted.size_bytes.has_value()),
        create_time(now),
        spec(wanted),
        newest_write(now) {}

  const uint64_t number;
  const Uuid id;
  const bool size_declared;  // When it was begun.
  absl::Time create_time;    // Fixed once it is found by others.
  std::shared_ptr<File> file;
  std::shared_ptr<File> journal;

  Mutex save_mu;  // One Save() at a time, over the disk's work; before `mu`.
  int64_t journal_end ABSL_GUARDED_BY(save_mu) = kUploadJournalHeaderBytes;

  mutable Mutex mu;
  UploadSessionSpec spec ABSL_GUARDED_BY(mu);
  std::vector<Block> blocks ABSL_GUARDED_BY(mu);
  std::vector<uint64_t> unsaved ABSL_GUARDED_BY(mu);  // Those kWritten.
  bool size_unsaved ABSL_GUARDED_BY(mu) = false;
  std::map<const void*, Claim> claims ABSL_GUARDED_BY(mu);  // By part.
  absl::Time newest_write ABSL_GUARDED_BY(mu);
  int64_t charged_bytes ABSL_GUARDED_BY(mu) = 0;
  bool finishing ABSL_GUARDED_BY(mu) = false;
  bool over ABSL_GUARDED_BY(mu) = false;  // Removed, or about to be.

  int64_t BlockBytes(uint64_t index) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    const int64_t begin = static_cast<int64_t>(index) * kBlockBytes;
    return std::min(spec.size_bytes.value_or(kNoEnd) - begin, kBlockBytes);
  }
};

// ---- Parts.

class SegmentUploadSessions::Part : public UploadPart {
 public:
  Part(SegmentUploadSessions* owner, std::shared_ptr<Session> session,
       int64_t begin, int64_t end)
      : owner_(owner),
        session_(std::move(session)),
        end_(end),
        position_(begin),
        written_back_(begin) {}

  ~Part() override {
    MutexLock lock(&session_->mu);
    session_->claims.erase(this);
  }

  absl::Status Write(const absl::Cord& data) override {
    if (failed_.ok()) failed_ = TryWrite(data);
    return failed_;
  }

  absl::Status End() override {
    if (failed_.ok()) failed_ = TryEnd();
    return failed_;
  }

  absl::Status Save() override { return owner_->Save(session_.get()); }

 private:
  absl::Status TryWrite(const absl::Cord& data) {
    pending_.Append(data);
    const int64_t reached = position_ + static_cast<int64_t>(pending_.size());
    if (reached > kUploadSessionBytesMax) return TooLarge();
    absl::optional<int64_t> size;
    {
      MutexLock lock(&session_->mu);
      size = session_->spec.size_bytes;
    }
    const int64_t limit = std::min(end_, size.value_or(kNoEnd));
    if (reached > limit) return SizeMismatch(limit, reached);
    while (static_cast<int64_t>(pending_.size()) >= kBlockBytes ||
           (!pending_.empty() &&
            size == position_ + static_cast<int64_t>(pending_.size()))) {
      absl::Cord block = pending_.Subcord(0, kBlockBytes);
      pending_.RemovePrefix(block.size());
      CAIRN_RETURN_IF_ERROR(TakeBlock(block, /*ends_file=*/false));
    }
    bool much = false;
    {
      MutexLock lock(&session_->mu);
      much = session_->unsaved.size() >= kUnsavedBlocksMax;
    }
    return much ? Save() : absl::OkStatus();
  }

  absl::Status TryEnd() {
    if (!pending_.empty()) CAIRN_RETURN_IF_ERROR(EndFile());
    return Save();
  }

  // What is pending is no whole block: so it ends the file.
  absl::Status EndFile() {
    const int64_t size = position_ + static_cast<int64_t>(pending_.size());
    {
      MutexLock lock(&session_->mu);
      if (session_->spec.size_bytes.has_value()) {
        return SizeMismatch(*session_->spec.size_bytes, size);
      }
      // Whole blocks only, so far: this one is new, and the last.
      if (session_->blocks.size() > BlocksOf(size) - 1) {
        return SizeMismatch(
            size, static_cast<int64_t>(session_->blocks.size()) * kBlockBytes);
      }
      session_->spec.size_bytes = size;
    }
    const absl::Status taken = TakeBlock(pending_, /*ends_file=*/true);
    pending_.Clear();
    if (!taken.ok()) {
      MutexLock lock(&session_->mu);
      session_->spec.size_bytes = absl::nullopt;
    }
    return taken;
  }

  // `block` is all of the block at `position_`. `ends_file`: and tells how long
  // the file is, which the journal does not know yet.
  absl::Status TakeBlock(const absl::Cord& block, bool ends_file) {
    const auto index = static_cast<uint64_t>(position_ / kBlockBytes);
    const auto bytes = static_cast<int64_t>(block.size());
    const uint32_t crc = Crc32c(block);
    CAIRN_RETURN_IF_ERROR(owner_->ShuttingDown());
    {
      MutexLock lock(&session_->mu);
      if (session_->over) return NotFound(session_->id);
      if (index < session_->blocks.size() &&
          session_->blocks[index].state != Session::State::kMissing) {
        if (session_->blocks[index].crc32c != crc) {
          return ErrorWithReason(
              absl::StatusCode::kFailedPrecondition,
              ErrorReason::kUploadContentDiffers,
              absl::StrCat("the ", bytes, " bytes at ", position_,
                           " are there already, and are others: the source "
                           "has changed, begin a new upload"),
              {{"offset", absl::StrCat(position_)}});
        }
        session_->newest_write = owner_->parts_.clock->Now();
        position_ += bytes;
        return absl::OkStatus();
      }
      if (!session_->size_declared) {
        const int64_t more = position_ + bytes - session_->charged_bytes;
        if (more > 0) {
          CAIRN_RETURN_IF_ERROR(owner_->Charge(more));
          session_->charged_bytes += more;
        }
      }
    }
    CAIRN_RETURN_IF_ERROR(owner_->parts_.health->CheckWrite(bytes));
    absl::InlinedVector<absl::string_view, 16> pieces;
    for (const absl::string_view chunk : block.Chunks()) {
      pieces.push_back(chunk);
    }
    const absl::Status written =
        session_->file->WriteAt(kSegmentHeaderBytes + position_, pieces);
    if (!written.ok()) return owner_->WriteFailed(written);
    owner_->parts_.health->Took(bytes);
    owner_->parts_.dedicated_bytes->fetch_add(static_cast<uint64_t>(bytes),
                                              std::memory_order_relaxed);
    {
      MutexLock lock(&session_->mu);
      // Another part may have ended the file meanwhile.
      const int64_t size = session_->spec.size_bytes.value_or(kNoEnd);
      if (position_ + bytes > size)
        return SizeMismatch(size, position_ + bytes);
      if (ends_file) session_->size_unsaved = true;
      if (session_->blocks.size() <= index) session_->blocks.resize(index + 1);
      session_->blocks[index] = {crc, Session::State::kWritten};
      session_->unsaved.push_back(index);
      session_->newest_write = owner_->parts_.clock->Now();
    }
    position_ += bytes;
    if (position_ - written_back_ >= kWritebackBytes) {
      session_->file->StartWriteback(kSegmentHeaderBytes + written_back_,
                                     position_ - written_back_);
      written_back_ = position_;
    }
    return absl::OkStatus();
  }

  SegmentUploadSessions* const owner_;
  const std::shared_ptr<Session> session_;
  const int64_t end_;
  int64_t position_;      // Of the first byte of `pending_`.
  int64_t written_back_;  // Up to where the disk was told to start.
  absl::Cord pending_;
  absl::Status failed_;
};

absl::StatusOr<std::unique_ptr<UploadPart>> SegmentUploadSessions::OpenPart(
    const Uuid& id, int64_t offset, absl::optional<int64_t> length) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, Find(id));
  CAIRN_RETURN_IF_ERROR(parts_.health->CheckWanted());
  CAIRN_RETURN_IF_ERROR(parts_.health->CheckWrite(0));
  if (offset < 0 || offset % kBlockBytes != 0) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        absl::StrCat("a part begins at a multiple of ", kBlockBytes),
        {{"field", "offset"}});
  }
  if (length.value_or(0) < 0) {
    return ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        "the length must not be negative", {{"field", "length_bytes"}});
  }
  const int64_t end = length.value_or(kNoEnd) > kNoEnd - offset
                          ? kNoEnd
                          : offset + length.value_or(kNoEnd);
  MutexLock lock(&session->mu);
  if (session->over) return NotFound(id);
  if (session->finishing) return Busy("the upload is being finished");
  const int64_t size =
      session->spec.size_bytes.value_or(kUploadSessionBytesMax);
  if (offset > size || (length.has_value() && end > size)) {
    return session->spec.size_bytes.has_value()
               ? SizeMismatch(size, length.has_value() ? end : offset)
               : TooLarge();
  }
  for (const auto& [part, claim] : session->claims) {
    if (offset < claim.end && claim.begin < end) {
      return Busy(absl::StrCat("somebody else is writing to this range, from ",
                               claim.begin, " on"));
    }
  }
  auto part = std::make_unique<Part>(this, session, offset, end);
  session->claims[part.get()] = {offset, end};
  return std::unique_ptr<UploadPart>(std::move(part));
}

// ---- The end of an upload.

class SegmentUploadSessions::Complete : public CompleteUpload {
 public:
  Complete(SegmentUploadSessions* owner, std::shared_ptr<Session> session,
           Trailer trailer)
      : owner_(owner),
        session_(std::move(session)),
        trailer_(std::move(trailer)) {}

  ~Complete() override {
    if (handed_over_) return;
    MutexLock lock(&session_->mu);
    session_->finishing = false;
  }

  int64_t size_bytes() const override { return trailer_.content_bytes; }
  uint32_t crc32c() const override { return trailer_.content_crc; }

  void Commit(Upload::FinishRequest finish, CommitDone done) override {
    CAIRN_CHECK(!handed_over_);
    const UploadParts& parts = owner_->parts_;
    const bool shares = finish.dedup && size_bytes() >= parts.dedup_bytes_min;
    // As everywhere: what fits into one block needs no segment of its own.
    const bool small =
        !shares &&
        size_bytes() <= std::min(parts.small_file_bytes_max, kBlockBytes);
    if (!shares) {
      CommitOwn(RequestOfWhole(finish), small, std::move(done));
      return;
    }
    const absl::StatusOr<std::string> sha256 = Hash();
    if (!sha256.ok()) {
      done(sha256.status());
      return;
    }
    const absl::StatusOr<uint64_t> segment =
        FindWholeContent(parts, *sha256, size_bytes(), crc32c());
    if (!segment.ok()) {
      done(segment.status());
      return;
    }
    CommitRequest request = RequestOfWhole(finish);
    request.sha256 = *sha256;
    if (*segment == 0) {
      CommitOwn(std::move(request), small, std::move(done));
      return;
    }
    before_commit.PassOrDie();
    handed_over_ = true;
    // Nothing is published: what was uploaded is removed with the session.
    const auto answer = std::make_shared<CommitDone>(std::move(done));
    SubmitShare(
        parts, std::move(request), *segment,
        [owner = owner_, session = session_,
         answer](absl::StatusOr<Committed> committed) {
          owner->OnCommitted(session, /*small=*/true, committed);
          (*answer)(std::move(committed));
        },
        [this, finish, sha256 = *sha256, answer] {
          CommitRequest own = RequestOfWhole(finish);
          own.sha256 = sha256;
          handed_over_ = false;
          CommitOwn(std::move(own), /*small=*/false, std::move(*answer));
        });
  }

 private:
  CommitRequest RequestOfWhole(const Upload::FinishRequest& finish) const {
    CommitRequest request = RequestOf(finish);
    request.size_bytes = size_bytes();
    request.crc32c = crc32c();
    return request;
  }

  void CommitOwn(CommitRequest request, bool small, CommitDone done) {
    const absl::Status prepared =
        small ? ReadSmall(&request) : Publish(&request);
    if (!prepared.ok()) {
      done(prepared);
      return;
    }
    before_commit.PassOrDie();
    request.done =
        [owner = owner_, session = session_, small,
         done = std::move(done)](absl::StatusOr<Committed> committed) mutable {
          owner->OnCommitted(session, small, committed);
          done(std::move(committed));
        };
    handed_over_ = true;
    owner_->parts_.committer->Submit(std::move(request));
  }

  // The SHA-256 of all that was uploaded, which is checked against its CRC.
  absl::StatusOr<std::string> Hash() const {
    Sha256Stream hash;
    uint32_t crc = 0;
    std::string bytes(static_cast<size_t>(kBlockBytes), '\0');
    for (int64_t at = 0; at < size_bytes();) {
      const auto want = static_cast<size_t>(
          std::min<int64_t>(kBlockBytes, size_bytes() - at));
      const absl::StatusOr<size_t> got =
          session_->file->ReadAt(kSegmentHeaderBytes + at, bytes.data(), want);
      if (!got.ok()) return CannotRead(got.status());
      if (*got != want) return Lost();
      const absl::string_view block(bytes.data(), want);
      hash.Update(block);
      crc = ExtendCrc32c(crc, block);
      at += static_cast<int64_t>(want);
    }
    if (crc != crc32c()) return Lost();
    return hash.Finish();
  }

  static absl::Status CannotRead(const absl::Status& status) {
    return ErrorWithReason(absl::StatusCode::kUnavailable,
                           ErrorReason::kReadFailed, status.message());
  }

  static absl::Status Lost() {
    return ErrorWithReason(absl::StatusCode::kDataLoss,
                           ErrorReason::kContentDamaged,
                           "the disk has lost what was uploaded: abort the "
                           "upload and begin anew");
  }

  absl::Status ReadSmall(CommitRequest* request) {
    std::string content(static_cast<size_t>(size_bytes()), '\0');
    const absl::StatusOr<size_t> got = session_->file->ReadAt(
        kSegmentHeaderBytes, content.data(), content.size());
    if (!got.ok()) return CannotRead(got.status());
    if (*got != content.size() || Crc32c(content) != crc32c()) return Lost();
    request->kind = CommitRequest::Kind::kPut;
    request->content = absl::Cord(std::move(content));
    return absl::OkStatus();
  }

  absl::Status Publish(CommitRequest* request) {
    const UploadParts& parts = owner_->parts_;
    if (parts.health->broken()) return parts.health->OutcomeUnknown();
    const std::string bytes = EncodeTrailer(trailer_);
    const absl::Status written = session_->file->WriteAt(
        kSegmentHeaderBytes + size_bytes(), {absl::string_view(bytes)});
    if (!written.ok()) return owner_->WriteFailed(written);
    const bool sync = request->durability == Durability::kSynced;
    if (sync) {
      const absl::Duration start = parts.clock->Monotonic();
      const absl::Status synced = session_->file->Sync();
      if (!synced.ok()) return owner_->SyncFailed(synced);
      if (parts.observer != nullptr) {
        parts.observer->OnSync(parts.clock->Monotonic() - start);
      }
    }
    before_publish.PassOrDie();
    const absl::Status published =
        parts.segments->PublishUpload(session_->number, session_->file, sync);
    if (!published.ok()) {
      // A full disk refuses before the file is moved; else only whoever opens
      // the path again can see where it is.
      return parts.segments->OpenUpload(session_->number).ok()
                 ? owner_->WriteFailed(published)
                 : owner_->SyncFailed(published);
    }
    request->kind = CommitRequest::Kind::kFinish;
    request->extent = DedicatedExtent(session_->number, size_bytes(), crc32c());
    request->file = session_->file;
    return absl::OkStatus();
  }

  SegmentUploadSessions* const owner_;
  const std::shared_ptr<Session> session_;
  const Trailer trailer_;
  bool handed_over_ = false;
};

absl::StatusOr<std::unique_ptr<CompleteUpload>>
SegmentUploadSessions::OpenFinish(const Uuid& id,
                                  absl::optional<uint32_t> crc32c) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session, Find(id));
  CAIRN_RETURN_IF_ERROR(parts_.health->CheckWanted());
  Trailer trailer;
  trailer.number = session->number;
  {
    MutexLock lock(&session->mu);
    if (session->over) return NotFound(id);
    if (session->finishing) return Busy("the upload is being finished");
    if (!session->claims.empty()) {
      return Busy("somebody is still writing to the upload");
    }
    const int64_t size = session->spec.size_bytes.value_or(
        static_cast<int64_t>(session->blocks.size()) * kBlockBytes);
    const uint64_t blocks = BlocksOf(size);
    CAIRN_CHECK(session->blocks.size() <= blocks);
    trailer.content_bytes = size;
    for (uint64_t i = 0; i < blocks; ++i) {
      if (i >= session->blocks.size() ||
          session->blocks[i].state == Session::State::kMissing) {
        return ErrorWithReason(
            absl::StatusCode::kFailedPrecondition,
            ErrorReason::kUploadIncomplete,
            absl::StrCat("the upload has nothing at ",
                         static_cast<int64_t>(i) * kBlockBytes, " yet, of ",
                         size, " bytes"),
            {{"missing_offset",
              absl::StrCat(static_cast<int64_t>(i) * kBlockBytes)}});
      }
      const uint32_t crc = session->blocks[i].crc32c;
      trailer.content_crc =
          CombineCrc32c(trailer.content_crc, crc,
                        static_cast<uint64_t>(session->BlockBytes(i)));
      if (BlockCrcCount(size) > 0) trailer.block_crcs.push_back(crc);
    }
    if (crc32c.value_or(trailer.content_crc) != trailer.content_crc ||
        session->spec.crc32c.value_or(trailer.content_crc) !=
            trailer.content_crc) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kChecksumMismatch,
          "the content is not what it was said to be: abort the upload and "
          "begin anew");
    }
    session->finishing = true;
  }
  return std::unique_ptr<CompleteUpload>(
      std::make_unique<Complete>(this, std::move(session), std::move(trailer)));
}

void SegmentUploadSessions::OnCommitted(
    const std::shared_ptr<Session>& session, bool small,
    const absl::StatusOr<Committed>& committed) {
  if (committed.ok()) {
    if (!small && committed->replayed) {
      // An earlier call with the request_id has made the file.
      const absl::Status removed = parts_.segments->Remove(session->number);
      if (!removed.ok()) {
        CAIRN_LOG(kWarning, "store", "cannot remove segment={} error={}",
                  session->number, removed);
      }
    }
    Remove(session, /*segment=*/small);
    return;
  }
  // If the outcome is unknown, whoever opens the path again finds out.
  if (absl::IsAborted(committed.status())) return;
  if (!small) {
    const absl::Status back = parts_.segments->UnpublishUpload(session->number);
    if (!back.ok()) {
      parts_.health->SetBroken(back);
      return;
    }
  }
  MutexLock lock(&session->mu);
  session->finishing = false;
}

// ---- The rest.

SegmentUploadSessions::SegmentUploadSessions(
    const UploadParts& parts, const SegmentUploadSessionsOptions& options)
    : parts_(parts), options_(options) {}

SegmentUploadSessions::~SegmentUploadSessions() = default;

absl::Status SegmentUploadSessions::ShuttingDown() const {
  if (!stopped_.load(std::memory_order_relaxed)) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kShuttingDown,
                         "the store path is closing");
}

absl::StatusOr<std::shared_ptr<SegmentUploadSessions::Session>>
SegmentUploadSessions::Find(const Uuid& id) const {
  CAIRN_RETURN_IF_ERROR(ShuttingDown());
  MutexLock lock(&mu_);
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return NotFound(id);
  return it->second;
}

absl::Status SegmentUploadSessions::WriteFailed(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    parts_.health->SetNoSpace();
    return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                           ErrorReason::kDiskFull, status.message());
  }
  return SyncFailed(status);
}

absl::Status SegmentUploadSessions::SyncFailed(const absl::Status& status) {
  parts_.health->SetBroken(status);  // Also if it says ENOSPC: it is final.
  return parts_.health->OutcomeUnknown();
}

absl::Status SegmentUploadSessions::Charge(int64_t bytes) {
  int64_t open = open_bytes_.load(std::memory_order_relaxed);
  do {
    if (bytes > options_.open_bytes_max - open) {
      return ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kTooManyUploads,
          absl::StrCat("unfinished uploads of this store path may take ",
                       options_.open_bytes_max, " bytes together, and take ",
                       open, ": finish or abort some, or use another path"),
          {{"limit_bytes", absl::StrCat(options_.open_bytes_max)}});
    }
  } while (!open_bytes_.compare_exchange_weak(open, open + bytes,
                                              std::memory_order_relaxed));
  return absl::OkStatus();
}

absl::Status SegmentUploadSessions::Create(const Uuid& id,
                                           const UploadSessionSpec& spec) {
  CAIRN_RETURN_IF_ERROR(ShuttingDown());
  const int64_t declared = spec.size_bytes.value_or(0);
  if (declared > kUploadSessionBytesMax) return TooLarge();
  CAIRN_CHECK(declared >= 0);
  CAIRN_RETURN_IF_ERROR(parts_.health->CheckWanted());
  CAIRN_RETURN_IF_ERROR(parts_.health->CheckWrite(declared));
  CAIRN_RETURN_IF_ERROR(Charge(declared));
  auto session = std::make_shared<Session>(parts_.state->AllocateSegment(), id,
                                           spec, parts_.clock->Now());
  {
    MutexLock lock(&session->mu);
    session->charged_bytes = declared;
    session->over = true;  // Until its files are there.
  }
  {
    MutexLock lock(&mu_);
    if (static_cast<int64_t>(sessions_.size()) >= options_.open_max) {
      open_bytes_.fetch_sub(declared, std::memory_order_relaxed);
      return ErrorWithReason(
          absl::StatusCode::kResourceExhausted, ErrorReason::kTooManyUploads,
          absl::StrCat("this store path has ", sessions_.size(),
                       " unfinished uploads, as many as it may: finish or "
                       "abort some, or use another path"));
    }
    CAIRN_CHECK(sessions_.emplace(id, session).second);
  }
  // From here on checkpoints know that its segment may have no record.
  parts_.state->AddUpload(session->number);
  const absl::Status made = MakeFiles(session.get());
  if (!made.ok()) {
    Remove(session, /*segment=*/true);
    return made;
  }
  MutexLock lock(&session->mu);
  session->over = false;
  return absl::OkStatus();
}

absl::Status SegmentUploadSessions::MakeFiles(Session* session) {
  absl::StatusOr<std::shared_ptr<File>> file = parts_.segments->CreateUpload(
      parts_.state->incarnation(), session->number);
  if (!file.ok()) return WriteFailed(file.status());
  session->file = *std::move(file);
  absl::StatusOr<std::shared_ptr<File>> journal =
      parts_.segments->CreateUploadJournal(session->number);
  if (!journal.ok()) return WriteFailed(journal.status());
  session->journal = *std::move(journal);

  disk::v1::UploadRecord record;
  disk::v1::UploadBegin* const begin = record.mutable_begin();
  begin->set_upload_id(session->id.bytes().data(), 16);
  begin->set_unix_ms(absl::ToUnixMillis(session->create_time));
  {
    MutexLock lock(&session->mu);
    if (session->spec.size_bytes.has_value()) {
      begin->set_size_bytes(*session->spec.size_bytes);
    }
    begin->set_extension(session->spec.extension);
    begin->set_derived_name(session->spec.derived_name);
    begin->set_owner(session->spec.owner);
    if (session->spec.crc32c.has_value()) {
      begin->set_crc32c(*session->spec.crc32c);
    }
  }
  const std::string header = EncodeUploadJournalHeader(session->number);
  const std::string bytes =
      EncodeUploadRecord(session->number, kUploadJournalHeaderBytes, record);
  const absl::Status written = session->journal->WriteAt(
      0, {absl::string_view(header), absl::string_view(bytes)});
  if (!written.ok()) return WriteFailed(written);
  {
    MutexLock lock(&session->save_mu);
    session->journal_end =
        kUploadJournalHeaderBytes + static_cast<int64_t>(bytes.size());
  }
  absl::Status synced = session->file->Sync();
  if (synced.ok()) synced = session->journal->Sync();
  if (synced.ok()) synced = parts_.segments->SyncUploads();
  return synced.ok() ? synced : SyncFailed(synced);
}

absl::Status SegmentUploadSessions::Save(Session* session) {
  MutexLock save(&session->save_mu);
  if (parts_.health->broken()) return parts_.health->OutcomeUnknown();
  std::vector<uint64_t> blocks;
  {
    MutexLock lock(&session->mu);
    if (session->over) return NotFound(session->id);
    if (session->unsaved.empty() && !session->size_unsaved) {
      return absl::OkStatus();
    }
    blocks.swap(session->unsaved);
  }
  std::sort(blocks.begin(), blocks.end());
  const absl::Duration start = parts_.clock->Monotonic();
  const absl::Status synced = session->file->Sync();
  if (!synced.ok()) return SyncFailed(synced);
  if (parts_.observer != nullptr) {
    parts_.observer->OnSync(parts_.clock->Monotonic() - start);
  }
  before_record.PassOrDie();
  const absl::Status recorded = Record(session, blocks);
  MutexLock lock(&session->mu);
  if (!recorded.ok()) {
    session->unsaved.insert(session->unsaved.end(), blocks.begin(),
                            blocks.end());
    return recorded;
  }
  for (const uint64_t index : blocks) {
    session->blocks[index].state = Session::State::kDurable;
  }
  return absl::OkStatus();
}

absl::Status SegmentUploadSessions::Record(
    Session* session, const std::vector<uint64_t>& blocks) {
  // The analysis does not see that the caller holds it.
  session->save_mu.AssertHeld();
  std::string bytes;
  size_t done = 0;
  bool size_saved = false;
  do {
    disk::v1::UploadRecord record;
    disk::v1::UploadBlocks* const said = record.mutable_blocks();
    said->set_unix_ms(absl::ToUnixMillis(parts_.clock->Now()));
    {
      MutexLock lock(&session->mu);
      // The last block of a file whose size was not known goes with its size:
      // without it nobody would know how long the block is.
      if (session->size_unsaved) {
        said->set_size_bytes(*session->spec.size_bytes);
        size_saved = true;
      }
      const size_t end = std::min(blocks.size(), done + kUploadBlocksPerRecord);
      disk::v1::UploadRun* run = nullptr;
      for (; done < end; ++done) {
        if (run == nullptr || blocks[done] != blocks[done - 1] + 1) {
          run = said->add_runs();
          run->set_first_block(blocks[done]);
        }
        run->add_crcs(session->blocks[blocks[done]].crc32c);
      }
    }
    bytes += EncodeUploadRecord(
        session->number,
        session->journal_end + static_cast<int64_t>(bytes.size()), record);
  } while (done < blocks.size());
  const absl::Status written = session->journal->WriteAt(
      session->journal_end, {absl::string_view(bytes)});
  if (!written.ok()) return WriteFailed(written);
  const absl::Status synced = session->journal->Sync();
  if (!synced.ok()) return SyncFailed(synced);
  parts_.health->Took(static_cast<int64_t>(bytes.size()));
  session->journal_end += static_cast<int64_t>(bytes.size());
  if (size_saved) {
    MutexLock lock(&session->mu);
    session->size_unsaved = false;
  }
  return absl::OkStatus();
}

absl::Status SegmentUploadSessions::Load(const std::vector<uint64_t>& numbers,
                                         bool suspect) {
  for (const uint64_t number : numbers) {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<Session> session,
                           LoadOne(number, suspect));
    if (session == nullptr) {
      RemoveFiles(number, /*segment=*/true);
      continue;
    }
    MutexLock lock(&mu_);
    sessions_[session->id] = std::move(session);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<SegmentUploadSessions::Session>>
SegmentUploadSessions::LoadOne(uint64_t number, bool suspect) {
  absl::StatusOr<std::shared_ptr<File>> file =
      parts_.segments->OpenUpload(number);
  absl::StatusOr<std::shared_ptr<File>> journal_file =
      parts_.segments->OpenUploadJournal(number);
  if (absl::IsNotFound(file.status()) ||
      absl::IsNotFound(journal_file.status())) {
    return nullptr;
  }
  CAIRN_RETURN_IF_ERROR(file.status());
  CAIRN_RETURN_IF_ERROR(journal_file.status());
  CAIRN_ASSIGN_OR_RETURN(const int64_t journal_bytes, (*journal_file)->Size());
  std::string bytes(
      static_cast<size_t>(std::min(journal_bytes, kJournalBytesMax)), '\0');
  CAIRN_ASSIGN_OR_RETURN(
      const size_t got, (*journal_file)->ReadAt(0, bytes.data(), bytes.size()));
  bytes.resize(got);
  absl::StatusOr<UploadJournal> journal = DecodeUploadJournal(number, bytes);
  // Nobody was told of an upload whose first record is not whole.
  if (absl::IsDataLoss(journal.status())) return nullptr;
  CAIRN_RETURN_IF_ERROR(journal.status());
  if (journal->end < journal_bytes) {
    // Records that come next must not be followed by what a crash left.
    CAIRN_RETURN_IF_ERROR((*journal_file)->Truncate(journal->end));
  }
  if (suspect) {
    // The blocks were synced before their record was written; the record
    // perhaps never was.
    const absl::string_view whole =
        absl::string_view(bytes).substr(0, static_cast<size_t>(journal->end));
    CAIRN_RETURN_IF_ERROR((*journal_file)->WriteAt(0, {whole}));
    CAIRN_RETURN_IF_ERROR((*journal_file)->Sync());
    CAIRN_RETURN_IF_ERROR(parts_.segments->SyncUploads());
  }
  CAIRN_ASSIGN_OR_RETURN(const int64_t file_bytes, (*file)->Size());

  auto session =
      std::make_shared<Session>(number, journal->id, journal->spec,
                                absl::FromUnixMillis(journal->create_unix_ms));
  session->file = *std::move(file);
  session->journal = *std::move(journal_file);
  {
    MutexLock lock(&session->save_mu);
    session->journal_end = journal->end;
  }
  MutexLock lock(&session->mu);
  session->newest_write = absl::FromUnixMillis(journal->newest_unix_ms);
  session->blocks.resize(journal->blocks.size());
  int64_t lost = 0;
  for (uint64_t i = 0; i < journal->blocks.size(); ++i) {
    if (!journal->blocks[i].has_value()) continue;
    const int64_t end = kSegmentHeaderBytes +
                        static_cast<int64_t>(i) * kBlockBytes +
                        session->BlockBytes(i);
    if (end > file_bytes) {
      ++lost;
      continue;
    }
    session->blocks[i] = {*journal->blocks[i], Session::State::kDurable};
  }
  if (lost > 0) {
    CAIRN_LOG(kError, "store",
              "the disk has lost what was synced: an upload's segment is cut "
              "off segment={} lost_blocks={}",
              number, lost);
  }
  // What is over the limit now may still be finished.
  session->charged_bytes = session->spec.size_bytes.value_or(
      static_cast<int64_t>(session->blocks.size()) * kBlockBytes);
  open_bytes_.fetch_add(session->charged_bytes, std::memory_order_relaxed);
  return session;
}

UploadSessionInfo SegmentUploadSessions::Describe(
    const Session& session) const {
  UploadSessionInfo info;
  info.id = session.id;
  info.create_time = session.create_time;
  MutexLock lock(&session.mu);
  info.spec = session.spec;
  info.expire_time = session.newest_write + options_.lifetime;
  for (uint64_t i = 0; i < session.blocks.size(); ++i) {
    if (session.blocks[i].state == Session::State::kMissing) continue;
    std::vector<ByteRange>& ranges =
        session.blocks[i].state == Session::State::kDurable ? info.durable
                                                            : info.written;
    const int64_t begin = static_cast<int64_t>(i) * kBlockBytes;
    const int64_t end = begin + session.BlockBytes(i);
    if (!ranges.empty() && ranges.back().end == begin) {
      ranges.back().end = end;
    } else {
      ranges.push_back({begin, end});
    }
  }
  return info;
}

absl::StatusOr<UploadSessionInfo> SegmentUploadSessions::Query(const Uuid& id) {
  CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<Session> session, Find(id));
  {
    MutexLock lock(&session->mu);
    if (session->over) return NotFound(id);
  }
  return Describe(*session);
}

std::vector<UploadSessionInfo> SegmentUploadSessions::List() {
  std::vector<std::shared_ptr<Session>> sessions;
  {
    MutexLock lock(&mu_);
    for (const auto& [id, session] : sessions_) sessions.push_back(session);
  }
  std::vector<UploadSessionInfo> infos;
  for (const std::shared_ptr<Session>& session : sessions) {
    {
      MutexLock lock(&session->mu);
      if (session->over) continue;
    }
    infos.push_back(Describe(*session));
  }
  std::stable_sort(infos.begin(), infos.end(),
                   [](const UploadSessionInfo& a, const UploadSessionInfo& b) {
                     return a.create_time < b.create_time;
                   });
  return infos;
}

absl::Status SegmentUploadSessions::Abort(const Uuid& id) {
  CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<Session> session, Find(id));
  {
    MutexLock lock(&session->mu);
    if (session->over) return NotFound(id);
    if (session->finishing) return Busy("the upload is being finished");
    session->over = true;
  }
  Remove(session, /*segment=*/true);
  return absl::OkStatus();
}

void SegmentUploadSessions::Expire() {
  std::vector<std::shared_ptr<Session>> expired;
  {
    const absl::Time now = parts_.clock->Now();
    MutexLock lock(&mu_);
    for (const auto& [id, session] : sessions_) {
      MutexLock session_lock(&session->mu);  // Behind mu_.
      if (session->over || session->finishing || !session->claims.empty() ||
          now - session->newest_write < options_.lifetime) {
        continue;
      }
      session->over = true;
      expired.push_back(session);
    }
  }
  for (const std::shared_ptr<Session>& session : expired) {
    CAIRN_LOG(kInfo, "store",
              "an upload has expired, nothing was written to it for {} "
              "segment={}",
              absl::FormatDuration(options_.lifetime), session->number);
    Remove(session, /*segment=*/true);
  }
}

void SegmentUploadSessions::Remove(const std::shared_ptr<Session>& session,
                                   bool segment) {
  int64_t charged = 0;
  {
    MutexLock lock(&session->mu);
    session->over = true;
    charged = std::exchange(session->charged_bytes, 0);
  }
  RemoveFiles(session->number, segment);
  open_bytes_.fetch_sub(charged, std::memory_order_relaxed);
  MutexLock lock(&mu_);
  sessions_.erase(session->id);
}

void SegmentUploadSessions::RemoveFiles(uint64_t number, bool segment) {
  // The journal first: a segment without one is removed by the next open.
  absl::Status removed = parts_.segments->RemoveUploadJournal(number);
  if (removed.ok() && segment) {
    removed = parts_.segments->RemoveUpload(number);
  }
  if (!removed.ok()) {
    CAIRN_LOG(kWarning, "store", "cannot remove upload segment={} error={}",
              number, removed);
  }
  parts_.state->RemoveUpload(number);
}

int64_t SegmentUploadSessions::open() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(sessions_.size());
}

}  // namespace storage
}  // namespace cairn
