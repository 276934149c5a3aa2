// Each fault of a link, seen from a client and a server that hold plain
// sockets.

#include "integration_tests/mini_cluster/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace testing {
namespace {

// Far more than a slow machine needs.
constexpr int kDeadlineMs = 60000;

// Long enough that what is not held would have come.
constexpr int kNothingComesMs = 100;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) { EXPECT_GE(fd, 0); }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { Close(); }

  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  void EndWriting() { shutdown(fd_, SHUT_WR); }
  int fd() const { return fd_; }

  bool Readable(int timeout_ms) const {
    pollfd polled = {fd_, POLLIN, 0};
    return poll(&polled, 1, timeout_ms) == 1;
  }

  // False if the connection is broken.
  bool Write(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t sent =
          send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return false;
      at += static_cast<size_t>(sent);
    }
    return true;
  }

  // `size` bytes, or those before the end or a reset, of which errno tells.
  std::string Read(size_t size) {
    std::string bytes;
    while (bytes.size() < size) {
      if (!Readable(kDeadlineMs)) {
        ADD_FAILURE() << "nothing comes after " << bytes.size() << " bytes";
        break;
      }
      char piece[4096];
      errno = 0;
      const ssize_t got =
          recv(fd_, piece, std::min(sizeof(piece), size - bytes.size()), 0);
      if (got <= 0) break;
      bytes.append(piece, static_cast<size_t>(got));
    }
    return bytes;
  }

 private:
  int fd_;
};

Socket ConnectTo(uint16_t port) {
  Socket connected(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(connected.fd(), reinterpret_cast<sockaddr*>(&address),
                    sizeof(address)),
            0);
  return connected;
}

uint16_t LocalPort(const Socket& from) {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  EXPECT_EQ(
      getsockname(from.fd(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

class TcpProxyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto proxy =
        TcpProxy::Start([this](uint16_t port) { return NameOf(port); });
    ASSERT_THAT(proxy, IsOk());
    proxy_ = *std::move(proxy);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(bind(listener_.fd(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
              0);
    ASSERT_EQ(listen(listener_.fd(), 16), 0);
    proxy_->SetTarget(absl::StrCat("127.0.0.1:", LocalPort(listener_)));
  }

  Socket Accept() {
    EXPECT_TRUE(listener_.Readable(kDeadlineMs));
    return Socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  }

  std::string NameOf(uint16_t port) {
    const auto pid =
        ProcessOfConnection(port, proxy_->port(), {{getpid(), "this test"}});
    return pid == getpid() ? "this test" : "";
  }

  Socket listener_{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::unique_ptr<TcpProxy> proxy_;
};

TEST_F(TcpProxyTest, PassesEverythingBothWays) {
  Socket client = ConnectTo(proxy_->port());
  Socket server = Accept();
  const std::string much(300000, 'x');
  ASSERT_TRUE(client.Write("hello"));
  EXPECT_EQ(server.Read(5), "hello");
  ASSERT_TRUE(server.Write(much));
  EXPECT_EQ(client.Read(much.size()), much);
  // An end is an end and no reset, one way at a time.
  client.EndWriting();
  EXPECT_EQ(server.Read(1), "");
  EXPECT_EQ(errno, 0);
  ASSERT_TRUE(server.Write("bye"));
  server.Close();
  EXPECT_EQ(client.Read(4), "bye");
  EXPECT_EQ(errno, 0);
  const ProxyCounts counts = proxy_->counts();
  EXPECT_EQ(counts.accepted, 1);
  EXPECT_EQ(counts.reset, 0);
  EXPECT_EQ(counts.bytes, 300008);
}

TEST_F(TcpProxyTest, ABlackHoleHoldsEverythingUntilItIsHealed) {
  Socket before = ConnectTo(proxy_->port());
  Socket before_server = Accept();
  proxy_->SetFaults({.hold_to_target = true, .hold_to_source = true});
  Socket client = ConnectTo(proxy_->port());
  Socket server = Accept();
  ASSERT_TRUE(before.Write("one"));
  ASSERT_TRUE(client.Write("two"));
  ASSERT_TRUE(server.Write("three"));
  before_server.Close();
  EXPECT_FALSE(server.Readable(kNothingComesMs));
  EXPECT_FALSE(client.Readable(kNothingComesMs));
  EXPECT_FALSE(before.Readable(kNothingComesMs));
  proxy_->Heal();
  EXPECT_EQ(server.Read(3), "two");
  EXPECT_EQ(client.Read(5), "three");
  EXPECT_EQ(before.Read(1), "");
}

TEST_F(TcpProxyTest, OneWayPassesTheOtherWay) {
  Socket client = ConnectTo(proxy_->port());
  Socket server = Accept();
  proxy_->SetFaults({.hold_to_source = true});
  ASSERT_TRUE(client.Write("there"));
  EXPECT_EQ(server.Read(5), "there");
  ASSERT_TRUE(server.Write("back"));
  EXPECT_FALSE(client.Readable(kNothingComesMs));
  proxy_->Heal();
  EXPECT_EQ(client.Read(4), "back");
}

TEST_F(TcpProxyTest, LatencyIsAddedToEachWay) {
  Socket client = ConnectTo(proxy_->port());
  Socket server = Accept();
  proxy_->SetFaults({.latency = absl::Milliseconds(100)});
  const absl::Time begun = absl::Now();
  ASSERT_TRUE(client.Write("ping"));
  EXPECT_EQ(server.Read(4), "ping");
  ASSERT_TRUE(server.Write("pong"));
  EXPECT_EQ(client.Read(4), "pong");
  EXPECT_GE(absl::Now() - begun, absl::Milliseconds(200));
}

TEST_F(TcpProxyTest, CutsInTheMiddleOfAMessage) {
  Socket client = ConnectTo(proxy_->port());
  Socket server = Accept();
  proxy_->SetFaults({.cut_after_bytes = 1000});
  ASSERT_TRUE(client.Write(std::string(1000, 'a')));
  EXPECT_EQ(server.Read(1000).size(), 1000u);
  client.Write("b");
  EXPECT_EQ(server.Read(1), "");
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(client.Read(1), "");
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(proxy_->counts().reset, 1);
  EXPECT_EQ(proxy_->counts().bytes, 1000);
}

TEST_F(TcpProxyTest, RefusesOldAndNewConnections) {
  Socket client = ConnectTo(proxy_->port());
  Socket server = Accept();
  proxy_->SetFaults({.refuse = true});
  EXPECT_EQ(server.Read(1), "");
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(ConnectTo(proxy_->port()).Read(1), "");
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(proxy_->counts().reset, 2);
  proxy_->Heal();
  Socket again = ConnectTo(proxy_->port());
  Socket again_server = Accept();
  ASSERT_TRUE(again.Write("x"));
  EXPECT_EQ(again_server.Read(1), "x");
}

TEST_F(TcpProxyTest, WhatNobodyListensForIsReset) {
  proxy_->SetTarget("127.0.0.1:1");
  EXPECT_EQ(ConnectTo(proxy_->port()).Read(1), "");
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(TcpProxyTest, FaultsAreForASourceThatTheProcessIsKnownBy) {
  // The port is bound before the connection, so the name is asked for later.
  Socket client = ConnectTo(proxy_->port());
  Socket server = Accept();
  proxy_->SetFaults("somebody else", {.hold_to_target = true});
  ASSERT_TRUE(client.Write("a"));
  EXPECT_EQ(server.Read(1), "a");
  proxy_->SetFaults("this test", {.hold_to_target = true});
  ASSERT_TRUE(client.Write("b"));
  EXPECT_FALSE(server.Readable(kNothingComesMs));
  // Its own faults go before those for all.
  proxy_->SetFaults({.refuse = true});
  EXPECT_FALSE(server.Readable(kNothingComesMs));
  proxy_->Heal();
  EXPECT_EQ(server.Read(1), "b");
}

TEST(ProcessOfConnectionTest, NobodyHasAConnectionThatIsNotThere) {
  EXPECT_EQ(ProcessOfConnection(1, 2, {{getpid(), ""}}), absl::nullopt);
}

}  // namespace
}  // namespace testing
}  // namespace cairn
