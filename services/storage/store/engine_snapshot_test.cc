// A snapshot on its way between the store paths of two members, through
// SnapshotPull as in a node, and what it reconciles.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/fault/fault_point.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/log_sender.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/snapshot_pull.h"
#include "services/storage/core/testing/silent_transport.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Brings the pages of one member, `pages_max` of them, then breaks.
class SnapshotLink : public SilentTransport {
 public:
  SnapshotLink(Member* from, int pages_max)
      : from_(from), pages_left_(pages_max) {}

  std::shared_ptr<PeerStream> StartSnapshot(
      const Peer& /*peer*/, uint8_t /*store_path*/, const std::string& from,
      SnapshotListener* listener) override {
    return std::make_shared<Stream>(this, from, listener);
  }

 private:
  class Stream : public PeerStream {
   public:
    Stream(SnapshotLink* link, const std::string& from,
           SnapshotListener* listener)
        : link_(link),
          // Borrowed: whoever ends the pull may be the last to hold this.
          sender_({std::shared_ptr<StorePath>(), link->from_->path()}, from,
                  ChangeLimits{4}),
          listener_(listener) {}
    void Next() override {
      if (link_->pages_left_-- == 0) {
        listener_->OnEnd(absl::UnavailableError("broken"));
        return;
      }
      absl::StatusOr<SnapshotBatch> batch = sender_.Next();
      CAIRN_CHECK_OK(batch.status());
      listener_->OnBatch(*std::move(batch));
    }
    void Cancel() override { listener_->OnEnd(absl::CancelledError("")); }

   private:
    SnapshotLink* const link_;
    SnapshotSender sender_;
    SnapshotListener* const listener_;
  };

  Member* const from_;
  int pages_left_;
};

class SnapshotTest : public ::testing::Test {
 protected:
  // Pulls a snapshot, or goes on with one, for `pages` pages at most; returns
  // what the pull said at its end.
  absl::Status Pull(Member* from, Member* to, int pages = 1000) {
    SnapshotLink link(from, pages);
    Notification ended;
    absl::optional<SnapshotPull> pull;
    pull.emplace(to->shared_path(), &missing_, cursor_, to->clock(),
                 [&ended] { ended.Notify(); });
    pull->Start(&link, Peer(), 0);
    ended.WaitForNotification();
    cursor_ = pull->cursor();
    return *pull->ended();
  }

  void PutSome(Member* member, int count, absl::string_view prefix) {
    for (int i = 0; i < count; ++i) {
      const std::string name = absl::StrCat(prefix, i);
      ASSERT_THAT(PutFile(member->path(), name, name), IsOk());
    }
  }

  // Deletes at `at`, and lets the tombstones go.
  void DeleteForGood(Member* at, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      ASSERT_THAT(DeleteFile(at->path(), name), IsOk());
    }
    ASSERT_THAT(at->path()->Compact(0, nullptr), IsOk());
    at->clock()->Advance(absl::Hours(24 * 30));
    for (int round = 0; round < 2; ++round) {
      ASSERT_THAT(at->path()->Compact(0, nullptr), IsOk());
    }
    for (const std::string& name : names) {
      ASSERT_EQ(ReasonOf(at->path()->Stat(name).status()),
                ErrorReason::kFileNotFound);
    }
  }

  void ExpectFiles(Member* member, const std::vector<std::string>& names) {
    EXPECT_EQ(member->path()->Status().files,
              static_cast<int64_t>(names.size()));
    for (const std::string& name : names) {
      EXPECT_THAT(ReadFile(member->path(), name), IsOkAndHolds(name)) << name;
    }
  }

  static std::vector<std::string> Names(absl::string_view prefix, int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.push_back(absl::StrCat(prefix, i));
    return names;
  }

  MissingContents missing_;
  SnapshotPull::Cursor cursor_;
};

TEST_F(SnapshotTest, RemovesWhatWasDeletedLongAgoAndKeepsWhatIsNew) {
  Member a(1);
  Member b(2);
  PutSome(&a, 20, "a");
  PutSome(&b, 5, "b");
  Copy(&a, &b);
  Copy(&b, &a);
  // B is away; these are its own, and nobody knows of them.
  PutSome(&b, 3, "alone");
  DeleteForGood(&a, {"a0", "a7", "a19", "b4"});
  ASSERT_EQ(a.own_log().cut, a.own_log().applied);

  ASSERT_THAT(Pull(&a, &b), IsOk());
  std::vector<std::string> left = Names("a", 20);
  for (const char* gone : {"a19", "a7", "a0"}) {
    left.erase(std::find(left.begin(), left.end(), gone));
  }
  for (const std::string& name : Names("b", 4)) left.push_back(name);
  std::vector<std::string> at_b = left;
  for (const std::string& name : Names("alone", 3)) at_b.push_back(name);
  ExpectFiles(&b, at_b);
  EXPECT_EQ(cursor_.removed, 4u);
  EXPECT_EQ(cursor_.files, left.size());
  EXPECT_EQ(cursor_.files_total, left.size());
  // What it alone has reaches the other by its log.
  Copy(&b, &a);
  ExpectFiles(&a, at_b);
  // And it tails from where the snapshot began.
  EXPECT_EQ(b.RangeOf(a.own_log().log).applied, a.own_log().applied);
  PutSome(&a, 2, "later");
  Copy(&a, &b);
  for (const std::string& name : Names("later", 2)) at_b.push_back(name);
  b.KillAndOpen();
  ExpectFiles(&b, at_b);
  b.PowerCutAndOpen();
  EXPECT_THAT(b.path()->Stat("a7"), StatusIs(absl::StatusCode::kNotFound));
  // Its segments still have them, but the removals, too.
  b.Rebuild();
  EXPECT_THAT(b.path()->Stat("a7"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(b.path()->Stat("b4"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SnapshotTest, WhatIsRemovedDoesNotComeBackFromAnybody) {
  Member a(1);
  Member b(2);
  Member c(3);
  PutSome(&a, 10, "a");
  Copy(&a, &b);
  Copy(&a, &c);
  Member old(4);
  Copy(&a, &old);
  DeleteForGood(&a, {"a3", "a4"});
  ASSERT_THAT(Pull(&a, &b), IsOk());
  EXPECT_EQ(b.path()->Status().files, 8);
  // C, which was away as well, takes B's.
  cursor_ = SnapshotPull::Cursor();
  ASSERT_THAT(Pull(&b, &c), IsOk());
  EXPECT_EQ(c.path()->Status().files, 8);
  EXPECT_THAT(c.path()->Stat("a3"), StatusIs(absl::StatusCode::kNotFound));
  // Nor does the log that made it bring it back, from one that was away, too.
  auto changes = ReadChanges(old.path(), a.own_log().log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange& change : *changes) {
    ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
  }
  EXPECT_EQ(b.path()->Status().files, 8);
}

// The logs that the snapshot stands for have it: nothing else would bring it.
TEST_F(SnapshotTest, BringsWhatWasSetAside) {
  Member a(1);
  Member b(2);
  Member c(3);
  PutSome(&a, 2, "a");
  Copy(&a, &b);
  ASSERT_THAT(DeleteFile(a.path(), "a0"), IsOk());
  PutSome(&a, 1, "new");
  const LogId log = a.own_log().log;
  const auto changes = ReadChanges(a.path(), log, 2, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange change : *changes) {
    change.set_aside = true;
    change.content.reset();
    ASSERT_THAT(ApplyAndWait(&b, std::move(change)), IsOk());
  }
  EXPECT_EQ(b.RangeOf(log).applied, 4u);
  EXPECT_THAT(b.path()->Stat("a0"), IsOk());

  ASSERT_THAT(Pull(&b, &c), IsOk());
  EXPECT_EQ(c.RangeOf(log).applied, 4u);
  EXPECT_EQ(c.path()->Status().files, 2);
  EXPECT_THAT(ReadFile(c.path(), "a1"), IsOkAndHolds("a1"));
  EXPECT_EQ(ReasonOf(c.path()->Stat("a0").status()), ErrorReason::kFileDeleted);
  const auto made = c.replica()->Find("new0");
  ASSERT_THAT(made, IsOk());
  ASSERT_TRUE(made->has_value());
  EXPECT_TRUE((*made)->content_missing);
  EXPECT_TRUE(missing_.Has("new0"));
}

TEST_F(SnapshotTest, KeepsWhatTheSenderMayNotHaveSeen) {
  Member a(1);
  Member b(2);
  Member c(3);
  PutSome(&c, 6, "c");
  Copy(&c, &b);
  // A has heard of three of them only.
  const LogId log = c.own_log().log;
  ASSERT_THAT(a.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(c.path(), log, 0, ChangeLimits{3});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange& change : *changes) {
    ASSERT_THAT(ApplyAndWait(&a, std::move(change)), IsOk());
  }
  PutSome(&a, 2, "a");
  DeleteForGood(&a, {"c1"});
  ASSERT_THAT(Pull(&a, &b), IsOk());
  ExpectFiles(&b, {"c0", "c2", "c3", "c4", "c5", "a0", "a1"});
  EXPECT_EQ(b.RangeOf(log).applied, 6u);
}

TEST_F(SnapshotTest, KeepsWhatTheSenderMayHaveLost) {
  Member a(1);
  Member b(2);
  PutSome(&a, 5, "a");
  const LogId log = a.own_log().log;
  Copy(&a, &b);
  // A has set one aside, as if it could not write it.
  Member c(3);
  ASSERT_THAT(c.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange& change : *changes) {
    change.set_aside = change.file.name == "a2";
    ASSERT_THAT(ApplyAndWait(&c, std::move(change)), IsOk());
  }
  ASSERT_THAT(Pull(&c, &b), IsOk());
  ExpectFiles(&b, Names("a", 5));
}

TEST_F(SnapshotTest, WhoPulledFromOneThatSetAsideHasItKnown) {
  Member a(1);
  PutSome(&a, 5, "a");
  const LogId log = a.own_log().log;
  Member c(3);
  ASSERT_THAT(c.replica()->SetLogs({LogRange{log}}), IsOk());
  auto changes = ReadChanges(a.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange& change : *changes) {
    change.set_aside = change.file.name == "a2";
    ASSERT_THAT(ApplyAndWait(&c, std::move(change)), IsOk());
  }
  // D pulls A's log from C, and learns of the file that C could not write.
  Member d(4);
  ASSERT_THAT(d.replica()->SetLogs({LogRange{log}}), IsOk());
  changes = ReadChanges(c.path(), log, 0, ChangeLimits{});
  ASSERT_THAT(changes, IsOk());
  for (ReplicatedChange& change : *changes) {
    ASSERT_THAT(ApplyAndWait(&d, std::move(change)), IsOk());
  }
  EXPECT_EQ(d.path()->Status().files, 5);
  EXPECT_THAT(d.replica()->ListMissing("", 10), ElementsAre("a2"));
  ASSERT_THAT(FetchContent(&a, &d, "a2"), IsOk());
  ExpectFiles(&d, Names("a", 5));
}

TEST_F(SnapshotTest, GoesOnAtAnotherMemberFromWhereItBroke) {
  Member a(1);
  Member b(2);
  Member c(3);
  Member d(4);
  PutSome(&a, 20, "a");
  Copy(&a, &b);
  Copy(&a, &c);
  Copy(&a, &d);
  PutSome(&b, 3, "b");
  Copy(&b, &a);
  for (Member* member : {&a, &b}) {
    member->replica()->SetPassed({});
    ASSERT_THAT(DeleteFile(member->path(), "a2"), IsOk());
  }
  ASSERT_THAT(DeleteFile(a.path(), "a15"), IsOk());
  // D takes two pages of A, which has all of B's log, then the rest of C, which
  // has none of it.
  EXPECT_THAT(Pull(&a, &d, 2), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(cursor_.next.empty());
  ASSERT_THAT(Pull(&c, &d), IsOk());
  EXPECT_EQ(d.RangeOf(b.own_log().log).applied, 0u);
  EXPECT_EQ(d.RangeOf(a.own_log().log).applied, 20u);
  // The logs bring what is left.
  Copy(&a, &d);
  Copy(&b, &d);
  EXPECT_EQ(d.path()->Status().files, a.path()->Status().files);
  EXPECT_THAT(d.path()->Stat("a15"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(d.path()->Stat("a2"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SnapshotTest, AFileThatCannotBeAppliedIsSetAside) {
  Member a(1);
  Member b(2);
  PutSome(&a, 10, "a");
  ASSERT_THAT(EnableFaultPoints("committer.take_over=error:DATA_LOSS@3"),
              IsOk());
  const absl::Status pulled = Pull(&a, &b);
  DisableFaultPoints();
  ASSERT_THAT(pulled, IsOk());
  EXPECT_EQ(b.path()->Status().files, 9);
  ASSERT_THAT(b.replica()->ListSetAside(), SizeIs(1));
  ASSERT_THAT(ApplyAndWait(&b, b.replica()->ListSetAside().front()), IsOk());
  EXPECT_EQ(b.path()->Status().files, 10);
  EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
}

TEST_F(SnapshotTest, APowerCutAtAnyChangeOfTheDiskRemovesNothingElse) {
  Member a(1);
  PutSome(&a, 10, "a");
  const LogId log = a.own_log().log;
  Member old(9);
  Copy(&a, &old);
  DeleteForGood(&a, {"a3", "a8"});
  PutSome(&a, 2, "new");
  bool through = false;
  int stop = 1;
  for (; !through && stop < 500; ++stop) {
    SCOPED_TRACE(absl::StrCat("stops after ", stop));
    Member b(2, static_cast<uint64_t>(stop));
    Copy(&old, &b, log);
    PutSome(&b, 2, "own");
    ASSERT_THAT(b.replica()->Sync(), IsOk());
    cursor_ = SnapshotPull::Cursor();
    b.fs()->StopAfter(stop);
    through = Pull(&a, &b).ok();
    if (stop % 2 == 0) {
      b.PowerCutAndOpen();
    } else {
      b.KillAndOpen();
    }
    for (const char* kept : {"a0", "a1", "a2", "a9", "own0", "own1"}) {
      EXPECT_THAT(ReadFile(b.path(), kept), IsOkAndHolds(kept)) << kept;
    }
    cursor_ = SnapshotPull::Cursor();
    ASSERT_THAT(Pull(&a, &b), IsOk());
    EXPECT_EQ(b.path()->Status().files, 12);
    EXPECT_EQ(b.RangeOf(log).applied, a.own_log().applied);
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_TRUE(through);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
