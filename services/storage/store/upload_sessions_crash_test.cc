// What a power cut, a killed process and a failing disk may and may not do to
// uploads in parts, at every change that they make to the disk: what was said
// to be durable stays, nobody gets a file that is not whole, and nothing is
// left behind for ever.
//
// Every change: --rounds=2000 --gtest_filter=*Change*

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/io/fault_rules.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/upload_sessions.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::IsEmpty;

enum class Ending { kKilled, kPowerCut };

// One upload, and what its client knows.
struct Client {
  std::string name;
  std::string content;
  bool size_known = false;
  Durability durability = Durability::kSynced;
  Uuid id = Uuid::Random();
  Uuid request_id = Uuid::Random();

  bool created = false;
  bool ending = false;    // It was told to finish, to abort, or may expire.
  bool finished = false;  // And has finished.
  std::vector<ByteRange> promised;
};

class World {
 public:
  explicit World(uint64_t seed)
      : fs_(seed), options_(TestPathOptions("/disk/path")) {
    SetLogLevel(LogLevel::kError);
    options_.small_file_bytes_max = 64 << 10;
    CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
    CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
    AddClient("known", 3 * kBlockBytes + 100, true, Durability::kSynced);
    AddClient("unknown", 2 * kBlockBytes + 50, false, Durability::kSynced);
    AddClient("cached", 2 * kBlockBytes, true, Durability::kCached);
    AddClient("small", 10, false, Durability::kSynced);
    AddClient("aborted", 2 * kBlockBytes, true, Durability::kSynced);
    AddClient("idle", 2 * kBlockBytes, false, Durability::kSynced);
  }

  CrashableFileSystem& fs() { return fs_; }
  bool is_open() const { return path_ != nullptr; }

  absl::Status Open() {
    absl::StatusOr<std::unique_ptr<Engine>> opened =
        OpenStorePath(options_, &fs_, &clock_);
    if (opened.ok()) path_ = *std::move(opened);
    return opened.status();
  }

  void End(Ending ending) {
    fs_.StopAfter(0);  // Whatever the destructors do.
    path_.reset();
    fs_.faults().Clear();
    if (ending == Ending::kPowerCut) {
      fs_.Crash();
      power_was_cut_ = true;
      options_.boot_id += "+";
    } else {
      fs_.KillProcess();
    }
  }

  // A bit of everything, in an order that is the same every time.
  void RunScript() {
    if (!Open().ok()) return;
    Client* const known = &clients_[0];
    Client* const unknown = &clients_[1];
    Client* const cached = &clients_[2];
    Client* const small = &clients_[3];
    Client* const aborted = &clients_[4];
    Client* const idle = &clients_[5];
    Create(known);
    Send(known, kBlockBytes, kBlockBytes);
    Create(unknown);
    Send(unknown, 0, 2 * kBlockBytes);
    Create(idle);
    Send(idle, kBlockBytes, kBlockBytes);
    PutFile(path_.get(), "put", "content").IgnoreError();
    // A checkpoint, while they are open.
    Background();
    Query(known);
    Send(known, 0, kBlockBytes);
    Send(unknown, 2 * kBlockBytes, 50);
    Send(known, 2 * kBlockBytes, kBlockBytes + 100);
    Finish(known);
    Create(cached);
    Send(cached, 0, 2 * kBlockBytes);
    Finish(cached);
    Create(aborted);
    Send(aborted, 0, kBlockBytes);
    Finish(unknown);
    Create(small);
    Send(small, 0, 10);
    Background();
    Finish(small);
    if (!fs_.stopped() && aborted->created) {
      aborted->ending = true;
      path_->uploads()->Abort(aborted->id).IgnoreError();
    }
    if (!fs_.stopped()) {
      for (Client& client : clients_) client.ending = true;
      clock_.Advance(absl::Hours(25));
    }
    Background();
  }

  // The disk is well and the path is open.
  void Verify() {
    for (Client& client : clients_) {
      if (!client.created) continue;
      SCOPED_TRACE(client.name);
      VerifyClient(&client);
      if (::testing::Test::HasFailure()) return;
    }
    // What is left is what expires.
    clock_.Advance(absl::Hours(49));
    Background();
    EXPECT_THAT(fs_.FilesUnder("/disk/path/uploads"), IsEmpty());
    ASSERT_THAT(Reopen(), IsOk());
    Background();
    EXPECT_EQ(
        static_cast<int64_t>(fs_.FilesUnder("/disk/path/segments").size()),
        path_->Status().segments);
    for (const Client& client : clients_) {
      if (!client.finished) continue;
      EXPECT_THAT(ReadFile(path_.get(), client.name),
                  IsOkAndHolds(client.content));
    }
    for (const auto& [name, content] : resumed_) {
      EXPECT_THAT(ReadFile(path_.get(), name), IsOkAndHolds(content));
    }
  }

  void QueryAll() {
    for (Client& client : clients_) Query(&client);
  }

  absl::Status Reopen() {
    path_.reset();
    return Open();
  }

  absl::Status Rebuild() {
    path_.reset();
    const auto report = RebuildIndex(options_, &fs_, &clock_);
    if (!report.ok()) return report.status();
    return Open();
  }

 private:
  void AddClient(const std::string& name, int64_t size, bool size_known,
                 Durability durability) {
    Client client;
    client.name = name;
    client.content =
        TestContent(clients_.size() + 1, static_cast<size_t>(size));
    client.size_known = size_known;
    client.durability = durability;
    clients_.push_back(std::move(client));
  }

  void Create(Client* client) {
    if (fs_.stopped()) return;
    UploadSessionSpec spec;
    if (client->size_known) {
      spec.size_bytes = static_cast<int64_t>(client->content.size());
    }
    client->created = path_->uploads()->Create(client->id, spec).ok();
  }

  void Send(Client* client, int64_t offset, int64_t size) {
    if (!client->created || fs_.stopped()) return;
    const absl::Status sent = WriteUploadPart(
        path_.get(), client->id, offset,
        absl::string_view(client->content)
            .substr(static_cast<size_t>(offset), static_cast<size_t>(size)));
    if (sent.ok()) client->promised.push_back({offset, offset + size});
  }

  void Query(Client* client) {
    if (!client->created || fs_.stopped()) return;
    const auto info = path_->uploads()->Query(client->id);
    if (!info.ok()) return;
    client->promised.insert(client->promised.end(), info->durable.begin(),
                            info->durable.end());
  }

  void Finish(Client* client) {
    if (!client->created || fs_.stopped()) return;
    client->ending = true;
    const auto finished =
        FinishUploadSession(path_.get(), client->id, client->name,
                            client->request_id, client->durability);
    client->finished = finished.ok();
    if (!finished.ok()) {
      // Only a part of it is there, say.
      client->ending =
          ReasonOf(finished.status()) != ErrorReason::kDiskFull &&
          ReasonOf(finished.status()) != ErrorReason::kUploadIncomplete;
    }
  }

  void Background() {
    if (!is_open() || fs_.stopped()) return;
    path_->Compact(2, [](const JobProgress&) {}).IgnoreError();
  }

  void VerifyClient(Client* client) {
    auto info = path_->uploads()->Query(client->id);
    auto read = ReadFile(path_.get(), client->name);
    const bool may_be_lost =
        client->durability == Durability::kCached && power_was_cut_;
    if (read.ok()) {
      EXPECT_TRUE(client->ending);
      EXPECT_EQ(*read, client->content);
    } else if (client->finished && !may_be_lost) {
      ADD_FAILURE() << "the file is gone: " << read.status();
    } else if (!client->ending) {
      ASSERT_THAT(info, IsOk());
    }
    // Whoever was promised something and has no file can go on.
    if (!read.ok() && info.ok()) {
      for (const ByteRange& range : client->promised) {
        EXPECT_TRUE(std::any_of(info->durable.begin(), info->durable.end(),
                                [&range](const ByteRange& there) {
                                  return there.begin <= range.begin &&
                                         range.end <= there.end;
                                }))
            << range.begin << ".." << range.end << " is gone";
      }
      ASSERT_THAT(WriteUploadPart(path_.get(), client->id, 0, client->content),
                  IsOk());
      const auto finished = FinishUploadSession(
          path_.get(), client->id, client->name + "-resumed", Uuid::Random());
      ASSERT_THAT(finished, IsOk());
      resumed_.emplace_back(client->name + "-resumed", client->content);
      EXPECT_THAT(ReadFile(path_.get(), resumed_.back().first),
                  IsOkAndHolds(client->content));
    }
    if (may_be_lost) client->finished = false;
  }

  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  std::vector<Client> clients_;
  std::vector<std::pair<std::string, std::string>> resumed_;  // And content.
  bool power_was_cut_ = false;
  std::unique_ptr<Engine> path_;
};

uint64_t CountScript(FileOperations operations) {
  World world(1);
  world.RunScript();
  EXPECT_TRUE(world.is_open());
  const uint64_t count = world.fs().CountOf(operations);
  world.Verify();
  return count;
}

// Seeds visit the changes in an order that meets each of them once.
uint64_t ChangeOf(uint64_t seed, uint64_t changes) {
  return seed * 7919 % (changes + 1);
}

void EndAtEveryChange(Ending ending, bool rebuild, int rounds) {
  const uint64_t changes = CountScript(kChanges);
  ASSERT_GT(changes, 60u);
  SeedRun run(/*first_seed=*/1, rounds);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    const uint64_t n = ChangeOf(run.seed(), changes);
    SCOPED_TRACE(absl::StrCat("after ", n, " of ", changes, " changes"));
    World world(run.seed());
    world.fs().StopAfter(n);
    world.RunScript();
    world.End(ending);
    ASSERT_THAT(world.Open(), IsOk());
    if (rebuild) {
      ASSERT_THAT(world.Rebuild(), IsOk());
    }
    world.Verify();
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(UploadSessionsCrashTest, SurviveAPowerCutAtEveryChangeOfTheDisk) {
  EndAtEveryChange(Ending::kPowerCut, /*rebuild=*/false, /*rounds=*/20);
}

TEST(UploadSessionsCrashTest, SurviveAKillAtEveryChangeOfTheDisk) {
  EndAtEveryChange(Ending::kKilled, /*rebuild=*/false, /*rounds=*/20);
}

TEST(UploadSessionsCrashTest, SurviveARebuildAfterAKillAtEveryChange) {
  EndAtEveryChange(Ending::kKilled, /*rebuild=*/true, /*rounds=*/10);
}

TEST(UploadSessionsCrashTest, SurviveARebuildAfterAPowerCutAtEveryChange) {
  EndAtEveryChange(Ending::kPowerCut, /*rebuild=*/true, /*rounds=*/10);
}

// The process lives on with what failed, then the power is cut; or first it is
// started again, and says what it believes to be durable.
void FailAtEveryChange(int error, FileOperations operations, bool restart,
                       int rounds) {
  const uint64_t changes = CountScript(operations);
  SeedRun run(/*first_seed=*/1, rounds);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    const uint64_t n = 1 + ChangeOf(run.seed(), changes);
    SCOPED_TRACE(absl::StrCat("change ", n, " of ", changes, " fails"));
    World world(run.seed());
    FaultRule rule;
    rule.operations = operations;
    rule.nth = n;
    rule.error = error;
    world.fs().faults().Add(rule);
    world.RunScript();
    if (restart) {
      world.End(Ending::kKilled);
      ASSERT_THAT(world.Open(), IsOk());
      world.QueryAll();
    }
    world.End(Ending::kPowerCut);
    ASSERT_THAT(world.Open(), IsOk());
    world.Verify();
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(UploadSessionsCrashTest, SurviveAnyOneErrorOfTheDisk) {
  FailAtEveryChange(EIO, kChanges, /*restart=*/false, /*rounds=*/12);
}

TEST(UploadSessionsCrashTest, SurviveAnyOneRefusalForLackOfSpace) {
  FailAtEveryChange(ENOSPC, kChanges, /*restart=*/false, /*rounds=*/12);
}

// What the next process reads back of a journal whose sync has failed need not
// be on the disk.
TEST(UploadSessionsCrashTest, SurviveAFailedSyncARestartAndAPowerCut) {
  FailAtEveryChange(EIO, FileOperation::kSync | FileOperation::kSyncDirectory,
                    /*restart=*/true, /*rounds=*/20);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
