// The log of a store path on its way to another member, as a node sends it:
// LogSender over a real path, without a network.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/log_sender.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/testing/silent_transport.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

class PushTest : public ::testing::Test {
 protected:
  PushTest()
      : member_(1),
        replicator_(
            ReplicatorOptions(), [this] { return member_.shared_path(); },
            &transport_, member_.clock(), [] {}) {
    member_.replica()->SetLogObserver(&replicator_);
    NewSender();
  }
  ~PushTest() override {
    sender_->Stop();
    member_.replica()->SetLogObserver(nullptr);
    replicator_.Stop();
  }

  void NewSender() {
    if (sender_.has_value()) sender_->Stop();
    sender_.emplace(caller_, member_.shared_path(), &replicator_, absl::nullopt,
                    std::vector<LogRange>(), ChangeLimits(),
                    [this] { ++wakes_; });
    sender_->Start();
    Next();  // The first heartbeat, and what is there,
    Next();  // up to the end of the log: it follows from here on.
    wakes_ = 0;
  }

  void Put(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_THAT(PutFile(member_.path(), absl::StrCat("f", next_++), "x"),
                  IsOk());
    }
  }

  // How many changes the next message has; 0 without a message.
  size_t Next() {
    const auto batch = sender_->Next();
    EXPECT_THAT(batch, IsOk());
    return batch.ok() && batch->has_value() ? (*batch)->changes.size() : 0;
  }

  void Ack(uint64_t applied) {
    LogRange range;
    range.log = member_.own_log().log;
    range.applied = applied;
    Acknowledgement said;
    said.logs.push_back(range);
    replicator_.OnAck(caller_, said);
  }

  const Uuid caller_ = Uuid::Random();
  Member member_;
  SilentTransport transport_;
  Replicator replicator_;
  absl::optional<LogSender> sender_;
  int wakes_ = 0;
  int next_ = 0;
};

TEST_F(PushTest, GathersWhileAnAcknowledgementOfMuchIsDue) {
  const Replicator::AckInterest somebody_waits(&replicator_, false);
  Put(5);
  EXPECT_EQ(Next(), 5u);
  EXPECT_TRUE(sender_->idle());
  Put(2);
  EXPECT_EQ(Next(), 0u);
  Put(1);
  EXPECT_EQ(Next(), 0u);
  wakes_ = 0;
  Ack(5);
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(Next(), 3u);
  // Few are no load: the next one does not wait for them.
  Put(1);
  EXPECT_EQ(Next(), 1u);
}

TEST_F(PushTest, WakesNobodyForAnAcknowledgementThatNothingWaitsFor) {
  const Replicator::AckInterest somebody_waits(&replicator_, false);
  Put(5);
  EXPECT_EQ(Next(), 5u);
  wakes_ = 0;
  Ack(5);
  EXPECT_EQ(wakes_, 0);
  // Nor does one of another member end it.
  Put(5);
  EXPECT_EQ(Next(), 5u);
  Put(1);
  EXPECT_EQ(Next(), 0u);
  wakes_ = 0;
  replicator_.OnAck(Uuid::Random(), Acknowledgement());
  EXPECT_EQ(wakes_, 0);
}

TEST_F(PushTest, DoesNotGatherForLong) {
  const Replicator::AckInterest somebody_waits(&replicator_, false);
  Put(5);
  EXPECT_EQ(Next(), 5u);
  Put(1);
  EXPECT_EQ(Next(), 0u);
  member_.clock()->Advance(absl::Milliseconds(5));
  EXPECT_EQ(Next(), 1u);
  Put(1);
  EXPECT_EQ(Next(), 0u);
  sender_->OnHeartbeat();
  EXPECT_EQ(Next(), 1u);
}

TEST_F(PushTest, GathersNothingThatNobodyWaitsFor) {
  Put(5);
  EXPECT_EQ(Next(), 5u);
  Put(1);
  EXPECT_EQ(Next(), 1u);
}

TEST_F(PushTest, IsNotIdleBeforeTheEndOfTheLog) {
  Put(3);
  ChangeLimits limits;
  limits.entries_max = 2;
  sender_->Stop();
  sender_.emplace(caller_, member_.shared_path(), &replicator_, absl::nullopt,
                  std::vector<LogRange>(), limits, [this] { ++wakes_; });
  sender_->Start();
  EXPECT_EQ(Next(), 2u);
  EXPECT_FALSE(sender_->idle());
  EXPECT_EQ(Next(), 1u);
  EXPECT_FALSE(sender_->idle());  // It does not follow yet.
  EXPECT_EQ(Next(), 0u);
  Put(1);
  EXPECT_EQ(Next(), 1u);
  EXPECT_TRUE(sender_->idle());
  Put(2);
  EXPECT_EQ(Next(), 2u);
  EXPECT_FALSE(sender_->idle());  // A full message: there may be more.
}

}  // namespace
}  // namespace storage
}  // namespace cairn
