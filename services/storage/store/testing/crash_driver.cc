#include "services/storage/store/testing/crash_driver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/attributes/attributes.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace storage {
namespace {

constexpr int64_t kUploadBytesMax = 3 << 20;

// Far beyond what any machine needs: an answer that has not come by then never
// will.
constexpr absl::Duration kAnswerPatience = absl::Minutes(10);

}  // namespace

CrashDriver::CrashDriver(uint64_t seed)
    : rng_(seed), fs_(seed), burst_max_(16) {
  // A crash test would fill the log with what it wants to happen.
  SetLogLevel(LogLevel::kError);
  options_.directory = "/disk";
  options_.cluster_id = *Uuid::Parse("00000000-0000-4000-8000-000000000001");
  options_.node_uuid = *Uuid::Parse("00000000-0000-4000-8000-000000000002");
  options_.group = "group1";
  options_.node_number = 7;
  options_.path_index = 1;
  // Small, so that a short life has rolls, checkpoints and compactions.
  const int64_t small_max[] = {4 << 10, 64 << 10, 512 << 10, 1 << 20};
  options_.small_file_bytes_max = small_max[Random(4)];
  options_.segment_bytes = int64_t{1} << 20;
  options_.checkpoint_journal_bytes = int64_t{128} << (10 + Random(4));
  options_.memtable_bytes = int64_t{1} << 20;
  options_.block_cache_bytes = int64_t{1} << 20;
  options_.ballast_bytes = 64 << 10;
  options_.open_segments_max = 4;
  options_.io_threads = 2;
  options_.group_entries_max = Random(2) == 0 ? 4 : 1024;
  options_.compaction_dead_share = 2;  // Only when this driver says so.
  options_.compaction_bytes_per_second = int64_t{1} << 40;
  options_.boot_id = "boot-1";
  // Longer than any run, whatever the clock does.
  if (seed % 2 == 0) options_.undelete_window = absl::Hours(1000);
}

CrashDriver::~CrashDriver() {
  if (engine_ != nullptr) End(Ending::kKilled);
}

absl::Status CrashDriver::Open() {
  CAIRN_CHECK(engine_ == nullptr);
  auto opened = OpenStorePath(options_, &fs_, &clock_);
  if (!opened.ok()) return opened.status();
  engine_ = *std::move(opened);
  CheckLogHead();
  return absl::OkStatus();
}

void CrashDriver::CheckLogHead() {
  const StorePathStatus status = engine_->Status();
  EXPECT_FALSE(status.incarnation.is_nil());
  if (status.incarnation == incarnation_) {
    EXPECT_GE(status.epoch, epoch_) << "an epoch was used twice";
    if (status.epoch == epoch_) {
      EXPECT_GE(status.last_sequence, last_sequence_)
          << "a number of the log would be used twice";
    }
  }
  incarnation_ = status.incarnation;
  epoch_ = status.epoch;
  last_sequence_ = status.last_sequence;
}

void CrashDriver::VerifyFile(ExpectedFile* file) {
  const absl::StatusOr<FileInfo> info = engine_->Stat(file->name);
  if (!info.ok()) {
    ASSERT_THAT(info, StatusIs(absl::StatusCode::kNotFound)) << file->name;
    expected_.OnSeen(file,
                     ReasonOf(info.status()) == ErrorReason::kFileDeleted
                         ? kDeleted
                         : kAbsent,
                     absl::nullopt);
    EXPECT_THAT(engine_->Open(file->name),
                StatusIs(absl::StatusCode::kNotFound));
  } else {
    const bool may_be_lost = (file->now & kAbsent) != 0;
    expected_.OnSeen(file, kPresent, info->version);
    EXPECT_EQ(info->name, file->name);
    EXPECT_EQ(info->size_bytes, file->size_bytes) << file->name;
    EXPECT_EQ(info->crc32c, file->crc32c) << file->name;
    EXPECT_EQ(info->create_unix_seconds, file->create_unix_seconds);
    EXPECT_EQ(info->origin_node, file->origin_node);
    EXPECT_TRUE(info->kind == file->kind);
    EXPECT_EQ(info->attributes, file->attributes) << file->name;
    EXPECT_EQ(info->expire_unix_seconds, file->expire_unix_seconds)
        << file->name;
    auto open = engine_->Open(file->name);
    if (ReasonOf(open.status()) == ErrorReason::kContentNotHere) {
      // The record outlived the bytes beside the journal, which nobody had
      // asked to be synced.
      EXPECT_TRUE(may_be_lost || file->content_lost) << file->name;
      file->content_lost = true;
    } else {
      EXPECT_FALSE(file->content_lost) << file->name;
      ASSERT_THAT(open, IsOk()) << file->name;
      const auto content = (*open)->Read(0, file->size_bytes);
      ASSERT_THAT(content, IsOk()) << file->name;
      ASSERT_TRUE(*content == MakeContent(file->content_seed, file->size_bytes))
          << file->name << " has other bytes than were put";
    }
  }
  if (file->request_id.is_nil()) return;
  const auto replay =
      engine_->FindRequest(file->request_id, Durability::kCached);
  ASSERT_THAT(replay, IsOk());
  if (file->now == kAbsent) {
    EXPECT_FALSE(replay->has_value())
        << file->name << " is absent, but its request is known";
  } else if (!replay->has_value()) {
    // The content of the put may have been lost, and only the delete is left.
    if (file->now == kDeleted && !file->put_synced) return;
    ADD_FAILURE() << file->name << " is " << PresenceName(file->now)
                  << ", but its request is not known";
  } else {
    EXPECT_TRUE((*replay)->replayed);
    EXPECT_EQ((*replay)->file.name, file->name);
    EXPECT_EQ((*replay)->file.size_bytes, file->size_bytes);
    EXPECT_EQ((*replay)->file.crc32c, file->crc32c);
  }
}

void CrashDriver::Verify() {
  WaitForAnswers();
  JoinCompaction();
  int64_t newest = 0;
  for (auto& [name, file] : expected_.files()) {
    VerifyFile(&file);
    if (file.now != kAbsent)
      newest = std::max(newest, file.create_unix_seconds);
  }
  int64_t present = expected_.CountPresent();
  int64_t deleted = expected_.CountDeleted();
  for (ExpectedAppender& file : appenders_) {
    const Presence presence = VerifyAppender(&file);
    present += presence == kPresent;
    deleted += presence == kDeleted;
  }
  // Nothing is there that nobody put.
  const EngineNumbers numbers = engine_->Numbers();
  EXPECT_EQ(numbers.files, present);
  EXPECT_EQ(numbers.tombstones, deleted);
  EXPECT_EQ(engine_->Status().files, present);
  EXPECT_GE(engine_->newest_create_unix_seconds(), newest);
}

int64_t CrashDriver::DrawSize(int64_t max) {
  const int64_t draws[] = {
      0,
      static_cast<int64_t>(1 + Random(100)),
      static_cast<int64_t>(1 + Random(2000)),
      static_cast<int64_t>(1 + Random(2000)),
      static_cast<int64_t>(4090 + Random(12)),
      static_cast<int64_t>(1 + Random(30000)),
      static_cast<int64_t>(kBlockBytes - 2 + Random(5)),
      static_cast<int64_t>(1 + Random(static_cast<uint64_t>(max))),
  };
  return std::min(draws[Random(8)], max);
}

Durability CrashDriver::DrawDurability() {
  return Random(2) == 0 ? Durability::kCached : Durability::kSynced;
}

ExpectedFile CrashDriver::NewFile(int64_t size) {
  ExpectedFile file;
  const uint64_t number = next_name_++;
  file.name = absl::StrCat(absl::Hex(number % 3, absl::kZeroPad2), "/00/file-",
                           number, Random(3) == 0 ? ".tar.gz" : "");
  file.content_seed = number;
  file.size_bytes = size;
  file.crc32c = Crc32c(MakeContent(number, size));
  file.kind = Random(8) == 0 ? FileKind::kDerived : FileKind::kNormal;
  file.create_unix_seconds = absl::ToUnixSeconds(clock_.Now());
  file.origin_node = options_.node_number;
  if (Random(3) == 0) {
    file.attributes = EncodeAttributes(
        {{"of", file.name}, {"long", std::string(Random(1024), 'x')}});
  }
  if (Random(3) == 0) {
    // Later than any clock here ever is.
    file.expire_unix_seconds =
        (int64_t{1} << 34) + static_cast<int64_t>(number);
  }
  file.request_id = DrawRequestId();
  return file;
}

Uuid CrashDriver::DrawRequestId() {
  if (Random(4) == 0) return Uuid();
  std::string bytes(16, '\0');
  for (char& c : bytes) c = static_cast<char>(rng_());
  return *Uuid::FromBytes(bytes);
}

CommitDone CrashDriver::Await(ExpectedFile* file, Answer::Kind kind,
                              Durability durability) {
  Answer answer;
  answer.file = file;
  answer.kind = kind;
  return AnswerTo(std::move(answer), durability);
}

CommitDone CrashDriver::AwaitChange(ExpectedAppender* file,
                                    ExpectedAppender::Change* change,
                                    Durability durability) {
  Answer answer;
  answer.appender = file;
  answer.change = change;
  return AnswerTo(std::move(answer), durability);
}

CommitDone CrashDriver::AnswerTo(Answer to, Durability durability) {
  Answer* answer;
  {
    MutexLock lock(&mu_);
    answers_.push_back(std::make_unique<Answer>(std::move(to)));
    answer = answers_.back().get();
    ++unanswered_;
  }
  return [this, answer, durability](absl::StatusOr<Committed> outcome) {
    if (outcome.ok() && durability == Durability::kSynced) {
      EXPECT_TRUE(outcome->reached == Durability::kSynced);
    }
    MutexLock lock(&mu_);
    CAIRN_CHECK_MSG(!answer->outcome.has_value(), "answered twice");
    answer->outcome = std::move(outcome);
    --unanswered_;
    answered_.SignalAll();
  };
}

void CrashDriver::WaitForAnswers() {
  std::vector<std::unique_ptr<Answer>> answers;
  {
    MutexLock lock(&mu_);
    const absl::Time deadline = absl::Now() + kAnswerPatience;
    while (unanswered_ > 0) {
      answered_.WaitWithTimeout(&mu_, absl::Seconds(10));
      CAIRN_CHECK_MSG(absl::Now() < deadline, "a change was never answered");
    }
    answers.swap(answers_);
  }
  for (const auto& answer : answers) TakeAnswer(*answer);
}

void CrashDriver::TakeAnswer(const Answer& answer) {
  (answer.outcome->ok() ? acknowledged_ : refused_) += 1;
  if (answer.appender != nullptr) {
    answer.appender->End(answer.change, *answer.outcome);
    return;
  }
  switch (answer.kind) {
    case Answer::Kind::kPut:
      expected_.EndPut(answer.file, *answer.outcome);
      break;
    case Answer::Kind::kDelete:
      expected_.EndDelete(answer.file, *answer.outcome);
      break;
    case Answer::Kind::kPurge:
      if (!answer.outcome->ok() &&
          NothingWasChanged(answer.outcome->status())) {
        EXPECT_FALSE(absl::IsNotFound(answer.outcome->status()))
            << answer.file->name << " was kept";
      }
      break;
    case Answer::Kind::kUndelete:
      expected_.EndUndelete(answer.file, *answer.outcome);
      break;
  }
}

void CrashDriver::SubmitPut(ExpectedFile* file, Durability durability) {
  PutRequest request;
  request.request_id = file->request_id;
  request.name = file->name;
  request.content =
      absl::Cord(MakeContent(file->content_seed, file->size_bytes));
  request.crc32c = file->crc32c;
  request.kind = file->kind;
  request.create_unix_seconds = file->create_unix_seconds;
  request.origin_node = file->origin_node;
  request.attributes = file->attributes;
  request.expire_unix_seconds = file->expire_unix_seconds;
  request.durability = durability;
  engine_->Put(std::move(request), Await(file, Answer::Kind::kPut, durability));
}

void CrashDriver::SubmitUpload(ExpectedFile* file, Durability durability) {
  // Nothing is committed before Finish(), whatever the disk does.
  const auto give_up = [this, file](const absl::Status& status) {
    NothingWasChanged(status);
    ++refused_;
    file->busy = false;
    file->now = kAbsent;
    file->after_power_cut = kAbsent;
  };
  absl::optional<int64_t> size;
  if (Random(2) == 0) size = file->size_bytes;
  auto upload = engine_->StartUpload(size);
  if (!upload.ok()) return give_up(upload.status());
  const std::string content = MakeContent(file->content_seed, file->size_bytes);
  for (size_t at = 0; at < content.size();) {
    const size_t chunk = 1 + Random(Random(3) == 0 ? 5000 : 700000);
    const absl::Status written =
        (*upload)->Write(absl::Cord(content.substr(at, chunk)));
    if (!written.ok()) return give_up(written);
    at += chunk;
  }
  EXPECT_EQ((*upload)->size_bytes(), file->size_bytes);
  EXPECT_EQ((*upload)->crc32c(), file->crc32c);
  if (burst_max_ > 1 && Random(8) == 0) {
    // The client has gone away.
    return give_up(ErrorWithReason(absl::StatusCode::kUnavailable,
                                   ErrorReason::kShuttingDown, "gone"));
  }
  Upload::FinishRequest request;
  request.request_id = file->request_id;
  request.name = file->name;
  request.kind = file->kind;
  request.create_unix_seconds = file->create_unix_seconds;
  request.origin_node = file->origin_node;
  request.attributes = file->attributes;
  request.expire_unix_seconds = file->expire_unix_seconds;
  request.durability = durability;
  (*upload)->Finish(std::move(request),
                    Await(file, Answer::Kind::kPut, durability));
  WaitForAnswers();
}

void CrashDriver::PutSmall(int64_t size, Durability durability) {
  SubmitPut(expected_.BeginPut(NewFile(size)), durability);
}

void CrashDriver::PutLarge(int64_t size, Durability durability) {
  SubmitUpload(expected_.BeginPut(NewFile(size)), durability);
}

void CrashDriver::Delete(Durability durability) {
  ExpectedFile* const file = expected_.PickPresent(rng_());
  if (file == nullptr) return;
  DeleteRequest request;
  request.name = file->name;
  request.purge =
      options_.undelete_window > absl::ZeroDuration() && Random(4) == 0;
  request.durability = durability;
  expected_.BeginDelete(file, request.purge);
  engine_->Delete(std::move(request),
                  Await(file, Answer::Kind::kDelete, durability));
}

void CrashDriver::Undelete(Durability durability) {
  if (options_.undelete_window <= absl::ZeroDuration()) return;
  ExpectedFile* const file = expected_.PickDeleted(rng_());
  if (file == nullptr) return;
  expected_.BeginUndelete(file);
  UndeleteRequest request;
  request.name = file->name;
  request.durability = durability;
  engine_->Undelete(std::move(request),
                    Await(file, Answer::Kind::kUndelete, durability));
}

void CrashDriver::PurgeDeleted(Durability durability) {
  if (options_.undelete_window <= absl::ZeroDuration()) return;
  ExpectedFile* const file = expected_.PickDeleted(rng_());
  if (file == nullptr) return;
  expected_.Purge(file);
  DeleteRequest request;
  request.name = file->name;
  request.purge = true;
  request.durability = durability;
  engine_->Delete(std::move(request),
                  Await(file, Answer::Kind::kPurge, durability));
}

void CrashDriver::DropDeleted() {
  if (options_.undelete_window <= absl::ZeroDuration()) return;
  WaitForAnswers();
  for (auto& [name, file] : expected_.files()) {
    // What is deleted now is not kept, if the disk has stood it.
    if ((file.now & kDeleted) != 0) file.purged = true;
  }
  const absl::Status dropped = engine_->DropDeleted();
  EXPECT_FALSE(absl::IsDataLoss(dropped)) << dropped;
}

void CrashDriver::CopyLarge(Durability durability) {
  WaitForAnswers();
  std::vector<const ExpectedFile*> sources;
  for (const auto& [name, file] : expected_.files()) {
    if (file.now == kPresent && !file.content_lost &&
        file.size_bytes > options_.small_file_bytes_max) {
      sources.push_back(&file);
    }
  }
  if (sources.empty()) return;
  const ExpectedFile& source = *sources[Random(sources.size())];
  ExpectedFile copy = NewFile(source.size_bytes);
  copy.content_seed = source.content_seed;
  copy.crc32c = source.crc32c;
  copy.kind = FileKind::kNormal;
  CopyRequest request;
  request.request_id = copy.request_id;
  request.from = source.name;
  request.size_bytes = copy.size_bytes;
  request.crc32c = copy.crc32c;
  request.name = copy.name;
  request.create_unix_seconds = copy.create_unix_seconds;
  request.origin_node = copy.origin_node;
  request.attributes = copy.attributes;
  request.expire_unix_seconds = copy.expire_unix_seconds;
  request.durability = durability;
  ExpectedFile* const file = expected_.BeginPut(std::move(copy));
  engine_->Copy(std::move(request),
                Await(file, Answer::Kind::kPut, durability));
  WaitForAnswers();
}

void CrashDriver::Retry() {
  // A client that did not get its answer calls again, and the service makes
  // another name.
  WaitForAnswers();
  std::vector<ExpectedFile*> candidates;
  for (auto& [name, file] : expected_.files()) {
    const bool known =
        file.now == kAbsent || file.now == kPresent || file.now == kDeleted;
    if (known && !file.request_id.is_nil() &&
        file.size_bytes <= options_.small_file_bytes_max) {
      candidates.push_back(&file);
    }
  }
  if (candidates.empty()) return;
  ExpectedFile& first = *candidates[Random(candidates.size())];
  ExpectedFile again = NewFile(first.size_bytes);
  again.content_seed = first.content_seed;
  again.crc32c = first.crc32c;
  again.kind = first.kind;
  again.request_id = first.request_id;
  // If the first call left nothing, the id is the second one's.
  if (first.now == kAbsent) first.request_id = Uuid();
  ExpectedFile* const second = expected_.BeginPut(std::move(again));
  SubmitPut(second, DrawDurability());
  WaitForAnswers();
  // Else the id stays the first one's, whether the retry got its answer or not.
  if (first.now != kAbsent) second->request_id = Uuid();
}

ExpectedAppender* CrashDriver::PickAppender() {
  std::vector<ExpectedAppender*> present;
  for (ExpectedAppender& file : appenders_) {
    if (file.is_present()) present.push_back(&file);
  }
  return present.empty() ? nullptr : present[Random(present.size())];
}

void CrashDriver::SubmitChange(ExpectedAppender* file,
                               ExpectedAppender::Change change,
                               Durability durability) {
  UpdateRequest request;
  switch (change.kind) {
    case ExpectedAppender::Kind::kAppend:
      request.kind = UpdateRequest::Kind::kAppend;
      break;
    case ExpectedAppender::Kind::kModify:
      request.kind = UpdateRequest::Kind::kModify;
      break;
    case ExpectedAppender::Kind::kTruncate:
      request.kind = UpdateRequest::Kind::kTruncate;
      break;
    default:
      CAIRN_CHECK_MSG(false, "not an update");
  }
  request.request_id = change.request_id;
  request.name = file->name();
  request.offset = change.offset;
  request.content = absl::Cord(change.data);
  request.crc32c = Crc32c(change.data);
  request.durability = durability;
  ExpectedAppender::Change* const begun = file->Begin(std::move(change));
  engine_->Update(std::move(request), AwaitChange(file, begun, durability));
}

void CrashDriver::CreateAppender(int64_t size, Durability durability) {
  const uint64_t number = next_name_++;
  appenders_.emplace_back(absl::StrCat("0a/00/appender-", number));
  ExpectedAppender* const file = &appenders_.back();
  ExpectedAppender::Change change;
  change.data = MakeContent(number, size);
  change.request_id = DrawRequestId();
  const std::string content = change.data;
  const Uuid request_id = change.request_id;
  ExpectedAppender::Change* const begun = file->Begin(std::move(change));
  CommitDone done = AwaitChange(file, begun, durability);
  if (size <= kAppenderCallBytes && Random(2) == 0) {
    PutRequest put;
    put.request_id = request_id;
    put.name = file->name();
    put.content = absl::Cord(content);
    put.crc32c = Crc32c(content);
    put.kind = FileKind::kAppender;
    put.create_unix_seconds = absl::ToUnixSeconds(clock_.Now());
    put.origin_node = options_.node_number;
    put.durability = durability;
    engine_->Put(std::move(put), std::move(done));
    WaitForAnswers();
    return;
  }
  auto upload = engine_->StartUpload(size);
  absl::Status written = upload.status();
  if (written.ok()) written = (*upload)->Write(absl::Cord(content));
  if (!written.ok()) {
    // Nothing is committed before Finish(), whatever the disk does.
    done(absl::IsAborted(written)
             ? ErrorWithReason(absl::StatusCode::kUnavailable,
                               ErrorReason::kShuttingDown, "given up")
             : written);
    WaitForAnswers();
    return;
  }
  Upload::FinishRequest finish;
  finish.request_id = request_id;
  finish.name = file->name();
  finish.kind = FileKind::kAppender;
  finish.create_unix_seconds = absl::ToUnixSeconds(clock_.Now());
  finish.origin_node = options_.node_number;
  finish.durability = durability;
  (*upload)->Finish(std::move(finish), std::move(done));
  WaitForAnswers();
}

void CrashDriver::UpdateAppender(Durability durability) {
  WaitForAnswers();
  ExpectedAppender* const file = PickAppender();
  if (file == nullptr) return;
  using Kind = ExpectedAppender::Kind;
  const auto size = static_cast<int64_t>(file->content().size());
  // A change changes something, so that states can be told apart.
  const int64_t data_bytes = 8 + DrawSize(300 << 10);
  ExpectedAppender::Change change;
  change.data = MakeContent(next_name_++, data_bytes);
  change.request_id = DrawRequestId();
  switch (Random(4)) {
    default: {
      const int burst = burst_max_ == 1 ? 1 : 1 + static_cast<int>(Random(10));
      for (int i = 0; i < burst; ++i) {
        ExpectedAppender::Change append;
        append.kind = Kind::kAppend;
        append.data = MakeContent(next_name_++, 8 + DrawSize(3000));
        append.request_id = DrawRequestId();
        SubmitChange(file, std::move(append), durability);
      }
      break;
    }
    case 0:
      change.kind = Kind::kModify;
      change.offset =
          static_cast<int64_t>(Random(static_cast<uint64_t>(size) + 1));
      SubmitChange(file, std::move(change), durability);
      break;
    case 1:
      change.kind = Kind::kTruncate;
      change.data.clear();
      change.offset = size + 1 + static_cast<int64_t>(Random(300000));
      if (size > 0 && Random(4) != 0) {
        change.offset =
            static_cast<int64_t>(Random(static_cast<uint64_t>(size)));
      }
      SubmitChange(file, std::move(change), durability);
      break;
  }
  WaitForAnswers();
  const ExpectedAppender::Change* const last = file->last();
  if (burst_max_ == 1 || Random(4) != 0 || last == nullptr ||
      !file->is_present() || last->request_id.is_nil() ||
      last->kind == Kind::kCreate) {
    return;
  }
  // A client that did not get its answer calls again.
  UpdateRequest again;
  again.kind = last->kind == Kind::kAppend   ? UpdateRequest::Kind::kAppend
               : last->kind == Kind::kModify ? UpdateRequest::Kind::kModify
                                             : UpdateRequest::Kind::kTruncate;
  again.request_id = last->request_id;
  again.name = file->name();
  again.offset = last->offset;
  again.content = absl::Cord(last->data);
  again.crc32c = Crc32c(last->data);
  again.durability = DrawDurability();
  Notification answered;
  absl::StatusOr<Committed> outcome;
  engine_->Update(std::move(again), [&](absl::StatusOr<Committed> committed) {
    outcome = std::move(committed);
    answered.Notify();
  });
  answered.WaitForNotification();
  file->CheckRepeated(outcome);
}

void CrashDriver::DeleteAppender(Durability durability) {
  WaitForAnswers();
  ExpectedAppender* const file = PickAppender();
  if (file == nullptr) return;
  ExpectedAppender::Change change;
  change.kind = ExpectedAppender::Kind::kDelete;
  ExpectedAppender::Change* const begun = file->Begin(std::move(change));
  DeleteRequest request;
  request.name = file->name();
  request.durability = durability;
  engine_->Delete(std::move(request), AwaitChange(file, begun, durability));
  WaitForAnswers();
}

Presence CrashDriver::VerifyAppender(ExpectedAppender* file) {
  ExpectedAppender::Seen seen;
  const absl::StatusOr<FileInfo> info = engine_->Stat(file->name());
  if (!info.ok()) {
    EXPECT_THAT(info, StatusIs(absl::StatusCode::kNotFound)) << file->name();
    seen.presence = ReasonOf(info.status()) == ErrorReason::kFileDeleted
                        ? kDeleted
                        : kAbsent;
    file->OnSeen(seen);
    return seen.presence;
  }
  seen.presence = kPresent;
  seen.info = *info;
  EXPECT_TRUE(info->kind == FileKind::kAppender) << file->name();
  const auto open = engine_->Open(file->name());
  if (ReasonOf(open.status()) != ErrorReason::kContentNotHere) {
    EXPECT_THAT(open, IsOk()) << file->name();
    if (open.ok()) {
      const auto content = (*open)->Read(0, info->size_bytes);
      EXPECT_THAT(content, IsOk()) << file->name();
      if (content.ok()) seen.content = std::string(*content);
    }
  }
  file->OnSeen(seen);
  const ExpectedAppender::Change* const last = file->last();
  if (last == nullptr || last->request_id.is_nil() || !file->is_present()) {
    return kPresent;
  }
  const auto replay =
      engine_->FindRequest(last->request_id, Durability::kCached);
  EXPECT_THAT(replay, IsOk());
  if (!replay.ok()) return kPresent;
  EXPECT_TRUE(replay->has_value())
      << file->name() << " was changed by a request that is not known";
  if (replay->has_value()) {
    EXPECT_TRUE((*replay)->replayed);
    EXPECT_EQ((*replay)->file.size_bytes, info->size_bytes);
    EXPECT_EQ((*replay)->file.crc32c, info->crc32c);
    EXPECT_TRUE((*replay)->file.version == info->version);
  }
  return kPresent;
}

void CrashDriver::Compact(double dead_share_min) {
  int64_t last = 0;
  const absl::Status status =
      engine_->Compact(dead_share_min, [&last](const JobProgress& progress) {
        EXPECT_GE(progress.done_bytes, last);
        last = progress.done_bytes;
      });
  EXPECT_FALSE(absl::IsDataLoss(status)) << status;
}

void CrashDriver::CompactAside() {
  if (compaction_.joinable()) return;
  compaction_ = std::thread([this] { Compact(0.1); });
}

void CrashDriver::JoinCompaction() {
  if (compaction_.joinable()) compaction_.join();
}

void CrashDriver::ReadRange(const ExpectedFile& file, OpenFile* open) {
  const int64_t offset =
      static_cast<int64_t>(Random(static_cast<uint64_t>(file.size_bytes) + 1));
  const int64_t length = static_cast<int64_t>(
      Random(static_cast<uint64_t>(file.size_bytes - offset) + 1));
  absl::optional<absl::StatusOr<absl::Cord>> content;
  if (Random(2) == 0) content = open->TryRead(offset, length);
  if (!content.has_value()) content = open->Read(offset, length);
  if (!content->ok()) {
    EXPECT_FALSE(absl::IsDataLoss(content->status())) << content->status();
    return;
  }
  const std::string whole = MakeContent(file.content_seed, file.size_bytes);
  EXPECT_TRUE(**content ==
              absl::string_view(whole).substr(static_cast<size_t>(offset),
                                              static_cast<size_t>(length)))
      << file.name << " was served wrong at " << offset << "+" << length;
}

void CrashDriver::ReadSomething() {
  const ExpectedFile* const file = expected_.PickPresent(rng_());
  if (file == nullptr) return;
  absl::optional<absl::StatusOr<std::unique_ptr<OpenFile>>> open;
  if (Random(2) == 0) open = engine_->TryOpen(file->name);
  if (!open.has_value()) open = engine_->Open(file->name);
  if (!open->ok()) {
    EXPECT_THAT(open->status(), StatusIs(absl::StatusCode::kUnavailable))
        << file->name;
    return;
  }
  ReadRange(*file, (*open)->get());
  if (Random(3) == 0 && held_.size() < 4) {
    held_.push_back({file, std::move(**open)});
  }
}

void CrashDriver::ReadHeld() {
  if (held_.empty()) return;
  const size_t index = Random(held_.size());
  ReadRange(*held_[index].file, held_[index].open.get());
  if (Random(2) == 0) held_.erase(held_.begin() + static_cast<int>(index));
}

void CrashDriver::Work(int steps) {
  for (int step = 0; step < steps && !fs_.stopped(); ++step) {
    switch (Random(16)) {
      default: {
        const int burst = 1 + static_cast<int>(Random(burst_max_));
        for (int i = 0; i < burst; ++i) {
          if (Random(4) == 0) {
            Delete(DrawDurability());
          } else {
            const int64_t size = DrawSize(options_.small_file_bytes_max);
            PutSmall(size, DrawDurability());
          }
          if (burst_max_ == 1) WaitForAnswers();
        }
        if (Random(3) != 0) WaitForAnswers();
        break;
      }
      case 0:
      case 1: {
        const int64_t size = DrawSize(kUploadBytesMax);
        PutLarge(size, DrawDurability());
        break;
      }
      case 2:
      case 3:
        for (int i = 0; i < 4; ++i) Delete(DrawDurability());
        WaitForAnswers();
        break;
      case 4:
        if (burst_max_ == 1) {
          Compact(0.1);
        } else {
          CompactAside();
        }
        break;
      case 5:
        if (Random(2) == 0) {
          Retry();
        } else {
          for (int i = 0; i < 3; ++i) CopyLarge(DrawDurability());
        }
        break;
      case 6:
        ReadSomething();
        break;
      case 7:
        ReadHeld();
        break;
      case 8:
        clock_.Advance(absl::Seconds(Random(20)));
        break;
      case 9:
        if (Random(3) == 0) {
          DeleteAppender(DrawDurability());
        } else {
          CreateAppender(DrawSize(kUploadBytesMax), DrawDurability());
        }
        break;
      case 10:
      case 11:
        UpdateAppender(DrawDurability());
        break;
      case 12:
        for (int i = 0; i < 4; ++i) Undelete(DrawDurability());
        if (Random(4) == 0) PurgeDeleted(DrawDurability());
        WaitForAnswers();
        if (Random(8) == 0) DropDeleted();
        break;
    }
    if (Random(4) == 0) JoinCompaction();
  }
}

void CrashDriver::End(Ending ending) {
  const StorePathStatus status = engine_->Status();
  if (status.incarnation == incarnation_ && status.epoch == epoch_) {
    EXPECT_GE(status.last_sequence, last_sequence_);
  }
  epoch_ = status.epoch;
  last_sequence_ = status.last_sequence;

  if (ending == Ending::kCleanStop) {
    WaitForAnswers();
    JoinCompaction();
    held_.clear();
    // A path that is broken, or a disk that is, cannot be closed cleanly.
    const bool well = engine_->Numbers().writable;
    engine_->Stop();
    if (!well || fs_.stopped()) ending = Ending::kKilled;
  } else {
    // From here on nothing reaches the disk, whatever the destructors do.
    fs_.StopAfter(0);
  }
  held_.clear();
  if (ending != Ending::kCleanStop) engine_->Stop();
  JoinCompaction();
  engine_.reset();
  WaitForAnswers();
  EndWhileOpening(ending);
}

void CrashDriver::EndWhileOpening(Ending ending) {
  CAIRN_CHECK(engine_ == nullptr);
  fs_.faults().Clear();
  clean_ = ending == Ending::kCleanStop;
  if (ending == Ending::kPowerCut) {
    fs_.Crash();
    options_.boot_id = absl::StrCat("boot-", ++boot_);
  } else {
    fs_.KillProcess();
  }
  expected_.OnEnding(ending);
  for (ExpectedAppender& file : appenders_) file.OnEnding(ending);
  // The wall clock may have been set meanwhile, either way.
  if (Random(4) == 0) {
    clock_.JumpTo(clock_.Now() + absl::Seconds(Random(7200)) -
                  absl::Seconds(3600));
  }
}

absl::Status CrashDriver::Rebuild() {
  CAIRN_CHECK(engine_ == nullptr);
  const auto report = RebuildIndex(options_, &fs_, &clock_);
  if (!report.ok()) return report.status();
  // A torn tail looks like damage as long as nobody has cut it off. Content may
  // be missing at any time: a large file that was not synced and did not
  // survive leaves its record in the journal.
  if (clean_) {
    EXPECT_EQ(report->damaged_records, 0);
  }
  expected_.ForgetRequests();
  for (ExpectedAppender& file : appenders_) file.ForgetRequests();
  return absl::OkStatus();
}

}  // namespace storage
}  // namespace cairn
