// A group of several members, real processes: what one of them took is read
// back from each of the others, byte for byte, whatever happened meanwhile.

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "integration_tests/mini_cluster/cluster.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "integration_tests/mini_cluster/tcp_proxy.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

struct Stored {
  std::string file_id;
  std::string content;
};

// Around what is inline in a message, in a segment of its own, and empty.
const std::vector<int64_t> kSizes = {0, 1, 4096, 300000, 1 << 20, 5 << 20};

class ReplicationTest : public ::testing::Test {
 protected:
  void Start(ClusterOptions options) {
    auto cluster = MiniCluster::Start(options);
    ASSERT_THAT(cluster, IsOk());
    cluster_ = *std::move(cluster);
    for (int i = 0; i < options.storages; ++i) {
      stubs_.push_back(
          std::make_unique<StorageStub>(cluster_->storage(i)->address()));
    }
  }

  // Kills it, if it runs. The first call over a connection to a process that
  // has ended may fail, so the new one gets a stub of its own.
  void Restart(int member, const std::vector<std::string>& flags = {}) {
    ASSERT_THAT(cluster_->storage(member)->KillAndRestart(flags), IsOk());
    stubs_[member] =
        std::make_unique<StorageStub>(cluster_->storage(member)->address());
  }

  void Put(int member, const std::vector<int64_t>& sizes) {
    for (const int64_t size : sizes) {
      Stored file;
      file.content = ContentOf(++seed_, size);
      auto stored = stubs_[member]->Put(Uuid::Random(), file.content);
      ASSERT_THAT(stored, IsOk());
      file.file_id = stored->file_id;
      files_.push_back(std::move(file));
    }
  }

  // Waits until the member itself has every file, as its own count says, and
  // reads them.
  void ExpectAllAt(int member) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::StatusOr<int64_t> files;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      files = stubs_[member]->Files();
    } while ((!files.ok() || *files != static_cast<int64_t>(files_.size())) &&
             absl::Now() < deadline);
    ASSERT_THAT(files, IsOkAndHolds(static_cast<int64_t>(files_.size())))
        << "at member " << member;
    for (const Stored& file : files_) {
      absl::StatusOr<std::string> content;
      do {
        content = stubs_[member]->Get(file.file_id);
      } while (ReasonOf(content.status()) == ErrorReason::kContentNotHere &&
               absl::Now() < deadline);
      ASSERT_THAT(content, IsOk()) << file.file_id;
      EXPECT_TRUE(*content == file.content) << file.file_id;
    }
  }

  // Until a tracker has told the member of the others, it can ask nobody for
  // what it has not got.
  void AwaitPeers(int member, int peers) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    int known = -1;
    while (known != peers && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(20));
      const auto state = stubs_[member]->State();
      if (!state.ok()) continue;
      known = state->store_paths(0).replication().peers_size();
    }
    ASSERT_EQ(known, peers) << "at member " << member;
  }

  void AwaitGone(int member, const std::string& file_id) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::Status status;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      status = stubs_[member]->Stat(file_id).status();
    } while (ReasonOf(status) != ErrorReason::kFileDeleted &&
             absl::Now() < deadline);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kFileDeleted) << status;
  }

  // -1 if it does not say so.
  int64_t MissingContentsAt(int member) {
    const auto state = stubs_[member]->State();
    if (!state.ok()) return -1;
    return static_cast<int64_t>(
        state->store_paths(0).replication().missing_contents());
  }

  // Member 1 of two knows the last of the files and has a part of its content.
  // It has ended, and the ways are good again.
  void StopInTheMiddleOfAFetch() {
    Start({.storages = 2, .members = 2, .proxies = true});
    Put(0, {1000});
    ExpectAllAt(1);
    // So slow that it cannot be through, and not silent.
    cluster_->link(0)->SetFaults("storage1", {.latency = absl::Seconds(1)});
    const int64_t before = cluster_->link(0)->counts().bytes;
    Put(0, {32 << 20});
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (cluster_->link(0)->counts().bytes < before + (2 << 20)) {
      ASSERT_LT(absl::Now(), deadline);
      absl::SleepFor(absl::Milliseconds(20));
    }
    ASSERT_EQ(MissingContentsAt(1), 1);
    const auto ended = cluster_->storage(1)->Terminate();
    ASSERT_THAT(ended, IsOk());
    EXPECT_EQ(ended->ToString(), "exit 0");
    cluster_->HealLinks();
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::vector<std::unique_ptr<StorageStub>> stubs_;
  std::vector<Stored> files_;
  uint64_t seed_ = 0;
};

TEST_F(ReplicationTest, MembersHaveWhatAnyOfThemTook) {
  Start({.storages = 3, .members = 3, .paths = 2});
  for (int member = 0; member < 3; ++member) Put(member, kSizes);
  for (int member = 0; member < 3; ++member) ExpectAllAt(member);
}

TEST_F(ReplicationTest, AttributesThatAreSetAtOneMemberAreReadAtEach) {
  Start({.storages = 3, .members = 3});
  for (int member = 0; member < 3; ++member) AwaitPeers(member, 2);
  Attributes born;
  for (int i = 0; i < 40; ++i) {
    born[absl::StrCat("key", i)] = std::string(1000, 'v');
  }
  for (const int64_t size : kSizes) {
    SCOPED_TRACE(size);
    const std::string content = ContentOf(++seed_, size);
    PutWishes wishes;
    wishes.attributes = born;
    const auto stored = stubs_[0]->Put(Uuid::Random(), content, wishes);
    ASSERT_THAT(stored, IsOk());
    files_.push_back({stored->file_id, content});
    // At once at any member, whether it has the file by now or not.
    for (const auto& stub : stubs_) {
      const auto seen = stub->GetAttributes(stored->file_id);
      ASSERT_THAT(seen, IsOk());
      EXPECT_TRUE(seen->attributes == born);
    }
    // Changed at a member that did not take the file.
    AttributeChange change;
    change.set = {{"key0", "changed"}, {"new", ""}};
    change.remove = {"key1"};
    Attributes expected = born;
    expected.erase("key1");
    expected["key0"] = "changed";
    expected["new"] = "";
    const auto version =
        stubs_[1]->SetAttributes(Uuid::Random(), stored->file_id, change, 3);
    ASSERT_THAT(version, IsOk());
    for (const auto& stub : stubs_) {
      const auto seen = stub->GetAttributes(stored->file_id);
      ASSERT_THAT(seen, IsOk());
      EXPECT_TRUE(seen->attributes == expected);
      EXPECT_EQ(seen->version_clock, *version);
    }
  }
  for (int member = 0; member < 3; ++member) ExpectAllAt(member);

  // A member that was away takes over what changed meanwhile.
  cluster_->storage(2)->Kill();
  AttributeChange change;
  change.overwrite = true;
  change.set = {{"only", "this"}};
  for (const Stored& file : files_) {
    ASSERT_THAT(
        stubs_[0]->SetAttributes(Uuid::Random(), file.file_id, change, 2),
        IsOk());
  }
  ASSERT_NO_FATAL_FAILURE(Restart(2));
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  for (const Stored& file : files_) {
    absl::StatusOr<SeenAttributes> seen;
    do {
      absl::SleepFor(absl::Milliseconds(20));
      seen = stubs_[2]->GetAttributes(file.file_id);
    } while ((!seen.ok() || seen->attributes != change.set) &&
             absl::Now() < deadline);
    ASSERT_THAT(seen, IsOk());
    EXPECT_TRUE(seen->attributes == change.set) << file.file_id;
  }
  for (int member = 0; member < 3; ++member) ExpectAllAt(member);
}

TEST_F(ReplicationTest, EachMemberSaysHowItStandsWithTheOthers) {
  Start({.storages = 2, .members = 2, .paths = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  const auto all_is_said = [this] {
    for (int member = 0; member < 2; ++member) {
      const auto state = stubs_[member]->State();
      if (!state.ok() || state->store_paths_size() != 2) return false;
      for (const auto& path : state->store_paths()) {
        const auto& replication = path.replication();
        if (replication.peers_size() != 1 || !replication.caught_up() ||
            replication.missing_contents() > 0 || replication.syncing() ||
            replication.changes_only_here() > 0 ||
            replication.under_replicated_changes() > 0 ||
            !replication.peers(0).pulling() ||
            replication.peers(0).name() !=
                absl::StrCat("storage", 1 - member) ||
            replication.peers(0).behind_changes() > 0 ||
            replication.peers(0).peer_behind_changes() > 0 ||
            replication.peers(0).peer_unsynced_changes() > 0 ||
            replication.peers(0).peer_missing_contents() > 0) {
          return false;
        }
      }
    }
    return true;
  };
  while (!all_is_said() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_TRUE(all_is_said());
  // Who is restarted is told again what others have, though nothing has
  // changed.
  ASSERT_NO_FATAL_FAILURE(Restart(0));
  while (!all_is_said() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_TRUE(all_is_said());
  cluster_->storage(1)->Kill();
  Put(0, {10, 10});
  bool noticed = false;
  while (!noticed && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
    const auto state = stubs_[0]->State();
    ASSERT_THAT(state, IsOk());
    uint64_t behind = 0;
    uint64_t only_here = 0;
    bool pulling = false;
    for (const auto& path : state->store_paths()) {
      behind += path.replication().peers(0).peer_behind_changes();
      only_here += path.replication().changes_only_here();
      EXPECT_EQ(path.replication().changes_only_here(),
                path.replication().under_replicated_changes());
      pulling = pulling || path.replication().peers(0).last_error().empty();
    }
    noticed = behind == 2 && only_here == 2 && !pulling;
  }
  EXPECT_TRUE(noticed);
}

TEST_F(ReplicationTest, ADeletionAtAnyMemberHoldsAtAll) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  const std::string deleted = files_[2].file_id;
  ASSERT_THAT(stubs_[1]->Delete(Uuid::Random(), deleted), IsOk());
  files_.erase(files_.begin() + 2);
  AwaitGone(0, deleted);
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
}

TEST_F(ReplicationTest, AMemberThatWasAwayCatchesUp) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  cluster_->storage(1)->Kill();
  Put(0, kSizes);
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  Put(1, kSizes);
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
}

// Addresses are hints: IPv6, another port, a name. Nobody else is restarted.
TEST_F(ReplicationTest, AMemberThatComesBackElsewhereIsFoundAgain) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  const std::vector<std::vector<std::string>> places = {
      {"--set=listen=[::1]:0"},
      {"--set=listen=127.0.0.1:0"},
  };
  for (const std::vector<std::string>& place : places) {
    const std::string before = cluster_->storage(1)->address();
    ASSERT_NO_FATAL_FAILURE(Restart(1, place));
    ASSERT_NE(cluster_->storage(1)->address(), before);
    Put(1, kSizes);
    Put(0, kSizes);
    for (int member = 0; member < 2; ++member) ExpectAllAt(member);
  }
  // Behind a name; the port is the one of before.
  const std::string port(
      absl::StripPrefix(cluster_->storage(1)->address(), "127.0.0.1:"));
  ASSERT_NO_FATAL_FAILURE(
      Restart(1, {absl::StrCat("--set=advertise=localhost:", port)}));
  Put(1, kSizes);
  ExpectAllAt(0);
  const auto state = stubs_[0]->State();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->store_paths(0).replication().peers(0).address(),
            absl::StrCat("localhost:", port));
}

TEST_F(ReplicationTest, SurvivorsCompleteTheLogOfADeadMember) {
  Start({.storages = 3, .members = 3});
  Put(0, kSizes);
  ExpectAllAt(1);
  // The third one has nothing that came after; the first never comes back.
  cluster_->storage(2)->Kill();
  Put(0, kSizes);
  ExpectAllAt(1);
  cluster_->storage(0)->Kill();
  ASSERT_NO_FATAL_FAILURE(Restart(2));
  ExpectAllAt(2);
}

TEST_F(ReplicationTest, AWipedMemberIsFilledAgain) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  Put(1, kSizes);
  ExpectAllAt(0);
  cluster_->storage(1)->Kill();
  std::filesystem::remove_all(cluster_->path_folder(1));
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  ExpectAllAt(1);
  Put(1, kSizes);
  ExpectAllAt(0);
}

TEST_F(ReplicationTest, AMemberIsSyncingUntilItHasCaughtUp) {
  Start({.storages = 2, .members = 2});
  const auto await_syncing = [this](int member, bool syncing) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (absl::Now() < deadline) {
      const auto state = stubs_[member]->State();
      if (state.ok() &&
          state->store_paths(0).replication().syncing() == syncing &&
          state->store_paths(0).replication().peers_size() >= 1) {
        return true;
      }
      absl::SleepFor(absl::Milliseconds(20));
    }
    return false;
  };
  EXPECT_TRUE(await_syncing(0, false));
  EXPECT_TRUE(await_syncing(1, false));
  Put(0, kSizes);
  ExpectAllAt(1);
  // A new disk, and nobody there to fill it.
  for (int member = 0; member < 2; ++member) cluster_->storage(member)->Kill();
  std::filesystem::remove_all(cluster_->path_folder(1));
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  EXPECT_TRUE(await_syncing(1, true));
  ASSERT_NO_FATAL_FAILURE(Restart(0));
  EXPECT_TRUE(await_syncing(1, false));
  ExpectAllAt(1);
  EXPECT_TRUE(await_syncing(0, false));
}

TEST_F(ReplicationTest, AReplacedDiskIsFilledWhileTheOtherServes) {
  Start({.storages = 2, .members = 2, .paths = 2});
  Put(0, kSizes);
  Put(1, kSizes);
  ExpectAllAt(0);
  cluster_->storage(1)->Kill();
  std::filesystem::remove_all(cluster_->path_folder(1, 0));
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  ExpectAllAt(1);
}

TEST_F(ReplicationTest, ARebuiltIndexIsTakenAsASnapshot) {
  Start({.storages = 2, .members = 2});
  Put(0, kSizes);
  ExpectAllAt(1);
  cluster_->storage(1)->Kill();
  Put(0, kSizes);
  // The log that tells of these is gone with the index.
  ASSERT_THAT(stubs_[0]->RebuildIndex(0), IsOk());
  Put(0, kSizes);
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  Put(1, kSizes);
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
}

// A member whose disk takes nothing never gets a file of its own.
TEST_F(ReplicationTest, AnIdIsReadAtAMemberThatDoesNotHaveTheFile) {
  Start({.storages = 1, .members = 2});
  ASSERT_THAT(
      cluster_->AddStorage(
          {}, absl::StrCat("store_paths { directory: \"",
                           cluster_->path_folder(1), "\" read_only: true }\n")),
      IsOk());
  stubs_.push_back(
      std::make_unique<StorageStub>(cluster_->storage(1)->address()));
  Put(0, kSizes);
  for (const Stored& file : files_) {
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    absl::StatusOr<std::string> content;
    do {  // Until it has heard of the other member.
      content = stubs_[1]->Get(file.file_id);
    } while (!content.ok() && absl::Now() < deadline);
    ASSERT_THAT(content, IsOk()) << file.file_id;
    EXPECT_TRUE(*content == file.content) << file.file_id;
    EXPECT_THAT(stubs_[1]->Stat(file.file_id),
                IsOkAndHolds(static_cast<int64_t>(file.content.size())));
    if (file.content.size() < 2) continue;
    EXPECT_THAT(stubs_[1]->Get(file.file_id, 1, 100),
                IsOkAndHolds(file.content.substr(1, 100)));
  }
  EXPECT_THAT(stubs_[1]->Files(), IsOkAndHolds(0));
  // What nobody has is not found, and asked for once.
  ASSERT_THAT(stubs_[0]->Delete(Uuid::Random(), files_[0].file_id), IsOk());
  EXPECT_EQ(ReasonOf(stubs_[1]->Stat(files_[0].file_id).status()),
            ErrorReason::kFileDeleted);
  cluster_->storage(0)->Kill();
  EXPECT_EQ(ReasonOf(stubs_[1]->Stat(files_[1].file_id).status()),
            ErrorReason::kContentNotHere);
}

TEST_F(ReplicationTest, WhatIsNotKnownIsNotGoneBeforeTheMembersAreKnown) {
  Start({.storages = 1, .members = 2});
  Put(0, {1000});
  cluster_->tracker()->Kill();
  // It comes up with nobody to tell it of the other member.
  ASSERT_THAT(cluster_->AddStorage({cluster_->path_folder(1)}), IsOk());
  stubs_.push_back(
      std::make_unique<StorageStub>(cluster_->storage(1)->address()));
  EXPECT_EQ(ReasonOf(stubs_[1]->Get(files_[0].file_id).status()),
            ErrorReason::kContentNotHere);
  EXPECT_EQ(ReasonOf(stubs_[1]->Stat(files_[0].file_id).status()),
            ErrorReason::kContentNotHere);
  EXPECT_EQ(
      ReasonOf(stubs_[1]->Delete(Uuid::Random(), files_[0].file_id).status()),
      ErrorReason::kContentNotHere);
  ASSERT_THAT(cluster_->tracker()->Start(), IsOk());
  ExpectAllAt(1);
}

TEST_F(ReplicationTest, AMemberStopsInTheMiddleOfFetchingAContent) {
  StopInTheMiddleOfAFetch();
  if (HasFatalFailure()) return;
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  ExpectAllAt(1);
}

TEST_F(ReplicationTest, AContentWhoseFileIsDeletedIsNotFetchedAnyMore) {
  StopInTheMiddleOfAFetch();
  if (HasFatalFailure()) return;
  ASSERT_THAT(stubs_[0]->Delete(Uuid::Random(), files_.back().file_id), IsOk());
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  AwaitGone(1, files_.back().file_id);
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  int64_t missing;
  while ((missing = MissingContentsAt(1)) != 0 && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_EQ(missing, 0);
}

TEST_F(ReplicationTest, ABadBlockIsReadAtAnotherMemberAndMended) {
  Start({.storages = 2, .members = 2});
  Put(0, {5 << 20});
  ExpectAllAt(1);
  // A large file is the only one with a segment of its own.
  std::string largest;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           cluster_->path_folder(1) + "/segments")) {
    if (!entry.is_regular_file()) continue;
    if (largest.empty() ||
        entry.file_size() > std::filesystem::file_size(largest)) {
      largest = entry.path();
    }
  }
  std::fstream segment(largest,
                       std::ios::in | std::ios::out | std::ios::binary);
  segment.seekp(4096 + 1000000);
  segment.write("flipped", 7);
  segment.close();
  EXPECT_THAT(stubs_[1]->Get(files_[0].file_id),
              IsOkAndHolds(files_[0].content));
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  bool mended = false;
  while (!mended && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(20));
    const auto state = stubs_[1]->State();
    ASSERT_THAT(state, IsOk());
    const auto& upkeep = state->store_paths(0).upkeep();
    mended = upkeep.mended_files() == 1 && upkeep.damaged_files() == 0;
  }
  EXPECT_TRUE(mended);
  // Nobody is left to read it at.
  cluster_->storage(0)->Kill();
  EXPECT_THAT(stubs_[1]->Get(files_[0].file_id),
              IsOkAndHolds(files_[0].content));
}

TEST_F(ReplicationTest, ADeletionHoldsWhereTheFileComesLater) {
  Start({.storages = 2, .members = 2});
  Put(0, {1000});
  ExpectAllAt(1);
  for (int i = 0; i < 20; ++i) {
    // No waiting: often enough the other member has not heard of it.
    const auto stored = stubs_[0]->Put(Uuid::Random(), "short-lived",
                                       {.synced = false, .replicas = 1});
    ASSERT_THAT(stored, IsOk());
    ASSERT_THAT(stubs_[1]->Delete(Uuid::Random(), stored->file_id), IsOk());
    AwaitGone(0, stored->file_id);
    AwaitGone(1, stored->file_id);
  }
  for (int member = 0; member < 2; ++member) ExpectAllAt(member);
}

// Puts until the answer says that so many members have it: they may still be
// looking for each other.
uint32_t AwaitReplicas(StorageStub* stub, const PutWishes& wishes,
                       uint32_t replicas) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  uint32_t reached = 0;
  do {
    absl::SleepFor(absl::Milliseconds(20));
    const auto stored = stub->Put(Uuid::Random(), "content", wishes);
    reached = stored.ok() ? stored->replicas : 0;
  } while (reached != replicas && absl::Now() < deadline);
  return reached;
}

TEST_F(ReplicationTest, TheAnswerSaysHowManyMembersHaveIt) {
  Start({.storages = 3, .members = 3});
  for (const bool synced : {true, false}) {
    const PutWishes all{.synced = synced, .replicas = 3};
    EXPECT_EQ(AwaitReplicas(stubs_[0].get(), all, 3), 3u);
    // From now on at once, large ones too.
    for (const int64_t size : kSizes) {
      const auto stored =
          stubs_[0]->Put(Uuid::Random(), ContentOf(size, size), all);
      ASSERT_THAT(stored, IsOk());
      EXPECT_EQ(stored->replicas, 3u) << size;
      for (int member = 1; member < 3; ++member) {
        // No waiting: it is there when the answer is.
        EXPECT_THAT(stubs_[member]->Get(stored->file_id),
                    IsOkAndHolds(ContentOf(size, size)));
      }
    }
  }
  // The default is two.
  const auto stored = stubs_[0]->Put(Uuid::Random(), "content");
  ASSERT_THAT(stored, IsOk());
  EXPECT_GE(stored->replicas, 2u);
}

TEST_F(ReplicationTest, WhatIsRequiredIsRefusedWithoutTheMembers) {
  Start({.storages = 2, .members = 2});
  const PutWishes two{.replicas = 2, .replicas_required = true};
  EXPECT_EQ(AwaitReplicas(stubs_[0].get(), two, 2), 2u);
  cluster_->storage(1)->Kill();
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  absl::Status refused;
  do {
    refused = stubs_[0]->Put(Uuid::Random(), "content", two).status();
  } while (refused.ok() && absl::Now() < deadline);
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kInsufficientReplicas) << refused;
  // As many as are up: this one.
  const auto stored = stubs_[0]->Put(Uuid::Random(), "content");
  ASSERT_THAT(stored, IsOk());
  EXPECT_EQ(stored->replicas, 1u);
  ASSERT_NO_FATAL_FAILURE(Restart(1));
  EXPECT_EQ(AwaitReplicas(stubs_[0].get(), two, 2), 2u);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
