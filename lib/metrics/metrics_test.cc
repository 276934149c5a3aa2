#include "lib/metrics/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/metrics/metrics_server.h"
#include "lib/metrics/process_stats.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, ThreadsTogetherLoseNothing) {
  MetricsRegistry registry;
  Counter* const counter = registry.AddCounter("c_total", "help");
  Gauge* const gauge = registry.AddGauge("g", "help");
  Histogram* const histogram = registry.AddHistogram("h", "help", {1, 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        counter->Add(2);
        gauge->Add(1);
        histogram->Observe(i % 4);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter->Value(), 20000u);
  EXPECT_EQ(gauge->Value(), 10000);
  const Histogram::Snapshot snapshot = histogram->Read();
  EXPECT_THAT(snapshot.counts, ElementsAre(5000, 2500, 2500));
  EXPECT_EQ(snapshot.count, 10000u);
  EXPECT_EQ(snapshot.sum, 15000);
}

TEST(MetricsTest, TheTextIsWhatPrometheusReads) {
  MetricsRegistry registry;
  registry.AddCounter("b_total", "Lines\nof \"help\".", {{"m", "x\"y\\z\n"}})
      ->Add(3);
  registry.AddGauge("a_bytes", "A.")->Set(1.5);
  Histogram* const h =
      registry.AddHistogram("c_seconds", "C.", {0.1, 1}, {{"k", "v"}});
  h->Observe(0.1);
  h->Observe(absl::Seconds(5));
  EXPECT_EQ(registry.Text(),
            "# HELP a_bytes A.\n"
            "# TYPE a_bytes gauge\n"
            "a_bytes 1.5\n"
            "# HELP b_total Lines\\nof \"help\".\n"
            "# TYPE b_total counter\n"
            "b_total{m=\"x\\\"y\\\\z\\n\"} 3\n"
            "# HELP c_seconds C.\n"
            "# TYPE c_seconds histogram\n"
            "c_seconds_bucket{k=\"v\",le=\"0.1\"} 1\n"
            "c_seconds_bucket{k=\"v\",le=\"1\"} 1\n"
            "c_seconds_bucket{k=\"v\",le=\"+Inf\"} 2\n"
            "c_seconds_sum{k=\"v\"} 5.1\n"
            "c_seconds_count{k=\"v\"} 2\n");
}

TEST(MetricsTest, TheSameNameAndLabelsAreTheSameMetric) {
  MetricsRegistry registry;
  Counter* const a = registry.AddCounter("c_total", "help", {{"m", "a"}});
  EXPECT_EQ(registry.AddCounter("c_total", "help", {{"m", "a"}}), a);
  EXPECT_NE(registry.AddCounter("c_total", "help", {{"m", "b"}}), a);
  EXPECT_EQ(registry.Describe().size(), 1u);
}

TEST(MetricsTest, CallbacksAndRefreshesRunAtAScrapeUntilTheyAreRemoved) {
  MetricsRegistry registry;
  int refreshed = 0;
  const uint64_t refresh = registry.AddRefresh([&] { ++refreshed; });
  const uint64_t callback = registry.AddCallback(
      "x", "help", MetricType::kGauge, {}, [&] { return refreshed * 10.0; });
  EXPECT_EQ(registry.Read("x"), 10);
  EXPECT_EQ(registry.Read("x"), 20);
  registry.Remove(refresh);
  EXPECT_EQ(registry.Read("x"), 20);
  registry.Remove(callback);
  EXPECT_EQ(registry.Read("x"), 0);
}

TEST(MetricsTest, LatencyBucketsAreRoundNumbers) {
  const std::vector<double> bounds = Histogram::LatencyBounds();
  EXPECT_EQ(bounds.front(), 1e-5);
  EXPECT_EQ(bounds.back(), 10);
  EXPECT_EQ(bounds[3], 1e-4);
  EXPECT_LE(bounds.size(), Histogram::kBucketsMax);
  EXPECT_THAT(Histogram::PowersOfTwo(4), ElementsAre(1, 2, 4, 8));
}

// What a GET answers, headers and all.
std::string Get(const std::string& address, const std::string& path) {
  const int port = std::atoi(address.substr(address.rfind(':') + 1).c_str());
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string out;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string request =
        "GET " + path + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
    if (write(fd, request.data(), request.size()) ==
        static_cast<ssize_t>(request.size())) {
      char buffer[4096];
      ssize_t n;
      while ((n = read(fd, buffer, sizeof(buffer))) > 0) out.append(buffer, n);
    }
  }
  close(fd);
  return out;
}

TEST(MetricsServerTest, ServesTheRegistryAndNothingElse) {
  MetricsRegistry registry;
  AddProcessMetrics(&registry);
  registry.AddCounter("c_total", "help")->Add(7);
  auto server = MetricsServer::Start("127.0.0.1:0", &registry);
  ASSERT_THAT(server, IsOk());
  EXPECT_THAT((*server)->address(), Not(::testing::EndsWith(":0")));
  const std::string answer = Get((*server)->address(), "/metrics");
  EXPECT_THAT(answer, HasSubstr(" 200 OK"));
  EXPECT_THAT(answer, HasSubstr("\nc_total 7\n"));
  EXPECT_THAT(answer, HasSubstr("process_cpu_seconds_total"));
  EXPECT_THAT(Get((*server)->address(), "/etc/passwd"), HasSubstr(" 404 "));
  // Taken.
  EXPECT_THAT(MetricsServer::Start((*server)->address(), &registry),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr((*server)->address())));
  EXPECT_FALSE(MetricsServer::Start("nonsense", &registry).ok());
}

TEST(ProcessStatsTest, ThisProcessUsesSomething) {
  const ProcessStats stats = ReadProcessStats();
  EXPECT_THAT(stats.cpu_time, Gt(absl::ZeroDuration()));
  EXPECT_THAT(stats.resident_bytes, Gt(1 << 20));
  EXPECT_THAT(stats.open_fds, Gt(2));
  EXPECT_THAT(stats.threads, Gt(0));
}

}  // namespace
}  // namespace cairn
