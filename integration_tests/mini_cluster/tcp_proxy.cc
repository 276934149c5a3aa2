#include "integration_tests/mini_cluster/tcp_proxy.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "lib/base/check.h"

namespace cairn {
namespace testing {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

// What one way of a connection may hold before its sender has to wait.
constexpr size_t kHeldBytesMax = 1 << 20;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

absl::Status SocketError(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(errno)));
}

// The other end sees a reset, and not the end of the stream.
void CloseWithReset(int fd) {
  if (fd < 0) return;
  const linger reset = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(fd);
}

void DoNotDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// All of a file that has no size; empty if it is not there.
std::string ReadProc(const char* path) {
  std::string content;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return content;
  std::string piece(1 << 16, '\0');
  for (ssize_t size; (size = read(fd, piece.data(), piece.size())) > 0;) {
    content.append(piece, 0, static_cast<size_t>(size));
  }
  close(fd);
  return content;
}

}  // namespace

// All connections of a proxy. Lives on the proxy's thread.
class TcpProxy::Loop {
 public:
  explicit Loop(TcpProxy* proxy) : proxy_(proxy) {}
  ~Loop() {
    for (Connection& connection : connections_) Reset(&connection);
  }

  // Returns when the proxy is to stop.
  void Run();

 private:
  struct Piece {
    absl::Time ready;
    std::string bytes;
  };

  // What one side sent and the other one has not got yet.
  struct Flow {
    std::deque<Piece> pieces;
    size_t held_bytes = 0;
    bool ended = false;     // Its sender will send no more,
    bool end_sent = false;  // and the receiver was told.
  };

  struct Connection {
    std::string source;
    int source_fd = -1;
    int target_fd = -1;
    bool connecting = true;
    Flow to_target;
    Flow to_source;
    LinkFaults faults;
    uint64_t faults_generation = 0;
    int64_t bytes_since = 0;  // That passed since these faults were set.
    bool dead = false;
  };

  void Accept();
  void Reset(Connection* connection);
  void FaultReset(Connection* connection);
  void RefreshFaults();
  short Interest(const Connection& connection, bool of_target, absl::Time now,
                 absl::Time* next) const;
  void Serve(Connection* connection, bool at_target, short events,
             absl::Time now);
  void Receive(Connection* connection, bool at_target, absl::Time now);
  void Send(Connection* connection, bool at_target, absl::Time now);

  TcpProxy* const proxy_;
  std::list<Connection> connections_;
};

void TcpProxy::Loop::Run() {
  while (true) {
    {
      MutexLock lock(&proxy_->mu_);
      if (proxy_->stop_) return;
    }
    RefreshFaults();
    connections_.remove_if([](const Connection& each) { return each.dead; });
    const absl::Time now = absl::Now();
    absl::Time next = absl::InfiniteFuture();
    std::vector<pollfd> polled = {{proxy_->wake_, POLLIN, 0},
                                  {proxy_->listener_, POLLIN, 0}};
    std::vector<std::pair<Connection*, bool>> owners;
    for (Connection& connection : connections_) {
      for (const bool of_target : {false, true}) {
        const short events = Interest(connection, of_target, now, &next);
        // What is held must not be heard to end either.
        polled.push_back({events == 0 ? -1
                          : of_target ? connection.target_fd
                                      : connection.source_fd,
                          events, 0});
        owners.emplace_back(&connection, of_target);
      }
    }
    const int64_t wait =
        next == absl::InfiniteFuture()
            ? -1
            : std::max<int64_t>(absl::ToInt64Milliseconds(next - now) + 1, 0);
    const int ready = poll(polled.data(), polled.size(),
                           static_cast<int>(std::min<int64_t>(wait, 1000)));
    CAIRN_CHECK(ready >= 0 || errno == EINTR);
    if (polled[0].revents != 0) {
      uint64_t count = 0;
      CAIRN_CHECK(read(proxy_->wake_, &count, sizeof(count)) == sizeof(count));
    }
    // What was sent after faults were set meets them.
    RefreshFaults();
    const absl::Time after = absl::Now();
    for (size_t i = 0; i < owners.size(); ++i) {
      Connection* const connection = owners[i].first;
      if (connection->dead || polled[i + 2].revents == 0) continue;
      Serve(connection, owners[i].second, polled[i + 2].revents, after);
    }
    if (polled[1].revents != 0) Accept();
    connections_.remove_if([](const Connection& each) { return each.dead; });
  }
}

void TcpProxy::Loop::Accept() {
  sockaddr_in peer = {};
  socklen_t size = sizeof(peer);
  const int fd = accept4(proxy_->listener_, reinterpret_cast<sockaddr*>(&peer),
                         &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  DoNotDelay(fd);
  Connection connection;
  connection.source_fd = fd;
  if (proxy_->source_of_ != nullptr) {
    connection.source = proxy_->source_of_(ntohs(peer.sin_port));
  }
  connection.faults =
      proxy_->FaultsOf(connection.source, &connection.faults_generation);
  {
    MutexLock lock(&proxy_->mu_);
    ++proxy_->counts_.accepted;
  }
  if (connection.faults.refuse) return FaultReset(&connection);

  const std::pair<std::string, std::string> target =
      absl::StrSplit(proxy_->target(), absl::MaxSplits(':', 1));
  sockaddr_in address = {};
  uint32_t port = 0;
  if (inet_pton(AF_INET, target.first.c_str(), &address.sin_addr) != 1 ||
      !absl::SimpleAtoi(target.second, &port)) {
    return Reset(&connection);
  }
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  connection.target_fd =
      socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connection.target_fd < 0) return Reset(&connection);
  DoNotDelay(connection.target_fd);
  if (connect(connection.target_fd, reinterpret_cast<sockaddr*>(&address),
              sizeof(address)) != 0 &&
      errno != EINPROGRESS) {
    return Reset(&connection);
  }
  connections_.push_back(std::move(connection));
}

void TcpProxy::Loop::Reset(Connection* connection) {
  CloseWithReset(std::exchange(connection->source_fd, -1));
  CloseWithReset(std::exchange(connection->target_fd, -1));
  connection->dead = true;
}

void TcpProxy::Loop::FaultReset(Connection* connection) {
  {
    MutexLock lock(&proxy_->mu_);
    ++proxy_->counts_.reset;
  }
  Reset(connection);
}

void TcpProxy::Loop::RefreshFaults() {
  for (Connection& connection : connections_) {
    uint64_t generation = 0;
    const LinkFaults faults = proxy_->FaultsOf(connection.source, &generation);
    if (connection.dead || generation == connection.faults_generation) continue;
    connection.faults = faults;
    connection.faults_generation = generation;
    connection.bytes_since = 0;
    if (faults.refuse) FaultReset(&connection);
  }
}

// What to wait for at one side's socket; `next` is brought forward to when that
// changes by itself.
short TcpProxy::Loop::Interest(const Connection& connection, bool of_target,
                               absl::Time now, absl::Time* next) const {
  if (connection.connecting) return of_target ? POLLOUT : 0;
  const Flow& in = of_target ? connection.to_source : connection.to_target;
  const Flow& out = of_target ? connection.to_target : connection.to_source;
  const bool hold_in = of_target ? connection.faults.hold_to_source
                                 : connection.faults.hold_to_target;
  const bool hold_out = of_target ? connection.faults.hold_to_target
                                  : connection.faults.hold_to_source;
  short events = 0;
  if (!in.ended && !hold_in && in.held_bytes < kHeldBytesMax) events |= POLLIN;
  if (!hold_out) {
    if (out.pieces.empty()) {
      if (out.ended && !out.end_sent) events |= POLLOUT;
    } else if (out.pieces.front().ready <= now) {
      events |= POLLOUT;
    } else {
      *next = std::min(*next, out.pieces.front().ready);
    }
  }
  return events;
}

void TcpProxy::Loop::Serve(Connection* connection, bool at_target, short events,
                           absl::Time now) {
  if (connection->connecting) {
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(connection->target_fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Reset(connection);
    connection->connecting = false;
    return;
  }
  if ((events & POLLOUT) != 0) Send(connection, at_target, now);
  if (!connection->dead && (events & (POLLIN | POLLHUP | POLLERR)) != 0) {
    Receive(connection, at_target, now);
  }
}

void TcpProxy::Loop::Receive(Connection* connection, bool at_target,
                             absl::Time now) {
  Flow* const flow =
      at_target ? &connection->to_source : &connection->to_target;
  if (flow->ended) {
    // It can be told nothing more either.
    return Reset(connection);
  }
  std::string bytes(kPieceBytes, '\0');
  const ssize_t got =
      recv(at_target ? connection->target_fd : connection->source_fd,
           bytes.data(), bytes.size(), 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return Reset(connection);
  }
  if (got == 0) {
    flow->ended = true;
    return;
  }
  bytes.resize(static_cast<size_t>(got));
  flow->held_bytes += bytes.size();
  flow->pieces.push_back({now + connection->faults.latency, std::move(bytes)});
}

void TcpProxy::Loop::Send(Connection* connection, bool at_target,
                          absl::Time now) {
  Flow* const flow =
      at_target ? &connection->to_target : &connection->to_source;
  const int fd = at_target ? connection->target_fd : connection->source_fd;
  while (!flow->pieces.empty() && flow->pieces.front().ready <= now) {
    std::string& bytes = flow->pieces.front().bytes;
    size_t size = bytes.size();
    const absl::optional<int64_t> cut = connection->faults.cut_after_bytes;
    if (cut.has_value()) {
      const int64_t left = *cut - connection->bytes_since;
      if (left <= 0) return FaultReset(connection);
      size = std::min(size, static_cast<size_t>(left));
    }
    const ssize_t sent = send(fd, bytes.data(), size, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      return Reset(connection);
    }
    connection->bytes_since += sent;
    flow->held_bytes -= static_cast<size_t>(sent);
    bytes.erase(0, static_cast<size_t>(sent));
    if (bytes.empty()) flow->pieces.pop_front();
    MutexLock lock(&proxy_->mu_);
    proxy_->counts_.bytes += sent;
  }
  if (!flow->pieces.empty() || !flow->ended || flow->end_sent) return;
  shutdown(fd, SHUT_WR);
  flow->end_sent = true;
  if (connection->to_source.end_sent && connection->to_target.end_sent) {
    close(std::exchange(connection->source_fd, -1));
    close(std::exchange(connection->target_fd, -1));
    connection->dead = true;
  }
}

absl::StatusOr<std::unique_ptr<TcpProxy>> TcpProxy::Start(SourceOf source_of) {
  const int listener =
      socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) return SocketError("socket");
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, SOMAXCONN) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) !=
          0) {
    const absl::Status status = SocketError("listen");
    close(listener);
    return status;
  }
  const int wake = eventfd(0, EFD_CLOEXEC);
  CAIRN_CHECK(wake >= 0);
  return std::unique_ptr<TcpProxy>(new TcpProxy(
      listener, ntohs(address.sin_port), wake, std::move(source_of)));
}

TcpProxy::TcpProxy(int listener, uint16_t port, int wake, SourceOf source_of)
    : listener_(listener),
      port_(port),
      address_(absl::StrCat("127.0.0.1:", port)),
      wake_(wake),
      source_of_(std::move(source_of)) {
  thread_ = std::thread([this] { Loop(this).Run(); });
}

TcpProxy::~TcpProxy() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
  }
  Wake();
  thread_.join();
  close(listener_);
  close(wake_);
}

void TcpProxy::Wake() {
  const uint64_t one = 1;
  CAIRN_CHECK(write(wake_, &one, sizeof(one)) == sizeof(one));
}

void TcpProxy::SetTarget(const std::string& address) {
  MutexLock lock(&mu_);
  target_ = address;
}

std::string TcpProxy::target() const {
  MutexLock lock(&mu_);
  return target_;
}

void TcpProxy::SetFaults(const std::string& source, const LinkFaults& faults) {
  {
    MutexLock lock(&mu_);
    by_source_[source] = faults;
    ++generation_;
  }
  Wake();
}

void TcpProxy::SetFaults(const LinkFaults& faults) {
  {
    MutexLock lock(&mu_);
    all_ = faults;
    ++generation_;
  }
  Wake();
}

void TcpProxy::Heal() {
  {
    MutexLock lock(&mu_);
    all_ = LinkFaults();
    by_source_.clear();
    ++generation_;
  }
  Wake();
}

LinkFaults TcpProxy::FaultsOf(const std::string& source,
                              uint64_t* generation) const {
  MutexLock lock(&mu_);
  *generation = generation_;
  const auto found = by_source_.find(source);
  return found == by_source_.end() ? all_ : found->second;
}

ProxyCounts TcpProxy::counts() const {
  MutexLock lock(&mu_);
  return counts_;
}

absl::optional<int> ProcessOfConnection(
    uint16_t source_port, uint16_t target_port,
    const std::map<int, std::string>& pids) {
  // `sl local_address rem_address st … uid timeout inode`, addresses in hex.
  const std::string local = absl::StrFormat("0100007F:%04X", source_port);
  const std::string remote = absl::StrFormat("0100007F:%04X", target_port);
  std::string inode;
  // A dual-stack socket shows in tcp6, with its address mapped: most do.
  for (const char* table : {"/proc/net/tcp6", "/proc/net/tcp"}) {
    if (!inode.empty()) break;
    const std::string content = ReadProc(table);
    // A busy machine has thousands of lines, and this is asked for each
    // connection: only lines that have the address are looked at.
    for (size_t at = content.find(local);
         inode.empty() && at != std::string::npos;
         at = content.find(local, at + 1)) {
      const size_t begin = content.rfind('\n', at) + 1;
      const std::vector<std::string> fields =
          absl::StrSplit(content.substr(begin, content.find('\n', at) - begin),
                         ' ', absl::SkipEmpty());
      if (fields.size() > 9 && absl::EndsWith(fields[1], local) &&
          absl::EndsWith(fields[2], remote)) {
        inode = fields[9];
      }
    }
  }
  if (inode.empty()) return absl::nullopt;
  const std::string wanted = absl::StrCat("socket:[", inode, "]");
  for (const auto& [pid, name] : pids) {
    const std::string folder = absl::StrCat("/proc/", pid, "/fd");
    DIR* const dir = opendir(folder.c_str());
    if (dir == nullptr) continue;
    bool found = false;
    while (const dirent* const entry = found ? nullptr : readdir(dir)) {
      char link[64];
      const ssize_t size =
          readlinkat(dirfd(dir), entry->d_name, link, sizeof(link));
      found =
          size > 0 && wanted == std::string(link, static_cast<size_t>(size));
    }
    closedir(dir);
    if (found) return pid;
  }
  return absl::nullopt;
}

}  // namespace testing
}  // namespace cairn
