// Each probe measures something and reports it under the names it promises.

#include "clients/probe/probes.h"

#include <map>

#include "clients/probe/probe_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace probe {
namespace {

double Value(const absl::StatusOr<ProbeResult>& result,
             const std::string& name) {
  EXPECT_THAT(result, IsOk());
  if (!result.ok()) return 0;
  return std::map<std::string, double>(result->begin(), result->end())[name];
}

TEST(ProbesTest, GrpcProbesMoveTheirBytes) {
  const auto server = ProbeServer::Start("127.0.0.1:0");
  ASSERT_THAT(server, IsOk());
  const std::string& target = (*server)->address();
  const auto echo = ProbeEcho(target, 4, 4096, absl::Milliseconds(50));
  EXPECT_GT(Value(echo, "calls_per_second"), 0);
  EXPECT_GT(Value(echo, "p50_us"), 0);
  EXPECT_GE(Value(echo, "p99_us"), Value(echo, "p50_us"));
  EXPECT_GT(
      Value(ProbeUpload(target, 2, 8 << 20, 256 << 10), "bytes_per_second"), 0);
  EXPECT_GT(
      Value(ProbeDownload(target, 2, 8 << 20, 256 << 10), "bytes_per_second"),
      0);
}

TEST(ProbesTest, DiskProbesMoveTheirBytes) {
  const std::string directory = ::testing::TempDir();
  EXPECT_GT(
      Value(ProbeSync(directory, absl::Milliseconds(50)), "syncs_per_second"),
      0);
  const auto file = ProbeSequentialFile(directory, 4 << 20);
  EXPECT_GT(Value(file, "write_bytes_per_second"), 0);
  EXPECT_GT(Value(file, "read_bytes_per_second"), 0);
  const auto disk = ProbeDisk(directory, 8 << 20);
  if (absl::IsInvalidArgument(disk.status())) GTEST_SKIP() << disk.status();
  EXPECT_GT(Value(disk, "bytes_per_second"), 0);
}

TEST(ProbesTest, WhatCannotBeMeasuredIsAnError) {
  EXPECT_THAT(ProbeSync("/nonexistent", absl::Milliseconds(1)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ProbeEcho("127.0.0.1:1", 1, 1, absl::Milliseconds(1)),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace probe
}  // namespace cairn
