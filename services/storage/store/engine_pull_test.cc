// A log on its way between the store paths of two members, through LogPull as
// in a node: one change that cannot be applied does not hold up the others.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/mutex.h"
#include "lib/fault/fault_point.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/log_pull.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/set_aside.h"
#include "services/storage/core/testing/silent_transport.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// Brings all of a member's own log, `batch` changes at once, and ends.
class LogLink : public SilentTransport {
 public:
  LogLink(Member* from, size_t batch) : from_(from), batch_(batch) {}

  std::shared_ptr<PeerStream> StartSync(const Peer&, uint8_t,
                                        const absl::optional<LogId>&,
                                        const std::vector<LogRange>& have,
                                        SyncListener* listener) override {
    uint64_t sent = 0;
    const LogId log = from_->own_log().log;
    for (const LogRange& range : have) {
      if (range.log == log) sent = range.applied;
    }
    return std::make_shared<Stream>(from_->path(), log, sent, batch_, listener);
  }

 private:
  class Stream : public PeerStream {
   public:
    Stream(StorePath* path, const LogId& log, uint64_t sent, size_t batch,
           SyncListener* listener)
        : path_(path),
          log_(log),
          sent_(sent),
          batch_(batch),
          listener_(listener) {}

    void Next() override {
      ChangeLimits limits;
      limits.entries_max = batch_;
      auto changes = ReadChanges(path_, log_, sent_, limits);
      CAIRN_CHECK_OK(changes.status());
      if (changes->empty()) {
        listener_->OnEnd(absl::OkStatus());
        return;
      }
      SyncBatch batch;
      batch.log = log_;
      batch.changes = *std::move(changes);
      sent_ = batch.changes.back().change.sequence;
      listener_->OnBatch(std::move(batch));
    }
    void Cancel() override { listener_->OnEnd(absl::CancelledError("")); }

   private:
    StorePath* const path_;
    const LogId log_;
    uint64_t sent_;
    const size_t batch_;
    SyncListener* const listener_;
  };

  Member* const from_;
  const size_t batch_;
};

class PullTest : public ::testing::Test {
 protected:
  ~PullTest() override { DisableFaultPoints(); }

  void PutSome(Member* member, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_THAT(PutFile(member->path(), absl::StrCat("f", i), "content"),
                  IsOk());
    }
  }

  absl::Status Pull(Member* from, Member* to, size_t batch) {
    LogLink link(from, batch);
    Notification ended;
    absl::optional<LogPull> pull;
    pull.emplace(to->shared_path(), missing_.get(), to->clock(),
                 [&ended] { ended.Notify(); });
    pull->Start(&link, Peer(), 0, absl::nullopt);
    ended.WaitForNotification();
    applied_ = pull->applied();
    return *pull->ended();
  }

  std::shared_ptr<MissingContents> missing_ =
      std::make_shared<MissingContents>();
  uint64_t applied_ = 0;
};

TEST_F(PullTest, GoesOnBehindAChangeThatCannotBeApplied) {
  for (const size_t batch : {1, 4, 100}) {
    for (const int bad : {1, 2, 4, 10}) {
      SCOPED_TRACE(absl::StrCat("batches of ", batch, ", bad is ", bad));
      Member a(1);
      Member b(2);
      PutSome(&a, 10);
      ASSERT_THAT(EnableFaultPoints(absl::StrCat(
                      "committer.take_over=error:DATA_LOSS@", bad)),
                  IsOk());
      EXPECT_THAT(Pull(&a, &b, batch), IsOk());
      DisableFaultPoints();
      EXPECT_EQ(applied_, 9u);
      EXPECT_EQ(b.RangeOf(a.own_log().log).applied, 10u);
      EXPECT_EQ(b.path()->Status().files, 9);
      const auto aside = b.replica()->ListSetAside();
      ASSERT_THAT(aside, SizeIs(1));
      EXPECT_EQ(aside[0].change.sequence, static_cast<uint64_t>(bad));
    }
  }
}

TEST_F(PullTest, SetsAsideManyAndTriesThemAgainUntilAllAreApplied) {
  Member a(1);
  Member b(2);
  PutSome(&a, 20);
  ASSERT_THAT(EnableFaultPoints("committer.take_over=error:DATA_LOSS@5+"),
              IsOk());
  EXPECT_THAT(Pull(&a, &b, 7), IsOk());
  EXPECT_EQ(b.RangeOf(a.own_log().log).applied, 20u);
  EXPECT_THAT(b.replica()->ListSetAside(), SizeIs(16));

  // Tried again while the reason lasts, and then no more.
  SetAsideRetries retries(absl::Seconds(1), absl::Seconds(4));
  absl::Duration now = absl::ZeroDuration();
  const auto settle = [&] {
    // The second one comes behind what was queued before the first.
    for (int i = 0; i < 2; ++i) ASSERT_THAT(b.replica()->Sync(), IsOk());
    now += absl::Seconds(10);
    retries.Tick(now, b.path(), missing_);
  };
  settle();
  settle();
  ASSERT_THAT(retries.List(100), SizeIs(16));
  EXPECT_THAT(retries.List(1)[0].error, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_GE(retries.List(1)[0].attempts, 1u);
  EXPECT_EQ(missing_->size(), 0u);
  DisableFaultPoints();
  for (int i = 0; i < 3; ++i) settle();
  EXPECT_EQ(retries.size(), 0u);
  EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
  // They are known, and their contents are fetched.
  EXPECT_EQ(b.path()->Status().files, 20);
  EXPECT_EQ(missing_->size(), 16u);
  EXPECT_THAT(b.replica()->ListMissing("", 100), SizeIs(16));
}

// Appends to a file whose content is not here yet: none of them is held here,
// and whoever waits for one must hear that.
TEST_F(PullTest, AppendsToWhatIsNotHereAreMissing) {
  for (const size_t batch : {1, 3, 100}) {
    SCOPED_TRACE(batch);
    missing_ = std::make_shared<MissingContents>();
    Member a(1);
    Member b(2);
    ASSERT_THAT(CreateAppender(a.path(), "f", TestContent(1, 2 << 20)), IsOk());
    for (int i = 0; i < 5; ++i) {
      ASSERT_THAT(UpdateFile(a.path(), Append("f", "more")), IsOk());
      ASSERT_THAT(PutFile(a.path(), absl::StrCat("other", i), "x"), IsOk());
    }
    EXPECT_THAT(Pull(&a, &b, batch), IsOk());
    const LogId log = a.own_log().log;
    EXPECT_EQ(b.RangeOf(log).applied, 11u);
    EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
    EXPECT_THAT(missing_->Changes(), SizeIs(6));
    EXPECT_EQ(missing_->All().at("f").change.sequence, 10u);
    EXPECT_EQ(b.path()->Status().files, 6);
    ASSERT_THAT(FetchContent(&a, &b, "f"), IsOk());
    missing_->Remove("f", missing_->All().at("f").change);
    EXPECT_THAT(missing_->Changes(), IsEmpty());
    // From here on as what they add.
    ASSERT_THAT(UpdateFile(a.path(), Append("f", "at last")), IsOk());
    EXPECT_THAT(Pull(&a, &b, batch), IsOk());
    EXPECT_EQ(missing_->size(), 0u);
    EXPECT_THAT(ReadFile(b.path(), "f"),
                IsOkAndHolds(*ReadFile(a.path(), "f")));
  }
}

// What a later change has replaced is held by whoever has that one.
TEST_F(PullTest, AReplacedChangeIsMissingUntilTheOneBehindItIsThere) {
  Member a(1);
  Member b(2);
  ASSERT_THAT(CreateAppender(a.path(), "f", "content"), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "more")), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Modify("f", 0, "X")), IsOk());
  EXPECT_THAT(Pull(&a, &b, 1), IsOk());
  ASSERT_THAT(missing_->Changes(), SizeIs(2));
  EXPECT_EQ(missing_->Changes()[1].sequence, 2u);
  EXPECT_EQ(missing_->All().at("f").change.sequence, 3u);
  EXPECT_THAT(ReadFile(b.path(), "f"), IsOkAndHolds("Xontentmore"));
}

// What an appender was, whoever has heard of what it became has.
TEST_F(PullTest, WhatWasSealedIsMissingUntilWhatItBecameIsThere) {
  Member a(1);
  Member b(2);
  const LogId log = a.own_log().log;
  ASSERT_THAT(CreateAppender(a.path(), "f", TestContent(1, 2 << 20)), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("f", "more")), IsOk());
  SealRequest seal;
  seal.name = "f";
  seal.make_name = [](int64_t /*size*/, uint32_t /*crc32c*/) {
    return SealRequest::NewName{"sealed", 1767225600};
  };
  const auto sealed = AwaitCommitted([&](CommitDone done) {
    a.path()->Seal(std::move(seal), std::move(done));
  });
  ASSERT_THAT(sealed, IsOk());
  EXPECT_THAT(Pull(&a, &b, 1), IsOk());
  EXPECT_EQ(b.RangeOf(log).applied, 3u);
  ASSERT_THAT(missing_->Changes(), SizeIs(3));
  EXPECT_EQ(missing_->All().at("f").change.sequence, 3u);
  EXPECT_EQ(missing_->All().at("sealed").change.sequence, 3u);
  EXPECT_TRUE(missing_->All().at("f").comes_with_log);

  // They are waited for as one.
  missing_->Join("f", "gone");
  EXPECT_TRUE(missing_->Has("f"));
  missing_->Join("f", "sealed");
  EXPECT_FALSE(missing_->Has("f"));
  EXPECT_THAT(missing_->Changes(), SizeIs(3));
  missing_->Remove("sealed", LogPosition{log, 3});
  EXPECT_THAT(missing_->Changes(), IsEmpty());
}

SetAttributesRequest Describe(const std::string& name, uint64_t value) {
  SetAttributesRequest set;
  set.name = name;
  set.change.set["value"] = absl::StrCat(value);
  return set;
}

// Who has heard of another member's change of it does not send the file in its
// own log.
TEST_F(PullTest, APutIsMissingUntilTheChangeOfAnotherLogIsThere) {
  Member a(1);
  Member b(2);
  Member c(3);
  PutSome(&a, 1);
  ASSERT_THAT(Pull(&a, &b, 1), IsOk());
  ASSERT_THAT(SetAttributesAndWait(b.path(), Describe("f0", 1)), IsOk());
  ASSERT_THAT(Pull(&b, &a, 1), IsOk());
  ASSERT_THAT(missing_->Changes(), IsEmpty());

  ASSERT_THAT(Pull(&a, &c, 1), IsOk());
  EXPECT_EQ(c.RangeOf(a.own_log().log).applied, 1u);
  EXPECT_EQ(c.path()->Status().files, 0);
  ASSERT_THAT(missing_->Changes(), SizeIs(1));
  EXPECT_TRUE(missing_->Changes().front() == (LogPosition{a.own_log().log, 1}));
  EXPECT_FALSE(missing_->All().at("f0").comes_with_log);
  ASSERT_THAT(Pull(&b, &c, 1), IsOk());
  EXPECT_THAT(ReadFile(c.path(), "f0"), IsOkAndHolds("content"));
}

// Of two deletions of a file one counts. Who has heard of neither is told each.
TEST_F(PullTest, ADeletionIsToldThoughAnotherOneCounts) {
  Member a(1);
  Member b(2);
  PutSome(&a, 1);
  ASSERT_THAT(Pull(&a, &b, 1), IsOk());
  ASSERT_THAT(DeleteFile(a.path(), "f0"), IsOk());
  ASSERT_THAT(DeleteFile(b.path(), "f0"), IsOk());
  ASSERT_THAT(Pull(&a, &b, 1), IsOk());
  ASSERT_THAT(Pull(&b, &a, 1), IsOk());
  ASSERT_TRUE((*a.replica()->Find("f0"))->file.version ==
              (*b.replica()->Find("f0"))->file.version);
  for (Member* member : {&a, &b}) {
    Member c(3);
    if (member == &b) {
      ASSERT_THAT(PutFile(c.path(), "f0", "content"), IsOk());
    }
    const LogId log = member->own_log().log;
    const auto told = ReadChanges(member->path(), log, 0, ChangeLimits());
    ASSERT_THAT(told, IsOk());
    EXPECT_EQ(told->back().kind, ChangeKind::kDelete);
    EXPECT_FALSE(told->back().passed);
    CAIRN_CHECK_OK(c.replica()->SetLogs({LogRange{log}}));
    for (const ReplicatedChange& change : *told) {
      ASSERT_THAT(ApplyAndWait(&c, change), IsOk());
    }
    const auto here = c.replica()->Find("f0");
    ASSERT_THAT(here, IsOk());
    ASSERT_TRUE(here->has_value());
    EXPECT_TRUE((*here)->deleted);
  }
}

// What could not be applied is passed on all the same, and not as if another
// change had taken its place.
TEST_F(PullTest, WhatIsSetAsideIsToldThoughTheFileIsKnown) {
  Member a(1);
  Member b(2);
  Member c(3);
  PutSome(&a, 1);
  ASSERT_THAT(Pull(&a, &b, 1), IsOk());
  ASSERT_THAT(SetAttributesAndWait(a.path(), Describe("f0", 1)), IsOk());
  ASSERT_THAT(EnableFaultPoints("committer.take_over=error:DATA_LOSS@1"),
              IsOk());
  ASSERT_THAT(Pull(&a, &b, 1), IsOk());
  DisableFaultPoints();
  ASSERT_THAT(b.replica()->ListSetAside(), SizeIs(1));

  const LogId log = a.own_log().log;
  const auto told = ReadChanges(b.path(), log, 0, ChangeLimits());
  ASSERT_THAT(told, IsOkAndHolds(SizeIs(2)));
  EXPECT_FALSE(told->back().passed);
  EXPECT_TRUE(told->back().file.version ==
              (*a.replica()->Find("f0"))->file.version);
  CAIRN_CHECK_OK(c.replica()->SetLogs({LogRange{log}}));
  for (const ReplicatedChange& change : *told) {
    ASSERT_THAT(ApplyAndWait(&c, change), IsOk());
  }
  const auto here = c.replica()->Find("f0");
  ASSERT_THAT(here, IsOk());
  EXPECT_EQ((*here)->file.attributes,
            (*a.replica()->Find("f0"))->file.attributes);
  EXPECT_THAT(ReadFile(c.path(), "f0"), IsOkAndHolds("content"));
}

// All but the last of its changes say nothing of it, so it is not known before
// that one.
TEST_F(PullTest, AFileThatWasChangedOftenComesToWhoWasAway) {
  Member a(1);
  Member b(2);
  PutSome(&a, 1);
  for (uint64_t i = 0; i < MissingContents::kChangesMax + 10; ++i) {
    ASSERT_THAT(SetAttributesAndWait(a.path(), Describe("f0", i)), IsOk());
  }
  EXPECT_THAT(Pull(&a, &b, 100), IsOk());
  EXPECT_THAT(ReadFile(b.path(), "f0"), IsOkAndHolds("content"));
}

// One that changes faster than it is fetched is waited for.
TEST_F(PullTest, WaitsForAFileThatChangesAllTheTime) {
  Member a(1);
  Member b(2);
  PutSome(&a, 3);
  for (uint64_t i = 0; i < MissingContents::kChangesMax; ++i) {
    missing_->Add("f", LogPosition{a.own_log().log, 100 + i});
  }
  ASSERT_TRUE(missing_->IsFull());
  EXPECT_THAT(Pull(&a, &b, 1), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(b.path()->Status().files, 0);
  missing_->Remove("f", missing_->All().at("f").change);
  EXPECT_FALSE(missing_->IsFull());
  EXPECT_THAT(Pull(&a, &b, 1), IsOk());
  EXPECT_EQ(b.path()->Status().files, 3);
}

TEST_F(PullTest, AnErrorOfThePathStopsThePull) {
  Member a(1);
  Member b(2);
  PutSome(&a, 10);
  ASSERT_THAT(
      EnableFaultPoints("committer.take_over=error:RESOURCE_EXHAUSTED@4+"),
      IsOk());
  EXPECT_THAT(Pull(&a, &b, 100),
              StatusIs(absl::StatusCode::kResourceExhausted));
  DisableFaultPoints();
  EXPECT_EQ(b.RangeOf(a.own_log().log).applied, 3u);
  EXPECT_THAT(b.replica()->ListSetAside(), IsEmpty());
  EXPECT_THAT(Pull(&a, &b, 100), IsOk());
  EXPECT_EQ(b.path()->Status().files, 10);
}

}  // namespace
}  // namespace storage
}  // namespace cairn
