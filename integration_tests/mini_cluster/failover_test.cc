// What programs that use the client library notice when a member dies or its
// connection breaks: nothing, but for a pause.

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clients/cpp/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "integration_tests/mini_cluster/tcp_proxy.h"
#include "lib/base/mutex.h"
#include "lib/placement/cluster_model.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

using client::Client;
using client::ClientOptions;

constexpr int64_t kMiB = 1 << 20;

// As programs do, with default settings, 64 calls at once: puts and reads,
// small and large. Each caller does one thing after the other until told to
// stop; an error ends everything.
class Callers {
 public:
  Callers(Client* client, int callers) : client_(client) {
    for (int i = 0; i < callers; ++i) {
      threads_.emplace_back([this, i] { Run(static_cast<uint64_t>(i)); });
    }
  }
  ~Callers() { Stop().IgnoreError(); }

  absl::Status Stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    MutexLock lock(&mu_);
    return failed_;
  }

  // Waits for so many more calls; false if one failed.
  bool AwaitCalls(int64_t calls) {
    MutexLock lock(&mu_);
    const int64_t wanted = calls_ + calls;
    while (calls_ < wanted && failed_.ok()) changed_.Wait(&mu_);
    return failed_.ok();
  }

  absl::Duration longest() const {
    MutexLock lock(&mu_);
    return longest_;
  }

 private:
  void Run(uint64_t caller) {
    // Large ones for one caller in eight.
    const int64_t size = caller % 8 == 0 ? 2 * kMiB : 4096;
    for (uint64_t i = 0; !stopping_; ++i) {
      const std::string content = ContentOf(caller * 1000000 + i, size);
      absl::Time begun = absl::Now();
      const auto put = client_->Put(content);
      if (!Took(begun, put.status())) return;
      // What one member alone had may be at the one that is killed.
      if (put->replicas < 2) continue;
      begun = absl::Now();
      const auto got = client_->Get(put->info.file_id);
      if (!Took(begun, got.status())) return;
      if (got->content != content) {
        Took(begun, absl::DataLossError(put->info.file_id));
      }
    }
  }

  bool Took(absl::Time begun, const absl::Status& status) {
    MutexLock lock(&mu_);
    failed_.Update(status);
    ++calls_;
    longest_ = std::max(longest_, absl::Now() - begun);
    changed_.SignalAll();
    return failed_.ok();
  }

  Client* const client_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;

  mutable Mutex mu_;
  CondVar changed_;
  int64_t calls_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration longest_ ABSL_GUARDED_BY(mu_);
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
};

// Takes what is downloaded, and does something on the way.
class HookedSink : public client::ContentSink {
 public:
  HookedSink(size_t at, std::function<void()> hook)
      : at_(at), hook_(std::move(hook)) {}

  absl::Status Write(const absl::Cord& data) override {
    content_ += std::string(data);
    if (hook_ != nullptr && content_.size() >= at_) {
      std::exchange(hook_, nullptr)();
    }
    return absl::OkStatus();
  }

  const std::string& content() const { return content_; }

 private:
  const size_t at_;
  std::function<void()> hook_;
  std::string content_;
};

class FailoverTest : public ::testing::Test {
 protected:
  static constexpr int kMembers = 3;

  void Start(bool proxies, const std::string& storage_config = "") {
    auto cluster = MiniCluster::Start({.trackers = 2,
                                       .storages = kMembers,
                                       .members = kMembers,
                                       .storage_config = storage_config,
                                       .proxies = proxies});
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
  }

  // That all members take uploads: none is the last choice any more.
  static bool AllAreThere(const ClusterModel& model) {
    return model.nodes().size() == kMembers &&
           std::none_of(
               model.nodes().begin(), model.nodes().end(),
               [](const NodeModel& node) {
                 return std::any_of(
                     node.store_paths.begin(), node.store_paths.end(),
                     [](const StorePathModel& path) { return path.syncing; });
               });
  }

  // Once it knows that.
  std::unique_ptr<Client> Connect(ClientOptions options = {}) {
    options.trackers = cluster_->tracker_addresses();
    options.connect_timeout = kProcessDeadline;
    auto client = Client::Connect(options);
    EXPECT_THAT(client, IsOk());
    if (!client.ok()) return nullptr;
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (!AllAreThere(*(*client)->cluster())) {
      EXPECT_LT(absl::Now(), deadline);
      if (absl::Now() > deadline) return nullptr;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return *std::move(client);
  }

  // Waits until each member by itself counts so many files and lacks nothing.
  void AwaitFiles(int64_t files) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    for (const std::string& address : cluster_->storage_addresses()) {
      StorageStub stub(address);
      int64_t count = -1;
      uint64_t missing = 1;
      while ((count != files || missing > 0) && absl::Now() < deadline) {
        absl::SleepFor(absl::Milliseconds(20));
        const auto state = stub.State();
        if (!state.ok()) continue;
        count = 0;
        missing = 0;
        for (const auto& path : state->store_paths()) {
          count += path.files();
          missing += path.replication().missing_contents();
        }
      }
      EXPECT_EQ(count, files) << address;
      EXPECT_EQ(missing, 0u) << address;
    }
  }

  // Of clients alone: members reach each other.
  void SetClientFaults(int member, const LinkFaults& faults) {
    cluster_->link(member)->SetFaults("", faults);
  }

  int64_t BytesOnLinks() {
    int64_t bytes = 0;
    for (int i = 0; i < kMembers; ++i)
      bytes += cluster_->link(i)->counts().bytes;
    return bytes;
  }

  int64_t Resets() {
    int64_t resets = 0;
    for (int i = 0; i < kMembers; ++i)
      resets += cluster_->link(i)->counts().reset;
    return resets;
  }

  std::unique_ptr<MiniCluster> cluster_;
  int cut_ = 0;            // The member whose link was.
  int64_t last_done_ = 0;  // Bytes.
};

TEST_F(FailoverTest, NoErrorReachesTheCallersWhenOneOfThreeMembersIsKilled) {
  Start(/*proxies=*/false);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  Callers callers(client.get(), 64);
  ASSERT_TRUE(callers.AwaitCalls(500));
  for (int member = 0; member < kMembers; ++member) {
    cluster_->storage(member)->Kill();
    ASSERT_TRUE(callers.AwaitCalls(1000)) << callers.Stop();
    ASSERT_THAT(cluster_->storage(member)->Start(), IsOk());
    ASSERT_TRUE(callers.AwaitCalls(1000)) << callers.Stop();
  }
  EXPECT_THAT(callers.Stop(), IsOk());
  RecordProperty("longest_call", absl::FormatDuration(callers.longest()));
}

TEST_F(FailoverTest, StatTellsWhichMembersHaveAFileAndWhichCannotBeAsked) {
  Start(/*proxies=*/false);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  const auto put = client->Put("content");
  ASSERT_THAT(put, IsOk());
  AwaitFiles(1);
  const auto states = [&](const std::string& id) {
    std::multiset<client::ReplicaState> found;
    const auto info = client->Stat(id, {.include_replicas = true});
    EXPECT_THAT(info, IsOk());
    if (info.ok()) {
      for (const client::Replica& replica : info->replicas) {
        found.insert(replica.state);
      }
    }
    return found;
  };
  using State = client::ReplicaState;
  using States = std::multiset<State>;
  EXPECT_EQ(states(put->info.file_id),
            (States{State::kCurrent, State::kCurrent, State::kCurrent}));
  cluster_->storage(1)->Kill();
  EXPECT_EQ(states(put->info.file_id),
            (States{State::kCurrent, State::kCurrent, State::kUnreachable}));
  const auto later = client->Put("later");
  ASSERT_THAT(later, IsOk());
  // Back, it has the file soon.
  ASSERT_THAT(cluster_->storage(1)->Start(), IsOk());
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (states(later->info.file_id) !=
         States{State::kCurrent, State::kCurrent, State::kCurrent}) {
    ASSERT_LT(absl::Now(), deadline);
    absl::SleepFor(absl::Milliseconds(50));
  }
}

TEST_F(FailoverTest, ABrokenDownloadGoesOnAtAnotherMemberWhereItStood) {
  Start(/*proxies=*/true);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  const std::string content = ContentOf(1, 48 * kMiB);
  const auto put = client->Put(content);
  ASSERT_THAT(put, IsOk());
  AwaitFiles(1);
  const int64_t before = BytesOnLinks();
  // Whoever it is read from, in the middle of it.
  HookedSink sink(static_cast<size_t>(16 * kMiB), [this] {
    int busiest = 0;
    for (int i = 1; i < kMembers; ++i) {
      if (cluster_->link(i)->counts().bytes >
          cluster_->link(busiest)->counts().bytes) {
        busiest = i;
      }
    }
    cut_ = busiest;
    SetClientFaults(busiest, {.refuse = true});
  });
  const auto got = client->GetTo(put->info.file_id, &sink);
  ASSERT_THAT(got, IsOk());
  EXPECT_TRUE(sink.content() == content);
  EXPECT_GT(cluster_->link(cut_)->counts().reset, 0);
  // Nothing much was sent twice.
  EXPECT_LT(BytesOnLinks() - before, 48 * kMiB + 12 * kMiB);
}

TEST_F(FailoverTest, AKilledMemberEndsNoDownload) {
  Start(/*proxies=*/false);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  const std::string content = ContentOf(2, 24 * kMiB);
  const auto put = client->Put(content);
  ASSERT_THAT(put, IsOk());
  AwaitFiles(1);
  for (int member = 0; member < kMembers; ++member) {
    HookedSink sink(static_cast<size_t>(5 * kMiB), [this, member] {
      cluster_->storage(member)->process()->Signal(SIGKILL);
    });
    ASSERT_THAT(client->GetTo(put->info.file_id, &sink), IsOk());
    EXPECT_TRUE(sink.content() == content);
    ASSERT_THAT(cluster_->storage(member)->KillAndRestart(), IsOk());
  }
}

TEST_F(FailoverTest, ABrokenUploadIsRepeatedAndGivesOneFile) {
  Start(/*proxies=*/true);
  auto client = Connect();
  ASSERT_NE(client, nullptr);
  const std::string content = ContentOf(3, 24 * kMiB);
  const std::string file = absl::StrCat(cluster_->folder(), "/upload");
  std::ofstream(file, std::ios::binary) << content;
  int64_t files = 0;
  for (const bool from_file : {true, false}) {
    // Wherever it goes first it breaks off in the middle, and once more.
    for (int i = 0; i < kMembers; ++i) {
      SetClientFaults(i, {.cut_after_bytes = 7 * kMiB});
    }
    client::PutOptions options;
    int breaks = 0;
    options.progress = [&](int64_t done, absl::optional<int64_t> /*total*/) {
      if (done < last_done_ && ++breaks == 2) cluster_->HealLinks();
      last_done_ = done;
    };
    last_done_ = 0;
    std::thread healer;
    if (!from_file) {
      // A buffer tells of no progress.
      healer = std::thread([this] {
        const absl::Time deadline = absl::Now() + kProcessDeadline;
        const int64_t resets = Resets();
        while (Resets() < resets + 2 && absl::Now() < deadline) {
          absl::SleepFor(absl::Milliseconds(1));
        }
        cluster_->HealLinks();
      });
    }
    const auto put =
        from_file ? client->PutFile(file, options) : client->Put(content);
    if (healer.joinable()) healer.join();
    ASSERT_THAT(put, IsOk());
    AwaitFiles(++files);
    const auto got = client->Get(put->info.file_id);
    ASSERT_THAT(got, IsOk());
    EXPECT_TRUE(got->content == content);
  }
}

TEST_F(FailoverTest, AnUploadWhoseAnswerIsLostGivesOneFile) {
  // The members that take it say so to the one that answers; while they cannot,
  // it waits.
  Start(/*proxies=*/true, "replica_patience { seconds: 170 }\n");
  int64_t files = 0;
  for (const bool stream : {true, false}) {
    ClientOptions options;
    if (stream) options.small_file_bytes_max = 0;
    auto client = Connect(options);
    ASSERT_NE(client, nullptr);
    // Until the members follow each other.
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    for (int in_a_row = 0; in_a_row < 6 && absl::Now() < deadline;) {
      const auto put = client->Put("before", {.durability = {.replicas = 3}});
      ASSERT_THAT(put, IsOk());
      ++files;
      in_a_row = put->replicas == 3 ? in_a_row + 1 : 0;
    }
    for (int i = 0; i < kMembers; ++i) {
      for (int from = 0; from < kMembers; ++from) {
        cluster_->link(i)->SetFaults(cluster_->storage(from)->name(),
                                     {.hold_to_target = true});
      }
    }
    std::thread breaker([this, files] {
      // Everybody has it, and nobody has told the client.
      AwaitFiles(files + 1);
      for (int i = 0; i < kMembers; ++i) {
        // The client has used all of them.
        const int64_t resets = cluster_->link(i)->counts().reset;
        SetClientFaults(i, {.refuse = true});
        while (cluster_->link(i)->counts().reset == resets) {
          absl::SleepFor(absl::Milliseconds(1));
        }
      }
      cluster_->HealLinks();
    });
    const std::string content = ContentOf(stream ? 1 : 2, 4096);
    const auto put = client->Put(content, {.durability = {.replicas = 3}});
    breaker.join();
    ASSERT_THAT(put, IsOk());
    EXPECT_TRUE(put->replayed);
    AwaitFiles(++files);
    const auto got = client->Get(put->info.file_id);
    ASSERT_THAT(got, IsOk());
    EXPECT_TRUE(got->content == content);
  }
}

}  // namespace
}  // namespace testing
}  // namespace cairn
