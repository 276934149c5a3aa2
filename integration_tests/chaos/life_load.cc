#include "integration_tests/chaos/life_load.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "integration_tests/chaos/client_load.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace testing {
namespace {

using Kind = FileChange::Kind;

// As ClientLoad's: a call gives up long before a fault ends that lasts.
constexpr absl::Duration kCallTimeout = absl::Seconds(8);
constexpr absl::Duration kStallTimeout = absl::Seconds(4);

constexpr absl::Duration kPartPause = absl::Milliseconds(15);

constexpr size_t kManyMax = 8;
constexpr uint64_t kPaths = 2;
constexpr uint64_t kPrefixes = 2;

client::ClientOptions CallOptions() {
  client::ClientOptions options;
  options.connect_timeout = kProcessDeadline;
  options.timeout = kCallTimeout;
  options.stall_timeout = kStallTimeout;
  return options;
}

bool IsIdle(const OwnFile& file) {
  return !file.set_aside && !file.life.is_open() && !file.life.now().expiring &&
         file.copies_open == 0 && file.home >= 0;
}

const char* NameOf(Making making) {
  switch (making) {
    case Making::kPut:
      return "put";
    case Making::kShared:
      return "share";
    case Making::kDerived:
      return "derive";
    case Making::kCopy:
      return "copy";
    case Making::kAppender:
      return "create";
    case Making::kInParts:
      return "put in parts";
  }
  return "";
}

std::string NameOf(const LifeCall& call) {
  if (call.change.kind == Kind::kMake) return NameOf(call.making);
  if (call.with_derived) return "delete with derived";
  return NameOf(call.change.kind);
}

// Whether the change took place without its answer: what a node says that
// treats the repetition as one of a file that has expired meanwhile.
bool SaysThatItExpired(const OwnFile& file, const absl::Status& status) {
  const FileChange& change = file.life.open();
  return (change.expiring || change.made.expiring) &&
         ReasonOf(status) == ErrorReason::kFileExpired;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LifeLoad>> LifeLoad::Connect(
    LifeLoadOptions options, Oracle* oracle) {
  client::ClientOptions connect = CallOptions();
  connect.trackers = options.trackers;
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<client::Client> client,
                         client::Client::Connect(connect));
  return std::unique_ptr<LifeLoad>(
      new LifeLoad(std::move(options), oracle, std::move(client)));
}

LifeLoad::LifeLoad(LifeLoadOptions options, Oracle* oracle,
                   std::unique_ptr<client::Client> client)
    : options_(std::move(options)),
      oracle_(oracle),
      client_(std::move(client)) {
  for (int i = 0; i < options_.writers; ++i) {
    writers_.emplace_back(i, options_.seed * 104729 + static_cast<uint64_t>(i));
  }
}

LifeLoad::~LifeLoad() { Stop().IgnoreError(); }

absl::Status LifeLoad::AddMember(const std::string& address,
                                 uint32_t node_number) {
  client::ClientOptions options = CallOptions();
  options.storage = address;
  Member member;
  member.node_number = node_number;
  CAIRN_ASSIGN_OR_RETURN(member.client, client::Client::Connect(options));
  options.attempts_max = 1;
  CAIRN_ASSIGN_OR_RETURN(member.once, client::Client::Connect(options));
  MutexLock lock(&mu_);
  members_.push_back(std::move(member));
  return absl::OkStatus();
}

void LifeLoad::Start() {
  {
    MutexLock lock(&mu_);
    stopping_ = false;
  }
  for (Writer& writer : writers_) {
    writer.made = 0;
    threads_.emplace_back([this, &writer] { Run(&writer); });
  }
}

absl::Status LifeLoad::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  MutexLock lock(&mu_);
  return violation_;
}

bool LifeLoad::Pause(absl::Duration duration) {
  const absl::Time until = absl::Now() + duration;
  MutexLock lock(&mu_);
  while (!stopping_ && absl::Now() < until) {
    changed_.WaitWithTimeout(&mu_, until - absl::Now());
  }
  return !stopping_;
}

int64_t LifeLoad::Say(absl::string_view text) {
  oracle_->Remark(absl::StrCat("life ", text));
  return oracle_->lines();
}

void LifeLoad::Count(int64_t LifeCounts::*count) {
  MutexLock lock(&mu_);
  ++(counts_.*count);
}

void LifeLoad::Forsake(int member, uint32_t store_path) {
  MutexLock lock(&mu_);
  ++wipes_[{member, store_path}];
}

int LifeLoad::WipesOf(int home, uint32_t store_path) const {
  if (home >= 0) {
    const auto it = wipes_.find({home, store_path});
    return it == wipes_.end() ? 0 : it->second;
  }
  int all = 0;
  for (const auto& [where, count] : wipes_) all += count;
  return all;
}

bool LifeLoad::IsForsaken(OwnFile* file) {
  MutexLock lock(&mu_);
  if (WipesOf(file->home, file->store_path) == file->wipes_seen) return false;
  // Without a home it is a new file, wherever it is made.
  if (file->home < 0) return false;
  file->set_aside = true;
  return true;
}

client::Client* LifeLoad::ClientOf(const OwnFile& file) {
  MutexLock lock(&mu_);
  return file.home < 0
             ? client_.get()
             : members_.at(static_cast<size_t>(file.home)).client.get();
}

client::Client* LifeLoad::member_client(int member) {
  MutexLock lock(&mu_);
  return members_.at(static_cast<size_t>(member)).client.get();
}

int LifeLoad::members() const {
  MutexLock lock(&mu_);
  return static_cast<int>(members_.size());
}

std::vector<OwnFile*> LifeLoad::files() {
  std::vector<OwnFile*> files;
  for (Writer& writer : writers_) {
    for (OwnFile& file : writer.files) files.push_back(&file);
  }
  return files;
}

LifeCounts LifeLoad::counts() const {
  MutexLock lock(&mu_);
  return counts_;
}

// ---- What is done next.

void LifeLoad::Run(Writer* writer) {
  while (Pause(options_.pause)) {
    absl::Status status;
    const uint64_t dice = writer->draw.Below(20);
    if (dice < 2) {
      status = Probe(writer);
    } else if (dice < 5) {
      status = Read(writer);
    } else if (dice == 5) {
      Move(writer);
    } else {
      status = Ask(writer, DrawRound(writer));
    }
    if (status.ok()) continue;
    Say(absl::StrCat("violation: ", status.ToString()));
    MutexLock lock(&mu_);
    violation_.Update(status);
    return;
  }
}

OwnFile* LifeLoad::AnyIdle(Writer* writer) {
  std::vector<OwnFile*> idle;
  for (OwnFile& file : writer->files) {
    if (IsIdle(file)) idle.push_back(&file);
  }
  return idle.empty() ? nullptr : idle[writer->draw.Below(idle.size())];
}

OwnFile* LifeLoad::NewFile(Writer* writer, int home, uint32_t store_path) {
  OwnFile* const file = &writer->files.emplace_back();
  file->label = absl::StrCat(writer->index, ".", writer->files.size());
  file->writer = writer->index;
  file->home = home;
  file->store_path = store_path;
  MutexLock lock(&mu_);
  file->wipes_seen = WipesOf(home, store_path);
  return file;
}

void LifeLoad::Open(Writer* writer, OwnFile* file, FileChange change) {
  LifeCall* const call = &file->call;
  call->file_id = file->file_id;
  call->request = Uuid::Random();
  call->durability = DrawDurability(writer->draw.random());
  call->size_before = static_cast<int64_t>(file->life.now().content.size());
  call->with_derived = false;
  call->change = change;
  if (change.kind == Kind::kDelete && !file->derived.empty()) {
    TakeFollowers(file);
  }
  const int64_t line = Say(
      absl::StrCat(file->label, " asks ", NameOf(*call), " ", file->file_id,
                   " home ", file->home, " request ", call->request.ToString(),
                   " replicas ", call->durability.replicas));
  file->life.Ask(std::move(change), line);
  if (!call->with_derived) return;
  for (OwnFile* derived : file->derived) {
    if (derived->follows) derived->life.Ask(file->life.open(), line);
  }
}

// All that are derived from it go with it, if that can be said of each.
void LifeLoad::TakeFollowers(OwnFile* master) {
  for (const OwnFile* derived : master->derived) {
    if (!IsIdle(*derived)) return;
  }
  master->call.with_derived = true;
  for (OwnFile* derived : master->derived) {
    derived->follows = derived->life.now().is_there();
  }
}

std::vector<OwnFile*> LifeLoad::DrawRound(Writer* writer) {
  LifeDraw& draw = writer->draw;
  std::vector<OwnFile*> open;
  for (OwnFile& file : writer->files) {
    if (!file.set_aside && !file.follows && file.life.is_open()) {
      open.push_back(&file);
    }
  }
  if (!open.empty() && (open.size() > 6 || draw.OneIn(2))) {
    return {open[draw.Below(open.size())]};
  }
  if (draw.OneIn(6)) return DrawMany(writer);
  OwnFile* file = nullptr;
  if (draw.OneIn(3) && writer->made < options_.files_max) {
    ++writer->made;
    file = DrawNew(writer);
  } else {
    const uint64_t dice = draw.Below(8);
    file = dice == 0   ? DrawDerived(writer)
           : dice == 1 ? DrawCopy(writer)
                       : DrawChange(writer);
  }
  if (file == nullptr) return {};
  return {file};
}

// As much as fits into one message: of one kind, and of files of any home.
std::vector<OwnFile*> LifeLoad::DrawMany(Writer* writer) {
  LifeDraw& draw = writer->draw;
  std::vector<OwnFile*> files;
  const uint64_t dice = draw.Below(4);
  if (dice == 0) {
    while (files.size() < kManyMax && writer->made < options_.files_max) {
      ++writer->made;
      OwnFile* const file = NewFile(writer, -1, 0);
      FileChange change;
      change.made = draw.Made(Making::kPut);
      Open(writer, file, std::move(change));
      files.push_back(file);
    }
    return files;
  }
  for (OwnFile& file : writer->files) {
    if (files.size() == kManyMax) break;
    if (!IsIdle(file) || !file.life.now().is_there() || !file.derived.empty() ||
        !draw.OneIn(3)) {
      continue;
    }
    FileChange change;
    if (dice == 1) {
      change.kind = draw.OneIn(4) ? Kind::kPurge : Kind::kDelete;
    } else {
      change = draw.Description();
    }
    Open(writer, &file, std::move(change));
    files.push_back(&file);
  }
  return files;
}

OwnFile* LifeLoad::DrawNew(Writer* writer) {
  LifeDraw& draw = writer->draw;
  FileChange change;
  const bool in_parts = writer->index + 1 == options_.writers && !draw.OneIn(3);
  const uint64_t dice = draw.Below(6);
  if (in_parts) {
    OwnFile* const file = NewFile(writer, -1, 0);
    change.made = draw.Made(Making::kInParts);
    file->call.making = Making::kInParts;
    file->call.source_file =
        absl::StrCat(options_.folder, "/parts-", file->label);
    file->call.part_sent = [this] { Pause(kPartPause); };
    std::ofstream(file->call.source_file, std::ios::binary)
        << std::string(change.made.content);
    Open(writer, file, std::move(change));
    return file;
  }
  if (dice < 2) {
    const auto home =
        static_cast<int>(draw.Below(static_cast<uint64_t>(members())));
    const auto path = static_cast<uint32_t>(draw.Below(kPaths));
    OwnFile* const file = NewFile(writer, home, path);
    change.made = draw.Made(Making::kAppender);
    file->call.making = Making::kAppender;
    file->call.store_path = path;
    Open(writer, file, std::move(change));
    return file;
  }
  OwnFile* const file = NewFile(writer, -1, 0);
  if (dice < 4) {
    uint32_t path = 0;
    change.made = draw.Shared(options_.seed, &path);
    file->call.making = Making::kShared;
    file->call.store_path = path;
  } else {
    change.made = draw.Made(Making::kPut);
  }
  Open(writer, file, std::move(change));
  return file;
}

OwnFile* LifeLoad::DrawDerived(Writer* writer) {
  LifeDraw& draw = writer->draw;
  OwnFile* const master = AnyIdle(writer);
  if (master == nullptr || master->master != nullptr) return nullptr;
  const std::string prefix = absl::StrCat("_", draw.Below(kPrefixes));
  const absl::StatusOr<std::string> id =
      DerivedFileId(master->file_id, prefix, "");
  CAIRN_CHECK_OK(id.status());
  FileChange change;
  change.made = draw.Made(Making::kDerived);
  OwnFile* file = nullptr;
  for (OwnFile* derived : master->derived) {
    if (derived->file_id == *id) file = derived;
  }
  if (file == nullptr) {
    file = NewFile(writer, master->home, master->store_path);
    file->wipes_seen = master->wipes_seen;
    file->file_id = *id;
    file->master = master;
    file->call.making = Making::kDerived;
    file->call.made_of = master->file_id;
    file->call.prefix = prefix;
    master->derived.push_back(file);
  } else if (!IsIdle(*file)) {
    return nullptr;
  } else if (file->life.now().is_there()) {
    // The same once more; another one is for Probe().
    change.made = file->life.now();
  }
  Open(writer, file, std::move(change));
  return file;
}

OwnFile* LifeLoad::DrawCopy(Writer* writer) {
  LifeDraw& draw = writer->draw;
  OwnFile* const source = AnyIdle(writer);
  if (source == nullptr || !source->life.now().is_there() ||
      source->life.now().kind == client::FileKind::kAppender) {
    return nullptr;
  }
  OwnFile* const file = NewFile(writer, source->home, source->store_path);
  file->wipes_seen = source->wipes_seen;
  file->source = source;
  ++source->copies_open;
  file->call.making = Making::kCopy;
  file->call.made_of = source->file_id;
  file->call.keeps_attributes = draw.OneIn(2);
  FileChange change;
  change.made = draw.CopyOf(source->life.now(), file->call.keeps_attributes);
  Open(writer, file, std::move(change));
  return file;
}

OwnFile* LifeLoad::DrawChange(Writer* writer) {
  OwnFile* const file = AnyIdle(writer);
  if (file == nullptr) return nullptr;
  absl::optional<FileChange> change = writer->draw.Change(file->life.now());
  if (!change.has_value()) return nullptr;
  Open(writer, file, *std::move(change));
  return file;
}

// ---- Doing it.

absl::Status LifeLoad::Ask(Writer* writer, const std::vector<OwnFile*>& files) {
  std::vector<OwnFile*> asked;
  std::vector<LifeCall*> calls;
  for (OwnFile* file : files) {
    if (IsForsaken(file)) continue;
    file->call.client = ClientOf(*file);
    asked.push_back(file);
    calls.push_back(&file->call);
  }
  const std::vector<absl::StatusOr<LifeAnswer>> answers = MakeCalls(calls);
  for (size_t i = 0; i < asked.size(); ++i) {
    if (answers[i].ok()) {
      TakeAnswer(asked[i], *answers[i]);
    } else {
      CAIRN_RETURN_IF_ERROR(TakeFailure(writer, asked[i], answers[i].status()));
    }
  }
  return absl::OkStatus();
}

void LifeLoad::TakeAnswer(OwnFile* file, const LifeAnswer& answer) {
  const LifeCall& call = file->call;
  const int64_t line = Say(absl::StrCat(
      file->label, " done ", NameOf(call), " ", answer.info.file_id,
      " replicas ", answer.replicas, answer.replayed ? " replayed" : ""));
  if (IsForsaken(file)) file->life.Cloud();
  if (call.change.kind == Kind::kMake) TakeMade(file, answer);
  const FileLife::Answered answered = {.replicas = answer.replicas,
                                       .taken_by = NodeNumberOf(file->home),
                                       .line = line};
  const FileState before = file->life.now();
  const bool is_sealed = call.change.kind == Kind::kSeal;
  file->life.Answer(answered, [&](FileState* state) {
    if (is_sealed) state->sealed_as = answer.info.file_id;
  });
  if (is_sealed) TakeSealed(*file, before, answered);
  for (OwnFile* derived : file->derived) {
    if (!std::exchange(derived->follows, false)) continue;
    derived->life.Answer(answered);
    if (file->set_aside) derived->set_aside = true;
  }
  MutexLock lock(&mu_);
  ++counts_.done[NameOf(call)];
}

// Where a file lies that was made.
void LifeLoad::TakeMade(OwnFile* file, const LifeAnswer& answer) {
  file->file_id = answer.info.file_id;
  const absl::StatusOr<FileIdParts> parts = ParseFileId(file->file_id);
  CAIRN_CHECK_OK(parts.status());
  file->store_path = parts->store_path;
  if (!file->call.source_file.empty()) {
    std::filesystem::remove(file->call.source_file);
  }
  if (file->source != nullptr) {
    --std::exchange(file->source, nullptr)->copies_open;
  }
  if (file->home >= 0) return;
  MutexLock lock(&mu_);
  // It may have lain there.
  if (WipesOf(-1, 0) != file->wipes_seen) file->set_aside = true;
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].node_number == answer.info.origin_node) {
      file->home = static_cast<int>(i);
    }
  }
  file->wipes_seen = WipesOf(file->home, file->store_path);
}

// What an appender became, which has all that it had.
void LifeLoad::TakeSealed(const OwnFile& appender, const FileState& before,
                          const FileLife::Answered& answered) {
  OwnFile* const became =
      NewFile(&writers_.at(static_cast<size_t>(appender.writer)), appender.home,
              appender.store_path);
  became->wipes_seen = appender.wipes_seen;
  became->set_aside = appender.set_aside;
  became->file_id = appender.life.now().sealed_as;
  FileChange made;
  made.made = before;
  made.made.kind = client::FileKind::kNormal;
  became->life.Ask(std::move(made), answered.line);
  became->life.Answer(answered);
}

uint32_t LifeLoad::NodeNumberOf(int member) const {
  MutexLock lock(&mu_);
  return member < 0 ? 0 : members_.at(static_cast<size_t>(member)).node_number;
}

absl::Status LifeLoad::TakeFailure(Writer* writer, OwnFile* file,
                                   const absl::Status& status) {
  Say(absl::StrCat(file->label, " failed ", NameOf(file->call), ": ",
                   status.ToString()));
  Count(&LifeCounts::repeated);
  const bool is_forsaken = IsForsaken(file);
  if (is_forsaken) {
    file->life.Cloud();
    for (OwnFile* derived : file->derived) {
      if (derived->follows) derived->life.Cloud();
    }
    return absl::OkStatus();
  }
  if (SaysThatItExpired(*file, status)) {
    if (file->file_id.empty()) {
      file->life.Refuse();  // It is gone, and nobody knows its name.
      file->set_aside = true;
      return absl::OkStatus();
    }
    LifeAnswer answer;
    answer.info.file_id = file->file_id;
    answer.replicas = 1;
    TakeAnswer(file, answer);
    return absl::OkStatus();
  }
  if (ReasonOf(status) == ErrorReason::kUploadNotFound) {
    // It may have lain on what was wiped.
    MutexLock lock(&mu_);
    const int wipes = WipesOf(-1, 0);
    if (wipes != file->wipes_seen) {
      file->wipes_seen = wipes;
      file->call.upload = {};
      return absl::OkStatus();
    }
  }
  if (!MayHappenToAChange(status)) {
    return WithContext(status, absl::StrCat(NameOf(file->call), " of ",
                                            file->label, " ", file->file_id));
  }
  // Most are asked for again; some are left in doubt.
  if (writer->draw.OneIn(10)) {
    file->set_aside = true;
    for (OwnFile* derived : file->derived) {
      if (derived->follows) derived->set_aside = true;
    }
  }
  return absl::OkStatus();
}

// Asks for what must be refused.
absl::Status LifeLoad::Probe(Writer* writer) {
  OwnFile* const file = AnyIdle(writer);
  if (file == nullptr || IsForsaken(file)) return absl::OkStatus();
  const FileState& state = file->life.now();
  LifeCall call;
  absl::optional<FileChange> change;
  if (file->master != nullptr && state.is_there() && writer->draw.OneIn(2)) {
    call = file->call;
    change = FileChange();
    change->made = writer->draw.Made(Making::kDerived);
    if (Refusal(state, *change) == ErrorReason::kUnspecified) {
      return absl::OkStatus();
    }
  } else {
    change = writer->draw.Refused(state);
  }
  if (!change.has_value()) return absl::OkStatus();
  {
    MutexLock lock(&mu_);
    call.client = members_.at(static_cast<size_t>(file->home)).once.get();
  }
  call.change = *change;
  call.with_derived = false;
  call.file_id = file->file_id;
  call.request = Uuid::Random();
  call.durability = client::Durability();
  const absl::StatusOr<LifeAnswer> answer = MakeCalls({&call}).front();
  const ErrorReason expected = Refusal(state, *change);
  if (ReasonOf(answer.status()) == expected &&
      (expected != ErrorReason::kFileSealed ||
       MetadataOf(answer.status())["file_id"] == state.sealed_as)) {
    Count(&LifeCounts::refused);
    return absl::OkStatus();
  }
  if (IsForsaken(file)) {
    file->life.Cloud();
    return absl::OkStatus();
  }
  const std::string what =
      absl::StrCat(NameOf(call.change.kind), " of ", file->label, " ",
                   file->file_id, ", which is ", Describe(state));
  Say(absl::StrCat(what, ": ", answer.status().ToString()));
  if (answer.ok()) {
    return absl::InternalError(absl::StrCat(what, " was not refused"));
  }
  if (!MayHappenToAChange(answer.status())) {
    return WithContext(answer.status(), what);
  }
  // It may arrive later, when it need not be refused any more.
  if (ReasonOf(answer.status()) == ErrorReason::kUnspecified) {
    file->set_aside = true;
  }
  return absl::OkStatus();
}

absl::Status LifeLoad::Read(Writer* writer) {
  std::vector<OwnFile*> files;
  std::vector<std::string> ids;
  OwnFile* const first = AnyIdle(writer);
  if (first == nullptr || IsForsaken(first)) return absl::OkStatus();
  for (OwnFile& file : writer->files) {
    if (!IsIdle(file) || file.home != first->home || IsForsaken(&file)) {
      continue;
    }
    if (&file != first &&
        (files.size() == kManyMax || !writer->draw.OneIn(3))) {
      continue;
    }
    files.push_back(&file);
    ids.push_back(file.file_id);
  }
  const std::vector<Seen> seen = writer->draw.OneIn(3)
                                     ? StatAll(ClientOf(*first), ids)
                                     : ReadAll(ClientOf(*first), ids);
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string difference = Difference(seen[i], files[i]->life.now());
    if (difference.empty()) {
      Count(&LifeCounts::reads);
    } else if (!MayHappen(seen[i].status) || seen[i].status.ok()) {
      if (IsForsaken(files[i])) continue;
      return absl::DataLossError(absl::StrCat(
          files[i]->label, " ", ids[i], " is read at its home ", first->home,
          " as ", difference, " and is ", Describe(files[i]->life.now())));
    }
  }
  return absl::OkStatus();
}

void LifeLoad::Move(Writer* writer) {
  OwnFile* const file = AnyIdle(writer);
  if (file == nullptr || IsForsaken(file)) return;
  if (!file->life.now().is_there() || file->master != nullptr ||
      !file->derived.empty() ||
      file->life.now().kind == client::FileKind::kAppender) {
    return;
  }
  int wipes = 0;
  {
    MutexLock lock(&mu_);
    wipes = WipesOf(-1, 0);
  }
  client::StatOptions options;
  options.include_replicas = true;
  options.timeout = kCallTimeout;
  const absl::StatusOr<client::FileInfo> info =
      ClientOf(*file)->Stat(file->file_id, options);
  if (!info.ok()) return;
  MutexLock lock(&mu_);
  if (WipesOf(-1, 0) != wipes) return;
  for (const client::Replica& replica : info->replicas) {
    if (replica.state != client::ReplicaState::kCurrent) continue;
    for (size_t i = 0; i < members_.size(); ++i) {
      if (members_[i].node_number != replica.node_number ||
          static_cast<int>(i) == file->home) {
        continue;
      }
      file->home = static_cast<int>(i);
      file->wipes_seen = WipesOf(file->home, file->store_path);
      ++counts_.moves;
      return;
    }
  }
}

void LifeLoad::Settle(OwnFile* file, FileState state, bool set_aside) {
  file->life.Settle(std::move(state));
  file->follows = false;
  file->source = nullptr;
  file->copies_open = 0;
  file->set_aside = set_aside;
  MutexLock lock(&mu_);
  file->wipes_seen = WipesOf(file->home, file->store_path);
}

}  // namespace testing
}  // namespace cairn
