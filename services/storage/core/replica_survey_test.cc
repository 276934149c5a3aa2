// What members say of a file, and what is said of those that say nothing.

#include "services/storage/core/replica_survey.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/uuid.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/testing/silent_transport.h"

namespace cairn {
namespace storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Streams that the test moves by hand.
class FakeTransport : public SilentTransport {
 public:
  class Stream : public PeerStream {
   public:
    void Next() override { ++asked; }
    void Cancel() override { cancelled = true; }
    int asked = 0;
    bool cancelled = false;
    FetchWish wish;
    FetchListener* listener = nullptr;
  };

  std::shared_ptr<PeerStream> StartFetch(const Peer& peer, uint8_t path,
                                         const FetchWish& wish,
                                         FetchListener* listener) override {
    EXPECT_EQ(path, 3);
    auto stream = std::make_shared<Stream>();
    stream->wish = wish;
    stream->listener = listener;
    streams[peer.node_number] = stream;
    if (peer.node_number == refused) {
      listener->OnEnd(absl::UnavailableError("no connection"));
    }
    return stream;
  }

  uint32_t refused = 0;  // Its stream ends before it has begun.
  std::map<uint32_t, std::shared_ptr<Stream>> streams;
};

class ReplicaSurveyTest : public ::testing::Test {
 protected:
  static std::vector<Peer> Peers(uint32_t count) {
    std::vector<Peer> peers;
    for (uint32_t i = 1; i <= count; ++i) {
      Peer peer;
      peer.node_uuid = Uuid::Random();
      peer.node_number = i;
      peers.push_back(peer);
    }
    return peers;
  }

  static FileInfo Info(const Version& version) {
    FileInfo info;
    info.version = version;
    return info;
  }

  void Ask(uint32_t peers) {
    ASSERT_THAT(surveys_.Ask(Peers(peers), "file", version_, absl::Seconds(2),
                             [this](std::vector<Replica> replicas) {
                               ASSERT_FALSE(answer_.has_value());
                               answer_.emplace();
                               for (size_t i = 0; i < replicas.size(); ++i) {
                                 EXPECT_EQ(replicas[i].peer.node_number, i + 1);
                                 answer_->push_back(replicas[i].state);
                               }
                             }),
                IsOk());
  }

  FetchListener* listener(uint32_t peer) {
    return transport_.streams.at(peer)->listener;
  }
  void End(uint32_t peer, const absl::Status& status) {
    listener(peer)->OnEnd(status);
  }

  const Version version_ = {5, 1};
  FakeTransport transport_;
  ReplicaSurveys surveys_{3, &transport_};
  absl::optional<std::vector<ReplicaState>> answer_;
  std::vector<FetchListener*> listeners_;
};

TEST_F(ReplicaSurveyTest, EveryMemberIsAskedForWhatItKnowsItself) {
  Ask(6);
  for (const auto& [peer, stream] : transport_.streams) {
    EXPECT_TRUE(stream->wish.info_only);
    EXPECT_EQ(stream->wish.name, "file");
    EXPECT_FALSE(stream->wish.version.has_value());
    EXPECT_EQ(stream->asked, 1);
  }
  listener(1)->OnInfo(Info(version_));
  EXPECT_EQ(transport_.streams.at(1)->asked, 2);  // To the stream's end.
  End(1, absl::OkStatus());
  listener(2)->OnContentMissing();
  listener(2)->OnInfo(Info(version_));
  listener(3)->OnInfo(Info({4, 1}));
  End(3, absl::OkStatus());
  End(4, ErrorWithReason(absl::StatusCode::kNotFound, ErrorReason::kFileDeleted,
                         ""));
  End(5, ErrorWithReason(absl::StatusCode::kNotFound,
                         ErrorReason::kFileNotFound, ""));
  End(6, absl::UnavailableError("restarted"));
  EXPECT_FALSE(answer_.has_value());
  End(6, absl::UnavailableError("away"));  // Of the second attempt.
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(*answer_,
              ElementsAre(ReplicaState::kCurrent, ReplicaState::kContentMissing,
                          ReplicaState::kOtherVersion, ReplicaState::kAbsent,
                          ReplicaState::kAbsent, ReplicaState::kUnreachable));
  End(2, absl::OkStatus());
}

TEST_F(ReplicaSurveyTest, WhoSaysNothingIsUnreachableInTheEnd) {
  Ask(2);
  listener(2)->OnInfo(Info(version_));
  surveys_.Expire(absl::Seconds(1));
  EXPECT_FALSE(answer_.has_value());
  surveys_.Expire(absl::Seconds(2));
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(*answer_,
              ElementsAre(ReplicaState::kUnreachable, ReplicaState::kCurrent));
  EXPECT_TRUE(transport_.streams.at(1)->cancelled);
  EXPECT_FALSE(transport_.streams.at(2)->cancelled);
  // What comes late changes nothing.
  listener(1)->OnInfo(Info(version_));
  End(1, absl::CancelledError(""));
  End(2, absl::OkStatus());
}

TEST_F(ReplicaSurveyTest, WhoDoesNotKnowTheConnectionIsAskedOnceMore) {
  Ask(1);
  const auto first = transport_.streams.at(1);
  End(1, absl::UnauthenticatedError(""));
  ASSERT_NE(transport_.streams.at(1), first);
  EXPECT_EQ(transport_.streams.at(1)->asked, 1);
  listener(1)->OnInfo(Info(version_));
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(*answer_, ElementsAre(ReplicaState::kCurrent));
  End(1, absl::OkStatus());
}

TEST_F(ReplicaSurveyTest, AStreamThatCannotBeginAndNobodyToAsk) {
  transport_.refused = 1;
  Ask(1);
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(*answer_, ElementsAre(ReplicaState::kUnreachable));
  answer_.reset();
  Ask(0);
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(*answer_, IsEmpty());
}

TEST_F(ReplicaSurveyTest, TheEndAnswersEverybody) {
  Ask(1);
  surveys_.Stop();
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(*answer_, ElementsAre(ReplicaState::kUnreachable));
  End(1, absl::CancelledError(""));
  answer_.reset();
  Ask(1);
  ASSERT_TRUE(answer_.has_value());
  EXPECT_THAT(*answer_, ElementsAre(ReplicaState::kUnreachable));
}

TEST_F(ReplicaSurveyTest, NotTooManyAtOnce) {
  int asked = 0;
  int answered = 0;
  absl::Status status;
  while (status.ok() && asked < 100000) {
    ++asked;
    status = surveys_.Ask(Peers(1), "file", version_, absl::Seconds(2),
                          [&](std::vector<Replica>) { ++answered; });
    // The listener of each is remembered until it is told of its end.
    if (status.ok()) listeners_.push_back(listener(1));
  }
  EXPECT_EQ(ReasonOf(status), ErrorReason::kOverloaded);
  surveys_.Stop();
  EXPECT_EQ(answered, asked - 1);
  for (FetchListener* const listener : listeners_) {
    listener->OnEnd(absl::CancelledError(""));
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
