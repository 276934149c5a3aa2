// Jobs run one by one, are visible while they run and after they ended.

#include "services/storage/core/job_list.h"

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/mutex.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace storage {
namespace {

class JobListTest : public ::testing::Test {
 protected:
  // Lets what is queued end.
  void Drain() { pool_.reset(); }

  FakeClock clock_;
  std::unique_ptr<ThreadPool> pool_ =
      std::make_unique<ThreadPool>("jobs", 1, 4);
  JobList jobs_{pool_.get(), &clock_};
};

TEST_F(JobListTest, ShowsProgressAndTheEnd) {
  Notification reported;
  Notification go_on;
  const auto job =
      jobs_.Start(JobKind::kCompaction, 3, [&](const JobList::Report& report) {
        report({5, 10});
        reported.Notify();
        go_on.WaitForNotification();
        return absl::OkStatus();
      });
  ASSERT_THAT(job, IsOk());
  reported.WaitForNotification();
  ASSERT_EQ(jobs_.List().size(), 1u);
  EXPECT_EQ(jobs_.List()[0].state, JobState::kRunning);
  EXPECT_EQ(jobs_.List()[0].store_path, 3u);
  EXPECT_EQ(jobs_.List()[0].progress.done_bytes, 5);
  clock_.Advance(absl::Seconds(7));
  go_on.Notify();
  Drain();
  EXPECT_EQ(jobs_.List()[0].state, JobState::kSucceeded);
  EXPECT_EQ(jobs_.List()[0].end_time - jobs_.List()[0].start_time,
            absl::Seconds(7));
}

TEST_F(JobListTest, TheSameWorkOnTheSamePathIsRefusedWhileItRuns) {
  Notification go_on;
  ASSERT_THAT(jobs_.Start(JobKind::kCompaction, 0,
                          [&](const JobList::Report&) {
                            go_on.WaitForNotification();
                            return absl::OkStatus();
                          }),
              IsOk());
  const auto ok = [](const JobList::Report&) { return absl::OkStatus(); };
  EXPECT_EQ(ReasonOf(jobs_.Start(JobKind::kCompaction, 0, ok).status()),
            ErrorReason::kJobRunning);
  EXPECT_THAT(jobs_.Start(JobKind::kCompaction, 1, ok), IsOk());
  EXPECT_THAT(jobs_.Start(JobKind::kRebuildIndex, 0, ok), IsOk());
  go_on.Notify();
  Drain();
}

TEST_F(JobListTest, AFailureIsKeptWithItsMessage) {
  ASSERT_THAT(jobs_.Start(JobKind::kRebuildIndex, 0,
                          [](const JobList::Report&) {
                            return absl::DataLossError("segment 7");
                          }),
              IsOk());
  Drain();
  EXPECT_EQ(jobs_.List()[0].state, JobState::kFailed);
  EXPECT_EQ(jobs_.List()[0].detail, "segment 7");
}

TEST_F(JobListTest, AJobThatCannotBeQueuedIsNotListed) {
  Drain();
  pool_ = std::make_unique<ThreadPool>("jobs", 1, 1);
  JobList jobs(pool_.get(), &clock_);
  Notification started;
  Notification go_on;
  const auto ok = [](const JobList::Report&) { return absl::OkStatus(); };
  ASSERT_THAT(jobs.Start(JobKind::kCompaction, 0,
                         [&](const JobList::Report&) {
                           started.Notify();
                           go_on.WaitForNotification();
                           return absl::OkStatus();
                         }),
              IsOk());
  started.WaitForNotification();
  ASSERT_THAT(jobs.Start(JobKind::kCompaction, 1, ok), IsOk());
  EXPECT_EQ(ReasonOf(jobs.Start(JobKind::kCompaction, 2, ok).status()),
            ErrorReason::kOverloaded);
  EXPECT_EQ(jobs.List().size(), 2u);
  go_on.Notify();
  Drain();
}

}  // namespace
}  // namespace storage
}  // namespace cairn
