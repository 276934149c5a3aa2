#include "lib/rpc/method_metrics.h"

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn {
namespace rpc {
namespace {

TEST(MethodMetricsTest, CountsWhatBeganHowItEndedAndWhy) {
  MetricsRegistry registry;
  {
    MethodMetrics stat(&registry, "FileService.Stat");
    for (int i = 0; i < 4; ++i) stat.Begin();
    stat.End(absl::OkStatus(), absl::Milliseconds(3));
    const absl::Status gone = ErrorWithReason(
        absl::StatusCode::kNotFound, ErrorReason::kFileDeleted, "gone");
    stat.End(gone, absl::Milliseconds(1));
    stat.End(gone, absl::Milliseconds(1));
    EXPECT_EQ(
        registry.Read("cairn_rpc_in_flight", {{"method", "FileService.Stat"}}),
        1);
    stat.End(absl::CancelledError(), absl::Milliseconds(1));
    stat.CountOk(10, absl::Milliseconds(1));
    stat.CountError(gone);
  }
  const auto requests = [&](const char* code, const char* reason) {
    return registry.Read(
        "cairn_rpc_requests_total",
        {{"method", "FileService.Stat"}, {"code", code}, {"reason", reason}});
  };
  EXPECT_EQ(requests("OK", ""), 11);
  EXPECT_EQ(requests("NOT_FOUND", "FILE_DELETED"), 3);
  EXPECT_EQ(requests("CANCELLED", ""), 1);
  EXPECT_EQ(registry.Read("cairn_rpc_latency_seconds",
                          {{"method", "FileService.Stat"}}),
            14);
}

}  // namespace
}  // namespace rpc
}  // namespace cairn
