// A content on its way: chunks wait for the disk up to a bound, and what a
// broken stream brought is kept.

#include "services/storage/core/content_fetch.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/executor.h"
#include "lib/checksum/crc32c.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/testing/fake_store_path.h"
#include "services/storage/core/testing/silent_transport.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kChunkBytes = 256 << 10;

// Runs what was submitted when the test says so.
class ManualExecutor : public Executor {
 public:
  bool TrySubmit(Task task) override {
    if (full) return false;
    tasks_.push_back(std::move(task));
    return true;
  }
  size_t queued() const override { return tasks_.size(); }

  void RunAll() {
    while (!tasks_.empty()) {
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

  bool full = false;

 private:
  std::deque<Task> tasks_;
};

class ManualPath : public FakeStorePath {
 public:
  Executor* io() override { return &executor; }
  ManualExecutor executor;
};

// What a fetch asks of its stream.
class FakeTransport : public SilentTransport {
 public:
  class Stream : public PeerStream {
   public:
    void Next() override { ++asked; }
    void Cancel() override { cancelled = true; }
    int asked = 0;
    bool cancelled = false;
  };

  std::shared_ptr<PeerStream> StartFetch(const Peer&, uint8_t,
                                         const FetchWish& asked_for,
                                         FetchListener*) override {
    wish = asked_for;
    stream = std::make_shared<Stream>();
    return stream;
  }

  FetchWish wish;
  std::shared_ptr<Stream> stream;
};

class ContentFetchTest : public ::testing::Test {
 protected:
  ContentFetchTest() : content_(12 * kChunkBytes, 'c') {
    for (size_t i = 0; i < content_.size(); i += 1000) {
      content_[i] = static_cast<char>(i / 1000);
    }
    file_.file.name = "file";
    file_.file.size_bytes = static_cast<int64_t>(content_.size());
    file_.file.crc32c = Crc32c(content_);
    file_.content_missing = true;
    fetch_ = std::make_unique<ContentFetch>(path_, file_, [this] { ++woken_; });
  }

  // The chunks from there on that the fetch asks for, and no more.
  size_t SendWhatIsAskedFor(size_t from) {
    size_t at = from;
    while (at < content_.size() && sent_ < transport_.stream->asked) {
      ++sent_;
      fetch_->OnChunk(absl::Cord(content_.substr(at, kChunkBytes)));
      at += kChunkBytes;
    }
    return at;
  }

  void Begin() {
    fetch_->Start(&transport_, Peer(), 0);
    sent_ = 1;
    fetch_->OnInfo(file_.file);
  }

  std::shared_ptr<ManualPath> path_ = std::make_shared<ManualPath>();
  FakeTransport transport_;
  std::string content_;
  KnownFile file_;
  std::unique_ptr<ContentFetch> fetch_;
  int woken_ = 0;
  int sent_ = 0;  // Messages, the first one included.
};

TEST_F(ContentFetchTest, ReceivesAheadOfTheDiskUpToABound) {
  Begin();
  // Nothing is written yet: 2 MiB wait, in one task, and no more is asked for.
  size_t at = SendWhatIsAskedFor(0);
  EXPECT_EQ(at, size_t{2} << 20);
  EXPECT_EQ(path_->executor.queued(), 1u);
  path_->executor.RunAll();
  EXPECT_EQ(fetch_->received_bytes(), int64_t{2} << 20);
  at = SendWhatIsAskedFor(at);
  EXPECT_EQ(at, content_.size());
  fetch_->OnEnd(absl::OkStatus());
  EXPECT_FALSE(fetch_->result().has_value());
  path_->executor.RunAll();
  ASSERT_TRUE(fetch_->result().has_value());
  EXPECT_THAT(*fetch_->result(), IsOk());
  EXPECT_EQ(woken_, 1);
  EXPECT_EQ(path_->ContentOf("file"), content_);
}

TEST_F(ContentFetchTest, WhatABrokenStreamBroughtIsKept) {
  Begin();
  const size_t at = SendWhatIsAskedFor(0);
  fetch_->OnEnd(absl::UnavailableError("gone"));
  EXPECT_FALSE(fetch_->result().has_value());  // What waits is written first.
  path_->executor.RunAll();
  ASSERT_TRUE(fetch_->result().has_value());
  EXPECT_THAT(*fetch_->result(), StatusIs(absl::StatusCode::kUnavailable));
  Begin();
  EXPECT_EQ(transport_.wish.offset, static_cast<int64_t>(at));
  for (size_t next = at; next < content_.size();) {
    next = SendWhatIsAskedFor(next);
    path_->executor.RunAll();
  }
  fetch_->OnEnd(absl::OkStatus());
  path_->executor.RunAll();
  ASSERT_TRUE(fetch_->result().has_value());
  EXPECT_THAT(*fetch_->result(), IsOk());
  EXPECT_EQ(path_->ContentOf("file"), content_);
}

TEST_F(ContentFetchTest, AFullQueueEndsTheAttempt) {
  Begin();
  path_->executor.full = true;
  fetch_->OnChunk(absl::Cord(content_.substr(0, kChunkBytes)));
  EXPECT_TRUE(transport_.stream->cancelled);
  // What is still on the way is passed over.
  fetch_->OnChunk(absl::Cord(content_.substr(kChunkBytes, kChunkBytes)));
  fetch_->OnEnd(absl::CancelledError("given up"));
  ASSERT_TRUE(fetch_->result().has_value());
  EXPECT_THAT(*fetch_->result(),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(fetch_->received_bytes(), 0);
  path_->executor.full = false;
  Begin();
  EXPECT_EQ(transport_.wish.offset, 0);
  fetch_->OnEnd(absl::UnavailableError("gone"));
  EXPECT_TRUE(fetch_->result().has_value());
}

}  // namespace
}  // namespace storage
}  // namespace cairn
