// The small things everything stands on.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/base/varint.h"

namespace cairn {
namespace {

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  CAIRN_ASSIGN_OR_RETURN(const int half, Half(n));
  CAIRN_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(StatusMacrosTest, AssignOrReturnPassesValuesAndErrors) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
}

TEST(VarintTest, ComesBackFromItsBytes) {
  for (int bits = 0; bits <= 64; ++bits) {
    const uint64_t power = bits == 64 ? 0 : uint64_t{1} << bits;
    for (const uint64_t value : {power - 1, power, power + 1}) {
      SCOPED_TRACE(value);
      char bytes[kVarintBytesMax];
      const auto size = static_cast<size_t>(WriteVarint(value, bytes) - bytes);
      ASSERT_LE(size, sizeof(bytes));
      EXPECT_EQ(size, VarintSize(value));
      const std::string written(bytes, size);
      absl::string_view rest = written;
      uint64_t read = ~value;
      ASSERT_TRUE(TakeVarint(&rest, &read));
      EXPECT_EQ(read, value);
      EXPECT_TRUE(rest.empty());
      for (size_t cut = 0; cut < size; ++cut) {
        absl::string_view torn = absl::string_view(written).substr(0, cut);
        EXPECT_FALSE(TakeVarint(&torn, &read));
      }
    }
  }
}

TEST(VarintTest, DoesNotGoOnForEver) {
  absl::string_view bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  uint64_t value = 0;
  EXPECT_FALSE(TakeVarint(&bytes, &value));
}

TEST(StatusMacrosTest, WithContextKeepsCodeAndPayloads) {
  absl::Status status = absl::DataLossError("bad block");
  status.SetPayload("type", absl::Cord("detail"));
  const absl::Status wrapped = WithContext(status, "segment 7");
  EXPECT_EQ(wrapped.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(wrapped.message(), "segment 7: bad block");
  EXPECT_EQ(wrapped.GetPayload("type"), absl::Cord("detail"));
  EXPECT_TRUE(WithContext(absl::OkStatus(), "x").ok());
}

TEST(ErrorReasonTest, TravelsInTheStatusThroughAddedContext) {
  const absl::Status status = WithContext(
      ErrorWithReason(absl::StatusCode::kOutOfRange, ErrorReason::kRangePastEnd,
                      "past the end", {{"size_bytes", "7"}}),
      "read");
  EXPECT_EQ(ReasonOf(status), ErrorReason::kRangePastEnd);
  EXPECT_EQ(MetadataOf(status).at("size_bytes"), "7");
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), ErrorReason::kUnspecified);
  EXPECT_EQ(ErrorReasonFromName(ErrorReasonName(ErrorReason::kDiskFull)),
            ErrorReason::kDiskFull);
}

TEST(CheckDeathTest, AFalseConditionEndsTheProcessAndNamesIt) {
  EXPECT_DEATH(CAIRN_CHECK(1 + 1 == 3), "check failed: 1 \\+ 1 == 3");
  EXPECT_DEATH(CAIRN_CHECK_OK(absl::InternalError("boom")), "boom");
}

TEST(UuidTest, TextRoundTrips) {
  const Uuid uuid = Uuid::Random();
  EXPECT_EQ(uuid.ToString().size(), 36u);
  EXPECT_EQ(*Uuid::Parse(uuid.ToString()), uuid);
  EXPECT_EQ(*Uuid::FromBytes(uuid.bytes()), uuid);
  EXPECT_NE(Uuid::Random(), uuid);
}

TEST(UuidTest, RefusesWhatIsNotOne) {
  for (const char* text : {"", "x", "01234567-0123-0123-0123-0123456789a",
                           "01234567-0123-0123-0123-0123456789ag",
                           "012345670-123-0123-0123-0123456789ab"}) {
    EXPECT_EQ(Uuid::Parse(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ThreadPoolTest, RunsEverythingBeforeItEnds) {
  std::atomic<int> ran{0};
  {
    ThreadPool pool("test", 3, 1000);
    for (int i = 0; i < 500; ++i) {
      ASSERT_TRUE(pool.TrySubmit([&ran] { ++ran; }));
    }
  }
  EXPECT_EQ(ran, 500);
}

TEST(ThreadPoolTest, AFullQueueRefusesAtOnce) {
  Notification release;
  Notification started;
  ThreadPool pool("test", 1, 1);
  ASSERT_TRUE(pool.TrySubmit([&] {
    started.Notify();
    release.WaitForNotification();
  }));
  started.WaitForNotification();
  EXPECT_TRUE(pool.TrySubmit([] {}));
  EXPECT_FALSE(pool.TrySubmit([] {}));
  EXPECT_EQ(pool.queued(), 1u);
  release.Notify();
}

TEST(NotificationTest, ReleasesWaitersAndTimesOut) {
  Notification notification;
  EXPECT_FALSE(
      notification.WaitForNotificationWithTimeout(absl::Milliseconds(1)));
  std::thread waiter([&] { notification.WaitForNotification(); });
  notification.Notify();
  waiter.join();
  EXPECT_TRUE(notification.HasBeenNotified());
}

TEST(ClockTest, MonotonicNeverGoesBack) {
  absl::Duration last = Clock::Real()->Monotonic();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration now = Clock::Real()->Monotonic();
    EXPECT_GE(now, last);
    last = now;
  }
}

TEST(LogTest, LevelsBelowTheSetOneAreOff) {
  SetLogLevel(LogLevel::kWarning);
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
  SetLogLevel(LogLevel::kInfo);
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo));
  CAIRN_LOG(kInfo, "test", "status={} uuid={} view={}",
            absl::DataLossError("x"), Uuid(), absl::string_view("v"));
}

}  // namespace
}  // namespace cairn
