#include "lib/base/host_port.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

TEST(HostPortTest, ParsesWhatItJoins) {
  const struct {
    const char* text;
    const char* host;
    int port;
  } good[] = {{"127.0.0.1:7000", "127.0.0.1", 7000},
              {"[::1]:0", "::1", 0},
              {"node-1.example.com:65535", "node-1.example.com", 65535}};
  for (const auto& c : good) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(c.text);
    ASSERT_THAT(parsed, IsOk());
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port, c.port);
    EXPECT_EQ(JoinHostPort(parsed->host, parsed->port), c.text);
  }
  for (const char* bad : {"", ":", ":1", "host", "host:", "host:x", "host:-1",
                          "host:65536", "::1:7", "[::1]", "[]:1", "[a]:1",
                          "host:+1", "a]:1", "h:99999999999"}) {
    EXPECT_THAT(ParseHostPort(bad),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

TEST(HostPortTest, KnowsLoopback) {
  EXPECT_TRUE(IsLoopback("127.0.0.1"));
  EXPECT_TRUE(IsLoopback("localhost"));
  EXPECT_TRUE(IsLoopback("::1"));
  EXPECT_FALSE(IsLoopback("0.0.0.0"));
  EXPECT_FALSE(IsLoopback("::"));
  EXPECT_FALSE(IsLoopback("10.0.0.1"));
}

TEST(HostPortTest, KnowsWildcards) {
  EXPECT_TRUE(IsWildcard("0.0.0.0"));
  EXPECT_TRUE(IsWildcard("::"));
  EXPECT_FALSE(IsWildcard("127.0.0.1"));
}

}  // namespace
}  // namespace cairn
