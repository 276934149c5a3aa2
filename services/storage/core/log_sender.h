// What a member sends to another that copies it, a message after the other,
// whatever carries them: a log as it grows, and everything, in pages.
//
//   OnGrown, OnHeartbeat ─▶ wake ─▶ Next ─▶ a message ─▶ Next … nothing now
//
// What a log takes while the member has much of it to acknowledge is gathered
// for one message, as a commit gathers what waits for the disk: under load most
// of what a small change costs is the message that it goes with.
//
// Not thread-safe but for what LogTail says: one call of Next() at a time. Both
// block and belong on StorePath::io().

#ifndef CAIRN_SERVICES_STORAGE_CORE_LOG_SENDER_H_
#define CAIRN_SERVICES_STORAGE_CORE_LOG_SENDER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/replicator.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

// One log, to one member.
class LogSender : public LogTail {
 public:
  // `caller` has `have`, and asks for `log`, or for the path's own log. `wake`
  // says that there may be something to send; any thread, must not block, and
  // not after Stop(). `replicator` is the path's, borrowed.
  LogSender(const Uuid& caller, std::shared_ptr<StorePath> path,
            Replicator* replicator, const absl::optional<LogId>& log,
            const std::vector<LogRange>& have, const ChangeLimits& limits,
            std::function<void()> wake);
  ~LogSender() override;  // After Stop(), if Start() was called.

  LogSender(const LogSender&) = delete;
  LogSender& operator=(const LogSender&) = delete;

  // Between the two the sender hears of what its log takes, and the member
  // counts as one that follows once it was sent all of it.
  void Start();
  void Stop();

  // The next message; nullopt if there is none now. With done() it is the last.
  //   NOT_FOUND, OUT_OF_RANGE  as ReplicaStore::ReadLog(): the end.
  absl::StatusOr<absl::optional<SyncBatch>> Next();
  bool done() const { return done_; }

  // After Next(): there is nothing more to send until `wake` is called.
  bool idle() const { return idle_; }

  // LogTail.
  void OnGrown() override { wake_(); }
  void OnHeartbeat() override;
  void OnAck(const Uuid& member) override;

 private:
  // Whether what is new waits for the acknowledgement of what was sent.
  bool Gathers();

  void MarkUnknown(std::vector<ReplicatedChange>* changes) const;

  const Uuid caller_;
  const std::shared_ptr<StorePath> path_;
  Replicator* const replicator_;
  const ChangeLimits limits_;
  const std::function<void()> wake_;
  bool own_ = false;
  LogId log_;
  std::unique_ptr<LoggedFiles> files_;
  uint64_t sent_ = 0;            // Sequence.
  bool ack_wanted_ = false;      // With the newest change that was sent.
  absl::Duration changes_sent_;  // When, Clock::Monotonic().
  std::atomic<bool> gathering_{false};
  bool following_ = false;
  bool started_ = false;
  bool done_ = false;
  bool idle_ = false;
  std::atomic<bool> heartbeat_{true};
};

// All files and tombstones, to one member.
class SnapshotSender {
 public:
  // `from` is empty, or where a snapshot of any member was cut off.
  SnapshotSender(std::shared_ptr<StorePath> path, std::string from,
                 const ChangeLimits& limits);

  // The next page. SnapshotBatch::logs is set in the first one.
  //   INVALID_ARGUMENT, UNAVAILABLE  as ReplicaStore::ReadSnapshot().
  absl::StatusOr<SnapshotBatch> Next();

  // Where it began, once there was a page.
  const std::vector<LogRange>& logs() const { return logs_; }

 private:
  const std::shared_ptr<StorePath> path_;
  const ChangeLimits limits_;
  std::string next_;
  bool begun_ = false;
  std::vector<LogRange> logs_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_LOG_SENDER_H_
