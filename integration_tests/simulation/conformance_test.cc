// The model of a store path says what the engine says: two paths of a group,
// once on engines and once on models, are given the same calls, drawn from a
// seed, and must answer alike and hold the same. What power cuts leave is drawn
// by each on its own, so that is left to the crash tests.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "integration_tests/simulation/event_loop.h"
#include "integration_tests/simulation/model_disk.h"
#include "integration_tests/simulation/model_path.h"
#include "lib/attributes/attributes.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/seed_run.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace simulation {
namespace {

using storage::CommitDone;
using storage::Committed;
using storage::Durability;
using storage::FileKind;
using storage::KnownFile;
using storage::LogId;
using storage::LogRange;
using storage::ReplicatedChange;

using Mode = ReplicatedChange::Mode;

constexpr int64_t kSmallMax = 256;
constexpr int64_t kDedupMin = 64;

// Of what is deleted, and of what has expired.
constexpr absl::Duration kUndeleteWindow = absl::Hours(1);
constexpr absl::Duration kExpiryGrace = absl::Hours(24 * 365 * 500);

// A path of one member.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual storage::StorePath* path() = 0;
  virtual void KillAndOpen() = 0;
  virtual void StopAndOpen() = 0;

  storage::ReplicaStore* replica() { return path()->replica(); }
  LogId own() { return replica()->Logs().front().log; }
  FakeClock* clock() { return &clock_; }

  template <typename Call>
  absl::StatusOr<Committed> Await(Call call) {
    Notification done;
    absl::StatusOr<Committed> answer;
    call([&](absl::StatusOr<Committed> committed) {
      answer = std::move(committed);
      done.Notify();
    });
    Wait(&done);
    return answer;
  }

 protected:
  virtual void Wait(Notification* done) = 0;
  FakeClock clock_;
};

class EngineSubject : public Subject {
 public:
  explicit EngineSubject(uint32_t number)
      : fs_(number), options_(storage::TestPathOptions("/disk/path")) {
    options_.node_number = number;
    options_.node_uuid = Uuid::Random();
    options_.small_file_bytes_max = kSmallMax;
    options_.dedup_bytes_min = kDedupMin;
    options_.undelete_window = kUndeleteWindow;
    options_.expiry_grace = kExpiryGrace;
    // The model has no segments that tombstones would shadow.
    options_.tombstone_retention = absl::Hours(24 * 365 * 500);
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
    Open();
  }

  storage::StorePath* path() override { return path_.get(); }
  void KillAndOpen() override {
    // Nothing reaches the disk from here on, whatever the destructors do.
    fs_.StopAfter(0);
    path_.reset();
    fs_.KillProcess();
    Open();
  }
  void StopAndOpen() override {
    path_->Stop();
    Open();
  }

 private:
  void Open() {
    path_.reset();
    auto opened = storage::OpenStorePath(options_, &fs_, &clock_);
    CAIRN_CHECK_OK(opened.status());
    path_ = *std::move(opened);
  }
  void Wait(Notification* done) override { done->WaitForNotification(); }

  CrashableFileSystem fs_;
  storage::StorePathOptions options_;
  std::unique_ptr<storage::Engine> path_;
};

class ModelSubject : public Subject {
 public:
  explicit ModelSubject(uint32_t number)
      : loop_(number, /*print=*/false), disk_(&loop_) {
    options_.node_number = number;
    options_.small_file_bytes_max = kSmallMax;
    options_.dedup_bytes_min = kDedupMin;
    options_.undelete_window = kUndeleteWindow;
    options_.expiry_grace = kExpiryGrace;
    options_.tombstone_retention = absl::Hours(24 * 365 * 500);
    Open();
  }

  storage::StorePath* path() override { return path_.get(); }
  void KillAndOpen() override {
    path_->Kill();
    Open();
  }
  void StopAndOpen() override {
    path_->Stop();
    Open();
  }

 private:
  void Open() {
    path_.reset();
    path_ = std::make_unique<ModelPath>(options_, &faults_, &disk_, &loop_,
                                        &clock_);
  }
  void Wait(Notification* done) override {
    while (!done->HasBeenNotified()) CAIRN_CHECK(loop_.Step());
  }

  ModelPathOptions options_;
  DiskFaults faults_;
  EventLoop loop_;
  ModelDisk disk_;
  std::unique_ptr<ModelPath> path_;
};

// Members A and B, of one kind.
struct Pair {
  std::unique_ptr<Subject> a;
  std::unique_ptr<Subject> b;

  Subject* at(int i) { return (i == 0 ? a : b).get(); }

  // The same for both kinds: incarnations are drawn.
  std::string NameOf(const LogId& log) {
    if (log.is_nil()) return "-";
    const char* const member =
        log.incarnation == a->own().incarnation ? "a" : "b";
    return absl::StrCat(member, log.epoch);
  }
};

std::string Of(const absl::Status& status) {
  return absl::StrCat(static_cast<int>(status.code()), " reason ",
                      static_cast<int>(ReasonOf(status)));
}

std::string Of(Pair* pair, const absl::StatusOr<Committed>& answer) {
  if (!answer.ok()) return Of(answer.status());
  return absl::StrCat(
      answer->file.name, " ", answer->file.size_bytes, " ",
      answer->file.version.clock, "/", answer->file.version.node, " change ",
      pair->NameOf(answer->change.log), " ", answer->change.sequence,
      answer->replayed ? " replayed" : "", " replicas ", answer->replicas,
      " life ", answer->file.life, " until ",
      answer->file.undelete_until_unix_seconds, " of ",
      answer->file.sealed_from, answer->file.copied_from);
}

std::string Of(Pair* pair, const KnownFile& known) {
  const storage::FileInfo& file = known.file;
  return absl::StrCat(
      file.name, " kind ", static_cast<int>(file.kind), " ", file.size_bytes,
      " ", file.crc32c, " ", file.version.clock, "/", file.version.node,
      " life ", file.life, " from ", file.origin_node,
      known.deleted ? " deleted" : "", " expires ", file.expire_unix_seconds,
      " {", absl::CEscape(file.attributes), "}",
      known.content_missing ? " missing" : "", " until ",
      file.undelete_until_unix_seconds, " sealed from ", file.sealed_from,
      " as ", file.sealed_as, " copied from ", file.copied_from,
      " grown since ", file.grown_since.clock, "/", file.grown_since.node,
      " change ", pair->NameOf(known.change.log), " ", known.change.sequence,
      known.deleted || file.sha256.empty() ? "" : " hashed",
      !known.deleted && file.deduplicated ? " shared" : "");
}

std::string Of(const absl::optional<storage::FileState>& state) {
  if (!state.has_value()) return "";
  return absl::StrCat("(", state->version.clock, "/", state->version.node, " ",
                      state->size_bytes, " ", state->crc32c, ")");
}

// What a script has done so far, alike for both kinds.
struct Script {
  // The number of the next file: "f0", "f1", …
  int files = 0;

  // Changes of each appender. More than a few, and the engine would merge the
  // pieces in its own time.
  std::map<std::string, int> updates;
  std::set<std::string> names;  // Of all that was ever put.
};

// All that can be asked of a path.
std::string Describe(Pair* pair, const Script& script, int member) {
  Subject* const subject = pair->at(member);
  std::string text;
  std::vector<std::string> logs;
  for (const LogRange& range : subject->replica()->Logs()) {
    std::string log =
        absl::StrCat(pair->NameOf(range.log), " cut ", range.cut, " applied ",
                     range.applied, range.own ? " own" : "", ":");
    const auto entries =
        subject->replica()->ReadLog(range.log, range.cut, 1000);
    if (entries.ok()) {
      for (const storage::LogEntry& entry : *entries) {
        absl::StrAppend(&log, " ", entry.sequence,
                        entry.kind == storage::ChangeKind::kPut ? "+" : "-",
                        entry.name, "@", entry.version.clock,
                        entry.request_id.is_nil() ? "" : "r",
                        entry.was_there ? "c" : "", Of(entry.state),
                        entry.base.has_value() ? " on " : "", Of(entry.base));
      }
    } else {
      absl::StrAppend(&log, " ", Of(entries.status()));
    }
    logs.push_back(std::move(log));
  }
  std::sort(logs.begin(), logs.end());
  for (const std::string& log : logs) absl::StrAppend(&text, log, "\n");
  for (const std::string& name : subject->replica()->ListMissing("", 1000)) {
    absl::StrAppend(&text, "missing ", name, "\n");
  }
  for (const std::string& name : script.names) {
    const auto known = subject->replica()->Find(name);
    CAIRN_CHECK_OK(known.status());
    if (known->has_value()) absl::StrAppend(&text, Of(pair, **known), "\n");
  }
  return text;
}

// Passed for long, so that clocks decide nothing, or far away.
int64_t DrawExpiry(EventLoop* draw) {
  return static_cast<int64_t>((draw->Chance(0.2) ? 1 : uint64_t{1} << 34) +
                              draw->Draw(100));
}

// A new file or an old name, of whatever kind.
std::string PutStep(Pair* pair, EventLoop* draw, Script* script, int to,
                    const std::string& old_name, Durability level) {
  Subject* const here = pair->at(to);
  FileKind kind = FileKind::kNormal;
  if (draw->Chance(0.3)) kind = FileKind::kAppender;
  if (draw->Chance(0.2)) kind = FileKind::kDerived;
  std::string name =
      draw->Chance(0.9) ? absl::StrCat("f", script->files++) : old_name;
  std::string content =
      draw->DrawBytes(draw->Draw(draw->Chance(0.3) ? 2000 : 200));
  if (kind == FileKind::kDerived) {
    // Others choose the same names, and now and then the same content.
    name = absl::StrCat("d", draw->Draw(3));
    if (draw->Chance(0.7)) content.assign(draw->Chance(0.5) ? 300 : 30, 'd');
  }
  // Few contents, that are looked for.
  const bool dedup = draw->Chance(0.3) && kind != FileKind::kAppender;
  if (dedup) content.assign(draw->Chance(0.5) ? 300 : 70, 's');
  script->names.insert(name);
  Uuid request = draw->DrawUuid();
  if (draw->Chance(0.3)) request = Uuid();
  std::string attributes;
  if (draw->Chance(0.3)) {
    attributes = EncodeAttributes({{"born", absl::StrCat(draw->Draw(9))}});
  }
  const int64_t expire = draw->Chance(0.2) ? DrawExpiry(draw) : 0;
  const auto put_here = [&](CommitDone done) {
    if (static_cast<int64_t>(content.size()) <= kSmallMax) {
      storage::PutRequest small;
      small.request_id = request;
      small.name = name;
      small.content = absl::Cord(content);
      small.crc32c = Crc32c(content);
      small.kind = kind;
      small.origin_node = static_cast<uint32_t>(to + 1);
      small.attributes = attributes;
      small.expire_unix_seconds = expire;
      small.durability = level;
      small.dedup = dedup;
      here->path()->Put(std::move(small), std::move(done));
      return;
    }
    auto started = here->path()->StartUpload(absl::nullopt);
    CAIRN_CHECK_OK(started.status());
    const std::shared_ptr<storage::Upload> upload = *std::move(started);
    if (dedup) upload->Share();
    CAIRN_CHECK_OK(upload->Write(absl::Cord(content)));
    storage::Upload::FinishRequest finish;
    finish.request_id = request;
    finish.name = name;
    finish.kind = kind;
    finish.origin_node = static_cast<uint32_t>(to + 1);
    finish.attributes = attributes;
    finish.expire_unix_seconds = expire;
    finish.durability = level;
    upload->Finish(std::move(finish),
                   [upload, done = std::move(done)](
                       absl::StatusOr<Committed> committed) mutable {
                     done(std::move(committed));
                   });
  };
  std::string text =
      absl::StrCat("put ", name, " of kind ", static_cast<int>(kind), " at ",
                   to, ": ", Of(pair, here->Await(put_here)));
  if (!request.is_nil() && draw->Chance(0.3)) {
    absl::StrAppend(&text, "; again: ", Of(pair, here->Await(put_here)));
  }
  return text;
}

// A call that may be repeated.
template <typename Request>
std::string Repeated(Pair* pair, EventLoop* draw, Subject* here,
                     void (storage::StorePath::*call)(Request, CommitDone),
                     const Request& request) {
  std::string text;
  const int times = draw->Chance(0.2) ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    absl::StrAppend(&text, i > 0 ? "; again: " : "",
                    Of(pair, here->Await([&](CommitDone done) {
                      (here->path()->*call)(request, std::move(done));
                    })));
  }
  return text;
}

std::string UpdateStep(Pair* pair, EventLoop* draw, Script* script, int to,
                       const std::string& name, Durability level) {
  using Kind = storage::UpdateRequest::Kind;
  constexpr int kUpdatesMax = 5;
  Subject* const here = pair->at(to);
  storage::UpdateRequest update;
  update.kind = static_cast<Kind>(draw->Draw(3));
  update.request_id = draw->DrawUuid();
  update.name = name;
  update.durability = level;
  if (update.kind != Kind::kTruncate) {
    const std::string content = draw->DrawBytes(draw->Draw(kSmallMax));
    update.content = absl::Cord(content);
    update.crc32c = Crc32c(content);
  }
  const auto known = here->replica()->Find(name);
  CAIRN_CHECK_OK(known.status());
  const int64_t size = known->has_value() ? (*known)->file.size_bytes : 0;
  if (update.kind != Kind::kAppend) {
    update.offset = static_cast<int64_t>(draw->Draw(
        static_cast<uint64_t>(size) + 1 + (draw->Chance(0.2) ? 100 : 0)));
  }
  if (draw->Chance(0.2)) update.if_size_bytes = size + (draw->Chance(0.3));
  if (script->updates[name] >= kUpdatesMax) return "enough of " + name;
  ++script->updates[name];
  return absl::StrCat(
      "update ", static_cast<int>(update.kind), " of ", name, " at ", to, ": ",
      Repeated(pair, draw, here, &storage::StorePath::Update, update));
}

std::string SealStep(Pair* pair, EventLoop* draw, Script* script, int to,
                     const std::string& name, Durability level) {
  Subject* const here = pair->at(to);
  storage::SealRequest seal;
  seal.name = name;
  seal.request_id = draw->DrawUuid();
  seal.durability = level;
  const std::string sealed = absl::StrCat("f", script->files++);
  script->names.insert(sealed);
  seal.make_name = [sealed](int64_t size_bytes, uint32_t /*crc32c*/) {
    return storage::SealRequest::NewName{sealed, size_bytes + 1};
  };
  return absl::StrCat(
      "seal ", name, " as ", sealed, " at ", to, ": ",
      Repeated(pair, draw, here, &storage::StorePath::Seal, seal));
}

std::string CopyStep(Pair* pair, EventLoop* draw, Script* script, int to,
                     const std::string& from, Durability level) {
  Subject* const here = pair->at(to);
  storage::CopyRequest copy;
  copy.from = from;
  copy.request_id = draw->DrawUuid();
  copy.durability = level;
  copy.name = absl::StrCat("f", script->files++);
  copy.origin_node = static_cast<uint32_t>(to + 1);
  script->names.insert(copy.name);
  const auto known = here->replica()->Find(from);
  CAIRN_CHECK_OK(known.status());
  if (known->has_value()) {
    copy.size_bytes = (*known)->file.size_bytes + (draw->Chance(0.1) ? 1 : 0);
    copy.crc32c = (*known)->file.crc32c;
    if (draw->Chance(0.5)) copy.attributes = (*known)->file.attributes;
  }
  return absl::StrCat(
      "copy ", from, " as ", copy.name, " at ", to, ": ",
      Repeated(pair, draw, here, &storage::StorePath::Copy, copy));
}

// One of the calls of a script, on one kind. Draws the same for both kinds:
// `draw` begins with the same seed.
std::string Step(Pair* pair, EventLoop* draw, Script* script) {
  const int to = static_cast<int>(draw->Draw(2));
  Subject* const here = pair->at(to);
  Subject* const there = pair->at(1 - to);
  // Most calls are about a file that they make sense for.
  const auto some_name = [&](bool (*makes_sense)(const KnownFile&)) {
    std::vector<std::string> names;
    for (const std::string& name : script->names) {
      const auto known = here->replica()->Find(name);
      CAIRN_CHECK_OK(known.status());
      if (known->has_value() && makes_sense(**known)) names.push_back(name);
    }
    if (!names.empty() && draw->Chance(0.85)) return draw->Pick(names);
    return absl::StrCat("f",
                        draw->Draw(static_cast<uint64_t>(script->files) + 2));
  };
  const auto is_there = [](const KnownFile& known) { return !known.deleted; };
  const auto is_deleted = [](const KnownFile& known) { return known.deleted; };
  const auto is_appender = [](const KnownFile& known) {
    return !known.deleted && known.file.kind == FileKind::kAppender;
  };
  const auto is_large = [](const KnownFile& known) {
    return !known.deleted && known.file.kind != FileKind::kAppender &&
           known.file.size_bytes > kSmallMax;
  };
  const Durability level =
      draw->Chance(0.5) ? Durability::kSynced : Durability::kCached;
  switch (draw->Draw(22)) {
    case 0:
    case 1:
    case 2:
      return PutStep(pair, draw, script, to, some_name(is_there), level);
    case 3: {
      storage::DeleteRequest del;
      del.name =
          draw->Chance(0.8) ? some_name(is_there) : some_name(is_deleted);
      del.request_id = draw->DrawUuid();
      del.durability = level;
      del.purge = draw->Chance(0.3);
      return absl::StrCat(
          del.purge ? "purge " : "delete ", del.name, " at ", to, ": ",
          Repeated(pair, draw, here, &storage::StorePath::Delete, del));
    }
    case 4:
    case 5:
    case 6: {  // What the other one took, some of it.
      const LogId log = there->own();
      std::string text = absl::StrCat("pull to ", to, ":");
      if (draw->Chance(0.9)) {
        absl::StrAppend(&text, " ",
                        Of(here->replica()->SetLogs({LogRange{log}})));
      }
      uint64_t have = 0;
      for (const LogRange& range : here->replica()->Logs()) {
        if (range.log == log) have = range.applied;
      }
      // Not always from where it should.
      if (draw->Chance(0.1)) have += draw->Draw(3);
      storage::ChangeLimits limits;
      limits.entries_max = 1 + draw->Draw(6);
      limits.content_bytes_max = kSmallMax;
      auto changes = storage::ReadChanges(there->path(), log, have, limits);
      if (!changes.ok()) {
        return absl::StrCat(text, " ", Of(changes.status()));
      }
      for (ReplicatedChange& change : *changes) {
        change.synced = draw->Chance(0.3);
        const bool without = draw->Chance(0.1);
        if (without) change.content.reset();
        auto applied = here->Await([&](CommitDone done) {
          here->replica()->Apply(change, std::move(done));
        });
        absl::StrAppend(&text, " ", change.passed ? "passed " : "",
                        Of(pair, applied));
        if (ReasonOf(applied.status()) != ErrorReason::kVersionMismatch) {
          continue;
        }
        // As LogPull does it: what it goes on from is not here.
        change.base.reset();
        change.content.reset();
        absl::StrAppend(&text, ", whole ",
                        Of(pair, here->Await([&](CommitDone done) {
                          here->replica()->Apply(change, std::move(done));
                        })));
      }
      return text;
    }
    case 7: {  // Contents that are missing.
      std::string text = absl::StrCat("fetch to ", to, ":");
      for (const std::string& name : here->replica()->ListMissing("", 3)) {
        const auto known = here->replica()->Find(name);
        CAIRN_CHECK(known.ok() && known->has_value());
        if (draw->Chance(0.5)) {
          const bool shared = here->replica()->ShareContent(**known);
          absl::StrAppend(&text, shared ? " shares" : " shares nothing");
          if (shared) continue;
        }
        const auto file = there->path()->Open(name);
        if (!file.ok()) {
          absl::StrAppend(&text, " ", Of(file.status()));
          continue;
        }
        auto content = (*file)->Read(0, (*file)->info().size_bytes);
        CAIRN_CHECK_OK(content.status());
        if (draw->Chance(0.1)) content->Append("x");
        auto started = here->path()->StartUpload(absl::nullopt);
        CAIRN_CHECK_OK(started.status());
        const std::shared_ptr<storage::Upload> upload = *std::move(started);
        CAIRN_CHECK_OK(upload->Write(*content));
        ReplicatedChange change;
        change.mode = Mode::kContent;
        change.change = (*known)->change;
        change.file = (*known)->file;
        change.synced = true;
        absl::StrAppend(&text, " ", Of(pair, here->Await([&](CommitDone done) {
          upload->FinishReplica(
              change, [upload, done = std::move(done)](
                          absl::StatusOr<Committed> committed) mutable {
                done(std::move(committed));
              });
        })));
      }
      return text;
    }
    case 8: {  // Everything.
      const auto begun = there->replica()->BeginSnapshot();
      CAIRN_CHECK_OK(begun.status());
      std::string text = absl::StrCat("snapshot to ", to, ":");
      std::string from;
      do {
        storage::ChangeLimits limits;
        limits.entries_max = 5;
        limits.content_bytes_max = kSmallMax;
        auto page = storage::ReadSnapshotChanges(there->path(), from, limits);
        CAIRN_CHECK_OK(page.status());
        for (ReplicatedChange& change : page->changes) {
          absl::StrAppend(
              &text, " ", Of(pair, here->Await([&](CommitDone done) {
                here->replica()->Apply(std::move(change), std::move(done));
              })));
        }
        // Where a page begins is the store's own affair.
        from = page->next;
      } while (!from.empty());
      // As SnapshotPull does it: what came before is not here.
      std::vector<LogRange> moved;
      for (LogRange log : *begun) {
        uint64_t applied = 0;
        for (const LogRange& range : here->replica()->Logs()) {
          if (range.log == log.log) applied = range.applied;
        }
        if (applied >= log.applied) continue;
        log.cut = log.applied;
        moved.push_back(log);
      }
      absl::StrAppend(&text, " ", Of(here->replica()->SetLogs(moved)));
      return text;
    }
    case 9: {
      const absl::Status synced = here->replica()->Sync();
      for (const LogRange& range : here->replica()->Logs()) {
        EXPECT_EQ(range.synced, range.applied);
      }
      return absl::StrCat("sync at ", to, ": ", Of(synced));
    }
    case 10: {
      storage::SetAttributesRequest set;
      set.name = some_name(is_there);
      set.request_id = draw->DrawUuid();
      set.durability = level;
      set.change.overwrite = draw->Chance(0.2);
      set.change.set[absl::StrCat("k", draw->Draw(3))] =
          absl::StrCat(draw->Draw(1000));
      if (!set.change.overwrite && draw->Chance(0.3)) {
        set.change.remove = {"born"};
      }
      if (draw->Chance(0.3)) {
        const auto known = here->replica()->Find(set.name);
        CAIRN_CHECK_OK(known.status());
        set.if_version_match = storage::Version{1, 1};
        if (known->has_value() && draw->Chance(0.7)) {
          set.if_version_match = (*known)->file.version;
        }
      }
      return absl::StrCat(
          "attributes ", set.name, " at ", to, ": ",
          Repeated(pair, draw, here, &storage::StorePath::SetAttributes, set));
    }
    case 11: {
      storage::SetExpiryRequest set;
      set.name = some_name(is_there);
      set.request_id = draw->DrawUuid();
      set.durability = level;
      if (draw->Chance(0.7)) set.expire_unix_seconds = DrawExpiry(draw);
      return absl::StrCat(
          "expiry ", set.name, " at ", to, ": ",
          Repeated(pair, draw, here, &storage::StorePath::SetExpiry, set));
    }
    case 13:
    case 14: {
      storage::UndeleteRequest undelete;
      undelete.name = some_name(is_deleted);
      undelete.request_id = draw->DrawUuid();
      undelete.durability = level;
      return absl::StrCat(
          "undelete ", undelete.name, " at ", to, ": ",
          Repeated(pair, draw, here, &storage::StorePath::Undelete, undelete));
    }
    case 15:
    case 16:
    case 17:
      return UpdateStep(pair, draw, script, to, some_name(is_appender), level);
    case 18:
      return SealStep(pair, draw, script, to, some_name(is_appender), level);
    case 19:
      return CopyStep(pair, draw, script, to, some_name(is_large), level);
    case 20: {  // Some time passes, and the disk's own work is done.
      const absl::Duration passed =
          draw->Between(absl::Minutes(1), kUndeleteWindow);
      // Of the wall clock alone, or the engine would do it whenever it likes.
      for (const int member : {0, 1}) {
        FakeClock* const clock = pair->at(member)->clock();
        clock->JumpTo(clock->Now() + passed);
      }
      if (draw->Chance(0.2)) {
        return absl::StrCat("drop deleted at ", to, ": ",
                            Of(here->path()->DropDeleted()));
      }
      return absl::StrCat("compact ", to, ": ",
                          Of(here->path()->Compact(2, nullptr)));
    }
    case 12:
      if (draw->Chance(0.5)) {
        here->KillAndOpen();
        return absl::StrCat("kill ", to);
      }
      here->StopAndOpen();
      return absl::StrCat("stop ", to);
    default: {
      const std::string name = some_name(is_there);
      const auto known = here->replica()->Find(name);
      const auto stat = here->path()->Stat(name);
      const auto file = here->path()->Open(name);
      std::string text = absl::StrCat("find ", name, " at ", to, ": ",
                                      !known.ok()           ? Of(known.status())
                                      : !known->has_value() ? "nothing"
                                                            : Of(pair, **known),
                                      "; stat: ", Of(stat.status()),
                                      "; open: ", Of(file.status()));
      if (file.ok()) {
        const auto content = (*file)->Read(0, (*file)->info().size_bytes);
        CAIRN_CHECK_OK(content.status());
        absl::StrAppend(&text, " crc ", Crc32c(*content));
      }
      return text;
    }
  }
}

TEST(ConformanceTest, TheModelSaysWhatTheEngineSays) {
  SetLogLevel(LogLevel::kError);
  SeedRun run(/*first_seed=*/1, /*rounds=*/25);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    Pair engines{std::make_unique<EngineSubject>(1),
                 std::make_unique<EngineSubject>(2)};
    Pair models{std::make_unique<ModelSubject>(1),
                std::make_unique<ModelSubject>(2)};
    EventLoop draw_engine(run.seed(), /*print=*/false);
    EventLoop draw_model(run.seed(), /*print=*/false);
    Script script_engine;
    Script script_model;
    for (int step = 0; step < 100; ++step) {
      const std::string engine = Step(&engines, &draw_engine, &script_engine);
      const std::string model = Step(&models, &draw_model, &script_model);
      ASSERT_EQ(engine, model) << "step " << step;
      if (TraceWanted()) std::printf("%d: %s\n", step, engine.c_str());
      for (const int member : {0, 1}) {
        ASSERT_EQ(Describe(&engines, script_engine, member),
                  Describe(&models, script_model, member))
            << "member " << member << " after step " << step << ": " << engine;
      }
    }
  }
}

}  // namespace
}  // namespace simulation
}  // namespace cairn
