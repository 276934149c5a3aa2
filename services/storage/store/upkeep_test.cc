// Members of a group that mend each other: real store paths in file systems in
// memory, real replicators, and a network that is a function call. Logs do not
// flow here, so what is taken over was found by looking for it.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/digest_source.h"
#include "services/storage/core/job_list.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/replicator.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/scrub_position.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

using Mode = ReplicatedChange::Mode;

constexpr const char* kDirectory = "/disk/path";
constexpr absl::Duration kDeadline = absl::Minutes(2);

// A message for each Next(), on one thread.
class LocalStream : public PeerStream,
                    public std::enable_shared_from_this<LocalStream> {
 public:
  // Hands a message on; false: there was none left.
  using Produce = std::function<absl::StatusOr<bool>()>;
  using End = std::function<void(const absl::Status&)>;

  LocalStream(Executor* network, Produce produce, End end)
      : network_(network), produce_(std::move(produce)), end_(std::move(end)) {}

  void Next() override {
    CAIRN_CHECK(network_->TrySubmit([self = shared_from_this()] {
      if (self->ended_ || self->cancelled_.load()) return;
      const absl::StatusOr<bool> more = self->produce_();
      if (!more.ok()) {
        self->Over(more.status());
      } else if (!*more) {
        self->Over(absl::OkStatus());
      }
    }));
  }

  void Cancel() override {
    cancelled_.store(true);
    CAIRN_CHECK(network_->TrySubmit([self = shared_from_this()] {
      self->Over(absl::CancelledError("cancelled"));
    }));
  }

 private:
  void Over(const absl::Status& status) {
    if (std::exchange(ended_, true)) return;
    end_(status);
  }

  Executor* const network_;
  const Produce produce_;
  const End end_;
  std::atomic<bool> cancelled_{false};
  bool ended_ = false;  // Of the network's thread.
};

class Group;

class LocalTransport : public PeerTransport {
 public:
  explicit LocalTransport(Group* group) : group_(group) {}

  // Says nothing until it is given up.
  std::shared_ptr<PeerStream> StartSync(const Peer&, uint8_t,
                                        const absl::optional<LogId>&,
                                        const std::vector<LogRange>&,
                                        SyncListener* listener) override;
  std::shared_ptr<PeerStream> StartSnapshot(
      const Peer&, uint8_t, const std::string&,
      SnapshotListener* listener) override;
  std::shared_ptr<PeerStream> StartFetch(const Peer& peer, uint8_t,
                                         const FetchWish& wish,
                                         FetchListener* listener) override;
  std::shared_ptr<PeerStream> StartDigest(const Peer& peer, uint8_t,
                                          const DigestWish& wish,
                                          DigestListener* listener) override;
  void SendAck(const Peer&, uint8_t, const Acknowledgement&,
               std::function<void(const absl::Status&)> done) override;

 private:
  Group* const group_;
};

// A path of one member, with what replicates it.
class Member {
 public:
  Member(Group* group, uint32_t number);
  ~Member() { Close(); }

  void Open() {
    auto opened = OpenStorePath(options_, &fs_, &clock_);
    CAIRN_CHECK_OK(opened.status());
    path_ = *std::move(opened);
    MutexLock lock(&mu_);
    lent_ = std::shared_ptr<StorePath>(path_.get(), [](StorePath*) {});
  }

  void StopReplication() {
    while (!replicator_->Stop()) absl::SleepFor(absl::Milliseconds(1));
  }

  void Close() {
    StopReplication();
    {
      MutexLock lock(&mu_);
      lent_ = nullptr;
    }
    path_.reset();
  }

  void Rebuild() {
    Close();
    CAIRN_CHECK_OK(RebuildIndex(options_, &fs_, &clock_, nullptr).status());
    Open();
  }

  // Puts a file into the path as a state that somebody else had, content and
  // all.
  void Copy(const std::string& name, Member* from) {
    const auto known = from->replica()->Find(name);
    CAIRN_CHECK_OK(known.status());
    ReplicatedChange change;
    change.mode = Mode::kSnapshot;
    change.kind = (*known)->deleted ? ChangeKind::kDelete : ChangeKind::kPut;
    change.change = (*known)->change;
    change.file = (*known)->file;
    change.synced = true;
    if ((*known)->deleted) {
      Take(std::move(change));
      return;
    }
    const absl::StatusOr<std::string> content = ReadFile(from->path(), name);
    CAIRN_CHECK_OK(content.status());
    auto upload = path_->StartUpload(change.file.size_bytes);
    CAIRN_CHECK_OK(upload.status());
    CAIRN_CHECK_OK((*upload)->Write(absl::Cord(*content)));
    Notification done;
    (*upload)->FinishReplica(std::move(change), [&](auto committed) {
      CAIRN_CHECK_OK(committed.status());
      done.Notify();
    });
    done.WaitForNotification();
  }

  void Take(ReplicatedChange change) {
    Notification done;
    replica()->Apply(std::move(change), [&](auto committed) {
      CAIRN_CHECK_OK(committed.status());
      done.Notify();
    });
    done.WaitForNotification();
  }

  // Claims to have all that `other` took.
  void ClaimLogOf(Member* other) {
    const LogRange log = other->replica()->Logs().front();
    CAIRN_CHECK_OK(replica()->SetLogs({log}));
  }

  // Flips a bit of the content of a file.
  void Damage(const std::string& content) {
    int found = 0;
    for (const std::string& file : fs_.FilesUnder(kDirectory)) {
      const size_t at = BytesOf(file).find(content);
      if (at == std::string::npos) continue;
      fs_.FlipBit(file, static_cast<int64_t>(at + content.size() / 2), 3);
      ++found;
    }
    CAIRN_CHECK(found > 0);
  }

  std::string BytesOf(const std::string& path) {
    const auto file = fs_.Open(path, OpenMode::kRead);
    CAIRN_CHECK_OK(file.status());
    const auto stat = fs_.Stat(path);
    CAIRN_CHECK_OK(stat.status());
    std::string bytes(static_cast<size_t>(stat->size_bytes), '\0');
    CAIRN_CHECK_OK((*file)->ReadAt(0, bytes.data(), bytes.size()).status());
    return bytes;
  }

  // Ticks until it is so; false if it never is.
  bool Until(const std::function<bool()>& condition) {
    const absl::Time end = absl::Now() + kDeadline;
    while (!condition()) {
      if (absl::Now() > end) return false;
      replicator_->Tick();
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

  Job RunToEnd(const absl::StatusOr<Job>& started) {
    CAIRN_CHECK_OK(started.status());
    const auto job = [&] { return *jobs_.Find(started->id); };
    CAIRN_CHECK(Until([&] {
      // Whatever is bounded by time has time.
      clock_.Advance(absl::Milliseconds(100));
      return job().state != JobState::kRunning;
    }));
    return job();
  }
  ComparisonReport Compare() {
    const Job job = RunToEnd(upkeep()->comparer()->Start());
    EXPECT_EQ(job.state, JobState::kSucceeded) << job.detail;
    return *job.findings.comparison;
  }
  ScrubReport Scrub() {
    const Job job = RunToEnd(upkeep()->scrubber()->Start(0));
    EXPECT_EQ(job.state, JobState::kSucceeded) << job.detail;
    return *job.findings.scrub;
  }

  const Peer& peer() const { return peer_; }
  std::shared_ptr<StorePath> lent() {
    MutexLock lock(&mu_);
    return lent_;
  }
  Engine* path() { return path_.get(); }
  ReplicaStore* replica() { return path_->replica(); }
  Replicator* replicator() { return replicator_.get(); }
  Upkeep* upkeep() { return replicator_->upkeep(); }
  FakeClock* clock() { return &clock_; }
  CrashableFileSystem* fs() { return &fs_; }

 private:
  CrashableFileSystem fs_{1};
  FakeClock clock_;
  StorePathOptions options_;
  Peer peer_;
  ThreadPool jobs_pool_{"jobs", 1, 1};
  JobList jobs_{&jobs_pool_, &clock_};
  std::unique_ptr<Engine> path_;
  std::unique_ptr<Replicator> replicator_;

  Mutex mu_;
  std::shared_ptr<StorePath> lent_ ABSL_GUARDED_BY(mu_);
};

class Group {
 public:
  explicit Group(int members) : transport_(this) {
    for (int i = 0; i < members; ++i) {
      members_.push_back(std::make_unique<Member>(this, i + 1));
    }
    for (const auto& member : members_) {
      std::vector<Peer> others;
      for (const auto& other : members_) {
        if (other != member) others.push_back(other->peer());
      }
      member->replicator()->SetPeers(std::move(others));
    }
  }
  ~Group() {
    // Nobody may read at a path that is gone.
    for (const auto& member : members_) member->StopReplication();
    for (const auto& member : members_) member->Close();
  }

  Member* at(size_t i) { return members_.at(i).get(); }
  std::shared_ptr<StorePath> PathOf(const Peer& peer) {
    for (const auto& member : members_) {
      if (member->peer() == peer) return member->lent();
    }
    return nullptr;
  }
  Executor* network() { return &network_; }
  LocalTransport* transport() { return &transport_; }

 private:
  LocalTransport transport_;
  ThreadPool network_{"network", 1, 100000};
  std::vector<std::unique_ptr<Member>> members_;
};

Member::Member(Group* group, uint32_t number)
    : options_(TestPathOptions(kDirectory)) {
  options_.node_number = number;
  options_.node_uuid = Uuid::Random();
  peer_ = {options_.node_uuid, number, absl::StrCat("member", number), "here"};
  CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
  CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
  Open();
  ReplicatorOptions options;
  // Nobody sends anything here, and that is no reason to give up.
  options.silence_max = absl::InfiniteDuration();
  options.upkeep.jobs = &jobs_;
  options.upkeep.comparer.silence_max = absl::InfiniteDuration();
  options.upkeep.repairs.silence_max = absl::InfiniteDuration();
  replicator_ = std::make_unique<Replicator>(
      options, [this] { return lent(); }, group->transport(), &clock_, [] {});
}

std::shared_ptr<PeerStream> LocalTransport::StartSync(
    const Peer&, uint8_t, const absl::optional<LogId>&,
    const std::vector<LogRange>&, SyncListener* listener) {
  return std::make_shared<LocalStream>(
      group_->network(), [] { return true; },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
}

std::shared_ptr<PeerStream> LocalTransport::StartSnapshot(
    const Peer&, uint8_t, const std::string&, SnapshotListener* listener) {
  return std::make_shared<LocalStream>(
      group_->network(), [] { return true; },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
}

std::shared_ptr<PeerStream> LocalTransport::StartFetch(
    const Peer& peer, uint8_t, const FetchWish& wish, FetchListener* listener) {
  struct State {
    std::unique_ptr<OpenFile> file;
    int64_t offset;
  };
  auto state = std::make_shared<State>();
  state->offset = wish.offset;
  const std::shared_ptr<StorePath> path = group_->PathOf(peer);
  return std::make_shared<LocalStream>(
      group_->network(),
      [=]() -> absl::StatusOr<bool> {
        if (path == nullptr) return absl::UnavailableError("down");
        if (state->file == nullptr) {
          auto file = path->Open(wish.name);
          if (!file.ok()) return file.status();
          if (!((*file)->info().version == *wish.version)) {
            return absl::AbortedError("another version");
          }
          state->file = *std::move(file);
          listener->OnInfo(state->file->info());
          return true;
        }
        const int64_t length = std::min(
            kBlockBytes, state->file->info().size_bytes - state->offset);
        if (length <= 0) return false;
        absl::StatusOr<absl::Cord> data =
            state->file->Read(state->offset, length);
        if (!data.ok()) return data.status();
        state->offset += length;
        listener->OnChunk(*std::move(data));
        return true;
      },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
}

std::shared_ptr<PeerStream> LocalTransport::StartDigest(
    const Peer& peer, uint8_t, const DigestWish& wish,
    DigestListener* listener) {
  const std::shared_ptr<StorePath> path = group_->PathOf(peer);
  DigestLimits limits;
  limits.names_per_range = 16;
  limits.ranges_max = 3;
  limits.entries_max = 5;
  auto sender = std::make_shared<DigestSender>(path, wish, limits);
  auto at_end = std::make_shared<bool>(false);
  return std::make_shared<LocalStream>(
      group_->network(),
      [=]() -> absl::StatusOr<bool> {
        if (path == nullptr) return absl::UnavailableError("down");
        if (*at_end) return false;
        absl::StatusOr<DigestBatch> batch = sender->Next();
        if (!batch.ok()) return batch.status();
        *at_end = batch->end;
        listener->OnBatch(*std::move(batch));
        return true;
      },
      [listener](const absl::Status& status) { listener->OnEnd(status); });
}

void LocalTransport::SendAck(const Peer&, uint8_t, const Acknowledgement&,
                             std::function<void(const absl::Status&)> done) {
  CAIRN_CHECK(group_->network()->TrySubmit([done] { done(absl::OkStatus()); }));
}

// Both have these files, in one segment, in several blocks, and in a segment of
// its own; the names are their sizes.
const std::vector<size_t> kSizes = {1000, 4096, 700000, 3 << 20};

void Fill(Member* a, Member* b) {
  for (const size_t size : kSizes) {
    const std::string name = absl::StrCat(size);
    ASSERT_THAT(PutFile(a->path(), name, TestContent(size, size)), IsOk());
    b->Copy(name, a);
  }
  b->ClaimLogOf(a);
}

bool AllMended(Member* member) {
  const RepairNumbers numbers = member->upkeep()->repairs()->Numbers();
  return numbers.damaged == 0;
}

TEST(RepairTest, WhatAReaderFindsDamagedIsMendedFromAnotherMember) {
  Group group(2);
  Member* const b = group.at(1);
  Fill(group.at(0), b);
  b->replicator()->Tick();
  for (const size_t size : kSizes) {
    SCOPED_TRACE(size);
    const std::string name = absl::StrCat(size);
    const std::string content = TestContent(size, size);
    b->Damage(content);
    EXPECT_EQ(ReasonOf(ReadFile(b->path(), name).status()),
              ErrorReason::kContentDamaged);
    EXPECT_EQ(b->upkeep()->repairs()->Numbers().damaged, 1u);
    ASSERT_TRUE(b->Until([b] { return AllMended(b); }));
    EXPECT_THAT(ReadFile(b->path(), name), IsOkAndHolds(content));
  }
  EXPECT_EQ(b->upkeep()->repairs()->Numbers().mended, kSizes.size());
  EXPECT_EQ(b->path()->Status().files, static_cast<int64_t>(kSizes.size()));
  // What is written down is the good copy.
  b->Rebuild();
  for (const size_t size : kSizes) {
    EXPECT_THAT(ReadFile(b->path(), absl::StrCat(size)),
                IsOkAndHolds(TestContent(size, size)));
  }
}

TEST(RepairTest, ABadCopyIsNeverTaken) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  Fill(a, b);
  b->replicator()->Tick();
  const std::string content = TestContent(3 << 20, 3 << 20);
  const std::string name = absl::StrCat(3 << 20);
  a->Damage(content);
  b->Damage(content);
  EXPECT_FALSE(ReadFile(b->path(), name).ok());
  const auto numbers = [b] { return b->upkeep()->repairs()->Numbers(); };
  ASSERT_TRUE(b->Until([&] { return numbers().unmendable == 1; }));
  const std::vector<DamagedFile> listed = b->upkeep()->repairs()->List(10);
  ASSERT_THAT(listed, SizeIs(1));
  EXPECT_EQ(listed[0].name, name);
  EXPECT_TRUE(listed[0].unmendable);
  EXPECT_THAT(listed[0].detail, HasSubstr("member1"));
  EXPECT_EQ(ReasonOf(ReadFile(b->path(), name).status()),
            ErrorReason::kContentDamaged);
  // The good blocks of both are served as before.
  auto file = b->path()->Open(name);
  ASSERT_THAT(file, IsOk());
  const absl::StatusOr<absl::Cord> block = (*file)->Read(0, kBlockBytes);
  ASSERT_THAT(block, IsOk());
  EXPECT_EQ(std::string(*block), content.substr(0, kBlockBytes));
}

TEST(RepairTest, WhatCouldNotBeMendedIsTriedAgain) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  Fill(a, b);
  b->replicator()->Tick();
  const std::string content = TestContent(1000, 1000);
  b->Damage(content);
  // The only other member does not have it, for now.
  ASSERT_THAT(a->replica()->Sync(), IsOk());
  a->Close();
  EXPECT_FALSE(ReadFile(b->path(), "1000").ok());
  ASSERT_TRUE(b->Until(
      [b] { return b->upkeep()->repairs()->Numbers().unmendable == 1; }));
  EXPECT_EQ(b->upkeep()->repairs()->Numbers().mended, 0u);
  a->Open();
  ASSERT_TRUE(b->Until([b] {
    b->clock()->Advance(absl::Seconds(1));
    return AllMended(b);
  }));
  EXPECT_EQ(b->upkeep()->repairs()->Numbers().mended, 1u);
  EXPECT_THAT(ReadFile(b->path(), "1000"), IsOkAndHolds(content));
}

TEST(RepairTest, AMemberThatIsAloneSaysThatItCannotMend) {
  Group group(1);
  Member* const a = group.at(0);
  const std::string content = TestContent(1, 5000);
  ASSERT_THAT(PutFile(a->path(), "f", content), IsOk());
  a->replicator()->Tick();
  a->Damage(content);
  EXPECT_FALSE(ReadFile(a->path(), "f").ok());
  ASSERT_TRUE(a->Until(
      [a] { return a->upkeep()->repairs()->Numbers().unmendable == 1; }));
  EXPECT_THAT(a->upkeep()->repairs()->List(1)[0].detail,
              HasSubstr("no other member"));
  // Who deletes it is rid of it.
  ASSERT_THAT(DeleteFile(a->path(), "f"), IsOk());
  ASSERT_TRUE(a->Until([a] {
    a->clock()->Advance(absl::Seconds(1));
    return AllMended(a);
  }));
}

TEST(RepairTest, AContentThatNoStreamHasToldOfIsFetched) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  const std::string content = TestContent(1, 1000);
  ASSERT_THAT(PutFile(a->path(), "f", content), IsOk());
  // What is missing at the beginning it knows of.
  b->replicator()->Tick();
  // As a path does it that is to change a file which another member knows.
  const auto known = a->replica()->Find("f");
  ASSERT_THAT(known, IsOk());
  ReplicatedChange change;
  change.mode = Mode::kSnapshot;
  change.file = (*known)->file;
  b->Take(std::move(change));
  EXPECT_EQ(ReasonOf(ReadFile(b->path(), "f").status()),
            ErrorReason::kContentNotHere);
  ASSERT_TRUE(b->Until([b] {
    b->clock()->Advance(absl::Seconds(1));
    return ReadFile(b->path(), "f").ok();
  }));
  EXPECT_THAT(ReadFile(b->path(), "f"), IsOkAndHolds(content));
}

TEST(RepairTest, AContentIsFetchedThoughTheFileIsChangedMeanwhile) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  const std::string content = TestContent(1, 1000);
  ASSERT_THAT(PutFile(a->path(), "f", content), IsOk());
  const auto told = [](Member* from) {
    const auto known = from->replica()->Find("f");
    CAIRN_CHECK_OK(known.status());
    ReplicatedChange change;
    change.mode = Mode::kSnapshot;
    change.file = (*known)->file;
    return change;
  };
  b->Take(told(a));
  // The fetch has begun, and nothing comes so far.
  Notification go_on;
  CAIRN_CHECK(
      group.network()->TrySubmit([&go_on] { go_on.WaitForNotification(); }));
  b->replicator()->Tick();
  SetExpiryRequest set;
  set.name = "f";
  set.expire_unix_seconds = kExpireUnixSecondsMax;
  Notification done;
  b->path()->SetExpiry(set, [&done](const absl::StatusOr<Committed>& answer) {
    EXPECT_THAT(answer, IsOk());
    done.Notify();
  });
  done.WaitForNotification();
  go_on.Notify();
  // What comes is of the version before. The other one is there later.
  const auto fetched = [b] {
    const auto known = b->replica()->Find("f");
    CAIRN_CHECK_OK(known.status());
    return !(*known)->content_missing;
  };
  for (int i = 0; i < 100 && !fetched(); ++i) {
    b->replicator()->Tick();
    absl::SleepFor(absl::Milliseconds(1));
  }
  EXPECT_EQ(b->replicator()->Progress().missing_contents, fetched() ? 0u : 1u);
  a->Take(told(b));
  // So long that it is not looked for anew.
  const absl::Duration end = b->clock()->Monotonic() + absl::Seconds(4);
  ASSERT_TRUE(b->Until([&] {
    if (b->clock()->Monotonic() < end) {
      b->clock()->Advance(absl::Milliseconds(20));
    }
    return fetched();
  }));
  EXPECT_THAT(ReadFile(b->path(), "f"), IsOkAndHolds(content));
}

// A scrub that has found both would never end.
TEST(RepairTest, NobodyWaitsForADamagedFileThatWasChangedSince) {
  Repairs repairs(RepairsOptions(), 0, nullptr, [] {});
  FileInfo file;
  file.name = "f";
  file.version.clock = 1;
  const auto before = repairs.Report(file);
  ASSERT_NE(before, nullptr);
  EXPECT_EQ(repairs.Report(file), before);
  file.version.clock = 2;
  const auto after = repairs.Report(file);
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(before->outcome(), RepairOutcome::kGone);
  EXPECT_EQ(after->outcome(), RepairOutcome::kPending);
}

TEST(RepairTest, WhatIsDamagedIsRememberedUpToALimit) {
  RepairsOptions options;
  options.files_max = 2;
  Repairs repairs(options, 0, nullptr, [] {});
  FileInfo file;
  for (const char* name : {"a", "b", "c", "a"}) {
    file.name = name;
    EXPECT_EQ(repairs.Report(file) == nullptr, file.name == "c");
  }
  EXPECT_EQ(repairs.Numbers().found, 2u);
  EXPECT_EQ(repairs.Numbers().dropped, 1u);
}

TEST(ScrubberTest, FindsAndMendsWhatNobodyReads) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  Fill(a, b);
  int64_t bytes = 0;
  for (const size_t size : kSizes) bytes += static_cast<int64_t>(size);
  ScrubReport report = b->Scrub();
  EXPECT_EQ(report.files, static_cast<int64_t>(kSizes.size()));
  EXPECT_EQ(report.bytes, bytes);
  EXPECT_EQ(report.damaged, 0);
  for (const size_t size : {4096, 3 << 20}) b->Damage(TestContent(size, size));
  report = b->Scrub();
  EXPECT_EQ(report.files, static_cast<int64_t>(kSizes.size()));
  EXPECT_EQ(report.damaged, 2);
  EXPECT_EQ(report.mended, 2);
  EXPECT_EQ(report.unmendable, 0);
  EXPECT_EQ(b->Scrub().damaged, 0);
  for (const size_t size : kSizes) {
    EXPECT_THAT(ReadFile(b->path(), absl::StrCat(size)),
                IsOkAndHolds(TestContent(size, size)));
  }
}

TEST(ScrubberTest, SaysWhatItCouldNotMend) {
  Group group(1);
  Member* const a = group.at(0);
  const std::string content = TestContent(1, 5000);
  ASSERT_THAT(PutFile(a->path(), "f", content), IsOk());
  a->Damage(content);
  const ScrubReport report = a->Scrub();
  EXPECT_EQ(report.damaged, 1);
  EXPECT_EQ(report.mended, 0);
  EXPECT_EQ(report.unmendable, 1);
}

// Ticks a scrubber by itself, a minute at a time, until it has read so many
// files or its round has ended.
void ScrubUntil(Scrubber* scrubber, Member* member, int64_t files) {
  absl::Time time;
  const absl::Time end = absl::Now() + kDeadline;
  while (scrubber->totals().files < files && !scrubber->last(&time)) {
    ASSERT_LT(absl::Now(), end);
    member->clock()->Advance(absl::Minutes(1));
    scrubber->Tick(member->clock()->Monotonic(), member->lent());
    while (scrubber->running()) absl::SleepFor(absl::Milliseconds(1));
  }
}

TEST(ScrubberTest, GoesOnWhereARestartCutItOff) {
  constexpr int kFiles = 1200;
  Group group(1);
  Member* const a = group.at(0);
  for (int i = 0; i < kFiles; ++i) {
    ASSERT_THAT(PutFile(a->path(), absl::StrCat("f", i), "content",
                        Durability::kCached),
                IsOk());
  }
  ScrubberOptions options;
  options.bytes_per_second = 1 << 20;  // 256 files at a tick.
  Repairs* const repairs = a->upkeep()->repairs();
  int64_t before = 0;
  absl::Time time;
  {
    Scrubber scrubber(options, 0, repairs, nullptr, a->clock(), [] {});
    ScrubUntil(&scrubber, a, kFiles / 2);
    before = scrubber.totals().files;
    // Killed: what was written down a moment ago has to do.
  }
  ASSERT_GE(before, kFiles / 2);
  ASSERT_LT(before, kFiles);
  a->Close();
  a->Open();
  {
    Scrubber scrubber(options, 0, repairs, nullptr, a->clock(), [] {});
    ScrubUntil(&scrubber, a, kFiles);
    const absl::optional<ScrubReport> rest = scrubber.last(&time);
    ASSERT_TRUE(rest.has_value());
    EXPECT_LT(rest->files, kFiles);
    EXPECT_GE(rest->files + before, kFiles);
  }
  // The next one is a whole one, and so is one that is asked for.
  Scrubber scrubber(options, 0, repairs, nullptr, a->clock(), [] {});
  ScrubUntil(&scrubber, a, kFiles + 1);
  ASSERT_TRUE(scrubber.last(&time).has_value());
  EXPECT_EQ(scrubber.last(&time)->files, kFiles);
}

TEST(ScrubberTest, BeginsAnewWhereThePositionIsDamaged) {
  Group group(1);
  Member* const a = group.at(0);
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(PutFile(a->path(), absl::StrCat("f", i), "content"), IsOk());
  }
  const std::string file = absl::StrCat(kDirectory, "/", kScrubFile);
  for (const std::string& damaged : {std::string("x"), std::string(100, 'x')}) {
    ASSERT_THAT(ReplaceFile(a->fs(), file, damaged), IsOk());
    EXPECT_EQ(a->replica()->ReadScrubPosition(), "");
  }
  Scrubber scrubber(ScrubberOptions(), 0, a->upkeep()->repairs(), nullptr,
                    a->clock(), [] {});
  ScrubUntil(&scrubber, a, 11);
  absl::Time time;
  ASSERT_TRUE(scrubber.last(&time).has_value());
  EXPECT_EQ(scrubber.last(&time)->files, 10);
  // What is kept is read back, until the round has ended.
  a->replica()->KeepScrubPosition("a position");
  EXPECT_EQ(a->replica()->ReadScrubPosition(), "a position");
  a->replica()->KeepScrubPosition("");
  EXPECT_THAT(a->fs()->Stat(file), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ScrubberTest, ReadsNoFasterThanItMay) {
  Group group(1);
  Member* const a = group.at(0);
  for (int i = 0; i < 8; ++i) {
    ASSERT_THAT(
        PutFile(a->path(), absl::StrCat("f", i), TestContent(i, 1 << 20)),
        IsOk());
  }
  a->replicator()->Tick();
  ASSERT_THAT(a->upkeep()->scrubber()->Start(1 << 20), IsOk());
  const auto bytes = [a] { return a->upkeep()->scrubber()->totals().bytes; };
  // No time passes: nothing happens, however often it is asked.
  for (int i = 0; i < 50; ++i) a->replicator()->Tick();
  EXPECT_EQ(bytes(), 0);
  for (int second = 1; second <= 4; ++second) {
    a->clock()->Advance(absl::Seconds(1));
    const int64_t before = bytes();
    ASSERT_TRUE(a->Until([&] {
      return bytes() > before && !a->upkeep()->scrubber()->running();
    }));
    // A piece may be begun before the allowance is used up.
    EXPECT_LE(bytes(), (second + 1) << 20) << second;
  }
  EXPECT_GE(bytes(), 2 << 20);
}

TEST(ComparisonTest, MembersThatHaveTheSameDoNotDiffer) {
  Group group(3);
  for (int i = 0; i < 100; ++i) {
    const std::string name = absl::StrCat("f", i);
    ASSERT_THAT(PutFile(group.at(0)->path(), name, TestContent(i, 100)),
                IsOk());
    // One of them forgets tombstones sooner than the others.
    if (i % 7 == 0) {
      ASSERT_THAT(DeleteFile(group.at(0)->path(), name), IsOk());
    }
    for (const int other : {1, 2}) {
      if (i % 7 == 0 && other == 2) continue;
      group.at(other)->Copy(name, group.at(0));
    }
  }
  for (const int other : {1, 2}) group.at(other)->ClaimLogOf(group.at(0));
  for (int i = 0; i < 3; ++i) {
    const ComparisonReport report = group.at(i)->Compare();
    EXPECT_EQ(report.peers, 2u);
    EXPECT_EQ(report.failed_peers, 0u);
    EXPECT_EQ(report.differing, 0);
    EXPECT_EQ(report.under_way, 0);
    EXPECT_EQ(report.names, 2 * 85);
    EXPECT_GE(report.ranges, 2);
  }
}

TEST(ComparisonTest, WhatIsGoneFromAnIndexIsTakenOverAgain) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  for (int i = 0; i < 200; ++i) {
    const std::string name = absl::StrCat("f", i);
    ASSERT_THAT(PutFile(a->path(), name, TestContent(i, 1000)), IsOk());
    // B says to have them all, and lacks some.
    if (i % 50 != 7) b->Copy(name, a);
  }
  b->ClaimLogOf(a);
  a->ClaimLogOf(b);
  // A sees that B lacks them, and cannot do anything about it.
  ComparisonReport report = a->Compare();
  EXPECT_EQ(report.differing, 4);
  EXPECT_EQ(report.lacking_there, 4);
  EXPECT_EQ(report.mended, 0);
  report = b->Compare();
  EXPECT_EQ(report.differing, 4);
  EXPECT_EQ(report.mended, 4);
  ASSERT_TRUE(
      b->Until([b] { return b->replica()->ListMissing("", 10).empty(); }));
  for (int i = 0; i < 200; ++i) {
    EXPECT_THAT(ReadFile(b->path(), absl::StrCat("f", i)),
                IsOkAndHolds(TestContent(i, 1000)));
  }
  EXPECT_EQ(b->Compare().differing, 0);
  EXPECT_EQ(a->Compare().differing, 0);
}

TEST(ComparisonTest, AMemberThatHasNothingTakesAll) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(PutFile(a->path(), absl::StrCat("f", i), TestContent(i, 10)),
                IsOk());
  }
  b->ClaimLogOf(a);
  a->ClaimLogOf(b);
  EXPECT_EQ(a->Compare().lacking_there, 100);
  EXPECT_EQ(b->Compare().mended, 100);
  EXPECT_EQ(a->Compare().differing, 0);
}

TEST(ComparisonTest, ADeletionThatWasMissedIsTakenOver) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  for (int i = 0; i < 50; ++i) {
    const std::string name = absl::StrCat("f", i);
    ASSERT_THAT(PutFile(a->path(), name, "x"), IsOk());
    b->Copy(name, a);
  }
  ASSERT_THAT(DeleteFile(a->path(), "f33"), IsOk());
  b->ClaimLogOf(a);
  a->ClaimLogOf(b);
  // Nothing comes back at the one that knows of it.
  ComparisonReport report = a->Compare();
  EXPECT_EQ(report.mended, 0);
  EXPECT_EQ(report.lacking_there, 1);
  report = b->Compare();
  EXPECT_EQ(report.mended, 1);
  EXPECT_EQ(ReasonOf(b->path()->Stat("f33").status()),
            ErrorReason::kFileDeleted);
  EXPECT_EQ(a->Compare().differing, 0);
}

TEST(ComparisonTest, WhatALogBringsIsLeftToIt) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  ASSERT_THAT(PutFile(a->path(), "f", "x"), IsOk());
  ComparisonReport report = b->Compare();
  EXPECT_EQ(report.under_way, 1);
  EXPECT_EQ(report.differing, 0);
  EXPECT_FALSE(b->path()->Stat("f").ok());
  report = a->Compare();
  EXPECT_EQ(report.under_way, 1);
  EXPECT_EQ(report.differing, 0);
}

// The peer got some files from a member that is gone, in a snapshot that never
// ended: it has them, and its logs say nothing of them.
TEST(ComparisonTest, WhatNoLogBringsIsTakenTheNextTime) {
  Group gone(1);
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  LogRange heard;
  heard.log = gone.at(0)->replica()->Logs().front().log;
  CAIRN_CHECK_OK(a->replica()->SetLogs({heard}));
  for (int i = 0; i < 20; ++i) {
    const std::string name = absl::StrCat("f", i);
    ASSERT_THAT(PutFile(gone.at(0)->path(), name, TestContent(i, 100)), IsOk());
    a->Copy(name, gone.at(0));
  }
  ComparisonReport report = b->Compare();
  EXPECT_EQ(report.under_way, 20);
  EXPECT_EQ(report.mended, 0);
  report = b->Compare();
  EXPECT_EQ(report.under_way, 0);
  EXPECT_EQ(report.mended, 20);
  EXPECT_EQ(b->Compare().differing, 0);
  EXPECT_EQ(a->Compare().differing, 0);
  ASSERT_TRUE(b->Until(
      [&] { return b->replicator()->Progress().missing_contents == 0; }));
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(ReadFile(b->path(), absl::StrCat("f", i)),
                IsOkAndHolds(TestContent(i, 100)));
  }
}

TEST(ComparisonTest, AStaleMemberBringsNothingBack) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const stale = group.at(1);
  // It has a file that A may have deleted and forgotten since: A knows of its
  // change, and not of the file.
  ASSERT_THAT(PutFile(stale->path(), "f", "x"), IsOk());
  a->ClaimLogOf(stale);
  ASSERT_THAT(PutFile(a->path(), "g", "y"), IsOk());
  ComparisonReport report = a->Compare();
  EXPECT_EQ(report.mended, 0);
  EXPECT_EQ(report.unmendable, 1);
  EXPECT_FALSE(a->path()->Stat("f").ok());
  // Once it has heard of all that A did, and still has the file, it is A that
  // lacks it.
  stale->Copy("g", a);
  stale->ClaimLogOf(a);
  report = a->Compare();
  EXPECT_EQ(report.mended, 1);
  ASSERT_TRUE(a->Until([a] { return ReadFile(a->path(), "f").ok(); }));
  EXPECT_THAT(ReadFile(a->path(), "f"), IsOkAndHolds("x"));
}

TEST(ComparisonTest, TwoFilesUnderOneVersionAreAConflictAndStay) {
  Group group(2);
  Member* const a = group.at(0);
  Member* const b = group.at(1);
  ASSERT_THAT(PutFile(a->path(), "f", "one"), IsOk());
  const auto known = a->replica()->Find("f");
  ASSERT_THAT(known, IsOk());
  ReplicatedChange change;
  change.mode = Mode::kSnapshot;
  change.file = (*known)->file;
  change.file.size_bytes = 5;
  change.file.crc32c = 123;
  change.content = absl::Cord("other");
  b->Take(std::move(change));
  b->ClaimLogOf(a);
  a->ClaimLogOf(b);
  for (Member* const member : {a, b}) {
    const ComparisonReport report = member->Compare();
    EXPECT_EQ(report.differing, 1);
    EXPECT_EQ(report.conflicts, 1);
    EXPECT_EQ(report.mended, 0);
  }
  EXPECT_THAT(a->path()->Stat("f")->size_bytes, 3);
  EXPECT_THAT(b->path()->Stat("f")->size_bytes, 5);
}

TEST(ComparisonTest, AMemberThatIsAwayIsNamed) {
  Group group(2);
  Member* const a = group.at(0);
  group.at(1)->Close();
  const Job job = a->RunToEnd(a->upkeep()->comparer()->Start());
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_THAT(job.detail, HasSubstr("member2"));
  EXPECT_EQ(job.findings.comparison->failed_peers, 1u);
}

TEST(ComparisonTest, BeginsByItselfNowAndThen) {
  Group group(2);
  Member* const a = group.at(0);
  ASSERT_THAT(PutFile(a->path(), "f", "x"), IsOk());
  a->replicator()->Tick();
  const auto rounds = [a] { return a->upkeep()->comparer()->totals().peers; };
  for (uint32_t round = 1; round <= 3; ++round) {
    a->clock()->Advance(absl::Hours(1));
    ASSERT_TRUE(a->Until([&] {
      absl::Time time;
      return rounds() == round &&
             a->upkeep()->comparer()->last(&time).has_value() &&
             !a->upkeep()->comparer()->running();
    }));
    // Ends the round.
    for (int i = 0; i < 3; ++i) a->replicator()->Tick();
    EXPECT_EQ(rounds(), round);
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
